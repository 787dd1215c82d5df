"""Numbers as people and spreadsheets write them: with thousands separators, a currency sign or a percent sign."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from study.settings.rules import THOUSANDS

CURRENCIES = "$€£¥₹₩₽₺₫₪฿¢"
PERCENT = "%"


class Written(NamedTuple):
    """A text's number and its notation: the thousands separator and the sign beside it, '' where there is none."""

    value: float
    mark: str = ""
    sign: str = ""


@lru_cache(maxsize=16)
def _form(decimal: str, thousands: str | None) -> re.Pattern[str]:
    marks = re.escape("".join(mark for mark in THOUSANDS if mark != decimal) if thousands is None else thousands)
    return re.compile(
        rf"(?P<minus>[-+−]?)\s*(?P<before>[{CURRENCIES}]?)\s*(?P<late_minus>[-+−]?)"
        rf"(?P<whole>[1-9]\d{{0,2}}(?P<mark>[{marks}])\d{{3}}(?:(?P=mark)\d{{3}})*|\d+)"
        rf"(?:{re.escape(decimal)}(?P<part>\d+))?\s*(?P<after>[{CURRENCIES}{PERCENT}]?)"
    )


def read(text: str, decimal: str, thousands: str | None = None) -> Written | None:
    """Return the number that a text is; None if it isn't one. decimal: the decimal mark; a text with another one is no number.

    thousands: the separator between groups of three digits; None accepts any.
    """
    if decimal == "." or "." not in text:
        try:
            return Written(float(text.replace(",", ".") if decimal == "," else text))
        except ValueError:
            pass
    match = _form(decimal, thousands).fullmatch(text)
    if not match or (match["before"] and match["after"]) or (match["minus"] and match["late_minus"]):
        return None
    digits = re.sub(r"\D", "", match["whole"])
    value = float(f"{digits}.{match['part'] or 0}")
    negative = "-" in (minus := match["minus"] + match["late_minus"]) or "−" in minus
    return Written(-value if negative else value, match["mark"] or "", match["before"] or match["after"])


def slips(texts: Sequence[str], decimal: str, thousands: str | None = None) -> list[str]:
    """Return the texts that don't fit into a column of numbers: not numbers, or written differently from most.

    A column has one thousands separator and one currency, which may be absent; a percent sign is in all texts or in none.
    """
    written = {text: read(text, decimal, thousands) for text in texts}
    numbers = [number for number in written.values() if number]
    mark, currency = _usual([number.mark for number in numbers]), _usual([number.sign for number in numbers])
    percent = sum(number.sign == PERCENT for number in numbers) > len(numbers) / 2

    def fits(number: Written) -> bool:
        sign = number.sign == PERCENT if percent else number.sign in ("", currency)
        return number.mark in ("", mark) and sign

    return [text for text, number in written.items() if not (number and fits(number))]


def _usual(values: Sequence[str]) -> str:
    counted = Counter(value for value in values if value and value != PERCENT)
    return counted.most_common(1)[0][0] if counted else ""


def ambiguous(texts: Sequence[str], mark: str) -> str | None:
    """Return a text whose `mark` may be a decimal mark or a thousands separator, if that holds for all texts that contain it.

    It occurs once, after one to three digits that don't begin with 0, and before three.
    """
    holding = [text for text in texts if mark in text]
    either = re.compile(rf"[-+−]?[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}")
    if not holding or not all(either.fullmatch(text) for text in holding):
        return None
    return holding[0]
