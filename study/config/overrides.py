"""Read search spaces from Hydra's override grammar, and write sampled settings as overrides.

The syntax is that of Hydra's own Optuna sweeper: `x=choice(a,b)`, `x=a,b`, `x=range(1,9)` (1 to 8, as everywhere in Hydra),
`x=interval(1e-5,1e-1)`, `x=tag(log,interval(1e-5,1e-1))`, `x=int(interval(1,128))`, `x=glob(*)`. In addition, a tag can name a
condition: `optimizer.momentum=tag(optimizer:sgd|rmsprop,interval(0.5,0.99))` is sampled and set only with these optimizers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException

from study.config.grammar import as_text, encode, parse, quote_columns
from study.config.precedence import DEPTH, SAME_AS, WIDTH, check, is_decided, plain, settings
from study.errors import BadInput, Fault, collecting
from study.records.arrays import Scalar
from study.search import space as spaces
from study.search.space import Choice, Condition, Domain, Interval

INTERVAL = re.compile(r"interval\(\s*(?:start\s*=)?([^,()=]+),\s*(?:end\s*=)?([^,()=]+)\)")


def split(
    lines: Sequence[str],
    params: Mapping[str, Any],
    default_params: Mapping[str, Any],
    loader: ConfigLoader | None = None,
    known: Mapping[str, object] | None = None,
) -> tuple[dict[str, Domain], list[str]]:
    """Return the search space and the fixed overrides.

    lines: the command line's overrides; params: the config's `hydra.sweeper.params`, which the command line replaces key by key;
    default_params: the space to use if neither searches anything, without the settings that `lines`, `params` or `known` fix;
    known: settings of the user's own files, by plain key. Raises BadInput for a setting that is given twice.
    """
    parsed = parse(lines, loader)
    on_line = settings(parsed)
    configured = _configured(params, on_line, loader)
    if not any(override.is_sweep_override() for override in [*parsed, *configured]):
        stronger = {**(known or {}), **settings(configured), **on_line}
        if stronger.get(SAME_AS) is not None:
            stronger |= {WIDTH: "", DEPTH: ""}
        configured += _configured(default_params, stronger, loader)
    check([*configured, *parsed])
    space: dict[str, Domain] = {}
    fixed: list[str] = []
    faults: list[Fault] = []
    searched: dict[str, bool] = {}
    for override in [*configured, *parsed]:
        key, line, searches = plain(override), str(override.input_line), override.is_sweep_override()
        keys = settings([override])
        if any(searched[setting] or searches for setting in keys if setting in searched):
            faults.append(Fault(key, line, "a setting given once, either searched or fixed"))
            continue
        searched |= dict.fromkeys(keys, searches)
        if not searches:
            fixed.append(line)
            continue
        with collecting(faults):
            prefix = line[: len(line) - len(line.lstrip("+"))]
            space[key] = replace(_domain(key, override), prefix=prefix)
    if faults:
        raise BadInput(faults)
    return spaces.ordered(_settled(space, [*configured, *parsed])), fixed


def layers(lines: Sequence[str], params: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return the settings of the config's params and of the command line, by plain key, in order of precedence."""
    on_line = settings(parse(lines))
    return [settings(_configured(params, on_line)), on_line]


def _configured(params: Mapping[str, Any], by: Mapping[str, object], loader: ConfigLoader | None = None) -> list[Override]:
    """Return the overrides of a config's params, without those that stronger settings replace."""
    return [override for override in parse(quote_columns(_lines(params)), loader) if not is_decided(override, by)]


def _settled(space: Mapping[str, Domain], overrides: Sequence[Override]) -> dict[str, Domain]:
    """Return the space with conditions on fixed settings resolved: domains that they rule out are dropped."""
    fixed = {plain(override): spaces.text(_scalar(override.value())) for override in overrides if not override.is_sweep_override()}
    settled = {}
    for key, domain in space.items():
        known = [condition for condition in domain.when if condition.key in fixed]
        if all(condition.holds(fixed[condition.key]) for condition in known):
            settled[key] = replace(domain, when=tuple(condition for condition in domain.when if condition not in known))
    return settled


