"""Rows of Python values, such as a workbook's or a database's, as an Arrow table: block by block, without a list of them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

BLOCK = 20_000  # rows


def table_of(names: Sequence[str], blocks: Iterable[Sequence[Sequence[Any]]]) -> Any:
    """Return an Arrow table of rows [n][columns]. A column with values of several kinds holds texts, as in a text file."""
    columns: list[list[Any]] = [[] for _ in names]
    for block in blocks:
        for chunks, values in zip(columns, zip(*block, strict=True), strict=True):
            chunks.append(_array(values))
    return pa.Table.from_arrays([_one_type(chunks) for chunks in columns], list(names))


def _array(values: Sequence[Any]) -> Any:
    if any(isinstance(value, Decimal) for value in values):
        values = [float(value) if isinstance(value, Decimal) else value for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _one_type(chunks: Sequence[Any]) -> Any:
    kinds = {chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
    if len(kinds) <= 1:
        kind = kinds.pop() if kinds else pa.null()
    elif all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        kind = pa.float64()
    else:
        kind = pa.string()
        chunks = [pa.array([None if value is None else _text(value) for value in chunk.to_pylist()], kind) for chunk in chunks]
    return pa.chunked_array([pc.cast(chunk, kind) for chunk in chunks], kind)
