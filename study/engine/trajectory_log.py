"""Collect a cohort's motion leg by leg, with no more sketches than its tails need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from study.analysis.convergence import tail_length
from study.records.arrays import Floats, Integers
from study.records.trajectory import Trajectory

SUMS = ("weights_step", "weights_dot", "weights_norm", "function_step", "function_dot")
SKETCHES = {"weights": "weights_sketch", "function": "function_sketch", "votes": "votes_sketch"}
MOST_POINTS = 800  # epochs with a sketch; from more, every third one: an even number would hide that a network goes back and forth


class TrajectoryLog:
    def __init__(self, start: Floats) -> None:
        """start: sketches of the weights before training, [R, 251]."""
        self._start, self._every = start, 1
        self._sums: list[Mapping[str, Floats]] = []
        self._epochs = np.empty(0, np.int32)
        self._points: dict[str, Floats] = {}

    def add(self, curves: Mapping[str, Floats], last: int, trained: Integers) -> None:
        """Add a leg that ended with epoch `last`. curves: those of `MotionCurves`, [epochs, R, …]; trained: epochs, [R]."""
        self._sums.append({name: curves[name] for name in SUMS})
        new = {own: curves[name] for own, name in SKETCHES.items() if name in curves}
        points = {name: np.concatenate([self._points[name], array]) for name, array in new.items()} if self._points else new
        epochs = np.concatenate([self._epochs, np.arange(last - len(curves[SUMS[0]]), last, dtype=np.int32) + 1])
        kept = epochs >= min(count - tail_length(count) for count in trained.tolist())
        while np.sum(kept & (epochs % self._every == 0)) > MOST_POINTS:
            self._every *= 3
        kept &= epochs % self._every == 0
        self._epochs, self._points = epochs[kept], {name: array[kept] for name, array in points.items()}

    def trajectory(self) -> Trajectory:
        sums = {name: np.concatenate([leg[name] for leg in self._sums]).T for name in SUMS}
        points = {name: array.swapaxes(0, 1) for name, array in self._points.items()}
        return Trajectory(
            **sums,
            start=self._start,
            epochs=self._epochs,
            weights=points["weights"],
            function=points["function"],
            votes=points.get("votes"),
        )
