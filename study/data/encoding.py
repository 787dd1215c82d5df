"""Encode the columns of a table as numbers, the same for training and for new rows; report what new rows hold that is new.

Nothing here is learned from the target or from one part of the rows: that is `scaling`.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from study.data import dates, number_texts
from study.errors import BadInput, Fault
from study.settings.rules import suggestion

if TYPE_CHECKING:  # this module is logged with a champion, and `records` isn't
    from study.records.arrays import Array, Doubles, Integers

NUMBERS = "iuf"  # NumPy's kinds of numbers
# roles of columns: BOOLEAN is one input; LEVELS has one per level; CODES is the level's number, which is encoded by the targets of
# the training part; ORDINAL is its place among the sorted levels
NUMBER, BOOLEAN, DATE, LEVELS, CODES, ORDINAL = "number", "boolean", "date", "levels", "codes", "ordinal"
# kinds of inputs: a number of any size, 0 or 1, and a level's number
AMOUNT, FLAG, CODE = "amount", "flag", "code"
OTHER, MISSING = "(other)", "(missing)"
TRUTHS = {"False", "True"}
# texts that stand for a missing value, unless they are a level
USUAL_GAPS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL"),
    *("NaN", "n/a", "nan", "null"),
)
# what people write where a number is missing
GAPS_AMONG_NUMBERS = (
    *USUAL_GAPS,
    *("?", "-", "–", ".", "..", "*", "none", "None", "NONE", "missing", "Missing", "unknown", "Unknown"),
    *("n.a.", "N.A.", "na"),
)
MOST_SHOWN = 200  # characters of a list of columns


class TableColumn(NamedTuple):
    """The inputs that a table's column becomes, as plain data.

    levels: of a BOOLEAN those for 0 and 1. rare: it had other levels, which share an input. gaps: values were missing in training.
    indicates: a missing value has an input of its own if there were gaps, and is filled. parts, written: of a date, its inputs and
    its notation (`dates`). origin: subtracted from a number, or from a date's days. low, high: the numbers seen, without origin.
    """

    name: str
    role: str = NUMBER
    levels: tuple[str, ...] = ()
    rare: bool = False
    gaps: bool = False
    indicates: bool = False
    parts: tuple[str, ...] = ()
    written: str = ""
    origin: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Each input's name and kind, in order."""
        missing = [(f"{self.name}={MISSING}", FLAG)] if self.gaps and self.indicates else []
        if self.role == LEVELS:
            names = [*self.levels, *([OTHER] if self.rare else [])]
            return [*((f"{self.name}={level}", FLAG) for level in names), *missing]
        if self.role == CODES:
            return [(self.name, CODE)]
        if self.role == BOOLEAN:
            return [(f"{self.name}={self.levels[1]}", FLAG), *missing]
        names = [f"{self.name} {part}" for part in self.parts] or [self.name]
        return [*((name, AMOUNT) for name in names), *missing]

    @property
    def is_text(self) -> bool:
        """True if its values are texts, though they may look like numbers."""
        return bool(self.levels) and not set(self.levels) <= TRUTHS

    @property
    def codes(self) -> int:
        """The number of different codes of a CODES column: its levels, then all others, then a missing value."""
        return len(self.levels) + 2


def plain(columns: Sequence[TableColumn]) -> list[dict[str, Any]]:
    """Return columns as JSON holds them, without the fields that have their defaults."""
    usual = TableColumn("")._asdict()
    listed = [{key: value for key, value in column._asdict().items() if value != usual[key]} for column in columns]
    return [{key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()} for fields in listed]


def from_plain(content: Sequence[Any]) -> tuple[TableColumn, ...]:
    """Return the columns of which `plain` made JSON, or those of an earlier version: [column, level, gaps] for each input."""
    if content and not isinstance(content[0], Mapping):
        grouped: dict[str, list[Sequence[Any]]] = {}
        for item in content:
            grouped.setdefault(item[0], []).append(item)
        return tuple(_from_triples(name, items) for name, items in grouped.items())
    return tuple(_from_fields(fields) for fields in content)


def _from_triples(name: str, items: Sequence[Sequence[Any]]) -> TableColumn:
    if items[0][1] is None:
        return TableColumn(name)
    return TableColumn(name, LEVELS, tuple(item[1] for item in items), gaps=items[0][2])


