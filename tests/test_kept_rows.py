"""Rows given in Python: what each form becomes as a table, and the file among the records that holds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from study.data import kept_rows, readers
from study.errors import BadInput
from study.settings.data import UserTable

FRAME = pd.DataFrame(
    {
        "number": [1, 2, 3],
        "gap": [1.5, np.nan, 2.5],
        "whole": pd.array([1, None, 3], dtype="Int64"),
        "text": ["a", None, "b"],
        "category": pd.Categorical(["x", "y", "x"]),
        "mixed": [1, "b", None],
        "day": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
        "year": pd.period_range("2020", "2022", freq="Y"),
        "sparse": pd.arrays.SparseArray([0, 1, 0]),
        "truth": [True, False, True],
    },
    index=["p", "q", "r"],
)
KINDS = {
    "number": "int64",
    "gap": "double",
    "whole": "int64",
    "text": "large_string",
    "category": "large_string",
    "mixed": "string",
    "day": "timestamp[us]",
    "year": "string",
    "sparse": "int64",
    "truth": "bool",
}


def kinds(table: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def test_a_pandas_frame_keeps_its_columns_without_its_index() -> None:
    table = kept_rows.table_of(FRAME)
    assert kinds(table) == KINDS
    assert table.column("mixed").to_pylist() == ["1", "b", None]
    assert table.column("gap").null_count == table.column("text").null_count == 1


class Streamed:
    """A frame of another library, such as polars, that has Arrow's own interface."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_the_types_of_other_libraries_become_plain_ones() -> None:
    views = pa.array(["u", "v"], pa.string_view())
    table = pa.table(
        {
            "view": views,
            "enum": pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.uint32()), views),
            "category": pa.array(["u", "v"]).dictionary_encode(),
            "decimal": pa.array([Decimal("1.25"), None], pa.decimal32(5, 2)),
            "half": pa.array(np.array([1, 2], np.float16)),
            "bytes": pa.array([b"u", b"v"], pa.binary(1)),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["u"])),
        }
    )
    found = kept_rows.table_of(Streamed(table))
    assert list(kinds(found).values()) == ["string", "string", "string", "decimal128(5, 2)", "float", "large_string", "string"]
    assert found.column("enum").to_pylist() == ["v", "u"]


@pytest.mark.parametrize(
    ("rows", "y", "names"),
    [
        (np.eye(3), None, ["column_1", "column_2", "column_3"]),
        (np.eye(3)[:, :2], [1, 2, 3], ["column_1", "column_2", "price"]),
        ([[1, 2], [3, 4]], np.eye(2), ["column_1", "column_2", "price_1", "price_2"]),
        ({"a": np.arange(2)}, pd.Series([1, 2], name="z"), ["a", "price"]),
        (np.array([("a", 1.0)], dtype=[("s", "U3"), ("x", "f4")]), None, ["s", "x"]),
        (pd.DataFrame(np.eye(2)), None, ["0", "1"]),
        (np.array([[1, "a"], [2, None]], object), None, ["column_1", "column_2"]),
    ],
)
def test_columns_are_named(rows: Any, y: Any, names: list[str]) -> None:
    assert kept_rows.table_of(rows, y, target="price").column_names == names


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        (3, "'int'"),
        ("abc", "'str'"),
        (np.zeros((2, 2, 2)), "'an array of shape (2, 2, 2)'"),
        ([[1], [1, 2]], "'list'"),
        ({"a": [1], "b": [1, 2]}, "'columns of 1 and 2 rows'"),
        ({"a": [1, np.eye(2)]}, "\"column 'a': list\""),
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), "\"several columns named 'a'\""),
        (np.zeros((2, 0)), "'no columns'"),
    ],
)
def test_what_makes_no_table_is_refused(rows: Any, got: str) -> None:
    with pytest.raises(BadInput) as raised:
        kept_rows.table_of(rows)
    assert str(raised.value).startswith(f"rows: got {got}; valid: ")


def test_equal_rows_have_one_file_whatever_their_chunks_and_categories(empty: Path) -> None:
    path = kept_rows.keep_rows(FRAME)
    table = kept_rows.table_of(FRAME)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    other = FRAME.assign(category=pd.Categorical(FRAME.category, ["y", "x"]))
    assert path == kept_rows.keep_rows(chunked) == kept_rows.keep_rows(other)
    assert kept_rows.keep_rows(FRAME[:2]) != path
    assert path.parent == empty / ".mlp-study" / "rows"
    assert path.stat().st_mode & 0o777 == 0o600
    assert kinds(parquet.read_table(path)) == KINDS


def test_a_damaged_file_is_written_again_and_a_killed_process_leaves_nothing(empty: Path) -> None:
    path = kept_rows.keep_rows(FRAME)
    whole, left = path.read_bytes(), path.parent / ".abc.new"
    path.write_bytes(whole[:100])
    left.write_bytes(whole[:100])
    assert not kept_rows.is_whole(path)
    assert kept_rows.keep_rows(FRAME) == path
    assert path.read_bytes() == whole
    assert not left.exists()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["open", "fsync"])
def test_an_interrupted_write_leaves_no_file(empty: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    opened: Callable[..., int] = os.open
    monkeypatch.setattr(
        os, step, killed if step == "fsync" else lambda name, *more: killed() if ".new" in str(name) else opened(name, *more)
    )
    with pytest.raises(KeyboardInterrupt):
        kept_rows.keep_rows(FRAME)
    assert [file.name for file in (empty / ".mlp-study" / "rows").iterdir()] == ["rows.lock"]


def test_rows_are_found_after_the_folder_moved(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept_rows.keep_rows({"a": [1, 2], "y": [1.5, 2.5]})
    shutil.move(empty / ".mlp-study", empty / "moved" / ".mlp-study")
    monkeypatch.chdir(empty / "moved")
    content = readers.columns(UserTable(path=str(path), target="y"), lambda names: names)
    assert {name: column.to_pylist() for name, column in content.columns.items()} == {"a": [1, 2], "y": [1.5, 2.5]}
