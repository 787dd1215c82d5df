"""All studies of a storage at a glance, and their end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.trial import TrialState

from study.errors import BadInput
from study.search import attributes
from study.search import storage as storages
from study.search.mirror import latest
from study.search.stored import OBJECTIVES, STATES, at_work, load, mirror_of, names, settings_of, silent_trials
from study.settings.values import Value
from study.statistics.objectives import Objective


@dataclass(frozen=True)
class Overview:
    """A study in short. states: how many trials are in which state, as in `TrialRecord`; best: the best trial and its value of the
    first objective; settings: the fixed ones; started, ended: of its first and its last trial, in that machine's local time."""

    name: str
    objectives: tuple[Objective, ...]
    settings: dict[str, Value]
    states: dict[str, int]
    best: tuple[int, float] | None
    started: datetime | None
    ended: datetime | None


def overviews(storage: str) -> list[Overview]:
    """Every study that is there, the one whose trials are the newest first."""
    found = [_overview(storage, name) for name in names(storage)]
    return sorted(found, key=lambda each: each.ended or each.started or datetime.min, reverse=True)


def _overview(storage: str, name: str) -> Overview:
    with storages.errors(storage):
        study = load(storage, name)
        trials = latest(study.get_trials(deepcopy=False))
        kept = attributes.of_study(study)
    objectives = tuple(Objective(**each) for each in kept.get(OBJECTIVES, [{}]))
    first = objectives[0]
    done = [(first.sign * each.values[0], each.number) for each in trials if each.state == TrialState.COMPLETE]
    moments = [moment for each in trials for moment in (each.datetime_start, each.datetime_complete) if moment]
    return Overview(
        name=name,
        objectives=objectives,
        settings=settings_of(kept),
        states=dict(Counter(STATES[each.state] for each in trials)),
        best=(min(done)[1], first.sign * min(done)[0]) if done else None,
        started=min(moments, default=None),
        ended=max(moments, default=None),
    )


def best(storage: str, name: str) -> int | None:
    """The number of a study's best trial by its first objective; None if it has none, or there is no such study."""
    found = _overview(storage, name).best if name in names(storage) else None
    return found[0] if found else None


def in_work(storage: str, name: str) -> list[int]:
    """The numbers of the trials that a process has in work, which may run on another machine."""
    with storages.errors(storage):
        study = load(storage, name)
        silent = silent_trials(study)
        return [each.number for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if at_work(each, silent)]


def delete(storage: str, name: str) -> None:
    """Deletes a study and all its trials. Raises BadInput if there is none of this name."""
    with storages.errors(storage), storages.claim(storage):
        try:
            optuna.delete_study(study_name=name, storage=storages.backend(storage))
        except KeyError as error:
            raise BadInput(f"there is no study {name!r} in {storage}") from error
    load.cache_clear()
    mirror_of.cache_clear()