def _from_fields(fields: Mapping[str, Any]) -> TableColumn:
    kept: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return TableColumn(**kept)


class NewInRows(UserWarning):
    """Rows to predict hold something that training hadn't seen: another text, a number outside its range, a new gap."""


def encode(columns: Sequence[TableColumn], table: Mapping[str, Array], decimal: str = ".", thousands: str | None = None) -> Doubles:
    """Return rows as inputs, [n, inputs], NaN where missing. Warns of what training hadn't seen, with a sentence for each column.

    table: [n] each, numbers or Python values, NaN or None where missing; other columns are ignored. decimal, thousands: how texts
    write numbers, see `number_texts.read`. Raises BadInput for a missing column, and for text that is no number or no date.
    """
    faults = absent([column.name for column in columns], list(table))
    parts, notices = [np.zeros((len(next(iter(table.values()), ())), 0))], list[str]()
    for column in columns:
        if column.name in table:
            values = table[column.name]
            try:
                if column.role == NUMBER:
                    values = numbers(column.name, values, decimal, thousands)
                parts.append(encode_column(column, values))
            except BadInput as bad:
                faults += bad.faults
                continue
            notices += _notices(column, values, parts[-1])
    if faults:
        raise BadInput(faults)
    for notice in notices:
        warnings.warn(notice, NewInRows, stacklevel=2)
    return np.hstack(parts)


def encode_column(column: TableColumn, values: Array) -> Doubles:
    """Return the inputs of one column, [n, inputs of it]. values: as for `encode`. Raises BadInput as that does."""
    if column.role == NUMBER:
        amounts = numbers(column.name, values) - column.origin
        return _with_indicator(column, amounts[:, None])
    if column.role == DATE:
        return _with_indicator(column, dates.parts(dates.read(column.name, values, column.written), column.parts, column.origin))
    codes = level_codes(column, values)
    missing = codes == len(column.levels) + 1
    if column.role == CODES:
        return codes[:, None].astype(np.float64)
    if column.role in (BOOLEAN, ORDINAL):
        known = np.where(codes < len(column.levels), codes, math.nan)[:, None]
        return np.hstack([known, missing[:, None]]) if column.gaps and column.indicates else known
    encoded = (codes[:, None] == range(len(column.inputs) - (column.gaps and column.indicates))).astype(np.float64)
    if column.gaps and column.indicates:
        return np.hstack([encoded, missing[:, None]])
    if not column.gaps and not column.indicates:  # earlier versions predict nothing for such a row
        encoded[missing] = math.nan
    return encoded


def decode_column(column: TableColumn, encoded: Array) -> list[Any]:
    """Return the values that `encode_column` makes these inputs of, [n, inputs of it]; None where missing or unknown."""
    if column.role == NUMBER:
        return [None if math.isnan(value) else float(value) + column.origin for value in encoded[:, 0]]
    if column.role == DATE:
        return [dates.write(value + column.origin, column.written) for value in encoded[:, len(column.parts) - 1]]
    if column.role == LEVELS:
        one_hot = encoded[:, : len(column.levels)]
        codes = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), len(column.levels))
    else:
        codes = encoded[:, 0]
    levels = [level == "True" for level in column.levels] if set(column.levels) <= TRUTHS else column.levels
    return [levels[int(code)] if code < len(levels) else None for code in codes]


def _with_indicator(column: TableColumn, values: Doubles) -> Doubles:
    return np.hstack([values, np.isnan(values[:, :1])]) if column.gaps and column.indicates else values


def level_codes(column: TableColumn, values: Array) -> Integers:
    """Return each value's number among the levels, [n]: after them comes any other text, and then a missing value."""
    # pandas takes the text None for a missing value
    nothing = "None" if "None" in column.levels and not column.gaps else ""
    code_of = dict.fromkeys(("", *USUAL_GAPS), len(column.levels) + 1) | {
        level: number for number, level in enumerate(column.levels)
    }
    return np.array([code_of.get(level_text(value, nothing), len(column.levels)) for value in values], np.int32)


