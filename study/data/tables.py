"""Turn a user's table into numbers; refuse what can't be trained on, with the column's name."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.data import dates, number_texts, queries, roles, targets
from study.data.arrow_types import Column, is_numeric, is_text
from study.data.encoding import named_alike, row_text
from study.data.file_columns import made_up_names
from study.data.hints import drop_hint, gaps_advice, gaps_hint, roles_hint
from study.data.mixed_columns import levels_of, slip, slips_of
from study.data.readers import columns, stamp_of, wanted_names
from study.data.roles import Unusable
from study.data.rows import Rows
from study.errors import BadInput, Fault
from study.records.arrays import Array, Integers
from study.settings.data import CLASSIFICATION, DATE, KEEP, REGRESSION, UserTable
from study.settings.rules import nearest

# a target of whole numbers is one of classes if they are this few, and frequent enough
MOST_AUTO_CLASSES, LEAST_ROWS_A_CLASS = 20, 5
MOST_TEXT = 300
MOST_LISTED = 10  # columns that get a line of their own
# what stands for a missing value in many files: among texts, and where it lies far from all other numbers
SIGNS = ("?", "-", "–", ".", "*")
SENTINELS = {-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, -999.25}
ISO_DATE = re.compile(r"\d{4}([-/.]?\d{2}){1,2}([ T].*)?$")  # sorts as a text does


def resolve_task(settings: UserTable) -> str:
    """Resolve `task: auto`: classification for text, booleans, and whole numbers with few values; otherwise regression."""
    source = settings.source()
    assert isinstance(source, UserTable)
    return _task(source, stamp_of(settings))


@lru_cache(maxsize=16)
def _task(settings: UserTable, _: tuple[int, int]) -> str:
    if len(settings.targets) > 1:
        return REGRESSION
    [name] = settings.targets
    column = columns(settings, lambda names: _kept(settings, names) and [name]).columns[name]
    column = targets.without_nan(column).drop_null()
    if is_text(column.type):
        return REGRESSION if slips_of(settings, levels_of(column)) else CLASSIFICATION
    if not _is_whole(column):
        return REGRESSION
    rows = pc.value_counts(column).field("counts")
    few = len(rows) <= min(MOST_AUTO_CLASSES, len(column) / LEAST_ROWS_A_CLASS)
    # a count of events has values that are rare; of two values, both are classes
    return CLASSIFICATION if few and (len(rows) <= 2 or pc.min(rows).as_py() >= LEAST_ROWS_A_CLASS) else REGRESSION


def _is_whole(column: Column) -> bool:
    """Return True if all values are whole numbers, including those that pandas writes as 1.0 beside a missing value."""
    if pa.types.is_integer(column.type):
        return True
    return pa.types.is_floating(column.type) and bool(pc.all(pc.equal(pc.floor(column), column)).as_py())


def read(settings: UserTable) -> Rows:
    """Read a table's rows.

    The target is float [n, targets] for regression and int32 [n] for classification, classes in sorted order; rows without one are
    left out. Text and boolean columns
    are one-hot, by the sorted levels of the whole table, so that every part of it has the same columns. A missing number is NaN.
    Raises BadInput with all faults of the content.
    """
    content = columns(settings, partial(_kept, settings))
    remaining, notes = dict(content.columns), list(content.notes)
    rows = len(remaining[settings.targets[0]])
    if rows < 2:
        raise BadInput([Fault("data.path", f"a table of {rows} rows", "2 or more rows below the line of names")])
    if settings.test_path:
        remaining = _with_test_rows(settings, remaining, content.made_up)
        tested = len(remaining[settings.targets[0]]) - rows
        if not tested:
            raise BadInput([Fault("data.test_path", "a table of 0 rows", "1 or more rows below the line of names")])
    else:
        tested = 0
    remaining, tested, unlabelled = targets.labelled(settings.targets, remaining, tested)
    rows = len(remaining[settings.targets[0]])
    if rows - tested < 2:
        got = f"a column {settings.target!r} with a value in {rows - tested} rows"
        raise BadInput([Fault("data.target", got, "a value in 2 or more rows")])
    if settings.test_path and not tested:
        raise BadInput([Fault("data.test_path", "no row with a value of the target", "a value in 1 or more rows")])
    notes += unlabelled
    faults: list[Fault] = []
    groups = _group_numbers(settings.group, remaining.pop(settings.group), faults) if settings.group else None
    times = None
    if settings.time:
        written = settings.named_roles.get(settings.time, "").partition(" ")[2]
        times = _time_numbers(settings.time, remaining.pop(settings.time), faults, written)
    weights = None
    if settings.weight:
        weights, note = targets.weights(settings.weight, remaining.pop(settings.weight), faults)
        notes.append(note)
    notes += _sentinels(settings, remaining)
    y, target_names = _targets(settings, {name: remaining.pop(name) for name in settings.targets}, faults)
    named = settings.named_roles
    found = {name: roles.find(settings, name, column, named.get(name, "")) for name, column in remaining.items()}
    refused = [item for item in found.values() if isinstance(item, Unusable)]
    kept = {name: item for name, item in found.items() if isinstance(item, roles.Found)}
    used = {name: item.column for name, item in kept.items() if item.column is not None}
    notes += _mixed_dates(settings, {name: remaining[name] for name, item in kept.items() if item.role != DATE})
    if not used and not refused:
        left_out = "; ".join(item.text for item in kept.values())
        got = f"no column besides the target that can be an input: {left_out}" if left_out else "no column besides the target"
        faults.append(Fault("data.path", textwrap.shorten(got, MOST_TEXT), "at least one input (data.columns changes roles)"))
    for key in (roles.PATH, roles.GAPS):
        faults += _column_faults(settings, key, [item for item in refused if item.key == key])
    if faults:
        raise BadInput(faults)
    # columns are written, and later normalised, one by one: contiguous ones are several times as fast
    x = np.empty((rows, sum(len(column.inputs) for column in used.values())), np.float32, order="F")
    at = 0
    for name, column in used.items():
        for x_column in roles.inputs(column, remaining.pop(name)):  # pop gives its memory back
            x[:, at] = x_column
            at += 1
    block = roles.block(list(kept.values()))
    return Rows(
        x, y, tuple(used.values()), target_names, tuple(notes), tuple(block), content.made_up, tested, groups, times, weights
    )


def _column_faults(settings: UserTable, key: str, refused: Sequence[Unusable]) -> list[Fault]:
    """Return one fault per column, and one for the rest of many; the last ends with hints for all of them."""
    if not refused:
        return []
    names = [column.name for column in refused]
    gaps = gaps_advice(settings, list(dict.fromkeys(gap for column in refused for gap in column.gaps)))
    out = f"or leave {'it' if len(names) == 1 else 'them'} out: {drop_hint([*settings.drop, *names])}"
    shown = refused if len(refused) <= MOST_LISTED else refused[: MOST_LISTED - 1]
    faults = [Fault(key, f"column {column.name!r}: {column.got}", column.valid) for column in shown]
    if rest := names[len(shown) :]:
        others = textwrap.shorten(", ".join(map(repr, rest)), 100)
        return [*faults, Fault(key, f"{len(rest)} more such columns: {others}", f"the same{gaps}, {out}")]
    return [*faults[:-1], Fault(key, faults[-1].got, f"{faults[-1].valid}{gaps}, {out}")]


def _sentinels(settings: UserTable, table: dict[str, Column]) -> Iterator[str]:
    """Report columns in which a number, or a sign among texts, may stand for a missing value."""
    suspects: list[str] = []
    found: set[float | str] = set()
    for name, column in table.items():
        if is_text(column.type) and not pa.types.is_boolean(column.type) and name not in {*settings.targets, *settings.named_roles}:
            signs = pc.value_counts(column.filter(pc.is_in(column, value_set=pa.array(SIGNS, column.type))))
            for sign, count in zip(signs.field("values").to_pylist(), signs.field("counts").to_pylist(), strict=True):
                suspects.append(f"{name} {sign!r} ({count} row{'s' * (count > 1)})")
                found.add(sign)
        if not is_numeric(column.type):
            continue
        values = pc.cast(column, pa.float64(), safe=False).drop_null().to_numpy()
        ends = {float(values.min()), float(values.max())} if len(values) else set()
        for number in sorted(ends & SENTINELS):
            others = values[values != number]
            if len(others) and _is_far(number, float(others.min()), float(others.max())):
                count = len(values) - len(others)
                column_text = f"{name} {number:g} ({count} row{'s' * (count > 1)})"
                if name in settings.targets:
                    yield f"possible missing target: {column_text} (if so, remove these rows from the file)"
                else:
                    suspects.append(column_text)
                    found.add(number)
    if suspects:
        hint = gaps_hint(settings, sorted(found, key=str))
        yield f"possible missing values: {textwrap.shorten(', '.join(suspects), 200)} (if so: {hint})"


def _mixed_dates(settings: UserTable, table: Mapping[str, Column]) -> Iterator[str]:
    """Report columns that aren't dates only because they have several notations."""
    for name, column in table.items():
        if name not in settings.named_roles and (written := roles.mixed_dates(settings, column)):
            hint = roles_hint(name, DATE)
            yield f"dates in several notations, {written}, not read as dates: {name} (to read them: {hint})"


