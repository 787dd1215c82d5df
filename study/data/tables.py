"""A user's table as numbers: refused, with the column's name, where it can't be trained on."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data import number_texts
from study.data.encoding import Input, named_alike, row_text
from study.data.readers import DECIMAL_COMMA, Column, columns, is_numeric, is_text, made_up_names, stamp
from study.errors import BadInput, Fault
from study.records.arrays import Array, Floats
from study.settings.data import CLASSIFICATION, LARGEST, REFUSE, REGRESSION, Table
from study.settings.rules import nearest

# a target of whole numbers, so few and each often enough, numbers classes
MOST_AUTO_CLASSES, LEAST_ROWS_A_CLASS = 20, 5
# a text column is one of numbers with slips in it if so many of its different texts are numbers
NUMERIC_SHARE = 0.5
MOST_TOLD = 10  # columns of which each gets a line of its own
# what stands for a missing value in many files, where it lies far from all other values
SENTINELS = {-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, -999.25}
MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
DATE = re.compile(
    r"(\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?"  # 2020-01, 3/4/2020
    r"|\d{4}[ -]?[qwm]\d{1,2}"  # 2020Q1
    rf"|(\d{{1,2}}[ -])?({MONTHS})[a-z]*\.?[ ,/-]*(\d{{1,2}}, ?)?\d{{2,4}})"  # Jan 2020, 3 January 2020, Jan 3, 2020
    r"([ t]\d{1,2}:\d{2}(:\d{2})?)?",
    re.IGNORECASE,
)


class Unusable(NamedTuple):
    """A column that can't be trained on: what it holds, and what it may hold."""

    name: str
    got: str
    valid: str


class Content(NamedTuple):
    """A table's rows, as `loading.Rows` has them."""

    x: Floats
    y: Array
    inputs: tuple[Input, ...]
    target_names: tuple[str, ...]
    notes: tuple[str, ...]
    made_up: tuple[str, ...]


def resolve_task(settings: Table) -> str:
    """What `task: auto` means: classification for text, booleans, and whole numbers of few values; else regression."""
    source = settings.source()
    assert isinstance(source, Table)
    return _task(source, stamp(settings.path))


@lru_cache(maxsize=16)
def _task(settings: Table, _: tuple[int, int]) -> str:
    column = columns(settings, lambda names: _kept(settings, names) and [settings.target]).columns[settings.target]
    if is_text(column.type):
        return REGRESSION if _slips(settings, _levels(column)) else CLASSIFICATION
    if not _is_whole(column):
        return REGRESSION
    distinct = pc.count_distinct(column).as_py()
    return CLASSIFICATION if distinct <= min(MOST_AUTO_CLASSES, len(column) / LEAST_ROWS_A_CLASS) else REGRESSION


def _is_whole(column: Column) -> bool:
    """Whether all are whole numbers, those that pandas writes as 1.0 beside a gap too."""
    if pa.types.is_integer(column.type):
        return True
    return pa.types.is_floating(column.type) and bool(pc.all(pc.equal(pc.floor(column), column)).as_py())


