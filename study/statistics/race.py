"""Race settings against one another: train more replicates only of those that may be the best, and stop when that is decided.

The rule is a pure function of the losses. It replays all rounds from the first one, so that a study resumes to the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from study.records.arrays import Array, Doubles
from study.statistics.shrinkage import shrunken

# the state of a race: it continues, or why it has ended; DIVERGED if no setting is left
RACING, DECIDED, CAPPED, BUDGET, SINGLE, DIVERGED = "racing", "decided", "capped", "budget", "single", "diverged"
WORSE = "worse"  # a setting is out for good for this reason, or because it has diverged
# claims about the winner and a rival
BETTER, EQUIVALENT, NOT_WORSE, UNDECIDED = "better", "equivalent", "not worse by more than", "undecided"

PRIOR_PAIRS = 4  # pseudo-observations of a difference's variance: a few pairs alone estimate it badly
GOOD = 8  # settings, at least, whose spread is the unit of the margin

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """Rules of a race.

    margin: the difference that doesn't matter, δ, in SDs of a setting's loss over seeds (within a split). confidence: the
    probability that the winner is the best within the margin. first: replicates of every setting; step: more in each round; most:
    of a setting. least: replicates of a winner. networks: the number that no further round may exceed; None for no limit.
    """

    margin: float = 1.0
    confidence: float = 0.98
    first: int = 4
    step: int = 4
    least: int = 8
    most: int = 64
    networks: int | None = None

    @property
    def error(self) -> float:
        return 1 - self.confidence

    @property
    def rounds(self) -> int:
        """The number of looks at a setting, at most."""
        return -(-self.most // self.step)


@dataclass(frozen=True)
class Claim:
    """The winner compared with a rival: it is better, equivalent, or not worse by more than δ, or that is undecided.

    difference: the mean of the rival's losses minus the winner's, over pairs of replicates; se: its standard error. low, high: an
    interval that holds for all rivals together. p: one-sided, of a difference this large if the rival were as good.
    """

    kind: str
    difference: float
    se: float
    low: float
    high: float
    p: float
    pairs: int


@dataclass(frozen=True)
class Decision:
    """The state of a race.

    winner: the leader while the race goes on; None if all settings have diverged. sigma: the SD of a setting's loss over seeds;
    delta: the margin. used: each setting's replicates that the rule has looked at; next: the number each should have for the next
    round, for settings that need more; empty at the end. out: settings out for good, and why. claims: one for each rival that
    hasn't diverged. cheapest: the setting with the lowest cost among the winner and its equivalents. expected: the winner's mean
    loss, corrected for having been chosen as the lowest.
    """

    winner: int | None
    sigma: float
    delta: float
    used: Mapping[int, int]
    next: Mapping[int, int]
    reason: str
    out: Mapping[int, str]
    claims: Mapping[int, Claim]
    cheapest: int | None
    expected: float

    @property
    def decided(self) -> bool:
        return self.reason in (DECIDED, SINGLE)


def noise(losses: Mapping[int, Array], splits: Sequence[int] | None = None) -> float:
    """Return σ, the SD of a setting's loss over seeds: the median over the good settings, those with the lowest means.

    losses: [R] for each setting, all finite. splits: each replicate's split, for the SD within splits; None for a single split.
    Where each replicate has a split of its own, the SD includes the splits' effects.
    """
    return _Look(_Table.of(losses, splits), np.array([*map(len, losses.values())]), np.ones(len(losses), np.bool_)).sigma


def good(settings: int) -> int:
    """Return how many of the settings are the good ones: the better half, or eight if these are more.

    Of equal settings, those that scatter are no likelier to be in the better half than the steady ones. Among the lowest few of
    many they are, so that σ, and with it the margin, would be too large.
    """
    return min(settings, max(GOOD, -(-settings // 2)))


def decide(
    losses: Mapping[int, Array],
    costs: Mapping[int, tuple[float, ...]],
    rules: Rules = Rules(),
    splits: Sequence[int] | None = None,
    *,
    exhausted: bool = False,
) -> Decision:
    """Decide a race as far as the losses go, or name the replicates of its next round.

    losses: [R] for each setting, at least `first`, lower is better; replicate r has the same split and seeds in all settings. A
    setting with a loss that isn't finite is out. costs: the lowest is the cheapest. splits: each replicate's split, as long as the
    longest losses; None if all share one. exhausted: there will be no more replicates. Raises ValueError without settings, and for
    one with fewer than `first` replicates.

    The winner w has the lowest mean. A rival j with q common pairs has the mean difference d, with the standard error s/√q and
    s² = [4 k (v_j + v_w) + (u − 1) s_d²] / (u + 3): the variance over pairs, or between splits, of which there are u, with four
    pseudo-observations of what the settings' own variances v predict. With Student's t of u + 3 degrees of freedom, the risk r_j is
    the probability that j is better than w by more than δ. The race is decided when the sum of all r_j is at most 1 − confidence.
    Until then, the rivals with the lowest risks wait, as many as sum to this; the others need more replicates. This is a Bayesian
    stopping rule; its error rates were measured (docs/science.md).
    """
    if not losses or min(map(len, losses.values())) < rules.first:
        raise ValueError(f"a race needs settings with at least {rules.first} replicates each")
    finite = {number: values for number, values in sorted(losses.items()) if np.isfinite(values).all()}
    diverged = dict.fromkeys(sorted(set(losses) - set(finite)), DIVERGED)
    if not finite:
        used = {number: len(values) for number, values in losses.items()}
        return Decision(None, np.nan, np.nan, used, {}, DIVERGED, diverged, {}, None, np.nan)
    table = _Table.of(finite, splits)
    spent = sum(len(losses[number]) for number in diverged)
    available = np.array([*map(len, finite.values())])
    counts, living = np.full(len(finite), rules.first), np.ones(len(finite), np.bool_)
    while True:
        look = _Look(table, counts, living)
        reason, wanted, living = _judged(look, rules)
        if reason == RACING and rules.networks is not None and spent + wanted.sum() > rules.networks:
            reason = BUDGET
        missing = wanted > available
        if reason != RACING or missing.any():
            break
        counts = wanted
    if reason == RACING and exhausted:
        reason = BUDGET
    numbers = list(finite)
    claims = _claims(look, rules, reason)
    winner = numbers[look.leader]
    equivalent = [winner, *(numbers[index] for index, claim in claims.items() if claim.kind == EQUIVALENT)]
    return Decision(
        winner=winner,
        sigma=look.sigma,
        delta=rules.margin * look.sigma,
        used=dict(zip(numbers, map(int, counts), strict=True)),
        next={numbers[index]: int(wanted[index]) for index in np.flatnonzero(missing)} if reason == RACING else {},
        reason=reason,
        out=diverged | {numbers[index]: WORSE for index in np.flatnonzero(~living)},
        claims={numbers[index]: claim for index, claim in claims.items()},
        cheapest=min(equivalent, key=lambda number: costs[number]),
        expected=look.expected,
    )


def between(
    losses: Mapping[int, Array],
    decision: Decision,
    first: int,
    second: int,
    rules: Rules = Rules(),
    splits: Sequence[int] | None = None,
) -> Claim:
    """Return the claim about two settings that have not diverged, of which `first` takes the winner's place.

    losses, rules, splits: those of the decision. A claim about two rivals rests on the replicates that both have, and none of them
    is *not worse* because the race is decided, which compared each with the winner alone.
    """
    if first == decision.winner:
        return decision.claims[second]
    finite = {number: values for number, values in sorted(losses.items()) if np.isfinite(values).all()}
    numbers = list(finite)
    counts = np.array([decision.used[number] for number in numbers])
    living = np.array([number not in decision.out for number in numbers])
    look = _Look(_Table.of(finite, splits), counts, living)
    look.leader = numbers.index(first)
    return _claims(look, rules, RACING)[numbers.index(second)]


@dataclass(frozen=True)
class _Table:
    """Losses [S, R], zero where they are missing; splits: the split of each replicate as one of U columns, [R, U]."""

    values: Doubles
    splits: Doubles

    @classmethod
    def of(cls, losses: Mapping[int, Array], splits: Sequence[int] | None) -> _Table:
        values = np.zeros((len(losses), max(map(len, losses.values()))))
        for row, own in zip(values, losses.values(), strict=True):
            row[: len(own)] = own
        labels = np.zeros(values.shape[1]) if splits is None else np.asarray(splits)[: values.shape[1]]
        return cls(values, (labels[:, None] == np.unique(labels)).astype(np.float64))

    def first(self, count: int) -> _Table:
        """Return the first replicates alone: the last bits of a sum depend on the array's width, even where the rest is zero."""
        splits = self.splits[:count]
        return _Table(self.values[:, :count], splits[:, splits.any(axis=0)])

    @property
    def units(self) -> Doubles:
        """The independent observations: splits or, within a single one, replicates, [R, units]."""
        return self.splits if self.splits.shape[1] > 1 else np.eye(len(self.splits))


