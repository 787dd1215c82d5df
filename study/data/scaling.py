"""Columns filled and scaled by statistics of the training part alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from study.data import fourier, shapes, splits, target_codes
from study.data.encoding import AMOUNT, CODE, CODES, FLAG
from study.data.fourier import Fourier
from study.data.rows import Rows
from study.data.shapes import Shape
from study.records.arrays import Array, Doubles, Floats
from study.settings.data import (
    AUTO,
    LARGEST,
    LOG,
    MEAN,
    MEDIAN,
    MINMAX,
    MOST_FREQUENT,
    NONE,
    POWER,
    QUANTILE,
    ROBUST,
    STANDARD,
    Data,
    Regression,
    UserTable,
)
from study.settings.spec import TrialSpec

Learned = TypeVar("Learned")


def _standard(column: Array) -> tuple[float, float]:
    return float(column.mean()), float(column.std())


# each returns a column's centre and spread, after its curve if it has one
SCALES: dict[str, Callable[[Array], tuple[float, float]]] = {
    NONE: lambda column: (0.0, 1.0),
    STANDARD: _standard,
    MINMAX: lambda column: (float(column.min()), float(np.ptp(column))),
    ROBUST: lambda column: (float(np.median(column)), float(np.subtract(*np.percentile(column, [75, 25])))),
    **dict.fromkeys((LOG, POWER, QUANTILE), _standard),
}
NORMAL_IQR = 1.349  # the interquartile range of a normal distribution, in SDs


def _most_frequent(column: Array) -> float:
    values, counts = np.unique(column, return_counts=True)
    return float(values[np.argmax(counts)])


def _median(column: Array) -> float:
    return float(np.median(column))


FILLS: dict[str, Callable[[Array], float]] = {
    AUTO: _median,
    MEAN: lambda column: float(column.mean()),
    MEDIAN: _median,
    MOST_FREQUENT: _most_frequent,
}


class ColumnScale(NamedTuple):
    """One column's scaling: a missing value becomes `fill` (None if none is missing), one beyond low and high the nearer of them.

    Then `shape` bends it, if there is one, and it becomes (value − centre) / spread. A column that is constant in the training part
    teaches nothing: its spread is infinite, and all of its values become zero. soft: the number of spreads that a smooth limit
    keeps values below, x / √(1 + (x / soft)²).
    """

    fill: float | None
    centre: float
    spread: float
    low: float = -math.inf
    high: float = math.inf
    shape: Shape | None = None
    soft: float | None = None

    def apply(self, column: Array) -> Doubles:
        """Scale values without gaps, [n]. Far outside the training part's range, a value might not fit into single precision."""
        if not math.isfinite(self.spread):
            return np.zeros(len(column))
        if math.isfinite(self.low):
            column = np.clip(column, self.low, self.high)
        if self.shape:
            column = shapes.bent(self.shape, column)
        scaled = np.clip((column - self.centre) / self.spread, -LARGEST, LARGEST)
        return scaled / shapes.softening(scaled, self.soft) if self.soft else scaled


class Scaling(NamedTuple):
    """The scaling between the rows as they were loaded and a replicate's `Dataset`.

    inputs, targets: one per column; no targets for classes, and no inputs for codes. codes: for each column of codes what each of
    them becomes, [codes, outputs]. kinds: of the columns of x, as in `Rows.kinds`. x_val: the validation part as it was loaded,
    missing values filled, [n, columns of x]. waves: of each AMOUNT, with data.fourier.
    """

    inputs: tuple[ColumnScale, ...]
    targets: tuple[ColumnScale, ...]
    x_val: Doubles
    codes: tuple[Doubles, ...] = ()
    kinds: tuple[str, ...] = ()
    waves: tuple[Fourier, ...] = ()

    def apply(self, x: Doubles, fills: Doubles) -> Doubles:
        """Return rows as the replicate's networks see them, [n, inputs]. x: [n, columns], NaN where missing.

        fills: what replaces a gap in each column but those of codes, NaN for none. A gap that nothing fills, or an infinite number,
        makes all of the row's inputs from that column NaN.
        """
        coded = np.array([kind == CODE for kind in self.kinds or [AMOUNT] * x.shape[1]])
        numbers = np.where(np.isnan(x[:, ~coded]), fills, x[:, ~coded])
        known = np.isfinite(numbers)
        scaled = [scale.apply(np.where(ok, column, 0)) for scale, column, ok in zip(self.inputs, numbers.T, known.T, strict=True)]
        parts = [np.where(known, np.stack(scaled, axis=1) if scaled else numbers, np.nan)]
        parts += [table[codes.astype(np.int64)] for table, codes in zip(self.codes, x[:, coded].T, strict=True)]
        if self.waves:
            at = amounts(self.kinds)
            finite = np.where(known[:, at], numbers[:, at], np.nan)
            parts.append(fourier.of_columns(self.waves, finite))
        return np.hstack(parts)


