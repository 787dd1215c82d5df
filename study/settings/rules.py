"""Rules for the fields of settings, and the base of the settings classes, which check their fields at construction."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from study.errors import BadInput, Fault

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """accept: returns the value to keep or raises ValueError. valid: describes the valid values; names: lists them, if any."""

    valid: str
    accept: Callable[[Any], Any]
    names: tuple[str, ...] = ()

    def fault(self, key: str, value: object) -> Fault:
        """Return the fault of a value that isn't accepted, with the nearest name."""
        return Fault(key, value, suggestion(value, self.names) + self.valid)


def setting(default: T, rule: Rule) -> T:
    return field(default=default, metadata={"rule": rule})


def later(default: T, rule: Rule, **before: T) -> T:
    """Return a setting that earlier versions lacked: with the value that they acted by, it isn't part of a study's identity.

    before: `before=VALUE` gives that value; without it, it is the default.
    """
    return field(default=default, metadata={"rule": rule, "before": before.get("before", default)})


# marks between groups of three digits, which a champion carries too; the last two are no-break spaces
THOUSANDS = (",", ".", "'", "’", " ", "\u00a0", "\u202f")
FLOAT32_MAX = 3.4e38


def number(low: float, high: float = FLOAT32_MAX, *, above: bool = False, below: bool = False) -> Rule:
    """Accept a number in [low, high] that single precision holds; `above` and `below` exclude the end."""

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
    """Accept what `rule` accepts, or None."""
    return Rule(f"{rule.valid}, or null", lambda value: None if value is None else rule.accept(value), rule.names)


def _accept_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


TEXT = Rule("a text that isn't empty", _accept_text)

LONGEST_STUDY_NAME = 500  # of an MLflow experiment, and PostgreSQL takes no NUL
# MLflow's own experiment, and the ids of its runs
RESERVED = re.compile("Default|[0-9a-f]{32}")


def _accept_study_name(value: object) -> str:
    text = _accept_text(value)
    text.encode()
    if len(text) > LONGEST_STUDY_NAME or "\0" in text or RESERVED.fullmatch(text):
        raise ValueError
    return text


STUDY_NAME = Rule(f"a text of 1 to {LONGEST_STUDY_NAME} characters, other than Default and a run's id", _accept_study_name)


def one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)

    def accept(value: object) -> str:
        if value not in known:
            raise ValueError
        return str(value)

    return Rule(", ".join(known), accept, known)


def listing(element: Rule, *, at_least: int, distinct: bool = False) -> Rule:
    """Accept a sequence of values of one rule; keep it as a tuple."""

    def accept(value: object) -> tuple[object, ...]:
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise ValueError
        kept = tuple(element.accept(item) for item in value)
        if len(kept) < at_least or (distinct and len(set(kept)) < len(kept)):
            raise ValueError
        return kept

    kind = "a list in [ ] that isn't empty" if at_least else "a list in [ ]"
    return Rule(f"{kind}, of: {element.valid}{', each once' if distinct else ''}", accept)


def nearest(name: object, names: Iterable[str]) -> str:
    """Return the valid names as text, the nearest match first if there is one."""
    known = list(names)
    return suggestion(name, known) + ", ".join(known)


def one_of_names(name: object, names: Iterable[str]) -> str:
    """Return the valid names of a study, a run or the like as text, with the one that was probably meant."""
    known = list(names)
    return f"{suggestion(name, known)}one of: {', '.join(known) or 'none yet'}"


def suggestion(name: object, names: Iterable[str]) -> str:
    """Suggest the name that was probably meant, if there is one: the most similar, or else the first that it abbreviates.

    In dotted names, only the part after the last dot counts.
    """
    short = str(name).rpartition(".")[2]
    known = {dotted.rpartition(".")[2]: dotted for dotted in reversed(list(names))}
    close = difflib.get_close_matches(short, known, n=1) or [long for long in reversed(known) if _abbreviates(short, long)]
    return f"did you mean {known[close[0]]}? " if close else ""


def _abbreviates(short: str, name: str) -> bool:
    letters = iter(name)  # lr and lrr abbreviate learning_rate: the same first letter, and all letters in this order
    return len(short) > 1 and name.startswith(short[0]) and all(letter in letters for letter in short)


def accepted(section: str, settings: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the settings that have a rule, as their rules accept them; an absent one is None. Raises BadInput with all faults."""
    kept, faults = {}, []
    for name, rule in rules.items():
        value = settings.get(name)
        try:
            kept[name] = rule.accept(value)
        except ValueError:
            faults.append(rule.fault(f"{section}.{name}", value))
    if faults:
        raise BadInput(faults)
    return kept


class SettingsSection:
    """Base of the settings classes: checks every field against its rule at construction."""

    def __post_init__(self) -> None:
        faults = []
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            rule = item.metadata.get("rule")
            if rule is None:
                continue
            value = getattr(self, item.name)
            try:
                object.__setattr__(self, item.name, rule.accept(value))
            except ValueError:
                faults.append(rule.fault(item.name, value))
        if faults:
            raise BadInput(faults)


class Kind(SettingsSection):
    """Base of a section that comes in kinds; `name` is the kind's registered name."""

    name: ClassVar[str]


def registry(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    """Return the kinds of a section by name."""
    return {kind.name: kind for kind in kinds}
