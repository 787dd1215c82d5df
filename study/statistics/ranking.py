"""Which setting is better, and whether that can be said: paired differences over replicates, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from study.records.arrays import Array
from study.statistics import intervals

ERROR = 0.05  # of all comparisons with the best together
POWER = 0.8
# a smaller sample's normality is anybody's guess, and its t interval so wide that it shows next to nothing
FEWEST = 5
MOST_NEEDED = 1_000_000

Values = Sequence[float] | Array


@dataclass(frozen=True)
class Difference:
    """The mean of the second's values minus the first's, over pairs of replicates that share their seeds.

    halfwidth: of Student's interval for it; None for a single pair. needed: how many pairs show a difference of this size and
    spread with a probability of POWER; None where it would take more than MOST_NEEDED, or can't be estimated.
    """

    mean: float
    halfwidth: float | None
    pairs: int
    needed: int | None

    @property
    def low(self) -> float:
        return self.mean - (math.inf if self.halfwidth is None else self.halfwidth)

    @property
    def high(self) -> float:
        return self.mean + (math.inf if self.halfwidth is None else self.halfwidth)

    @property
    def shown(self) -> bool:
        """Whether there is a difference: the interval leaves out zero, and there are enough pairs to trust it."""
        return self.pairs >= FEWEST and not self.low <= 0 <= self.high


def difference(first: Values, second: Values, confidence: float = 1 - ERROR) -> Difference:
    """The paired difference of two settings. first, second: [R], replicate by replicate.

    Of settings that don't differ, the differences of pairs are symmetric about zero whatever the losses' distribution is, so that
    Student's interval errs on the safe side where a replicate is an outlier. Raises ValueError for unpaired values.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or not len(a):
        raise ValueError(f"pairs need as many replicates of either, and at least one: got {len(a)} and {len(b)}")
    gaps = b - a
    mean, count = float(gaps.mean()), len(gaps)
    if count < 2:  # which shows nothing of their spread
        return Difference(mean, None, count, None)
    halfwidth = intervals.mean_halfwidth(gaps, confidence)
    return Difference(mean, halfwidth, count, needed_pairs(mean, float(gaps.std(ddof=1)), confidence))


def needed_pairs(mean: float, sd: float, confidence: float = 1 - ERROR) -> int | None:
    """The number of pairs whose t interval leaves out zero with a probability of POWER, if this is the true mean and SD.

    None beyond MOST_NEEDED. Found from t_{n−1, (1 + confidence) / 2} + t_{n−1, POWER} ≤ √n · |mean| / sd (Guenther 1981).
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or mean == 0:
        return None

    def enough(count: int) -> bool:
        quantiles = special.stdtrit(count - 1, (1 + confidence) / 2) + special.stdtrit(count - 1, POWER)
        return bool(quantiles * sd <= math.sqrt(count) * abs(mean))

    if not enough(MOST_NEEDED):
        return None
    low, high = FEWEST - 1, MOST_NEEDED  # not enough (or not allowed), enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class ErrorSpread:
    """Over runs: the SD of the error on these test rows, and an estimate of the SD of the error on all rows there could be."""

    observed: float
    distribution_wise: float

    @property
    def finite_test(self) -> float:
        """The share of the observed variance that is only due to the test rows being few; NaN if there is no variance."""
        return 1 - (self.distribution_wise / self.observed) ** 2 if self.observed else math.nan


def error_spread(errors: Array) -> ErrorSpread | None:
    """Whether runs differ in quality, or only in which test rows they happen to get wrong (arXiv:2304.01910).

    errors: [R, n], of each run on each test row; 0 and 1, or any loss. None for one run or one row. The variance of the mean error
    of a run is the mean of all n² covariances between rows; those of a row with itself are there only because the same rows are
    used again. Without them: n / (n − 1) · (Var(mean error) − n⁻² Σ Var(error_i)), which is unbiased; negative estimates are
    taken for 0. Its own relative error is about √(2 / (R − 1)) of the observed variance: few runs find large effects only.
    """
    values = np.asarray(errors, np.float64)
    runs, rows = values.shape
    if runs < 2 or rows < 2:
        return None
    observed = np.var(values.mean(axis=1), ddof=1)
    own = np.var(values, axis=0, ddof=1).sum() / rows**2
    return ErrorSpread(float(np.sqrt(observed)), float(np.sqrt(max(0.0, rows / (rows - 1) * (observed - own)))))


def confidence(trials: int) -> float:
    """Of each interval where `trials` settings are compared with the best of them (Bonferroni): all hold together with 95 %."""
    return 1 - ERROR / max(1, trials - 1)


@dataclass(frozen=True)
class Choice:
    """best: the trial of the best mean. differences: of every other trial, better means first, its values minus the best's.

    copies: whether all that was compared are trials whose replicates are bit for bit the same.
    """

    best: int
    differences: Mapping[int, Difference]
    copies: bool = False

    @property
    def pairs(self) -> int:
        """The fewest replicates that a rival was compared by."""
        return min(each.pairs for each in self.differences.values())

    @property
    def too_few(self) -> bool:
        """Whether nothing can be decided by so few replicates."""
        return self.pairs < FEWEST

    @property
    def tied(self) -> tuple[int, ...]:
        """The trials that may be the best: that one, and those that aren't shown to be worse."""
        return (self.best, *(number for number, each in self.differences.items() if not each.shown))

    @property
    def decided(self) -> bool:
        return len(self.tied) == 1


def choose(values: Mapping[int, Values], sign: int = 1, copies: Collection[int] = ()) -> Choice:
    """The trials that may be the best, by the mean of their replicates. There must be at least two.

    values: number → [R], paired, of which less is better (sign 1) or more (−1). copies: trials whose replicates are bit for bit the
    same, so that all of them are worth one.

    These are multiple comparisons with the best (Hsu 1984), with Bonferroni's quantile in the place of Dunnett's: with 95 % the
    truly best trial is among `tied`, and of settings one of which isn't truly better, one is called better than all others in at
    most 5 %, although it was picked by the same values.
    """
    means = {number: sign * float(np.mean(each)) for number, each in values.items()}
    best, *rivals = sorted(means, key=lambda number: (means[number], number))
    level = confidence(len(means))

    def against(rival: int) -> Difference:
        count = 1 if {best, rival} <= set(copies) else None
        return difference(values[best][:count], values[rival][:count], level)

    return Choice(best, {rival: against(rival) for rival in rivals}, copies=set(values) <= set(copies))
