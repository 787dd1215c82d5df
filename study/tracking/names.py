"""The tags that mlp-study writes and searches by."""

KIND, TRIAL, REPLICATE, OWNER = "mlp_study.kind", "mlp_study.trial", "mlp_study.replicate", "mlp_study.owner"
FINGERPRINT, CONVERGENCE, EPOCH, REASON = "fingerprint", "convergence", "epoch", "failure"
VERDICT, EVIDENCE, SEARCHABLE = "verdict", "evidence", "searchable"
