"""Hydra's override grammar: search spaces from it, and overrides back into it.

The syntax is that of Hydra's own Optuna sweeper: `x=choice(a,b)`, `x=a,b`, `x=range(1,9)` (1 to 8, as everywhere in Hydra),
`x=interval(1e-5,1e-1)`, `x=tag(log,interval(1e-5,1e-1))`, `x=int(interval(1,128))`, `x=glob(*)`. Beyond it, a tag can name a
condition: `optimizer.momentum=tag(optimizer:sgd|rmsprop,interval(0.5,0.99))` is sampled, and set, with these optimizers alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
)
from hydra.errors import HydraException

from study import space as spaces
from study.errors import BadInput, Fault
from study.records import Scalar
from study.space import Choice, Condition, Domain, Interval
from study.spec import KINDS, SECTIONS, TrialSpec, kinds_with

# the hidden layers at once, and the two numbers that a search varies in their place
UNITS, WIDTH, DEPTH = "model.units", "model.width", "model.depth"
# the shapes of another run's networks
SAME_AS = "init.same_as"
# columns' names, and others that are free texts
COLUMN, COLUMNS = "data.target", "data.drop"
TEXTS = {COLUMN, "data.path", "data.delimiter", "data.decimal", "data.encoding", SAME_AS, "tracking.uri"}
TEXTS |= {"hydra.sweeper.study_name", "hydra.sweeper.storage"}
LISTS = {UNITS, COLUMNS, "replicates.vary", "replicates.crossed", "data.units", "schedule.boundaries", "schedule.factors"}
LISTS |= {"hydra.sweeper.objective", "hydra.sweeper.direction"}
# what stands in the place of a section that is deleted
INSTEAD = {"pruner": "pruner=none", "tracking": "tracking=none", "sampler": "sampler=random"}
SWEEPER = "hydra/sweeper"
INTERVAL = re.compile(r"interval\(\s*(?:start\s*=)?([^,()=]+),\s*(?:end\s*=)?([^,()=]+)\)")


def parse(lines: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Overrides from the command line. Raises BadInput for each that breaks the grammar."""
    parser, parsed, faults = OverridesParser.create(config_loader=loader), [], []
    for line in lines:
        try:
            parsed += parser.parse_overrides([line])
        except HydraException as error:
            valid = f"key=value in Hydra's grammar ({str(error).splitlines()[0]}){_quoted(line)}"
            faults.append(Fault(line.split("=")[0], line, valid))
    if faults:
        raise BadInput(faults)
    return parsed


def _quoted(line: str) -> str:
    """How to write a text that the grammar doesn't take as it is, ready for a shell; nothing for another kind of setting."""
    written, _, value = line.partition("=")
    key = written.lstrip("+")
    if key == COLUMNS and value[:1] == "[" and value[-1:] == "]":
        tries = {f"[{_each_in_quotes(value[1:-1])}]": ""}
    elif key == COLUMN and (listed := re.fullmatch(r"choice\((.*)\)", value)):
        tries = {_each_in_quotes(listed[1]): ""}
    elif key == COLUMN and "," in value:
        tries = {_in_quotes(value): " (one column)", _each_in_quotes(value): " (each of them)"}
    else:
        tries = {_in_quotes(value): ""} if key in TEXTS else {}
    hints = [f"{shlex.quote(f'{written}={text}')}{kind}" for text, kind in tries.items() if _is_grammatical(f"{written}={text}")]
    return f"; with quotes: {' or '.join(hints)}" if hints else ""


def _in_quotes(text: str) -> str:
    return text if text[:1] in ("'", '"') else QuotedString(text, Quote.double).with_quotes()


def _each_in_quotes(text: str) -> str:
    return ",".join(_in_quotes(each.strip()) for each in text.split(","))


def _is_grammatical(line: str) -> bool:
    try:
        return bool(parse([line]))
    except BadInput:
        return False


def named(lines: Sequence[str]) -> list[str]:
    """The overrides with columns' names as texts where the grammar takes them for something else, such as 2019, null or true."""
    return [_named(line) for line in lines]


def _named(line: str) -> str:
    written, _, text = line.partition("=")
    if written.lstrip("+") not in (COLUMN, COLUMNS) or not _is_grammatical(line):
        return line
    value = parse([line])[0]._value
    if isinstance(value, list):
        return f"{written}={_name(value)}"
    if isinstance(value, ChoiceSweep):
        names, same = ",".join(map(_name, value.list)), ",".join(map(_as_text, value.list))
        return line if names == same else f"{written}={names}"
    if written.lstrip("+") == COLUMN and (value is None or isinstance(value, bool | int | float)):
        # as it was typed: 1e3 and 007 would come back otherwise
        return f"{written}={_in_quotes(text.strip())}"
    return line


def _name(element: object) -> str:
    """A column's name, or a list of them, as override text."""
    if isinstance(element, list):
        return f"[{','.join(map(_name, element))}]"
    text = _as_text(element)
    if isinstance(element, QuotedString) or (isinstance(element, str) and isinstance(parse([f"x={text}"])[0]._value, str)):
        return text
    return _in_quotes(text)