def level_text(value: object, nothing: str = "") -> str:
    """Return a value as a level: a whole number without decimals, whatever its type. nothing: stands for a missing value."""
    if value is None or value != value:
        return nothing
    if isinstance(value, float | np.floating) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def numbers(name: str, column: Array, decimal: str = ".", thousands: str | None = None) -> Doubles:
    """Return [n] numbers, NaN where missing, blank or a mark of a gap, as in a file that is trained on.

    Raises BadInput for another text that is no number, see `number_texts.read`.
    """
    if column.dtype.kind in NUMBERS:
        return column.astype(np.float64)
    known = [_number(value, decimal, thousands) for value in column]
    wrong = np.array([number is None for number in known], bool)
    if wrong.any():
        got = f"column {name!r}: {column[int(np.argmax(wrong))]!r} in {row_text(wrong)}"
        raise BadInput([Fault("rows", got, "numbers, or an empty cell")])
    return np.array(known, np.float64)


def _number(value: object, decimal: str, thousands: str | None) -> float | None:
    """Return a cell's number; None if it has another content."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        if written := number_texts.read(text := value.strip(), decimal, thousands):
            return written.value
        return math.nan if not text or text in GAPS_AMONG_NUMBERS else None
    return float(value) if isinstance(value, Real | Decimal | np.bool_) else None


def _notices(column: TableColumn, values: Array, encoded: Doubles) -> Iterator[str]:
    """Report what these rows hold that training hadn't seen. encoded: from `encode_column`."""
    missing = np.isnan(encoded[:, 0])
    if column.levels:
        codes = level_codes(column, values)
        new, missing = codes == len(column.levels), codes == len(column.levels) + 1
        if new.any():
            texts = Counter(level_text(value) for value in values[new])
            shown = textwrap.shorten(", ".join(map(repr, texts)), MOST_SHOWN)
            what = {LEVELS: "other", CODES: "other"}.get(column.role, "missing")
            if not column.rare:
                shown += " (not seen in training)"
            yield f"{column.name}: {_rows(new)} {shown}, taken as {what}"
    elif column.low is not None and column.high is not None:
        amounts = numbers(column.name, values)
        beyond = (amounts < column.low) | (amounts > column.high)
        if beyond.any():
            furthest = amounts[beyond][np.argmax(np.abs(amounts[beyond] - (column.low + column.high) / 2))]
            seen = f"{column.low:.6g} to {column.high:.6g}"
            yield f"{column.name}: {_rows(beyond)} numbers outside those of training, {seen}, such as {furthest:.6g}"
    if missing.any() and not column.gaps:
        outcome = "filled as in training" if column.indicates else "so there is no prediction for them"
        yield f"{column.name}: {_rows(missing)} no value, though training had no gaps: {outcome}"


def _rows(rows: Array) -> str:
    count = int(np.count_nonzero(rows))
    return f"{count:,} row{'s have' if count > 1 else ' has'}"


def row_text(rows: Array) -> str:
    """Return the first faulty row and the number of faulty rows, as text. rows: bool [n]."""
    count = int(np.count_nonzero(rows))
    return f"row {int(np.argmax(rows)) + 1}" + (f" (first of {count})" if count > 1 else "")


def named_alike(key: str, names: Sequence[str]) -> list[Fault]:
    """Return a fault if several columns share a name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    return [Fault(key, f"several columns named {', '.join(map(repr, twice))}", "a unique name for each column")] if twice else []


def without_gaps(columns: Mapping[str, Array], gaps: Sequence[str | float]) -> dict[str, Array]:
    """Return the columns, [n] each, with None or NaN in place of the numbers and texts in `gaps`."""
    texts = set(map(str, gaps))
    return {
        name: np.where(np.isin(column, [gap for gap in gaps if not isinstance(gap, str)]), math.nan, column)
        if column.dtype.kind in NUMBERS
        else np.array([None if value in gaps or str(value).strip() in texts else value for value in column], object)
        for name, column in columns.items()
    }


def absent(wanted: Collection[str], names: Sequence[str]) -> list[Fault]:
    """Return a fault for each wanted column that the table lacks; a name that is wanted too is no suggestion for another."""
    others = [name for name in names if name not in wanted]
    return [
        Fault("rows", f"no column {name!r}", textwrap.shorten(suggestion(name, others) + (", ".join(names) or "a column"), 400))
        for name in wanted
        if name not in names
    ]
