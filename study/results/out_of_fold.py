"""A champion's errors on rows that the predicting networks weren't trained on: its prediction intervals are as wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from study.data import splits
from study.records.arrays import Array, Doubles
from study.records.champion import MEMBERS
from study.sampling import evenly
from study.settings.data import TIME, UserTable
from study.statistics import conformal

if TYPE_CHECKING:
    from study.engine.backend import keras
    from study.settings.spec import TrialSpec

MOST_ROWS, MOST_VALUES = 10_000, 20_000_000


def errors(spec: TrialSpec, numbers: Sequence[int], predictor: keras.Model) -> Doubles | None:
    """Return the sizes of the errors that `conformal.kept` selects, [m, outputs], in the targets' own units.

    For classes there is one column: one minus the probability of the row's own class. None for rows in time, where the errors of
    earlier rows don't bound those of later ones. numbers: of the replicates whose networks the predictor holds, in order; of the
    rows outside the test part, at most MOST_ROWS are used. Raises BadInput if the data can't be loaded.
    """
    from study.tracking import predicting

    if isinstance(spec.data, UserTable) and spec.data.split == TIME:
        return None
    rows, others, _ = splits.tested_parts(spec)
    trained = splits.trained_on(spec, numbers)
    new = others[~trained[:, others].all(axis=0)]
    count, outputs = predictor.get_layer(MEMBERS).output.shape[1:]
    new = new[evenly(len(new), min(MOST_ROWS, max(1, MOST_VALUES // (count * outputs))))]
    predicted = predicting.networks(predictor)(rows.x[new])
    means = conformal.out_of_fold(np.moveaxis(predicted, 1, 0), trained[:, new])
    truth = rows.y[new]
    return conformal.kept(means - truth if rows.labels is None else 1 - _of_own_class(means, truth))


def _of_own_class(probabilities: Doubles, labels: Array) -> Doubles:
    """Return the probability of each row's class, [n, 1]. probabilities: [n, classes], or [n, 1] of the second of two."""
    if probabilities.shape[1] == 1:
        return np.where(labels[:, None] == 1, probabilities, 1 - probabilities)
    return probabilities[np.arange(len(labels)), labels][:, None]
