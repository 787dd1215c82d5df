"""The MLP with the replica axis first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

# Keras' own definitions
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda z: tf.nn.leaky_relu(z, alpha=0.2),
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "gelu": lambda z: tf.nn.gelu(z, approximate=False),
    "silu": tf.nn.silu,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "softplus": tf.math.softplus,
    "linear": tf.identity,
}


def outputs(parameters: Sequence[tf.Tensor], x: tf.Tensor, activation: str, masks: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """The output layer's linear values, [W, n, outputs].

    parameters: kernel [W, in, out] and bias [W, out] of each layer in turn; x: [W, n, inputs]. masks: what each hidden layer's
    outputs are multiplied by, [W, n, units]; none without dropout.
    """
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    hidden = x
    for number, (kernel, bias) in enumerate(layers[:-1]):
        hidden = ACTIVATIONS[activation](tf.matmul(hidden, kernel) + bias[:, None, :])
        if masks:
            hidden *= masks[number]
    kernel, bias = layers[-1]
    return tf.matmul(hidden, kernel) + bias[:, None, :]


def dropout_masks(units: Sequence[int], rows: int, rate: tf.Tensor, replicate_seeds: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
    """For each hidden layer [W, rows, units]: 0 with probability `rate`, else 1 / (1 − rate), as Keras scales.

    replicate_seeds: int32 [W]. A mask depends on the replicate's seed, the step and the layer alone.
    """

    def draw(seed: tf.Tensor, layer: int) -> tf.Tensor:
        at = tf.stack([seed, step * len(units) + layer])
        return tf.random.stateless_uniform([rows, units[layer]], at, alg="philox")

    drawn = [tf.stack([draw(seed, layer) for seed in tf.unstack(replicate_seeds)]) for layer in range(len(units))]
    return [tf.cast(values >= rate, values.dtype) / (1 - rate) for values in drawn]
