"""Dates as numbers: their notations, and the parts of a date that a network can use."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from study.errors import BadInput, Fault

if TYPE_CHECKING:  # this module is logged with a champion, and `records` isn't
    from study.records.arrays import Array, Doubles

ISO = "ISO"  # as datetime.fromisoformat reads it
DAY_FIRST, MONTH_FIRST = ("%d/%m/%Y", "%d-%m-%Y", "%d/%m/%y", "%d-%m-%y"), ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y")
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", *DAY_FIRST, *MONTH_FIRST, "%d.%m.%Y", "%d.%m.%y", "%Y-%m", "%Y/%m", "%m/%Y"),
    *("%b %Y", "%B %Y", "%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y"),
)
TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", "T%H:%M")
# (year, month, weekday from Monday, days since 1970) as they are, the rest on circles
YEAR, MONTH, WEEKDAY, ELAPSED = "year", "month", "day of week", "days"
ON_YEAR, ON_DAY = ("day of year, sine", "day of year, cosine"), ("hour, sine", "hour, cosine")
PARTS = (YEAR, MONTH, WEEKDAY, *ON_YEAR, *ON_DAY, ELAPSED)
DAYS_OF_YEAR = 365.25
MOST_TRIED = 50  # texts on which a notation is tried before all of them
OR = " or "  # between the notations of a column that has several
MOST_NOTATIONS = 3  # of one column
PIECES = re.compile(r"[0-9]+|[^\W\d_]+")


def notations(texts: Sequence[str]) -> list[str]:
    """Return the notations in which all texts are dates; several if they leave open which number is the day and which the month."""
    fitting = _fitting(texts)
    return fitting[:1] if fitting and fitting[0] == ISO else fitting


def mixed(texts: Sequence[str]) -> list[str]:
    """Return several notations that all texts are dates in, as one text, such as "%Y-%m-%d or %d/%m/%Y"; [] if there are none.

    Texts of one shape, such as 2024-05-31, share a notation. Where the order of day and month is open, there is a second text.
    """
    shapes: dict[str, list[str]] = {}
    for text in texts:
        shapes.setdefault(_shape(text), []).append(text)
        if len(shapes) > MOST_NOTATIONS:
            return []
    alike = sorted(shapes.values(), key=len, reverse=True)
    found = [[form for form in fitting if form != ISO] or fitting for fitting in map(_fitting, alike)]
    if len(found) < 2 or not all(found):
        return []
    return list(dict.fromkeys(OR.join(forms[: turn + 1][-1] for forms in found) for turn in range(2)))


def _shape(text: str) -> str:
    """Return a text with signs for its numbers and words: two digits or fewer are alike, and so are words."""
    return PIECES.sub(lambda piece: "a" if piece[0].isalpha() else "9" * max(len(piece[0]), 2), text.strip())


def unreadable(texts: Sequence[str]) -> str | None:
    """Return a text that is no date in any notation, of those whose shape is rarest; None if there is none among some hundred."""
    alike = Counter(map(_shape, texts))
    rarest = sorted(texts, key=lambda text: alike[_shape(text)])
    return next((text for text in rarest[: 4 * MOST_TRIED] if not notations([text])), None)


def _fitting(texts: Sequence[str]) -> list[str]:
    few = texts[:MOST_TRIED]
    fitting = [form for form in (ISO, *map("".join, itertools.product(DAYS, TIMES))) if _all(few, form)]
    return [form for form in fitting if _all(texts, form)]


def _all(texts: Sequence[str], written: str) -> bool:
    try:
        for text in texts:
            _moment(text, written)
    except ValueError:
        return False
    return True


def _moment(value: object, written: str) -> datetime:
    """Return one value's time, in UTC if it names a zone. Raises ValueError."""
    first, _, others = written.partition(OR)
    if others:
        with suppress(ValueError):
            return _moment(value, first)
        return _moment(value, others)
    if isinstance(value, Real) and written != ISO:
        value = f"{value:.0f}"  # years, or 20240531
    if isinstance(value, str):
        text = value.strip()
        value = datetime.fromisoformat(text) if written == ISO else datetime.strptime(text, written)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def read(name: str, values: Array, written: str) -> Array:
    """Return times, datetime64[us] [n], NaT where missing. Raises BadInput for a value that is none.

    values: datetime64, or Python values: datetimes, dates and texts in the notation `written`, or in one of several (OR).
    """
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    known: dict[object, np.datetime64] = {}
    for row, value in enumerate(values):
        if value in known:
            continue
        if value is None or value != value or value == "":
            known[value] = np.datetime64("NaT")
            continue
        try:
            known[value] = np.datetime64(_moment(value, written), "us")
        except (ValueError, OverflowError) as error:
            like = "such as 2024-05-31" if written == ISO else f"written {written}"
            fault = Fault("rows", f"column {name!r}: {value!r} in row {row + 1}", f"dates {like}, or an empty cell")
            raise BadInput([fault]) from error
    return np.array([known[value] if value == value else np.datetime64("NaT") for value in values], "datetime64[us]")


def write(days: float, written: str) -> str | None:
    """Return the text of a time in days since 1970, in the first of several notations; None for NaN."""
    if days != days:
        return None
    moment = datetime(1970, 1, 1) + timedelta(days=round(float(days) * 86400) / 86400)
    if written == ISO:
        return moment.date().isoformat() if moment.time() == time() else moment.isoformat(timespec="seconds")
    return moment.strftime(written.partition(OR)[0])


def parts(times: Array, wanted: Collection[str], origin: float = 0.0) -> Doubles:
    """Return these parts of the times, [n, parts] in the order of PARTS, NaN where a time is missing.

    origin: the day since 1970 from which days are counted.
    """
    days, years, months = (times.astype(f"datetime64[{unit}]") for unit in "DYM")
    of_year = 2 * np.pi * (days - years.astype("datetime64[D]")).astype(np.float64) / DAYS_OF_YEAR
    elapsed = (times - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    of_day = 2 * np.pi * (elapsed % 1)
    whole = {
        YEAR: years.astype(np.int64) + 1970,
        MONTH: months.astype(np.int64) % 12 + 1,
        WEEKDAY: (days.astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
        ON_YEAR[0]: np.sin(of_year),
        ON_YEAR[1]: np.cos(of_year),
        ON_DAY[0]: np.sin(of_day),
        ON_DAY[1]: np.cos(of_day),
        ELAPSED: elapsed - origin,
    }
    chosen = np.stack([whole[part].astype(np.float64) for part in PARTS if part in wanted], axis=1)
    chosen[np.isnat(times)] = np.nan
    return chosen


def varying(times: Array) -> tuple[str, ...]:
    """Return the parts that aren't the same in all of these times."""
    known = times[~np.isnat(times)]
    if not len(known):
        return ()
    spans = np.ptp(parts(known, PARTS), axis=0)
    return tuple(part for part, span in zip(PARTS, spans, strict=True) if span > 1e-9)