def amounts(kinds: Sequence[str]) -> list[int]:
    """Return where numbers of any size are among the columns that aren't codes."""
    return [at for at, kind in enumerate(kind for kind in kinds if kind != CODE) if kind == AMOUNT]


class ScaleRules(NamedTuple):
    """Rules by which columns are scaled. scale: a key of SCALES; missing: of FILLS. clip, soft: as in `UserTable`."""

    scale: str
    missing: str
    clip: float | None = None
    soft: float | None = None


def fill_rule(data: Data) -> str:
    """Return the key in FILLS of the statistic that replaces missing numbers."""
    return data.missing if isinstance(data, UserTable) else MEAN


def has_waves(data: Data) -> bool:
    return isinstance(data, UserTable) and data.fourier


def _of_inputs(data: Data) -> ScaleRules:
    table = isinstance(data, UserTable) and data.normalise != NONE
    return ScaleRules(data.normalise, fill_rule(data), data.clip if table else None, data.soft_clip if table else None)  # type: ignore[attr-defined]


def tested_targets(spec: TrialSpec) -> tuple[ColumnScale, ...]:
    """Return the scaling of the targets in `dataset.load_tested`; none for classes. Raises BadInput if the data can't be loaded."""
    return _targets(spec.data, *splits.tested_parts(spec))


def tested_by(spec: TrialSpec, number: int) -> tuple[Floats, tuple[ColumnScale, ...]]:
    """Return the inputs of the test part as replicate `number` sees them, [n, inputs], and its scaling of the targets."""
    rows, train, val = splits.replicate_parts(spec, number)
    _, _, test = splits.tested_parts(spec)
    return scaled_inputs(spec.data, rows, train, test)[1], _targets(spec.data, rows, train, val)


def targets_of(spec: TrialSpec, number: int) -> tuple[ColumnScale, ...]:
    """Return the scaling of replicate `number`'s targets; none for classes. Raises BadInput if the data can't be loaded."""
    return _targets(spec.data, *splits.replicate_parts(spec, number))


def by_replicate(spec: TrialSpec, numbers: Sequence[int], learn: Callable[[TrialSpec, int], Learned]) -> list[Learned]:
    """Return what `learn` finds for each of these replicates, learned once for those on the same rows."""
    levels = [spec.replicates.level("data", number) for number in numbers]
    found = {level: learn(spec, number) for level, number in dict(zip(levels, numbers, strict=True)).items()}
    return [found[level] for level in levels]


def learn_scaling(spec: TrialSpec, number: int) -> Scaling:
    """Learn the scaling of replicate `number`. Raises BadInput if the data can't be loaded."""
    data = spec.data
    rows, train, val = splits.replicate_parts(spec, number)
    rules, x_val = _of_inputs(data), np.empty((len(val), rows.x.shape[1]))
    inputs, waves, kinds = [], [], rows.kinds
    for column, kind in enumerate(kinds):
        if kind == CODE:
            x_val[:, column] = rows.x[val, column]
            continue
        scale, x_train, x_val[:, column] = _learned(rows.x[:, column], train, val, rules, kind)
        inputs.append(scale)
        if kind == AMOUNT and has_waves(data):
            waves.append(fourier.learn(x_train))
    codes = tuple(coded.table for coded in _all_coded(data, rows, train, val))
    return Scaling(tuple(inputs), _targets(data, rows, train, val), x_val, codes, kinds, tuple(waves))