def _is_far(number: float, least: float, most: float) -> bool:
    """Return True if it is farther from the others than these are from each other, or negative where they aren't."""
    return (number < 0 <= least) or min(abs(number - least), abs(number - most)) > most - least


# -- parts ---------------------------------------------------------------------------------------------------------------------


def tested(settings: UserTable) -> UserTable:
    """Return the settings that read the test part's own table: with the same query, if that is a database too."""
    assert settings.test_path
    return replace(settings, path=settings.test_path, sql=settings.sql if queries.is_database(settings.test_path) else None)


def _with_test_rows(settings: UserTable, table: Mapping[str, Column], made_up: Sequence[str]) -> dict[str, Column]:
    """Return the columns with the rows of the test part's table below. Raises BadInput for faults of that table.

    made_up: the names given to the columns of a table whose file has none.
    """
    texts = [name for name, column in table.items() if is_text(column.type) and not pa.types.is_boolean(column.type)]
    source = replace(tested(settings), index=KEEP)
    try:
        below = columns(source, partial(wanted_names, table), texts, made_up)
    except BadInput as bad:
        keys = {"data.path": "data.test_path", "rows": "data.test_path"}
        raise BadInput([Fault(keys.get(fault.key, fault.key), fault.got, fault.valid) for fault in bad.faults]) from bad
    return {name: _joined(name, column, below.columns[name]) for name, column in table.items()}


