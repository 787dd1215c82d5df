"""Scores of predictions besides their loss, by scikit-learn's definitions: one number per replicate.

Outputs are [R, n, units], logits for classification: one per class, or a single one for class 1 of two. Targets are y, [n, units],
or class numbers [n], and a row counts for its weight, [n], or all alike. A replicate whose outputs hold a NaN has the score NaN.

scikit-learn's own functions take one network at a time: on digits, 100 ms for all scores of one, which trains in 10. Tests compare
these with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import scipy

from study.analysis.forward import predicted_classes, probabilities, row_losses, weighted_median
from study.records.arrays import Array, Doubles, Floats
from study.records.dataset import task_of
from study.settings.loss import BinaryCrossentropy, SparseCategoricalCrossentropy
from study.statistics import objectives
from study.statistics.objectives import SCORES_OF_TASK

Weights = Array | None


def scores(outputs: Array, y: Array, weights: Weights = None, decided: Array | None = None) -> dict[str, Doubles]:
    """Return all scores of a task by name, [R] each: NaN where the rows can't give one, such as the AUC of a single class.

    For regression, outputs and y are in the targets' own unit, and so are errors; several targets have the mean of their scores.
    decided: outputs that predict the classes, where a threshold does (`decision_threshold.decided`).
    """
    task = task_of(y)
    diverged = np.isnan(outputs).any(axis=(1, 2))
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged network's outputs
        found = {
            name: MEASURES[name](outputs if decided is None or name not in OF_COUNTS else decided, y, weights)
            for name in SCORES_OF_TASK[task]
        }
    return {name: np.where(diverged, np.nan, values) for name, values in found.items()}


# -- of numbers ------------------------------------------------------------------------------------------------------------------


def r2(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the share of the targets' variance that is explained, averaged over the target columns, [R]. y: [n, units].

    For a constant column it is 1 if the column is predicted exactly, else 0.
    """
    targets, counted = y.astype(np.float64), 1 if weights is None else weights[:, None]
    residual = (counted * np.square(outputs - targets)).sum(axis=1)  # [R, units]
    centred = targets - np.average(targets, axis=0, weights=weights)
    total = np.broadcast_to((counted * np.square(centred)).sum(axis=0), residual.shape)
    constant = np.where(np.isnan(residual), np.nan, residual == 0)
    share = 1 - np.divide(residual, total, out=np.zeros_like(residual), where=total > 0)
    return np.where(total > 0, share, constant).mean(axis=-1)


