"""The columns of Parquet, Arrow and Feather files, and of JSON lines, read by Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.json as arrow_json
import pyarrow.parquet as parquet

from study import processes
from study.data import formats, unpacking
from study.data.arrow_blocks import with_long_lines
from study.data.file_columns import ChooseColumns, FileContent, by_name, selected
from study.errors import BadInput, Fault
from study.settings.data import UserTable

SMALLEST_CELL = 0.125  # bytes in memory, of a column of nulls or booleans


def read(kind: str, settings: UserTable, choose: ChooseColumns) -> FileContent:
    """Read the chosen columns of a file. kind: one of those in `formats`. Raises BadInput for a damaged one."""
    try:
        return READERS[kind](settings, choose)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        article = "an" if kind[0] in "AE" else "a"
        raise BadInput([Fault("data.path", settings.path, f"{article} {kind} file ({str(error).splitlines()[0]})")]) from error


def _parquet(settings: UserTable, choose: ChooseColumns) -> FileContent:
    with parquet.ParquetFile(settings.path) as file:
        rows = file.metadata.num_rows
        _, names, notes = selected(settings, file.schema_arrow.names, choose)
        unpacking.check_size(settings.path, rows * len(names) * SMALLEST_CELL, processes.free_memory())
        # reading all at once would hold the file's pages beside the columns
        table = pa.table({key: file.read(columns=[name]).column(0) for key, name in names.items()})
        return content(table, names, notes)


def _arrow(settings: UserTable, choose: ChooseColumns) -> FileContent:
    with pa.OSFile(settings.path) as source:
        schema = ipc.open_file(source).schema
    keys, names, notes = selected(settings, schema.names, choose)
    options = ipc.IpcReadOptions(included_fields=[keys.index(key) for key in names])
    with pa.OSFile(settings.path) as source:
        file = ipc.open_file(source, options=options)
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
        return content(_collected(settings.path, file.schema, batches).rename_columns(list(names)), names, notes)


def _arrow_stream(settings: UserTable, choose: ChooseColumns) -> FileContent:
    with pa.OSFile(settings.path) as source:
        stream = ipc.open_stream(source)
        return chosen(_collected(settings.path, stream.schema, stream), settings, choose)


def _collected(path: str, schema: Any, batches: Iterable[Any]) -> Any:
    """Return a table of record batches. Raises BadInput once they are more than the memory holds."""
    most, size, kept = processes.free_memory(), 0, []
    for batch in batches:
        kept.append(batch)
        size += batch.nbytes
        unpacking.check_size(path, size, most)
    return pa.Table.from_batches(kept, schema)


def _json_lines(settings: UserTable, choose: ChooseColumns) -> FileContent:
    def parse(block: int) -> Any:
        with unpacking.open_binary(settings.path) as stream:
            # an object within a line becomes columns, named a.b
            return arrow_json.read_json(stream, arrow_json.ReadOptions(block_size=block)).flatten()

    try:
        return chosen(with_long_lines(parse), settings, choose)
    except pa.ArrowInvalid as error:
        if changed := re.search(r"Column\(/(.*)\) changed from (\w+) to (\w+) in row (\d+)", str(error)):
            name, before, after, _ = changed.groups()
            valid = "JSON lines whose values of one name are all of one kind"
            raise BadInput([Fault("data.path", f"column {name!r}: {after} after {before}", valid)]) from error
        raise


def chosen(table: Any, settings: UserTable, choose: ChooseColumns) -> FileContent:
    """Return the chosen columns of a table that is in memory."""
    keys, names, notes = selected(settings, table.column_names, choose)
    return content(table.rename_columns(keys).select(list(names)), names, notes)


def content(table: Any, names: dict[str, str], notes: list[str]) -> FileContent:
    """Return the columns of a table whose own names are keys. names: those of the keys."""
    table.validate(full=True)
    return FileContent(by_name(table, names, notes), tuple(notes))


READERS = {
    formats.PARQUET: _parquet,
    formats.ARROW: _arrow,
    formats.ARROW_STREAM: _arrow_stream,
    formats.JSON_LINES: _json_lines,
}
