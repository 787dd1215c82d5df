"""An MLP's function in NumPy, for analyses that need activations without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from study.records.arrays import Array, Doubles, Floats, Integers
from study.records.dataset import Dataset, task_of
from study.records.network import STATISTICS, Network
from study.settings.data import CLASSIFICATION
from study.settings.loss import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Crossentropy,
    Huber,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from study.settings.model import Model

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
MOST_AT_ONCE = 4_000_000  # outputs whose losses are computed together; several arrays of this size in double precision

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, z * z.dtype.type(0.2)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: z.dtype.type(SELU_SCALE) * np.where(z > 0, z, z.dtype.type(SELU_ALPHA) * np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "silu": lambda z: z * scipy.special.expit(z),
    "tanh": np.tanh,
    "sigmoid": lambda z: scipy.special.expit(z),
    "softplus": lambda z: np.logaddexp(z, z.dtype.type(0)),
    "linear": lambda z: z,
}


def layer_outputs(networks: Network, x: Floats, model: Model, training: bool = False) -> list[Floats]:
    """Return each layer's output, [R, n, units]; the last is the network's output, which has no activation.

    networks: a stack of R; x: [n, in]. training: batch normalisation uses x's own statistics instead of the running ones.
    """
    outputs: list[Floats] = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged network's outputs are infinite, as in TensorFlow
        for layer, (kernel, bias) in enumerate(zip(networks.kernels, networks.biases, strict=True)):
            z = (outputs[-1] if outputs else x[None]) @ kernel
            norms = {name: networks.parameters.get(f"{name}_{layer}") for name in ("scale", *STATISTICS)}
            if (scale := norms["scale"]) is not None:
                z = _normalised(z, norms["mean"], norms["variance"], model, training) * scale[:, None, :]
            z = z + bias[:, None, :]
            outputs.append(z if layer == networks.depth - 1 else ACTIVATIONS[model.activation](z))
    return outputs


def _normalised(z: Floats, mean: Floats | None, variance: Floats | None, model: Model, training: bool) -> Floats:
    """Normalise z [R, n, units] by the running statistics [R, units], or without them (layer normalisation) row by row."""
    if mean is None or variance is None:
        centre, spread = z.mean(axis=2, keepdims=True), z.var(axis=2, keepdims=True)
    elif training:
        centre, spread = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
    else:
        centre, spread = mean[:, None, :], variance[:, None, :]
    return (z - centre) / np.sqrt(spread + z.dtype.type(model.norm_epsilon))


def predicted_classes(outputs: Floats) -> Array:
    """Return the class that each row's logits [..., n, classes] predict, [..., n]; a single column is class 1 of two."""
    return outputs[..., 0] > 0 if outputs.shape[-1] == 1 else outputs.argmax(axis=-1)


def probabilities(outputs: Array) -> Doubles:
    """Return the probability of each class, [..., classes], from logits [..., units]; a single column is class 1 of two."""
    logits = outputs.astype(np.float64)
    if logits.shape[-1] == 1:
        return np.concatenate([scipy.special.expit(-logits), scipy.special.expit(logits)], axis=-1)
    return scipy.special.softmax(logits, axis=-1)


def logits(probabilities: Doubles, loss: Loss) -> Doubles:
    """Return the outputs [..., units] of a network with these probabilities [..., classes]; -inf for a probability of zero."""
    with np.errstate(divide="ignore"):
        logarithms = np.log(probabilities)
    return logarithms[..., 1:] - logarithms[..., :1] if isinstance(loss, BinaryCrossentropy) else logarithms


def losses(outputs: Array, y: Array, loss: Loss | None = None, weights: Array | None = None) -> Doubles:
    """Return the mean loss of each network, [R], in double precision; without `loss`, that of `loss: auto`.

    outputs: [R, n, units], logits for classification; y: [n, units], or class numbers [n]. weights: by which the losses of rows are
    multiplied, [n].
    """
    if loss is None:
        loss = SparseCategoricalCrossentropy() if task_of(y) == CLASSIFICATION else MeanSquaredError()
    with np.errstate(over="ignore", invalid="ignore"):
        by_row = row_losses(outputs, y, loss)
        return (by_row if weights is None else by_row * weights).mean(axis=-1)