def _as_text(element: object) -> str:
    if element is None or isinstance(element, bool | int | float):
        return spaces.text(element)
    return str(Override._get_value_element_as_str(element))  # type: ignore[arg-type]


def plain(override: Override) -> str:
    """The key without what Hydra writes before it to add or to delete; a kind's name is its section's key."""
    key = override.key_or_group
    section, _, setting = key.rpartition(".")
    if setting == "name" and section in KINDS:
        return section
    return key if override.package is None else f"{key}@{override.package}"


def settings(override: Override) -> dict[str, object]:
    """What an override sets, by plain keys: those of its mapping, if it gives one. The value of what is searched is its text."""
    key, value = plain(override), override._value
    elements = value.list if isinstance(value, ChoiceSweep) else [value]
    mappings = [Override._convert_value(each) for each in elements if isinstance(each, dict)]
    if mappings:
        return {name: each for mapping in mappings for name, each in flattened({key: mapping})}
    return {key: override.get_value_string() if override.is_sweep_override() else override.value()}


def of_searched_kinds(lines: Sequence[str]) -> list[str]:
    """The overrides of a multirun, with settings added that Hydra would refuse beside the default kind: others are searched."""
    try:
        given = parse(lines)
    except BadInput:
        return list(lines)
    chosen = {plain(each) for each in given if not each.is_sweep_override()}
    return [f"++{each.input_line}" if _of_another_kind(each, chosen) else str(each.input_line) for each in given]


def _of_another_kind(override: Override, chosen: Container[str]) -> bool:
    section, kinds = override.key_or_group.partition(".")[0], kinds_with(override.key_or_group)
    if override.type is not OverrideType.CHANGE or override.is_sweep_override() or section in chosen or not kinds:
        return False
    return getattr(TrialSpec(), section).name not in kinds


def flattened(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted keys; a kind's name by its section's key."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{name}.")
        else:
            section = name.removesuffix(".name")
            yield section if section in KINDS else name, value


def check(given: Sequence[Override]) -> None:
    """Raises BadInput for overrides that Hydra accepts, or refuses in words that don't help."""
    faults = []
    for each in given:
        key, line = each.key_or_group, str(each.input_line)
        if each.is_delete() and (key in KINDS or key in SECTIONS or key in INSTEAD):
            change = f"{key}=NAME for another, and {key}.SETTING=VALUE for one of its settings" if key in KINDS else ""
            valid = INSTEAD.get(key) or change or f"a section that stays; {key}.SETTING=VALUE changes one of its settings"
            faults.append(Fault(key, line, valid))
        elif named_kind := _named_kind(each):
            faults.append(Fault(key, each.get_value_string(), f"{named_kind}, which brings the kind's own settings along"))
        elif key == SWEEPER and each.value() != "study":
            valid = "study, which keeps the trials of a --multirun together; others know none of its settings (hydra.sweeper.…)"
            faults.append(Fault(key, each.value(), valid))
        elif key in LISTS and (without := _without_quotes(each)):
            faults.append(Fault(key, each.get_value_string(), f"lists without quotes: {shlex.quote(without)}"))
    if faults:
        raise BadInput(faults)


def _named_kind(override: Override) -> str:
    """How to choose the kind that an override gives as a mere name, for a shell; nothing if it doesn't."""
    section, value = plain(override), override._value
    if section not in KINDS or override.is_delete():
        return ""
    if override.key_or_group != section:
        return shlex.quote(f"{section}={override.get_value_string()}")
    mapping = dict(flattened({section: override.value()})) if isinstance(value, dict) else {}
    return shlex.join(f"{key}={_as_text(each)}" for key, each in mapping.items()) if section in mapping else ""


def _without_quotes(override: Override) -> str:
    """The override with quoted texts that look like lists as lists; nothing if there is none."""
    value = override._value
    elements = value.list if isinstance(value, ChoiceSweep) else [value]
    texts = [each.text if isinstance(each, QuotedString) else each for each in elements]
    line = str(override.input_line)
    for text in texts:
        # choice(…) has taken the quotes away
        if isinstance(text, str) and text[:1] == "[" and _is_grammatical(f"x={text}"):
            for quote in Quote:
                line = line.replace(QuotedString(text, quote).with_quotes(), text.replace(" ", ""))
    return line if line != override.input_line else ""


