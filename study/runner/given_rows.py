"""Rows that a Python program has in memory, or names, as the overrides of a study's data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from study.config.domains import value_text
from study.data import kept_rows
from study.errors import BadInput, Fault

NAME = "target"  # of targets without a name
TARGETS = "the name of a column, or the values to predict, one for each row"


def kept(rows: object | None, target: object | None) -> list[str]:
    """Return overrides for rows that are kept among the records; none for no rows. Arguments and errors as for `study.tune`."""
    return lines(rows, target, kept_rows.keep)


def lines(rows: object | None, target: object | None, keep: Callable[[kept_rows.Table], Path]) -> list[str]:
    """Return overrides for rows. keep: writes a table to a file and returns its path."""
    if rows is None:
        if target is not None:
            raise BadInput([Fault("target", target, "no target without rows; name it in settings: data.target=NAME")])
        return []
    if isinstance(rows, str | os.PathLike):
        path, named = Path(rows), _named(target)
    elif (named := _named(target, values=True)) is not None:
        path = keep(kept_rows.table_of(rows))
    else:
        name = getattr(target, "name", None)
        named, taken = name if isinstance(name, str) and name else NAME, kept_rows.table_of(rows).column_names
        while named in taken:
            named += "_"
        path = keep(kept_rows.table_of(rows, target, target=named))
    return ["data=table", f"data.path={value_text(str(path))}", f"data.target={value_text(named)}"]


def _named(target: object | None, *, values: bool = False) -> str | None:
    """Return a target that is a column's name; None for values."""
    if isinstance(target, str):
        return target
    if not values or target is None:
        raise BadInput([Fault("target", target, TARGETS if values else "the name of a column")])
    return None
