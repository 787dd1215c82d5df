"""What the bytes of a text file mean: its encoding, the delimiter between its fields, and whether its first line holds names."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
from collections.abc import Sequence
from typing import IO

from study.data.number_texts import CURRENCIES
from study.errors import BadInput, Fault

SNIFFED_BYTES, SNIFFED_LINES = 1 << 16, 100
SAMPLE_BYTES = 1 << 13
DELIMITERS = ",;\t|"
MISSING = {"", "?", "-", "na", "n/a", "nan", "null", "none"}
# those that differ in what letters they have; in the first ones a character has two bytes
PAIRS, SINGLES = ("gb18030", "cp932", "euc_jp", "cp949", "big5"), ("cp1251", "koi8_r", "cp1253", "cp1252")
BY_CHANCE = 0.25  # of the lines in an encoding of pairs, so many at most are UTF-8 by chance


def open_binary(path: str) -> IO[bytes]:
    """The file's bytes, uncompressed if it is a gzip file."""
    with open(path, "rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else open(path, "rb")  # type: ignore[return-value]


def head_of(path: str) -> bytes:
    with open_binary(path) as stream:
        return stream.read(SNIFFED_BYTES)


def decoded(head: bytes, encoding: str) -> str:
    """The text that a file's head begins with. Raises UnicodeError if it is no text in this encoding."""
    text = codecs.getincrementaldecoder(encoding)().decode(head)
    if "\0" in text:
        raise UnicodeError
    return text


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a file's first bytes show; None if it may be UTF-8 or an older one."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) / 5:  # half of all bytes in English, a delimiter here and there in Chinese
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def older_encoding(path: str) -> str:
    """The encoding of a file that isn't UTF-8. Raises BadInput if only some of its lines aren't, or if it is none that is known."""
    utf8, others, first, sample = 0, 0, (0, b""), bytearray()
    with open_binary(path) as stream:
        for number, line in enumerate((piece for block in stream for piece in block.splitlines()), 1):
            if line.isascii():
                continue
            try:
                line.decode()
                utf8 += 1
            except UnicodeDecodeError as error:
                others += 1
                first = first if first[0] else (number, line[max(0, error.start - 20) : error.start + 20])
                if len(sample) < SAMPLE_BYTES:
                    sample += line[max(0, error.start - SAMPLE_BYTES) : error.start + SAMPLE_BYTES] + b"\n"
    found = _by_letters(bytes(sample))
    if others and utf8 > (BY_CHANCE * (utf8 + others) if found in PAIRS else 0):
        where = f"line {first[0]}" + (f" (first of {others} such lines)" if others > 1 else "")
        near = first[1].decode(found or "latin-1", "replace")
        valid = f"one encoding in all lines: mend {where}, near {near!r}, or name one for all: {found or 'latin-1'}"
        raise BadInput([Fault("data.encoding", f"utf-8 in {utf8} lines, and bytes that aren't utf-8 in {where}", valid)])
    if found is None:
        raise unreadable(None)
    return found


def unreadable(encoding: str | None) -> BadInput:
    """That a file isn't in this encoding, or, with None, in none that can be found out."""
    return BadInput([Fault("data.encoding", encoding, "the encoding that the file is in, such as utf-8, cp1252 or utf-16")])


def _by_letters(sample: bytes) -> str | None:
    """The encoding whose letters make words of a sample that isn't UTF-8."""
    foreign = [place for place, byte in enumerate(sample) if byte > 127]
    alone = [place for place in foreign if sample[max(0, place - 1) : place].isascii() and sample[place + 1 : place + 2].isascii()]
    latin = "cp1250" if _signs(sample, "cp1250") < _signs(sample, "cp1252") else "cp1252"
    if sum(sample[place : place + 1].decode("cp1252", "replace").isalpha() for place in alone) > len(foreign) / 2:
        return latin  # letters amid those of English, as nowhere else
    from charset_normalizer import from_bytes

    # a table's words are no sentences, hence the threshold
    found = from_bytes(sample, cp_isolation=[*PAIRS, *SINGLES], threshold=1.0).best()
    if found is None:
        return None
    words = len(alone) <= len(foreign) / 2
    if found.encoding in PAIRS:
        words = re.search(r"[^\x00-\x7f]{2}", sample.decode(found.encoding, "replace")) is not None
    return found.encoding if words and found.encoding != "cp1252" else latin


def _signs(sample: bytes, encoding: str) -> int:
    """Where Western Europe has signs, Central Europe has letters: ‘£ódŸ’ is Łódź."""
    return sum(not each.isalpha() for each in sample.decode(encoding, "replace") if not each.isascii())


def foreign_word(text: str) -> str:
    """The first word that isn't ASCII; '' if all are."""
    found = re.search(r"[^\W_]*[^\x00-\x7f][^\W_]*", text)
    return found[0] if found else ""


def delimiter_of(text: str) -> str:
    """The one that makes the most columns, in the most lines as many as in the first."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), SNIFFED_LINES))

    def columns(delimiter: str) -> float:
        counts = [len(line) for line in csv.reader(lines, delimiter=delimiter) if line]
        return (counts[0] - 1) * counts.count(counts[0]) / len(counts) if counts else 0

    return max(DELIMITERS, key=columns)


def first_rows(text: str, delimiter: str) -> list[list[str]]:
    """The fields of the first rows, that of names among them, blank lines left out."""
    rows = [row for row in itertools.islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), SNIFFED_LINES) if row]
    return [[field.strip() for field in row] for row in (rows[:-1] if len(text) >= SNIFFED_BYTES / 4 and len(rows) > 2 else rows)]


def holds_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds names and is none like those below: no number among numbers, no text that comes again below.

    Numbers in equal steps, such as 0, 1, 2 or years, are names.
    """
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    numeric: list[str] = []
    again: list[bool] = []
    for place, name in enumerate(first):
        known = [row[place] for row in below if row[place].lower() not in MISSING]
        if not name or not known:
            continue
        if sum(map(_is_value, known)) > len(known) / 2:
            numeric.append(name)
        else:
            again.append(name in known)
    if not all(map(_is_value, numeric)):
        return True
    if sum(again) > len(again) / 2:
        return False
    if all(name.isdecimal() for name in numeric):
        steps = {int(after) - int(before) for before, after in itertools.pairwise(numeric)}
        return bool(again) or not numeric or steps == {1} or (len(steps) == 1 < len(numeric) - 1 and 0 not in steps)
    return False


def _is_value(text: str) -> bool:
    """Whether it begins as numbers and dates do."""
    return re.match(rf"[-+−]?[{CURRENCIES}]?\s*[.,]?\d", text) is not None
