"""A user's table as numbers: refused, with the column's name, where it can't be trained on."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.encoding import Input, named_alike, row_text
from study.errors import BadInput, Fault
from study.records import Array, Floats
from study.settings.data import CLASSIFICATION, LARGEST, REFUSE, REGRESSION, Table
from study.settings.rules import nearest
from study.table_files import Column, columns, is_number, is_text, stamp

# an integer target of so few values, each often enough, numbers classes
MOST_AUTO_CLASSES, LEAST_ROWS_A_CLASS = 20, 5
# a text column is one of numbers with slips in it if so many of its different texts are numbers
NUMERIC_SHARE = 0.5
COMMAS = "\"data.decimal=','\""  # as in a shell
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")


def resolve_task(settings: Table) -> str:
    """What `task: auto` means: classification for text, booleans, and whole numbers of few values; else regression."""
    source = settings.source()
    assert isinstance(source, Table)
    return _task(source, stamp(settings.path))


@lru_cache(maxsize=16)
def _task(settings: Table, _: tuple[int, int]) -> str:
    column = columns(settings, lambda names: _kept(settings, names) and [settings.target])[settings.target]
    if is_text(column.type):
        return REGRESSION if _slips(settings, _levels(column)) else CLASSIFICATION
    if not pa.types.is_integer(column.type):
        return REGRESSION
    distinct = pc.count_distinct(column).as_py()
    return CLASSIFICATION if distinct <= min(MOST_AUTO_CLASSES, len(column) / LEAST_ROWS_A_CLASS) else REGRESSION


def read(settings: Table) -> tuple[Floats, Array, tuple[Input, ...], tuple[str, ...]]:
    """Inputs [n, inputs], target, what the inputs are made of, and the target's or the classes' names.

    The target is float [n, 1] for regression and int32 [n] for classification, classes in sorted order. Text and boolean columns
    are one-hot, by the sorted levels of the whole table, so that every part of it has the same columns. A missing number is NaN.
    Raises BadInput with all faults of the content.
    """
    found = columns(settings, partial(_kept, settings))
    rows = len(found[settings.target])
    if rows < 2:
        raise BadInput([Fault("data.path", f"a table of {rows} rows", "2 rows or more below the line of names")])
    faults: list[Fault] = []
    y, target_names = _target(settings, found.pop(settings.target), faults)
    if not found:
        faults.append(Fault("data.path", "no column beside the target", "one input or more"))
    levels = {name: _checked_levels(settings, name, column, faults) for name, column in found.items() if is_text(column.type)}
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
            x[:, at] = _checked_numbers(settings, name, column, faults)
            inputs.append(Input(name))
    if faults:
        raise BadInput(faults)
    return x, y, tuple(inputs), target_names


# -- columns -----------------------------------------------------------------------------------------------------------------


def _levels(column: Column) -> list[Any]:
    return sorted(value for value in pc.unique(column).to_pylist() if value is not None)


def _slips(settings: Table, levels: Sequence[Any]) -> list[str]:
    """The texts that are no numbers in a column that is meant to be of numbers; [] if it isn't one."""
    texts = [level for level in levels if isinstance(level, str)]
    meant = [text for text in texts if is_number(text, ".") or is_number(text, ",")]  # one with the other mark is a slip too
    wrong = [text for text in texts if not is_number(text, settings.decimal)]
    return wrong if meant and len(meant) >= NUMERIC_SHARE * len(texts) else []


def _leave_out(settings: Table, name: str, otherwise: str) -> str:
    if name == settings.target:
        return otherwise
    quoted = name if re.fullmatch(r"\w[\w ]*", name) else repr(name) if '"' in name else f'"{name}"'
    return f"{otherwise}, or leave it out: {shlex.quote(f'data.drop=[{quoted}]')}"


def _slip(settings: Table, name: str, column: Column, slips: Sequence[str]) -> Fault:
    rows = pc.is_in(column, value_set=pa.array(slips, column.type)).to_numpy()
    first = column[int(np.argmax(rows))].as_py()
    valid = f"numbers only, with decimal {'points' if settings.decimal == '.' else 'commas'}, or nothing"
    # commas may stand between thousands
    if settings.decimal == "." and is_number(first, ",") and not THOUSANDS.fullmatch(first):
        valid += f"; or decimal commas, in a text file: {COMMAS}"
    return Fault("data.path", f"column {name!r}: {first!r} among numbers, {row_text(rows)}", _leave_out(settings, name, valid))