def _joined(name: str, column: Column, tested: Column) -> Column:
    # whole numbers in one table may have decimals in the other
    numbers = is_numeric(column.type) and is_numeric(tested.type)
    kind = pa.float64() if numbers and column.type != tested.type else column.type
    try:
        parts = [pc.cast(part, kind) for part in (column, tested)]
    except pa.ArrowInvalid as error:
        got = f"column {name!r}: {tested.type}"
        raise BadInput([Fault("data.test_path", got, f"{column.type}, as in data.path")]) from error
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], kind)


def _group_numbers(name: str, column: Column, faults: list[Fault]) -> Integers:
    """Return the number of each row's group, [n]; add faults of the column."""
    return _ranks("data.group", name, column, faults)


def _time_numbers(name: str, column: Column, faults: list[Fault], said: str = "") -> Integers:
    """Return each row's place in time, [n], equal for equal times; add faults of the column. said: how its dates are written."""
    texts = list(map(str, levels_of(column))) if is_text(column.type) else []
    if all(ISO_DATE.match(text) for text in texts):
        return _ranks("data.time", name, column, faults)
    written = [said] if said else dates.notations(texts) or dates.mixed(texts)
    if len(written) == 1:
        times = dates.read(name, column.to_numpy(zero_copy_only=False), written[0])
        return _ranks("data.time", name, pa.chunked_array([pa.array(times)]), faults)
    got = f"{texts[0]!r}, which may mean two days" if written else f"{(dates.unreadable(texts) or texts[0])!r}, no date"
    valid = "numbers, or dates whose order is clear, such as 2024-05-31"
    if written:
        valid += f"; or say how they are written: {roles_hint(name, f'{DATE} {written[0]}')}"
    faults.append(Fault("data.time", f"column {name!r}: {got}", valid))
    return _ranks("data.time", name, column, faults)


