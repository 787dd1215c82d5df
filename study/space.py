"""Search spaces: what may be sampled for each setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from study.errors import BadInput, Fault
from study.records import Scalar


@dataclass(frozen=True)
class Choice:
    """One of several values. A list or a quoted text is kept as the text of its override."""

    key: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        # Python finds 1, 1.0 and true equal, and so does the search for a setting that was tried
        distinct = {value if value == value else "nan" for value in self.values}
        if len(distinct) < max(1, len(self.values)):
            raise BadInput([Fault(self.key, ",".join(map(str, self.values)), "one or more choices, each once")])

    def samples(self) -> tuple[Scalar, ...]:
        """Values that show whether the whole domain is valid."""
        return self.values

    def __str__(self) -> str:
        return f"choice({', '.join(map(str, self.values))})"


@dataclass(frozen=True)
class Interval:
    """A number from low to high, both included; `log` samples its logarithm, `step` only low + k · step."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        got, faults = f"{self}", []
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            faults.append(Fault(self.key, got, "finite bounds with low < high"))
        if self.log and not self.low > 0:
            faults.append(Fault(self.key, got, "bounds above 0 on a log scale"))
        if self.whole and not all(
            float(bound).is_integer() for bound in (self.low, self.high, self.step or 1) if math.isfinite(bound)
        ):
            faults.append(Fault(self.key, got, "whole bounds for whole numbers"))
        if self.step is not None and not (self.step > 0 and math.isfinite(self.step)):
            faults.append(Fault(self.key, got, "a step above 0"))
        elif self.step is not None and not faults and not self.log:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6:
                faults.append(Fault(self.key, got, f"a step that divides {self.high - self.low:g}, from low to high"))
        if self.log and self.step not in (None, 1):
            faults.append(Fault(self.key, got, "no step on a log scale"))
        if faults:
            raise BadInput(faults)

    def samples(self) -> tuple[Scalar, ...]:
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"{kind} from {self.low:g} to {self.high:g}{step}{', log' if self.log else ''}"


Domain = Choice | Interval
Space = Mapping[str, Domain]


def size(space: Space) -> int | None:
    """The number of different settings; None if it isn't finite."""
    counts = [_count(domain) for domain in space.values()]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def combinations(space: Space) -> Iterator[dict[str, Scalar]]:
    """All settings of a finite space, the last key varying fastest."""
    values = [_values(domain) for domain in space.values()]
    return (dict(zip(space, each, strict=True)) for each in itertools.product(*values))


def _count(domain: Domain) -> int | None:
    if isinstance(domain, Choice):
        return len(domain.values)
    if domain.whole or domain.step:
        return math.floor((domain.high - domain.low) / (domain.step or 1) + 1e-9) + 1
    return None


def _values(domain: Domain) -> tuple[Scalar, ...]:
    if isinstance(domain, Choice):
        return domain.values
    if domain.whole:
        return tuple(range(int(domain.low), int(domain.high) + 1, int(domain.step or 1)))
    # in decimal, as it was written: 0.3 + 6 · 0.1 is beyond 0.9 in binary
    low, step = Decimal(str(domain.low)), Decimal(str(domain.step))
    return tuple(float(low + index * step) for index in range(_count(domain) or 0))
