"""All rows of a data set, as they are loaded and before they are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from study.data.encoding import TableColumn
from study.records.arrays import Array, Doubles, Integers


class Rows(NamedTuple):
    """All rows before they are split.

    x: [n, inputs], NaN where a table's cell is empty. y: float [n, outputs], or class numbers [n]. columns: what x is made of.
    notes: sentences that report how the file was read. block: lines that list the columns by role. made_up: the names given to the
    columns of a table whose file has none. test_rows: how many of the last rows are the test part's, if it has a file of its own.
    groups, times: [n], the number of each row's group, and its place in time; None where the split doesn't need them.
    weights: [n], what each row counts for; None if all count alike.
    """

    x: Array
    y: Array
    columns: tuple[TableColumn, ...]
    target_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()
    test_rows: int = 0
    groups: Integers | None = None
    times: Integers | None = None
    weights: Doubles | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name, _ in column.inputs)

    @property
    def placed(self) -> Iterator[tuple[TableColumn, slice]]:
        """Each column with its place in x."""
        at = 0
        for column in self.columns:
            yield column, slice(at, at := at + len(column.inputs))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each column of x: `encoding.AMOUNT`, FLAG or CODE."""
        return tuple(kind for column in self.columns for _, kind in column.inputs)

    @property
    def labels(self) -> Integers | None:
        """Class numbers, [n]; None for regression."""
        return self.y if self.y.ndim == 1 else None
