"""Delete a study: check that no process uses it, and say how to restore its runs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from study import sqlite
from study.errors import BadInput, Fault
from study.reporting import report
from study.search import reading, stored
from study.settings.rules import one_of_names
from study.tracking import inspection, removal, spool, store
from study.tracking.removal import Experiment
from study.tracking.schema import DEFAULT
from study.tracking.store import Store


@dataclass(frozen=True)
class Removal:
    """A study's records to delete. trials: in Optuna, None if it isn't there; experiment: in MLflow."""

    name: str
    storage: str
    uri: str
    trials: int | None
    opened: Store | None
    experiment: Experiment | None

    def __str__(self) -> str:
        parts = [f"{self.trials} trials in {self.storage}"] if self.trials is not None else []
        if self.experiment:
            size = "" if self.experiment.size is None else f" with {report.size_text(self.experiment.size)} of artifacts"
            parts.append(f"{self.experiment.runs} runs{size} in {self.uri}")
        return f"study {self.name}: {' and '.join(parts)}"

    def remove(self) -> list[str]:
        """Delete everything; return lines on how to restore the runs and to free their disk space. Raises Unreachable."""
        lines = [f"deleted {self}"]
        if self.opened and self.experiment:
            with inspection.errors(self.uri):
                name = removal.retire(self.opened, self.experiment.id, self.name)
            number, url = self.experiment.id, shlex.quote(self.uri)
            clean = f"mlflow gc --backend-store-uri {url} --experiment-ids {number}"
            if self.opened.remote:
                clean = f"on the server, with its own database: mlflow gc --backend-store-uri … --experiment-ids {number}"
            lines += [
                f"MLflow keeps its runs as {name!r} until garbage collection:",
                f"  restore them:  MLFLOW_TRACKING_URI={url} mlflow experiments restore --experiment-id {number}",
                f"  free the disk: {clean if self.opened.remote else f'MLFLOW_TRACKING_URI={url} {clean}'}",
            ]
        # last, so that an interrupted deletion can be repeated
        if self.trials is not None:
            stored.delete(self.storage, self.name)
        return lines


def look(storage: str, uri: str, name: str) -> Removal:
    """Find a study's records. Raises BadInput if there is no such study, or if a process is working on it."""
    names = reading.names(storage) if sqlite.is_there(storage) else []
    opened = store.connect(uri) if sqlite.is_there(uri) else None
    with inspection.errors(uri):
        experiment = removal.look(opened, name) if opened else None
        known = [other for other in {**dict.fromkeys(names), **(opened.experiments() if opened else {})} if other != DEFAULT]
    if name not in known:
        raise BadInput([Fault("STUDY", name, one_of_names(name, known))])
    trials = len(stored.attempts(storage, name)) if name in names else None
    busy = stored.in_work(storage, name) if name in names else []
    if busy := busy or (experiment.at_work if experiment else []):
        raise BadInput([Fault("STUDY", name, f"a study that isn't running; {', '.join(busy[:3])} of this one is")])
    if any(record.study == name for record in spool.recorded()):
        raise BadInput([Fault("STUDY", name, "a study whose records are all in MLflow; `mlp-study doctor --repair` sends them")])
    return Removal(name, storage, uri, trials, opened, experiment)
