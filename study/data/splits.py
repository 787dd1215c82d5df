"""Row numbers of the test part, and of a replicate's training part and validation part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from study import seeds
from study.data import loading, strata
from study.data.rows import Rows
from study.errors import BadInput, Fault
from study.records.arrays import Array, Integers
from study.settings.data import BOOTSTRAP, GROUP, KFOLD, RANDOM, TIME, Data, UserTable
from study.settings.spec import TrialSpec

# positions in the stream of the `data` seed; the split has the stream itself, the rows have position 1
DRAWS, TEST, SURPLUS = 2, 3, 4
# the validation parts of a split by time move on by this share of their length: each is followed by the same number of others
WINDOWS = 4


def replicate_parts(spec: TrialSpec, number: int) -> tuple[Rows, Array, Array]:
    """Return all rows of a trial, and the row numbers of replicate `number`'s training part and validation part.

    Raises BadInput if the data can't be loaded or split.
    """
    rows, root_seed = loading.rows(spec), loading.root_seed(spec)
    level = spec.replicates.level("data", number)
    seed, fold = split_seed(spec.data, root_seed, seeds.replicate_seed(spec.seed, "data", level), level)
    return rows, *parts(spec.data, rows, root_seed, seed, fold)


def tested_parts(spec: TrialSpec) -> tuple[Rows, Array, Array]:
    """Return all rows of a trial, and the row numbers outside the test part and in it. Raises as `replicate_parts` does."""
    rows = loading.rows(spec)
    test = test_part(spec.data, rows, loading.root_seed(spec))
    return rows, _outside(rows, test), test


def trained_on(spec: TrialSpec, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return the rows that each of these replicates was trained on, and all rows of the same groups: bool [R, n].

    Raises as `replicate_parts` does.
    """
    seen = {}
    for number in numbers:
        if (level := spec.replicates.level("data", number)) not in seen:
            rows, train, _ = replicate_parts(spec, number)
            units = np.arange(len(rows.x)) if rows.groups is None else rows.groups
            seen[level] = np.isin(units, units[train])
    return np.stack([seen[spec.replicates.level("data", number)] for number in numbers])


def _outside(rows: Rows, numbers: Array) -> Array:
    return np.setdiff1d(np.arange(len(rows.x)), numbers, assume_unique=True)


def split_seed(data: Data, root_seed: int, seed: int, level: int) -> tuple[int, int]:
    """Return the seed and the fold that decide a replicate's rows: folds and windows in time are cut from the same order."""
    if data.resample == KFOLD:
        return root_seed, level % data.folds
    return (root_seed, level % WINDOWS) if _kind(data) == TIME else (seed, 0)


def test_part(data: Data, rows: Rows, root_seed: int) -> Array:
    """Return the row numbers of the test part, which is the same for all replicates and trials; empty without one.

    Raises BadInput if no row would be left.
    """
    count = len(rows.x)
    if rows.test_rows:
        return np.arange(count - rows.test_rows, count)
    size = round(count * data.test_fraction)
    if size == 0:
        return np.arange(0)
    if count - size < 2:
        raise BadInput([Fault("data.test_fraction", data.test_fraction, f"a fraction that leaves two or more of the {count} rows")])
    if _kind(data) == TIME:
        return _in_time(rows)[count - size :]
    order = seeds.generator(root_seed, TEST).permutation(count)
    if _kind(data) == GROUP:
        return order[_with_groups(_groups(rows)[order], size)]
    return order[strata.chosen(_classes(rows)[order], size)]


def parts(data: Data, rows: Rows, root_seed: int, seed: int, fold: int) -> tuple[Array, Array]:
    """Return the row numbers of the training part and the validation part. See `settings.data` for `resample` and `split`.

    Where rows have classes, each part of a random split has its share of every class, to the nearest whole row. Raises BadInput if
    a part would be empty.
    """
    rest = _outside(rows, test_part(data, rows, root_seed))
    train, val = _parts(data, _only(rows, rest), root_seed, seed, fold)
    return rest[train], rest[val]


def _only(rows: Rows, numbers: Array) -> Rows:
    groups, times = (None if column is None else column[numbers] for column in (rows.groups, rows.times))
    return rows._replace(x=rows.x[numbers, :0], y=rows.y[numbers], test_rows=0, groups=groups, times=times)


