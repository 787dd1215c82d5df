"""Find out what each column of a table is, and what it becomes."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data import dates, encoding
from study.data.arrow_types import Column as Values
from study.data.arrow_types import is_numeric, is_text
from study.data.encoding import TableColumn, encode_column, level_text, row_text
from study.data.hints import group_hint, roles_hint
from study.data.mixed_columns import levels_of, slip, slips_of
from study.errors import BadInput, shortened, visible
from study.records.arrays import Doubles, Floats
from study.settings.data import (
    AUTO,
    BOOLEAN,
    CATEGORY,
    DATE,
    DROP,
    LARGEST,
    NUMBER,
    ORDINAL,
    REFUSE,
    TARGET,
    UserTable,
)

LEFT_OUT, BY_TARGET, BY_PLACE = "left out", "category, by target", "category, by place"
# the rows of the block that is printed
SHOWN = (NUMBER, BOOLEAN, CATEGORY, BY_TARGET, BY_PLACE, DATE, LEFT_OUT)
PAIRS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))
# texts of which this share of the rows holds different ones name rows, and texts of this many words are sentences
IDENTIFYING, SENTENCES, WORDS = 0.95, 0.5, 4
LEAST_ROWS = 20  # of fewer rows, no column is taken for an identifier
MOST_LEVELS = 10_000  # of a column that is encoded by the target
MOST_LINE, LONGEST_NAME = 300, 60
IDENTIFIER = re.compile(r"(?:.*[_ .\-])?(?:id|ids|uuid|guid|idx|index|rowid|row|rownames?|nr|#)", re.IGNORECASE)
CAMEL = re.compile(r".*[a-z](?:Id|ID)")
PLACES = "zip|zipcode|postcode|postal|plz|store|shop|branch|region|zone"
CODED = re.compile(rf"(?:.*[_ .\-])?(?:{PLACES}|code|class|type|kind|group|category|cat)", re.IGNORECASE)
LIKE_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}|(\d{1,2}[ -])?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)


PATH, GAPS = "data.path", "data.missing"


class Unusable(NamedTuple):
    """A column that can't be trained on: its content, the valid content, and the key that decides it.

    gaps: its texts that may stand for missing values.
    """

    name: str
    got: str
    valid: str
    gaps: Sequence[str] = ()
    key: str = PATH


class Found(NamedTuple):
    """A column's role. column: None if it is left out. role, text: the line of the block that lists it, and the text there."""

    column: TableColumn | None
    role: str
    text: str


def find(settings: UserTable, name: str, values: Values, said: str) -> Found | Unusable:
    """Return what a column is, or the reason why it can't be used. said: its role in the settings, "" without one."""
    role, _, written = said.partition(" ")
    if role == DROP:
        return _left_out(name, "as was said")
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    if values.null_count and settings.missing == REFUSE:
        rows = pc.is_null(values).to_numpy()
        valid = "no missing values, or data.missing=auto, mean, median or most_frequent"
        return Unusable(name, f"no value in {row_text(rows)}", valid, key=GAPS)
    if not (is_text(values.type) or is_numeric(values.type) or _is_time(values.type) or pa.types.is_null(values.type)):
        return _left_out(name, f"{values.type}, which can't become numbers")
    if values.null_count == len(values):
        return _left_out(name, "empty")
    distinct = pc.count_distinct(values).as_py()
    if distinct == 1 and not (values.null_count and settings.missing == AUTO):
        return _left_out(name, f"always {_shown(values.drop_null()[0].as_py())}")
    if role == NUMBER or (not role and is_numeric(values.type)):
        return _number(settings, name, values, distinct, said=bool(role))
    if role == DATE or (not role and _is_time(values.type)):
        return _date(settings, name, values, [written] if written else [])
    if not role and (slips := slips_of(settings, levels_of(values))):
        return Unusable(name, *slip(settings, values, slips))
    texts = _texts(values)
    if role == BOOLEAN and len(texts) != 2:
        return Unusable(
            name, f"{len(texts)} different values, such as {texts[0]!r}", f"two values, as {name!r} is said to be a boolean"
        )
    if not role and settings.roles == AUTO:
        if pair := _pair(texts):
            return _boolean(settings, name, values, pair)
        if found := _dated(settings, name, values, texts) or _unhelpful(settings, name, values, texts):
            return found
    if role == BOOLEAN:
        return _boolean(settings, name, values, _pair(texts) or (texts[0], texts[1]))
    return _category(settings, name, values)


def inputs(column: TableColumn, values: Values) -> Iterator[Floats]:
    """Yield each input that the column becomes, [n]."""
    if is_numeric(values.type) and column.role == encoding.NUMBER:
        encoded = encode_column(column, amounts(values)).T
    elif _is_time(values.type):
        encoded = encode_column(column, pc.cast(values, pa.timestamp("us")).to_numpy()).T
    else:  # a table's texts are few: each is encoded once
        every = pc.unique(values)
        places = pc.index_in(values, value_set=every).to_numpy()
        known = encode_column(column, np.fromiter(every.to_pylist(), object, len(every))).astype(np.float32)
        yield from (of_level[places] for of_level in known.T)
        return
    yield from (one.astype(np.float32) for one in encoded)


