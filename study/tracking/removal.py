"""A study's experiment, taken away such that its name is free again and MLflow can bring it back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from study import processes
from study.settings.rules import LONGEST_STUDY_NAME
from study.tracking import inspection, reader
from study.tracking.store import Store


@dataclass(frozen=True)
class Experiment:
    """A study's experiment in MLflow.

    size: of its artifacts in bytes, None if they lie elsewhere; at_work: the names of the runs that a process is writing.
    """

    id: str
    runs: int
    size: int | None
    at_work: list[str]


def look(store: Store, study: str) -> Experiment | None:
    """None if there is no such experiment."""
    experiment = store.experiments().get(study)
    if experiment is None:
        return None
    tops = inspection.runs(store, experiment)
    folders = [reader.local_folder(run.uri) for run in tops]
    size = None if None in folders else sum(_size(str(folder)) for folder in folders)
    at_work = [run.name for run in tops if run.statuses & inspection.OPEN and processes.alive(run.owner)]
    return Experiment(experiment, len(tops) + sum(len(run.replicates) for run in tops), size, at_work)


def retire(store: Store, experiment: str, study: str) -> str:
    """Deletes an experiment as MLflow does it, under another name; returns that."""
    mark = f" (deleted {datetime.now():%Y-%m-%d %H:%M:%S})"
    name = study[: LONGEST_STUDY_NAME - len(mark)] + mark
    store.client.rename_experiment(experiment, name)
    store.client.delete_experiment(experiment)
    return name


def _size(folder: str) -> int:
    """Return the bytes of the files in a folder, without following links."""
    return sum(os.lstat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
