"""Columns of texts that were meant to hold numbers, and the settings that mend them, quoted for a shell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data import number_texts
from study.data.arrow_types import Column
from study.data.encoding import row_text
from study.data.readers import DECIMAL_COMMA
from study.settings.data import UserTable

# a text column is meant to hold numbers if at least this share of its different texts are numbers
NUMERIC_SHARE = 0.5
# different texts of a column that are taken for ways to write a missing value
MOST_GAPS = 5


def levels_of(column: Column) -> list[Any]:
    return sorted(value for value in pc.unique(column).to_pylist() if value is not None)


def slips_of(settings: UserTable, levels: Sequence[Any]) -> list[str]:
    """Return the texts that aren't numbers in a column that is meant to hold numbers; [] for any other column."""
    texts = [level for level in levels if isinstance(level, str)]
    # a number with the other decimal mark is a slip too
    meant = [text for text in texts if number_texts.read(text, ".") or number_texts.read(text, ",")]
    if not meant or len(meant) < NUMERIC_SHARE * len(texts):
        return []
    return number_texts.slips(texts, settings.decimal, settings.thousands)


def slip(settings: UserTable, column: Column, slips: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """Return the fault of a column of numbers, its valid content, and those of its texts that may stand for missing values."""
    rows = pc.is_in(column, value_set=pa.array(slips, column.type)).to_numpy()
    first = column[int(np.argmax(rows))].as_py()
    valid = f"numbers only, with decimal {'points' if settings.decimal == '.' else 'commas'}, or an empty cell"
    known = number_texts.read(first, ",")
    if settings.decimal == "." and known and not number_texts.read(first, "."):
        valid += f"; or decimal commas, in a text file: {DECIMAL_COMMA}"
    elif settings.decimal == "," and number_texts.read(first, ".") and not known:
        valid += "; or decimal points: data.decimal=."
    numbers = any(number_texts.read(text, ".") or number_texts.read(text, ",") for text in slips)
    return f"{first!r} among numbers, {row_text(rows)}", valid, () if numbers or len(slips) > MOST_GAPS else tuple(slips)
