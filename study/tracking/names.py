"""The tags that mlp-study writes and searches by."""

KIND, TRIAL, REPLICATE, OWNER, KEY = "mlp_study.kind", "mlp_study.trial", "mlp_study.replicate", "mlp_study.owner", "mlp_study.key"
FINGERPRINT, CONVERGENCE, EPOCH, REASON = "fingerprint", "convergence", "epoch", "failure"
VERDICT, EVIDENCE, SEARCHABLE = "verdict", "evidence", "searchable"

# the status of the runs of a trial that ended in a state
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
