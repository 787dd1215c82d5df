"""Data as the networks see them: loaded, split, normalised by statistics of the training part only, and disturbed there.

The rows themselves are the same for all replicates: those that a formula makes come from the `data` seed of replicate 0. Where
`replicates.vary` names `data`, each replicate draws its own parts of them; where it names `noise`, its own disturbance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from sklearn import datasets

from study import seeds
from study.data import strata
from study.data.encoding import Input
from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles, Floats, Integers
from study.records.dataset import Dataset
from study.settings.data import (
    BOOTSTRAP,
    KFOLD,
    LARGEST,
    MEAN,
    MEDIAN,
    MINMAX,
    MOST_FREQUENT,
    NONE,
    ROBUST,
    STANDARD,
    Data,
    Friedman1,
    Noise,
    Regression,
    Table,
    Teacher,
)
from study.settings.loss import measured, unsuitable
from study.settings.spec import TrialSpec

# positions in the `data` seed's stream (the split has the stream itself), and in the noise seed's
ROWS, DRAWS = 1, 2
ON_INPUTS, ON_TARGET = 0, 1


class Rows(NamedTuple):
    """All rows before they are split. x: [n, inputs], NaN where a table has nothing; y: float [n, outputs] or class numbers [n].

    notes: what was guessed to read them, in words. made_up: the names of all columns of a table whose file has none.
    """

    x: Array
    y: Array
    inputs: tuple[Input, ...]
    target_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.inputs)


# -- loading -----------------------------------------------------------------------------------------------------------------


def _bundled(load: Callable[[], Any]) -> Rows:
    bunch = load()
    if "target_names" not in bunch:
        return Rows(bunch.data, bunch.target[:, None], tuple(map(Input, bunch.feature_names)), ("target",))
    return Rows(
        bunch.data, bunch.target.astype(np.int32), tuple(map(Input, bunch.feature_names)), tuple(map(str, bunch.target_names))
    )


def _made(x: Array, y: Array) -> Rows:
    return Rows(x, y, tuple(Input(f"x{i}") for i in range(x.shape[1])), tuple(f"y{i}" for i in range(y.shape[1])))


def _noise(data: Noise, seed: int) -> Rows:
    draw = seeds.generator(seed, ROWS)
    return _made(draw.random((data.rows, data.features), np.float32), draw.random((data.rows, data.outputs), np.float32))


def _teacher(data: Teacher, seed: int) -> Rows:
    draw = seeds.generator(seed, ROWS)
    x = draw.standard_normal((data.rows, data.features), np.float32)
    y: Array = x
    for units in (*data.units, data.outputs):
        hidden = y if y is x else np.tanh(y) if data.activation == "tanh" else np.maximum(y, 0)
        # SD √(2 / inputs), so that a tanh bends and a relu keeps its inputs' size
        kernel = draw.standard_normal((hidden.shape[1], units), np.float32) * np.sqrt(np.float32(2 / hidden.shape[1]))
        y = hidden @ kernel + draw.standard_normal(units, np.float32)
    sd = y.std(axis=0)
    y = y / np.where(sd == 0, 1, sd) + np.float32(data.noise) * draw.standard_normal(y.shape, np.float32)
    return _made(x, y)


def _friedman1(data: Friedman1, seed: int) -> Rows:
    state = seeds.child_seed(seed, ROWS)
    x, y = datasets.make_friedman1(data.rows, data.features, noise=data.noise, random_state=state)
    return _made(x, y[:, None])


def _table(data: Table, _: int) -> Rows:
    from study.data import tables  # with pyarrow's readers, which no other kind needs

    return Rows(*tables.read(data))


LOADERS: dict[str, Callable[..., Rows]] = {
    "noise": _noise,
    "teacher": _teacher,
    "friedman1": _friedman1,
    "diabetes": lambda data, seed: _bundled(datasets.load_diabetes),
    "digits": lambda data, seed: _bundled(datasets.load_digits),
    "breast_cancer": lambda data, seed: _bundled(datasets.load_breast_cancer),
    "wine": lambda data, seed: _bundled(datasets.load_wine),
    "iris": lambda data, seed: _bundled(datasets.load_iris),
    "table": _table,
}


def _stamp(data: Data) -> object:
    """What tells a file from the same file after a change."""
    if not isinstance(data, Table):
        return None
    from study.data import readers

    return readers.stamp(data.path)


@lru_cache(maxsize=1)
def _rows(source: Data, seed: int, _: object) -> Rows:
    return LOADERS[source.name](source, seed)


def _root_seed(spec: TrialSpec) -> int:
    return seeds.replicate_seed(spec.seed, "data", 0)


def rows(spec: TrialSpec) -> Rows:
    """All rows of a trial. Raises BadInput if they can't be loaded."""
    return _rows(spec.data.source(), _root_seed(spec), _stamp(spec.data))


