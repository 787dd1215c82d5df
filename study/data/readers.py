"""The columns of a CSV, TSV or Parquet file, read by Arrow: the file's content, before it is checked for training."""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from study.data import kept_rows, number_texts, table_text
from study.data.arrow_types import Column, plain
from study.data.encoding import absent, named_alike
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.settings.data import AUTO, KEEP, UserTable

MOST_TEXT = 300
UTF8 = ("utf-8", "utf-8-sig", "utf8")
DECIMAL_COMMA = "\"data.decimal=','\""  # quoted for a shell
DELIMITER_NAMES = {"\t": "tab"}
# pandas' names of row labels; R, and pandas in a text file, give them no name
INDEX = re.compile(r"Unnamed: 0(\.\d+)?|__index_level_\d+__")
NAMELESS = "\0"  # prefix of the keys of columns without a name

# takes the names in the file, returns those to read, in their order; may raise BadInput
ChooseColumns = Callable[[Sequence[str]], Sequence[str]]


def stamp(path: str) -> tuple[int, int]:
    """Return the file's time and size, which change when the file does. Raises BadInput unless it is a file with content."""
    file = Path(kept_rows.found(path))
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


def is_numeric(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


@dataclass(frozen=True)
class FileContent:
    """A file's chosen columns by name.

    notes: sentences about what was guessed to read them. made_up: names for all columns of a file that has none.
    """

    columns: dict[str, Column]
    notes: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()


def columns(settings: UserTable, choose: ChooseColumns, texts: Collection[str] = (), made_up: Sequence[str] = ()) -> FileContent:
    """Read the chosen columns; texts without dictionaries and without surrounding blanks, null where empty.

    texts: names of columns that hold texts in a text file, whatever they look like. made_up: as for `values`. Raises BadInput for a
    file that can't be read.
    """
    settings = replace(settings, path=kept_rows.found(settings.path))
    stamp(settings.path)
    file = Path(settings.path)
    try:
        with file.open("rb") as stream:
            head = stream.read(4)
        is_parquet = head == b"PAR1" or file.suffix in (".parquet", ".pq")
        read = _read_parquet(settings, choose) if is_parquet else _read_csv(settings, choose, texts, made_up)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput([Fault("data.path", settings.path, f"a file that can be read ({str(error).splitlines()[0]})")]) from error
    table, notes = dict(read.columns), list(read.notes)
    numbers: dict[str, str] = {}
    for name, column in table.items():
        column = plain(column)
        if is_text(column.type) and not pa.types.is_boolean(column.type):
            column = pc.utf8_trim_whitespace(column)  # a blank at a text's end is invisible
            column = _without(column, ["", *map(str, settings.gaps)])
            if not is_parquet and name not in texts:
                column, example = _numbers_in_texts(column, settings)
                numbers |= {name: example} if example else {}
        if is_numeric(column.type):
            column = _without_numbers(column, settings.gaps)
        table[name] = column
    if numbers:
        notes.append("texts read as numbers: " + textwrap.shorten("; ".join(map(" ".join, numbers.items())), MOST_TEXT))
    if settings.gaps:
        notes.append(f"additional missing values: {', '.join(map(str, settings.gaps))}")
    return FileContent(table, tuple(notes), read.made_up)


def wanted_names(wanted: Collection[str], names: Sequence[str]) -> list[str]:
    """Return the wanted names in a file's order. Raises BadInput if two columns share a name or a wanted one is missing."""
    if faults := named_alike("data.path", names) or absent(wanted, names):
        raise BadInput(faults)
    return [name for name in names if name in wanted]


def values(settings: UserTable, wanted: Collection[str], texts: Collection[str], made_up: Sequence[str] = ()) -> dict[str, Array]:
    """Return the wanted columns: numbers, NaN where missing, or Python values, None where missing.

    texts: as for `columns`. made_up: the column names from training, if that file had none: this file must have as many columns, or
    all but the target, or names. Raises as `columns` does, and BadInput if two columns share a name or one is missing.
    """
    settings = replace(settings, index=KEEP)  # only wanted columns are read, so row labels need no detection

    table = columns(settings, partial(wanted_names, wanted), texts, made_up).columns
    return {
        name: column.to_numpy()
        if name not in texts and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        else np.fromiter(column.to_pylist(), object, len(column))
        for name, column in table.items()
    }


def _without(column: Column, texts: Sequence[str]) -> Column:
    return pc.if_else(pc.is_in(column, value_set=pa.array(texts, column.type)), None, column)


def _without_numbers(column: Column, gaps: Sequence[str | float]) -> Column:
    numbers = [number.value for number in (number_texts.read(str(gap), ".") for gap in gaps) if number]
    if not numbers:
        return column
    return pc.if_else(pc.is_in(pc.cast(column, pa.float64(), safe=False), value_set=pa.array(numbers, pa.float64())), None, column)


def _numbers_in_texts(column: Column, settings: UserTable) -> tuple[Column, str]:
    """Return numbers if all texts are numbers, and an example of one that Arrow doesn't read, if there is one.

    Arrow takes a blank field, and so its whole column, for text.
    """
    texts, marks = pc.unique(column).drop_null().to_pylist(), (settings.decimal, settings.thousands)
    if not texts or not number_texts.read(texts[0], *marks) or number_texts.slips(texts, *marks):
        return column, ""
    written = {text: number for text in texts if (number := number_texts.read(text, *marks))}
    numbers = pa.array([number.value for number in written.values()], pa.float64())
    column = pc.take(numbers, pc.index_in(column, value_set=pa.array(texts, column.type)))
    text, first = next(((text, number) for text, number in written.items() if number.mark or number.sign), ("", None))
    if first is None:
        return column, ""
    doubtful = first.mark == "," and not settings.thousands and number_texts.ambiguous(texts, ",")
    otherwise = f" (if the comma is a decimal mark: {DECIMAL_COMMA})" if doubtful else ""
    return column, f"{text!r} is {first.value:.15g}{otherwise}"


def _selected(settings: UserTable, names: Sequence[str], choose: ChooseColumns) -> tuple[list[str], dict[str, str], list[str]]:
    """Return a unique key for each column, the names of the keys to read, and notes about what was left out."""
    keys = [name or f"{NAMELESS}{position}" for position, name in enumerate(names)]
    named = dict(zip(keys, names, strict=True))
    labels: list[str] = []
    if settings.index != KEEP and len(keys) > 1:
        known = (settings.target, *settings.drop)
        labels = [key for key in named if (INDEX.fullmatch(key) or key == f"{NAMELESS}0") and named[key] not in known]
    nameless = [key for key in keys if key.startswith(NAMELESS) and key not in labels]
    # if several columns have no name, all but one may be empty
    chosen = choose([named[key] for key in keys if key not in labels and key not in nameless[1:]])
    names_left_out = ", ".join("the first column, which has no name" if key.startswith(NAMELESS) else repr(key) for key in labels)
    notes = [f"left out as row labels: {names_left_out} (data.index=keep keeps them as an input)"] if labels else []
    return keys, {key: name for key, name in named.items() if key not in labels and name in chosen}, notes


def _named(table: Any, names: dict[str, str], notes: list[str]) -> dict[str, Column]:
    """Return the columns by name instead of key, without those that have neither a name nor a value."""
    by_key = {key: table.column(key) for key in names}
    empty = [key for key, column in by_key.items() if not names[key] and column.null_count == len(column)]
    if empty:
        notes.append(f"left out: {len(empty)} column{'s' * (len(empty) > 1)} without a name and without values")
    kept = [key for key in by_key if key not in empty]
    if faults := named_alike("data.path", [names[key] for key in kept]):
        raise BadInput(faults)
    return {names[key]: by_key[key] for key in kept}


def _read_parquet(settings: UserTable, choose: ChooseColumns) -> FileContent:
    try:
        with parquet.ParquetFile(settings.path) as file:
            _, names, notes = _selected(settings, file.schema_arrow.names, choose)
            # reading all at once would hold the file's pages beside the columns
            table = pa.table({key: file.read(columns=[name]).column(0) for key, name in names.items()})
            table.validate(full=True)
            return FileContent(_named(table, names, notes), tuple(notes))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput([Fault("data.path", settings.path, f"a Parquet file ({str(error).splitlines()[0]})")]) from error


def _read_csv(settings: UserTable, choose: ChooseColumns, texts: Collection[str], made_up: Sequence[str]) -> FileContent:
    head = table_text.head_of(settings.path)
    encoding = settings.encoding or table_text.marked_encoding(head) or "utf-8"
    try:
        try:
            return _parse_csv(settings, encoding, head, choose, texts, made_up)
        except UnicodeError:
            if settings.encoding or encoding not in UTF8 or b"\0" in head:
                raise
            encoding = table_text.older_encoding(settings.path)
            return _parse_csv(settings, encoding, head, choose, texts, made_up)
    except UnicodeError as error:
        raise table_text.unreadable(settings.encoding) from error


def _parse_csv(
    settings: UserTable, encoding: str, head: bytes, choose: ChooseColumns, texts: Collection[str], made_up: Sequence[str]
) -> FileContent:
    """Parse the table. Raises UnicodeError if it isn't in this encoding."""
    text = table_text.decoded(head, encoding)
    delimiter = settings.delimiter or table_text.delimiter_of(text)
    rows = table_text.first_rows(text, delimiter)
    header = _has_header(settings, rows, made_up)
    # under the name 'utf8', Arrow decodes by itself, and quickly
    reading = arrow_csv.ReadOptions(encoding="utf8" if encoding in UTF8 else encoding, autogenerate_column_names=not header)
    parsing = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    converting = arrow_csv.ConvertOptions(strings_can_be_null=True, decimal_point=settings.decimal)

    def parse(parser: Callable[..., Any], threads: bool = True) -> Any:
        reading.use_threads = threads
        with table_text.open_binary(settings.path) as stream:
            result = parser(stream, reading, parsing, converting)
            return result.schema if parser is arrow_csv.open_csv else result

    try:
        schema = parse(arrow_csv.open_csv)
        column_names = list(schema.names) if header else _made_up(len(schema.names), settings, made_up)
        keys, names, notes = _selected(settings, column_names, choose)
        if keys != schema.names:
            reading.autogenerate_column_names, reading.column_names = False, keys
            reading.skip_rows_after_names = _lines_to_names(text) if header else 0
        converting.include_columns = list(names)
        as_text = {key: pa.string() for key, name in names.items() if name in texts}
        # with known types, Arrow doesn't keep the text until the end, which halves the memory
        converting.column_types = dict(_types(settings, dict(zip(keys, schema.types, strict=True)))) | as_text
        try:
            table = parse(arrow_csv.read_csv)
        except pa.ArrowInvalid:  # the first lines didn't show a type
            converting.column_types = as_text
            table = parse(arrow_csv.read_csv)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise UnicodeError from error
        raise BadInput([Fault("data.path", settings.path, _csv_problem(parse, str(error), header))]) from error
    if any(pa.types.is_binary(kind) for kind in table.schema.types):  # Arrow's type for text in another encoding
        raise UnicodeError
    kept = _named(table, names, notes)
    notes = [*_guessed(settings, encoding, delimiter, text), *notes]
    if not header:
        notes.append(
            f"no names: the first line is a row like those below, so the columns are named {column_names[0]} to {column_names[-1]} "
            "(data.header=true reads it as names)"
        )
    if settings.decimal == "," and not settings.thousands:
        below = [row for row in rows[header:] if len(row) == len(column_names)]
        notes += _doubtful(kept, {name: [row[position] for row in below] for position, name in enumerate(column_names)})
    return FileContent(kept, tuple(notes), () if header else tuple(column_names))


def _has_header(settings: UserTable, rows: Sequence[Sequence[str]], made_up: Sequence[str]) -> bool:
    if made_up:
        return bool(rows) and any(field in made_up for field in rows[0])
    return settings.header is True or (settings.header == AUTO and (not rows or table_text.holds_names(rows)))


def made_up_names(count: int) -> list[str]:
    return [f"column_{position + 1}" for position in range(count)]


def _made_up(count: int, settings: UserTable, known: Sequence[str]) -> list[str]:
    """Name the columns of a file that has no names. known: their names in training; the target may be missing now."""
    if not known:
        return made_up_names(count)
    inputs = [name for name in known if name != settings.target]
    if count not in (len(known), len(inputs)):
        valid = f"{len(known)} columns without names, as in training, or {len(inputs)} without the target"
        raise BadInput([Fault("data.path", f"a table of {count} columns", valid)])
    return list(known) if count == len(known) else inputs


def _lines_to_names(text: str) -> int:
    """Return how many of a text's first lines Arrow must skip: the blank ones and the line of names."""
    return next((number for number, line in enumerate(text.splitlines()) if line), 0) + 1


def _guessed(settings: UserTable, encoding: str, delimiter: str, text: str) -> list[str]:
    """Report anything unusual about how a text file was read."""
    notes = []
    if encoding not in UTF8:
        word = table_text.foreign_word(text)
        notes.append(f"encoding {encoding}" + (f", as in {word!r}" if word else "") + " (data.encoding)" * (not settings.encoding))
    if delimiter != ",":
        notes.append(f"delimiter {DELIMITER_NAMES.get(delimiter, repr(delimiter))}")
    if settings.decimal != ".":
        notes.append(f"decimal mark {settings.decimal!r}")
    return ["; ".join(notes)] if notes else []


def _doubtful(columns: dict[str, Column], sample: dict[str, list[str]]) -> Iterator[str]:
    """Report columns whose decimal commas may be thousands separators. sample: the first texts of each column."""
    for name, column in columns.items():
        text = number_texts.ambiguous(sample[name], ",")
        number = number_texts.read(text, ",") if text else None
        if number and is_numeric(column.type):
            values = column.drop_null().to_numpy() * 1000
            if np.allclose(values, np.round(values), rtol=0, atol=1e-6):
                yield f"{name}: {text!r} is {number.value:g} (if the comma separates thousands: data.decimal=.)"


def _types(settings: UserTable, types: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, kind in types.items():
        if not pa.types.is_null(kind) and not pa.types.is_binary(kind):
            yield name, pa.float64() if pa.types.is_integer(kind) and name != settings.target else kind


def _csv_problem(parse: Callable[..., Any], message: str, header: bool) -> str:
    """Explain the fault of a CSV file; only a parse without threads reports the row with a wrong number of fields."""
    try:
        parse(arrow_csv.read_csv, threads=False)
    except pa.ArrowInvalid as error:
        message = str(error)
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        line, expected, got = map(int, ragged.groups())
        return f"a table with {expected} fields in each row (row {line - header} has {got})"  # Arrow counts the line of names
    return f"a table with names in its first line ({message.splitlines()[0]})"