class _Look:
    """The statistics of the first `counts` [S] replicates, and the leader among the `living` [S].

    means: [S], without the effects of the splits that a setting happened to have; variances: [S], over seeds within splits.
    """

    def __init__(self, table: _Table, counts: Array, living: Mask) -> None:
        self.table = table = table.first(counts.max())
        self.counts, self.living = counts, living
        self.used = np.arange(table.values.shape[1]) < counts[:, None]
        # relative to its first loss, a setting without spread has zeros alone, and no rounding error passes for spread
        start = table.values[:, :1]
        relative = np.where(self.used, table.values - start, 0)
        sums, sizes = relative @ table.splits, self.used @ table.splits  # [S, U]
        by_split = sums / np.maximum(sizes, 1)
        # the settings with most replicates have seen every split
        effects = (start + by_split)[living & (counts == counts[living].max())].mean(axis=0)
        self.means = start[:, 0] + (sums.sum(axis=1) - sizes @ effects) / counts
        freedom = np.maximum(sizes - 1, 0).sum(axis=1)
        within = np.where(self.used, relative - by_split @ table.splits.T, 0)
        overall = np.where(self.used, relative - (sums.sum(axis=1) / counts)[:, None], 0)
        deviations = np.where((freedom > 0)[:, None], within, overall)
        self.variances = np.square(deviations).sum(axis=1) / np.where(freedom > 0, freedom, counts - 1)
        ranked = np.argsort(np.where(living, self.means, np.inf), kind="stable")
        self.leader, self.good = int(ranked[0]), ranked[: good(int(living.sum()))]
        self.sigma = float(np.median(np.sqrt(self.variances[self.good])))

    @cached_property
    def inflation(self) -> float:
        """The factor by which settings' own responses to a split raise the variance of a difference, at least 1 (no response).

        It is pooled over the good settings: their interaction with the splits, by analysis of variance, over the variance of seeds.
        """
        common = self.used[self.good].all(axis=0)
        sizes = common @ self.table.splits  # [U]
        splits, settings = int((sizes > 0).sum()), len(self.good)
        if splits < 2 or settings < 2:
            return 1.0
        by_split = (self.table.values[self.good] * common) @ self.table.splits / np.maximum(sizes, 1)  # [good, U]
        by_split -= by_split.mean(axis=0)
        by_split -= (by_split @ sizes / sizes.sum())[:, None]
        interaction = (np.square(by_split) @ sizes).sum() / ((splits - 1) * (settings - 1))
        own = self.variances[self.good].mean()
        return max(1.0, float(interaction / own)) if own else 1.0

    @property
    def expected(self) -> float:
        raw = self.table.values[self.leader, : self.counts[self.leader]].mean()
        shift = shrunken(self.means, self.inflation * self.variances / self.counts)[self.leader] - self.means[self.leader]
        return float(raw + shift)

    def differences(self) -> tuple[Doubles, Doubles, Array, Array]:
        """Compare all settings with the leader: mean difference, standard error, degrees of freedom and pairs, [S] each."""
        units = self.table.units
        common = self.used & self.used[self.leader]
        pairs = common.sum(axis=1)
        gaps = np.where(common, self.table.values - self.table.values[self.leader], 0)
        mean = gaps.sum(axis=1) / pairs
        sizes = common @ units
        observed = (sizes > 0).sum(axis=1)
        between = (sizes * np.square(gaps @ units / np.maximum(sizes, 1) - mean[:, None])).sum(axis=1)
        freedom = observed - 1 + PRIOR_PAIRS
        own = self.inflation * (self.variances + self.variances[self.leader])
        variance = (PRIOR_PAIRS * own + between) / freedom
        return mean, np.sqrt(variance / pairs), freedom, pairs