def inputs(spec: TrialSpec) -> tuple[Input, ...]:
    """What the networks' inputs are made of."""
    return rows(spec).inputs


def digest(spec: TrialSpec) -> str:
    """sha256, in hex, of the rows before they are split: a study whose digest is another has other data."""
    return _digest(spec.data.source(), _root_seed(spec), _stamp(spec.data))


@lru_cache(maxsize=16)
def _digest(source: Data, seed: int, stamp: object) -> str:
    rows = _rows(source, seed, stamp)
    content = hashlib.sha256()
    for array in (rows.x, rows.y):
        content.update(f"{array.dtype}{array.shape}".encode())
        for column in np.atleast_2d(array.T):  # one by one, without a copy of the whole
            content.update(np.ascontiguousarray(column).data)
    return content.hexdigest()


def judged_by(spec: TrialSpec) -> dict[str, str]:
    """What a trial's validation loss is a number of: trials of which a text differs have no loss that can be compared.

    loss: what it measures; target: how the target is scaled, for regression; rows: a digest of the first replicate's validation
    rows and their targets before scaling, and of whether the other replicates have rows of their own.
    """
    data, seed = spec.data, _root_seed(spec)
    rows = _rows(data.source(), seed, _stamp(data))
    drawn = spec.replicates.level("data", spec.replicates.first)
    own, fold = _draw(data, seed, seeds.replicate_seed(spec.seed, "data", drawn), drawn)
    _, val = parts(data, len(rows.x), seed, own, fold, _labels(rows))
    content = hashlib.sha256(f"{'data' in spec.replicates.vary}{val.tolist()}".encode())
    content.update(np.ascontiguousarray(rows.y[val]).tobytes())
    target = data.normalise_target if isinstance(data, Regression) and rows.y.ndim == 2 else ""
    return {"loss": measured(spec.loss), "target": target, "rows": content.hexdigest()[:16]}


# -- a replicate's data ------------------------------------------------------------------------------------------------------


def load_data(spec: TrialSpec) -> Dataset:
    """The data of a trial's first replicate; all others' have the same shapes.

    Raises BadInput if the data can't be loaded, if the loss doesn't suit them, or if the training part is smaller than a batch.
    """
    data = load_replicate(spec, spec.replicates.first)
    if fault := unsuitable(spec.loss, data.outputs):
        raise BadInput([fault])
    if spec.training.batch_size is not None and spec.training.batch_size > len(data.x_train):
        valid = f"a whole number from 1 to {len(data.x_train)}, the rows in the training part"
        raise BadInput([Fault("training.batch_size", spec.training.batch_size, valid)])
    return data


def load_replicate(spec: TrialSpec, number: int) -> Dataset:
    """The data of replicate `number`; replicates that see the same data get the same object."""
    drawn, disturbed = (spec.replicates.level(source, number) for source in ("data", "noise"))
    return load_parts(
        spec.data,
        _root_seed(spec),
        seeds.replicate_seed(spec.seed, "data", drawn),
        seeds.replicate_seed(spec.seed, "noise", disturbed),
        fold=drawn,
    )


def load_replicates(spec: TrialSpec) -> list[Dataset]:
    """Every replicate's data, in order. Raises as `load_data` does."""
    first = load_data(spec)
    numbers = spec.replicates.numbers
    return [first, *(load_replicate(spec, number) for number in numbers[1:])]


