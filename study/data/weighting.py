"""Weights of rows in the loss: a table's own weights, and in training those of the classes."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from study.data.rows import Rows
from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles, Floats, Integers
from study.settings.data import BALANCED, Data
from study.settings.rules import nearest


def of_parts(data: Data, rows: Rows, train: Array, val: Array, labels: Integers | None) -> tuple[Floats | None, Floats | None]:
    """Return the weights of the training rows and of the validation rows, [n] each; (None, None) where all count alike.

    A row's own weight is divided by their mean over its part, so that losses keep their scale. Classes weigh training rows alone: a
    loss on validation rows would otherwise compare trials by their class weights. labels: those that are trained on, [n], None for
    regression. Raises BadInput for a part whose weights are all zero, and a weight for an unknown class.
    """
    by_class = class_weights(getattr(data, "class_weight", None), rows.target_names, labels, rows.weights, train)
    if rows.weights is None and by_class is None:
        return None, None
    own = [np.ones(len(part)) if rows.weights is None else scaled(rows.weights[part]) for part in (train, val)]
    if by_class is not None:
        own[0] = own[0] * by_class[labels]
    if not own[0].any():
        raise BadInput([Fault("data.class_weight", getattr(data, "class_weight", None), "a weight above 0 for a class with rows")])
    return own[0].astype(np.float32), own[1].astype(np.float32)


def scaled(weights: Doubles) -> Doubles:
    """Return the weights of a part's rows over their mean. Raises BadInput if all are zero."""
    if not weights.any():
        raise BadInput(
            [Fault("data.weight", f"0 in all {len(weights)} rows of a part", "a weight above 0 in some row of each part")]
        )
    return weights / weights.mean()


def class_weights(
    setting: str | None, classes: Sequence[str], labels: Integers | None, weights: Doubles | None, train: Array
) -> Doubles | None:
    """Return the weight of each class, [classes], 1 for a class that isn't named; None without class weights.

    `balanced` gives each class of the training part the same total, as scikit-learn's `compute_class_weight` does: rows over
    classes × rows of the class. weights: of all rows, [n], which then count in place of rows.
    """
    if setting is None or labels is None:
        return None
    if setting == BALANCED:
        totals = np.bincount(labels, None if weights is None else weights[train], len(classes))
        return np.divide(totals.sum(), (totals > 0).sum() * totals, out=np.ones(len(classes)), where=totals > 0)
    given = json.loads(setting)
    if unknown := [name for name in given if name not in classes]:
        raise BadInput([Fault("data.class_weight", name, nearest(name, classes)) for name in unknown])
    return np.array([given.get(name, 1.0) for name in classes])
