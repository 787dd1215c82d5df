"""Row numbers of a replicate's training part and validation part."""

from __future__ import annotations

import numpy as np

from study import seeds
from study.data import loading, strata
from study.data.rows import Rows
from study.errors import BadInput, Fault
from study.records.arrays import Array, Integers
from study.settings.data import BOOTSTRAP, KFOLD, Data
from study.settings.spec import TrialSpec

DRAWS = 2  # position in the stream of the `data` seed; the split has the stream itself, the rows have position 1


def replicate_parts(spec: TrialSpec, number: int) -> tuple[Rows, Array, Array]:
    """Return all rows of a trial, and the row numbers of replicate `number`'s training part and validation part.

    Raises BadInput if the data can't be loaded or split.
    """
    rows, root_seed = loading.rows(spec), loading.root_seed(spec)
    level = spec.replicates.level("data", number)
    seed, fold = split_seed(spec.data, root_seed, seeds.replicate_seed(spec.seed, "data", level), level)
    return rows, *parts(spec.data, len(rows.x), root_seed, seed, fold, rows.labels)


def split_seed(data: Data, root_seed: int, seed: int, level: int) -> tuple[int, int]:
    """Return the seed and the fold that decide a replicate's rows: with folds, all replicates cut the same order of the rows."""
    return (root_seed, level % data.folds) if data.resample == KFOLD else (seed, 0)


def parts(data: Data, rows: int, root_seed: int, seed: int, fold: int, labels: Integers | None) -> tuple[Array, Array]:
    """Return the row numbers of the training part and the validation part. See `settings.data.Data` for `resample`.

    rows: their count. labels: class numbers, [rows], for a split in which each part has its share of every class, to the nearest
    whole row; None for regression. Raises BadInput if a part would be empty.
    """
    classes = np.zeros(rows, np.int32) if labels is None else labels
    if data.resample == KFOLD:
        order = seeds.generator(root_seed).permutation(rows)
        dealt = order if labels is None else order[strata.dealt(classes[order], data.folds)]
        size = len(dealt) // data.folds
        if size == 0:
            raise BadInput([Fault("data.folds", data.folds, f"a whole number from 2 to {len(dealt)}, the number of rows")])
        val = dealt[fold * size : (fold + 1) * size]
        return order[~np.isin(order, val)], val
    order = seeds.generator(root_seed if data.resample == BOOTSTRAP else seed).permutation(rows)
    n_val = round(rows * data.validation_fraction)
    if not 0 < n_val < rows:
        valid = f"a fraction that leaves at least one of the {rows} rows in each part"
        raise BadInput([Fault("data.validation_fraction", data.validation_fraction, valid)])
    in_validation = strata.chosen(classes[order], n_val)
    val, train = order[in_validation], order[~in_validation]
    if data.resample == BOOTSTRAP:
        train = strata.redrawn(train, classes[train], seeds.generator(seed, DRAWS))
    return train, val