_alive: WeakValueDictionary[object, Dataset] = WeakValueDictionary()


def load_parts(data: Data, root_seed: int, seed: int, noise_seed: int, fold: int = 0) -> Dataset:
    """`root_seed` decides what all replicates share; `seed`, `noise_seed` and, with folds, `fold` what this one sees."""
    if data.feature_noise == 0 == data.target_noise:
        noise_seed = 0
    seed, fold = _draw(data, root_seed, seed, fold)
    return _load(data, _stamp(data), root_seed, seed, noise_seed, fold)


def _draw(data: Data, root_seed: int, seed: int, fold: int) -> tuple[int, int]:
    """The seed and the fold that decide which rows a replicate sees: with folds, all cut the same order of the rows."""
    return (root_seed, fold % data.folds) if data.resample == KFOLD else (seed, 0)


@lru_cache(maxsize=4)
def _load(data: Data, stamp: object, root_seed: int, seed: int, noise_seed: int, fold: int) -> Dataset:
    key = (data, stamp, root_seed, seed, noise_seed, fold)
    # what somebody holds is given again; beyond that, only the latest are kept
    if (found := _alive.get(key)) is None:
        rows = _rows(data.source(), root_seed, stamp)
        train, val = parts(data, len(rows.x), root_seed, seed, fold, _labels(rows))
        _alive[key] = found = _dataset(data, rows, train, val, noise_seed)
    return found


def _labels(rows: Rows) -> Integers | None:
    return rows.y if rows.y.ndim == 1 else None


def parts(data: Data, rows: int, root_seed: int, seed: int, fold: int, labels: Integers | None) -> tuple[Array, Array]:
    """The numbers of the training part's and the validation part's rows. See `settings.data.Data` for `resample`.

    labels: class numbers, [rows], of which each part has its share, to the nearest whole row; None for regression.
    """
    classes = np.zeros(rows, np.int32) if labels is None else labels
    if data.resample == KFOLD:
        order = seeds.generator(root_seed).permutation(rows)
        dealt = order if labels is None else order[strata.dealt(classes[order], data.folds)]
        size = len(dealt) // data.folds
        if size == 0:
            raise BadInput([Fault("data.folds", data.folds, f"a whole number from 2 to {len(dealt)}, the rows")])
        val = dealt[fold * size : (fold + 1) * size]
        return order[~np.isin(order, val)], val
    order = seeds.generator(root_seed if data.resample == BOOTSTRAP else seed).permutation(rows)
    n_val = round(rows * data.validation_fraction)
    if not 0 < n_val < rows:
        valid = f"one that leaves rows in both parts of {rows}"
        raise BadInput([Fault("data.validation_fraction", data.validation_fraction, valid)])
    judged = strata.chosen(classes[order], n_val)
    val, train = order[judged], order[~judged]
    if data.resample == BOOTSTRAP:
        train = strata.redrawn(train, classes[train], seeds.generator(seed, DRAWS))
    return train, val


def _missing(data: Data) -> str:
    return data.missing if isinstance(data, Table) else MEAN


def _dataset(data: Data, rows: Rows, train: Array, val: Array, noise_seed: int) -> Dataset:
    missing = _missing(data)
    x_train, x_val = _scaled(rows.x, train, val, data.normalise, missing)
    _add_noise(x_train, data.feature_noise, noise_seed, ON_INPUTS)
    if isinstance(data, Regression) and rows.y.ndim == 2:
        y_train, y_val = _scaled(rows.y, train, val, data.normalise_target, missing)
        _add_noise(y_train, data.target_noise, noise_seed, ON_TARGET)
        return Dataset(x_train, y_train, x_val, y_val, y_train.shape[1], rows.input_names, rows.target_names)
    classes = len(rows.target_names)
    labels = _flipped(rows.y[train], data.target_noise, classes, noise_seed)
    return Dataset(x_train, labels, x_val, rows.y[val], classes, rows.input_names, rows.target_names)


# a column's centre and scale
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


