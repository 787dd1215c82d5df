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
    def __init__(self, start: Floats, followed_from: int) -> None:
        """start: sketches of the weights before training, [R, 251]. followed_from: the first epoch, from 1, that is followed."""
        self._start, self._followed_from, self._every = start, followed_from, 1
        self._sums: list[Floats] = []
        self._epochs = np.empty(0, np.int32)
        self._points: dict[str, Floats] = {}

    def add(self, curves: Mapping[str, Floats], last: int, trained: Integers) -> None:
        """Add a leg that ended with epoch `last`.

        curves: as from `motion.parted`, none for a leg that wasn't followed; trained: epochs, [R].
        """
        if not curves:
            self._sums.append(np.full((last - sum(map(len, self._sums)), len(trained), len(SUMS)), np.nan, np.float32))
            return
        self._sums.append(curves["sums"])
        new = dict(zip(SKETCHES, np.moveaxis(curves["sketches"], 2, 0), strict=False))
        points = {name: np.concatenate([self._points[name], array]) for name, array in new.items()} if self._points else new
        epochs = np.concatenate([self._epochs, np.arange(last - len(curves["sums"]), last, dtype=np.int32) + 1])
        kept = epochs >= max(min(count - tail_length(count) for count in trained.tolist()), self._followed_from)
        while np.sum(kept & (epochs % self._every == 0)) > MOST_POINTS:
            self._every *= 3
        kept &= epochs % self._every == 0
        self._epochs, self._points = epochs[kept], {name: array[kept] for name, array in points.items()}

    def trajectory(self) -> Trajectory:
        by_epoch = np.concatenate(self._sums)
        if (first := self._followed_from - 1) > 0:
            # the step that led to the first one began before training
            by_epoch[first : first + 1, :, [name != "weights_norm" for name in SUMS]] = np.nan
            by_epoch[first + 1 : first + 2, :, [name.endswith("dot") for name in SUMS]] = np.nan
        sums = dict(zip(SUMS, by_epoch.T, strict=True))
        none = np.empty((0, *self._start.shape), np.float32)  # where training ended before its tail
        points = {name: self._points.get(name, none).swapaxes(0, 1) for name in SKETCHES[: len(self._points) or 2]}
        return Trajectory(
            **sums,
            start=self._start,
            epochs=self._epochs,
            weights=points["weights"],
            function=points["function"],
            votes=points.get("votes"),
        )
