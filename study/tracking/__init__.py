"""MLflow: an experiment a study, a run a trial, a child run a replicate. The only package that imports MLflow."""

from __future__ import annotations

import logging
import os

# read by MLflow at its import or at each request
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_TRUNCATE_LONG_VALUES", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from study.tracking.reader import load_networks
from study.tracking.recorder import NoRecorder, TrialRecorder
from study.tracking.store import Store, connect

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.WARNING)

__all__ = ["NoRecorder", "Store", "TrialRecorder", "connect", "load_networks"]
