"""Search spaces: the values that may be sampled for each setting, and the conditions under which it is active."""

from __future__ import annotations

import graphlib
import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

import yaml

from study.errors import BadInput, Fault
from study.settings.values import Scalar, Value

MOST_COUNTED = 1_000_000


@dataclass(frozen=True)
class Condition:
    """The condition that another searched setting has one of these values, as texts: `optimizer` is `sgd` or `rmsprop`."""

    key: str
    values: tuple[str, ...]

    def holds(self, value: Scalar) -> bool:
        return text(value) in self.values

    def __str__(self) -> str:
        return f"{self.key} is {' or '.join(self.values)}"


def text(value: Scalar) -> str:
    """Return a value as overrides and conditions write it."""
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def setting(sampled: Scalar) -> Value:
    """Return a sampled value as its setting has it: a list is sampled as the text of its override, such as `[init,order]`."""
    if isinstance(sampled, str) and sampled.startswith("["):
        with suppress(yaml.YAMLError):
            return [str(element) for element in yaml.safe_load(sampled)]
    return sampled


@dataclass(frozen=True)
class Choice:
    """One of several values, if all conditions of `when` hold. A list or a quoted text is kept as the text of its override.

    prefix: + or ++, which Hydra needs before a key to add it; it isn't part of the setting's identity.
    """

    key: str
    values: tuple[Scalar, ...]
    when: tuple[Condition, ...] = ()
    prefix: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # to Python 1, 1.0 and true are equal, and so they are to the search for settings that were tried
        distinct = {value if value == value else "nan" for value in self.values}
        if len(distinct) < max(1, len(self.values)):
            raise BadInput([Fault(self.key, ",".join(map(str, self.values)), "one or more choices, each once")])

    def samples(self) -> tuple[Scalar, ...]:
        """Return values that are valid only if the whole domain is."""
        return self.values

    def __str__(self) -> str:
        return f"choice({', '.join(map(str, self.values))}){_when(self)}"


