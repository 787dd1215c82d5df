"""Deleting a study: what that takes away, whether it may, and what of it can be brought back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from study import sqlite
from study.errors import BadInput, Fault
from study.reporting import report
from study.search import overview, stored
from study.settings.rules import nearest
from study.tracking import inspection, removal, spool, store
from study.tracking.removal import Experiment
from study.tracking.schema import DEFAULT
from study.tracking.store import Store


@dataclass(frozen=True)
class Removal:
    """What is there of a study: its trials in Optuna, None if it has none there, and its experiment in MLflow."""

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

    def remove(self) -> str:
        """Deletes it all; says how its runs are brought back, and how their disk space is freed. Raises Unreachable."""
        told = [f"deleted {self}"]
        if self.opened and self.experiment:
            with inspection.errors(self.uri):
                name = removal.retire(self.opened, self.experiment.id, self.name)
            number, url = self.experiment.id, shlex.quote(self.uri)
            clean = f"mlflow gc --backend-store-uri {url} --experiment-ids {number}"
            if self.opened.remote:
                clean = f"where the server runs, with its own database: mlflow gc --backend-store-uri … --experiment-ids {number}"
            told += [
                f"its runs are kept as {name!r} until MLflow's own clean-up:",
                f"  bring them back: MLFLOW_TRACKING_URI={url} mlflow experiments restore --experiment-id {number}",
                f"  free the disk:   {clean if self.opened.remote else f'MLFLOW_TRACKING_URI={url} {clean}'}",
            ]
        # last, so that what is cut off can be done again
        if self.trials is not None:
            overview.delete(self.storage, self.name)
        return "\n".join(told)


def look(storage: str, uri: str, name: str) -> Removal:
    """Raises BadInput if there is no study of this name, or if a process has it in work."""
    names = stored.names(storage) if sqlite.is_there(storage) else []
    opened = store.connect(uri) if sqlite.is_there(uri) else None
    with inspection.errors(uri):
        experiment = removal.look(opened, name) if opened else None
        known = [each for each in {**dict.fromkeys(names), **(opened.experiments() if opened else {})} if each != DEFAULT]
    if name not in known:
        raise BadInput([Fault("STUDY", name, f"one of: {nearest(name, known) or 'none yet'}")])
    trials = len(stored.attempts(storage, name)) if name in names else None
    busy = [f"trial {number}" for number in overview.in_work(storage, name)] if trials else []
    if busy := busy or (experiment.at_work if experiment else []):
        raise BadInput([Fault("STUDY", name, f"a study that no process has in work; this one's {', '.join(busy[:3])} is")])
    if any(each.study == name for each in spool.recorded()):
        raise BadInput([Fault("STUDY", name, "a study whose records are all in MLflow: `mlp-study doctor --repair` sends them")])
    return Removal(name, storage, uri, trials, opened, experiment)