def _missing(settings: Table, name: str, rows: Array) -> list[Fault]:
    if settings.missing != REFUSE or not rows.any():
        return []
    valid = _leave_out(settings, name, "no gaps, data.missing=mean, median or most_frequent")
    return [Fault("data.missing", f"column {name!r}: nothing in {row_text(rows)}", valid)]


def _checked_levels(settings: Table, name: str, column: Column, faults: list[Fault]) -> list[Any]:
    levels = _levels(column)
    if slips := _slips(settings, levels):
        faults.append(_slip(settings, name, column, slips))
        return []
    faults += _missing(settings, name, pc.is_null(column).to_numpy())
    if len(levels) < 2:
        got = f"column {name!r}: always {levels[0]!r}" if levels else f"column {name!r}: empty"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "a column that varies")))
    elif len(levels) > settings.max_levels:
        valid = _leave_out(settings, name, f"at most {settings.max_levels} levels (data.max_levels)")
        faults.append(Fault("data.path", f"column {name!r}: {len(levels)} different texts, such as {levels[0]!r}", valid))
        return []  # its columns might not fit into memory
    return levels


def _checked_numbers(settings: Table, name: str, column: Column, faults: list[Fault]) -> Floats:
    """Single precision [n], NaN where nothing is; faults are added to `faults`."""
    nothing = np.zeros(len(column), np.float32)
    if pa.types.is_null(column.type):
        faults.append(Fault("data.path", f"column {name!r}: empty", _leave_out(settings, name, "a column that varies")))
        return nothing
    if not _is_numeric(column.type):
        faults.append(
            Fault("data.path", f"column {name!r}: {column.type}", _leave_out(settings, name, "numbers, text or booleans"))
        )
        return nothing
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    missing = np.isnan(values)
    faults += _missing(settings, name, missing)
    too_large = np.abs(values) > LARGEST
    if too_large.any():
        got = f"column {name!r}: {values[np.argmax(too_large)]:g} in {row_text(too_large)}"
        faults.append(Fault("data.path", got, _leave_out(settings, name, f"numbers from {-LARGEST:g} to {LARGEST:g}")))
        return nothing
    known = values[~missing] if missing.any() else values
    if not len(known) or known.min() == known.max():
        got = f"column {name!r}: always {known[0]:g}" if len(known) else f"column {name!r}: empty"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "a column that varies")))
        return nothing
    kept = values.astype(np.float32)
    # a time in seconds since 1970 may differ by less than single precision can tell
    if np.std(known - known.astype(np.float32)) > 0.01 * np.std(known):
        got = f"column {name!r}: values near {known[0]:.15g} that single precision can't tell apart"
        faults.append(Fault("data.path", got, _leave_out(settings, name, "differences from a value near them")))
    return kept


def _is_numeric(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _target(settings: Table, column: Column, faults: list[Fault]) -> tuple[Array, tuple[str, ...]]:
    name, text = settings.target, is_text(column.type)
    if not text and not _is_numeric(column.type):
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
    if settings.task == CLASSIFICATION:
        if distinct > len(column) / 2:
            got = f"column {name!r}: {distinct} classes in {len(column)} rows"
            faults.append(Fault("data.target", got, "a column of classes, or data.task=regression"))
            return np.zeros(len(column), np.int32), ()
        classes = _levels(column)
        codes = pc.fill_null(pc.index_in(column, value_set=pa.array(classes, column.type)), 0)
        return codes.to_numpy().astype(np.int32), tuple(map(str, classes))
    if text:
        slips = _slips(settings, _levels(column))
        unsuitable = Fault("data.task", REGRESSION, f"classification (the target {name!r} is no column of numbers)")
        faults.append(_slip(settings, name, column, slips) if slips else unsuitable)
    elif distinct > 1:
        complete = Table(path=settings.path, target=name, missing="mean")  # what is missing is told above
        return _checked_numbers(complete, name, column, faults)[:, None], (name,)
    return np.zeros((len(column), 1)), (name,)


def _kept(settings: Table, names: Sequence[str]) -> list[str]:
    """The names that aren't dropped. Raises BadInput if two are alike, or if the target or one to drop isn't among them."""
    faults = named_alike("data.path", names)
    wanted = [("data.target", settings.target), *(("data.drop", name) for name in settings.drop)]
    faults += [Fault(key, name, textwrap.shorten(nearest(name, names), 400)) for key, name in wanted if name not in names]
    if faults:
        raise BadInput(faults)
    return [name for name in names if name not in settings.drop]