@dataclass(frozen=True)
class Interval:
    """A number from low to high, both included; `log` samples its logarithm, `step` only low + k · step. Others as in `Choice`."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False
    when: tuple[Condition, ...] = ()
    prefix: str = field(default="", compare=False)

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
        step = f" in steps of {_number(self.step)}" if self.step else ""
        return f"{kind} from {_number(self.low)} to {_number(self.high)}{step}{', log' if self.log else ''}{_when(self)}"


def _number(value: float) -> str:
    """Return all digits but those of rounding errors: a study is known by its space."""
    short, whole = f"{value:g}", f"{value:.12g}"
    return short if float(short) == float(whole) or math.isnan(value) else whole


Domain = Choice | Interval
Space = Mapping[str, Domain]


def _when(domain: Domain) -> str:
    return f" when {' and '.join(map(str, domain.when))}" if domain.when else ""


def ordered(space: Mapping[str, Domain]) -> dict[str, Domain]:
    """Return the space with every setting after those in its conditions; otherwise in its order.

    Raises BadInput for a condition on anything but a searched choice with that value, and for conditions in a circle.
    """
    faults = []
    for key, domain in space.items():
        for condition in domain.when:
            on = space.get(condition.key)
            if not isinstance(on, Choice):
                choices = (
                    ", ".join(name for name, other in space.items() if isinstance(other, Choice) and name != key) or "none here"
                )
                faults.append(Fault(key, f"a condition on {condition.key}", f"one on a setting searched by its values ({choices})"))
            elif unknown := set(condition.values) - {text(value) for value in on.values}:
                faults.append(Fault(key, f"a condition on {condition.key} being {', '.join(sorted(unknown))}", str(on)))
    if faults:
        raise BadInput(faults)
    sorter = graphlib.TopologicalSorter({key: [condition.key for condition in domain.when] for key, domain in space.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise BadInput([Fault(error.args[1][0], " → ".join(error.args[1]), "conditions without a circle")]) from error
    in_order: dict[str, Domain] = {}

    def append(key: str) -> None:
        for condition in space[key].when:
            append(condition.key)
        in_order.setdefault(key, space[key])

    for key in space:
        append(key)
    return in_order


def active(domain: Domain, params: Mapping[str, Scalar]) -> bool:
    """Return whether a setting is active, given those before it."""
    return all(condition.key in params and condition.holds(params[condition.key]) for condition in domain.when)


def size(space: Space) -> int | None:
    """Return the number of different settings; None if it is infinite, or has conditions and is above MOST_COUNTED.

    space: the result of `ordered`.
    """
    counts = [_count(domain) for domain in space.values()]
    if None in counts:
        return None
    if not any(domain.when for domain in space.values()):
        return math.prod(count for count in counts if count is not None)
    counted = sum(1 for _ in itertools.islice(combinations(space), MOST_COUNTED + 1))
    return counted if counted <= MOST_COUNTED else None


def is_exhausted(space: Space, n_trials: int | None, sampler: str) -> bool:
    """Return whether so many trials go through the space one by one. A finite space is tried out whole by default, as Hydra does.

    More trials than settings would only repeat. space: the result of `ordered`; n_trials: None for the default.
    """
    count = size(space)
    return count is not None and (n_trials is None or n_trials >= count or sampler == "grid")


def combinations(space: Space) -> Iterator[dict[str, Scalar]]:
    """Yield all settings of a finite space, the last key varying fastest. space: the result of `ordered`."""
    if not any(domain.when for domain in space.values()):  # the usual case, without a copy for each key
        values = [_values(domain) for domain in space.values()]
        yield from (dict(zip(space, combination, strict=True)) for combination in itertools.product(*values))
        return
    keys = list(space)

    def extend(params: dict[str, Scalar], index: int) -> Iterator[dict[str, Scalar]]:
        if index == len(keys):
            yield params
            return
        domain = space[keys[index]]
        for value in _values(domain) if active(domain, params) else ():
            yield from extend(params | {keys[index]: value}, index + 1)
        if not active(domain, params):
            yield from extend(params, index + 1)

    yield from extend({}, 0)


def example(space: Space, key: str | None = None, value: Scalar = None) -> dict[str, Scalar]:
    """Return a setting of first values, in which `key`, if given, is active and has this value. space: the result of `ordered`."""
    wanted: dict[str, Scalar] = {}

    def want(key: str, value: Scalar) -> None:
        wanted.setdefault(key, value)
        for condition in space[key].when:
            on = space[condition.key]
            want(condition.key, next(sample for sample in on.samples() if condition.holds(sample)))

    if key is not None:
        want(key, value)
    params: dict[str, Scalar] = {}
    for name, domain in space.items():
        if active(domain, params):
            params[name] = wanted.get(name, domain.samples()[0])
    return params


def number_in(domain: Interval, value: object) -> int | float:
    """Return a number of the interval as it is sampled. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not domain.low <= value <= domain.high:
        raise ValueError
    if domain.step is None and not domain.whole:
        return float(value)
    steps = (value - domain.low) / (domain.step or 1)
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError
    return _step(domain, round(steps))


def _count(domain: Domain) -> int | None:
    if isinstance(domain, Choice):
        return len(domain.values)
    if domain.whole or domain.step:
        return math.floor((domain.high - domain.low) / (domain.step or 1) + 1e-9) + 1
    return None


def _values(domain: Domain) -> tuple[Scalar, ...]:
    if isinstance(domain, Choice):
        return domain.values
    return tuple(_step(domain, index) for index in range(_count(domain) or 0))


def _step(domain: Interval, index: int) -> int | float:
    if domain.whole:
        return int(domain.low) + index * int(domain.step or 1)
    # in decimal, as it was written: 0.3 + 6 · 0.1 is beyond 0.9 in binary
    return float(Decimal(str(domain.low)) + index * Decimal(str(domain.step)))
