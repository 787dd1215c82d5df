"""Encode new rows as the inputs that a network was trained on; report by column what can't be encoded."""

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

from study.data import number_texts
from study.errors import BadInput, Fault
from study.settings.rules import nearest, suggestion

if TYPE_CHECKING:  # this module is logged with a champion, and `records` isn't
    from study.records.arrays import Array, Doubles

NUMBERS = "iuf"  # NumPy's kinds of numbers


class Input(NamedTuple):
    """A network's input: a column of numbers, or one level of a column of texts or booleans, 1 in rows that have it.

    gaps: values are missing in the column of texts.
    """

    column: str
    level: str | None = None
    gaps: bool = False

    @property
    def name(self) -> str:
        return self.column if self.level is None else f"{self.column}={self.level}"


def columns_of(inputs: Sequence[Input]) -> dict[str, list[Input]]:
    """Return the columns by name, each with the inputs that are made of it."""
    return {name: list(group) for name, group in itertools.groupby(inputs, lambda item: item.column)}


def is_boolean(of_column: Sequence[Input]) -> bool:
    """Return True if the levels of these inputs of one column show that it holds booleans."""
    return {item.level for item in of_column} <= {"False", "True"}


def row_text(rows: Array) -> str:
    """Return the first faulty row and the number of faulty rows, as text. rows: bool [n]."""
    count = int(np.count_nonzero(rows))
    return f"row {int(np.argmax(rows)) + 1}" + (f" (first of {count})" if count > 1 else "")


def named_alike(key: str, names: Sequence[str]) -> list[Fault]:
    """Return a fault if several columns share a name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return [Fault(key, f"several columns named {', '.join(map(repr, twice))}", "a unique name for each column")] if twice else []


def without_gaps(columns: Mapping[str, Array], gaps: Sequence[str | float]) -> dict[str, Array]:
    """Return the columns, [n] each, with None or NaN in place of the numbers and texts in `gaps`."""
    texts = set(map(str, gaps))
    return {
        name: np.where(np.isin(column, [gap for gap in gaps if not isinstance(gap, str)]), math.nan, column)
        if column.dtype.kind in NUMBERS
        else np.array([None if value in gaps or str(value).strip() in texts else value for value in column], object)
        for name, column in columns.items()
    }


def absent(wanted: Collection[str], names: Sequence[str]) -> list[Fault]:
    """Return a fault for each wanted column that the table lacks; a name that is wanted too is no suggestion for another."""
    others = [name for name in names if name not in wanted]
    return [
        Fault("rows", f"no column {name!r}", textwrap.shorten(suggestion(name, others) + (", ".join(names) or "a column"), 400))
        for name in wanted
        if name not in names
    ]


def encode(inputs: Sequence[Input], columns: Mapping[str, Array], decimal: str = ".", thousands: str | None = None) -> Doubles:
    """Return the rows as inputs, [n, inputs].

    A missing number becomes NaN. A missing text or boolean becomes NaN if its column had none in training, else zero in all levels.
    columns: [n] each, numbers or Python values, NaN or None where missing; columns without an input are ignored. decimal,
    thousands: how texts write numbers, see `number_texts.read`. Raises BadInput for a missing column, a text that is no number or
    no level.
    """
    x, faults = np.zeros((len(next(iter(columns.values()), ())), len(inputs))), absent(columns_of(inputs), list(columns))
    for name, group in itertools.groupby(enumerate(inputs), key=lambda item: item[1].column):
        positions, of_column = zip(*group, strict=True)
        if name not in columns:
            continue
        if of_column[0].level is None:
            x[:, positions[0]] = _numbers(name, columns[name], decimal, thousands, faults)
        else:
            x[:, positions] = _levels(of_column, columns[name], faults)
    if faults:
        raise BadInput(faults)
    return x


def _numbers(name: str, column: Array, decimal: str, thousands: str | None, faults: list[Fault]) -> Doubles:
    """Return [n] numbers, NaN where missing or blank."""
    if column.dtype.kind in NUMBERS:
        return column.astype(np.float64)
    numbers = [_number(value, decimal, thousands) for value in column]
    wrong = np.array([number is None for number in numbers], bool)
    if wrong.any():
        got = f"column {name!r}: {column[int(np.argmax(wrong))]!r} in {row_text(wrong)}"
        faults.append(Fault("rows", got, "numbers, or an empty cell"))
        return np.zeros(len(column))
    return np.array(numbers, np.float64)


def _number(value: object, decimal: str, thousands: str | None) -> float | None:
    """Return a cell's number; None if it has another content."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        written = number_texts.read(text, decimal, thousands) if (text := value.strip()) else number_texts.Written(math.nan)
        return written.value if written else None
    return float(value) if isinstance(value, Real | Decimal | np.bool_) else None


def _levels(inputs: Sequence[Input], column: Array, faults: list[Fault]) -> Doubles:
    """Return [n, levels]."""
    known, gaps = [str(item.level) for item in inputs], inputs[0].gaps
    # pandas takes the text None for a missing value
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
        faults.append(Fault("rows", got, f"an empty cell, {nearest(texts[first], known)}"))
    encoded = (codes[:, None] == range(len(known))).astype(np.float64)
    if not gaps:
        encoded[missing] = math.nan
    return encoded