def clipped(spec: TrialSpec) -> dict[str, tuple[int, float, float]]:
    """Return the columns with values that data.clip brings nearer: how many in all rows, and the limits, of the first replicate."""
    rows, train, val = splits.replicate_parts(spec, spec.replicates.first)
    rules, found = _of_inputs(spec.data)._replace(scale=NONE), {}  # the limits come before any curve
    for name, kind, column in zip(rows.input_names, rows.kinds, rows.x.T, strict=True):
        if kind == AMOUNT and rules.clip:
            scale = _learned(column, train, val[:0], rules, kind)[0]
            if count := int(np.count_nonzero((column < scale.low) | (column > scale.high))):
                found[name] = count, scale.low, scale.high
    return found


def _targets(data: Data, rows: Rows, train: Array, val: Array) -> tuple[ColumnScale, ...]:
    if not isinstance(data, Regression) or rows.labels is not None:
        return ()
    rules = ScaleRules(data.normalise_target, fill_rule(data))
    return tuple(_learned(column, train, val, rules, AMOUNT)[0] for column in rows.y.T)


def scaled_inputs(data: Data, rows: Rows, train: Array, val: Array) -> tuple[Floats, Floats]:
    """Return both parts' inputs as a network sees them, [n, inputs].

    These are the columns of x but codes, then what codes become, then the Fourier features if there are any. train, val: row
    numbers; all statistics are of the training part.
    """
    of_rows = rows.kinds
    plain = [at for at, kind in enumerate(of_rows) if kind != CODE]
    coded = _all_coded(data, rows, train, val)
    waves = len(amounts(of_rows)) if has_waves(data) else 0
    width = len(plain) + sum(codes.table.shape[1] for codes in coded) + 2 * waves
    parts = np.zeros((len(train), width), np.float32), np.zeros((len(val), width), np.float32)
    kinds, rules = [of_rows[at] for at in plain], _of_inputs(data)
    _fill(parts, (rows.x[:, at] for at in plain), train, val, rules, kinds, waves)
    at = len(plain)
    for codes in coded:
        till = at + codes.table.shape[1]
        parts[0][:, at:till], parts[1][:, at:till] = codes.train, codes.val
        at = till
    return parts


def scaled_targets(data: Regression, rows: Rows, train: Array, val: Array) -> tuple[Floats, Floats]:
    """Return both parts' targets as a network sees them, [n, outputs]."""
    return scaled(rows.y, train, val, data.normalise_target, fill_rule(data))


def input_names(data: Data, rows: Rows) -> tuple[str, ...]:
    """Return the names of the inputs of `scaled_inputs`."""
    named = list(zip(rows.input_names, rows.kinds, strict=True))
    outputs = rows.target_names if rows.labels is None else rows.target_names[1 if len(rows.target_names) == 2 else 0 :]
    alone = len(outputs) == 1
    coded = [f"{name} by target" if alone else f"{name} by {output}" for name, kind in named if kind == CODE for output in outputs]
    waves = fourier.names([name for name, kind in named if kind == AMOUNT]) if has_waves(data) else ()
    return (*(name for name, kind in named if kind != CODE), *coded, *waves)


def scaled(values: Array, train: Array, val: Array, scale: str, missing: str) -> tuple[Floats, Floats]:
    """Return both parts of `values` [n, columns], filled and scaled by statistics of the training part, in single precision.

    train, val: row numbers. scale: a key of SCALES. missing: a key of FILLS.
    """
    parts = np.zeros((len(train), values.shape[1]), np.float32), np.zeros((len(val), values.shape[1]), np.float32)
    _fill(parts, values.T, train, val, ScaleRules(scale, missing), [AMOUNT] * values.shape[1])
    return parts


def in_units(scales: Sequence[ColumnScale], values: Doubles) -> Doubles:
    """Undo the scaling of targets, [..., outputs]; a constant one's values are taken for differences from it."""
    centre, spread = _affine(scales)
    return _each(scales, values * spread + centre, shapes.unbent)


def from_units(scales: Sequence[ColumnScale], values: Doubles) -> Doubles:
    """Scale targets, [..., outputs]: undo `in_units`."""
    centre, spread = _affine(scales)
    return (_each(scales, values, shapes.bent) - centre) / spread


def _affine(scales: Sequence[ColumnScale]) -> tuple[Doubles, Doubles]:
    centre, spread = np.array([(scale.centre, scale.spread) for scale in scales]).T
    return centre, np.where(np.isfinite(spread), spread, 1)


def _each(scales: Sequence[ColumnScale], values: Doubles, curve: Callable[..., Doubles]) -> Doubles:
    if not any(scale.shape for scale in scales):
        return values
    pairs = zip(scales, np.moveaxis(values, -1, 0), strict=True)
    return np.stack([curve(scale.shape, column) if scale.shape else column for scale, column in pairs], axis=-1)


