"""The columns of a CSV, TSV or Parquet file, read by Arrow: what the bytes say, and not yet whether that can be trained on."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from study.encoding import named_alike
from study.errors import BadInput, Fault
from study.records import Array
from study.settings.data import Table

SNIFFED_BYTES = 1 << 16
DELIMITERS = ",;\t|"

Column = Any  # pa.ChunkedArray; pyarrow has no types
# of the names in the file those to read, in their order; it may raise BadInput
Choice = Callable[[Sequence[str]], Sequence[str]]


def stamp(path: str) -> tuple[int, int]:
    """What changes when the file does: its time and size. Raises BadInput unless it is a file with something in it."""
    file = Path(path)
    try:
        if not file.is_file():
            reason = "a directory" if file.is_dir() else "no such file"
            raise BadInput([Fault("data.path", path, f"a file ({reason})")])
        status = file.stat()
    except OSError as error:
        raise BadInput([Fault("data.path", path, f"a file that can be read ({error.strerror})")]) from error
    if status.st_size == 0:
        raise BadInput([Fault("data.path", path, "a table (the file is empty)")])
    return status.st_mtime_ns, status.st_size


def is_text(kind: Any) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_number(text: str, decimal: str) -> bool:
    """decimal: the mark; another one makes a text of it."""
    try:
        float(text.replace(",", ".") if decimal == "," and "." not in text else text)
    except ValueError:
        return False
    return decimal == "." or "." not in text


def columns(settings: Table, choose: Choice, texts: Collection[str] = ()) -> dict[str, Column]:
    """The chosen columns by name; text without dictionaries and without blanks around it, null where nothing is left.

    texts: names of columns that a text file holds texts in, whatever they look like. Raises BadInput for a file that can't be read.
    """
    stamp(settings.path)
    file = Path(settings.path)
    try:
        with file.open("rb") as stream:
            head = stream.read(4)
        read = _read_parquet if head == b"PAR1" or file.suffix in (".parquet", ".pq") else _read_csv
        table = read(settings, choose, texts)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput([Fault("data.path", settings.path, f"a file that can be read ({str(error).splitlines()[0]})")]) from error
    found = dict(zip(table.column_names, table.columns, strict=True))
    for name, column in found.items():
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if is_text(column.type) and not pa.types.is_boolean(column.type):
            column = pc.utf8_trim_whitespace(column)  # nobody sees a blank at a text's end
            column = pc.if_else(pc.equal(column, ""), None, column)
            if read is _read_csv and name not in texts:
                column = _numbers_beside_blanks(column, settings.decimal)
        found[name] = column
    return found


def values(settings: Table, wanted: Collection[str], texts: Collection[str]) -> dict[str, Array]:
    """Of the wanted columns those that the file has: numbers, NaN where nothing is, or Python's values, None where nothing is.

    texts: as for `columns`. Raises as it does, and BadInput if two columns share a name.
    """

    def choose(names: Sequence[str]) -> list[str]:
        if faults := named_alike("data.path", names):
            raise BadInput(faults)
        return [name for name in names if name in wanted]

    found = columns(settings, choose, texts)
    return {
        name: column.to_numpy()
        if name not in texts and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        else np.fromiter(column.to_pylist(), object, len(column))
        for name, column in found.items()
    }


def _numbers_beside_blanks(column: Column, decimal: str) -> Column:
    """Numbers, if all texts that are left without blanks are some: Arrow takes a blank field for text, and so the column."""
    texts = pc.unique(column).drop_null().to_pylist()
    if not texts or not all(is_number(text, decimal) for text in texts):
        return column
    try:
        return pc.cast(pc.replace_substring(column, ",", ".") if decimal == "," else column, pa.float64())
    except pa.ArrowInvalid:  # what Python reads and Arrow doesn't, such as 1_000
        return column


def _read_parquet(settings: Table, choose: Choice, _: Collection[str]) -> Any:
    try:
        with parquet.ParquetFile(settings.path) as file:
            # read in one go, the file's pages would be in memory beside the columns
            table = pa.table({name: file.read(columns=[name]).column(0) for name in choose(file.schema_arrow.names)})
            table.validate(full=True)
            return table
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput([Fault("data.path", settings.path, f"a Parquet file ({str(error).splitlines()[0]})")]) from error


def _read_csv(settings: Table, choose: Choice, texts: Collection[str]) -> Any:
    head = _head(settings.path)
    for encoding in [settings.encoding] if settings.encoding else _encodings(head):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
            if "\0" in text:
                continue
            return _parse_csv(settings, encoding, settings.delimiter or _delimiter(text), choose, texts)
        except UnicodeError:
            continue
    raise BadInput([Fault("data.encoding", settings.encoding, "the encoding that the file is in, such as utf-8, cp1252 or utf-16")])


def _open(path: str) -> IO[bytes]:
    with open(path, "rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else open(path, "rb")  # type: ignore[return-value]


def _head(path: str) -> bytes:
    with _open(path) as stream:
        return stream.read(SNIFFED_BYTES)


def _encodings(head: bytes) -> list[str]:
    """What a file that begins with `head` may be encoded in, the likeliest first."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ["utf-16"]
    return ["utf-8-sig"] if head.startswith(codecs.BOM_UTF8) else ["utf-8", "cp1252"]


