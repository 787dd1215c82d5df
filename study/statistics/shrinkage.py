"""Correct the lowest of many means for having been chosen as the lowest."""

from __future__ import annotations

import numpy as np

from study.records.arrays import Array, Doubles


def shrunken(means: Array, variances: Array) -> Doubles:
    """Shrink the better half of the means toward its centre: empirical Bayes with unequal variances (Morris 1983, section 5), [S].

    means: of losses, [S], lower is better; those of the worse half stay as they are, since a search has many poor settings, which
    would hide how close the good ones are. variances: of these means, [S]. Fewer than four means can't be shrunk.
    """
    values = np.array(means, np.float64)
    half = np.argsort(values, kind="stable")[: -(-len(values) // 2)]
    count, own = len(half), np.asarray(variances, np.float64)[half]
    if count < 4:
        return values
    among = max(0.0, float(values[half].var(ddof=1) - own.mean()))  # variance of the settings' true means
    if not (among + own).all():
        return values
    weights = 1 / (among + own)
    centre = np.sum(weights * values[half]) / weights.sum()
    values[half] += (count - 3) / (count - 1) * own * weights * (centre - values[half])
    return values
