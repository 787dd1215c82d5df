"""The columns of a CSV, TSV or Parquet file, read by Arrow: what the bytes say, and not yet whether that can be trained on."""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from study.data import number_texts, table_text
from study.data.encoding import absent, named_alike
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.settings.data import AUTO, KEEP, Table

MOST_TEXT = 300
UTF8 = ("utf-8", "utf-8-sig", "utf8")
DECIMAL_COMMA = "\"data.decimal=','\""  # as in a shell
DELIMITER_NAMES = {"\t": "tab"}
# as pandas names the row labels that it writes along; R, and pandas in a text file, give them no name
INDEX = re.compile(r"Unnamed: 0(\.\d+)?|__index_level_\d+__")
NAMELESS = "\0"  # begins the keys of columns without a name

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


def is_numeric(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


@dataclass(frozen=True)
class Content:
    """A file's chosen columns by name, what was guessed to read them, in words, and all its columns' names where it has none."""

    columns: dict[str, Column]
    notes: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()


def columns(settings: Table, choose: Choice, texts: Collection[str] = (), made_up: Sequence[str] = ()) -> Content:
    """The chosen columns; text without dictionaries and without blanks around it, null where nothing is left.

    texts: names of columns that a text file holds texts in, whatever they look like. made_up: as for `values`. Raises BadInput for
    a file that can't be read.
    """
    stamp(settings.path)
    file = Path(settings.path)
    try:
        with file.open("rb") as stream:
            head = stream.read(4)
        is_parquet = head == b"PAR1" or file.suffix in (".parquet", ".pq")
        read = _read_parquet(settings, choose) if is_parquet else _read_csv(settings, choose, texts, made_up)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput([Fault("data.path", settings.path, f"a file that can be read ({str(error).splitlines()[0]})")]) from error
    found, notes = dict(read.columns), list(read.notes)
    numbers: dict[str, str] = {}
    for name, column in found.items():
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if pa.types.is_string_view(column.type):
            column = pc.cast(column, pa.string())
        if is_text(column.type) and not pa.types.is_boolean(column.type):
            column = pc.utf8_trim_whitespace(column)  # nobody sees a blank at a text's end
            column = _without(column, ["", *map(str, settings.gaps)])
            if not is_parquet and name not in texts:
                column, example = _numbers_in_texts(column, settings)
                numbers |= {name: example} if example else {}
        if is_numeric(column.type):
            column = _without_numbers(column, settings.gaps)
        found[name] = column
    if numbers:
        notes.append("texts that are read as numbers: " + textwrap.shorten("; ".join(map(" ".join, numbers.items())), MOST_TEXT))
    if settings.gaps:
        notes.append(f"missing values, besides the usual ones: {', '.join(map(str, settings.gaps))}")
    return Content(found, tuple(notes), read.made_up)


def values(settings: Table, wanted: Collection[str], texts: Collection[str], made_up: Sequence[str] = ()) -> dict[str, Array]:
    """The wanted columns: numbers, NaN where nothing is, or Python's values, None where nothing is.

    texts: as for `columns`. made_up: the names that the columns got in training, for their file had none: this one has as many
    columns, or all but the target, or names after all. Raises as `columns` does, and BadInput if two columns share a name or one
    isn't there.
    """
    settings = replace(settings, index=KEEP)  # whether it is one is known: only what is wanted is read

    def choose(names: Sequence[str]) -> list[str]:
        if faults := named_alike("data.path", names) or absent(wanted, names):
            raise BadInput(faults)
        return [name for name in names if name in wanted]

    found = columns(settings, choose, texts, made_up).columns
    return {
        name: column.to_numpy()
        if name not in texts and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        else np.fromiter(column.to_pylist(), object, len(column))
        for name, column in found.items()
    }


def _without(column: Column, texts: Sequence[str]) -> Column:
    return pc.if_else(pc.is_in(column, value_set=pa.array(texts, column.type)), None, column)


def _without_numbers(column: Column, gaps: Sequence[str | float]) -> Column:
    numbers = [found.value for found in (number_texts.read(str(gap), ".") for gap in gaps) if found]
    if not numbers:
        return column
    return pc.if_else(pc.is_in(pc.cast(column, pa.float64(), safe=False), value_set=pa.array(numbers, pa.float64())), None, column)


def _numbers_in_texts(column: Column, settings: Table) -> tuple[Column, str]:
    """Numbers, if all texts are some, and an example of one that Arrow doesn't read, if there is one.

    Arrow takes a blank field for text, and so the whole column.
    """
    texts, marks = pc.unique(column).drop_null().to_pylist(), (settings.decimal, settings.thousands)
    if not texts or not number_texts.read(texts[0], *marks) or number_texts.slips(texts, *marks):
        return column, ""
    written = {text: each for text in texts if (each := number_texts.read(text, *marks))}
    numbers = pa.array([each.value for each in written.values()], pa.float64())
    column = pc.take(numbers, pc.index_in(column, value_set=pa.array(texts, column.type)))
    text, first = next(((text, each) for text, each in written.items() if each.mark or each.sign), ("", None))
    if first is None:
        return column, ""
    doubtful = first.mark == "," and not settings.thousands and number_texts.ambiguous(texts, ",")
    otherwise = f" (if the comma is a decimal mark: {DECIMAL_COMMA})" if doubtful else ""
    return column, f"{text!r} is {first.value:.15g}{otherwise}"


def _selected(settings: Table, names: Sequence[str], choose: Choice) -> tuple[list[str], dict[str, str], list[str]]:
    """A key of its own for each column, the names of the keys to read, and what was left out, in words."""
    keys = [name or f"{NAMELESS}{place}" for place, name in enumerate(names)]
    named = dict(zip(keys, names, strict=True))
    labels: list[str] = []
    if settings.index != KEEP and len(keys) > 1:
        known = (settings.target, *settings.drop)
        labels = [key for key in named if (INDEX.fullmatch(key) or key == f"{NAMELESS}0") and named[key] not in known]
    nameless = [key for key in keys if key.startswith(NAMELESS) and key not in labels]
    # of several columns without a name, all but one may be empty
    chosen = choose([named[key] for key in keys if key not in labels and key not in nameless[1:]])
    told = ", ".join("the first column, which has no name" if key.startswith(NAMELESS) else repr(key) for key in labels)
    notes = [f"left out as row labels: {told} (data.index=keep makes an input of it)"] if labels else []
    return keys, {key: name for key, name in named.items() if key not in labels and name in chosen}, notes


def _named(table: Any, names: dict[str, str], notes: list[str]) -> dict[str, Column]:
    """The columns by their names instead of their keys, without those that have neither a name nor a value."""
    found = {key: table.column(key) for key in names}
    empty = [key for key, column in found.items() if not names[key] and column.null_count == len(column)]
    if empty:
        notes.append(f"left out: {len(empty)} column{'s' * (len(empty) > 1)} without a name and without values")
    kept = [key for key in found if key not in empty]
    if faults := named_alike("data.path", [names[key] for key in kept]):
        raise BadInput(faults)
    return {names[key]: found[key] for key in kept}


def _read_parquet(settings: Table, choose: Choice) -> Content:
    try:
        with parquet.ParquetFile(settings.path) as file:
            _, names, notes = _selected(settings, file.schema_arrow.names, choose)
            # read in one go, the file's pages would be in memory beside the columns
            table = pa.table({key: file.read(columns=[name]).column(0) for key, name in names.items()})
            table.validate(full=True)
            return Content(_named(table, names, notes), tuple(notes))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput([Fault("data.path", settings.path, f"a Parquet file ({str(error).splitlines()[0]})")]) from error


def _read_csv(settings: Table, choose: Choice, texts: Collection[str], made_up: Sequence[str]) -> Content:
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
    settings: Table, encoding: str, head: bytes, choose: Choice, texts: Collection[str], made_up: Sequence[str]
) -> Content:
    """The table. Raises UnicodeError if it isn't in this encoding."""
    text = table_text.decoded(head, encoding)
    delimiter = settings.delimiter or table_text.delimiter_of(text)
    rows = table_text.first_rows(text, delimiter)
    header = _has_header(settings, rows, made_up)
    # as 'utf8' Arrow decodes by itself, and quickly
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
        found = list(schema.names) if header else _made_up(len(schema.names), settings, made_up)
        keys, names, notes = _selected(settings, found, choose)
        if keys != schema.names:
            reading.autogenerate_column_names, reading.column_names = False, keys
            reading.skip_rows_after_names = _lines_to_names(text) if header else 0
        converting.include_columns = list(names)
        as_text = {key: pa.string() for key, name in names.items() if name in texts}
        # where types are known beforehand, Arrow doesn't keep the text until the end: half the memory
        converting.column_types = dict(_types(settings, dict(zip(keys, schema.types, strict=True)))) | as_text
        try:
            table = parse(arrow_csv.read_csv)
        except pa.ArrowInvalid:  # a type that the first lines don't show
            converting.column_types = as_text
            table = parse(arrow_csv.read_csv)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise UnicodeError from error
        raise BadInput([Fault("data.path", settings.path, _csv_problem(parse, str(error), header))]) from error
    if any(pa.types.is_binary(kind) for kind in table.schema.types):  # how Arrow takes text that isn't in the encoding
        raise UnicodeError
    kept = _named(table, names, notes)
    notes = [*_guessed(settings, encoding, delimiter, text), *notes]
    if not header:
        notes.append(
            f"no names: the first line is a row like those below, and the columns are {found[0]} to {found[-1]} "
            "(data.header=true takes it for names)"
        )
    if settings.decimal == "," and not settings.thousands:
        below = [row for row in rows[header:] if len(row) == len(found)]
        notes += _doubtful(kept, {name: [row[place] for row in below] for place, name in enumerate(found)})
    return Content(kept, tuple(notes), () if header else tuple(found))


