"""Confidence intervals over replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special


def mean_halfwidth(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95) -> float | None:
    """Return half the width of Student's t interval for the mean; None for one value, which shows no spread."""
    n = len(values)
    if n < 2:
        return None
    quantile = special.stdtrit(n - 1, (1 + confidence) / 2)
    return float(quantile * np.std(values, ddof=1) / np.sqrt(n))


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its 95 % interval; both ends are the mean for a single pair, which shows no spread."""

    mean: float
    low: float
    high: float


def mean_of_pairs(matrix: npt.NDArray[np.float64], confidence: float = 0.95) -> MeanInterval:
    """Return the mean of a symmetric [N, N] matrix over its pairs, with the jackknife's interval over the N networks.

    Pairs share networks, so they are not independent values. The mean is a U-statistic of the networks: leaving out one network at
    a time gives its standard error (Arvesen 1969), and Student's t with N − 1 degrees of freedom the interval. A bootstrap would
    draw the same network twice, whose pair with itself is zero. Raises ValueError for fewer than two networks.
    """
    n = len(matrix)
    if n < 2:
        raise ValueError("no pair")
    sums = matrix.sum(axis=1) - np.diag(matrix)
    mean = float(sums.sum() / (n * (n - 1)))
    if n < 3:
        return MeanInterval(mean, mean, mean)
    left_out = (sums.sum() - 2 * sums) / ((n - 1) * (n - 2))
    error = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2) * error)
    return MeanInterval(mean, mean - half, mean + half)
