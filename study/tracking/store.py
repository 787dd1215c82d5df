"""Opening an MLflow store, and what concerns a whole study in it."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from study import sqlite
from study.errors import BadInput, Corrupt, Fault, Unreachable
from study.tracking.names import KIND, REASON, TRIAL


@dataclass(frozen=True)
class Store:
    """An MLflow store that answers."""

    client: MlflowClient
    uri: str

    def experiment(self, name: str) -> str:
        """The experiment's id; made at first use, with its artifacts under ./mlruns if the store is a local database."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            local = sqlite.path_of(self.uri)
            location = (local.parent / "mlruns" / _safe(name)).as_uri() if local else None
            try:
                created: str = self.client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
                return created
            except MlflowException:
                found = self.client.get_experiment_by_name(name)  # made by another process since we looked
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise BadInput([Fault("study_name", name, "another name, or restore the deleted MLflow experiment of this name")])
        return str(found.experiment_id)

    def reap(self, experiment: str, trial: int) -> None:
        """Closes the runs that an interrupted attempt at this trial left open."""
        condition = f"tags.`{TRIAL}` = '{trial}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([experiment], condition):
            self.client.set_tag(run.info.run_id, REASON, "abandoned: its process ended")
            self.client.set_terminated(run.info.run_id, "KILLED")

    def log_study(self, experiment: str, name: str, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:
        """The study's own run, kept up to date: one an experiment."""
        found = self.client.search_runs([experiment], f"tags.`{KIND}` = 'study'", max_results=1)
        run = found[0] if found else self.client.create_run(experiment, run_name=name, tags={KIND: "study"})
        self.client.log_batch(run.info.run_id, tags=[RunTag(key, text) for key, text in tags.items()])
        for file, text in texts.items():
            self.client.log_text(run.info.run_id, text, file)
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)


EXPERIMENT_TAGS = {
    "mlflow.experiment.primaryMetric.name": "val_loss_mean",
    "mlflow.note.content": (
        "A study by mlp-study. Each *trial* run is one sampled setting; its child runs are its *replicates*: the same setting "
        "trained from other seeds. `fingerprint` is the sha256 of a replicate's final weights, `distance` the mean relative L2 "
        "distance between a trial's replicates (√2 ≈ 1.41 is what unrelated networks give)."
    ),
}


@cache
def connect(uri: str) -> Store:
    """Opens the store, which is created if it is a SQLite database that doesn't exist yet.

    Raises Unreachable if a server doesn't answer within five seconds.
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.password:
        valid = "a URL without credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        raise BadInput([Fault("tracking.uri", uri.replace(parts.password, "***"), valid)])
    if parts.scheme in ("http", "https"):
        _ping(uri)
    path = sqlite.ensure(uri, sqlite.MLFLOW_SCHEMA)
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise (Corrupt if path else Unreachable)(f"tracking.uri {uri}: {_first_line(error)}") from error
    return Store(client, uri)


def _ping(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5):
            return
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in is for MLflow to find out
    except (OSError, ValueError) as error:
        raise Unreachable(f"tracking.uri {uri}: no MLflow server answers: {getattr(error, 'reason', error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "study"
