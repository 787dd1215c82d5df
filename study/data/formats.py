"""Recognise a file's format by its content; only where that fits several, by its name."""

from __future__ import annotations

import re
from pathlib import PurePath

from study.data import table_text, unpacking
from study.errors import BadInput, Fault

TEXT, PARQUET, ARROW, ARROW_STREAM, JSON_LINES, EXCEL, SQLITE = (
    "delimited text",
    "Parquet",
    "Arrow",
    "Arrow stream",
    "JSON lines",
    "Excel",
    "SQLite",
)
TYPED = (PARQUET, ARROW, ARROW_STREAM)  # a text in these is a text although it looks like a number
READABLE = (
    "CSV or other text with delimiters, or JSON lines (either also as .gz, .bz2, .xz, .zst or .zip); Parquet, Arrow or Feather; "
    "Excel (.xlsx); or a SQLite file with data.sql"
)
SQLITE_MAGIC = b"SQLite format 3\0"
BINARY = {b"PAR1": PARQUET, b"ARROW1\0\0": ARROW, b"\xff\xff\xff\xff": ARROW_STREAM, SQLITE_MAGIC: SQLITE}
ENDINGS = {".parquet": PARQUET, ".pq": PARQUET, ".feather": ARROW, ".arrow": ARROW, ".xlsx": EXCEL}
# formats of other tables, by their first bytes
FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an Office file of before 2007, such as .xls; save it as .xlsx",
    b"FEA1": "a Feather file of version 1; write it with version 2",
    b"\x89HDF": "an HDF5 file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"%PDF": "a PDF file",
    b"\x93NUMPY": "a NumPy array",
    b"$FL2": "an SPSS file",
    b"$FL3": "an SPSS file",
    b"<stata_dta>": "a Stata file",
    b"RDX2": "an R file",
    b"RDX3": "an R file",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
}
MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", re.IGNORECASE)
OFFICE = {"content.xml": "an OpenDocument file; save it as .xlsx", "xl/workbook.bin": "an .xlsb file; save it as .xlsx"}
OFFICE |= {"word/document.xml": "a Word file", ".npy": "NumPy arrays"}


def format_of(path: str) -> str:
    """Return a file's format, one of those above. Raises BadInput, with the readable ones, for a known other one."""
    magic = unpacking.magic_of(path)
    for start, kind in BINARY.items():
        if magic.startswith(start):
            return kind
    if magic.startswith((unpacking.ZIP, unpacking.EMPTY_ZIP)):
        names = {member.filename for member in unpacking.members(path)}
        if "xl/workbook.xml" in names:
            return EXCEL
        for name, text in OFFICE.items():
            if any(member == name or (name.startswith(".") and member.endswith(name)) for member in names):
                raise _unreadable(path, text)
    elif by_name := ENDINGS.get(PurePath(path).suffix.lower()):
        return by_name  # a damaged one, whose reader says so
    head = table_text.head_of(path)
    for start, text in FOREIGN.items():
        if head.startswith(start):
            raise _unreadable(path, text)
    if MARKUP.match(head):
        raise _unreadable(path, "a page of HTML or XML")
    return _kind_of_text(path, head)


def is_sqlite(path: str) -> bool:
    return unpacking.magic_of(path) == SQLITE_MAGIC


def _kind_of_text(path: str, head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'\{\s*("|\})', start):
        first, _, rest = start.partition(b"\n")
        if first.rstrip().endswith(b"}") or not rest:
            return JSON_LINES
        raise _unreadable(path, "JSON over several lines; write one object per line")
    if re.match(rb"\[\s*[\[{]", start):
        raise _unreadable(path, "a JSON array; write one object per line")
    return TEXT


def _unreadable(path: str, text: str) -> BadInput:
    return BadInput([Fault("data.path", f"{path}, {text}", READABLE)])