def row_losses(outputs: Array, y: Array, loss: Loss) -> Doubles:
    """Return the loss of each row, [R, n], in double precision, by Keras' definitions (keras/src/losses/losses.py).

    outputs: [R, n, units], logits for classification; y: [n, units], or class numbers [n].
    """
    if outputs.size > MOST_AT_ONCE and len(y) > 1:
        half = len(y) // 2
        halves = (row_losses(outputs[:, part], y[part], loss) for part in (slice(half), slice(half, None)))
        return np.concatenate(list(halves), axis=1)
    outputs = outputs.astype(np.float64)
    match loss:
        case MeanSquaredError():
            return np.square(outputs - y).mean(axis=-1)
        case MeanAbsoluteError():
            return np.abs(outputs - y).mean(axis=-1)
        case Huber(delta=delta):
            size = np.abs(outputs - y)
            return np.where(size <= delta, np.square(size) / 2, delta * size - delta**2 / 2).mean(axis=-1)
        case LogCosh():
            size = np.abs(outputs - y)
            return (size + np.log1p(np.exp(-2 * size)) - np.log(2)).mean(axis=-1)
        case MeanAbsolutePercentageError():
            return 100 * (np.abs(outputs - y) / _percentage_base(y)).mean(axis=-1)
        case SparseCategoricalCrossentropy(label_smoothing=smoothing) | CategoricalCrossentropy(label_smoothing=smoothing):
            log_sum = scipy.special.logsumexp(outputs, axis=-1)
            chosen = outputs[:, np.arange(len(y)), y]
            # a smoothing of 0 must not meet an infinite logit
            return log_sum - (chosen + smoothing * (outputs.mean(axis=-1) - chosen) if smoothing else chosen)
        case BinaryCrossentropy(label_smoothing=smoothing):
            logits = outputs[..., 0]
            return np.logaddexp(0, logits) - (y * (1 - smoothing) + smoothing / 2) * logits
    raise NotImplementedError(loss)


def _percentage_base(y: Array) -> Doubles:
    return np.maximum(np.abs(y.astype(np.float64)), 1e-7)


def trivial_loss(loss: Loss, y: Floats | Integers, classes: int | None = None, weights: Array | None = None) -> float:
    """Return the mean loss of the constant that predicts `y` best, the yardstick for what a network has learned.

    y: [n, units], or class numbers [n]. classes: their number, where the highest number in `y` doesn't show it; an absent class
    counts only where labels are smoothed. weights: of the rows, [n].
    """
    if isinstance(loss, Crossentropy):
        count = 2 if isinstance(loss, BinaryCrossentropy) else classes or int(y.max()) + 1
        # the best constant's probabilities are the mean targets, and its loss is their entropy
        mean_weight = 1 if weights is None else float(weights.mean())
        prior = np.bincount(y, weights, count) / (mean_weight * len(y)) * (1 - loss.label_smoothing) + loss.label_smoothing / count
        return mean_weight * float(scipy.special.entr(prior).sum())
    columns = y.astype(np.float64).T[..., None]  # [units, n, 1]
    constants = (np.full((1, *column.shape), best_constant(loss, column, weights)) for column in columns)
    return float(np.mean([losses(constant, column, loss, weights)[0] for constant, column in zip(constants, columns, strict=True)]))


def trivial_losses(loss: Loss, datasets: Sequence[Dataset]) -> list[float]:
    """Return `trivial_loss` on each training part, computed once for datasets that are the same object."""
    distinct = {id(data): data for data in datasets}
    known = {key: trivial_loss(loss, data.y_train, data.outputs, data.weights_train) for key, data in distinct.items()}
    return [known[id(data)] for data in datasets]


def best_constant(loss: Loss, y: Doubles, weights: Array | None = None) -> float:
    """Return the constant with the lowest mean loss on one target column, [n, 1]. weights: of the rows, [n]."""
    match loss:
        case MeanSquaredError():
            return float(y.mean() if weights is None else np.average(y[:, 0], weights=weights))
        case MeanAbsoluteError():
            return float(np.median(y)) if weights is None else weighted_median(y[:, 0], weights)
        case MeanAbsolutePercentageError():
            return weighted_median(y[:, 0], (1 if weights is None else weights) / _percentage_base(y[:, 0]))
    # convex, so the minimum within the targets' range is the only one
    at = scipy.optimize.minimize_scalar(
        lambda constant: losses(np.full((1, *y.shape), constant), y, loss, weights)[0],
        bounds=(y.min(), y.max()),
        method="bounded",
        options={"xatol": 1e-9 * (1 + np.ptp(y))},
    )
    return float(at.x)


def weighted_median(values: Doubles, weights: Array) -> float:
    """Return the lowest value up to which the weights are half of their sum. Both are [n]."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(sums, sums[-1] / 2)]])
