"""All rows of a data set before they are split: made by a formula, bundled with scikit-learn, or read from the user's table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from study import collector, seeds
from study.data.encoding import TableColumn
from study.data.rows import Rows
from study.records.arrays import Array
from study.settings.data import Data, Friedman1, Noise, Teacher, UserTable
from study.settings.spec import TrialSpec

BUNDLED = ("diabetes", "digits", "breast_cancer", "wine", "iris")
ROWS = 1  # position in the stream of the `data` seed; the split has the stream itself


def _sklearn() -> Any:
    with collector.held():
        from sklearn import datasets  # a second, which other data don't need

    return datasets


def _bundled(data: Data, _: int) -> Rows:
    bunch = getattr(_sklearn(), f"load_{data.name}")()
    columns = tuple(TableColumn(str(name)) for name in bunch.feature_names)
    if "target_names" not in bunch:
        return Rows(bunch.data, bunch.target[:, None], columns, ("target",))
    return Rows(bunch.data, bunch.target.astype(np.int32), columns, tuple(map(str, bunch.target_names)))


def _made(x: Array, y: Array) -> Rows:
    return Rows(x, y, tuple(TableColumn(f"x{i}") for i in range(x.shape[1])), tuple(f"y{i}" for i in range(y.shape[1])))


def _noise(data: Noise, seed: int) -> Rows:
    draw = seeds.generator(seed, ROWS)
    return _made(draw.random((data.rows, data.features), np.float32), draw.random((data.rows, data.outputs), np.float32))


def _teacher(data: Teacher, seed: int) -> Rows:
    draw = seeds.generator(seed, ROWS)
    x = draw.standard_normal((data.rows, data.features), np.float32)
    y: Array = x
    for units in (*data.units, data.outputs):
        hidden = y if y is x else np.tanh(y) if data.activation == "tanh" else np.maximum(y, 0)
        # SD √(2 / inputs) makes tanh units bend, and keeps the inputs' size through relu units
        kernel = draw.standard_normal((hidden.shape[1], units), np.float32) * np.sqrt(np.float32(2 / hidden.shape[1]))
        y = hidden @ kernel + draw.standard_normal(units, np.float32)
    sd = y.std(axis=0)
    y = y / np.where(sd == 0, 1, sd) + np.float32(data.noise) * draw.standard_normal(y.shape, np.float32)
    return _made(x, y)


def _friedman1(data: Friedman1, seed: int) -> Rows:
    state = seeds.child_seed(seed, ROWS)
    x, y = _sklearn().make_friedman1(data.rows, data.features, noise=data.noise, random_state=state)
    return _made(x, y[:, None])


def _table(data: UserTable, _: int) -> Rows:
    from study.data import tables  # imports pyarrow's readers, which no other kind of data needs

    return tables.read(data)


LOADERS: dict[str, Callable[..., Rows]] = {
    "noise": _noise,
    "teacher": _teacher,
    "friedman1": _friedman1,
    "table": _table,
    **dict.fromkeys(BUNDLED, _bundled),
}


def stamp(data: Data) -> object:
    """Return a value that changes when one of the data's files does; None for data without a file."""
    if not isinstance(data, UserTable):
        return None
    from study.data import readers, tables

    return readers.stamp_of(data), data.test_path and readers.stamp_of(tables.tested(data))


@lru_cache(maxsize=1)
def load(source: Data, seed: int, _stamp: object) -> Rows:
    """Load the rows of `source`. seed: draws the rows that a formula makes. _stamp: makes a changed file load again."""
    return LOADERS[source.name](source, seed)


def root_seed(spec: TrialSpec) -> int:
    """Return the `data` seed that all replicates share."""
    return seeds.replicate_seed(spec.seed, "data", 0)


def rows(spec: TrialSpec) -> Rows:
    """Load all rows of a trial. Raises BadInput if they can't be loaded."""
    return load(spec.data.source(), root_seed(spec), stamp(spec.data))


def digest(spec: TrialSpec) -> str:
    """Return the sha256, in hex, of the rows before they are split: equal digests mean equal data."""
    return _digest(spec.data.source(), root_seed(spec), stamp(spec.data))


@lru_cache(maxsize=16)
def _digest(source: Data, seed: int, stamp: object) -> str:
    loaded = load(source, seed, stamp)
    content = hashlib.sha256()
    for array in (loaded.x, loaded.y):
        content.update(f"{array.dtype}{array.shape}".encode())
        for column in np.atleast_2d(array.T):  # one by one, without copying the whole array
            content.update(np.ascontiguousarray(column).data)
    for numbers in (loaded.groups, loaded.times, loaded.weights):
        if numbers is not None:
            content.update(np.ascontiguousarray(numbers).data)
    if loaded.test_rows:
        content.update(f"test {loaded.test_rows}".encode())
    return content.hexdigest()
