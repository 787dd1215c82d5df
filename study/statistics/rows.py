"""Intervals over rows: the error of a mean over test rows that comes from their being few.

The other intervals are over replicates: other seeds on the same rows. These are about other rows for the same model. Rows are drawn
again with replacement (the bootstrap), and one draw serves all models, so that their differences are paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from study.records.arrays import Array, Doubles

RESAMPLES = 2000
# Poisson(1) in 256ths, a byte for a draw: its mean and variance are 1 exactly, its third central moment 0.98
WEIGHTS = np.repeat(np.arange(6, dtype=np.float32), [94, 95, 46, 16, 4, 1])
MOST_UNITS = 10_000  # beyond, rows are merged at random: the variance of the mean stays, and the time too
CHUNK = 2**18  # weights at a time, which fit into the cache


@dataclass(frozen=True)
class RowEstimate:
    """A value and the ends of its interval over rows; NaN for a single row, which shows no spread, and for infinite values."""

    value: float
    low: float
    high: float


def means(
    values: Doubles, generator: np.random.Generator, groups: Array | None = None, confidence: float = 0.95
) -> list[RowEstimate]:
    """Return the mean of each row of `values`, with its bootstrap interval over the columns.

    values: [k, n], such as the losses of k models on n test rows; for a paired difference of two models, the differences of their
    losses. groups: [n], equal for rows that belong together, which are then drawn together.

    The interval is BCa (Efron 1987) with Student's t in place of the normal quantile (Hesterberg 2015, "expanded"), without which
    it is too short for few rows. It needs no normal losses, and the interval of a monotone function of a mean, such as an RMSE's of
    the mean square, is the function of its ends.
    """
    centres = values.mean(axis=1)
    finite = np.isfinite(centres)
    excess = np.where(finite[:, None], values - np.where(finite, centres, 0)[:, None], 0)
    units = np.arange(values.shape[1]) if groups is None else np.unique(groups, return_inverse=True)[1]
    if (count := int(units.max()) + 1) > MOST_UNITS:
        units = generator.permutation(count)[units] % MOST_UNITS
    sizes = np.bincount(units)
    sums: Doubles = np.stack([np.bincount(units, row) for row in excess])
    scales = np.abs(sums).max(axis=1)
    sums = sums / np.where(scales > 0, scales, 1)[:, None]
    shifts = _resampled(sums, sizes, generator) * scales[:, None]
    return [
        _estimate(centre, shift, total, confidence) if known else RowEstimate(centre, math.nan, math.nan)
        for centre, shift, total, known in zip(centres.tolist(), shifts, sums, finite & (len(sizes) > 1), strict=True)
    ]


def weighted(values: Doubles, weights: Array | None) -> Doubles:
    """Return values [k, n] whose means are the weighted means of `values`, and vary over resamples as these do, to first order.

    weights: [n], with mean 1; None leaves the values. (A weighted mean is a ratio of means; this is its linearisation.)
    """
    if weights is None:
        return values
    centres = (values * weights).mean(axis=1, keepdims=True)
    return centres + weights * (values - centres)


def _resampled(sums: Doubles, sizes: Array, generator: np.random.Generator) -> Doubles:
    """Return the mean of each resample, [k, RESAMPLES]. sums: of each unit's values, [k, m]; sizes: rows of each unit, [m]."""
    stacked = np.concatenate([sums, sizes[None]]).astype(np.float32)
    chunk = max(1, CHUNK // len(sizes))
    drawn = []
    for start in range(0, RESAMPLES, chunk):
        shape = min(chunk, RESAMPLES - start), len(sizes)
        weights = np.take(WEIGHTS, np.frombuffer(generator.bytes(math.prod(shape)), np.uint8).reshape(shape))
        drawn.append(stacked @ weights.T)
    totals = np.concatenate(drawn, axis=1).astype(np.float64)
    return totals[:-1] / np.maximum(totals[-1], 1)  # a resample without a row has sums of zero


def _estimate(centre: float, shifts: Doubles, sums: Doubles, confidence: float) -> RowEstimate:
    low, high = centre + np.quantile(shifts, _levels(sums, shifts, confidence))
    return RowEstimate(centre, float(low), float(high))


def _levels(sums: Doubles, shifts: Doubles, confidence: float) -> Doubles:
    """Return the levels of the resamples' quantiles that are the interval's ends, [2]."""
    m = len(sums)
    tail = scipy.special.stdtrit(m - 1, (1 + confidence) / 2) * math.sqrt(m / (m - 1))
    below = (np.mean(shifts < 0) + np.mean(shifts <= 0)) / 2
    bias = scipy.special.ndtri(np.clip(below, 1 / len(shifts), 1 - 1 / len(shifts)))
    square = np.sum(sums**2)
    acceleration = np.sum(sums**3) / (6 * square**1.5) if square > 0 else 0.0
    z = bias + np.array([-tail, tail])
    # beyond its pole the correction would swap the ends, which few rows and a high confidence come to
    return scipy.special.ndtr(bias + z / np.maximum(1 - acceleration * z, 1e-9))
