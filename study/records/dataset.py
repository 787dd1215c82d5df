"""Data as the networks see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from study.records.arrays import Array, Floats, Integers
from study.settings.data import CLASSIFICATION, REGRESSION
from study.settings.loss import outputs
from study.settings.spec import TrialSpec


@dataclass(frozen=True, repr=False)
class Dataset:
    """The data that networks see, after splitting and normalisation.

    x: float32 [n, inputs]. y: float32 [n, outputs] for regression, int32 [n] class numbers for classification.
    weights_train, weights_val: float32 [n], what each row counts for in the loss; None where all count alike.
    input_names: a name for each input. target_names: one for each output, which for classification is the class.

    >>> study.load_data(study.compose(["data=iris"]))
    Dataset(96 rows to train on and 24 to validate on, 4 inputs, 3 outputs)
    """

    x_train: Floats
    y_train: Floats | Integers
    x_val: Floats
    y_val: Floats | Integers
    outputs: int
    input_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    weights_train: Floats | None = None
    weights_val: Floats | None = None

    def layer_sizes(self, spec: TrialSpec) -> tuple[int, ...]:
        """Return the numbers of units from the inputs to the outputs of the networks that a trial trains on these data."""
        return (self.x_train.shape[1], *spec.model.units, outputs(spec.loss, self.outputs))

    def part(self, train: Array | slice = slice(None), val: Array | slice = slice(None)) -> Dataset:
        """Return these rows alone, with their weights."""
        rows = {"x_train": train, "y_train": train, "weights_train": train, "x_val": val, "y_val": val, "weights_val": val}
        arrays = {name: getattr(self, name) for name in rows}
        return replace(self, **{name: array[rows[name]] for name, array in arrays.items() if array is not None})

    def __repr__(self) -> str:
        rows = f"{len(self.x_train)} rows to train on and {len(self.x_val)} to validate on"
        return f"Dataset({rows}, {self.x_train.shape[1]} inputs, {self.outputs} outputs)"


def task_of(target: Array) -> str:
    """Return the task that a target is of: class numbers, int32 [n], or real values, float32 [n, outputs]."""
    return CLASSIFICATION if np.issubdtype(target.dtype, np.integer) else REGRESSION


def shared(datasets: Sequence[Dataset], *parts: str) -> bool:
    """Return True if all replicates see the same arrays in these parts, such as `x_val`."""
    others = {id(dataset): dataset for dataset in datasets if dataset is not datasets[0]}.values()
    return all(np.array_equal(getattr(dataset, part), getattr(datasets[0], part)) for dataset in others for part in parts)


def splits(datasets: Sequence[Dataset]) -> Integers:
    """Return a number for each replicate, [R], equal where two are validated on the same rows."""
    if shared(datasets, "x_val", "y_val"):
        return np.zeros(len(datasets), np.int32)
    # replicates on the same rows have the same object
    numbers = {identity: number for number, identity in enumerate(dict.fromkeys(map(id, datasets)))}
    return np.array([numbers[id(data)] for data in datasets], np.int32)


def on_same_rows(splits: Integers) -> list[Integers]:
    """Return the positions of the replicates of each split that two or more share. splits: as `splits` returns it."""
    groups = [np.flatnonzero(splits == split).astype(np.int32) for split in np.unique(splits)]
    return [members for members in groups if len(members) > 1]
