"""The columns of a sheet of an Excel workbook, read by openpyxl, which comes with the extra `excel`."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import ParseError

from study import processes
from study.data import python_rows, table_text, unpacking
from study.data.arrow_files import content
from study.data.file_columns import ChooseColumns, FileContent, given_names, has_header, selected
from study.errors import BadInput, Fault
from study.settings.data import UserTable

EXTRA = "pip install 'mlp-study[excel]'"
PYTHON_BYTES = 4  # of memory, per byte of a workbook's unpacked content
ERRORS = {"#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!"}  # of formulas: missing values


def read(settings: UserTable, choose: ChooseColumns, made_up: Sequence[str]) -> FileContent:
    """Read the chosen columns of a sheet, whose first row with values holds names. Raises BadInput, with the known sheets."""
    try:
        import openpyxl
    except ImportError as error:
        raise BadInput([Fault("data.path", f"{settings.path}, an Excel file", f"the extra for these: {EXTRA}")]) from error
    try:
        size = sum(member.file_size for member in unpacking.members(settings.path))
        unpacking.check_size(settings.path, PYTHON_BYTES * size, processes.free_memory())
        book = openpyxl.load_workbook(settings.path, read_only=True, data_only=True, keep_links=False)
        try:
            return _of_sheet(book, settings, choose, made_up)
        finally:
            book.close()
    except (KeyError, ValueError, TypeError, ParseError, zipfile.BadZipFile) as error:
        raise BadInput([Fault("data.path", settings.path, f"an Excel file (.xlsx) that is whole ({error})")]) from error


def _of_sheet(book: Any, settings: UserTable, choose: ChooseColumns, made_up: Sequence[str]) -> FileContent:
    names = [sheet.title for sheet in book.worksheets]
    if settings.sheet is not None and settings.sheet not in names:
        raise BadInput([Fault("data.sheet", settings.sheet, ", ".join(names))])
    sheet = book[settings.sheet or names[0]]
    rows = _rows(sheet)
    first = list(itertools.islice(rows, table_text.SNIFFED_LINES))
    if not first:
        raise BadInput(
            [Fault("data.sheet", sheet.title, "a sheet with values" + (f": {', '.join(names)}" if len(names) > 1 else ""))]
        )
    width = max(map(len, first))
    # a title above the table is a single cell
    above = next((at for at, row in enumerate(first) if len(row) > 1 or width == 1), 0)
    texts = [[_text(value) for value in _padded(row, width)] for row in first[above:]]
    header = has_header(settings, texts, made_up)
    column_names = texts[0] if header else given_names(width, settings, made_up)
    try:
        keys, chosen, notes = selected(settings, column_names, choose)
    except BadInput as bad:
        if settings.sheet is not None or len(names) == 1:
            raise
        *faults, last = bad.faults
        others = f"this is the first sheet, {sheet.title!r}; data.sheet reads another: {', '.join(names[1:])}"
        raise BadInput([*faults, Fault(last.key, last.got, f"{last.valid} ({others})")]) from bad
    positions = [keys.index(key) for key in chosen]

    def blocks() -> Iterator[list[list[Any]]]:
        remaining = itertools.chain(first[above + header :], rows)
        while block := list(itertools.islice(remaining, python_rows.BLOCK)):
            yield [[_value(row, position) for position in positions] for row in block]

    if len(names) > 1 and settings.sheet is None:
        notes.append(f"sheet {sheet.title!r}, the first of {len(names)} (data.sheet)")
    if above:
        notes.append(f"left out: {above} row{'s' * (above > 1)} above the table")
    found = content(python_rows.table_of(list(chosen), blocks()), chosen, notes)
    return found if header else replace(found, made_up=tuple(column_names))


def _rows(sheet: Any) -> Iterator[Sequence[Any]]:
    """Yield the rows that hold values, each up to its last value."""
    sheet.reset_dimensions()  # those that the file states may be wrong
    for row in sheet.iter_rows(values_only=True):
        length = next((at for at in range(len(row), 0, -1) if _is_filled(row[at - 1])), 0)
        if length:
            yield row[:length]


def _is_filled(value: Any) -> bool:
    return value is not None and value != ""


def _value(row: Sequence[Any], position: int) -> Any:
    value = row[position] if position < len(row) else None
    return None if isinstance(value, str) and value in ERRORS else value


def _padded(row: Sequence[Any], width: int) -> list[Any]:
    return [*row, *[None] * (width - len(row))]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
