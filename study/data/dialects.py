"""Infer the dialect of a text with delimiters: what separates and quotes its fields, and which lines stand above them."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from study.data.table_text import DELIMITERS, SNIFFED_BYTES, SNIFFED_LINES, delimiter_of

QUOTE, OTHER_QUOTE, ESCAPE, COMMENT = '"', "'", "\\", "#"
BLANKS = " "  # any number of blanks and tabs
RARE = ("\x01", "\x1f", "^", "~", "::", BLANKS, ":")  # delimiters of texts that none of the usual ones separates
UNIT = "\x1f"  # ASCII's separator of fields, in place of a delimiter of several characters
MOST_ABOVE = 30  # lines


@dataclass(frozen=True)
class Dialect:
    """The form of a text with delimiters.

    escape: before a quote within quotes, '' if quotes are doubled there. above: lines above the names, or the first row. padded:
    blanks may follow a delimiter, before a quote. lacking: how many fields the names have less than the rows, such as -1.
    """

    delimiter: str
    quote: str = QUOTE
    escape: str = ""
    above: int = 0
    padded: bool = False
    lacking: int = 0

    @property
    def separator(self) -> str:
        """The delimiter as Arrow sees it, a single character."""
        return UNIT if self.is_long else self.delimiter

    @property
    def is_long(self) -> bool:
        return len(self.delimiter) > 1 or (self.delimiter == BLANKS and self.padded)

    @property
    def allowances(self) -> int:
        """The number of ways in which the first lines differ from the rows."""
        return (self.above > 0) + (self.lacking != 0)

    @property
    def is_rewritten(self) -> bool:
        """True if the text must be rewritten before Arrow can read it."""
        return self.is_long or self.padded


def dialect_of(text: str, delimiter: str | None, quote: str | None, skip: int | None, ascii_bytes: bool) -> Dialect:
    """Return the first dialect in which all rows have as many fields; if none fits, the likeliest one.

    delimiter, quote, skip: None infers them. ascii_bytes: the encoding has ASCII's bytes, so that a text can be rewritten.
    """
    lines = list(itertools.islice(io.StringIO(text, newline=""), SNIFFED_LINES))
    if len(text) >= SNIFFED_BYTES / 4 and len(lines) < SNIFFED_LINES and len(lines) > 2:
        lines.pop()  # it may be cut
    if skip is None and delimiter is None and lines and (stated := re.fullmatch(r'"?sep=(.)"?\s*', lines[0])):
        return Dialect(stated[1], quote or QUOTE, above=1)  # Excel's own line
    below = lines[skip or 0 :]
    usual = Dialect(delimiter or delimiter_of("".join(below)), quote or QUOTE)
    tried = list(_variants(usual, quote, below))
    if delimiter is None:
        others = [Dialect(other, usual.quote, padded=other == BLANKS) for other in (*DELIMITERS, *RARE)]
        tried += [variant for other in others for variant in ([other] if other.is_long else _variants(other, quote, below))]
    fitted: list[Dialect] = []
    is_split = _usual_count(_rows(below, usual)) > 1
    for dialect in tried:
        if ascii_bytes or not dialect.is_rewritten:
            found = _fitted(below, dialect, skip)
            if found and found.allowances == 0:
                return found
            if found and (dialect.delimiter == usual.delimiter or not is_split):
                fitted.append(found)
    return fitted[0] if fitted else replace(usual, above=(skip or 0) + (_lines_above(below, usual) if skip is None else 0))


def _variants(dialect: Dialect, quote: str | None, lines: Sequence[str]) -> Iterator[Dialect]:
    if dialect.delimiter != BLANKS or not any(2 * BLANKS in line for line in lines):
        yield dialect
    yield replace(dialect, padded=True)
    yield replace(dialect, escape=ESCAPE)
    if quote is None:
        yield replace(dialect, quote=OTHER_QUOTE)
        yield replace(dialect, quote=OTHER_QUOTE, padded=True)


def _fitted(lines: Sequence[str], dialect: Dialect, skip: int | None) -> Dialect | None:
    """Return the dialect with what stands above the table, if its rows have equally many fields, two or more."""
    rows = _rows(lines, dialect)
    usual = _usual_count(rows)
    if usual < 2:
        return None
    rows = [(at, row) for at, row in rows if len(row) == usual or not row[0].lstrip().startswith(COMMENT)]
    first = 0
    if skip is None:
        # a line of names with one field less is that of R's row labels, or of rows that end with a delimiter
        known = (usual, usual + 1, usual - 1) if usual > 2 else (usual, usual + 1)
        first = next((at for at, (_, row) in enumerate(rows[:MOST_ABOVE]) if len(row) in known), 0)
    (above, names), below = rows[first], rows[first + 1 :]
    if any(len(row) != usual for _, row in below):
        return None
    lacking = usual - len(names)
    if lacking not in (0, 1, -1) or (lacking == -1 and names[-1].strip()) or (lacking and not below):
        return None
    is_below_text = any(line.strip() for line in lines[:above])
    return replace(dialect, above=(skip or 0) + (above if is_below_text else 0), lacking=lacking)


def _lines_above(lines: Sequence[str], dialect: Dialect) -> int:
    """Return the number of lines above the first with as many fields as nearly all rows have, which aren't all regular."""
    rows = _rows(lines, dialect)
    usual = _usual_count(rows)
    return next((at for at, row in rows[:MOST_ABOVE] if len(row) == usual), 0) if usual > 1 else 0


