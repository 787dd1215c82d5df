"""The columns of a text file with delimiters, read by Arrow; its encoding, delimiter and header are guessed if not given."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from study.data import dialects, number_texts, table_text, unpacking
from study.data.arrow_blocks import with_long_lines
from study.data.arrow_types import Column, is_numeric
from study.data.dialects import BLANKS, COMMENT, QUOTE, Dialect
from study.data.file_columns import ChooseColumns, FileContent, by_name, given_names, has_header, selected
from study.errors import BadInput, Fault
from study.settings.data import UserTable

UTF8 = ("utf-8", "utf-8-sig", "utf8")
DELIMITER_NAMES = {"\t": "tab", BLANKS: "blanks"}


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
    ascii_bytes = not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    dialect = dialects.dialect_of(text, settings.delimiter, settings.quote, settings.skip, ascii_bytes)
    rows = dialects.fields(text, dialect)
    header = has_header(settings, rows, made_up)
    # under the name 'utf8', Arrow decodes by itself, and quickly
    reading = arrow_csv.ReadOptions(encoding="utf8" if encoding in UTF8 else encoding, autogenerate_column_names=not header)
    reading.skip_rows = dialect.above
    comments = Counter[str]()
    parsing = arrow_csv.ParseOptions(
        delimiter=dialect.separator,
        quote_char=dialect.quote,
        escape_char=dialect.escape or False,
        newlines_in_values=True,
        # Arrow prints an error of its own where a row that it gives to Python is no UTF-8
        invalid_row_handler=partial(_without_comments, comments) if _any_comment(text) else None,
    )
    converting = arrow_csv.ConvertOptions(decimal_point=settings.decimal)

    def parse(parser: Callable[..., Any], threads: bool = True) -> Any:
        reading.use_threads = threads

        def in_blocks(size: int) -> Any:
            reading.block_size = size
            comments.clear()
            with unpacking.open_binary(settings.path) as file:
                stream = io.BufferedReader(dialects.Rewritten(file, dialect)) if dialect.is_rewritten else file
                result = parser(stream, reading, parsing, converting)
                return result.schema if parser is arrow_csv.open_csv else result

        return with_long_lines(in_blocks)

    try:
        given: list[str] = []
        if header and dialect.lacking:
            given = _completed(rows, dialect.lacking)
            reading.column_names = [str(position) for position in range(len(given))]
            reading.skip_rows_after_names = _lines_to_names(text, dialect)
        schema = parse(arrow_csv.open_csv)
        column_names = given or (list(schema.names) if header else given_names(len(schema.names), settings, made_up))
        column_names = [name.strip() for name in column_names] if dialect.padded else column_names
        keys, names, notes = selected(settings, column_names, choose)
        if keys != schema.names:
            reading.autogenerate_column_names, reading.column_names = False, keys
            reading.skip_rows_after_names = _lines_to_names(text, dialect) if header else 0
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
        raise BadInput([Fault("data.path", settings.path, _csv_problem(parse, str(error), header + dialect.above))]) from error
    if any(pa.types.is_binary(kind) for kind in table.schema.types):  # Arrow's type for text in another encoding
        raise UnicodeError
    kept = by_name(table, names, notes)
    notes = [*_guessed(settings, encoding, dialect, text), *notes]
    if comments:
        notes.append(f"left out: {comments.total()} line{'s' * (comments.total() > 1)} of comments, which begin with {COMMENT}")
    if not header:
        notes.append(
            f"no names: the first line is a row like those below, so the columns are named {column_names[0]} to {column_names[-1]} "
            "(data.header=true reads it as names)"
        )
    if settings.decimal == "," and not settings.thousands:
        below = [row for row in rows[header:] if len(row) == len(column_names)]
        notes += _doubtful(kept, {name: [row[position] for row in below] for position, name in enumerate(column_names)})
    return FileContent(kept, tuple(notes), () if header else tuple(column_names))


def _any_comment(text: str) -> bool:
    return any(line.lstrip().startswith(COMMENT) for line in text.splitlines())


def _without_comments(comments: Counter[str], row: Any) -> str:
    """Skip a line with a wrong number of fields that is a comment, and count it."""
    if not row.text.lstrip().startswith(COMMENT):
        return "error"
    comments[COMMENT] += 1
    return "skip"


def _completed(rows: Sequence[Sequence[str]], lacking: int) -> list[str]:
    """Return the names with as many fields as the rows: R names no row labels, and lines may end with a delimiter."""
    names, below = list(rows[0]), rows[1:]
    if lacking < 0:
        return names[:lacking]
    return [*names, ""] if all(not row[-1] for row in below) else ["", *names]


def _lines_to_names(text: str, dialect: Dialect) -> int:
    """Return how many lines Arrow must skip, below those above the table: the blank ones and the line of names."""
    return next((number for number, line in enumerate(text.splitlines()[dialect.above :]) if line), 0) + 1


def _guessed(settings: UserTable, encoding: str, dialect: Dialect, text: str) -> list[str]:
    """Report anything unusual about how a text file was read."""
    notes = []
    if encoding not in UTF8:
        word = table_text.foreign_word(text)
        notes.append(f"encoding {encoding}" + (f", as in {word!r}" if word else "") + " (data.encoding)" * (not settings.encoding))
    if dialect.delimiter != ",":
        notes.append(f"delimiter {DELIMITER_NAMES.get(dialect.delimiter, repr(dialect.delimiter))}")
    if dialect.quote != QUOTE:
        notes.append(f"quotes {dialect.quote}")
    if dialect.escape:
        notes.append(f"{dialect.escape} before quotes within quotes")
    if dialect.above:
        notes.append(
            f"{dialect.above} line{'s' * (dialect.above > 1)} above the table left out" + " (data.skip)" * (settings.skip is None)
        )
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


def _csv_problem(parse: Callable[..., Any], message: str, above: int) -> str:
    """Explain the fault of a text. above: lines above its rows. Only a parse without threads reports the row of a ragged one."""
    try:
        parse(arrow_csv.read_csv, threads=False)
    except pa.ArrowInvalid as error:
        message = str(error)
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        line, expected, got = map(int, ragged.groups())
        return f"a table with {expected} fields in each row (row {line - above} has {got})"  # Arrow counts all lines
    return f"a table with names in its first line ({message.splitlines()[0]})"
