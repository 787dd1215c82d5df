"""Which setting is better, and whether that can be said: P(A > B) over paired replicates (arXiv:2103.03098), and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from study.records import Array, Doubles

MINIMIZE, MAXIMIZE = "minimize", "maximize"
# the probability from which on a difference is worth having, as the paper recommends
GAMMA = 0.75
CONFIDENCE = 0.95
# equal settings win all of fewer replicates more often than one time in twenty
FEWEST = 5

NORMAL = NormalDist()
NOT_SIGNIFICANT, NOT_MEANINGFUL, BETTER = "not significant", "not meaningful", "better"

Values = Sequence[float] | Array


@dataclass(frozen=True)
class Superiority:
    """The probability that a replicate of A beats its partner of B, with the bounds of its interval.

    verdict: 'not significant' if chance alone explains it, 'not meaningful' if it is surely no more than γ, else 'better'.
    """

    estimate: float
    low: float
    high: float
    verdict: str


def superiority(
    a: Values,
    b: Values,
    direction: str = MINIMIZE,
    gamma: float = GAMMA,
    confidence: float = CONFIDENCE,
) -> Superiority:
    """P(A > B) from values [R] of either, paired by replicate; ties count half, and a NaN is as bad as can be.

    The interval is the percentile bootstrap's, over pairs. It needs no random numbers: a resample's wins, ties and defeats are
    multinomial, so that what more and more resamples tend to is computed. Below five replicates nothing is significant: that a
    resample of nothing but wins has no other outcome is no evidence. Of two equal settings the first is called better in 3.1 % of
    cases at 5 and at 29 replicates, and up to 64 nowhere in more than the 6.3 % at 7.
    """
    first, second = _costs(a, direction), _costs(b, direction)
    if first.shape != second.shape or not len(first):
        raise ValueError(f"pairs need as many replicates of either, and at least one: got {len(first)} and {len(second)}")
    outcomes = np.array([np.mean(first > second), np.mean(first == second), np.mean(first < second)])
    estimate = float(outcomes[2] + outcomes[1] / 2)
    tail = (1 - confidence) / 2
    low, high = _quantile(outcomes, len(first), tail), 1 - _quantile(outcomes[::-1], len(first), tail)
    if low <= 0.5 or len(first) < FEWEST:
        return Superiority(estimate, low, high, NOT_SIGNIFICANT)
    return Superiority(estimate, low, high, NOT_MEANINGFUL if high <= gamma else BETTER)


def _costs(values: Values, direction: str) -> Doubles:
    """What is to be small, [R]."""
    signed = np.asarray(values, np.float64) * {MINIMIZE: 1, MAXIMIZE: -1}[direction]
    return np.where(np.isnan(signed), np.inf, signed)


def _quantile(outcomes: Doubles, count: int, tail: float) -> float:
    """The least share of wins, ties counting half, that resamples of `count` reach with a probability of at least `tail`.

    outcomes: the shares of defeats, ties and wins.
    """
    halves = np.polynomial.polynomial.polypow(outcomes, count)  # the probability of each number of half wins, 0 to 2 · count
    return int(np.argmax(np.cumsum(halves) >= tail)) / (2 * count)


def needed_replicates(gamma: float = GAMMA, alpha: float = 0.05, beta: float = 0.05) -> int:
    """How many replicates of either setting show P(A > B) = γ with error probabilities α (one-sided) and β, by Noether (1987).

    It is the paper's number, and that of the Mann-Whitney test, which compares every replicate of A with every one of B.
    `superiority` counts paired wins, which takes half as many again: at P(A > B) = 0.75 it says 'better' in 83 % of cases with 29
    replicates and in 94 % with 44.
    """
    return math.ceil(((NORMAL.inv_cdf(1 - alpha) - NORMAL.inv_cdf(beta)) / (gamma - 0.5)) ** 2 / 6)


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


def indistinguishable(
    losses_by_trial: Mapping[int, Values],
    best: int,
    direction: str = MINIMIZE,
    gamma: float = GAMMA,
    confidence: float = CONFIDENCE,
) -> list[int]:
    """The trials that `best` isn't better than, itself first and then in the order given. losses_by_trial: number → [R], paired."""
    mine = losses_by_trial[best]
    rivals = [number for number in losses_by_trial if number != best]
    return [
        best,
        *(n for n in rivals if superiority(mine, losses_by_trial[n], direction, gamma, confidence).verdict != BETTER),
    ]


@dataclass(frozen=True)
class Choice:
    """best: the trial of the best mean. tied: those that can't be told from it, best first, itself included.

    needed: replicates that a decision takes (`needed_replicates`); a trial still tied at as many is seldom worse by what matters.
    """

    best: int
    tied: tuple[int, ...]
    replicates: int
    needed: int

    @property
    def decided(self) -> bool:
        return len(self.tied) == 1


def choose(
    losses_by_trial: Mapping[int, Values],
    direction: str = MINIMIZE,
    gamma: float = GAMMA,
    confidence: float = CONFIDENCE,
) -> Choice:
    """The trials that may be the best, by the mean of their replicates. A trial with a NaN comes last.

    That the best was picked by the same values flatters it. Of 24 equal trials a fifth of the rivals are ruled out, at 8 replicates
    as at 29; with `confidence` = 1 − 0.05 / (trials − 1) (Bonferroni's), 2 to 4 % are.
    """
    means = {number: float(np.mean(_costs(losses, direction))) for number, losses in losses_by_trial.items()}
    ranked = sorted(means, key=lambda number: (means[number], number))
    tied = indistinguishable({number: losses_by_trial[number] for number in ranked}, ranked[0], direction, gamma, confidence)
    return Choice(ranked[0], tuple(tied), len(losses_by_trial[ranked[0]]), needed_replicates(gamma))
