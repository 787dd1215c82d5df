"""Infer what the bytes of a text file mean: its encoding, its delimiter, and whether its first line holds names."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Sequence

from study.data import unpacking
from study.data.number_texts import CURRENCIES
from study.errors import BadInput, Fault

SNIFFED_BYTES, SNIFFED_LINES = 1 << 16, 100
MOST_SNIFFED, FEW_LINES = 1 << 26, 3
SAMPLE_BYTES = 1 << 13
DELIMITERS = ",;\t|"
MISSING = {"", "?", "-", "na", "n/a", "nan", "null", "none"}
# encodings that differ in their letters; in the first ones a character takes two bytes
PAIRS, SINGLES = ("gb18030", "cp932", "euc_jp", "cp949", "big5"), ("cp1251", "koi8_r", "cp1253", "cp1252")
csv.field_size_limit(MOST_SNIFFED)  # under another delimiter, a wide table's line of names is one field
BY_CHANCE = 0.25  # the largest share of lines in a two-byte encoding that are valid UTF-8 by chance


def head_of(path: str) -> bytes:
    """Return the beginning of a file, unpacked: whole lines, unless these are very long."""
    with unpacking.open_binary(path) as stream:
        head = bytearray(stream.read(SNIFFED_BYTES))
        # a wide table has names alone in its first bytes
        while len(head) < MOST_SNIFFED and head.count(b"\n") < FEW_LINES and (more := stream.read(len(head))):
            head += more
    return bytes(head)


def decoded(head: bytes, encoding: str) -> str:
    """Decode the head of a file. Raises UnicodeError if it is no text in this encoding."""
    text = codecs.getincrementaldecoder(encoding)().decode(head)
    if "\0" in text:
        raise UnicodeError
    return text


def marked_encoding(head: bytes) -> str | None:
    """Return the encoding that a file's first bytes show; None if it may be UTF-8 or an older one."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) / 5:  # half of all bytes in English, only the delimiters in Chinese
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def older_encoding(path: str) -> str:
    """Guess the encoding of a file that isn't UTF-8. Raises BadInput if only some of its lines aren't, or if none fits."""
    utf8, others, first, sample = 0, 0, (0, b""), bytearray()
    with unpacking.open_binary(path) as stream:
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
    guess = _by_letters(bytes(sample))
    if others and utf8 > (BY_CHANCE * (utf8 + others) if guess in PAIRS else 0):
        where = f"line {first[0]}" + (f" (first of {others} such lines)" if others > 1 else "")
        near = first[1].decode(guess or "latin-1", "replace")
        valid = f"one encoding in all lines: fix {where}, near {near!r}, or set one for all: {guess or 'latin-1'}"
        raise BadInput([Fault("data.encoding", f"utf-8 in {utf8} lines, and bytes that aren't utf-8 in {where}", valid)])
    if guess is None:
        raise unreadable(None)
    return guess


def unreadable(encoding: str | None) -> BadInput:
    """Return the error for a file that isn't in this encoding, or, with None, in none that could be guessed."""
    return BadInput([Fault("data.encoding", encoding, "the file's encoding, such as utf-8, cp1252 or utf-16")])


def _by_letters(sample: bytes) -> str | None:
    """Return the encoding in whose letters a sample that isn't UTF-8 spells words."""
    foreign = [index for index, byte in enumerate(sample) if byte > 127]
    alone = [index for index in foreign if sample[max(0, index - 1) : index].isascii() and sample[index + 1 : index + 2].isascii()]
    latin = "cp1250" if _signs(sample, "cp1250") < _signs(sample, "cp1252") else "cp1252"
    if sum(sample[index : index + 1].decode("cp1252", "replace").isalpha() for index in alone) > len(foreign) / 2:
        return latin  # single letters among those of English, as in no other language group
    from charset_normalizer import from_bytes

    # the words of a table make no sentences, hence the high threshold
    match = from_bytes(sample, cp_isolation=[*PAIRS, *SINGLES], threshold=1.0).best()
    if match is None:
        return None
    words = len(alone) <= len(foreign) / 2
    if match.encoding in PAIRS:
        words = re.search(r"[^\x00-\x7f]{2}", sample.decode(match.encoding, "replace")) is not None
    return match.encoding if words and match.encoding != "cp1252" else latin


def _signs(sample: bytes, encoding: str) -> int:
    """Count signs: Western Europe's encoding has signs where Central Europe's has letters: ‘£ódŸ’ is Łódź."""
    return sum(not character.isalpha() for character in sample.decode(encoding, "replace") if not character.isascii())


def foreign_word(text: str) -> str:
    """Return the first word that isn't ASCII; '' if all are."""
    word = re.search(r"[^\W_]*[^\x00-\x7f][^\W_]*", text)
    return word[0] if word else ""


def delimiter_of(text: str) -> str:
    """Return the delimiter that makes the most columns, counting lines with as many columns as the first."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), SNIFFED_LINES))

    def columns(delimiter: str) -> float:
        counts = [len(line) for line in csv.reader(lines, delimiter=delimiter) if line]
        return (counts[0] - 1) * counts.count(counts[0]) / len(counts) if counts else 0

    return max(DELIMITERS, key=columns)


def holds_names(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row holds names, unlike the rows below: no number among numbers, no text that recurs below.

    Numbers in equal steps, such as 0, 1, 2 or years, are names.
    """
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    numeric: list[str] = []
    again: list[bool] = []
    for position, name in enumerate(first):
        known = [row[position] for row in below if row[position].lower() not in MISSING]
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
    """Return True for a text that begins like a number or a date."""
    return re.match(rf"[-+−]?[{CURRENCIES}]?\s*[.,]?\d", text) is not None
