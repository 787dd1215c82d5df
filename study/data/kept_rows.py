"""Rows that have no file of their own, as a Parquet file among the records: a study of them resumes and reproduces like any other.

The file's name is the beginning of its sha256, so equal rows have one file, and a damaged file is noticed and written again.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from study import sqlite
from study.data.arrow_types import plain
from study.data.encoding import named_alike
from study.data.file_columns import made_up_names
from study.errors import BadInput, Fault, writing

KEPT = Path(".mlp-study", "rows")
DIGITS = 16  # of the sha256, in a file's name
FORMS = "a pandas or polars frame, an Arrow table, a mapping of names to columns, or an array of one or two dimensions"

Table = Any  # pa.Table; pyarrow has no types


def keep_rows(rows: object, y: object = None, *, target: str = "target") -> Path:
    """Write rows to a Parquet file among the records and return its absolute path; equal rows have the same file.

    rows, y, target: as for `table_of`, whose errors it raises. A kill leaves no file or a whole one. Raises NotWritable.
    """
    return keep(table_of(rows, y, target=target))


def table_of(rows: object, y: object = None, *, target: str = "target") -> Table:
    """Return rows as an Arrow table of numbers, texts, booleans and times.

    rows: a pandas or polars frame, an Arrow table, a mapping of names to columns [n], or an array [n, columns], whose columns are
    named column_1, column_2, … A frame's index is no column. y: the targets, [n], named `target`, or [n, k], named target_1, …
    Raises BadInput for anything else, and where two columns share a name or differ in length.
    """
    columns = _columns(rows)
    if y is not None:
        targets = _columns(y)
        named = [target] if len(targets) == 1 else [f"{target}_{number + 1}" for number in range(len(targets))]
        columns += [(name, column) for name, (_, column) in zip(named, targets, strict=True)]
    names, lengths = [name for name, _ in columns], {len(column) for _, column in columns}
    if faults := named_alike("rows", names):
        raise BadInput(faults)
    if len(lengths) != 1:
        got = f"columns of {' and '.join(map(str, sorted(lengths)))} rows" if lengths else "no columns"
        raise BadInput([Fault("rows", got, "one or more columns, all of the same length")])
    return pa.table(dict(columns))


def keep(table: Table, folder: Path = KEPT) -> Path:
    """Write a table as `keep_rows` does."""
    folder = folder.absolute()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with sqlite.lock(folder / "rows"):
            for left in folder.glob(".*.new"):  # by processes that were killed
                left.unlink()
            draft = folder / f".{uuid.uuid4().hex}.new"
            try:
                os.close(os.open(draft, os.O_CREAT | os.O_EXCL, 0o600))
                # without chunks and pandas' remarks, equal rows make equal bytes
                parquet.write_table(table.combine_chunks().replace_schema_metadata(None), draft)
                with draft.open("rb") as content:
                    os.fsync(content.fileno())
                path = folder / f"{_digest(draft)}.parquet"
                if not is_whole(path):
                    draft.rename(path)
            finally:
                draft.unlink(missing_ok=True)
    return path


def found(path: str) -> str:
    """Return a file's path, or that of the same kept rows in this folder, if the folder in which they were kept has moved."""
    here = KEPT.absolute() / Path(path).name
    return str(here) if _among_kept(Path(path)) and not Path(path).exists() and here.exists() else path


def name(path: str) -> str:
    """Return what a table is called: its file's name, or the size of one that was in memory, whose file is named after a digest."""
    file = Path(path)
    if not _among_kept(file) or not file.is_file():
        return file.name
    content = parquet.read_metadata(file)
    return f"table in memory of {content.num_rows:,} × {content.num_columns}"


def _among_kept(file: Path) -> bool:
    return file.parent.parts[-2:] == KEPT.parts


def is_whole(path: Path) -> bool:
    """Return True if a kept file is there with the content that its name says."""
    return path.is_file() and _digest(path) == path.stem


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:DIGITS]


def _columns(rows: Any) -> list[tuple[str, Any]]:
    """Return names and Arrow arrays. Raises BadInput for rows that make no table."""
    # before Arrow's own interface, which would make a column of pandas' index
    if type(rows).__module__.partition(".")[0] == "pandas":
        rows = rows if hasattr(rows, "columns") else rows.to_frame()
        names = map(str, rows.columns)
        return [(name, _column(name, rows.iloc[:, at])) for at, name in enumerate(names)]
    if isinstance(rows, pa.Table | pa.RecordBatch) or hasattr(rows, "__arrow_c_stream__"):
        try:
            table = pa.table(rows)
        except (pa.ArrowException, TypeError) as error:
            if not hasattr(rows, "to_frame"):
                raise _no_table(rows) from error
            table = pa.table(rows.to_frame())  # of a polars series
        return [(name, _column(name, column)) for name, column in zip(table.column_names, table.columns, strict=True)]
    if isinstance(rows, Mapping):
        return [(str(name), _column(str(name), column)) for name, column in rows.items()]
    if not isinstance(rows, np.ndarray | Sequence) or isinstance(rows, str | bytes):
        raise _no_table(rows)
    try:
        array = np.asarray(rows)
    except ValueError as error:  # rows of different lengths
        raise _no_table(rows) from error
    if array.dtype.names:
        return [(name, _column(name, array[name])) for name in array.dtype.names]
    if array.ndim not in (1, 2):
        raise _no_table(rows)
    listed = array.T if array.ndim == 2 else [array]
    return [(name, _column(name, column)) for name, column in zip(made_up_names(len(listed)), listed, strict=True)]


def _column(name: str, values: Any) -> Any:
    """Return values [n] as an Arrow array, texts where they are of several kinds, as in a text file."""
    array = values
    if not isinstance(values, pa.ChunkedArray | pa.Array):
        try:
            array = pa.array(np.asarray(values) if hasattr(values, "sparse") else values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            try:
                array = pa.array([None if value is None or value != value else str(value) for value in values])
            except (TypeError, ValueError) as error:
                got = f"column {name!r}: {type(values).__name__}"
                raise BadInput([Fault("rows", got, "numbers, text, booleans or times")]) from error
    if isinstance(array.type, pa.BaseExtensionType):  # pandas' periods and intervals
        array = pa.array([None if value is None else str(value) for value in values])
    return plain(array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]))


def _no_table(rows: object) -> BadInput:
    got = f"an array of shape {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
    return BadInput([Fault("rows", got, FORMS)])