def _parts(data: Data, rows: Rows, root_seed: int, seed: int, fold: int) -> tuple[Array, Array]:
    """Return `parts` of rows without a test part."""
    count, classes = len(rows.x), _classes(rows)
    if data.resample == KFOLD and _kind(data) == GROUP:
        return _group_fold(_groups(rows), data.folds, fold, root_seed)
    if data.resample == KFOLD:
        order = seeds.generator(root_seed).permutation(count)
        dealt = order if rows.labels is None else order[strata.dealt(classes[order], data.folds)]
        size = len(dealt) // data.folds
        if size == 0:
            raise BadInput([Fault("data.folds", data.folds, f"a whole number from 2 to {len(dealt)}, the number of rows")])
        val = dealt[fold * size : (fold + 1) * size]
        return order[~np.isin(order, val)], val
    n_val = round(count * data.validation_fraction)
    if not 0 < n_val < count:
        valid = f"a fraction that leaves at least one of the {count} rows in each part"
        raise BadInput([Fault("data.validation_fraction", data.validation_fraction, valid)])
    if _kind(data) == TIME:
        return _windows(_in_time(rows), n_val, fold)
    order = seeds.generator(root_seed if data.resample == BOOTSTRAP else seed).permutation(count)
    if _kind(data) == GROUP:
        return _by_groups(_groups(rows)[order], order, n_val, seed)
    in_validation = strata.chosen(classes[order], n_val)
    val, train = order[in_validation], order[~in_validation]
    if data.resample == BOOTSTRAP:
        train = strata.redrawn(train, classes[train], seeds.generator(seed, DRAWS))
    return train, val


def _kind(data: Data) -> str:
    return data.split if isinstance(data, UserTable) else RANDOM


def _classes(rows: Rows) -> Integers:
    return np.zeros(len(rows.x), np.int32) if rows.labels is None else rows.labels


def _groups(rows: Rows) -> Integers:
    assert rows.groups is not None
    return rows.groups


def _in_time(rows: Rows) -> Array:
    assert rows.times is not None
    return np.argsort(rows.times, kind="stable")


def _windows(order: Array, n_val: int, window: int) -> tuple[Array, Array]:
    """Return the parts of one of WINDOWS windows of equal length, the last one first: validation rows come after training rows."""
    step = max(1, n_val // WINDOWS)
    n_train = len(order) - n_val - (WINDOWS - 1) * step
    if n_train < 1:
        valid = f"a fraction that leaves rows to train on before each of {WINDOWS} validation parts of the {len(order)} rows"
        raise BadInput([Fault("data.validation_fraction", n_val / len(order), valid)])
    first = len(order) - n_val - n_train - window * step
    return order[first : first + n_train], order[first + n_train : first + n_train + n_val]


def _with_groups(groups: Integers, size: int) -> Array:
    """Choose whole groups, in the order of their first rows, until these are at least `size` rows: bool [n]."""
    numbers, first, counts = np.unique(groups, return_index=True, return_counts=True)
    order = np.argsort(first)
    before = np.cumsum(counts[order]) - counts[order]
    chosen = np.isin(groups, numbers[order[before < size]])
    if chosen.all():
        raise BadInput([Fault("data.group", f"{len(numbers)} groups", "more groups than there are parts, or smaller ones")])
    return chosen


def _by_groups(groups: Integers, order: Array, n_val: int, seed: int) -> tuple[Array, Array]:
    """Return parts without a common group and of the same sizes for every seed, so a few rows of each may be left out."""
    chosen = _with_groups(groups, n_val)
    largest = int(np.unique(groups, return_counts=True)[1].max())
    n_train = len(order) - n_val - largest + 1
    if n_train < 1:
        raise BadInput([Fault("data.group", f"a group of {largest} of {len(order)} rows", "smaller groups, or a smaller part")])
    return _cut(order[~chosen], order[chosen], n_train, n_val, seed)


def _group_fold(groups: Integers, folds: int, fold: int, seed: int) -> tuple[Array, Array]:
    """Return the parts of a fold of whole groups, each dealt to the smallest fold so far, the largest group first.

    Parts have the same sizes for every fold, so a few rows of each may be left out.
    """
    numbers, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(numbers) < folds:
        raise BadInput([Fault("data.folds", folds, f"a whole number from 2 to {len(numbers)}, the number of groups")])
    of_group, sizes = np.empty(len(numbers), np.int64), np.zeros(folds, np.int64)
    order = seeds.generator(seed).permutation(len(numbers))
    for number in order[np.argsort(-counts[order], kind="stable")]:
        of_group[number] = sizes.argmin()
        sizes[of_group[number]] += counts[number]
    inside = of_group[inverse] == fold
    return _cut(np.flatnonzero(~inside), np.flatnonzero(inside), int(len(groups) - sizes.max()), int(sizes.min()), seed)


def _cut(train: Array, val: Array, n_train: int, n_val: int, seed: int) -> tuple[Array, Array]:
    """Return so many rows of each part, in random order."""
    draw = seeds.generator(seed, SURPLUS)
    return draw.permutation(train)[:n_train], draw.permutation(val)[:n_val]
