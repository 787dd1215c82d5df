"""The mean prediction of a trial's replicates, beside a single one's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from study.analysis import forward
from study.records.arrays import Array, Floats
from study.settings.loss import BinaryCrossentropy, Crossentropy, Loss


@dataclass(frozen=True)
class Gain:
    """single: the mean loss of the replicates one by one; ensemble: the loss of their mean prediction."""

    single: float
    ensemble: float


def gain(predictions: Floats, y: Array, loss: Loss) -> Gain:
    """Return both losses on the same rows.

    predictions: [R, n, outputs], logits for classification; real targets in one unit for all replicates, which have scalings of
    their own where they have splits of their own. y: [n, outputs], or class numbers [n].
    """
    single = forward.losses(predictions, y, loss).mean()
    return Gain(float(single), float(forward.losses(combined(predictions, loss)[None], y, loss)[0]))


def combined(predictions: Floats, loss: Loss) -> Array:
    """Return the mean of predictions [R, n, outputs], [n, outputs]; for classes, the logits of the mean probabilities.

    The probabilities stay logarithms, so that one near 0 or 1 keeps its digits.
    """
    outputs = predictions.astype(np.float64)
    if not isinstance(loss, Crossentropy):
        return outputs.mean(axis=0)
    if isinstance(loss, BinaryCrossentropy):
        yes, no = special.logsumexp(special.log_expit([outputs, -outputs]), axis=1)
        return yes - no
    return special.logsumexp(special.log_softmax(outputs, axis=-1), axis=0) - np.log(len(outputs))
