"""Fourier features of numbers: a sine and a cosine beside each, by which a small network sees bends that it would learn slowly.

A column is centred by its median and scaled by its interquartile range, kept smoothly below LIMIT of these, and then is an angle.
The features are standardised. Their low frequency is that of the numeric embeddings of Gorishniy et al. (2022, arXiv:2203.05556)
and Holzmüller et al. (2024, arXiv:2407.04491), which are learned; docs/benchmarks.md has what these are worth on real tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from study.data.shapes import softening
from study.records.arrays import Doubles

FREQUENCY, LIMIT = 0.9, 3.0


class Fourier(NamedTuple):
    """A column as its training part has it. sine, cosine: mean and SD of each; a constant column's SDs are infinite."""

    middle: float
    spread: float
    sine: tuple[float, float] = (0.0, math.inf)
    cosine: tuple[float, float] = (1.0, math.inf)


def learn(column: Doubles) -> Fourier:
    """Learn from the training part of a column without gaps, [n]."""
    low, middle, high = np.percentile(column, [25, 50, 75])
    # where more than half of the values are the same, half of the range
    spread = float(high - low) or float(np.ptp(column)) / 2
    if not spread:
        return Fourier(float(middle), math.inf)
    sine, cosine = _waves(column, middle, spread, np)
    return Fourier(float(middle), spread, *((float(wave.mean()), float(wave.std()) or 1.0) for wave in (sine, cosine)))


def features(learned: Sequence[Sequence[Fourier]], x: Any, ops: Any = np) -> Any:
    """Return the features of columns, [n, R, 2 columns]: the sines, then the cosines. learned: [R][columns]; x: [n, R, columns]."""
    middle, spread = (np.array([[getattr(one, name) for one in of_one] for of_one in learned]) for name in ("middle", "spread"))
    parts = []
    for name, wave in zip(("sine", "cosine"), _waves(x, middle, spread, ops), strict=True):
        moments = np.array([[getattr(one, name) for one in of_one] for of_one in learned])
        parts.append((wave - moments[..., 0]) / moments[..., 1])
    return ops.concatenate(parts, axis=-1)


def of_columns(learned: Sequence[Fourier], x: Doubles) -> Doubles:
    """Return the features of one network's columns, [n, 2 columns]. x: [n, columns]."""
    return np.asarray(features([learned], x[:, None]))[:, 0]


def names(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{column} ({wave})" for wave in ("sine", "cosine") for column in columns)


def _waves(x: Any, middle: Any, spread: Any, ops: Any) -> tuple[Any, Any]:
    scaled = (x - middle) / spread
    angle = FREQUENCY * scaled / softening(scaled, LIMIT, ops)
    return ops.sin(angle), ops.cos(angle)
