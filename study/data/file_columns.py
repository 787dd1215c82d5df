"""A file's columns by name: those that are read, without row labels and without nameless ones that are empty."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from study.data import table_text
from study.data.arrow_types import Column
from study.data.encoding import named_alike
from study.errors import BadInput, Fault
from study.settings.data import AUTO, KEEP, UserTable

# pandas' names of row labels; R, and pandas in a text file, give them no name
INDEX = re.compile(r"Unnamed: 0(\.\d+)?|__index_level_\d+__")
NAMELESS = "\0"  # prefix of the keys of columns without a name

# takes the names in the file, returns those to read, in their order; may raise BadInput
ChooseColumns = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class FileContent:
    """A file's chosen columns by name.

    notes: sentences about what was guessed to read them. made_up: names for all columns of a file that has none.
    """

    columns: dict[str, Column]
    notes: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()


def selected(settings: UserTable, names: Sequence[str], choose: ChooseColumns) -> tuple[list[str], dict[str, str], list[str]]:
    """Return a unique key for each column, the names of the keys to read, and notes about what was left out."""
    keys = [name or f"{NAMELESS}{position}" for position, name in enumerate(names)]
    named = dict(zip(keys, names, strict=True))
    labels: list[str] = []
    if settings.index != KEEP and len(keys) > 1:
        known = (*settings.targets, *settings.drop)
        labels = [key for key in named if (INDEX.fullmatch(key) or key == f"{NAMELESS}0") and named[key] not in known]
    nameless = [key for key in keys if key.startswith(NAMELESS) and key not in labels]
    # if several columns have no name, all but one may be empty
    chosen = set(choose([named[key] for key in keys if key not in labels and key not in nameless[1:]]))
    names_left_out = ", ".join("the first column, which has no name" if key.startswith(NAMELESS) else repr(key) for key in labels)
    notes = [f"left out as row labels: {names_left_out} (data.index=keep keeps them as an input)"] if labels else []
    return keys, {key: name for key, name in named.items() if key not in labels and name in chosen}, notes


def by_name(table: Any, names: dict[str, str], notes: list[str]) -> dict[str, Column]:
    """Return the columns by name instead of key, without those that have neither a name nor a value."""
    by_key = {key: table.column(key) for key in names}
    empty = [key for key, column in by_key.items() if not names[key] and column.null_count == len(column)]
    if empty:
        notes.append(f"left out: {len(empty)} column{'s' * (len(empty) > 1)} without a name and without values")
    kept = [key for key in by_key if key not in empty]
    if faults := named_alike("data.path", [names[key] for key in kept]):
        raise BadInput(faults)
    return {names[key]: by_key[key] for key in kept}


def made_up_names(count: int) -> list[str]:
    return [f"column_{position + 1}" for position in range(count)]


def has_header(settings: UserTable, rows: Sequence[Sequence[str]], made_up: Sequence[str]) -> bool:
    if made_up:
        return bool(rows) and any(field in made_up for field in rows[0])
    return settings.header is True or (settings.header == AUTO and (not rows or table_text.holds_names(rows)))


def given_names(count: int, settings: UserTable, known: Sequence[str]) -> list[str]:
    """Name the columns of a file that has no names. known: their names in training; the target may be missing now."""
    if not known:
        return made_up_names(count)
    inputs = [name for name in known if name not in settings.targets]
    if count not in (len(known), len(inputs)):
        valid = f"{len(known)} columns without names, as in training, or {len(inputs)} without the target"
        raise BadInput([Fault("data.path", f"a table of {count} columns", valid)])
    return list(known) if count == len(known) else inputs