class _Coded(NamedTuple):
    """One column of codes as inputs: of both parts, [n, outputs], and of each code."""

    train: Doubles
    val: Doubles
    table: Doubles


def _all_coded(data: Data, rows: Rows, train: Array, val: Array) -> list[_Coded]:
    """Return the columns of codes in their order."""
    columns = [(column.codes, rows.x[:, at.start]) for column, at in rows.placed if column.role == CODES]
    targets = target_codes.targets(rows, train) if columns else np.empty(0)
    return [_coded(data, codes, levels, targets, train, val) for levels, codes in columns]


def _coded(data: Data, column: Array, levels: int, targets: Array, train: Array, val: Array) -> _Coded:
    codes = column.astype(np.int64)
    learned = target_codes.learn(codes[train], levels, targets)
    centre, spread = learned.train.mean(axis=0), learned.train.std(axis=0)
    if data.normalise == NONE:
        centre, spread = np.zeros_like(centre), np.ones_like(spread)
    table = np.where(spread > 0, (learned.table - centre) / np.where(spread > 0, spread, 1), 0)
    within = np.where(spread > 0, (learned.train - centre) / np.where(spread > 0, spread, 1), 0)
    return _Coded(within, table[codes[val]], table)


def _fill(
    parts: Sequence[Floats],
    columns: Iterable[Array],
    train: Array,
    val: Array,
    rules: ScaleRules,
    kinds: Sequence[str],
    waves: int = 0,
) -> None:
    """Write the columns into both parts, and behind all else the sines and the cosines of so many AMOUNTs, 0 for none."""
    sine = parts[0].shape[1] - 2 * waves
    for at, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        scale, *known = _learned(column, train, val, rules, kind)
        for part, values in zip(parts, known, strict=True):
            part[:, at] = scale.apply(values)
        if waves and kind == AMOUNT:
            learned = fourier.learn(known[0])
            for part, values in zip(parts, known, strict=True):
                part[:, [sine, sine + waves]] = fourier.of_columns([learned], values[:, None])
            sine += 1


def _learned(column: Array, train: Array, val: Array, rules: ScaleRules, kind: str) -> tuple[ColumnScale, Doubles, Doubles]:
    """Return a column's scale, and its two parts in double precision with missing values filled."""
    in_train, in_val = column[train].astype(np.float64), column[val].astype(np.float64)
    gaps = bool(np.isnan(in_train).any() or np.isnan(in_val).any())
    scale = _learn(in_train, gaps or rules.missing == AUTO, rules, kind)
    if gaps:
        in_train, in_val = (np.where(np.isnan(part), scale.fill or 0.0, part) for part in (in_train, in_val))
    return scale, in_train, in_val


def _learn(column: Doubles, gaps: bool, rules: ScaleRules, kind: str) -> ColumnScale:
    """Learn from the training part of a column, [n]. gaps: a missing value in it, in the validation part or later is filled."""
    fill = None
    if gaps:
        holes = np.isnan(column)
        fill = 0.0 if holes.all() else FILLS[rules.missing](column[~holes])
        column = np.where(holes, fill, column)
    if column.min() == column.max():
        return ColumnScale(fill, float(column[0]), math.inf)
    low, high = _limits(column, rules.clip) if rules.clip and kind == AMOUNT else (-math.inf, math.inf)
    if math.isfinite(low):
        column = np.clip(column, low, high)
    shape = shapes.learn(rules.scale, column, flag=kind == FLAG)
    if shape:
        column = shapes.bent(shape, column)
    centre, spread = SCALES[rules.scale](column)
    return ColumnScale(fill, centre, spread or 1.0, low, high, shape, rules.soft)


def _limits(column: Doubles, clip: float) -> tuple[float, float]:
    """Return the values that are `clip` SDs from the median, the SD judged by the middle half of the values."""
    low, median, high = np.percentile(column, [25, 50, 75])
    sd = (high - low) / NORMAL_IQR
    if sd == 0:  # more than half of the values are the same: judged by the others
        others = column[column != median]
        sd = 2 * float(np.median(np.abs(others - median))) / NORMAL_IQR
    return float(median - clip * sd), float(median + clip * sd)
