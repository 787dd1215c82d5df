"""The MLP with the replica axis first."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.tanh}


def outputs(parameters: Sequence[tf.Tensor], x: tf.Tensor, activation: str) -> tf.Tensor:
    """The output layer's linear values, [W, n, outputs].

    parameters: kernel [W, in, out] and bias [W, out] of each layer in turn; x: [W, n, inputs].
    """
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    hidden = x
    for kernel, bias in layers[:-1]:
        hidden = ACTIVATIONS[activation](tf.matmul(hidden, kernel) + bias[:, None, :])
    kernel, bias = layers[-1]
    return tf.matmul(hidden, kernel) + bias[:, None, :]
