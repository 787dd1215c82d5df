"""Worth of models on held-out rows: their scores in the units that people read, each with its interval over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from study.analysis.forward import predicted_classes, row_losses
from study.data.scaling import ColumnScale, in_units
from study.records.arrays import Array, Doubles
from study.settings.data import CLASSIFICATION
from study.settings.loss import Loss
from study.statistics import rows
from study.statistics.rows import RowEstimate


@dataclass(frozen=True)
class Worth:
    """One model's scores. `metrics.majority` is the accuracy to compare with.

    loss: the mean of the trial's own loss. rmse, mae: of each target column, in its own unit; NaN for a column that is constant in
    the training part, and none for classes. accuracy: None for regression.
    """

    loss: RowEstimate
    rmse: tuple[RowEstimate, ...] = ()
    mae: tuple[RowEstimate, ...] = ()
    accuracy: RowEstimate | None = None


def of_models(
    outputs: Array,
    y: Array,
    loss: Loss,
    scales: Sequence[ColumnScale],
    generator: np.random.Generator,
    groups: Array | None = None,
    weights: Array | None = None,
    decided: Array | None = None,
) -> list[Worth]:
    """Return each model's worth. The intervals are of 95%, by the bootstrap over rows, or over groups of rows.

    outputs: [k, n, units], logits for classification; y: [n, units], or class numbers [n]. scales: of each target column;
    none for classes. groups: [n], equal for rows that belong together.
    weights: of the rows, [n], with mean 1. decided: outputs that predict the classes, where a threshold does.
    """
    losses = row_losses(outputs, y, loss)
    if loss.task == CLASSIFICATION:
        right = (predicted_classes(outputs if decided is None else decided) == y).astype(np.float64)
        estimates = rows.means(rows.weighted(np.concatenate([losses, right]), weights), generator, groups)
        plain = groups is None and weights is None
        accuracies = [_proportion(row) for row in right] if plain else estimates[len(outputs) :]
        return [Worth(mean, accuracy=accuracy) for mean, accuracy in zip(estimates[: len(outputs)], accuracies, strict=True)]
    if any(scale.shape for scale in scales):
        errors = in_units(scales, outputs.astype(np.float64)) - in_units(scales, y.astype(np.float64))
    else:
        with np.errstate(invalid="ignore"):  # an infinite spread, times an error of zero
            errors = (outputs - y.astype(np.float64)) * np.array([scale.spread for scale in scales])
    by_column = np.moveaxis(errors, 2, 1)  # [k, units, n]
    scores = np.concatenate([losses[:, None], np.square(by_column), np.abs(by_column)], axis=1)
    estimates = rows.means(rows.weighted(scores.reshape(-1, len(y)), weights), generator, groups)
    units, width = len(scales), scores.shape[1]
    return [
        Worth(estimates[at], tuple(map(_root, estimates[at + 1 : at + 1 + units])), tuple(estimates[at + 1 + units : at + width]))
        for at in range(0, len(estimates), width)
    ]


def _root(square: RowEstimate) -> RowEstimate:
    low, value, high = np.sqrt(np.maximum([square.low, square.value, square.high], 0)).tolist()
    return RowEstimate(value, low, high)


def _proportion(right: Doubles) -> RowEstimate:
    """Wilson's interval, which the bootstrap's can't replace where all rows are right."""
    share = scipy.stats.binomtest(int(right.sum()), len(right))
    interval = share.proportion_ci(method="wilson")
    return RowEstimate(float(share.statistic), float(interval.low), float(interval.high))
