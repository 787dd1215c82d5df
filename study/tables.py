"""A user's table as numbers: read by Arrow, and refused, with the column's name, where it can't be trained on."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import shlex
import textwrap
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from study.encoding import named_alike, row_text
from study.errors import BadInput, Fault
from study.records import Array, Floats, Input
from study.settings.data import CLASSIFICATION, LARGEST, REFUSE, REGRESSION, Table
from study.settings.rules import nearest

SNIFFED_BYTES = 1 << 16
DELIMITERS = ",;\t|"
# an integer target of so few values, each often enough, numbers classes
MOST_AUTO_CLASSES, LEAST_ROWS_A_CLASS = 20, 5
# a text column is one of numbers with slips in it if so many of its different texts are numbers
NUMERIC_SHARE = 0.5
COMMAS = "\"data.decimal=','\""  # as in a shell
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")

Column = Any  # pa.ChunkedArray; pyarrow has no types


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


def resolve_task(settings: Table) -> str:
    """What `task: auto` means: classification for text, booleans, and whole numbers of few values; else regression."""
    source = settings.source()
    assert isinstance(source, Table)
    return _task(source, stamp(settings.path))


@lru_cache(maxsize=16)
def _task(settings: Table, _: tuple[int, int]) -> str:
    column = _columns(settings, [settings.target])[settings.target]
    if _is_text(column.type):
        return REGRESSION if _slips(settings, _levels(column)) else CLASSIFICATION
    if not pa.types.is_integer(column.type):
        return REGRESSION
    distinct = pc.count_distinct(column).as_py()
    return CLASSIFICATION if distinct <= min(MOST_AUTO_CLASSES, len(column) / LEAST_ROWS_A_CLASS) else REGRESSION


def read(settings: Table) -> tuple[Floats, Array, tuple[Input, ...], tuple[str, ...]]:
    """Inputs [n, inputs], target, what the inputs are made of, and the target's or the classes' names.

    The target is float [n, 1] for regression and int32 [n] for classification, classes in sorted order. Text and boolean columns
    are one-hot, by the sorted levels of the whole table, so that every part of it has the same columns. A missing number is NaN.
    Raises BadInput with all faults of the content.
    """
    stamp(settings.path)
    columns = _columns(settings, None)
    rows = len(columns[settings.target])
    if rows < 2:
        raise BadInput([Fault("data.path", f"a table of {rows} rows", "2 rows or more below the line of names")])
    faults: list[Fault] = []
    y, target_names = _target(settings, columns.pop(settings.target), faults)
    if not columns:
        faults.append(Fault("data.path", "no column beside the target", "one input or more"))
    levels = {name: _checked_levels(settings, name, column, faults) for name, column in columns.items() if _is_text(column.type)}
    # columns are written, and later normalised, one by one: each in one piece is several times as fast
    x = np.empty((rows, sum(len(levels.get(name, [name])) for name in columns)), np.float32, order="F")
    inputs: list[Input] = []
    for name in list(columns):
        column, at = columns.pop(name), len(inputs)  # popped, so that its memory is given back
        if name in levels:
            codes = pc.index_in(column, value_set=pa.array(levels[name], column.type)).to_numpy()
            for number, level in enumerate(levels[name]):
                x[:, at + number] = codes == number
                inputs.append(Input(name, str(level), column.null_count > 0))
        else:
            x[:, at] = _checked_numbers(settings, name, column, faults)
            inputs.append(Input(name))
    if faults:
        raise BadInput(faults)
    return x, y, tuple(inputs), target_names


# -- columns -----------------------------------------------------------------------------------------------------------------


def _is_text(kind: Any) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _levels(column: Column) -> list[Any]:
    return sorted(value for value in pc.unique(column).to_pylist() if value is not None)


def _slips(settings: Table, levels: Sequence[Any]) -> list[str]:
    """The texts that are no numbers in a column that is meant to be of numbers; [] if it isn't one."""
    texts = [level for level in levels if isinstance(level, str)]
    meant = [text for text in texts if _is_number(text, ".") or _is_number(text, ",")]  # one with the other mark is a slip too
    wrong = [text for text in texts if not _is_number(text, settings.decimal)]
    return wrong if meant and len(meant) >= NUMERIC_SHARE * len(texts) else []


