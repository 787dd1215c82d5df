"""Collect a cohort's motion leg by leg, with no more sketches than its tails need."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from study.analysis.convergence import tail_length
from study.records.arrays import Floats, Integers
from study.records.trajectory import Trajectory

SUMS = ("weights_step", "weights_dot", "weights_norm", "function_step", "function_dot")
SKETCHES = {"weights": "weights_sketch", "function": "function_sketch", "votes": "votes_sketch"}
MOST_POINTS = 2000  # epochs with a sketch, were none dropped: a tail of 400


class TrajectoryLog:
    def __init__(self, start: Floats, epochs: int) -> None:
        """start: sketches of the weights before training, [R, 251]; epochs: the most that are trained."""
        self._start, self._every = start, -(-epochs // MOST_POINTS)
        self._sums: list[Mapping[str, Floats]] = []
        self._points: deque[tuple[Integers, Mapping[str, Floats]]] = deque()

    def add(self, curves: Mapping[str, Floats], last: int, trained: Integers) -> None:
        """Add a leg that ended with epoch `last`. curves: those of `MotionCurves`, [epochs, R, …]; trained: epochs, [R]."""
        self._sums.append({name: curves[name] for name in SUMS})
        epochs = np.arange(last - len(curves[SUMS[0]]), last, dtype=np.int32) + 1
        chosen = epochs % self._every == 0
        self._points.append((epochs[chosen], {own: curves[name][chosen] for own, name in SKETCHES.items() if name in curves}))
        needed = min(count - tail_length(count) for count in trained.tolist())
        while len(self._points) > 1 and not np.any(self._points[0][0] >= needed):
            self._points.popleft()

    def trajectory(self) -> Trajectory:
        sums = {name: np.concatenate([leg[name] for leg in self._sums]).T for name in SUMS}
        epochs = np.concatenate([epochs for epochs, _ in self._points])
        of_legs = [sketches for _, sketches in self._points]
        weights, function, *votes = (np.concatenate([leg[name] for leg in of_legs]).swapaxes(0, 1) for name in of_legs[0])
        return Trajectory(
            **sums, start=self._start, epochs=epochs, weights=weights, function=function, votes=votes[0] if votes else None
        )
