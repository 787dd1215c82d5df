"""Data as the networks see them: split, normalised by statistics of the training part, and disturbed in the training part.

All replicates share the same rows: those that a formula makes come from the `data` seed of replicate 0. Where `replicates.vary`
names `data`, each replicate draws its own parts of them; where it names `noise`, its own disturbance.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from functools import lru_cache
from weakref import WeakValueDictionary

import numpy as np

from study import seeds
from study.data import loading, splits, weighting
from study.data.encoding import row_text
from study.data.rows import Rows
from study.data.scaling import input_names, scaled_inputs, scaled_targets
from study.errors import BadInput, Fault
from study.records.arrays import Array, Floats, Integers
from study.records.dataset import Dataset
from study.settings.data import LOG, Data, Regression
from study.settings.loss import measured, unsuitable
from study.settings.spec import TrialSpec

ON_INPUTS, ON_TARGET = 0, 1  # positions in the stream of the `noise` seed


def load_data(spec: TrialSpec) -> Dataset:
    """Load the data of a trial's first replicate; the other replicates' data have the same shapes.

    Raises BadInput if the data can't be loaded, if the loss doesn't suit them, or if the training part is smaller than a batch.
    """
    data = load_replicate(spec, spec.replicates.first)
    if fault := unsuitable(spec.loss, data.outputs):
        raise BadInput([fault])
    if data.outputs != 2 and (threshold := getattr(spec.data, "threshold", None)) is not None:
        raise BadInput([Fault("data.threshold", threshold, f"null: a threshold is of two classes (the data have {data.outputs})")])
    if spec.training.batch_size is not None and spec.training.batch_size > len(data.x_train):
        valid = f"a whole number from 1 to {len(data.x_train)}, the rows in the training part"
        raise BadInput([Fault("training.batch_size", spec.training.batch_size, valid)])
    return data


def load_replicate(spec: TrialSpec, number: int) -> Dataset:
    """Load the data of replicate `number`; replicates that see the same data get the same object."""
    data, root_seed = spec.data, loading.root_seed(spec)
    level, noise_level = (spec.replicates.level(source, number) for source in ("data", "noise"))
    seed, fold = splits.split_seed(data, root_seed, seeds.replicate_seed(spec.seed, "data", level), level)
    undisturbed = data.feature_noise == 0 == data.target_noise
    noise_seed = 0 if undisturbed else seeds.replicate_seed(spec.seed, "noise", noise_level)
    stamp = loading.stamp(data)
    with _loading:  # of one thread alone, so that replicates that share their rows have one object
        return _load(data, stamp, root_seed, seed, noise_seed, fold)


def load_replicates(spec: TrialSpec) -> list[Dataset]:
    """Load every replicate's data, in order. Raises as `load_data` does."""
    first = load_data(spec)
    numbers = spec.replicates.numbers
    return [first, *(load_replicate(spec, number) for number in numbers[1:])]


_loading = threading.RLock()
_alive: WeakValueDictionary[object, Dataset] = WeakValueDictionary()


@lru_cache(maxsize=4)
def _load(data: Data, stamp: object, root_seed: int, seed: int, noise_seed: int, fold: int) -> Dataset:
    key = (data, stamp, root_seed, seed, noise_seed, fold)
    # a dataset that is still in use is reused; besides those, only the latest few are kept
    if (dataset := _alive.get(key)) is None:
        rows = loading.load(data.source(), root_seed, stamp)
        train, val = splits.parts(data, rows, root_seed, seed, fold)
        _alive[key] = dataset = _dataset(data, rows, train, val, noise_seed)
    return dataset


def load_tested(spec: TrialSpec) -> Dataset | None:
    """Load the data for a last look at the test part: all other rows to train on, undisturbed, and the test part as `val`.

    None without a test part. Raises BadInput if the data can't be loaded.
    """
    rows, others, test = splits.tested_parts(spec)
    if not len(test):
        return None
    return _dataset(replace(spec.data, feature_noise=0.0, target_noise=0.0), rows, others, test, 0)


def _dataset(data: Data, rows: Rows, train: Array, val: Array, noise_seed: int) -> Dataset:
    x_train, x_val = scaled_inputs(data, rows, train, val)
    names = input_names(data, rows)
    _add_noise(x_train, data.feature_noise, noise_seed, ON_INPUTS)
    if isinstance(data, Regression) and rows.labels is None:
        if data.normalise_target == LOG and rows.y.min() <= 0:
            valid = f"power, quantile or standard: the target isn't positive in {row_text((rows.y <= 0).max(axis=1))}"
            raise BadInput([Fault("data.normalise_target", LOG, valid)])
        y_train, y_val = scaled_targets(data, rows, train, val)
        _add_noise(y_train, data.target_noise, noise_seed, ON_TARGET)
        weights = weighting.of_parts(data, rows, train, val, None)
        return Dataset(x_train, y_train, x_val, y_val, y_train.shape[1], names, rows.target_names, *weights)
    classes = len(rows.target_names)
    labels = _flipped(rows.y[train], data.target_noise, classes, noise_seed)
    weights = weighting.of_parts(data, rows, train, val, labels)
    return Dataset(x_train, labels, x_val, rows.y[val], classes, names, rows.target_names, *weights)


def _add_noise(values: Floats, sd: float, seed: int, stream: int) -> None:
    if sd:
        values += np.float32(sd) * seeds.generator(seed, stream).standard_normal(values.shape, np.float32)


def _flipped(labels: Integers, share: float, classes: int, seed: int) -> Integers:
    """Change `share` of the labels [n], to the nearest whole number, into another class; each other class is equally likely."""
    draw = seeds.generator(seed, ON_TARGET)
    chosen = draw.permutation(len(labels))[: round(share * len(labels))]
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + draw.integers(1, classes, size=len(chosen), dtype=np.int32)) % classes
    return flipped


def judged_by(spec: TrialSpec) -> dict[str, str]:
    """Return texts that identify the quantity a trial's validation loss measures: losses compare only where all texts are equal.

    loss: the quantity; target: the scaling of the target, for regression; unit: of the scores; rows: a digest of the first
    replicate's validation rows, their targets before scaling and their weights, and of whether the other replicates have rows of
    their own.
    """
    rows, _, val = splits.replicate_parts(spec, spec.replicates.first)
    content = hashlib.sha256(f"{'data' in spec.replicates.vary}{val.tolist()}".encode())
    content.update(np.ascontiguousarray(rows.y[val]).tobytes())
    if rows.weights is not None:
        content.update(rows.weights[val].tobytes())
    target = spec.data.normalise_target if isinstance(spec.data, Regression) and rows.labels is None else ""
    unit = "the target's own" if target else ""
    return {"loss": measured(spec.loss), "target": target, "unit": unit, "rows": content.hexdigest()[:16]}
