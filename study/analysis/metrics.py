"""Scores of predictions besides their loss: one number per replicate.

Outputs are [R, n, units], logits for classification: one per class, or a single one for class 1 of two. A replicate whose outputs
hold a NaN has the score NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

from study.analysis.forward import predicted_classes
from study.records.arrays import Array, Doubles, Floats
from study.statistics.objectives import ACCURACY, AUC, MAE, R2


def r2(outputs: Floats, y: Array) -> Doubles:
    """Return the share of the targets' variance that is explained, averaged over the target columns, [R]. y: [n, units].

    For a constant column it is 1 if the column is predicted exactly, else 0.
    """
    targets = y.astype(np.float64)
    residual = np.square(outputs - targets).sum(axis=1)  # [R, units]
    total = np.broadcast_to(np.square(targets - targets.mean(axis=0)).sum(axis=0), residual.shape)
    constant = np.where(np.isnan(residual), np.nan, residual == 0)
    share = 1 - np.divide(residual, total, out=np.zeros_like(residual), where=total > 0)
    return np.where(total > 0, share, constant).mean(axis=-1)


def mae(outputs: Floats, y: Array) -> Doubles:
    """Return the mean absolute error, [R]. y: [n, units]."""
    return np.abs(outputs - y.astype(np.float64)).mean(axis=(1, 2))


def accuracy(outputs: Floats, y: Array) -> Doubles:
    """Return the share of rows whose class is predicted, [R]. y: class numbers [n]."""
    right = (predicted_classes(outputs) == y).mean(axis=-1)
    return np.where(np.isnan(outputs).any(axis=(1, 2)), np.nan, right)


def majority(y: Array) -> float:
    """Return the largest class's share of the rows: the accuracy of always predicting it. y: class numbers [n]."""
    return float(np.bincount(y).max() / len(y))


def one_class(outputs: Floats) -> npt.NDArray[np.bool_]:
    """Return True for each replicate that predicts the same class for all rows, [R]."""
    predicted = predicted_classes(outputs)
    return (predicted == predicted[:, :1]).all(axis=-1)


def auc(outputs: Floats, y: Array) -> Doubles:
    """Return the area under the ROC curve, [R]; for more than two classes, the mean over each class against the rest.

    It is the probability that a row of the class ranks above another row, ties counting half (Mann and Whitney). Rows are ranked by
    the class's log odds, which rank like its probability but never saturate. A class without rows, or without other rows, has no
    area and is left out; NaN if no class has one. y: class numbers [n].
    """
    logits = outputs.astype(np.float64)
    if logits.shape[-1] <= 2:
        scores = {1: logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]}
    else:
        scores = dict(enumerate(np.moveaxis(logits - _log_sum_of_others(logits), -1, 0)))
    areas = [_area(score, y == number) for number, score in scores.items() if 0 < np.sum(y == number) < len(y)]
    return np.mean(areas, axis=0) if areas else np.full(len(outputs), np.nan)


def _log_sum_of_others(logits: Doubles) -> Doubles:
    """Return for each class the logarithm of the summed exponentials of all other classes, like `logits` [..., classes].

    It is the sum over the classes before it and after it: the sum over all minus the class's own would lose all digits where one
    class dominates, and a sum of its own for each class would take time by the square of their number.
    """
    none = np.full_like(logits[..., :1], -np.inf)
    with np.errstate(invalid="ignore"):  # a diverged network's outputs
        before = np.concatenate([none, np.logaddexp.accumulate(logits[..., :-1], axis=-1)], axis=-1)
        after = np.concatenate([none, np.logaddexp.accumulate(logits[..., :0:-1], axis=-1)], axis=-1)[..., ::-1]
        return np.logaddexp(before, after)


# by the names of `objectives.SCORES`
MEASURES: Mapping[str, Callable[[Floats, Array], Doubles]] = {R2: r2, MAE: mae, ACCURACY: accuracy, AUC: auc}


def _area(scores: Doubles, positive: npt.NDArray[np.bool_]) -> Doubles:
    """Return the area of each row of scores, [R]. scores: [R, n]; positive: [n]."""
    hits = int(positive.sum())
    ranks = stats.rankdata(scores, axis=-1)[:, positive].sum(axis=-1)
    return (ranks - hits * (hits + 1) / 2) / (hits * (len(positive) - hits))
