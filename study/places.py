"""Where records go when nothing else is said: databases in the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from study import sqlite


def tracking_uri(configured: str | None) -> str:
    """The MLflow store: as configured, else `MLFLOW_TRACKING_URI`, else the database that a bare `mlflow ui` reads here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or sqlite.url_of(Path("mlflow.db"))


def storage(configured: str | None) -> str:
    """Optuna's storage: as configured, else the database here."""
    return configured or sqlite.url_of(Path("optuna.db"))
