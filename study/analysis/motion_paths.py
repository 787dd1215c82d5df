"""Compute the pictures of motion: tails in the plane of their trend, and distances between epochs by the time between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import svds

from study.analysis.motion import DEFAULT, functions_apart, radius, squared_at, tail
from study.records.arrays import Array, Doubles, Floats, Integers
from study.records.trajectory import Trajectory

MOST_POINTS, MOST_LAGS = 120, 20


@dataclass(frozen=True)
class TailPath:
    """A network's tail in a plane, in units of its radius: along its trend, and along the main direction across it; [n] each."""

    epochs: Integers
    along: Doubles
    across: Doubles


@dataclass(frozen=True)
class LagDistances:
    """Distances between two epochs of a network's tail by their lag, [R, lags]; NaN for lags of more than half the tail.

    lags: in epochs. weights: root mean square relative L2. function: root mean square NRMSE, or mean churn for classes.
    """

    lags: Integers
    weights: Doubles
    function: Doubles

    @property
    def any(self) -> bool:
        """Return True if anything moves."""
        return bool((self.weights > 0).any() or (self.function > 0).any())


def shown(path: Trajectory, trained: int) -> bool:
    """Return True if a network's tail has enough epochs to show its motion."""
    return int(tail(path, trained)[1].sum()) > DEFAULT.shortest


def tail_path(path: Trajectory, sketches: Floats, index: int, trained: int) -> TailPath | None:
    """Project a network's tail; None if it doesn't move, isn't finite or is too short. sketches: the path's weights or function.

    At most MOST_POINTS points are kept, an odd number of epochs apart: an even one would hide that a network goes back and forth.
    """
    inside = tail(path, trained)[1]
    epochs, points = path.epochs[inside], sketches[index, inside].astype(np.float64)
    if not (shown(path, trained) and np.isfinite(points).all() and np.ptp(points, axis=0).any()):
        return None
    centred, unit = points - points.mean(axis=0), radius(points)
    trend = (epochs - epochs.mean()) @ centred
    trend /= np.linalg.norm(trend) or 1.0
    along = centred @ trend
    across = _along_main(centred - np.outer(along, trend))
    # the sign is free: the largest excursion points up
    across *= np.sign(across[np.argmax(np.abs(across))])
    stride = -(-len(epochs) // MOST_POINTS)
    stride += stride % 2 == 0
    chosen = slice((len(epochs) - 1) % stride, None, stride)
    return TailPath(epochs[chosen], along[chosen] / unit, across[chosen] / unit)


def _along_main(points: Doubles) -> Doubles:
    """Return points [n, k] along their main direction, [n]."""
    if not points.any():
        return np.zeros(len(points))
    # for one direction a whole decomposition takes a hundred times as long; a start of ones would be at right angles to it
    start = np.random.default_rng(0).normal(size=min(points.shape))
    left, size, _ = svds(points, k=1, v0=start)
    return np.asarray(left[:, 0] * size[0], np.float64)


def lag_distances(path: Trajectory, trained: Sequence[int], targets: Sequence[Array]) -> LagDistances:
    """Measure R networks, one of them `shown` at least. trained: epochs of each; targets: R of the validation part's."""
    longest = max(int(tail(path, count)[1].sum()) for count in trained)
    steps = np.unique(np.geomspace(1, longest // 2, MOST_LAGS).round().astype(np.int32))
    weights, function = np.full((2, len(trained), len(steps)), np.nan)
    for index, (count, target) in enumerate(zip(trained, targets, strict=True)):
        length, inside = tail(path, count)
        if not shown(path, count):
            continue
        norm = np.mean(path.weights_norm[index, count - length : count], dtype=np.float64)
        weights[index] = np.sqrt(_squared(path.weights[index, inside], steps) / norm)
        seen = path.function if path.votes is None else path.votes
        function[index] = functions_apart(_squared(seen[index, inside], steps), path, target)
    return LagDistances(steps * (path.epochs[1] - path.epochs[0]), weights, function)


def _squared(points: Floats, steps: Integers) -> Doubles:
    """Return the mean squared distance between points [n, k] that are `steps` apart; NaN for more than half of them."""
    wide = points.astype(np.float64)
    reached = [int(step) if 2 * step <= len(wide) else None for step in steps]
    return np.array([np.nan if step is None else squared_at(wide, step) for step in reached])