def _is_number(text: str, decimal: str) -> bool:
    """decimal: the mark; another one makes a text of it."""
    try:
        float(text.replace(",", ".") if decimal == "," and "." not in text else text)
    except ValueError:
        return False
    return decimal == "." or "." not in text


def _leave_out(settings: Table, name: str, otherwise: str) -> str:
    if name == settings.target:
        return otherwise
    quoted = name if re.fullmatch(r"\w[\w ]*", name) else repr(name) if '"' in name else f'"{name}"'
    return f"{otherwise}, or leave it out: {shlex.quote(f'data.drop=[{quoted}]')}"


def _slip(settings: Table, name: str, column: Column, slips: Sequence[str]) -> Fault:
    rows = pc.is_in(column, value_set=pa.array(slips, column.type)).to_numpy()
    first = column[int(np.argmax(rows))].as_py()
    valid = f"numbers only, with decimal {'points' if settings.decimal == '.' else 'commas'}, or nothing"
    # commas may stand between thousands
    if settings.decimal == "." and _is_number(first, ",") and not THOUSANDS.fullmatch(first):
        valid += f"; or decimal commas, in a text file: {COMMAS}"
    return Fault("data.path", f"column {name!r}: {first!r} among numbers, {row_text(rows)}", _leave_out(settings, name, valid))


def _missing(settings: Table, name: str, rows: Array) -> list[Fault]:
    if settings.missing != REFUSE or not rows.any():
        return []
    valid = _leave_out(settings, name, "no gaps, data.missing=mean, median or most_frequent")
    return [Fault("data.missing", f"column {name!r}: nothing in {row_text(rows)}", valid)]


def _checked_levels(settings: Table, name: str, column: Column, faults: list[Fault]) -> list[Any]:
    levels = _levels(column)
    if slips := _slips(settings, levels):
        faults.append(_slip(settings, name, column, slips))
        return []
    faults += _missing(settings, name, pc.is_null(column).to_numpy())
    if len(levels) < 2:
        got = f"column {name!r}: always {levels[0]!r}" if levels else f"column {name!r}: empty"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "a column that varies")))
    elif len(levels) > settings.max_levels:
        valid = _leave_out(settings, name, f"at most {settings.max_levels} levels (data.max_levels)")
        faults.append(Fault("data.path", f"column {name!r}: {len(levels)} different texts, such as {levels[0]!r}", valid))
        return []  # its columns might not fit into memory
    return levels


def _checked_numbers(settings: Table, name: str, column: Column, faults: list[Fault]) -> Floats:
    """Single precision [n], NaN where nothing is; faults are added to `faults`."""
    nothing = np.zeros(len(column), np.float32)
    if pa.types.is_null(column.type):
        faults.append(Fault("data.path", f"column {name!r}: empty", _leave_out(settings, name, "a column that varies")))
        return nothing
    if not _is_numeric(column.type):
        faults.append(
            Fault("data.path", f"column {name!r}: {column.type}", _leave_out(settings, name, "numbers, text or booleans"))
        )
        return nothing
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    missing = np.isnan(values)
    faults += _missing(settings, name, missing)
    too_large = np.abs(values) > LARGEST
    if too_large.any():
        got = f"column {name!r}: {values[np.argmax(too_large)]:g} in {row_text(too_large)}"
        faults.append(Fault("data.path", got, _leave_out(settings, name, f"numbers from {-LARGEST:g} to {LARGEST:g}")))
        return nothing
    known = values[~missing] if missing.any() else values
    if not len(known) or known.min() == known.max():
        got = f"column {name!r}: always {known[0]:g}" if len(known) else f"column {name!r}: empty"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "a column that varies")))
        return nothing
    kept = values.astype(np.float32)
    # a time in seconds since 1970 may differ by less than single precision can tell
    if np.std(known - known.astype(np.float32)) > 0.01 * np.std(known):
        got = f"column {name!r}: values near {known[0]:.15g} that single precision can't tell apart"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "differences from a value near them")))
    return kept