def _ranks(key: str, name: str, column: Column, faults: list[Fault]) -> Integers:
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        faults.append(Fault(key, f"column {name!r}: no value in {row_text(missing)}", "a value in every row"))
    return pc.fill_null(pc.rank(column, tiebreaker="dense"), 0).to_numpy().astype(np.int32)


# -- columns -----------------------------------------------------------------------------------------------------------------


def _targets(settings: UserTable, columns: Mapping[str, Column], faults: list[Fault]) -> tuple[Array, tuple[str, ...]]:
    """Return the targets, [n, targets] or class numbers [n], and their names or the classes'; add faults of the columns."""
    parts = [_target(settings, name, column, faults) for name, column in columns.items()]
    return parts[0] if len(parts) == 1 else (np.hstack([y for y, _ in parts]), settings.targets)


def _target(settings: UserTable, name: str, column: Column, faults: list[Fault]) -> tuple[Array, tuple[str, ...]]:
    text = is_text(column.type)
    if not text and not is_numeric(column.type):
        faults.append(Fault("data.target", name, f"a column of numbers, text or booleans ({column.type})"))
        return np.zeros((len(column), 1)), (name,)
    if pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    distinct = pc.count_distinct(column).as_py()
    if distinct < 2:
        faults.append(Fault("data.target", f"column {name!r}: all values the same", "a column that varies"))
    slips = slips_of(settings, levels_of(column)) if text else []
    if slips and settings.task == REGRESSION:
        got, valid, gaps = slip(settings, column, slips)
        faults.append(Fault("data.path", f"column {name!r}: {got}", f"{valid}{gaps_advice(settings, gaps)}"))
    elif distinct > len(column) / 2 and (text or settings.task == CLASSIFICATION):
        # there are too many for classes, and texts are no numbers
        got = f"column {name!r}: {distinct} classes in {len(column)} rows"
        otherwise = "or of numbers alone" if text else "or data.task=regression"
        if text and all(number_texts.read(str(level), settings.decimal, settings.thousands) for level in levels_of(column)):
            # those of a text file were read as numbers
            otherwise += f"; {levels_of(column)[0]!r} is a text here: data.task=regression reads it as a number"
        faults.append(Fault("data.target", got, f"a column of classes, {otherwise}"))
    elif settings.task == CLASSIFICATION:
        classes = levels_of(column)
        codes = pc.index_in(column, value_set=pa.array(classes, column.type))
        return codes.to_numpy().astype(np.int32), tuple(map(_class_name, classes))
    elif text:
        faults.append(Fault("data.task", REGRESSION, f"classification (the target {name!r} isn't a column of numbers)"))
    elif distinct > 1:
        numbers = roles.amounts(column)
        known = numbers[~np.isnan(numbers)]
        if beyond := roles.too_large(numbers):
            faults.append(Fault("data.path", f"column {name!r}: {beyond[0]}", beyond[1]))
        elif roles.unresolved(known):
            got = f"column {name!r}: values near {known[0]:.15g} that are equal in single precision"
            faults.append(Fault("data.path", got, "differences from a value near them"))
        with np.errstate(over="ignore"):  # of what is too large, which is a fault
            return numbers.astype(np.float32)[:, None], (name,)
    return np.zeros(len(column), np.int32) if settings.task == CLASSIFICATION else np.zeros((len(column), 1)), (name,)


def _class_name(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _kept(settings: UserTable, names: Sequence[str]) -> list[str]:
    """Return the names that aren't dropped. Raises BadInput if two are equal, or if the target or a name to drop is missing."""
    faults = named_alike("data.path", names)
    wanted = [*(("data.target", name) for name in settings.targets), *(("data.drop", name) for name in settings.drop)]
    wanted += [("data.columns", name) for name in settings.named_roles]
    others = (("data.group", settings.group), ("data.time", settings.time), ("data.weight", settings.weight))
    wanted += [(key, name) for key, name in others if name is not None]
    hint = ""
    if list(names) == made_up_names(len(names)):
        hint = "; the first line is read as a row: data.header=true reads it as names"
    faults += [Fault(key, name, textwrap.shorten(nearest(name, names), 400) + hint) for key, name in wanted if name not in names]
    if faults:
        raise BadInput(faults)
    return [name for name in names if name not in settings.drop]