def _has_header(settings: Table, rows: Sequence[Sequence[str]], made_up: Sequence[str]) -> bool:
    if made_up:
        return bool(rows) and any(field in made_up for field in rows[0])
    return settings.header is True or (settings.header == AUTO and (not rows or table_text.holds_names(rows)))


def made_up_names(count: int) -> list[str]:
    return [f"column_{place + 1}" for place in range(count)]


def _made_up(count: int, settings: Table, known: Sequence[str]) -> list[str]:
    """Names for the columns of a file that has none. known: those that they had in training; the target may be missing now."""
    if not known:
        return made_up_names(count)
    inputs = [name for name in known if name != settings.target]
    if count not in (len(known), len(inputs)):
        valid = f"{len(known)} columns without names as in training, or {len(inputs)} without the target"
        raise BadInput([Fault("data.path", f"a table of {count} columns", valid)])
    return list(known) if count == len(known) else inputs


def _lines_to_names(text: str) -> int:
    """How many of a text's first lines Arrow has to skip: those that are blank, and that of names."""
    return next((place for place, line in enumerate(text.splitlines()) if line), 0) + 1


def _guessed(settings: Table, encoding: str, delimiter: str, text: str) -> list[str]:
    """Whatever is unusual about how a text file was read."""
    told = []
    if encoding not in UTF8:
        word = table_text.foreign_word(text)
        told.append(f"encoding {encoding}" + (f", as in {word!r}" if word else "") + " (data.encoding)" * (not settings.encoding))
    if delimiter != ",":
        told.append(f"delimiter {DELIMITER_NAMES.get(delimiter, repr(delimiter))}")
    if settings.decimal != ".":
        told.append(f"decimal mark {settings.decimal!r}")
    return ["; ".join(told)] if told else []


