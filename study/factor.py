"""What one factor does to trained networks: the same starting points and batches under several of its levels, compared.

Comparing networks of two levels that also start elsewhere, as the study's source document does, mixes two causes. Replicate r of
every trial has the same seeds, so both comparisons can be read off the same networks: r against another replicate is the
comparison *as written*, r against r the *controlled* one, and two replicates of one level show what a restart alone does.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study import disagreement, distance, intervals
from study.distance import Matrix
from study.records import TrackedNetwork


@dataclass(frozen=True)
class Level:
    """One level of the factor: its name, and its replicates' networks and final losses, in order."""

    name: str
    networks: Sequence[TrackedNetwork]
    losses: Sequence[float]


@dataclass(frozen=True)
class Means:
    """Means over pairs of networks. `restarted`: of one level and different replicates; None where there is only one."""

    as_written: float | None
    restarted: float | None
    controlled: float


@dataclass(frozen=True)
class Pair:
    """Two levels. The numbers of weights are None where the architectures differ, those of functions where the rows do.

    `gap` is the mean of the second's minus the first's losses, replicate by replicate, and `halfwidth` that of its 95 %
    interval (None for one replicate).
    """

    first: str
    second: str
    summed: Means | None
    relative_l2: Means | None
    disagreement: Means | None
    gap: float
    halfwidth: float | None

    @property
    def significant(self) -> bool:
        return self.halfwidth is not None and abs(self.gap) > self.halfwidth


@dataclass(frozen=True)
class Spread:
    """How far the replicates of one level are apart: means over their pairs, and the SD of their losses."""

    level: str
    summed: float
    relative_l2: float
    disagreement: float | None
    loss_sd: float


@dataclass(frozen=True)
class Effect:
    """The factor's levels with the losses of their replicates, [levels, R], and every pair of levels."""

    levels: tuple[str, ...]
    losses: Matrix
    pairs: tuple[Pair, ...]


def effect(levels: Sequence[Level]) -> Effect:
    """Compares the levels pair by pair. All need the same number of replicates."""
    losses = np.array([level.losses for level in levels])
    return Effect(tuple(level.name for level in levels), losses, tuple(_pair(a, b) for a, b in itertools.combinations(levels, 2)))


def spread(level: Level) -> Spread:
    """What makes the replicates of a level differ is its own: what of them varies. There must be at least two."""
    rows = distance.vectors([net.network for net in level.networks])
    apart = _disagreement(level.networks)
    return Spread(
        level.name,
        distance.mean_of_pairs(distance.summed_absolute_difference(rows)),
        distance.mean_of_pairs(distance.relative_l2(rows)),
        None if apart is None else distance.mean_of_pairs(apart),
        float(np.std(level.losses, ddof=1)),
    )


def _pair(a: Level, b: Level) -> Pair:
    networks = [*a.networks, *b.networks]
    summed = relative = None
    if len({net.network.architecture for net in networks}) == 1:
        rows = distance.vectors([net.network for net in networks])
        summed, relative = _means(distance.summed_absolute_difference(rows)), _means(distance.relative_l2(rows))
    apart = _disagreement(networks)
    gaps = [y - x for x, y in zip(a.losses, b.losses, strict=True)]
    function = None if apart is None else _means(apart)
    return Pair(a.name, b.name, summed, relative, function, float(np.mean(gaps)), intervals.mean_halfwidth(gaps))


def _disagreement(networks: Sequence[TrackedNetwork]) -> Matrix | None:
    """Churn or normalised RMSE of each pair; None unless all were validated on the same rows."""
    target, shape = networks[0].target, networks[0].predictions.shape
    if not all(np.array_equal(net.target, target) and net.predictions.shape == shape for net in networks):
        return None
    return disagreement.between(np.stack([net.predictions for net in networks]), target)


def _means(matrix: Matrix) -> Means:
    """matrix: [2R, 2R], the first level's networks and then the second's."""
    count = len(matrix) // 2
    across, within = matrix[:count, count:], [matrix[:count, :count], matrix[count:, count:]]
    controlled = float(np.mean(np.diag(across)))
    if count < 2:
        return Means(None, None, controlled)
    others = ~np.eye(count, dtype=bool)
    return Means(float(across[others].mean()), float(np.mean([block[others].mean() for block in within])), controlled)
