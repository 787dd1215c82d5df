"""Rows that were not there in training, as the inputs that a network was trained on; what it can't take is told by column."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.errors import BadInput, Fault
from study.settings.rules import nearest, suggestion

if TYPE_CHECKING:  # this module is logged with a champion, and `records` isn't
    from study.records.arrays import Array, Doubles

NUMBERS = "iuf"  # NumPy's kinds of them


class Input(NamedTuple):
    """What a network's input is made of: a column of numbers, or one level of a column of texts or booleans, 1 where it is there.

    gaps: whether anything is missing in the column of texts.
    """

    column: str
    level: str | None = None
    gaps: bool = False

    @property
    def name(self) -> str:
        return self.column if self.level is None else f"{self.column}={self.level}"


def columns_of(inputs: Sequence[Input]) -> dict[str, list[Input]]:
    """The columns by name, each with the inputs that are made of it."""
    return {name: list(group) for name, group in itertools.groupby(inputs, lambda each: each.column)}


def is_boolean(of_column: Sequence[Input]) -> bool:
    """Whether these inputs of one column are made of truth values, as far as their levels show."""
    return {each.level for each in of_column} <= {"False", "True"}


def row_text(rows: Array) -> str:
    """Where a fault is first, and how often. rows: bool [n]."""
    count = int(np.count_nonzero(rows))
    return f"row {int(np.argmax(rows)) + 1}" + (f" (first of {count})" if count > 1 else "")


def named_alike(key: str, names: Sequence[str]) -> list[Fault]:
    """The fault of columns that share a name, if some do."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return [Fault(key, f"columns named alike: {', '.join(map(repr, twice))}", "a name of its own for each column")] if twice else []


def without_gaps(columns: Mapping[str, Array], gaps: Sequence[str | float]) -> dict[str, Array]:
    """The columns, [n] each, with None or NaN in place of the numbers and texts in `gaps`."""
    texts = set(map(str, gaps))
    return {
        name: np.where(np.isin(column, [gap for gap in gaps if not isinstance(gap, str)]), math.nan, column)
        if column.dtype.kind in NUMBERS
        else np.array([None if value in gaps or str(value).strip() in texts else value for value in column], object)
        for name, column in columns.items()
    }


def absent(wanted: Collection[str], names: Sequence[str]) -> list[Fault]:
    """The faults of wanted columns that a table with these names hasn't; a name that is wanted too is no suggestion for another."""
    others = [name for name in names if name not in wanted]
    return [
        Fault("rows", f"no column {name!r}", textwrap.shorten(suggestion(name, others) + (", ".join(names) or "a column"), 400))
        for name in wanted
        if name not in names
    ]


def encode(inputs: Sequence[Input], columns: Mapping[str, Array]) -> Doubles:
    """The rows as inputs, [n, inputs]. A missing number is NaN, and so is a missing text or boolean in a column that had none; else
    it is no level.

    columns: [n] each, of numbers or of Python's values, NaN or None where nothing is; those that no input is made of are left out.
    Raises BadInput for a column that isn't there, for text among numbers, and for a text that is no level.
    """
    x, faults = np.zeros((len(next(iter(columns.values()), ())), len(inputs))), absent(columns_of(inputs), list(columns))
    for name, group in itertools.groupby(enumerate(inputs), key=lambda item: item[1].column):
        places, of_column = zip(*group, strict=True)
        if name not in columns:
            continue
        if of_column[0].level is None:
            x[:, places[0]] = _numbers(name, columns[name], faults)
        else:
            x[:, places] = _levels(of_column, columns[name], faults)
    if faults:
        raise BadInput(faults)
    return x


def _numbers(name: str, column: Array, faults: list[Fault]) -> Doubles:
    """[n], NaN where nothing is."""
    if column.dtype.kind in NUMBERS:
        return column.astype(np.float64)
    wrong = np.array([value is not None and not isinstance(value, Real | Decimal | np.bool_) for value in column], bool)
    if wrong.any():
        got = f"column {name!r}: {column[int(np.argmax(wrong))]!r} in {row_text(wrong)}"
        faults.append(Fault("rows", got, "numbers, or nothing"))
        return np.zeros(len(column))
    return np.array([math.nan if value is None else float(value) for value in column], np.float64)


def _levels(inputs: Sequence[Input], column: Array, faults: list[Fault]) -> Doubles:
    """[n, levels]."""
    known, gaps = [str(each.level) for each in inputs], inputs[0].gaps
    # pandas takes a text None for nothing
    nothing = "None" if "None" in known and not gaps else ""
    texts = np.array([nothing if value is None or value != value else str(value).strip() for value in column], object)
    missing = texts == ""
    numbers = {level: number for number, level in enumerate(known)}
    codes = np.array([numbers.get(text, -1) for text in texts], int)
    wrong = ~missing & (codes < 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        value = column[first].item() if isinstance(column[first], np.generic) else column[first]
        got = f"column {inputs[0].column!r}: {value!r} in {row_text(wrong)}"
        faults.append(Fault("rows", got, f"nothing, {nearest(texts[first], known)}"))
    found = (codes[:, None] == range(len(known))).astype(np.float64)
    if not gaps:
        found[missing] = math.nan
    return found