def block(found: Sequence[Found]) -> list[str]:
    """Return a line for each role that some columns have."""
    lines = []
    for role in SHOWN:
        if texts := [item.text for item in found if item.role == role]:
            listed = textwrap.shorten(", ".join(texts), MOST_LINE, placeholder=f" … ({len(texts)} columns)")
            hint = "; data.columns changes roles" if role == LEFT_OUT else ""
            lines.append(f"  {role:<{max(map(len, SHOWN))}}  {listed}{hint}")
    return lines


def is_identifier(name: str) -> bool:
    """Return True for names such as id, customer_id and orderId."""
    return (IDENTIFIER.fullmatch(name) or CAMEL.fullmatch(name)) is not None


def amounts(values: Values) -> Doubles:
    """Return [n] numbers, NaN where missing."""
    return pc.cast(values, pa.float64(), safe=False).to_numpy()


def too_large(known: Doubles) -> tuple[str, str] | None:
    """Return the fault of the first number that single precision can't hold, and what is valid. known: [n], NaN where missing."""
    beyond = np.abs(known) > LARGEST
    if not beyond.any():
        return None
    return f"{known[np.argmax(beyond)]:g} in {row_text(beyond)}", f"numbers from {-LARGEST:g} to {LARGEST:g}"


def unresolved(known: Doubles) -> bool:
    """Return True if single precision makes different numbers equal, such as times in seconds since 1970. known: without NaN."""
    return bool(np.std(known - known.astype(np.float32)) > 0.01 * np.std(known))


def _number(settings: UserTable, name: str, values: Values, distinct: int, *, said: bool) -> Found | Unusable:
    if pa.types.is_boolean(values.type):
        return _boolean(settings, name, values, ("False", "True"))
    if not is_numeric(values.type):
        return Unusable(name, f"{_texts(values)[0]!r}, no number", f"numbers, as {name!r} is said to be one")
    numbers = amounts(values)
    known = numbers[~np.isnan(numbers)]
    if fault := too_large(numbers):
        return Unusable(name, *fault)
    whole = bool((known == np.floor(known)).all())
    found_out, called = settings.roles == AUTO and not said, is_identifier(name)
    if found_out and called and whole and distinct == len(known) >= LEAST_ROWS:
        steps = np.diff(known)
        what = "row numbers" if (steps == steps[0]).all() else "an identifier"
        return _left_out(name, f"{what}: {_shown(known[0])}, {_shown(known[1])}, …")
    origin = float(np.floor(known.min())) if unresolved(known) else 0.0
    column = TableColumn(
        name, encoding.NUMBER, **_gaps(settings, values), origin=origin, low=float(known.min()), high=float(known.max())
    )
    notes = [f"minus {_shown(origin)}"] if origin else []
    if found_out and whole and 2 < distinct < len(known) / 2 and (called or CODED.fullmatch(name)):
        together = f"; if the rows of one belong together: {group_hint(name)}" if called else ""
        notes.append(f"{distinct} whole numbers; if they are categories: {roles_hint(name, 'category')}{together}")
    return Found(column, NUMBER, _text(name, values, *notes))


def _boolean(settings: UserTable, name: str, values: Values, pair: tuple[str, str]) -> Found:
    column = TableColumn(name, encoding.BOOLEAN, pair, **_gaps(settings, values))
    return Found(column, BOOLEAN, _text(name, values, *([f"1 is {pair[1]}"] if set(pair) != encoding.TRUTHS else [])))


def _date(settings: UserTable, name: str, values: Values, known: Sequence[str]) -> Found | Unusable:
    """Return a column of dates. known: the notations that its texts may have, if they are known; the first one is taken."""
    if _is_time(values.type):
        times, written, notes = pc.cast(values, pa.timestamp("us")).to_numpy(), dates.ISO, []
    else:
        texts = _texts(values)
        possible = known or dates.notations(texts) or dates.mixed(texts)
        if not possible:
            valid = f"dates, or their notation: {roles_hint(name, 'date %d.%m.%Y')}"
            if (unread := dates.unreadable(texts)) is None:
                return Unusable(name, f"dates in several notations, such as {texts[0]!r} and {texts[-1]!r}", valid)
            return Unusable(name, f"{unread!r}, no date in a usual notation", valid, [unread])
        written = possible[0]
        notes = [f"written {written}"] if written != dates.ISO else []
        if len(possible) > 1:
            notes.append(f"it may also be {possible[1]}: {roles_hint(name, f'date {possible[1]}')}")
        try:
            times = dates.read(name, np.array(texts, object), written)
        except BadInput as bad:
            return Unusable(name, str(bad.faults[0].got).partition(": ")[2], bad.faults[0].valid)
    times = times[~np.isnat(times)]
    parts = dates.varying(times)
    span = f"{times.min().astype('datetime64[D]')} to {times.max().astype('datetime64[D]')}"
    named = ", ".join(dict.fromkeys(part.partition(",")[0] for part in parts))
    first = float((times.min() - np.datetime64(0, "us")) / np.timedelta64(1, "D"))
    column = TableColumn(name, encoding.DATE, parts=parts, written=written, origin=math.floor(first), **_gaps(settings, values))
    return Found(column, DATE, _text(name, values, f"{span}: {named}", *notes))


