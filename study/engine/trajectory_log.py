"""Collect a cohort's motion leg by leg, with no more sketches than its tails need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from study.analysis.convergence import tail_length
from study.engine.motion import SKETCHES, SUMS
from study.records.arrays import Floats, Integers
from study.records.trajectory import Trajectory

MOST_POINTS = 800  # epochs with a sketch; from more, every third one: an even number would hide that a network goes back and forth


class TrajectoryLog:
    def __init__(self, start: Floats) -> None:
        """start: sketches of the weights before training, [R, 251]."""
        self._start, self._every = start, 1
        self._sums: list[Floats] = []
        self._epochs = np.empty(0, np.int32)
        self._points: dict[str, Floats] = {}

    def add(self, curves: Mapping[str, Floats], last: int, trained: Integers) -> None:
        """Add a leg that ended with epoch `last`. curves: those of `MotionCurves`, [epochs, R, …]; trained: epochs, [R]."""
        self._sums.append(curves["sums"])
        new = dict(zip(SKETCHES, np.moveaxis(curves["sketches"], 2, 0), strict=False))
        points = {name: np.concatenate([self._points[name], array]) for name, array in new.items()} if self._points else new
        epochs = np.concatenate([self._epochs, np.arange(last - len(curves["sums"]), last, dtype=np.int32) + 1])
        kept = epochs >= min(count - tail_length(count) for count in trained.tolist())
        while np.sum(kept & (epochs % self._every == 0)) > MOST_POINTS:
            self._every *= 3
        kept &= epochs % self._every == 0
        self._epochs, self._points = epochs[kept], {name: array[kept] for name, array in points.items()}

    def trajectory(self) -> Trajectory:
        sums = dict(zip(SUMS, np.concatenate(self._sums).T, strict=True))
        points = {name: array.swapaxes(0, 1) for name, array in self._points.items()}
        return Trajectory(
            **sums,
            start=self._start,
            epochs=self._epochs,
            weights=points["weights"],
            function=points["function"],
            votes=points.get("votes"),
        )
