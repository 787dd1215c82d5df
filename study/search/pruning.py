"""Stops trials in mid-training, by the reports of all of a study's processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna

from study.records.cohort import Leg
from study.search import attributes
from study.search import storage as storages
from study.search.kinds import LOSSES, make_pruner
from study.search.mirror import latest, place_of
from study.search.stored import load, mirror_of, stored_trial


def pruner(storage: str, name: str, number: int, settings: Mapping[str, Any]) -> Callable[[Leg], bool]:
    """Return a function that reports a leg of trial `number` to the study and returns whether to stop the trial."""
    made = make_pruner(settings)
    if isinstance(made, optuna.pruners.NopPruner):
        return lambda leg: False
    study, mirror = load(storage, name), mirror_of(storage, name)
    stored, trial = study._storage, stored_trial(study, number)
    place, losses = place_of(trial), dict[str, list[float]]()

    def stop(leg: Leg) -> bool:
        with storages.errors(storage):
            stored.set_trial_intermediate_value(trial._trial_id, leg.epochs_done, float(np.mean(leg.current)))
            if settings["name"] == "wilcoxon":
                losses[str(leg.epochs_done)] = leg.current.tolist()
                attributes.keep_with_trial(study, trial._trial_id, LOSSES, losses)
            mirror.sync(latest(study.get_trials(deepcopy=False)))
            before = set(mirror.trial(place).system_attrs)
            answer = made.prune(mirror.study, mirror.trial(place))
            # a pruner's own notes, such as the rungs that a trial has reached, are for the other processes too
            for key, value in mirror.trial(place).system_attrs.items():
                if key not in before:
                    stored.set_trial_system_attr(trial._trial_id, key, value)
            return answer

    return stop
