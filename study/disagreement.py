"""How far networks differ as functions, on held-out inputs."""

from __future__ import annotations

import numpy as np

from study.distance import Matrix
from study.records import Array, Floats


def churn(predictions: Floats) -> Matrix:
    """The share of inputs on which each pair predicts different classes, [N, N]; predictions: [N, n, classes].

    A single column holds the logits of the second of two classes.
    """
    classes = predictions[..., 0] > 0 if predictions.shape[-1] == 1 else np.argmax(predictions, axis=-1)
    return np.stack([np.mean(classes != row, axis=1) for row in classes])


def normalised_rmse(predictions: Floats, target: Array) -> Matrix:
    """RMSE(f_a, f_b) / SD(y) for each pair, [N, N]; predictions: [N, n, outputs], target: [n, outputs]."""
    wide = predictions.astype(np.float64).reshape(len(predictions), -1)
    scale = float(np.std(target))
    return np.stack([np.sqrt(np.mean((wide - row) ** 2, axis=1)) for row in wide]) / (scale or 1.0)
