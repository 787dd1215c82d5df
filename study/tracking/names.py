"""The tags that mlp-study writes and searches by, and how a person names a run."""

import re

KIND, TRIAL, REPLICATE, OWNER, KEY = "mlp_study.kind", "mlp_study.trial", "mlp_study.replicate", "mlp_study.owner", "mlp_study.key"
FINGERPRINT, CONVERGENCE, EPOCH, REASON = "fingerprint", "convergence", "epoch", "failure"
VERDICT, EVIDENCE, SEARCHABLE = "verdict", "evidence", "searchable"

LONGEST_PARAMETER = 6000  # characters; MLflow refuses more
# the experiment that every store of MLflow has
DEFAULT = "Default"
TRIAL_NAME = re.compile(r"trial ([0-9]+(?:/[0-9]+)?)")

# the status of the runs of a trial that ended in a state
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def parameter(text: str) -> str:
    """A setting as MLflow takes it; the whole of a long one is in the run's `config.yaml`."""
    return text if len(text) <= LONGEST_PARAMETER else f"{text[: LONGEST_PARAMETER - 1]}…"


def address(study: str, run: str) -> str:
    """Of a run by its name: STUDY/12 of trial 12, STUDY/12/3 of its replicate 3, and both names of a run with one of its own."""
    numbered = TRIAL_NAME.fullmatch(run)
    return f"{study}/{numbered[1]}" if numbered else f"{study}, {run}"
