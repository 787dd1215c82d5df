"""The MLP with the replica axis first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from study.engine.backend import tf
from study.records.network import STATISTICS
from study.settings.model import BATCH

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


Tensors = Mapping[str, tf.Tensor]
# layer, its x @ kernel [W, n, units] → the same, normalised to mean 0 and variance 1
Normalise = Callable[[int, tf.Tensor], tf.Tensor]


def outputs(
    parameters: Tensors, x: tf.Tensor, activation: str, normalise: Normalise | None = None, masks: Sequence[tf.Tensor] = ()
) -> tf.Tensor:
    """Return the output layer's linear values, [W, n, outputs].

    parameters: as in `Network`, [W, …]; x: [W, n, inputs]. normalise: for the layers that have a scale. masks: factors of each
    hidden layer's outputs, [W, n, units]; none without dropout.
    """
    depth = sum(name.startswith("kernel_") for name in parameters)
    for layer in range(depth):
        x = tf.matmul(x, parameters[f"kernel_{layer}"])
        if normalise and f"scale_{layer}" in parameters:
            x = normalise(layer, x) * parameters[f"scale_{layer}"][:, None, :]
        x += parameters[f"bias_{layer}"][:, None, :]
        if layer < depth - 1:
            x = ACTIVATIONS[activation](x)
            if masks:
                x *= masks[layer]
    return x


def normaliser(kind: str | None, settings: Tensors, parameters: Tensors) -> Normalise | None:
    """Return layer normalisation, batch normalisation by the running statistics among `parameters`, or None."""

    def normalise(layer: int, z: tf.Tensor) -> tf.Tensor:
        if kind == BATCH:
            mean, variance = (parameters[f"{name}_{layer}"][:, None, :] for name in STATISTICS)
        else:
            mean, variance = tf.nn.moments(z, axes=[2], keepdims=True)
        return (z - mean) * tf.math.rsqrt(variance + settings["norm_epsilon"])

    return normalise if kind else None


class ByBatch:
    """Batch normalisation in training: by the batch's own statistics, which `running` then adds to the running ones.

    counted: 1 for the rows [W, n, 1] of the batch, 0 for those that pad it; None without padding.
    """

    def __init__(self, settings: Tensors, counted: tf.Tensor | None) -> None:
        self._settings, self._counted = settings, counted
        self._moments: dict[str, tf.Tensor] = {}

    def __call__(self, layer: int, z: tf.Tensor) -> tf.Tensor:
        if self._counted is None:
            mean, variance = tf.nn.moments(z, axes=[1], keepdims=True)
        else:
            mean, variance = tf.nn.weighted_moments(z, axes=[1], frequency_weights=self._counted, keepdims=True)
        self._moments |= {f"mean_{layer}": mean[:, 0], f"variance_{layer}": variance[:, 0]}
        return (z - mean) * tf.math.rsqrt(variance + self._settings["norm_epsilon"])

    def running(self, statistics: Tensors) -> dict[str, tf.Tensor]:
        """Return the running statistics after this batch; like Keras, take the batch's variance for the population's."""
        momentum = self._settings["norm_momentum"]
        return {name: old * momentum + self._moments[name] * (1 - momentum) for name, old in statistics.items()}


def dropout_masks(units: Sequence[int], rows: int, rate: tf.Tensor, replicate_seeds: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
    """Return for each hidden layer [W, rows, units]: 0 with probability `rate`, else 1 / (1 − rate), Keras' scale.

    replicate_seeds: int32 [W]. A mask depends only on the replicate's seed, the step and the layer.
    """

    def draw(seed: tf.Tensor, layer: int) -> tf.Tensor:
        at = tf.stack([seed, step * len(units) + layer])
        return tf.random.stateless_uniform([rows, units[layer]], at, alg="philox")

    drawn = [tf.stack([draw(seed, layer) for seed in tf.unstack(replicate_seeds)]) for layer in range(len(units))]
    return [tf.cast(values >= rate, values.dtype) / (1 - rate) for values in drawn]
