"""Differences between networks as functions, on held-out inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from study.analysis.distance import Matrix
from study.analysis.forward import predicted_classes
from study.records.arrays import Array, Floats, Integers
from study.records.dataset import on_same_rows, task_of
from study.settings.data import CLASSIFICATION

CHURN, NRMSE = "churn", "NRMSE"


def kind(target: Array) -> str:
    """Return the measure that `between` uses for a target: 'churn' for class numbers, 'NRMSE' for real values."""
    return CHURN if task_of(target) == CLASSIFICATION else NRMSE


def between(predictions: Floats, target: Array) -> Matrix:
    """Return churn or normalised RMSE of each pair, [N, N]. predictions: [N, n, outputs]; target: [n] or [n, outputs]."""
    return churn(predictions) if task_of(target) == CLASSIFICATION else normalised_rmse(predictions, target)


def within(predictions: Floats, targets: Sequence[Array], splits: Integers) -> Iterator[tuple[Integers, Matrix]]:
    """Yield the positions of the networks on the same rows, two or more, and `between` of them.

    predictions: [N, n, outputs] and targets: N of [n, …], each network's on its own rows. splits: [N], equal for the same rows.
    """
    for members in on_same_rows(splits):
        yield members, between(predictions[members], targets[members[0]])


def churn(predictions: Floats) -> Matrix:
    """Return the share of inputs on which each pair predicts different classes, [N, N]; predictions: [N, n, classes].

    NaN for a network whose outputs on some input are NaN.
    """
    classes = predicted_classes(predictions)
    shares = np.stack([np.mean(classes != row, axis=1) for row in classes])
    shares[np.isnan(predictions).any(axis=(1, 2))] = np.nan
    return np.maximum(shares, shares.T)


def normalised_rmse(predictions: Floats, target: Array) -> Matrix:
    """Return RMSE(f_a, f_b) / SD(y) for each pair, [N, N]; predictions: [N, n, outputs], target: [n, outputs]."""
    wide = predictions.astype(np.float64).reshape(len(predictions), -1)
    scale = float(np.std(target))
    return np.stack([np.sqrt(np.mean((wide - row) ** 2, axis=1)) for row in wide]) / (scale or 1.0)
