"""The mean prediction of a trial's replicates."""

from __future__ import annotations

import numpy as np
from scipy import special

from study.records.arrays import Array, Floats
from study.settings.loss import BinaryCrossentropy, Crossentropy, Loss


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
