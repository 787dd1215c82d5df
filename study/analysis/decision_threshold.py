"""The decision threshold of two classes: the probability of the second above which it is predicted.

It is a setting, or chosen so that a score of predicted classes is best on validation rows.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from study.analysis import metrics
from study.analysis.forward import probabilities
from study.data import splits
from study.records.arrays import Array, Doubles
from study.records.cohort import Cohort
from study.records.dataset import Dataset
from study.settings.data import Data


def of_settings(data: Data) -> float | str | None:
    """Return the threshold that the settings give, or the score to choose it by; None for the likelier class."""
    return getattr(data, "threshold", None)


def of_cohort(cohort: Cohort) -> float | None:
    """Return the threshold for the mean probability of a cohort's networks; None for the likelier class.

    It is chosen on all validation rows, by the mean over the networks that were validated on a row, and so not trained on it.
    """
    setting = of_settings(cohort.spec.data)
    if not isinstance(setting, str):
        return setting
    sums = counts = np.zeros(0)
    for number, outputs in zip(cohort.spec.replicates.numbers, cohort.predictions, strict=True):
        if not np.isfinite(outputs).all():  # it has diverged
            continue
        rows, _, val = splits.replicate_parts(cohort.spec, number)
        if not len(sums):
            sums, counts = np.zeros(len(rows.y)), np.zeros(len(rows.y))
        sums[val] += probabilities(outputs)[:, 1]
        counts[val] += 1
    known = counts > 0
    return choose(sums[known] / counts[known], rows.y[known], None if rows.weights is None else rows.weights[known], setting)


def choose(second: Doubles, y: Array, weights: Array | None, score: str) -> float:
    """Return the threshold with the best score, of several alike the nearest to 0.5.

    second: the probability of the second class, [n]; y: class numbers [n]. The thresholds tried lie halfway between two
    neighbouring probabilities, and at the ends, where all rows are of one class.
    """
    order = np.argsort(second)
    ordered, labels = second[order], y[order]
    counted = np.ones(len(y)) if weights is None else weights[order].astype(np.float64)
    ends = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1, len(ordered)]  # so many rows are of the first class
    between = np.r_[0.0, (ordered[ends[1:-1] - 1] + ordered[ends[1:-1]]) / 2, 1.0]

    def below(of: Doubles) -> Doubles:
        return np.r_[0, np.cumsum(of)][ends]

    rows = np.bincount(labels, counted, 2).astype(np.float64)
    first = below(counted)
    right = np.stack([below(counted * (labels == 0)), rows[1] - below(counted * (labels == 1))], axis=1)
    values = metrics.OF_COUNTS[score](right, rows, np.stack([first, rows.sum() - first], axis=1))
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(between[best[np.argmin(np.abs(between[best] - 0.5))]])


def decided(outputs: Array, threshold: float | Doubles | None) -> Array:
    """Return outputs whose likelier class is the one that the threshold decides for, like `outputs` [..., n, units].

    threshold: one for all rows, or [n]; None changes nothing.
    """
    if threshold is None:
        return outputs
    moved = outputs.astype(np.float64)
    moved[..., -1] -= special.logit(threshold)
    return moved


def of_replicate(outputs: Array, data: Dataset, settings: Data) -> Array:
    """Return a replicate's outputs for its validation rows, [1, n, units], as `decided` does.

    A threshold that is chosen comes from the other half of the rows: by its own, a score would flatter.
    """
    setting = of_settings(settings)
    if not isinstance(setting, str):
        return decided(outputs, setting)
    second, half = probabilities(outputs)[0, :, 1], _halves(data.y_val)
    thresholds = np.empty(len(half))
    for own in (0, 1):
        other = half != own
        weights = None if data.weights_val is None else data.weights_val[other]
        thresholds[half == own] = choose(second[other], data.y_val[other], weights, setting)
    return decided(outputs, thresholds)


def _halves(y: Array) -> Array:
    """Return 0 or 1 for each row, [n]: in turn among the rows of its class."""
    half = np.empty(len(y), int)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        half[members] = np.arange(len(members)) % 2
    return half
