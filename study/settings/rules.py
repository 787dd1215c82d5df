"""What a field accepts, and the base of the settings classes, which check their fields when they are constructed."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from study.errors import BadInput, Fault

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """`accept` returns the value to keep or raises ValueError; `valid` says in words what it accepts."""

    valid: str
    accept: Callable[[Any], Any]


def setting(default: T, rule: Rule) -> T:
    return field(default=default, metadata={"rule": rule})


FLOAT32_MAX = 3.4e38


def number(low: float, high: float = FLOAT32_MAX, *, above: bool = False, below: bool = False) -> Rule:
    """A number in [low, high] that single precision holds; `above` and `below` leave out the end."""

    def accept(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ValueError
        if value < low or value > high or (above and value == low) or (below and value == high):
            raise ValueError
        return float(value)

    lower = f"{'>' if above else '>='} {low:g}"
    upper = "" if high == FLOAT32_MAX else f" and {'<' if below else '<='} {high:g}"
    return Rule(f"a finite number {lower}{upper}", accept)


def integer(low: int, high: int) -> Rule:
    def accept(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a whole number from {low} to {high}", accept)


def _accept_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


FLAG = Rule("true or false", _accept_flag)


def optional(rule: Rule) -> Rule:
    """What `rule` accepts, or None."""
    return Rule(f"{rule.valid}, or null", lambda value: None if value is None else rule.accept(value))


def _accept_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


TEXT = Rule("a text that isn't empty", _accept_text)


def one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)

    def accept(value: object) -> str:
        if value not in known:
            raise ValueError
        return str(value)

    return Rule(", ".join(known), accept)


def listing(element: Rule, *, at_least: int, distinct: bool = False) -> Rule:
    """A sequence of values of one rule, kept as a tuple."""

    def accept(value: object) -> tuple[object, ...]:
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise ValueError
        kept = tuple(element.accept(item) for item in value)
        if len(kept) < at_least or (distinct and len(set(kept)) < len(kept)):
            raise ValueError
        return kept

    kind = "a list that isn't empty" if at_least else "a list, or []"
    return Rule(f"{kind}, of: {element.valid}{', each once' if distinct else ''}", accept)


def nearest(name: object, names: Iterable[str]) -> str:
    """The valid names in words, the nearest match first where there is one."""
    known = list(names)
    close = difflib.get_close_matches(str(name), known, n=1)
    return (f"did you mean {close[0]}? " if close else "") + ", ".join(known)


class Section:
    """Base of the settings classes: checks every field against its rule at construction."""

    def __post_init__(self) -> None:
        faults = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            rule = each.metadata.get("rule")
            if rule is None:
                continue
            value = getattr(self, each.name)
            try:
                object.__setattr__(self, each.name, rule.accept(value))
            except ValueError:
                faults.append(Fault(each.name, value, rule.valid))
        if faults:
            raise BadInput(faults)


class Kind(Section):
    """Base of a section that comes in kinds; `name` is the kind's registered name."""

    name: ClassVar[str]


def registry(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    """The kinds of a section by their names."""
    return {kind.name: kind for kind in kinds}
