"""Hydra's override grammar: search spaces from it, and overrides back into it.

The syntax is that of Hydra's own Optuna sweeper: `x=choice(a,b)`, `x=a,b`, `x=range(1,9)` (1 to 8, as everywhere in Hydra),
`x=interval(1e-5,1e-1)`, `x=tag(log,interval(1e-5,1e-1))`, `x=int(interval(1,128))`, `x=glob(*)`. Beyond it, a tag can name a
condition: `optimizer.momentum=tag(optimizer:sgd|rmsprop,interval(0.5,0.99))` is sampled, and set, with these optimizers alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, Quote, QuotedString, RangeSweep, Sweep
from hydra.errors import HydraException

from study import space as spaces
from study.errors import BadInput, Fault
from study.records import Scalar
from study.space import Choice, Condition, Domain, Interval

INTERVAL = re.compile(r"interval\(\s*(?:start\s*=)?([^,()=]+),\s*(?:end\s*=)?([^,()=]+)\)")


def parse(lines: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Overrides from the command line. Raises BadInput for each that breaks the grammar."""
    parser, parsed, faults = OverridesParser.create(config_loader=loader), [], []
    for line in lines:
        try:
            parsed += parser.parse_overrides([line])
        except HydraException as error:
            faults.append(Fault(line.split("=")[0], line, f"key=value in Hydra's grammar ({str(error).splitlines()[0]})"))
    if faults:
        raise BadInput(faults)
    return parsed


def split(
    lines: Sequence[str], params: Mapping[str, Any], default_params: Mapping[str, Any], loader: ConfigLoader | None = None
) -> tuple[dict[str, Domain], list[str]]:
    """The search space and the fixed overrides.

    lines: the command line's overrides; params: the config's (`hydra.sweeper.params`), which the command line replaces key by
    key; default_params: the space when neither has anything to search.
    """
    given = parse(lines, loader)
    keys = {override.get_key_element() for override in given}
    configured = [each for each in parse(_lines(params), loader) if each.get_key_element() not in keys]
    if not any(each.is_sweep_override() for each in [*given, *configured]):
        configured += [each for each in parse(_lines(default_params), loader) if each.get_key_element() not in keys]
    space: dict[str, Domain] = {}
    fixed: dict[str, list[str]] = {}
    faults: list[Fault] = []
    for override in [*configured, *given]:
        key, line = override.get_key_element(), str(override.input_line)
        if key in space or (override.is_sweep_override() and key in fixed):
            faults.append(Fault(key, line, "a setting that is given once: searched, or fixed"))
        elif override.is_sweep_override():
            try:
                space[key] = _domain(key, override)
            except BadInput as bad:
                faults += bad.faults
        else:
            fixed.setdefault(key, []).append(line)
    if faults:
        raise BadInput(faults)
    return spaces.ordered(_settled(space, given)), [line for each in fixed.values() for line in each]


def _settled(space: Mapping[str, Domain], given: Sequence[Override]) -> dict[str, Domain]:
    """The space without the conditions on settings that the command line fixes, and without what these rule out."""
    fixed = {each.get_key_element(): spaces.text(_scalar(each.value())) for each in given if not each.is_sweep_override()}
    found = {}
    for key, domain in space.items():
        known = [condition for condition in domain.when if condition.key in fixed]
        if all(condition.holds(fixed[condition.key]) for condition in known):
            found[key] = replace(domain, when=tuple(each for each in domain.when if each not in known))
    return found


def _lines(params: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A config's params as override lines; nested keys are joined by dots."""
    lines = []
    for key, value in params.items():
        if isinstance(value, Mapping):
            lines += _lines(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}={value if isinstance(value, str) else encode(value)}")
    return lines


def _domain(key: str, override: Override) -> Domain:
    value = override.value()
    log, when = _tags(key, getattr(value, "tags", ()))
    if isinstance(value, IntervalSweep):
        # the grammar reads interval(1,10) as floats; only int(interval(1,10)) leaves whole bounds
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        written = INTERVAL.search(str(override.input_line))
        # Hydra's int(…) cuts bounds off without a word
        if whole and written and not all(float(bound).is_integer() for bound in written.groups()):
            raise BadInput([Fault(key, written[0], "whole bounds for whole numbers")])
        return Interval(key, *_bounds(key, value.start, value.end), log=log, whole=whole, when=when)
    if isinstance(value, RangeSweep):
        return replace(_range(key, value, log, override.input_line), when=when)
    # not the iterator's, which shuffles anew at each look: a study is the same study at each launch
    elements = value.list if isinstance(value, ChoiceSweep) else list(override.sweep_iterator())
    if any(isinstance(each, Sweep) for each in elements):
        raise BadInput([Fault(key, override.input_line, "choices that are values")])
    return Choice(key, tuple(map(_scalar, elements)), when=when)


def _tags(key: str, tags: Iterable[str]) -> tuple[bool, tuple[Condition, ...]]:
    """Whether a domain is on a log scale, and when it is there."""
    conditions = []
    for tag in sorted(set(tags) - {"log"}):
        on, colon, values = tag.partition(":")
        if not (on and colon and all(values.split("|"))):
            raise BadInput([Fault(key, f"tag({tag}, …)", "log, or a condition such as optimizer:sgd|rmsprop")])
        conditions.append(Condition(on, tuple(values.split("|"))))
    return "log" in tags, tuple(conditions)


def _range(key: str, value: RangeSweep, log: bool, text: str | None) -> Domain:
    try:
        members = sorted(value.range())
    except (HydraException, ValueError, ArithmeticError, AssertionError) as error:
        raise BadInput([Fault(key, text, "range(start,stop,step) of numbers, with a step that isn't 0")]) from error
    if not members:
        raise BadInput([Fault(key, text, "a range that isn't empty")])
    if len(members) == 1:
        return Choice(key, (members[0],))
    # the step as it was written: a difference of members would be off by rounding
    step = abs(value.step)
    whole = all(isinstance(member, int) for member in members)
    return Interval(key, members[0], members[-1], log=log, step=None if whole and step == 1 else step, whole=whole)


def _bounds(key: str, low: object, high: object) -> tuple[float, float]:
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise BadInput([Fault(key, f"interval({low},{high})", "interval(low,high) of numbers")])
    return low, high


def _scalar(element: object) -> Scalar:
    """A number or truth value as it is; anything else as the text that stands for it in an override, quotes kept."""
    if element is None or isinstance(element, bool | int | float):
        return element
    return str(Override._get_value_element_as_str(element))  # type: ignore[arg-type]


def encode(value: object) -> str:
    """A value as an override's right-hand side, such that Hydra reads the same value back."""
    if value is None or isinstance(value, bool):
        return spaces.text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(encode, value))}]"
    return QuotedString(str(value), Quote.single).with_quotes()


def assignments(params: Mapping[str, Scalar]) -> list[str]:
    """Sampled settings as overrides. Texts are override text already (`_scalar`)."""
    return [f"{key}={value if isinstance(value, str) else encode(value)}" for key, value in params.items()]
