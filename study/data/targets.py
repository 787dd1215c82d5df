"""Rows that have a target, and what each of them counts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data.arrow_types import Column, is_numeric
from study.data.encoding import row_text
from study.errors import Fault
from study.records.arrays import Doubles
from study.settings.data import LARGEST


def without_nan(column: Column) -> Column:
    """Return a column of numbers with null in place of NaN; another one as it is."""
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column


def labelled(targets: Sequence[str], table: Mapping[str, Column], tested: int) -> tuple[dict[str, Column], int, tuple[str, ...]]:
    """Return the rows that have a value in every target column, how many of the last `tested` rows are among them, and a note."""
    columns = dict(table) | {name: without_nan(table[name]) for name in targets}
    known = reduce(pc.and_, (pc.is_valid(columns[name]) for name in targets))
    count, kept = len(known), int(pc.sum(known).as_py() or 0)
    if kept == count:
        return columns, tested, ()
    tested_kept = int(pc.sum(known.slice(count - tested)).as_py() or 0)
    note = f"left out: {count - kept:,} of {count:,} rows without a value of the target ({', '.join(targets)})"
    return {name: column.filter(known) for name, column in columns.items()}, tested_kept, (note,)


def weights(name: str, column: Column, faults: list[Fault]) -> tuple[Doubles, str]:
    """Return what each row counts for, [n], and a note; add faults of the column."""

    def refused(got: str) -> tuple[Doubles, str]:
        faults.append(Fault("data.weight", f"column {name!r}: {got}", f"a number from 0 to {LARGEST:g} in every row"))
        return np.ones(len(column)), ""

    if not is_numeric(column.type):
        return refused("texts or dates" if not pa.types.is_null(column.type) else "empty")
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    for wrong, what in (
        (np.isnan(values), "no value"),
        (values < 0, "a negative number"),
        (values > LARGEST, "too large a number"),
    ):
        if wrong.any():
            return refused(f"{what} in {row_text(wrong)}")
    return values, f"rows weighted by {name}, from {values.min():g} to {values.max():g}; it is no input"
