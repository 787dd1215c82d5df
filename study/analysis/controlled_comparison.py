"""The effect of one factor on trained networks: the same starting points and batches under several of its levels, compared.

Networks of two levels that also start elsewhere, as in the question this project grew from, mix two causes. Replicate r of every
trial has the same seeds, so both comparisons can be read from the same networks: r against another replicate is the comparison *as
written*, r against r is the *controlled* one, and two replicates of one level show the effect of a restart alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis import disagreement, distance
from study.analysis.distance import Matrix
from study.records.tracked import TrackedNetwork, same_rows
from study.statistics import ranking, rounds
from study.statistics.ranking import PairedDifference


@dataclass(frozen=True)
class Level:
    """One level of the factor: its name, its networks, and its replicates' final losses or scores, in order.

    networks: of all replicates, or of the first few.
    """

    name: str
    networks: Sequence[TrackedNetwork]
    values: Sequence[float]

    @property
    def copies(self) -> bool:
        """True if the replicates are bit for bit the same."""
        marks = {net.fingerprint for net in self.networks}
        return len(self.networks) > 1 and len(marks) == 1 and "" not in marks


@dataclass(frozen=True)
class Means:
    """Means over pairs of networks. restarted: over different replicates of one level; None if a level has only one."""

    as_written: float | None
    restarted: float | None
    controlled: float


@dataclass(frozen=True)
class Pair:
    """Two levels. Means over weights are None where the architectures differ, means over functions where the rows do.

    difference: the second level's values minus the first's, replicate by replicate.
    """

    first: str
    second: str
    summed: Means | None
    relative_l2: Means | None
    disagreement: Means | None
    difference: PairedDifference


@dataclass(frozen=True)
class Spread:
    """Distances between the replicates of one level: means over their pairs, and the SD of their values."""

    level: str
    summed: float
    relative_l2: float
    disagreement: float | None
    value_sd: float


@dataclass(frozen=True)
class Effect:
    """The factor's levels with the values of their replicates, [levels, R], and every pair of levels."""

    levels: tuple[str, ...]
    values: Matrix
    pairs: tuple[Pair, ...]

    @property
    def copies(self) -> bool:
        """True if two levels have copies of one network each, which are one pair."""
        return min(pair.difference.replicates for pair in self.pairs) < self.values.shape[1]


def effect(levels: Sequence[Level], comparisons: int | None = None, per_split: int = 1) -> Effect:
    """Compare the levels pair by pair. All need the same number of replicates.

    comparisons: how many the intervals hold for together; None for every pair. per_split: replicates in a row that share a split. A
    difference is shown by the same rule as a win (`ranking.choose`), so that the two never contradict each other where both have
    the same comparisons.
    """
    values = np.array([level.values for level in levels])
    confidence = ranking.confidence(ranking.all_pairs(len(levels)) if comparisons is None else comparisons)
    pairs = tuple(_pair(a, b, confidence, per_split) for a, b in itertools.combinations(levels, 2))
    return Effect(tuple(level.name for level in levels), values, pairs)


def spread(level: Level) -> Spread:
    """Measure how far apart a level's replicates are, by its own sources of randomness. It needs at least two replicates."""
    rows = distance.vectors([net.network for net in level.networks])
    apart = _disagreement(level.networks)
    return Spread(
        level.name,
        distance.mean_of_pairs(distance.summed_absolute_difference(rows)),
        distance.mean_of_pairs(distance.relative_l2(rows)),
        None if apart is None else distance.mean_of_pairs(apart),
        float(np.std(level.values, ddof=1)),
    )


def _pair(a: Level, b: Level, confidence: float, per_split: int) -> Pair:
    networks = [*a.networks, *b.networks]
    summed = relative = None
    if len({net.network.architecture for net in networks}) == 1:
        rows = distance.vectors([net.network for net in networks])
        summed, relative = _means(distance.summed_absolute_difference(rows)), _means(distance.relative_l2(rows))
    apart = _disagreement(networks)
    function, count = None if apart is None else _means(apart), 1 if a.copies and b.copies else len(a.values)
    splits = rounds.splits(range(count), per_split)
    difference = ranking.difference(a.values[:count], b.values[:count], confidence, splits)
    return Pair(a.name, b.name, summed, relative, function, difference)


def _disagreement(networks: Sequence[TrackedNetwork]) -> Matrix | None:
    """Return churn or normalised RMSE of each pair, [N, N]; None unless all were validated on the same rows."""
    target, shape = networks[0].target, networks[0].predictions.shape
    if not same_rows(networks) or any(net.predictions.shape != shape for net in networks):
        return None
    return disagreement.between(np.stack([net.predictions for net in networks]), target)


def _means(matrix: Matrix) -> Means:
    """Average over pairs. matrix: [2R, 2R], the first level's networks and then the second's."""
    count = len(matrix) // 2
    across, within = matrix[:count, count:], [matrix[:count, :count], matrix[count:, count:]]
    controlled = float(np.mean(np.diag(across)))
    if count < 2:
        return Means(None, None, controlled)
    others = ~np.eye(count, dtype=bool)
    return Means(float(across[others].mean()), float(np.mean([block[others].mean() for block in within])), controlled)