def rmse(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the root of the mean squared error, [R]. y: [n, units]."""
    return np.sqrt(np.average(np.square(outputs - y.astype(np.float64)), axis=1, weights=weights)).mean(axis=-1)


def mae(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean absolute error, [R]. y: [n, units]."""
    return np.average(np.abs(outputs - y.astype(np.float64)), axis=1, weights=weights).mean(axis=-1)


def mape(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean of |error| / |target|, as a share, [R]; NaN where a target is zero. y: [n, units]."""
    targets = np.abs(y.astype(np.float64))
    if not targets.all():
        return np.full(len(outputs), np.nan)
    return np.average(np.abs(outputs - y) / targets, axis=1, weights=weights).mean(axis=-1)


def median_absolute_error(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the median of |error|, [R]. y: [n, units]."""
    errors = np.abs(outputs - y.astype(np.float64))
    if weights is None:
        return np.median(errors, axis=1).mean(axis=-1)
    return np.apply_along_axis(weighted_median, 1, errors, weights).mean(axis=-1)


# -- of predicted classes --------------------------------------------------------------------------------------------------------


def accuracy(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the share of rows whose class is predicted, [R]. y: class numbers [n]."""
    right = np.average(predicted_classes(outputs) == y, axis=-1, weights=weights)
    return np.where(np.isnan(outputs).any(axis=(1, 2)), np.nan, right)


def balanced_accuracy(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean over the classes with rows of the share that is predicted, [R]."""
    return _balanced_accuracy(*_counts(outputs, y, weights))


def f1(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean over the classes with rows or predictions of 2 · right / (rows + predicted), [R]: the macro F1."""
    return _f1(*_counts(outputs, y, weights))


def mcc(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return Matthews' correlation of classes and predicted classes, [R]; 0 where either is always the same."""
    return _mcc(*_counts(outputs, y, weights))


def _accuracy(right: Doubles, rows: Doubles, predicted: Doubles) -> Doubles:
    return right.sum(axis=-1) / rows.sum()


def _balanced_accuracy(right: Doubles, rows: Doubles, predicted: Doubles) -> Doubles:
    return (right[:, rows > 0] / rows[rows > 0]).mean(axis=-1)


def _f1(right: Doubles, rows: Doubles, predicted: Doubles) -> Doubles:
    both = rows + predicted
    shares = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    return shares.sum(axis=-1) / (both > 0).sum(axis=-1)


def _mcc(right: Doubles, rows: Doubles, predicted: Doubles) -> Doubles:
    total = rows.sum()
    covariance = right.sum(axis=-1) * total - predicted @ rows
    spread = np.sqrt(np.maximum((total**2 - np.square(predicted).sum(axis=-1)) * (total**2 - np.square(rows).sum()), 0))
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)


# the scores of predicted classes, from what `_counts` returns
OF_COUNTS: Mapping[str, Callable[[Doubles, Doubles, Doubles], Doubles]] = {
    objectives.ACCURACY: _accuracy,
    objectives.BALANCED: _balanced_accuracy,
    objectives.F1: _f1,
    objectives.MCC: _mcc,
}


def _counts(outputs: Array, y: Array, weights: Weights) -> tuple[Doubles, Doubles, Doubles]:
    """Return for each class the rows predicted right, [R, classes], all its rows, [classes], and all predicted, [R, classes]."""
    classes, labels = max(2, outputs.shape[-1]), predicted_classes(outputs).astype(int)
    counted = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    right, predicted = (
        np.stack([np.bincount(of, counted * kept, classes) for of, kept in zip(labels, keep, strict=True)]).astype(np.float64)
        for keep in (labels == y, np.ones_like(labels))
    )
    return right, np.bincount(y, counted, classes).astype(np.float64), predicted


# -- of probabilities ------------------------------------------------------------------------------------------------------------


def auc(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the area under the ROC curve, [R]; for more than two classes, the mean over each class against the rest.

    It is the probability that a row of the class ranks above another row, ties counting half (Mann and Whitney). A class without
    rows, or without other rows, has no area and is left out; NaN if no class has one. y: class numbers [n].
    """
    return _mean_of_classes(outputs, y, lambda ranked, positive: _area(ranked, positive, weights))


def average_precision(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean of the precision over the recall, [R]; for more than two classes, the mean over each class against the rest.

    Classes are left out as for `auc`.
    """

    def of_class(ranked: Doubles, positive: npt.NDArray[np.bool_]) -> Doubles:
        curves = (_hits_and_misses(row, positive, weights) for row in ranked)
        return np.array([np.diff(hits, prepend=0) @ (hits / (hits + misses)) / hits[-1] for hits, misses in curves])

    return _mean_of_classes(outputs, y, of_class)


def log_loss(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean of −log of the probability of the row's class, [R]."""
    plain = BinaryCrossentropy() if outputs.shape[-1] == 1 else SparseCategoricalCrossentropy()
    return np.average(row_losses(outputs, y, plain), axis=-1, weights=weights)


def brier(outputs: Array, y: Array, weights: Weights = None) -> Doubles:
    """Return the mean squared error of the probabilities, [R]: of class 1 of two, or summed over more classes."""
    shares = probabilities(outputs)
    squares = np.square(shares - np.eye(shares.shape[-1])[y]).sum(axis=-1)
    return np.average(squares, axis=-1, weights=weights) / (2 if shares.shape[-1] == 2 else 1)


def _mean_of_classes(outputs: Array, y: Array, measure: Callable[[Doubles, npt.NDArray[np.bool_]], Doubles]) -> Doubles:
    """Return the mean of a measure of each class against the rest, of two of class 1 alone.

    Rows are ranked by the class's log odds, which rank like its probability but never saturate.
    """
    logits = outputs.astype(np.float64)
    if logits.shape[-1] <= 2:
        ranked = {1: logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]}
    else:
        ranked = dict(enumerate(np.moveaxis(logits - _log_sum_of_others(logits), -1, 0)))
    values = [measure(score, y == number) for number, score in ranked.items() if 0 < np.sum(y == number) < len(y)]
    return np.mean(values, axis=0) if values else np.full(len(outputs), np.nan)


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


def _area(ranked: Doubles, positive: npt.NDArray[np.bool_], weights: Weights) -> Doubles:
    """Return the area of each row of values to rank by, [R]. ranked: [R, n]; positive: [n]."""
    if weights is not None:
        curves = (_hits_and_misses(row, positive, weights) for row in ranked)
        return np.array([np.trapezoid(np.r_[0, hits], np.r_[0, misses]) / (hits[-1] * misses[-1]) for hits, misses in curves])
    hits = int(positive.sum())
    ranks = scipy.stats.rankdata(ranked, axis=-1)[:, positive].sum(axis=-1)
    return (ranks - hits * (hits + 1) / 2) / (hits * (len(positive) - hits))


def _hits_and_misses(ranked: Doubles, positive: npt.NDArray[np.bool_], weights: Weights) -> tuple[Doubles, Doubles]:
    """Return how many rows of the class, and of the others, rank at least as high as each distinct value, the highest first."""
    order = np.argsort(-ranked, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(ranked[order])), len(order) - 1]
    counted = np.ones(len(order)) if weights is None else weights[order].astype(np.float64)
    hit = positive[order]
    return np.cumsum(counted * hit)[ends], np.cumsum(counted * ~hit)[ends]


def majority(y: Array, weights: Weights = None) -> float:
    """Return the largest class's share of the rows: the accuracy of always predicting it. y: class numbers [n]."""
    shares = np.bincount(y, weights)
    return float(shares.max() / shares.sum())


def one_class(outputs: Floats) -> npt.NDArray[np.bool_]:
    """Return True for each replicate that predicts the same class for all rows, [R]."""
    predicted = predicted_classes(outputs)
    return (predicted == predicted[:, :1]).all(axis=-1)


# by the names of `objectives.SCORES`
MEASURES: Mapping[str, Callable[..., Doubles]] = {
    objectives.R2: r2,
    objectives.RMSE: rmse,
    objectives.MAE: mae,
    objectives.MAPE: mape,
    objectives.MEDIAN: median_absolute_error,
    objectives.ACCURACY: accuracy,
    objectives.BALANCED: balanced_accuracy,
    objectives.F1: f1,
    objectives.MCC: mcc,
    objectives.AUC: auc,
    objectives.PRECISION: average_precision,
    objectives.LOG_LOSS: log_loss,
    objectives.BRIER: brier,
}
