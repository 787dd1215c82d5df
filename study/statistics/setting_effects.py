"""The mean effect of each searched setting on the objective over the trials, and the effect that chance alone would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from study.records.arrays import Scalar
from study.records.trial import TrialRecord
from study.statistics.objectives import Objective, unlike
from study.statistics.ranking import ERROR

FEWEST_TRIALS = 8
BINS = 3  # for the values of a continuous setting, with equally many trials in each


@dataclass(frozen=True)
class SettingEffect:
    """The effect of one setting.

    effect: SD of the trials' means between the setting's values. chance: the largest SD, with 95% for all settings together, of a
    setting without effect: the other settings and the seeds move a value's mean too.
    """

    key: str
    effect: float
    chance: float

    @property
    def shown(self) -> bool:
        return self.effect > self.chance


def effects(records: Sequence[TrialRecord], objective: Objective) -> list[SettingEffect]:
    """Return the effect of each setting whose values several completed trials share; the largest first.

    Returns nothing for few trials, or for trials that can't be compared. It is a one-way analysis of variance per setting: `effect`
    is the root of MS_between / n and `chance` that of F · MS_within / n, with n trials per value, and F the quantile of Fisher's
    distribution (Bonferroni over the settings). The effects of the other settings count as noise within a value.
    """
    done = [record for record in records if record.summary and record.value is not None and np.isfinite(record.value)]
    if len(done) < FEWEST_TRIALS or unlike(done, objective):
        return []
    groups = {}
    for key in dict.fromkeys(key for record in done for key in record.params):
        having = [record for record in done if key in record.params]
        parts = _groups([record.params[key] for record in having], np.array([record.value for record in having]))
        if len(parts) > 1:
            groups[key] = parts
    setting_effects = [_effect(key, parts, 1 - ERROR / len(groups)) for key, parts in groups.items()]
    return sorted(setting_effects, key=lambda setting: -setting.effect)


def _groups(values: Sequence[Scalar], means: np.ndarray) -> list[np.ndarray]:
    """Group the trials' means by value, or by bins with equally many trials; leave out groups of a single trial."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= BINS or not all(isinstance(value, int | float) for value in distinct):
        groups = [means[[value == level for value in values]] for level in distinct]
    else:
        # the trials of one value stay together, in the bin of their middle rank
        order = np.sort(np.array(values, float))
        middle = np.array([np.flatnonzero(order == value).mean() for value in np.array(values, float)])
        bins = (BINS * (middle + 0.5) / len(order)).astype(int)
        groups = [means[bins == number] for number in range(BINS)]
    return [group for group in groups if len(group) > 1]


def _effect(key: str, groups: Sequence[np.ndarray], confidence: float) -> SettingEffect:
    counts = np.array([len(group) for group in groups])
    total, between_df = int(counts.sum()), len(groups) - 1
    centre = np.concatenate(groups).mean()
    between = np.sum(counts * np.array([(group.mean() - centre) ** 2 for group in groups])) / between_df
    within = sum(np.sum((group - group.mean()) ** 2) for group in groups) / (total - len(groups))
    a_value = (total - np.sum(counts**2) / total) / between_df
    quantile = scipy.special.fdtri(between_df, total - len(groups), confidence)
    return SettingEffect(key, float(np.sqrt(between / a_value)), float(np.sqrt(quantile * within / a_value)))
