"""Numbers as people and spreadsheets write them: with marks between thousands, a currency's sign or a percent sign."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from study.settings.data import THOUSANDS

CURRENCIES = "$€£¥₹₩₽₺₫₪฿¢"
PERCENT = "%"


class Written(NamedTuple):
    """A text's number, and how it is written: the mark between its thousands and the sign beside it, '' where there is none."""

    value: float
    mark: str = ""
    sign: str = ""


@lru_cache(maxsize=16)
def _form(decimal: str, thousands: str | None) -> re.Pattern[str]:
    marks = re.escape("".join(each for each in THOUSANDS if each != decimal) if thousands is None else thousands)
    return re.compile(
        rf"(?P<minus>[-+−]?)\s*(?P<before>[{CURRENCIES}]?)\s*(?P<late_minus>[-+−]?)"
        rf"(?P<whole>[1-9]\d{{0,2}}(?P<mark>[{marks}])\d{{3}}(?:(?P=mark)\d{{3}})*|\d+)"
        rf"(?:{re.escape(decimal)}(?P<part>\d+))?\s*(?P<after>[{CURRENCIES}{PERCENT}]?)"
    )


def read(text: str, decimal: str, thousands: str | None = None) -> Written | None:
    """The number that a text is; None if it isn't one. decimal: the mark; another one makes a text of it.

    thousands: the mark between groups of three digits; None takes any.
    """
    if decimal == "." or "." not in text:
        try:
            return Written(float(text.replace(",", ".") if decimal == "," else text))
        except ValueError:
            pass
    found = _form(decimal, thousands).fullmatch(text)
    if not found or (found["before"] and found["after"]) or (found["minus"] and found["late_minus"]):
        return None
    digits = re.sub(r"\D", "", found["whole"])
    value = float(f"{digits}.{found['part'] or 0}")
    negative = "-" in (minus := found["minus"] + found["late_minus"]) or "−" in minus
    return Written(-value if negative else value, found["mark"] or "", found["before"] or found["after"])


def slips(texts: Sequence[str], decimal: str, thousands: str | None = None) -> list[str]:
    """The texts that don't fit into a column of numbers: no numbers, or written in another way than most.

    One mark between thousands and one currency belong together, with or without; a percent sign stands in all texts or in none.
    """
    found = {text: read(text, decimal, thousands) for text in texts}
    numbers = [each for each in found.values() if each]
    mark, currency = _usual([each.mark for each in numbers]), _usual([each.sign for each in numbers])
    percent = sum(each.sign == PERCENT for each in numbers) > len(numbers) / 2

    def fits(each: Written) -> bool:
        sign = each.sign == PERCENT if percent else each.sign in ("", currency)
        return each.mark in ("", mark) and sign

    return [text for text, each in found.items() if not (each and fits(each))]


def _usual(values: Sequence[str]) -> str:
    counted = Counter(value for value in values if value and value != PERCENT)
    return counted.most_common(1)[0][0] if counted else ""


def ambiguous(texts: Sequence[str], mark: str) -> str | None:
    """A text whose `mark` may be a decimal mark or stand between thousands, if that is so of all texts that hold it.

    It stands once, after one to three digits that don't begin with 0, and before three.
    """
    holding = [text for text in texts if mark in text]
    either = re.compile(rf"[-+−]?[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}")
    if not holding or not all(either.fullmatch(text) for text in holding):
        return None
    return holding[0]