def read(settings: Table) -> Content:
    """Inputs [n, inputs], target, what the inputs are made of, the target's or the classes' names, what was guessed, and the names
    of all columns of a file that has none.

    The target is float [n, 1] for regression and int32 [n] for classification, classes in sorted order. Text and boolean columns
    are one-hot, by the sorted levels of the whole table, so that every part of it has the same columns. A missing number is NaN.
    Raises BadInput with all faults of the content.
    """
    content = columns(settings, partial(_kept, settings))
    found, notes = dict(content.columns), list(content.notes)
    rows = len(found[settings.target])
    if rows < 2:
        raise BadInput([Fault("data.path", f"a table of {rows} rows", "2 rows or more below the line of names")])
    faults: list[Fault] = []
    unusable: list[Unusable] = []
    gaps: list[Unusable] = []
    notes += _sentinels(settings, found)
    y, target_names = _target(settings, found.pop(settings.target), faults)
    if not found:
        faults.append(Fault("data.path", "no column beside the target", "one input or more"))
    levels = {
        name: _checked_levels(settings, name, column, unusable, gaps) for name, column in found.items() if is_text(column.type)
    }
    notes += _dates(settings, levels)
    # columns are written, and later normalised, one by one: each in one piece is several times as fast
    x = np.empty((rows, sum(len(levels.get(name, [name])) for name in found)), np.float32, order="F")
    inputs: list[Input] = []
    for name in list(found):
        column, at = found.pop(name), len(inputs)  # popped, so that its memory is given back
        if name in levels:
            codes = pc.index_in(column, value_set=pa.array(levels[name], column.type)).to_numpy()
            for number, level in enumerate(levels[name]):
                x[:, at + number] = codes == number
                inputs.append(Input(name, str(level), column.null_count > 0))
        else:
            x[:, at] = _checked_numbers(settings, name, column, unusable, gaps)
            inputs.append(Input(name))
    faults += [*_told(settings, "data.path", unusable), *_told(settings, "data.missing", gaps)]
    if faults:
        raise BadInput(faults)
    return Content(x, y, tuple(inputs), target_names, tuple(notes), content.made_up)


def _told(settings: Table, key: str, refused: Sequence[Unusable]) -> list[Fault]:
    """One fault per column, of many columns one for the rest; the last one ends with what leaves out all of them."""
    if not refused:
        return []
    names = [each.name for each in refused]
    out = f"or leave {'it' if len(names) == 1 else 'them'} out: {drop_hint([*settings.drop, *names])}"
    shown = refused if len(refused) <= MOST_TOLD else refused[: MOST_TOLD - 1]
    faults = [Fault(key, f"column {each.name!r}: {each.got}", each.valid) for each in shown]
    if rest := names[len(shown) :]:
        others = textwrap.shorten(", ".join(map(repr, rest)), 100)
        return [*faults, Fault(key, f"{len(rest)} more such columns: {others}", f"the same, {out}")]
    return [*faults[:-1], Fault(key, faults[-1].got, f"{faults[-1].valid}, {out}")]


def drop_hint(names: Sequence[str]) -> str:
    """What leaves out these columns, as a shell takes it."""
    return shlex.quote(f"data.drop=[{','.join(map(_quoted, names))}]")


