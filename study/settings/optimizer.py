"""Settings of the optimizer. Update rules and defaults are Keras'."""

from __future__ import annotations

from dataclasses import dataclass

from study.errors import BadInput, Fault
from study.settings.rules import FLAG, Kind, number, optional, registry, setting

# single precision rounds a larger decay to 1 and a smaller epsilon, squared or not, to 0
DECAY, EPSILON = number(0, 0.999999), number(1e-30)
MOMENTUM = number(0, 1)


@dataclass(frozen=True)
class Optimizer(Kind):
    """`weight_decay` is decoupled: w -= learning_rate · weight_decay · w at each step.

    Gradients are clipped by `clip_value` (each element) or by `clip_norm` (the norm of all gradients of one network together).
    With `ema`, the average w̄ = ema · w̄ + (1 − ema) · w after each step is validated and kept instead of the weights.
    """

    learning_rate: float = setting(0.001, number(0, above=True))
    weight_decay: float = setting(0.0, number(0))
    clip_value: float | None = setting(None, optional(number(0, above=True)))
    clip_norm: float | None = setting(None, optional(number(0, above=True)))
    ema: float | None = setting(None, optional(DECAY))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_value is not None and self.clip_norm is not None:
            raise BadInput([Fault("clip_value", self.clip_value, "null where clip_norm is set")])


@dataclass(frozen=True)
class SGD(Optimizer):
    name = "sgd"
    learning_rate: float = setting(0.01, number(0, above=True))
    momentum: float = setting(0.0, MOMENTUM)
    nesterov: bool = setting(False, FLAG)


@dataclass(frozen=True)
class Adam(Optimizer):
    name = "adam"
    beta_1: float = setting(0.9, DECAY)
    beta_2: float = setting(0.999, DECAY)
    epsilon: float = setting(1e-7, EPSILON)
    amsgrad: bool = setting(False, FLAG)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay by default; in both, as in Keras, the decay is decoupled."""

    name = "adamw"
    weight_decay: float = setting(0.004, number(0))


@dataclass(frozen=True)
class Adamax(Optimizer):
    name = "adamax"
    beta_1: float = setting(0.9, DECAY)
    beta_2: float = setting(0.999, DECAY)
    epsilon: float = setting(1e-7, EPSILON)


@dataclass(frozen=True)
class Nadam(Optimizer):
    name = "nadam"
    beta_1: float = setting(0.9, DECAY)
    beta_2: float = setting(0.999, DECAY)
    epsilon: float = setting(1e-7, EPSILON)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    name = "rmsprop"
    rho: float = setting(0.9, DECAY)
    momentum: float = setting(0.0, MOMENTUM)
    epsilon: float = setting(1e-7, EPSILON)
    centered: bool = setting(False, FLAG)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    name = "adagrad"
    initial_accumulator_value: float = setting(0.1, number(0))
    epsilon: float = setting(1e-7, EPSILON)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    name = "adadelta"
    rho: float = setting(0.95, DECAY)
    epsilon: float = setting(1e-7, EPSILON)


@dataclass(frozen=True)
class Lion(Optimizer):
    name = "lion"
    beta_1: float = setting(0.9, DECAY)
    beta_2: float = setting(0.99, DECAY)


KINDS = registry(SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Lion)
