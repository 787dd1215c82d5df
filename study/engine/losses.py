"""Losses of each replicate on its own rows, [W, n]: Keras' definitions with the replica axis first, from logits.

Continuous settings are inputs of the program, so changing them needs no recompilation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from study.engine.backend import tf
from study.settings.loss import Loss

Settings = Mapping[str, tf.Tensor]
# targets [W, n, columns] or class numbers [W, n]; outputs [W, n, columns or classes]; settings → [W, n]
RowLosses = Callable[[tf.Tensor, tf.Tensor, Settings], tf.Tensor]
DELTA, SMOOTHING = "loss_delta", "loss_label_smoothing"


def _mse(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    return tf.reduce_mean(tf.square(outputs - y), axis=-1)


def _mae(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(outputs - y), axis=-1)


def _huber(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    delta, error = tf.cast(settings[DELTA], outputs.dtype), outputs - y
    size = tf.abs(error)
    return tf.reduce_mean(tf.where(size <= delta, 0.5 * tf.square(error), delta * size - 0.5 * tf.square(delta)), axis=-1)


def _log_cosh(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    error = outputs - y
    return tf.reduce_mean(error + tf.math.softplus(-2 * error) - tf.math.log(tf.constant(2, error.dtype)), axis=-1)


def _mape(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    return 100 * tf.reduce_mean(tf.abs((y - outputs) / tf.maximum(tf.abs(y), 1e-7)), axis=-1)


def _sparse_categorical_crossentropy(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs)
    if SMOOTHING not in settings:
        return hard
    smoothing = tf.cast(settings[SMOOTHING], outputs.dtype)
    return (1 - smoothing) * hard - smoothing * tf.reduce_mean(tf.nn.log_softmax(outputs), axis=-1)


def _categorical_crossentropy(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    classes = outputs.shape[-1]
    targets = _smoothed(tf.one_hot(y, classes, dtype=outputs.dtype), classes, settings)
    return tf.nn.softmax_cross_entropy_with_logits(targets, outputs)


def _binary_crossentropy(y: tf.Tensor, outputs: tf.Tensor, settings: Settings) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(_smoothed(tf.cast(y, outputs.dtype), 2, settings), outputs[..., 0])


def _smoothed(targets: tf.Tensor, classes: int, settings: Settings) -> tf.Tensor:
    if SMOOTHING not in settings:
        return targets
    smoothing = tf.cast(settings[SMOOTHING], targets.dtype)
    return targets * (1 - smoothing) + smoothing / classes


LOSSES: dict[str, RowLosses] = {
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "mape": _mape,
    "sparse_categorical_crossentropy": _sparse_categorical_crossentropy,
    "categorical_crossentropy": _categorical_crossentropy,
    "binary_crossentropy": _binary_crossentropy,
}


def mean_loss(name: str) -> Callable[..., tf.Tensor]:
    """Return the loss `name` averaged over the rows, [W]: it takes the same arguments, and the rows' weights [W, n]."""
    return lambda y, outputs, settings, weights=1.0: tf.reduce_mean(LOSSES[name](y, outputs, settings) * weights, axis=-1)


def settings_of(loss: Loss) -> dict[str, float]:
    """Return the loss's inputs of the program: its continuous settings. A smoothing of 0 is left out, and so is its work."""
    named = {f"loss_{name}": value for name, value in vars(loss).items()}
    return {name: value for name, value in named.items() if name != SMOOTHING or value}