def _quoted(name: str) -> str:
    """A text as an element of a list in Hydra's grammar, where numbers, truth values and null would be none."""
    if re.fullmatch(r"[^\W\d][\w ]*\w|[^\W\d]", name, re.ASCII) and name.lower() not in ("null", "true", "false", "nan", "inf"):
        return name
    # a backslash counts before a quote, and before an interpolation of OmegaConf's
    escaped = re.sub(r'(\\*)("|\$\{|$)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), name)
    return f'"{escaped}"'


def _gaps_hint(settings: Table, more: Sequence[str | float]) -> str:
    gaps = (_quoted(gap) if isinstance(gap, str) else f"{gap:.15g}" for gap in (*settings.gaps, *more))
    return shlex.quote(f"data.gaps=[{','.join(gaps)}]")


def _sentinels(settings: Table, found: dict[str, Column]) -> Iterator[str]:
    """Columns in which a number may stand for a missing value."""
    seen: list[str] = []
    numbers: set[float] = set()
    for name, column in found.items():
        if not is_numeric(column.type):
            continue
        values = pc.cast(column, pa.float64(), safe=False).drop_null().to_numpy()
        ends = {float(values.min()), float(values.max())} if len(values) else set()
        for number in sorted(ends & SENTINELS):
            others = values[values != number]
            if len(others) and _is_far(number, float(others.min()), float(others.max())):
                count = len(values) - len(others)
                told = f"{name} {number:g} ({count} row{'s' * (count > 1)})"
                if name == settings.target:
                    yield f"perhaps a missing target: {told} (if so, remove these rows from the file)"
                else:
                    seen.append(told)
                    numbers.add(number)
    if seen:
        hint = _gaps_hint(settings, sorted(numbers))
        yield f"perhaps missing values: {textwrap.shorten(', '.join(seen), 200)} (if so: {hint})"


def _is_far(number: float, least: float, most: float) -> bool:
    """Farther from the others than these are from each other, or negative where they aren't."""
    return (number < 0 <= least) or min(abs(number - least), abs(number - most)) > most - least


def _dates(settings: Table, levels: dict[str, list[Any]]) -> Iterator[str]:
    found = [
        name for name, known in levels.items() if known and all(isinstance(each, str) and DATE.fullmatch(each) for each in known)
    ]
    if found:
        told = ", ".join(f"{name} ({len(levels[name])} levels, such as {levels[name][0]!r})" for name in found)
        yield f"dates that are taken as texts: {textwrap.shorten(told, 200)} (to leave out: {drop_hint([*settings.drop, *found])})"


# -- columns -----------------------------------------------------------------------------------------------------------------


def _levels(column: Column) -> list[Any]:
    return sorted(value for value in pc.unique(column).to_pylist() if value is not None)


def _slips(settings: Table, levels: Sequence[Any]) -> list[str]:
    """The texts that are no numbers in a column that is meant to be of numbers; [] if it isn't one."""
    texts = [level for level in levels if isinstance(level, str)]
    # one with the other mark is a slip too
    meant = [text for text in texts if number_texts.read(text, ".") or number_texts.read(text, ",")]
    if not meant or len(meant) < NUMERIC_SHARE * len(texts):
        return []
    return number_texts.slips(texts, settings.decimal, settings.thousands)


def _slip(settings: Table, column: Column, slips: Sequence[str]) -> tuple[str, str]:
    """What is wrong in a column of numbers, and what would be right."""
    rows = pc.is_in(column, value_set=pa.array(slips, column.type)).to_numpy()
    first = column[int(np.argmax(rows))].as_py()
    valid = f"numbers only, with decimal {'points' if settings.decimal == '.' else 'commas'}, or nothing"
    known = number_texts.read(first, ",")
    if settings.decimal == "." and known and not number_texts.read(first, "."):
        valid += f"; or decimal commas, in a text file: {DECIMAL_COMMA}"
    elif settings.decimal == "," and number_texts.read(first, ".") and not known:
        valid += "; or decimal points: data.decimal=."
    elif not known and not number_texts.read(first, ".") and len(slips) == 1:
        valid += f"; if {first!r} stands for a missing value: {_gaps_hint(settings, [first])}"
    return f"{first!r} among numbers, {row_text(rows)}", valid


def _missing(settings: Table, name: str, rows: Array) -> list[Unusable]:
    if settings.missing != REFUSE or not rows.any():
        return []
    return [Unusable(name, f"nothing in {row_text(rows)}", "no gaps, data.missing=mean, median or most_frequent")]


def _checked_levels(settings: Table, name: str, column: Column, unusable: list[Unusable], gaps: list[Unusable]) -> list[Any]:
    levels = _levels(column)
    if slips := _slips(settings, levels):
        unusable.append(Unusable(name, *_slip(settings, column, slips)))
        return []
    gaps += _missing(settings, name, pc.is_null(column).to_numpy())
    if len(levels) < 2:
        unusable.append(Unusable(name, f"always {levels[0]!r}" if levels else "empty", "a column that varies"))
    elif len(levels) > settings.max_levels:
        valid = f"at most {settings.max_levels} levels (data.max_levels)"
        unusable.append(Unusable(name, f"{len(levels)} different texts, such as {levels[0]!r}", valid))
        return []  # its columns might not fit into memory
    return levels


def _checked_numbers(settings: Table, name: str, column: Column, unusable: list[Unusable], gaps: list[Unusable]) -> Floats:
    """Single precision [n], NaN where nothing is; faults are added to `unusable` and `gaps`."""
    nothing = np.zeros(len(column), np.float32)

    def refuse(got: str, valid: str) -> Floats:
        unusable.append(Unusable(name, got, valid))
        return nothing

    if pa.types.is_null(column.type):
        return refuse("empty", "a column that varies")
    if not is_numeric(column.type):
        return refuse(str(column.type), "numbers, text or booleans")
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    missing = np.isnan(values)
    gaps += _missing(settings, name, missing)
    too_large = np.abs(values) > LARGEST
    if too_large.any():
        return refuse(f"{values[np.argmax(too_large)]:g} in {row_text(too_large)}", f"numbers from {-LARGEST:g} to {LARGEST:g}")
    known = values[~missing] if missing.any() else values
    if not len(known) or known.min() == known.max():
        return refuse(f"always {known[0]:g}" if len(known) else "empty", "a column that varies")
    kept = values.astype(np.float32)
    # a time in seconds since 1970 may differ by less than single precision can tell
    if np.std(known - known.astype(np.float32)) > 0.01 * np.std(known):
        got = f"values near {known[0]:.15g} that single precision can't tell apart"
        return refuse(got, "differences from a value near them")
    return kept


def _target(settings: Table, column: Column, faults: list[Fault]) -> tuple[Array, tuple[str, ...]]:
    name, text = settings.target, is_text(column.type)
    if not text and not is_numeric(column.type):
        faults.append(Fault("data.target", name, f"a column of numbers, text or booleans ({column.type})"))
        return np.zeros((len(column), 1)), (name,)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        faults.append(Fault("data.target", f"column {name!r}: nothing in {row_text(missing)}", "a target in every row"))
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        faults.append(Fault("data.target", f"column {name!r}: all values the same", "a column that varies"))
    slips = _slips(settings, _levels(column)) if text else []
    if slips and settings.task == REGRESSION:
        got, valid = _slip(settings, column, slips)
        faults.append(Fault("data.path", f"column {name!r}: {got}", valid))
    elif distinct > len(column) / 2 and (text or settings.task == CLASSIFICATION):
        # as classes they are too many, and texts are no numbers
        got = f"column {name!r}: {distinct} classes in {len(column)} rows"
        otherwise = "or of numbers alone" if text else "or data.task=regression"
        faults.append(Fault("data.target", got, f"a column of classes, {otherwise}"))
    elif settings.task == CLASSIFICATION:
        classes = _levels(column)
        codes = pc.fill_null(pc.index_in(column, value_set=pa.array(classes, column.type)), 0)
        return codes.to_numpy().astype(np.int32), tuple(map(_class_name, classes))
    elif text:
        faults.append(Fault("data.task", REGRESSION, f"classification (the target {name!r} is no column of numbers)"))
    elif distinct > 1:
        complete, unusable = Table(path=settings.path, target=name, missing="mean"), list[Unusable]()  # gaps are reported above
        y = _checked_numbers(complete, name, column, unusable, [])[:, None]
        faults += [Fault("data.path", f"column {name!r}: {each.got}", each.valid) for each in unusable]
        return y, (name,)
    return np.zeros(len(column), np.int32) if settings.task == CLASSIFICATION else np.zeros((len(column), 1)), (name,)


def _class_name(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _kept(settings: Table, names: Sequence[str]) -> list[str]:
    """The names that aren't dropped. Raises BadInput if two are alike, or if the target or one to drop isn't among them."""
    faults = named_alike("data.path", names)
    wanted = [("data.target", settings.target), *(("data.drop", name) for name in settings.drop)]
    said = ""
    if list(names) == made_up_names(len(names)):
        said = "; the first line is read as a row: data.header=true takes it for names"
    faults += [Fault(key, name, textwrap.shorten(nearest(name, names), 400) + said) for key, name in wanted if name not in names]
    if faults:
        raise BadInput(faults)
    return [name for name in names if name not in settings.drop]
