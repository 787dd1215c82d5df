"""Levels encoded by the targets of the training part: each becomes the mean target of its rows, drawn towards the mean of all.

A training row is encoded by the other folds' targets, since its own would give it away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from study import collector
from study.data.rows import Rows
from study.records.arrays import Array, Doubles

FOLDS = 5


class TargetCodes(NamedTuple):
    """A column of level numbers as inputs: of the training rows, [n, outputs], and of each level, [levels, outputs]."""

    train: Doubles
    table: Doubles


def targets(rows: Rows, train: Array) -> Doubles:
    """Return what levels are encoded by, [n, outputs]: the targets, or 1 in rows of a class, for each but the first of two."""
    if rows.labels is None:
        return rows.y[train].astype(np.float64)
    classes = len(rows.target_names)
    return (rows.labels[train][:, None] == range(classes)[1 if classes == 2 else 0 :]).astype(np.float64)


def learn(codes: Array, levels: int, wanted: Doubles) -> TargetCodes:
    """Learn the encoding from the training part. codes: [n], 0 to levels − 1; wanted: from `targets`."""
    with collector.held():
        from sklearn.model_selection import KFold  # a second, which other columns don't need
        from sklearn.preprocessing import TargetEncoder

    folds = KFold(FOLDS, shuffle=True, random_state=0)
    column, train, table = codes.astype(np.int64)[:, None], np.empty_like(wanted), np.empty((levels, wanted.shape[1]))
    for at, target in enumerate(wanted.T):
        if len(target) < FOLDS or target.min() == target.max():
            train[:, at], table[:, at] = target.mean(), target.mean()
            continue
        encoder = TargetEncoder(categories=[np.arange(levels)], target_type="continuous", cv=folds)
        train[:, at] = encoder.fit_transform(column, target)[:, 0]
        table[:, at] = encoder.encodings_[0]
    return TargetCodes(train, table)