def _probability(gap: Array, se: Doubles, freedom: Array) -> Doubles:
    """Return Student's probability of a value below gap/se, [S]; without any spread, 1 where the gap isn't negative, else 0."""
    return scipy.special.stdtr(freedom, np.divide(gap, se, out=np.where(gap >= 0, np.inf, -np.inf), where=se > 0))


def _judged(look: _Look, rules: Rules) -> tuple[str, Array, Mask]:
    """Return why the race ends at this look, or RACING; the replicates wanted next, [S]; and the settings still living, [S]."""
    counts, leader, error, settings = look.counts, look.leader, rules.error, len(look.counts)
    if settings == 1:
        return SINGLE, counts, look.living
    mean, se, freedom, pairs = look.differences()
    most = max(rules.most, rules.first)
    rivals = look.living & (np.arange(settings) != leader)
    risk = np.where(rivals, 1 - _probability(rules.margin * look.sigma + mean, se, freedom), 0)
    if counts[leader] >= rules.least and risk.sum() <= error:
        return DECIDED, counts, look.living
    hopeless = rivals & (_probability(-mean, se, freedom) < error / (rules.rounds * settings))
    full = pairs >= most
    # the lowest risks wait, as many as the error allows, after those that no replicates can lessen any more
    order = np.lexsort((risk, ~full))
    waiting = np.zeros(settings, np.bool_)
    waiting[order] = np.cumsum(risk[order]) <= error
    unsettled = rivals & ~hopeless & ~waiting & ~full
    growing = unsettled & (counts <= counts[leader])  # more of the others' would have no partners
    growing[leader] = not unsettled.any() or counts[leader] <= counts[unsettled].max()
    wanted = np.where(growing, np.minimum(counts + rules.step, most), counts)
    return RACING if (wanted > counts).any() else CAPPED, wanted, look.living & ~hopeless


def _claims(look: _Look, rules: Rules, reason: str) -> dict[int, Claim]:
    """Return the claim about each setting but the leader."""
    mean, se, freedom, pairs = look.differences()
    settings, delta, error = len(mean), rules.margin * look.sigma, rules.error
    one_sided = error / max(1, settings - 1)
    better = _probability(-mean, se, freedom)
    not_better_by_margin, not_worse_by_margin = (1 - _probability(delta + way * mean, se, freedom) for way in (1, -1))
    half = scipy.special.stdtrit(freedom, 1 - one_sided) * se

    def kind(index: int) -> str:
        if better[index] < one_sided / rules.rounds:
            return BETTER
        if max(not_better_by_margin[index], not_worse_by_margin[index]) < one_sided:
            return EQUIVALENT
        return NOT_WORSE if reason == DECIDED or not_better_by_margin[index] < one_sided else UNDECIDED

    return {
        index: Claim(
            kind(index),
            float(mean[index]),
            float(se[index]),
            float(mean[index] - half[index]),
            float(mean[index] + half[index]),
            float(better[index]),
            int(pairs[index]),
        )
        for index in range(settings)
        if index != look.leader
    }