def _lines(params: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a config's params as override lines, with nested keys joined by dots."""
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
        # Hydra's int(…) silently truncates bounds
        if whole and written and not all(float(bound).is_integer() for bound in written.groups()):
            raise BadInput([Fault(key, written[0], "whole bounds for whole numbers")])
        return Interval(key, *_bounds(key, value.start, value.end), log=log, whole=whole, when=when)
    if isinstance(value, RangeSweep):
        return replace(_range(key, value, log, override.input_line), when=when)
    # not from the iterator, which shuffles at each use: every launch must see the same study
    elements = value.list if isinstance(value, ChoiceSweep) else list(override.sweep_iterator())
    if any(isinstance(element, Sweep) for element in elements):
        raise BadInput([Fault(key, override.input_line, "choices that are single values")])
    return Choice(key, tuple(map(_scalar, elements)), when=when)


def _tags(key: str, tags: Iterable[str]) -> tuple[bool, tuple[Condition, ...]]:
    """Return whether a domain has a log scale, and the conditions under which it applies."""
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
        raise BadInput([Fault(key, text, "a range with at least one value")])
    if len(members) == 1:
        return Choice(key, (members[0],))
    # the step as written, since a difference of members has rounding errors
    step = abs(value.step)
    whole = all(isinstance(member, int) for member in members)
    return Interval(key, members[0], members[-1], log=log, step=None if whole and step == 1 else step, whole=whole)


def _bounds(key: str, low: object, high: object) -> tuple[float, float]:
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise BadInput([Fault(key, f"interval({low},{high})", "interval(low,high) of numbers")])
    return low, high


def _scalar(element: object) -> Scalar:
    """Return a number, boolean or None unchanged, and anything else as override text, quotes included."""
    return element if element is None or isinstance(element, bool | int | float) else as_text(element)


def plain_value(sampled: Scalar) -> object:
    """Return a sampled setting as a config has it: a text of the override grammar as the value that it stands for."""
    return parse([f"x={sampled}"])[0].value() if isinstance(sampled, str) else sampled


def sampled(domain: Domain, value: object) -> Scalar:
    """Return a config's value as the domain samples it. Raises ValueError if it lies outside."""
    if isinstance(domain, Interval):
        return spaces.number_in(domain, value)
    for choice in domain.values:
        # to Python, 1 and true are equal
        if (known := plain_value(choice)) == value and isinstance(known, bool) == isinstance(value, bool):
            return choice
    raise ValueError


def fixed_value(key: str, fixed: Sequence[str]) -> Choice | None:
    """Return the value that the fixed overrides give a key, as a domain of one value; None if they don't set it."""
    matching = [override for override in parse(fixed) if plain(override) == key]
    return Choice(key, (_scalar(matching[-1]._value),)) if matching else None


def with_condition(domain: Domain, on: str, values: Sequence[str]) -> str:
    """Return an override that searches a domain only where the setting `on` has one of the values."""
    when = [*domain.when, Condition(on, tuple(values))]
    tags = ["log"] * (isinstance(domain, Interval) and domain.log)
    tags += [f"{condition.key}:{'|'.join(condition.values)}" for condition in when]
    return f"{domain.prefix}{domain.key}=tag({','.join(tags)},{_text(domain)})"


def _text(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"choice({','.join(value if isinstance(value, str) else encode(value) for value in domain.values)})"
    if domain.step or (domain.whole and not domain.log):
        step = domain.step or 1
        end = domain.high + (step if domain.whole else step / 2)
        return f"range({domain.low:.12g},{end:.12g},{step:.12g})"
    text = f"interval({domain.low:.12g},{domain.high:.12g})"
    return f"int({text})" if domain.whole else text


def assignments(params: Mapping[str, Scalar], space: Mapping[str, Domain]) -> list[str]:
    """Return sampled settings as overrides. Texts are override text already (see `_scalar`)."""
    return [
        f"{space[key].prefix if key in space else ''}{key}={value if isinstance(value, str) else encode(value)}"
        for key, value in params.items()
    ]
