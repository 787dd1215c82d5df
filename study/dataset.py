"""Data as the networks see them: loaded, split once, and normalised by statistics of the training part only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sklearn import datasets

from study import seeds
from study.errors import BadInput, Fault
from study.records import Array, Dataset, Floats, Integers
from study.settings.data import REGRESSION
from study.spec import TrialSpec


def _diabetes() -> tuple[Array, Array]:
    return datasets.load_diabetes(return_X_y=True)


def _digits() -> tuple[Array, Array]:
    return datasets.load_digits(return_X_y=True)


LOADERS = {"diabetes": _diabetes, "digits": _digits}


def load_data(spec: TrialSpec) -> Dataset:
    """The data of a trial. The `data` seed draws the split, which all replicates share.

    Raises BadInput if the training part is smaller than a batch.
    """
    data = _load(spec.data.name, spec.data.task, spec.data.validation_fraction, seeds.replicate_seed(spec.seed, "data", 0))
    if spec.training.batch_size > len(data.x_train):
        valid = f"a whole number from 1 to {len(data.x_train)}, the rows in the training part"
        raise BadInput([Fault("training.batch_size", spec.training.batch_size, valid)])
    return data


@lru_cache(maxsize=4)
def _load(name: str, task: str, validation_fraction: float, seed: int) -> Dataset:
    x, y = LOADERS[name]()
    rows = seeds.generator(seed).permutation(len(x))
    n_val = round(len(x) * validation_fraction)
    if not 0 < n_val < len(x):
        raise BadInput([Fault("data.validation_fraction", validation_fraction, f"one that leaves rows in both parts of {len(x)}")])
    val, train = rows[:n_val], rows[n_val:]

    x_train, x_val = _standardise(x[train], x[val])
    if task == REGRESSION:
        y_train, y_val = _standardise(y[train].reshape(len(train), -1), y[val].reshape(n_val, -1))
        return Dataset(x_train, y_train, x_val, y_val, y_train.shape[1], float(np.var(y_train, axis=0).mean()))
    labels: Integers = y.astype(np.int32)
    classes = int(labels.max()) + 1
    prior = np.bincount(labels[train], minlength=classes) / len(train)
    entropy = -float(np.sum(prior[prior > 0] * np.log(prior[prior > 0])))
    return Dataset(x_train, labels[train], x_val, labels[val], classes, entropy)


def _standardise(train: Array, val: Array) -> tuple[Floats, Floats]:
    """Both parts [n, columns] by the training part's mean and SD; a constant column becomes zero."""
    mean, sd = train.mean(axis=0), train.std(axis=0)
    sd = np.where(sd == 0, 1.0, sd)
    return ((train - mean) / sd).astype(np.float32), ((val - mean) / sd).astype(np.float32)
