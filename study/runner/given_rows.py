"""Rows that a Python program has in memory, or names, as the overrides of a study's data."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from study.config.domains import value_text
from study.data import kept_rows
from study.errors import BadInput, Fault

TARGET, WEIGHT = "target", "weight"  # names of columns that have none
VALID = "the name of a column, a list of names, or the values to predict, one for each row"


def kept(rows: object | None, target: object | None) -> list[str]:
    """Return overrides for rows that are kept among the records; none for no rows. Arguments and errors as for `study.tune`."""
    return lines(rows, target, None, kept_rows.keep)


def lines(rows: object | None, target: object | None, weights: object | None, keep: Callable[[kept_rows.Table], Path]) -> list[str]:
    """Return overrides for rows. weights: what each of them counts for, [n]. keep: writes a table to a file; returns its path."""
    if rows is None:
        if target is not None:
            raise BadInput([Fault("target", target, "no target without rows; name it in settings: data.target=NAME")])
        return []
    if target is None:
        raise BadInput([Fault("target", target, VALID)])
    if isinstance(rows, str | os.PathLike):
        if not _are_names(target):
            raise BadInput([Fault("target", target, "the name of a column, or a list of names")])
        return _overrides(Path(rows), target, None)
    table = kept_rows.table_of(rows)
    targets, weight = target, None
    if not _are_names(target, table.column_names):
        name = getattr(target, "name", None)
        name = _free(name if isinstance(name, str) and name else TARGET, table.column_names)
        count = len(table.column_names)
        table = kept_rows.table_of(table, target, target=name)
        targets = table.column_names[count:]
    if weights is not None:
        weight = _free(WEIGHT, table.column_names)
        table = kept_rows.table_of(table, weights, target=weight)
    return _overrides(keep(table), targets, weight)


def _are_names(target: object, columns: Sequence[str] | None = None) -> bool:
    """Return whether a target names columns. columns: those that a list of texts must name, which may be values otherwise."""
    if isinstance(target, str) or target is None:
        return True
    if not isinstance(target, list | tuple) or not all(isinstance(name, str) for name in target):
        return False
    return bool(target) and (columns is None or set(target) <= set(columns))


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _overrides(path: Path, targets: object, weight: str | None) -> list[str]:
    names = [targets] if isinstance(targets, str) else list(targets)  # type: ignore[call-overload]
    named = value_text(names[0] if len(names) == 1 else names)
    return [
        "data=table",
        f"data.path={value_text(str(path))}",
        f"data.target={named}",
        *([f"data.weight={value_text(weight)}"] if weight else []),
    ]
