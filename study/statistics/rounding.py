"""Write numbers as a person reads them: to a few significant digits, the same everywhere."""

from __future__ import annotations

import math

MISSING = "–"
SMALLEST, LARGEST = 1e-4, 1e5  # beyond, numbers with a fraction have powers of ten


def number(value: float | None, digits: int = 3) -> str:
    """Return a number to a few significant digits; '–' for none."""
    if value is None or math.isnan(value):
        return MISSING
    value += 0.0  # no -0.0
    magnitude = abs(value)
    if magnitude and not SMALLEST <= magnitude < LARGEST:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - (math.floor(math.log10(magnitude)) if magnitude else 0))}f}"


def has_spread(halfwidth: float | None) -> bool:
    """Return whether half an interval is one to print beside its mean: zero is that of copies."""
    return halfwidth is not None and halfwidth > 0


def interval_text(mean: float, halfwidth: float | None) -> str:
    """Return a number with half its interval, if it has one, to two digits of that half."""
    if halfwidth is None or not has_spread(halfwidth):
        return number(mean, 4)
    if halfwidth < 1e-8 or max(abs(mean), halfwidth) >= LARGEST:
        return f"{number(mean, 4)} ± {number(halfwidth, 2)}"
    decimals = max(0, 1 - math.floor(math.log10(halfwidth)))
    return f"{round(mean, decimals) + 0.0:.{decimals}f} ± {halfwidth:.{decimals}f}"  # + 0.0: no -0.0
