"""Mirrors a study's trials in memory for samplers and pruners, as an uninterrupted run would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.search import attributes
from study.search.kinds import LOSSES

PLACE = "place"
RUNG = "completed_rung_"
NOTHING: Mapping[str, object] = MappingProxyType({})


def place_of(trial: FrozenTrial) -> int:
    """Return a trial's place in the study, from 0; a trial that is run again keeps it."""
    place: int = attributes.of_trial(trial, PLACE, trial.number)
    return place


def latest(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the last attempt at each place, in their order, without unfinished trials of other programs."""
    last = {place_of(trial): trial for trial in trials if attributes.of_trial(trial, PLACE) is not None or _ended(trial)}
    return [last[place] for place in sorted(last)]


class Mirror:
    """An in-memory study of the last attempts, each with its place for a number.

    So neither interrupted attempts nor their numbers change what is sampled or pruned, samplers don't wait for a database, and a
    new trial is written to the database whole, in one step.
    """

    def __init__(self, directions: Sequence[optuna.study.StudyDirection]) -> None:
        self._storage = InMemoryStorage()
        # Hyperband draws by the study's name: a constant one makes equal studies equal
        self.study = optuna.create_study(storage=self._storage, study_name="study", directions=list(directions))
        self._ids: list[int] = []
        self._finished: list[bool] = []

    def sync(self, attempts: Sequence[FrozenTrial]) -> None:
        """Take over what is new. attempts: the result of `latest`."""
        for place, trial in enumerate(attempts):
            if place == len(self._ids):
                self._ids.append(self._storage.create_new_trial(self.study._study_id, _template(trial)))
                self._finished.append(_ended(trial))
            if not self._finished[place]:
                self._update(place, trial)

    def _update(self, place: int, trial: FrozenTrial) -> None:
        if trial.state == TrialState.FAIL:
            return
        mirrored = self._ids[place]
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(mirrored, step, value)
        for key, value in attributes.notes(trial).items():
            self._storage.set_trial_system_attr(mirrored, key, value)
        for key, losses in _kept(trial).items():
            self._storage.set_trial_user_attr(mirrored, key, losses)
        if _ended(trial):
            self._storage.set_trial_state_values(mirrored, trial.state, trial.values)
            self._finished[place] = True

    def trial(self, place: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[place])

    def ask(self, sampler: optuna.samplers.BaseSampler, params: Mapping[str, Any] | None = None) -> optuna.Trial:
        """Make a new trial at the next place. params: its settings, where the sampler doesn't choose them."""
        self.study.sampler = sampler
        if params is not None:
            self.study.enqueue_trial(dict(params))
        trial = self.study.ask()
        self._ids.append(trial._trial_id)
        self._finished.append(False)
        return trial


def _ended(trial: FrozenTrial) -> bool:
    """Return whether a trial has a result for samplers and pruners. A failed one has none, and may be made again."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _kept(trial: FrozenTrial) -> Mapping[str, object]:
    losses = attributes.of_trial(trial, LOSSES)
    return {LOSSES: losses} if losses else {}


def sampled(trial: FrozenTrial, kept: Mapping[str, object] = NOTHING) -> FrozenTrial:
    """Return a trial in work with the sampled settings of this one, without its results. kept: `attributes` of the new one."""
    # a sampler's notes stay, a pruner's go
    notes = {key: value for key, value in attributes.notes(trial).items() if not key.startswith(RUNG)}
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=notes | attributes.system(kept),
    )


def _template(trial: FrozenTrial) -> FrozenTrial:
    if not _ended(trial):
        return sampled(trial)
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=dict(_kept(trial)),
        system_attrs=attributes.notes(trial),
        intermediate_values=trial.intermediate_values,
    )