def _usual_count(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    counts = Counter(len(row) for _, row in rows)
    return counts.most_common(1)[0][0] if counts else 0


def fields(text: str, dialect: Dialect) -> list[list[str]]:
    """Return the fields of the first rows, including the names, without blank lines, comments and what stands above."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), dialect.above, None))
    rows = [[field.strip() for field in row] for _, row in itertools.islice(_rows(lines, dialect), SNIFFED_LINES)]
    return rows[:-1] if len(text) >= SNIFFED_BYTES / 4 and len(rows) > 2 else rows


def _rows(lines: Sequence[str], dialect: Dialect) -> list[tuple[int, list[str]]]:
    """Return rows with the number of the line that each begins on, without blank lines and comments of one field."""
    if dialect.is_long:
        split = [(at, _split(line, dialect)) for at, line in enumerate(lines)]
    else:
        reader = csv.reader(
            lines,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            escapechar=dialect.escape or None,
            doublequote=not dialect.escape,
            skipinitialspace=dialect.padded,
        )
        split, at = [], 0
        for row in reader:
            split.append((at, row))
            at = reader.line_num
    return [(at, row) for at, row in split if row and not (len(row) == 1 and row[0].lstrip().startswith(COMMENT))]


def _split(line: str, dialect: Dialect) -> list[str]:
    text = line.strip()
    if dialect.delimiter != BLANKS:
        return text.split(dialect.delimiter) if text else []
    return [field.strip(QUOTE) for field in re.findall(r'"[^"]*"|\S+', text)]


class Rewritten(io.RawIOBase):
    """A text whose delimiters are single characters, without blanks after them."""

    def __init__(self, stream: IO[bytes], dialect: Dialect) -> None:
        self._stream, self._dialect, self._ready = stream, dialect, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._stream.read(1 << 20)
            if not block:
                return 0
            self._ready = self._rewritten(block + self._stream.readline())
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

    def _rewritten(self, block: bytes) -> bytes:
        """Rewrite whole lines."""
        delimiter, quote = self._dialect.delimiter.encode(), self._dialect.quote.encode()
        if not self._dialect.is_long:
            return re.sub(re.escape(delimiter) + rb"[ \t]+" + quote, delimiter + quote, block)
        unit = UNIT.encode()
        if delimiter != BLANKS.encode():
            return block.replace(delimiter, unit)
        trimmed = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", block)
        if quote not in trimmed:
            return re.sub(rb"[ \t]+", unit, trimmed)
        return re.sub(rb'"[^"\n]*"|[ \t]+', lambda match: match[0] if match[0].startswith(quote) else unit, trimmed)

    def close(self) -> None:
        self._stream.close()
        super().close()
