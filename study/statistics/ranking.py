"""Rank settings by paired differences over replicates, and decide when the data show that one is better."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from study.records.arrays import Array
from study.statistics import intervals, rounds

ERROR = 0.05  # for all comparisons with the best together
POWER = 0.8
# the normality of a smaller sample can't be judged, and its t interval is so wide that it shows almost nothing
FEWEST = 5
MOST_NEEDED = 1_000  # nobody trains more of one setting to decide about a difference so small

Values = Sequence[float] | Array


@dataclass(frozen=True)
class PairedDifference:
    """The mean of the second's values minus the first's, over pairs of replicates that share their seeds.

    replicates: how many are paired; pairs: how many of these are independent, which are means over the replicates of a split where
    several share one. halfwidth: of Student's t interval over them; None for a single one, and for two splits. needed: the number
    of replicates that show a difference of this size and spread with a probability of POWER; None where it exceeds MOST_NEEDED, or
    can't be estimated.
    """

    mean: float
    halfwidth: float | None
    pairs: int
    needed: int | None
    replicates: int

    @property
    def low(self) -> float:
        return self.mean - (math.inf if self.halfwidth is None else self.halfwidth)

    @property
    def high(self) -> float:
        return self.mean + (math.inf if self.halfwidth is None else self.halfwidth)

    @property
    def shown(self) -> bool:
        """True if the interval excludes zero, and there are enough pairs to trust it."""
        return self.pairs >= FEWEST and (self.low > 0 or self.high < 0)


def difference(
    first: Values, second: Values, confidence: float = 1 - ERROR, splits: Sequence[int] | None = None
) -> PairedDifference:
    """Return the paired difference of two settings. first, second: [R], replicate by replicate.

    splits: each replicate's split of the rows, where several share one. Replicates of a split share what its rows are like, so only
    their means are independent.

    Between equal settings, the differences of pairs are symmetric about zero whatever the distribution of the losses, so Student's
    interval errs on the safe side where a replicate is an outlier. Raises ValueError for unpaired values.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"paired values need the same number of replicates, at least one: got {len(a)} and {len(b)}")
    gaps, replicates = b - a, len(a)
    if splits is not None:
        labels = np.asarray(splits)
        gaps = np.array([gaps[labels == split].mean() for split in np.unique(labels)])
    mean, count = float(gaps.mean()), len(gaps)
    # a single pair shows no spread, and two splits next to nothing
    if count < (2 if splits is None else intervals.FEWEST_BLOCKS):
        return PairedDifference(mean, None, count, None, replicates)
    halfwidth = intervals.mean_halfwidth(gaps, confidence)
    needed = needed_pairs(mean, float(gaps.std(ddof=1)), confidence)
    if needed is not None:
        needed = -(-needed * replicates // count)
    if needed is not None and needed > MOST_NEEDED:
        needed = None
    return PairedDifference(mean, halfwidth, count, needed, replicates)


def needed_pairs(mean: float, sd: float, confidence: float = 1 - ERROR) -> int | None:
    """Return the number of pairs whose t interval excludes zero with a probability of POWER, if these are the true mean and SD.

    None beyond MOST_NEEDED. It solves t_{n−1, (1 + confidence) / 2} + t_{n−1, POWER} ≤ √n · |mean| / sd (Guenther 1981).
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or mean == 0:
        return None

    def enough(count: int) -> bool:
        quantiles = scipy.special.stdtrit(count - 1, (1 + confidence) / 2) + scipy.special.stdtrit(count - 1, POWER)
        return bool(quantiles * sd <= math.sqrt(count) * abs(mean))

    if not enough(MOST_NEEDED):
        return None
    low, high = FEWEST - 1, MOST_NEEDED  # too few (or not allowed), enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class ErrorSpread:
    """The SD over runs of the error on these test rows, and an estimate of the SD of the error on the whole distribution."""

    observed: float
    distribution_wise: float

    @property
    def finite_test(self) -> float:
        """The share of the observed variance that exists only because there are few test rows; NaN without variance."""
        return 1 - (self.distribution_wise / self.observed) ** 2 if self.observed else math.nan


def error_spread(errors: Array) -> ErrorSpread | None:
    """Estimate whether runs differ in quality, or only in the test rows they happen to get wrong (arXiv:2304.01910).

    errors: [R, n], of each run on each test row; 0 and 1, or any loss. None for one run or one row. The variance of a run's mean
    error is the mean of all n² covariances between rows; a row's covariance with itself counts only because the same rows are used
    again. Without these: n / (n − 1) · (Var(mean error) − n⁻² Σ Var(error_i)), which is unbiased; a negative one becomes 0. Its
    relative error is about √(2 / (R − 1)) of the observed variance: few runs reveal only large effects.
    """
    values = np.asarray(errors, np.float64)
    runs, rows = values.shape
    if runs < 2 or rows < 2:
        return None
    observed = np.var(values.mean(axis=1), ddof=1)
    own = np.var(values, axis=0, ddof=1).sum() / rows**2
    return ErrorSpread(float(np.sqrt(observed)), float(np.sqrt(max(0.0, rows / (rows - 1) * (observed - own)))))


def confidence(comparisons: int) -> float:
    """Return the confidence of each of so many intervals, with which all of them hold with 95% (Bonferroni)."""
    return 1 - ERROR / max(1, comparisons)


def all_pairs(settings: int) -> int:
    """Return the number of comparisons of every setting with every other one."""
    return settings * (settings - 1) // 2


@dataclass(frozen=True)
class Ranking:
    """The trial with the best mean, compared with all others.

    differences: each other trial's values minus the best's, better means first. copies: all trials have replicates that are bit for
    bit the same.
    """

    best: int
    differences: Mapping[int, PairedDifference]
    copies: bool = False

    @property
    def fewest(self) -> PairedDifference:
        """The comparison over the fewest independent pairs."""
        return min(self.differences.values(), key=lambda difference: difference.pairs)

    @property
    def too_few(self) -> bool:
        """True if there are too few replicates to decide anything."""
        return self.fewest.pairs < FEWEST

    @property
    def tied(self) -> tuple[int, ...]:
        """The trials that may be the best: the one with the best mean, and those that aren't shown to be worse."""
        return (self.best, *(number for number, difference in self.differences.items() if not difference.shown))

    @property
    def decided(self) -> bool:
        return len(self.tied) == 1


def choose(
    values: Mapping[int, Values],
    sign: int = 1,
    copies: Collection[int] = (),
    per_split: int = 1,
    comparisons: int | None = None,
) -> Ranking:
    """Rank trials by the mean of their replicates, and find those that may be the best. There must be at least two.

    values: number → [R], paired; lower is better with sign 1, higher with −1. copies: trials whose replicates are bit for bit the
    same, so that together they count as one. per_split: replicates in a row that share a split. comparisons: how many the intervals
    hold for together; None for those with the best.

    These are multiple comparisons with the best (Hsu 1984), with Bonferroni's quantile instead of Dunnett's: with 95% the truly
    best trial is among `tied`; where no setting is truly better, one is declared better than all others in at most 5% of cases,
    although it was picked by the same values.
    """
    means = {number: sign * float(np.mean(replicates)) for number, replicates in values.items()}
    best, *rivals = sorted(means, key=lambda number: (means[number], number))
    level = confidence(len(rivals) if comparisons is None else comparisons)

    def against(rival: int) -> PairedDifference:
        count = 1 if {best, rival} <= set(copies) else len(values[best])
        return difference(values[best][:count], values[rival][:count], level, rounds.splits(range(count), per_split))

    return Ranking(best, {rival: against(rival) for rival in rivals}, copies=set(values) <= set(copies))
