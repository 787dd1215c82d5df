"""Parts in which each class has its share of the rows. All is decided by the rows' order, which the caller draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from study.records.arrays import Array, Integers


def chosen(labels: Integers, count: int) -> npt.NDArray[np.bool_]:
    """Which rows make a validation part of `count` rows: of each class the first ones, as many as its share, bool [n].

    labels: class numbers [n], of at least count + 1 rows. A class of two rows or more has one in either part if there is room; the
    row of a class that has just one is left to train on.
    """
    rows = np.bincount(labels)
    quota = _quotas(rows, count)
    return _places(labels) < quota[labels]


def _quotas(rows: Array, count: int) -> Array:
    """How many rows of each class, [classes], such that they are `count` in all."""
    share = rows * (count / rows.sum())
    least, most = np.minimum(1, np.maximum(rows - 1, 0)), np.maximum(rows - 1, 0)
    if most.sum() < count:  # only where nearly all classes have one row
        most = rows
    quota = np.clip(np.floor(share).astype(int), least, most)
    while quota.sum() < count:
        quota[np.argmax(np.where(quota < most, share - quota, -np.inf))] += 1
    while quota.sum() > count:
        spare = quota > least if (quota > least).any() else quota > 0
        quota[np.argmax(np.where(spare, quota - share, -np.inf))] -= 1
    return quota


def _places(labels: Integers) -> Array:
    """How many rows of the same class come before each row, [n]."""
    order = np.argsort(labels, kind="stable")
    rows = np.bincount(labels)
    places = np.empty(len(labels), int)
    places[order] = np.arange(len(labels)) - np.repeat(np.cumsum(rows) - rows, rows)
    return places


def dealt(labels: Integers, folds: int) -> Array:
    """Rows for as many folds of equal size, those of each fold one after the other, each class dealt to them in turn.

    labels: class numbers [n]. Left out, and so always trained on, are less than `folds` rows besides those that are the only ones
    of their class.
    """
    rows = np.bincount(labels)
    eligible = int(rows[rows > 1].sum())
    left_out = np.where(rows == 1, 1, 0)
    # the rest of a class that fills all folds is missed the least
    for few in (False, True):
        for each in np.flatnonzero((rows > 1) & ((rows < folds) == few)):
            rest = eligible % folds - int(left_out[rows > 1].sum())
            left_out[each] = min(rest, rows[each] % folds)
    kept = np.flatnonzero(_places(labels) < (rows - left_out)[labels])
    by_class = kept[np.argsort(labels[kept], kind="stable")]
    return by_class.reshape(-1, folds).T.ravel()


def redrawn(rows: Array, labels: Integers, generator: np.random.Generator) -> Array:
    """As many rows, drawn with replacement from those of the same class. rows, labels: [n]."""
    drawn = np.empty_like(rows)
    for each in np.unique(labels):
        mine = np.flatnonzero(labels == each)
        drawn[mine] = rows[mine[generator.integers(len(mine), size=len(mine))]]
    return drawn
