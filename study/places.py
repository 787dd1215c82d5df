"""Where records go, when nothing else is said to databases in the working directory, and whether a server there answers."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from study import sqlite
from study.errors import BadInput, Fault, Unreachable


def cache(name: str) -> Path:
    """A folder of ours for what can be made again; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlp-study" / name


def tracking_uri(configured: str | None) -> str:
    """The MLflow store: as configured, else `MLFLOW_TRACKING_URI`, else the database that a bare `mlflow ui` reads here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or sqlite.url_of(Path("mlflow.db"))


def storage(configured: str | None) -> str:
    """Optuna's storage: as configured, else the database here. Raises BadInput for a password in the URL."""
    _refuse_credentials(
        "hydra.sweeper.storage", configured or "", "a URL without a password; PostgreSQL reads PGPASSWORD or ~/.pgpass"
    )
    return configured or sqlite.url_of(Path("optuna.db"))


def check(tracking_uri: str) -> None:
    """Raises BadInput for credentials in the URL, and Unreachable if a server doesn't answer within five seconds."""
    instead = "a URL without a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
    _refuse_credentials("tracking.uri", tracking_uri, instead)
    if urllib.parse.urlsplit(tracking_uri).scheme not in ("http", "https"):
        return
    try:
        with urllib.request.urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=5):
            return
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in is for MLflow to find out
    except (OSError, ValueError) as error:
        raise Unreachable(f"tracking.uri {tracking_uri}: no MLflow server answers: {getattr(error, 'reason', error)}") from error


def _refuse_credentials(key: str, url: str, valid: str) -> None:
    """A password in a URL would end up in logs, records and process lists."""
    password = urllib.parse.urlsplit(url).password
    if password:
        raise BadInput([Fault(key, url.replace(password, "***"), valid)])