def _is_numeric(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _target(settings: Table, column: Column, faults: list[Fault]) -> tuple[Array, tuple[str, ...]]:
    name, text = settings.target, _is_text(column.type)
    if not text and not _is_numeric(column.type):
        faults.append(Fault("data.target", name, f"a column of numbers, text or booleans ({column.type})"))
        return np.zeros((len(column), 1)), (name,)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        faults.append(Fault("data.target", f"column {name!r}: nothing in {row_text(missing)}", "a target in every row"))
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        faults.append(Fault("data.target", f"column {name!r}: all values the same", "a column that varies"))
    if settings.task == CLASSIFICATION:
        if distinct > len(column) / 2:
            got = f"column {name!r}: {distinct} classes in {len(column)} rows"
            faults.append(Fault("data.target", got, "a column of classes, or data.task=regression"))
            return np.zeros(len(column), np.int32), ()
        classes = _levels(column)
        codes = pc.fill_null(pc.index_in(column, value_set=pa.array(classes, column.type)), 0)
        return codes.to_numpy().astype(np.int32), tuple(map(str, classes))
    if text:
        slips = _slips(settings, _levels(column))
        unsuitable = Fault("data.task", REGRESSION, f"classification (the target {name!r} is no column of numbers)")
        faults.append(_slip(settings, name, column, slips) if slips else unsuitable)
    elif distinct > 1:
        complete = Table(path=settings.path, target=name, missing="mean")  # what is missing is told above
        return _checked_numbers(complete, name, column, faults)[:, None], (name,)
    return np.zeros((len(column), 1)), (name,)


# -- files -------------------------------------------------------------------------------------------------------------------


def _columns(settings: Table, only: Sequence[str] | None) -> dict[str, Column]:
    """The file's columns by name, `only` some or all that aren't dropped; text without dictionaries."""
    file = Path(settings.path)
    try:
        with file.open("rb") as stream:
            head = stream.read(4)
        read = _read_parquet if head == b"PAR1" or file.suffix in (".parquet", ".pq") else _read_csv
        table = read(settings, only)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput([Fault("data.path", settings.path, f"a file that can be read ({str(error).splitlines()[0]})")]) from error
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if _is_text(column.type) and not pa.types.is_boolean(column.type):
            column = pc.utf8_trim_whitespace(column)  # nobody sees a blank at a text's end
            column = pc.if_else(pc.equal(column, ""), None, column)
            if read is _read_csv:
                column = _numbers_beside_blanks(column, settings.decimal)
        columns[name] = column
    return columns


def _numbers_beside_blanks(column: Column, decimal: str) -> Column:
    """Numbers, if all texts that are left without blanks are some: Arrow takes a blank field for text, and so the column."""
    texts = pc.unique(column).drop_null().to_pylist()
    if not texts or not all(_is_number(text, decimal) for text in texts):
        return column
    try:
        return pc.cast(pc.replace_substring(column, ",", ".") if decimal == "," else column, pa.float64())
    except pa.ArrowInvalid:  # what Python reads and Arrow doesn't, such as 1_000
        return column


def _kept(settings: Table, names: Sequence[str]) -> list[str]:
    """The names that aren't dropped. Raises BadInput if two are alike, or if the target or one to drop isn't among them."""
    faults = named_alike("data.path", names)
    wanted = [("data.target", settings.target), *(("data.drop", name) for name in settings.drop)]
    faults += [Fault(key, name, textwrap.shorten(nearest(name, names), 400)) for key, name in wanted if name not in names]
    if faults:
        raise BadInput(faults)
    return [name for name in names if name not in settings.drop]


def _read_parquet(settings: Table, only: Sequence[str] | None) -> Any:
    try:
        with parquet.ParquetFile(settings.path) as file:
            kept = _kept(settings, file.schema_arrow.names)
            # read in one go, the file's pages would be in memory beside the columns
            table = pa.table({name: file.read(columns=[name]).column(0) for name in only or kept})
            table.validate(full=True)
            return table
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput([Fault("data.path", settings.path, f"a Parquet file ({str(error).splitlines()[0]})")]) from error


def _read_csv(settings: Table, only: Sequence[str] | None) -> Any:
    head = _head(settings.path)
    for encoding in [settings.encoding] if settings.encoding else _encodings(head):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
            if "\0" in text:
                continue
            return _parse_csv(settings, encoding, settings.delimiter or _delimiter(text), only)
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


def _parse_csv(settings: Table, encoding: str, delimiter: str, only: Sequence[str] | None) -> Any:
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
        kept = _kept(settings, schema.names)
        converting.include_columns = only or kept
        # where types are known beforehand, Arrow doesn't keep the text until the end: half the memory
        converting.column_types = dict(_types(settings, schema))
        try:
            table = parse(arrow_csv.read_csv)
        except pa.ArrowInvalid:  # a type that the first lines don't show
            converting.column_types = {}
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
