"""Even selection, without randomness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """Select at most `most` of the indices 0, …, count − 1, evenly spaced, including both ends: int [≤ most]."""
    return np.round(np.linspace(0, count - 1, min(count, most))).astype(np.int64)
