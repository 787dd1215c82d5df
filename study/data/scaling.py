"""Columns filled and scaled by statistics of the training part alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from study.data import splits
from study.data.rows import Rows
from study.records.arrays import Array, Doubles, Floats
from study.settings.data import (
    LARGEST,
    MEAN,
    MEDIAN,
    MINMAX,
    MOST_FREQUENT,
    NONE,
    ROBUST,
    STANDARD,
    Data,
    Regression,
    UserTable,
)
from study.settings.spec import TrialSpec

# each returns a column's centre and spread
SCALES: dict[str, Callable[[Array], tuple[float, float]]] = {
    NONE: lambda column: (0.0, 1.0),
    STANDARD: lambda column: (float(column.mean()), float(column.std())),
    MINMAX: lambda column: (float(column.min()), float(np.ptp(column))),
    ROBUST: lambda column: (float(np.median(column)), float(np.subtract(*np.percentile(column, [75, 25])))),
}


def _most_frequent(column: Array) -> float:
    values, counts = np.unique(column, return_counts=True)
    return float(values[np.argmax(counts)])


FILLS: dict[str, Callable[[Array], float]] = {
    MEAN: lambda column: float(column.mean()),
    MEDIAN: lambda column: float(np.median(column)),
    MOST_FREQUENT: _most_frequent,
}


class ColumnScale(NamedTuple):
    """One column's scaling: a missing value becomes `fill` (None if none is missing), and a value (value − centre) / spread.

    A column that is constant in the training part teaches nothing: its spread is infinite, and all of its values become zero.
    """

    fill: float | None
    centre: float
    spread: float


class Scaling(NamedTuple):
    """The scaling between the rows as they were loaded and a replicate's `Dataset`.

    inputs, targets: one per column; no targets for classes. x_val: the validation part as it was loaded, missing values filled,
    [n, inputs].
    """

    inputs: tuple[ColumnScale, ...]
    targets: tuple[ColumnScale, ...]
    x_val: Doubles


def fill_rule(data: Data) -> str:
    """Return the key in FILLS of the statistic that replaces missing numbers."""
    return data.missing if isinstance(data, UserTable) else MEAN


def tested_targets(spec: TrialSpec) -> tuple[ColumnScale, ...]:
    """Return the scaling of the targets in `dataset.load_tested`; none for classes. Raises BadInput if the data can't be loaded."""
    return _targets(spec.data, *splits.tested_parts(spec))


def tested_by(spec: TrialSpec, number: int) -> tuple[Floats, tuple[ColumnScale, ...]]:
    """Return the inputs of the test part as replicate `number` sees them, [n, inputs], and its scaling of the targets."""
    rows, train, val = splits.replicate_parts(spec, number)
    _, _, test = splits.tested_parts(spec)
    x = scaled(rows.x, train, test, spec.data.normalise, fill_rule(spec.data))[1]
    return x, _targets(spec.data, rows, train, val)


def targets_of(spec: TrialSpec, number: int) -> tuple[ColumnScale, ...]:
    """Return the scaling of replicate `number`'s targets; none for classes. Raises BadInput if the data can't be loaded."""
    return _targets(spec.data, *splits.replicate_parts(spec, number))


def learn_scaling(spec: TrialSpec, number: int) -> Scaling:
    """Learn the scaling of replicate `number`. Raises BadInput if the data can't be loaded."""
    data = spec.data
    rows, train, val = splits.replicate_parts(spec, number)
    missing = fill_rule(data)
    x_val = np.empty((len(val), rows.x.shape[1]))
    inputs = []
    for column, (scale, _, x_column) in enumerate(_columns(rows.x, train, val, data.normalise, missing)):
        inputs.append(scale)
        x_val[:, column] = x_column
    return Scaling(tuple(inputs), _targets(data, rows, train, val), x_val)


def _targets(data: Data, rows: Rows, train: Array, val: Array) -> tuple[ColumnScale, ...]:
    if not isinstance(data, Regression) or rows.labels is not None:
        return ()
    return tuple(scale for scale, _, _ in _columns(rows.y, train, val, data.normalise_target, fill_rule(data)))


def in_units(scales: Sequence[ColumnScale], values: Doubles) -> Doubles:
    """Undo the scaling of targets, [n, outputs]; a constant one's values are taken for differences from it."""
    centre, spread = _affine(scales)
    return values * spread + centre


def from_units(scales: Sequence[ColumnScale], values: Doubles) -> Doubles:
    """Scale targets, [n, outputs]: undo `in_units`."""
    centre, spread = _affine(scales)
    return (values - centre) / spread


def _affine(scales: Sequence[ColumnScale]) -> tuple[Doubles, Doubles]:
    centre, spread = np.array([(scale.centre, scale.spread) for scale in scales]).T
    return centre, np.where(np.isfinite(spread), spread, 1)


def scaled(values: Array, train: Array, val: Array, scale: str, missing: str) -> tuple[Floats, Floats]:
    """Return both parts of `values` [n, columns], filled and scaled by statistics of the training part, in single precision.

    train, val: row numbers. scale: a key of SCALES. missing: a key of FILLS.
    """
    parts = np.zeros((len(train), values.shape[1]), np.float32), np.zeros((len(val), values.shape[1]), np.float32)
    for number, (column_scale, *columns) in enumerate(_columns(values, train, val, scale, missing)):
        for part, column in zip(parts, columns, strict=True):
            if math.isfinite(column_scale.spread):
                # far outside the training part's range, a value may not fit into single precision
                part[:, number] = np.clip((column - column_scale.centre) / column_scale.spread, -LARGEST, LARGEST)
    return parts


def _columns(values: Array, train: Array, val: Array, scale: str, missing: str) -> Iterator[tuple[ColumnScale, Doubles, Doubles]]:
    """Each column's scale, and its two parts in double precision with missing values filled."""
    for column in values.T:
        in_train, in_val = column[train].astype(np.float64), column[val].astype(np.float64)
        gaps = bool(np.isnan(in_train).any() or np.isnan(in_val).any())
        column_scale = _learn(in_train, gaps, scale, missing)
        if gaps:
            in_train, in_val = (np.where(np.isnan(part), column_scale.fill, part) for part in (in_train, in_val))
        yield column_scale, in_train, in_val


def _learn(column: Doubles, gaps: bool, scale: str, missing: str) -> ColumnScale:
    """Learn from the training part of a column, [n]. gaps: a value is missing in it or in the validation part."""
    fill = None
    if gaps:
        holes = np.isnan(column)
        fill = 0.0 if holes.all() else FILLS[missing](column[~holes])
        column = np.where(holes, fill, column)
    if column.min() == column.max():
        return ColumnScale(fill, float(column[0]), math.inf)
    centre, spread = SCALES[scale](column)
    return ColumnScale(fill, centre, spread or 1.0)
