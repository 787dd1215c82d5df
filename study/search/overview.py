"""Lists the studies of a storage, and deletes one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.trial import TrialState

from study import processes
from study.errors import BadInput
from study.search import attributes
from study.search import storage as storages
from study.search.mirror import latest
from study.search.stored import (
    WINNER,
    at_work,
    drivers,
    load,
    mirror_of,
    names,
    objectives_of,
    records_of,
    settings_of,
    silent_trials,
)
from study.settings.values import Value
from study.statistics.objectives import Objective


@dataclass(frozen=True)
class Overview:
    """A study in short.

    settings: the fixed ones; replicates: the fewest and the most that a completed trial has, None without one; states: how many
    trials are in which state (see `TrialRecord`); best: the best trial and its value of the first objective; started, ended: of the
    first and the last trial, in that machine's local time.
    """

    name: str
    objectives: tuple[Objective, ...]
    settings: dict[str, Value]
    replicates: tuple[int, int] | None
    states: dict[str, int]
    best: tuple[int, float] | None
    started: datetime | None
    ended: datetime | None


def overviews(storage: str) -> list[Overview]:
    """Return all studies, the one with the newest trials first."""
    studies = [_overview(storage, name) for name in names(storage)]
    return sorted(studies, key=lambda study: study.ended or study.started or datetime.min, reverse=True)


def _overview(storage: str, name: str) -> Overview:
    with storages.errors(storage):
        study = load(storage, name)
        trials = latest(study.get_trials(deepcopy=False))
        kept, records = attributes.of_study(study), records_of(study)
    objectives = objectives_of(kept)
    first = objectives[0]
    done = [
        (record.number != kept.get(WINNER), first.sign * record.values[0], record.number)
        for record in records
        if record.summary and record.values
    ]
    counts = [len(record.summary.val_losses) for record in records if record.summary]
    moments = [moment for trial in trials for moment in (trial.datetime_start, trial.datetime_complete) if moment]
    return Overview(
        name=name,
        objectives=objectives,
        settings=settings_of(kept),
        replicates=(min(counts), max(counts)) if counts else None,
        states=dict(Counter(record.state for record in records)),
        best=(min(done)[2], first.sign * min(done)[1]) if done else None,
        started=min(moments, default=None),
        ended=max(moments, default=None),
    )


def best(storage: str, name: str) -> int | None:
    """Return the number of a study's best trial by its first objective; None if it has none, or there is no such study."""
    best_trial = _overview(storage, name).best if name in names(storage) else None
    return best_trial[0] if best_trial else None


def in_work(storage: str, name: str) -> list[str]:
    """Return what works on a study: its drivers on this machine, and the trials in work, which may run on another one."""
    with storages.errors(storage):
        study = load(storage, name)
        silent = silent_trials(study)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        launches = [f"process {processes.number_of(owner)}" for owner in drivers(study)]
        return [*launches, *(f"trial {trial.number}" for trial in running if at_work(trial, silent))]


def delete(storage: str, name: str) -> None:
    """Delete a study and all its trials. Raises BadInput if there is none of this name."""
    with storages.errors(storage):
        backend = storages.backend(storage)  # opening it takes the lock that a claim holds
        with storages.claim(storage):
            try:
                optuna.delete_study(study_name=name, storage=backend)
            except KeyError as error:
                raise BadInput(f"there is no study {name!r} in {storage}") from error
    load.cache_clear()
    mirror_of.cache_clear()