def split(
    lines: Sequence[str],
    params: Mapping[str, Any],
    default_params: Mapping[str, Any],
    loader: ConfigLoader | None = None,
    known: Mapping[str, object] | None = None,
) -> tuple[dict[str, Domain], list[str]]:
    """The search space and the fixed overrides.

    lines: the command line's overrides; params: the config's (`hydra.sweeper.params`), which the command line replaces key by
    key; default_params: the space when neither has anything to search, but for what `lines`, `params` and `known` decide, which is
    what the user's own files set, by plain keys. Raises BadInput for what is given twice.
    """
    given = parse(lines, loader)
    on_line = _settings(given)
    configured = _configured(params, on_line, loader)
    if not any(each.is_sweep_override() for each in [*given, *configured]):
        decided = {**(known or {}), **_settings(configured), **on_line}
        if decided.get(SAME_AS) is not None:
            decided |= {WIDTH: "", DEPTH: ""}
        configured += _configured(default_params, decided, loader)
    check([*configured, *given])
    space: dict[str, Domain] = {}
    fixed: dict[str, list[str]] = {}
    faults: list[Fault] = []
    for override in [*configured, *given]:
        key, line = plain(override), str(override.input_line)
        if key in space or (override.is_sweep_override() and key in fixed):
            faults.append(Fault(key, line, "a setting that is given once: searched, or fixed"))
        elif override.is_sweep_override():
            try:
                written = override.get_key_element()
                prefix = written[: len(written) - len(written.lstrip("+"))]
                space[key] = replace(_domain(key, override), prefix=prefix)
            except BadInput as bad:
                faults += bad.faults
        else:
            fixed.setdefault(key, []).append(line)
    if faults:
        raise BadInput(faults)
    return spaces.ordered(_settled(space, [*configured, *given])), [line for each in fixed.values() for line in each]


def layers(lines: Sequence[str], params: Mapping[str, Any]) -> list[dict[str, object]]:
    """What the config's params and the command line set, by plain keys, the one that takes precedence last."""
    on_line = _settings(parse(lines))
    return [_settings(_configured(params, on_line)), on_line]


def _configured(params: Mapping[str, Any], by: Mapping[str, object], loader: ConfigLoader | None = None) -> list[Override]:
    """The overrides of a config's params, but for those that settings that take precedence decide."""
    return [each for each in parse(named(_lines(params)), loader) if not _decided(each, by)]


def _settings(given: Iterable[Override]) -> dict[str, object]:
    return {key: value for each in given for key, value in settings(each).items()}


def _decided(override: Override, by: Mapping[str, object]) -> bool:
    """Whether settings that take precedence leave nothing to this one."""
    key = plain(override)
    rivals = {UNITS: (WIDTH, DEPTH), WIDTH: (UNITS,), DEPTH: (UNITS,)}.get(key, ())
    return key in by or any(by.get(each) is not None for each in rivals)


def shape_resets(layers: Sequence[Mapping[str, object]]) -> list[str]:
    """Overrides that undo a width or depth where a later layer of settings gives the hidden layers' sizes.

    layers: what each gives, by plain keys, the one that takes precedence last. Raises BadInput for one that gives both.
    """
    parts: list[str] = []
    resets: list[str] = []
    for layer in layers:
        given = {key: layer[key] for key in (UNITS, WIDTH, DEPTH) if layer.get(key) is not None}
        if UNITS in given and len(given) > 1:
            both = " beside ".join(
                f"{key}={encode(value) if not isinstance(value, str) else value}" for key, value in given.items()
            )
            raise BadInput([Fault(UNITS, both, f"either {UNITS}, each hidden layer's size, or {WIDTH} and {DEPTH}")])
        if UNITS in given:
            resets, parts = [*resets, *parts], []
        parts += [key for key in given if key != UNITS and key not in parts]
    return [f"{key}=null" for key in dict.fromkeys(resets) if key not in parts]


def _settled(space: Mapping[str, Domain], given: Sequence[Override]) -> dict[str, Domain]:
    """The space without the conditions on settings that are fixed, and without what these rule out."""
    fixed = {plain(each): spaces.text(_scalar(each.value())) for each in given if not each.is_sweep_override()}
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
    return element if element is None or isinstance(element, bool | int | float) else _as_text(element)


def fixed_value(key: str, fixed: Sequence[str]) -> Choice | None:
    """What the last of the fixed overrides of this key gives, as a domain of one value."""
    given = [each for each in parse(fixed) if plain(each) == key]
    return Choice(key, (_scalar(given[-1]._value),)) if given else None


def with_condition(domain: Domain, on: str, values: Sequence[str]) -> str:
    """An override that searches a domain where the setting `on` has one of the values alone."""
    when = [*domain.when, Condition(on, tuple(values))]
    tags = ["log"] * (isinstance(domain, Interval) and domain.log) + [f"{each.key}:{'|'.join(each.values)}" for each in when]
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


def encode(value: object) -> str:
    """A value as an override's right-hand side, such that Hydra reads the same value back."""
    if value is None or isinstance(value, bool):
        return spaces.text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(encode, value))}]"
    return QuotedString(str(value), Quote.single).with_quotes()


def assignments(params: Mapping[str, Scalar], space: Mapping[str, Domain]) -> list[str]:
    """Sampled settings as overrides. Texts are override text already (`_scalar`)."""
    return [
        f"{space[key].prefix if key in space else ''}{key}={value if isinstance(value, str) else encode(value)}"
        for key, value in params.items()
    ]