def _dated(settings: UserTable, name: str, values: Values, texts: Sequence[str]) -> Found | None:
    """Return a column of dates in one notation; None for any other. Several are read only where the column is said to be a date:
    a trained study's columns keep their roles.
    """
    if not _like_dates(texts) or not (fitting := dates.notations(texts)):
        return None
    found = _date(settings, name, values, fitting)
    return found if isinstance(found, Found) else None


def _like_dates(texts: Sequence[str]) -> bool:
    return all(LIKE_DATE.match(text) for text in texts[: dates.MOST_TRIED])


def mixed_dates(settings: UserTable, values: Values) -> str:
    """Return the several notations in which a column, which has no role in the settings, is dates; "" for any other column."""
    # the first rows rule out most columns, so that their many texts needn't be gathered again
    if settings.roles != AUTO or not is_text(values.type) or not any(map(LIKE_DATE.match, _texts(values[: dates.MOST_TRIED]))):
        return ""
    texts = _texts(values)
    return next(iter(dates.mixed(texts)), "") if texts and _like_dates(texts) else ""


def _unhelpful(settings: UserTable, name: str, values: Values, texts: Sequence[str]) -> Found | None:
    """Return a column to leave out, whose texts identify the rows or are sentences; None for any other."""
    known = len(values) - values.null_count
    if known < LEAST_ROWS:
        return None
    words = float(np.mean([len(text.split()) for text in texts[:1000]]))
    which = f"{len(texts):,} different texts in {known:,} rows, such as {_shown(texts[0])}"
    if words >= WORDS and len(texts) > max(settings.max_levels, SENTENCES * known):
        return _left_out(name, f"free text: {which}")
    if len(texts) >= IDENTIFYING * known:
        return _left_out(name, f"an identifier: {which}")
    return None


def _category(settings: UserTable, name: str, values: Values) -> Found:
    counted: Counter[str] = Counter()
    for item in pc.value_counts(values.drop_null()).to_pylist():
        counted[level_text(item["values"])] += item["counts"]
    rarest = settings.rarest(len(values))
    common = sorted(level for level, count in counted.items() if count >= rarest)
    gaps: dict[str, Any] = _gaps(settings, values)
    if settings.encode == ORDINAL:
        levels = sorted(counted, key=_as_number)
        placed = TableColumn(name, encoding.ORDINAL, tuple(levels), **gaps)
        return Found(placed, BY_PLACE, _text(name, values, f"{len(levels)} levels"))
    if not common or (len(common) == 1 == len(counted) and not gaps["gaps"]):
        return _left_out(name, f"{len(counted):,} different texts, each in fewer than {rarest} rows (data.min_count)")
    by_target = settings.encode == TARGET or (settings.encode == AUTO and len(common) > settings.max_levels)
    most = MOST_LEVELS if by_target else settings.max_levels
    levels = sorted(sorted(common, key=lambda level: (-counted[level], level))[:most])
    other = len(counted) - len(levels)
    text = f"{len(levels):,} levels" + (f", {other:,} others as {encoding.OTHER}" if other else "")
    role = encoding.CODES if by_target else encoding.LEVELS
    return Found(
        TableColumn(name, role, tuple(levels), rare=other > 0, **gaps),
        BY_TARGET if by_target else CATEGORY,
        _text(name, values, text),
    )


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _gaps(settings: UserTable, values: Values) -> dict[str, Any]:
    return {"gaps": values.null_count > 0, "indicates": settings.missing == AUTO}


def _pair(texts: Sequence[str]) -> tuple[str, str] | None:
    """Return the texts of no and yes, if these are the two texts."""
    by_word = {text.lower(): text for text in texts}
    return next(((by_word[no], by_word[yes]) for no, yes in PAIRS if len(texts) == 2 and by_word.keys() == {no, yes}), None)


def _texts(values: Values) -> list[str]:
    return sorted({level_text(value) for value in pc.unique(values).to_pylist() if value is not None})


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _left_out(name: str, why: str) -> Found:
    return Found(None, LEFT_OUT, f"{_name(name)} ({why})")


def _text(name: str, values: Values, *notes: str) -> str:
    missing = [f"{values.null_count:,} missing"] if values.null_count else []
    more = "; ".join([*missing, *notes])
    return f"{_name(name)} ({more})" if more else _name(name)


def _name(name: str) -> str:
    return shortened(visible(name), LONGEST_NAME) if name else "''"


def _shown(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.15g}"
    text = visible(str(value))
    return repr(shortened(text, LONGEST_NAME)) if isinstance(value, str) else text
