"""The columns of a file of any format, or of a query: their content, before it is checked for training."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data import arrow_files, csv_files, formats, kept_rows, number_texts, queries, unpacking, workbooks
from study.data.arrow_types import Column, as_texts, is_numeric, is_text, plain
from study.data.encoding import GAPS_AMONG_NUMBERS, USUAL_GAPS, absent, named_alike
from study.data.file_columns import ChooseColumns, FileContent
from study.data.hints import roles_hint
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.settings.data import CATEGORY, KEEP, NUMBER, REGRESSION, UserTable, is_url

MOST_TEXT = 300
DECIMAL_COMMA = "\"data.decimal=','\""  # quoted for a shell


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


def stamp_of(settings: UserTable) -> tuple[int, int]:
    """Return what `stamp` does; for the rows of a query, which are kept, a constant where their database isn't a file here."""
    if settings.sql is not None and (is_url(settings.path) or not Path(settings.path).exists()):
        return 0, 0
    return stamp(settings.path)


def columns(settings: UserTable, choose: ChooseColumns, texts: Collection[str] = (), made_up: Sequence[str] = ()) -> FileContent:
    """Read the chosen columns; texts without dictionaries and without surrounding blanks, null where empty.

    texts: names of columns that hold texts in a text file, whatever they look like. made_up: as for `values`. The rows of a query
    are kept. Raises BadInput for a file that can't be read.
    """
    if settings.sql is None:
        return _read(settings, choose, texts, made_up)
    path, notes = queries.kept(settings)
    content = _read(replace(settings, path=path, sql=None), choose, texts, made_up, is_typed=False)
    return replace(content, notes=(*notes, *content.notes))


def _read(
    settings: UserTable, choose: ChooseColumns, texts: Collection[str], made_up: Sequence[str], is_typed: bool | None = None
) -> FileContent:
    """Read a file. is_typed: its texts are texts although they look like numbers; None if its format decides."""
    settings = replace(settings, path=kept_rows.found(settings.path))
    texts = {*texts, *_as_written(settings)}
    stamp(settings.path)
    try:
        kind = formats.format_of(settings.path)
        if kind == formats.TEXT:
            read = csv_files.read(settings, choose, texts, made_up)
        elif kind == formats.EXCEL:
            read = workbooks.read(settings, choose, made_up)
        elif kind == formats.SQLITE:
            read = arrow_files.chosen(queries.rows(settings), settings, choose)
        else:
            read = arrow_files.read(kind, settings, choose)
    except unpacking.DAMAGE as error:
        raise BadInput([Fault("data.path", settings.path, f"a file that can be read ({str(error).splitlines()[0]})")]) from error
    return _finished(read, settings, texts, kind in formats.TYPED if is_typed is None else is_typed)


def _finished(read: FileContent, settings: UserTable, texts: Collection[str], is_typed: bool) -> FileContent:
    table, notes, gaps = dict(read.columns), list(read.notes), dict[str, list[str]]()
    as_written, said = _as_written(settings), _said_to_be_numbers(settings)
    as_meant = {*as_written, *settings.targets}
    numbers: dict[str, str] = {}
    kept: dict[str, str] = {}  # texts that could be numbers
    for name, column in table.items():
        column = plain(column)
        if is_text(column.type) and not pa.types.is_boolean(column.type):
            column = pc.utf8_trim_whitespace(column)  # a blank at a text's end is invisible
            column = _without(column, ["", *map(str, settings.gaps)])
            if name not in texts:
                without, removed = _without_words(column, GAPS_AMONG_NUMBERS)
                as_numbers, example = _numbers_in_texts(without, settings)
                if is_numeric(as_numbers.type) and is_typed and name not in said:
                    kept |= {name: repr(without.drop_null()[0].as_py())} if name not in as_meant else {}
                elif is_numeric(as_numbers.type):
                    column, numbers = as_numbers, numbers | ({name: example} if example else {})
                    gaps |= {name: removed} if removed else {}
            if not is_numeric(column.type) and not is_typed and name not in as_written:
                column, removed = _without_words(column, USUAL_GAPS)
                gaps |= {name: removed} if removed else {}
        if is_numeric(column.type):
            column = _without_numbers(column, settings.gaps)
            column = as_texts(column) if name in texts else column
        table[name] = column
    if numbers:
        notes.append("texts read as numbers: " + textwrap.shorten("; ".join(map(" ".join, numbers.items())), MOST_TEXT))
    if kept:
        listed = textwrap.shorten(", ".join(f"{name} ({text})" for name, text in kept.items()), MOST_TEXT)
        hint = roles_hint(next(iter(kept)), NUMBER)
        notes.append(f"texts, although they look like numbers: {listed}; as numbers: {hint}")
    if gaps:
        listed, first = ", ".join(f"{name} {text}" for name, texts in gaps.items() for text in texts), next(iter(gaps))
        otherwise = f"{roles_hint(first, CATEGORY)} keeps those of {first} as texts"
        notes.append(f"taken for missing values: {textwrap.shorten(listed, MOST_TEXT)}; {otherwise}")
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
    choose = partial(wanted_names, wanted)
    if settings.sql is None:
        table = _read(settings, choose, texts, made_up).columns
    else:
        table = _finished(arrow_files.chosen(queries.rows(settings), settings, choose), settings, texts, is_typed=False).columns
    return {
        name: column.to_numpy()
        if name not in texts and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
        else np.fromiter(column.to_pylist(), object, len(column))
        for name, column in table.items()
    }


def _as_written(settings: UserTable) -> set[str]:
    """Return the columns that are said to be categories: their texts stay what they are."""
    return {name for name, role in settings.named_roles.items() if role == CATEGORY}


def _said_to_be_numbers(settings: UserTable) -> set[str]:
    """Return the columns whose texts are read as numbers, whatever the file's types say."""
    targets = settings.targets if settings.task == REGRESSION else ()
    return {*targets, *(name for name, role in settings.named_roles.items() if role == NUMBER)}


def _without_words(column: Column, words: Collection[str]) -> tuple[Column, list[str]]:
    """Return a column of texts without these, and which of them it held, with the number of rows."""
    found = pc.value_counts(column.filter(pc.is_in(column, value_set=pa.array(words, column.type)))).to_pylist()
    if not found:
        return column, []
    listed = [f"{item['values']!r} ({item['counts']:,} row{'s' * (item['counts'] > 1)})" for item in found]
    return _without(column, [item["values"] for item in found]), listed


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
    every, marks = pc.unique(column).drop_null(), (settings.decimal, settings.thousands)
    # most columns of texts are ruled out by their first one
    if not len(every) or not number_texts.read(every[0].as_py(), *marks):
        return column, ""
    texts = every.to_pylist()
    if number_texts.slips(texts, *marks):
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
