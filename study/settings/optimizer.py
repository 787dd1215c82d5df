"""Optimizers."""

from __future__ import annotations

from dataclasses import dataclass

from study.settings.rules import FLAG, Kind, number, registry, setting

# single precision rounds a larger decay to 1 and a smaller epsilon, squared or not, to 0
DECAY, EPSILON = number(0, 0.999999), number(1e-30)


@dataclass(frozen=True)
class Optimizer(Kind):
    """Update rules and defaults are Keras'. `weight_decay` is decoupled: w -= learning_rate · weight_decay · w at each step."""

    learning_rate: float = setting(0.001, number(0, above=True))
    weight_decay: float = setting(0.0, number(0))


@dataclass(frozen=True)
class SGD(Optimizer):
    name = "sgd"
    learning_rate: float = setting(0.01, number(0, above=True))
    momentum: float = setting(0.0, number(0, 1))
    nesterov: bool = setting(False, FLAG)


@dataclass(frozen=True)
class Adam(Optimizer):
    name = "adam"
    beta_1: float = setting(0.9, DECAY)
    beta_2: float = setting(0.999, DECAY)
    epsilon: float = setting(1e-7, EPSILON)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    name = "rmsprop"
    rho: float = setting(0.9, DECAY)
    momentum: float = setting(0.0, number(0, 1))
    epsilon: float = setting(1e-7, EPSILON)


KINDS = registry(Adam, SGD, RMSprop)
