"""Write the numbers of a table's column in one format, so that they can be read down the column."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from study.records.outcome import Interval
from study.statistics.rounding import LARGEST, MISSING, SMALLEST, number

FIXED_FACTOR = 100.0  # columns whose numbers span less have as many decimals in each row
MOST_DECIMALS = 6
ALIKE = 0.05  # numbers that are this near to their median, relatively, are one number for a reader


def numbers(values: Sequence[float | None], digits: int = 3) -> list[str]:
    """Return numbers to `digits` significant digits: with the decimals of the largest, or each with its own in a wide column."""
    known = [abs(value) for value in values if value is not None and math.isfinite(value) and value]
    if all(float(value).is_integer() for value in known):
        return _written(values, lambda value: f"{value:,.0f}")
    if min(known) < SMALLEST or max(known) >= LARGEST:
        return _written(values, lambda value: f"{value:.{digits - 1}e}")
    if max(known) < FIXED_FACTOR * min(known):
        decimals = _decimals(max(known), digits)
        return _written(values, lambda value: f"{value:.{decimals}f}")
    return _written(values, lambda value: f"{value:.{_decimals(abs(value) or 1.0, digits)}f}")


def means(values: Sequence[float | None], halfwidths: Sequence[float | None]) -> list[str]:
    """Return means, each with half its interval if it has one, all with the same decimals.

    They are those of two digits of the usual half, or of the smallest mean if that needs more. A half that would be written as zero
    has a digit of its own.
    """
    known = [half for half in halfwidths if half]
    if not known or not SMALLEST < statistics.median(known) < LARGEST:
        return numbers(values, 4)
    smallest = min((abs(value) for value in values if value), default=1.0)
    decimals = max(_decimals(statistics.median(known), 2), min(_decimals(smallest, 2), MOST_DECIMALS))

    def text(half: float) -> str:
        written = f"{half:.{decimals}f}"
        return written if float(written) else number(half, 1)

    return [
        MISSING if value is None else f"{value:.{decimals}f}" + (f" ± {text(half)}" if half else "")
        for value, half in zip(values, halfwidths, strict=True)
    ]


def constant(values: Sequence[float | None]) -> bool:
    """Return True for several numbers of which a reader sees only one."""
    known = [value for value in values if value is not None]
    middle = statistics.median(known) if known else 0.0
    return len(known) > 2 and all(abs(value - middle) <= ALIKE * abs(middle) for value in known)


def fixed(values: Sequence[float], beside: Sequence[float], digits: int = 3) -> list[str]:
    """Return numbers with the decimals that the largest finite one `beside` them has to `digits` significant digits."""
    largest = max((abs(value) for value in beside if math.isfinite(value)), default=1.0) or 1.0
    return _written(values, lambda value: f"{value:.{_decimals(largest, digits)}f}")


def estimates(values: Sequence[Interval | None], beside: float, digits: int = 3) -> list[str]:
    """Return values with the ends of their intervals, with the decimals that `beside` has to `digits` significant digits."""
    texts = iter(fixed([number for value in values if value for number in value], [beside], digits))
    return [f"{next(texts)} [{next(texts)}, {next(texts)}]" if value else MISSING for value in values]


def middle(values: Sequence[float | None], digits: int = 3) -> str:
    """Return the median of what is known."""
    return numbers([statistics.median(value for value in values if value is not None)], digits)[0]


def _written(values: Sequence[float | None], write: Callable[[float], str]) -> list[str]:
    return [MISSING if value is None or math.isnan(value) else write(value) for value in values]


def _decimals(magnitude: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(magnitude)))
