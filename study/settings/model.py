"""Settings of the architecture."""

from __future__ import annotations

from dataclasses import dataclass

from study.settings.rules import SettingsSection, integer, listing, number, one_of, optional, setting

ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus", "linear")
BATCH, LAYER = "batch", "layer"
WIDTH, DEPTH = integer(1, 65_536), integer(1, 100)


@dataclass(frozen=True)
class Model(SettingsSection):
    """A multilayer perceptron: the hidden layers' sizes and their activation. The output layer is linear (logits).

    `dropout` is the share of each hidden layer's outputs that a training step sets to zero. Training minimises the loss plus
    `l1` · Σ|w| + `l2` · Σw² over all kernels; reported losses don't include these penalties.

    `normalisation` (batch or layer) acts between a hidden layer's kernel and its activation, like Keras' layer with `norm_momentum`
    (of batch normalisation's running statistics) and `norm_epsilon`; its offset is the hidden layer's bias.
    """

    units: tuple[int, ...] = setting((64, 64), listing(WIDTH, at_least=1))
    activation: str = setting("relu", one_of(ACTIVATIONS))
    dropout: float = setting(0.0, number(0, 1, below=True))
    l1: float = setting(0.0, number(0))
    l2: float = setting(0.0, number(0))
    normalisation: str | None = setting(None, optional(one_of((BATCH, LAYER))))
    norm_momentum: float = setting(0.99, number(0, 1, below=True))
    norm_epsilon: float = setting(0.001, number(0, above=True))
