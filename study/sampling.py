"""A few of many, without chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of the places 0, …, count − 1, evenly spaced, the first and the last among them: int [≤ most]."""
    return np.round(np.linspace(0, count - 1, min(count, most))).astype(np.int64)
