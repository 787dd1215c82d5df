"""Decide between settings given by the command line, a config's params, a file and the default search."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, OverrideType, Quote, QuotedString

from study.config.grammar import COLUMNS, as_text, encode, is_grammatical, parse
from study.errors import BadInput, Fault
from study.settings.spec import KINDS, SECTIONS, TrialSpec, kinds_with

# all hidden layers, or the two numbers that a search varies instead
UNITS, WIDTH, DEPTH = "model.units", "model.width", "model.depth"
# another run, whose networks fix the shapes
SAME_AS = "init.same_as"
LISTS = {UNITS, COLUMNS, "replicates.vary", "replicates.crossed", "data.units", "schedule.boundaries", "schedule.factors"}
LISTS |= {"hydra.sweeper.objective", "hydra.sweeper.direction"}
# the choice to use instead of deleting a section
INSTEAD = {"pruner": "pruner=none", "tracking": "tracking=none", "sampler": "sampler=random"}
SWEEPER = "hydra/sweeper"


def plain(override: Override) -> str:
    """Return an override's key without Hydra's + or ~; the section stands for its `.name`."""
    key = override.key_or_group
    section, _, setting = key.rpartition(".")
    if setting == "name" and section in KINDS:
        return section
    return key if override.package is None else f"{key}@{override.package}"


def settings(overrides: Iterable[Override]) -> dict[str, object]:
    """Return the values that overrides set, by plain key, with mappings flattened and searched values as text."""
    values: dict[str, object] = {}
    for override in overrides:
        key, value = plain(override), override._value
        elements = value.list if isinstance(value, ChoiceSweep) else [value]
        mappings = [Override._convert_value(element) for element in elements if isinstance(element, dict)]
        for mapping in mappings:
            values |= flattened({key: mapping})
        if not mappings:
            values[key] = override.get_value_string() if override.is_sweep_override() else override.value()
    return values


def flattened(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted key; the section stands for its `.name`."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{name}.")
        else:
            section = name.removesuffix(".name")
            yield section if section in KINDS else name, value


def is_decided(override: Override, by: Mapping[str, object]) -> bool:
    """Return True if stronger settings, by plain key, replace this override."""
    key = plain(override)
    rivals = {UNITS: (WIDTH, DEPTH), WIDTH: (UNITS,), DEPTH: (UNITS,)}.get(key, ())
    return key in by or any(by.get(rival) is not None for rival in rivals)


def shape_resets(layers: Sequence[Mapping[str, object]]) -> list[str]:
    """Return overrides that reset a width or depth where a stronger layer of settings gives `model.units`.

    layers: settings by plain key, in order of precedence, the strongest last. Raises BadInput for a layer that gives both.
    """
    parts: list[str] = []
    resets: list[str] = []
    for layer in layers:
        sizes = {key: layer[key] for key in (UNITS, WIDTH, DEPTH) if layer.get(key) is not None}
        if UNITS in sizes and len(sizes) > 1:
            both = " beside ".join(
                f"{key}={encode(value) if not isinstance(value, str) else value}" for key, value in sizes.items()
            )
            raise BadInput([Fault(UNITS, both, f"either {UNITS}, each hidden layer's size, or {WIDTH} and {DEPTH}")])
        if UNITS in sizes:
            resets, parts = [*resets, *parts], []
        parts += [key for key in sizes if key != UNITS and key not in parts]
    return [f"{key}=null" for key in dict.fromkeys(resets) if key not in parts]


def allow_searched_kinds(lines: Sequence[str]) -> list[str]:
    """Return a multirun's overrides, with ++ for settings that the default kind lacks but a searched kind may have."""
    try:
        overrides = parse(lines)
    except BadInput:
        return list(lines)
    chosen = {plain(override) for override in overrides if not override.is_sweep_override()}
    return [f"{'++' * _of_another_kind(override, chosen)}{override.input_line}" for override in overrides]


def _of_another_kind(override: Override, chosen: Container[str]) -> bool:
    section, kinds = override.key_or_group.partition(".")[0], kinds_with(override.key_or_group)
    if override.type is not OverrideType.CHANGE or override.is_sweep_override() or section in chosen or not kinds:
        return False
    return getattr(TrialSpec(), section).name not in kinds


def check(overrides: Sequence[Override]) -> None:
    """Raise BadInput for overrides that Hydra accepts by mistake or refuses with an unhelpful message."""
    faults = []
    for override in overrides:
        key, line = override.key_or_group, str(override.input_line)
        if override.is_delete() and (key in KINDS or key in SECTIONS or key in INSTEAD):
            change = f"{key}=NAME to choose another, or {key}.SETTING=VALUE to change a setting" if key in KINDS else ""
            valid = INSTEAD.get(key) or change or f"{key}.SETTING=VALUE to change a setting; this section can't be deleted"
            faults.append(Fault(key, line, valid))
        elif named_kind := _named_kind(override):
            faults.append(Fault(key, override.get_value_string(), f"{named_kind}, which also selects that kind's settings"))
        elif key == SWEEPER and override.value() != "study":
            valid = "study; other sweepers don't have its settings (hydra.sweeper.…)"
            faults.append(Fault(key, override.value(), valid))
        elif key in LISTS and (without := _without_quotes(override)):
            faults.append(Fault(key, override.get_value_string(), f"lists without quotes: {shlex.quote(without)}"))
    if faults:
        raise BadInput(faults)


def _named_kind(override: Override) -> str:
    """Return the override that chooses a kind properly, ready for a shell, if this one only sets its name; empty otherwise."""
    section, value = plain(override), override._value
    if section not in KINDS or override.is_delete():
        return ""
    if override.key_or_group != section:
        return shlex.quote(f"{section}={override.get_value_string()}")
    mapping = dict(flattened({section: override.value()})) if isinstance(value, dict) else {}
    return shlex.join(f"{key}={as_text(element)}" for key, element in mapping.items()) if section in mapping else ""


def _without_quotes(override: Override) -> str:
    """Return the override with quoted lists unquoted; empty if it has none."""
    value = override._value
    elements = value.list if isinstance(value, ChoiceSweep) else [value]
    texts = [element.text if isinstance(element, QuotedString) else element for element in elements]
    line = str(override.input_line)
    for text in texts:
        # choice(…) has removed the quotes
        if isinstance(text, str) and text[:1] == "[" and is_grammatical(f"x={text}"):
            for quote in Quote:
                line = line.replace(QuotedString(text, quote).with_quotes(), text.replace(" ", ""))
    return line if line != override.input_line else ""