class Column(NamedTuple):
    """How a column is scaled: a gap becomes `fill`, None if there is none, and then a value (value − centre) / spread.

    Where its training part is constant, a column teaches nothing: the spread is infinite, and all of it becomes zero.
    """

    fill: float | None
    centre: float
    spread: float


def _column(learned: Doubles, gaps: bool, scale: str, missing: str) -> Column:
    """By the training part of a column, [n]. gaps: whether anything is missing in it or in the validation part."""
    fill = None
    if gaps:
        holes = np.isnan(learned)
        fill = 0.0 if holes.all() else FILLS[missing](learned[~holes])
        learned = np.where(holes, fill, learned)
    if learned.min() == learned.max():
        return Column(fill, float(learned[0]), math.inf)
    centre, spread = SCALES[scale](learned)
    return Column(fill, centre, spread or 1.0)


def _columns(values: Array, train: Array, val: Array, scale: str, missing: str) -> Iterator[tuple[Column, Doubles, Doubles]]:
    """How each column of `values` [n, columns] is scaled, in double precision, and its two parts without gaps."""
    for column in values.T:
        learned, judged = column[train].astype(np.float64), column[val].astype(np.float64)
        gaps = bool(np.isnan(learned).any() or np.isnan(judged).any())
        found = _column(learned, gaps, scale, missing)
        if gaps:
            learned, judged = (np.where(np.isnan(part), found.fill, part) for part in (learned, judged))
        yield found, learned, judged


def _scaled(values: Array, train: Array, val: Array, scale: str, missing: str) -> tuple[Floats, Floats]:
    """Both parts of `values` [n, columns], by statistics of the training part."""
    kept = np.zeros((len(train), values.shape[1]), np.float32), np.zeros((len(val), values.shape[1]), np.float32)
    for number, (found, *sources) in enumerate(_columns(values, train, val, scale, missing)):
        for part, source in zip(kept, sources, strict=True):
            if math.isfinite(found.spread):
                # far outside the training part's range, a value may not fit into single precision
                part[:, number] = np.clip((source - found.centre) / found.spread, -LARGEST, LARGEST)
    return kept


class Scaling(NamedTuple):
    """What lies between the rows as they came and a replicate's `Dataset`.

    inputs, targets: how their columns are scaled; no targets for classes. x_val: the validation part as it came, its gaps filled,
    [n, inputs].
    """

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]
    x_val: Doubles


def scaling(spec: TrialSpec, number: int) -> Scaling:
    """Of replicate `number`. Raises BadInput if the data can't be loaded."""
    data, root_seed = spec.data, _root_seed(spec)
    drawn = spec.replicates.level("data", number)
    rows = _rows(data.source(), root_seed, _stamp(data))
    seed, fold = _draw(data, root_seed, seeds.replicate_seed(spec.seed, "data", drawn), drawn)
    train, val = parts(data, len(rows.x), root_seed, seed, fold, _labels(rows))
    missing = _missing(data)
    x_val = np.empty((len(val), rows.x.shape[1]))
    inputs = []
    for column, (found, _, judged) in enumerate(_columns(rows.x, train, val, data.normalise, missing)):
        inputs.append(found)
        x_val[:, column] = judged
    targets: tuple[Column, ...] = ()
    if isinstance(data, Regression) and rows.y.ndim == 2:
        targets = tuple(found for found, _, _ in _columns(rows.y, train, val, data.normalise_target, missing))
    return Scaling(tuple(inputs), targets, x_val)


def _add_noise(values: Floats, sd: float, seed: int, stream: int) -> None:
    if sd:
        values += np.float32(sd) * seeds.generator(seed, stream).standard_normal(values.shape, np.float32)


def _flipped(labels: Integers, share: float, classes: int, seed: int) -> Integers:
    """`share` of the labels [n], to the nearest whole number, made another class, each other class being as likely."""
    draw = seeds.generator(seed, ON_TARGET)
    chosen = draw.permutation(len(labels))[: round(share * len(labels))]
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + draw.integers(1, classes, size=len(chosen), dtype=np.int32)) % classes
    return flipped
