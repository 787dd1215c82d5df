"""Scores by the user's own functions (`settings.scorers`)."""

from __future__ import annotations

import numpy as np

from study.analysis.forward import probabilities
from study.records.arrays import Array, Doubles
from study.records.dataset import task_of
from study.settings import scorers
from study.settings.data import CLASSIFICATION


def scores(outputs: Array, y: Array, weights: Array | None) -> dict[str, Doubles]:
    """Return the scores of each allowed function, [R]. outputs: [R, n, units], logits for classification; y, weights: of the rows.

    A function takes the targets in their own unit, [n] or [n, targets], and the predictions in the same shape; of classes their
    numbers, [n], and the probabilities, [n, classes]. Where rows have weights it takes `sample_weight` too. It returns a number.
    """
    functions = scorers.allowed()
    if not functions:
        return {}
    more = {} if weights is None else {"sample_weight": weights}
    predicted, truth = (probabilities(outputs), y) if task_of(y) == CLASSIFICATION else (outputs, y)
    if truth.ndim == 2 and truth.shape[1] == 1:
        predicted, truth = predicted[..., 0], truth[:, 0]
    return {name: np.array([float(function(truth, each, **more)) for each in predicted]) for name, function in functions.items()}
