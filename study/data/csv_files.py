"""The columns of a text file with delimiters, read by Arrow; its encoding, delimiter and header are guessed if not given."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from study.data import number_texts, table_text
from study.data.arrow_types import Column, is_numeric
from study.data.file_columns import ChooseColumns, FileContent, by_name, made_up_names, selected
from study.errors import BadInput, Fault
from study.settings.data import AUTO, UserTable

UTF8 = ("utf-8", "utf-8-sig", "utf8")
DELIMITER_NAMES = {"\t": "tab"}


def read(settings: UserTable, choose: ChooseColumns, texts: Collection[str], made_up: Sequence[str]) -> FileContent:
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
        keys, names, notes = selected(settings, column_names, choose)
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
    kept = by_name(table, names, notes)
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


def _made_up(count: int, settings: UserTable, known: Sequence[str]) -> list[str]:
    """Name the columns of a file that has no names. known: their names in training; the target may be missing now."""
    if not known:
        return made_up_names(count)
    inputs = [name for name in known if name not in settings.targets]
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
            yield name, pa.float64() if pa.types.is_integer(kind) and name not in settings.targets else kind


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
