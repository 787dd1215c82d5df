"""Opens a study in Optuna's storage, keeps results with its trials, and finds those that are in work."""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb.models import NOT_FOUND_MSG
from optuna.trial import FrozenTrial, TrialState

from study import processes
from study.errors import BadInput, Corrupt
from study.records.outcome import Completed, TrialResult
from study.search import attributes
from study.search import storage as storages
from study.search.mirror import Mirror
from study.search.records import DRIVERS, OWNER, RESULT, Contents, damage_of, record_of, uncounted


@cache
def load(storage: str, name: str) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler()  # never asked
    return optuna.load_study(study_name=name, storage=storages.backend(storage), sampler=sampler)


@cache
def mirror_of(storage: str, name: str) -> Mirror:
    return Mirror(load(storage, name).directions)


def names(storage: str) -> list[str]:
    with storages.errors(storage):
        return optuna.get_all_study_names(storages.backend(storage))


def read(storage: str, name: str) -> Contents:
    """Read what a storage has of a study. Raises KeyError if there is none of this name, and Corrupt for damaged values."""
    with storages.errors(storage):
        try:
            study = load(storage, name)
        except KeyError:  # one that `errors` would take for a study that has been deleted meanwhile
            study = None
        if study is not None:
            try:
                return contents(study)
            except (LookupError, TypeError, ValueError) as error:  # of what decodes a value
                if NOT_FOUND_MSG in error.args:
                    raise
                raise Corrupt(f"{storages.KEY} {storage}: study {name} has a value that isn't readable: {error!r}") from error
    raise KeyError(name)


def contents(study: optuna.Study) -> Contents:
    return Contents(attributes.of_study(study), study.get_trials(deepcopy=False))


def stored_trial(study: optuna.Study, number: int) -> FrozenTrial:
    stored = study._storage
    return stored.get_trial(stored.get_trial_id_from_study_id_trial_number(study._study_id, number))


def keep(storage: str, name: str, number: int, result: TrialResult) -> None:
    """Keep the result of a job whose trial is recorded: from here on it survives whatever happens to the driver."""
    with storages.errors(storage), suppress(UpdateFinishedTrialError):  # ended as interrupted meanwhile: it is run again
        study = load(storage, name)
        keep_result(study, stored_trial(study, number)._trial_id, result)


def keep_result(study: optuna.Study, trial_id: int, result: TrialResult) -> None:
    """Keep a trial's result in one write, and before it the values for people."""
    kept = kept_of(result)
    for key, shown in {attributes.RUN_ID: kept["run_id"], attributes.REASON: kept.get("reason")}.items():
        if shown:
            study._storage.set_trial_user_attr(trial_id, key, shown)
    attributes.keep_with_trial(study, trial_id, RESULT, kept)


def kept_of(result: TrialResult) -> dict[str, Any]:
    """Return a result as plain values."""
    kept = {"run_id": result.run_id, "seconds": result.seconds, "state": result.outcome.state}
    if isinstance(result.outcome, Completed):
        return kept | {"summary": asdict(result.outcome.summary)}
    return kept | {"reason": result.outcome.reason}


@dataclass(frozen=True)
class Attempt:
    """An attempt at a trial.

    state: as in `TrialRecord`; counted: whether it stands, and isn't made again; left: whether it is in work by a process that is
    gone; elsewhere: the machine that has it in work, where nobody knows whether it still does.
    """

    number: int
    state: str
    counted: bool
    left: bool
    elsewhere: str
    run_id: str | None
    reason: str | None


def attempts(storage: str, name: str) -> list[Attempt]:
    """Return all attempts of a study, those too that are made again."""
    with storages.errors(storage):
        study = load(storage, name)
        trials, silent = study.get_trials(deepcopy=False), silent_trials(study)
    with damage_of(name):
        records = [record_of(trial) for trial in trials]
    return [
        Attempt(
            number=record.number,
            state=record.state,
            counted=not uncounted(trial),
            left=trial.state == TrialState.RUNNING and not at_work(trial, silent),
            elsewhere=elsewhere(trial),
            run_id=record.run_id,
            reason=record.reason,
        )
        for trial, record in zip(trials, records, strict=True)
    ]


def silent_trials(study: optuna.Study) -> set[int]:
    """Return the ids of trials whose driver, perhaps on another machine, has stopped giving signs of life."""
    heart = storages.heart(study._storage)
    return set(heart._get_stale_trial_ids(study._study_id)) if heart else set()


def drivers(study: optuna.Study) -> list[str]:
    """Return the owners of other processes that have this study open, and still run."""
    listed = attributes.of_study(study).get(DRIVERS, [])
    return [owner for owner in listed if processes.runs(owner) and not processes.is_own(owner)]


def at_work(trial: FrozenTrial, silent: Set[int]) -> bool:
    """Return whether another process than this one may still have a trial in work."""
    owner = attributes.of_trial(trial, OWNER)
    if processes.is_own(owner):
        return False
    runs = processes.runs(owner)
    return trial._trial_id not in silent if runs is None else runs


def elsewhere(trial: FrozenTrial) -> str:
    """Return the machine that has a trial in work, where nobody knows whether it still does; empty for any other trial."""
    return processes.unknown_host(attributes.of_trial(trial, OWNER)) if trial.state == TrialState.RUNNING else ""


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
