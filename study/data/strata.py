"""Parts in which each class has its share of the rows. The rows' order, which the caller draws, decides everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from study.records.arrays import Array, Integers


def chosen(labels: Integers, count: int) -> npt.NDArray[np.bool_]:
    """Choose a validation part of `count` rows: the first rows of each class, as many as its share, bool [n].

    labels: class numbers [n], at least count + 1. A class with two or more rows has one in each part if there is room; a class with
    a single row is left to train on.
    """
    rows = np.bincount(labels)
    quota = _quotas(rows, count)
    return _rank_in_class(labels) < quota[labels]


def _quotas(rows: Array, count: int) -> Array:
    """Return the number of rows of each class, [classes]; `count` in total."""
    share = rows * (count / rows.sum())
    least, most = np.minimum(1, np.maximum(rows - 1, 0)), np.maximum(rows - 1, 0)
    if most.sum() < count:  # only if nearly all classes have a single row
        most = rows
    quota = np.clip(np.floor(share).astype(int), least, most)
    while quota.sum() < count:
        quota[np.argmax(np.where(quota < most, share - quota, -np.inf))] += 1
    while quota.sum() > count:
        spare = quota > least if (quota > least).any() else quota > 0
        quota[np.argmax(np.where(spare, quota - share, -np.inf))] -= 1
    return quota


def _rank_in_class(labels: Integers) -> Array:
    """Return for each row how many rows of its class come before it, [n]."""
    order = np.argsort(labels, kind="stable")
    rows = np.bincount(labels)
    ranks = np.empty(len(labels), int)
    ranks[order] = np.arange(len(labels)) - np.repeat(np.cumsum(rows) - rows, rows)
    return ranks


def dealt(labels: Integers, folds: int) -> Array:
    """Deal rows to folds of equal size, class by class in turn; return the rows of one fold after the other.

    labels: class numbers [n]. Fewer than `folds` rows are left out, besides the only rows of their classes; these are always
    trained on.
    """
    rows = np.bincount(labels)
    eligible = int(rows[rows > 1].sum())
    left_out = np.where(rows == 1, 1, 0)
    # a class that fills all folds misses its remainder least
    for few in (False, True):
        for number in np.flatnonzero((rows > 1) & ((rows < folds) == few)):
            rest = eligible % folds - int(left_out[rows > 1].sum())
            left_out[number] = min(rest, rows[number] % folds)
    kept = np.flatnonzero(_rank_in_class(labels) < (rows - left_out)[labels])
    by_class = kept[np.argsort(labels[kept], kind="stable")]
    return by_class.reshape(-1, folds).T.ravel()


def redrawn(rows: Array, labels: Integers, generator: np.random.Generator) -> Array:
    """Draw as many rows, with replacement, from the rows of the same class. rows, labels: [n]."""
    drawn = np.empty_like(rows)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn[members] = rows[members[generator.integers(len(members), size=len(members))]]
    return drawn
