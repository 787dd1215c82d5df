"""What each searched setting does to the loss, beside what the seeds alone do: an effect below the noise is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.records import Scalar, TrialRecord

FEWEST_TRIALS = 8
BINS = 3  # into which the values of a continuous setting are cut, equally many trials in each


@dataclass(frozen=True)
class SettingEffect:
    """importance: by PED-ANOVA (arXiv:2304.10255), the shares sum to 1; None where Optuna gives none.

    effect: SD of the trials' mean loss between the setting's values, noise: SD of such a mean over other seeds.
    """

    key: str
    importance: float | None
    effect: float
    noise: float

    @property
    def below_noise(self) -> bool:
        return self.effect <= self.noise


def effects(records: Sequence[TrialRecord], importances: Mapping[str, float]) -> list[SettingEffect]:
    """Of each setting that several completed trials share values of; the most important first. Nothing for few trials.

    The effect is the variance component between values of a one-way analysis of variance, (MS between − MS within) / trials a
    value: what the other settings do counts as noise within. The noise is the root of the mean over trials of the replicates'
    variance over their number.
    """
    done = [record for record in records if record.summary and np.isfinite(record.summary.val_loss_mean)]
    if len(done) < FEWEST_TRIALS:
        return []
    means = np.array([record.summary.val_loss_mean for record in done if record.summary])
    errors = [record.summary.val_loss_std**2 / len(record.summary.val_losses) for record in done if record.summary]
    noise = float(np.sqrt(np.mean(errors)))
    found = []
    for key in dict.fromkeys(key for record in done for key in record.params):
        has = [place for place, record in enumerate(done) if key in record.params]
        groups = _groups([done[place].params[key] for place in has], means[has])
        if len(groups) > 1:
            found.append(SettingEffect(key, importances.get(key), _between(groups), noise))
    return sorted(found, key=lambda each: (-(each.importance or 0.0), -each.effect))


def _groups(values: Sequence[Scalar], means: np.ndarray) -> list[np.ndarray]:
    """The losses by value, or by bins of equally many; those of a single trial are left out."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= BINS or not all(isinstance(value, int | float) for value in distinct):
        groups = [means[[value == each for value in values]] for each in distinct]
    else:
        groups = [means[places] for places in np.array_split(np.argsort(np.array(values, float), kind="stable"), BINS)]
    return [group for group in groups if len(group) > 1]


def _between(groups: Sequence[np.ndarray]) -> float:
    counts = np.array([len(group) for group in groups])
    total, centre = counts.sum(), np.concatenate(groups).mean()
    between = np.sum(counts * np.array([(group.mean() - centre) ** 2 for group in groups])) / (len(groups) - 1)
    within = sum(np.sum((group - group.mean()) ** 2) for group in groups) / (total - len(groups))
    a_value = (total - np.sum(counts**2) / total) / (len(groups) - 1)
    return float(np.sqrt(max(0.0, between - within) / a_value))
