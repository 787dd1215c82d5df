"""Losses of each replicate on its own batch."""

from __future__ import annotations

import tensorflow as tf


def mse(y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """[W] from targets and outputs [W, n, outputs]."""
    return tf.reduce_mean(tf.square(outputs - y), axis=[1, 2])


def sparse_categorical_crossentropy(y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """[W] from class numbers [W, n] and logits [W, n, classes]."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs), axis=1)


LOSSES = {"mse": mse, "sparse_categorical_crossentropy": sparse_categorical_crossentropy}