def _doubtful(columns: dict[str, Column], sample: dict[str, list[str]]) -> Iterator[str]:
    """Numbers whose decimal commas may stand between thousands. sample: the first texts of each column."""
    for name, column in columns.items():
        text = number_texts.ambiguous(sample[name], ",")
        number = number_texts.read(text, ",") if text else None
        if number and is_numeric(column.type):
            values = column.drop_null().to_numpy() * 1000
            if np.allclose(values, np.round(values), rtol=0, atol=1e-6):
                yield f"{name}: {text!r} is {number.value:g} (if the comma stands between thousands: data.decimal=.)"


def _types(settings: Table, types: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, kind in types.items():
        if not pa.types.is_null(kind) and not pa.types.is_binary(kind):
            yield name, pa.float64() if pa.types.is_integer(kind) and name != settings.target else kind


def _csv_problem(parse: Callable[..., Any], message: str, header: bool) -> str:
    """What is wrong with a CSV file; the row of a wrong number of fields is only known without threads."""
    try:
        parse(arrow_csv.read_csv, threads=False)
    except pa.ArrowInvalid as error:
        message = str(error)
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        line, expected, got = map(int, ragged.groups())
        return f"a table with {expected} fields in each row (row {line - header} has {got})"  # the names' line is Arrow's first
    return f"a table with names in its first line ({message.splitlines()[0]})"
