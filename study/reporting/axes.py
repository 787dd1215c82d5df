"""An axis of a picture that is written as SVG: where values lie, and round numbers between its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

TICKS = 7  # about as many at most
FEW, MANY = 30, 3000  # times the first value, up to which a logarithmic axis has three ticks per decade, or two


@dataclass(frozen=True)
class Axis:
    """first, last: the values at its ends. start, end: where these lie, in pixels. is_log: whether all decades have one length."""

    first: float
    last: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        span = math.log(self.last / self.first) if self.is_log else self.last - self.first
        share = (math.log(value / self.first) if self.is_log else value - self.first) / (span or 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return a few round numbers between its ends."""
        if self.is_log:
            lowest, highest = math.floor(math.log10(self.first)), math.ceil(math.log10(self.last))
            ratio = self.last / self.first
            factors = (1, 2, 5) if ratio <= FEW else (1, 3) if ratio <= MANY else (1,)
            powers = range(lowest, highest + 1, math.ceil((highest - lowest) / TICKS))
            return [tick for power in powers for factor in factors if self.first <= (tick := factor * 10.0**power) <= self.last]
        rough = ((self.last - self.first) or 1.0) / TICKS
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
        return [tick * step for tick in range(math.ceil(self.first / step), math.floor(self.last / step) + 1)]