def _delimiter(text: str) -> str:
    """The one that makes the most columns, in the most lines as many as in the first."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), 100))

    def columns(delimiter: str) -> float:
        counts = [len(line) for line in csv.reader(lines, delimiter=delimiter) if line]
        return (counts[0] - 1) * counts.count(counts[0]) / len(counts) if counts else 0

    return max(DELIMITERS, key=columns)


def _parse_csv(settings: Table, encoding: str, delimiter: str, choose: Choice, texts: Collection[str]) -> Any:
    """The table. Raises UnicodeError if it isn't in this encoding."""
    parsing = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    converting = arrow_csv.ConvertOptions(strings_can_be_null=True, decimal_point=settings.decimal)

    def parse(parser: Callable[..., Any], threads: bool = True) -> Any:
        # as 'utf8' Arrow decodes by itself, and quickly
        name = "utf8" if encoding in ("utf-8", "utf-8-sig") else encoding
        with _open(settings.path) as stream:
            reading = arrow_csv.ReadOptions(encoding=name, use_threads=threads)
            result = parser(stream, reading, parsing, converting)
            return result.schema if parser is arrow_csv.open_csv else result

    try:
        schema = parse(arrow_csv.open_csv)
        converting.include_columns = list(choose(schema.names))
        as_text = dict.fromkeys(texts, pa.string())
        # where types are known beforehand, Arrow doesn't keep the text until the end: half the memory
        converting.column_types = dict(_types(settings, schema)) | as_text
        try:
            table = parse(arrow_csv.read_csv)
        except pa.ArrowInvalid:  # a type that the first lines don't show
            converting.column_types = as_text
            table = parse(arrow_csv.read_csv)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise UnicodeError from error
        raise BadInput([Fault("data.path", settings.path, _csv_problem(parse, str(error)))]) from error
    if any(pa.types.is_binary(kind) for kind in table.schema.types):  # how Arrow takes text that isn't in the encoding
        raise UnicodeError
    return table


def _types(settings: Table, schema: Any) -> Iterator[tuple[str, Any]]:
    for field in schema:
        whole = pa.types.is_integer(field.type) and field.name != settings.target
        if not pa.types.is_null(field.type) and not pa.types.is_binary(field.type):
            yield field.name, pa.float64() if whole else field.type


def _csv_problem(parse: Callable[..., Any], message: str) -> str:
    """What is wrong with a CSV file; the row of a wrong number of fields is only known without threads."""
    try:
        parse(arrow_csv.read_csv, threads=False)
    except pa.ArrowInvalid as error:
        message = str(error)
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        line, expected, got = map(int, ragged.groups())
        return f"a table with {expected} fields in each row (row {line - 1} has {got})"  # the names' line is Arrow's first
    return f"a table with names in its first line ({message.splitlines()[0]})"
