"""Intervals over replicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_halfwidth(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Half the width of Student's t interval for the mean; None for one value, which tells nothing of its spread."""
    n = len(values)
    if n < 2:
        return None
    quantile = stats.t.ppf((1 + confidence) / 2, n - 1)
    return float(quantile * np.std(values, ddof=1) / np.sqrt(n))
