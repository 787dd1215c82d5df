"""Confidence intervals over replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

FEWEST_FOR_MEDIAN = 6  # the extremes of five values cover the median in 94% only
FEWEST_BLOCKS = 3  # the interval over two blocks is about ten times as wide as their difference, and says nothing


def mean_halfwidth(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95, per_block: int = 1) -> float | None:
    """Return half the width of Student's t interval for the mean; None for one value, which shows no spread.

    per_block: this many values in a row aren't independent of each other, so that the interval is over the means of whole blocks;
    None for fewer than three.
    """
    if per_block > 1:
        values = block_means(values, per_block)
        if len(values) < FEWEST_BLOCKS:
            return None
    n = len(values)
    if n < 2:
        return None
    quantile = scipy.special.stdtrit(n - 1, (1 + confidence) / 2)
    return float(quantile * np.std(values, ddof=1) / np.sqrt(n))


def block_means(values: Sequence[float] | npt.NDArray[np.float64], per_block: int) -> list[float]:
    """Return the means of `per_block` values in a row each, without a last incomplete block."""
    whole = len(values) // per_block * per_block
    return [float(mean) for mean in np.asarray(values, np.float64)[:whole].reshape(-1, per_block).mean(axis=1)]


def of_median(values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return an interval for the median: two of the sorted values, as far out as the sign test needs.

    It holds for any distribution, and covers the median at least as often as `confidence` says (David and Nagaraja, Order
    Statistics, 7.1): 97.9% for 16 values, 99.2% for 8. None for fewer than six.
    """
    count = len(values)
    beyond = scipy.special.bdtr(np.arange(count // 2), count, 0.5)  # the probability of at most so many values below the median
    left_out = int(np.sum(beyond <= (1 - confidence) / 2))
    if not left_out:
        return None
    ordered = np.sort(values)
    return float(ordered[left_out - 1]), float(ordered[count - left_out])


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its 95% interval; both ends are the mean for a single pair, which shows no spread."""

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
    half = float(scipy.special.stdtrit(n - 1, (1 + confidence) / 2) * error)
    return MeanInterval(mean, mean - half, mean + half)


def mean_of_blocks(blocks: Sequence[npt.NDArray[np.float64]], confidence: float = 0.95) -> MeanInterval:
    """Return the mean over the pairs within symmetric matrices, [n, n] each, of networks that are independent between matrices.

    For a single matrix, as `mean_of_pairs`; else Student's t interval over the matrices' means. Raises ValueError for a matrix
    without a pair.
    """
    if len(blocks) == 1:
        return mean_of_pairs(blocks[0], confidence)
    means = np.array([mean_of_pairs(block, confidence).mean for block in blocks])
    mean, half = float(means.mean()), mean_halfwidth(means, confidence) or 0.0
    return MeanInterval(mean, mean - half, mean + half)
