"""Keeps mlp-study's own values with a study and its trials, beside what Optuna itself needs.

They are system attributes, which Optuna's command line and its dashboard don't show. Earlier versions kept them as user attributes,
where they are still read. Values for people are user attributes: `RUN_ID` and `REASON`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial

PREFIX = "mlp_study:"
RUN_ID, REASON = "mlflow_run_id", "reason"


def of_trial(trial: FrozenTrial, key: str, default: Any = None) -> Any:
    """Return the value that is kept with a trial under this key."""
    return trial.system_attrs.get(PREFIX + key, trial.user_attrs.get(key, default))


def of_study(study: optuna.Study) -> dict[str, Any]:
    """Return all values that are kept with a study, by key."""
    return study.user_attrs | own(study._storage.get_study_system_attrs(study._study_id))


def own(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a study's system attributes that are ours, by key."""
    return {key.removeprefix(PREFIX): value for key, value in system.items() if key.startswith(PREFIX)}


def keep_with_trial(study: optuna.Study, trial_id: int, key: str, value: Any) -> None:
    study._storage.set_trial_system_attr(trial_id, PREFIX + key, value)


def keep_with_study(study: optuna.Study, key: str, value: Any) -> None:
    study._storage.set_study_system_attr(study._study_id, PREFIX + key, value)


def system(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the system attributes of a trial that is written with these values."""
    return {PREFIX + key: value for key, value in kept.items()}


def notes(trial: FrozenTrial) -> dict[str, Any]:
    """Return the notes of a sampler and a pruner with a trial."""
    return {key: value for key, value in trial.system_attrs.items() if not key.startswith(PREFIX)}
