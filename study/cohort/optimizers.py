"""Update rules, each Keras' own equation for one parameter (keras/src/optimizers).

Continuous settings are inputs, so that another value compiles nothing anew. What Keras computes in double precision before it
rounds (1 − β) is computed so here too: 1 − 0.999 rounded in single precision is off by 5e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from study.settings.optimizer import SGD, Adam, Optimizer, RMSprop

Settings = Mapping[str, tf.Tensor]
# gradient, parameter, slots, learning rate, settings, step (from 1) → parameter, slots
Update = Callable[
    [tf.Tensor, tf.Tensor, Sequence[tf.Tensor], tf.Tensor, Settings, tf.Tensor], tuple[tf.Tensor, tuple[tf.Tensor, ...]]
]


@dataclass(frozen=True)
class Rule:
    """`slots` state tensors a parameter, all starting at zero, and the update."""

    slots: int
    update: Update


def _sgd(gradient, parameter, slots, rate, settings, step):  # type: ignore[no-untyped-def]
    velocity = slots[0] * settings["momentum"] - gradient * rate
    return parameter + velocity, (velocity,)


def _sgd_nesterov(gradient, parameter, slots, rate, settings, step):  # type: ignore[no-untyped-def]
    velocity = slots[0] * settings["momentum"] - gradient * rate
    return parameter + (velocity * settings["momentum"] - gradient * rate), (velocity,)


def _adam(gradient, parameter, slots, rate, settings, step):  # type: ignore[no-untyped-def]
    count = tf.cast(step, parameter.dtype)
    alpha = rate * tf.sqrt(1 - tf.pow(settings["beta_2"], count)) / (1 - tf.pow(settings["beta_1"], count))
    mean = slots[0] + (gradient - slots[0]) * settings["1-beta_1"]
    square = slots[1] + (tf.square(gradient) - slots[1]) * settings["1-beta_2"]
    return parameter - mean * alpha / (tf.sqrt(square) + settings["epsilon"]), (mean, square)


def _rmsprop(gradient, parameter, slots, rate, settings, step):  # type: ignore[no-untyped-def]
    square = settings["rho"] * slots[0] + settings["1-rho"] * tf.square(gradient)
    velocity = settings["momentum"] * slots[1] + rate * gradient / tf.sqrt(square + settings["epsilon"])
    return parameter - velocity, (square, velocity)


RULES: dict[str, Rule] = {
    "sgd": Rule(1, _sgd),
    "sgd_nesterov": Rule(1, _sgd_nesterov),
    "adam": Rule(2, _adam),
    "rmsprop": Rule(2, _rmsprop),
}


def rule_name(optimizer: Optimizer) -> str:
    """The name of the optimizer's rule: what of its settings changes the program's graph."""
    return "sgd_nesterov" if isinstance(optimizer, SGD) and optimizer.nesterov else optimizer.name


def settings_of(optimizer: Optimizer) -> dict[str, float]:
    """The continuous settings that the rule reads, weight decay included and learning rate not."""
    decay = {"weight_decay": optimizer.weight_decay}
    match optimizer:
        case SGD():
            return decay | {"momentum": optimizer.momentum}
        case Adam(beta_1=b1, beta_2=b2, epsilon=epsilon):
            return decay | {"beta_1": b1, "1-beta_1": 1 - b1, "beta_2": b2, "1-beta_2": 1 - b2, "epsilon": epsilon}
        case RMSprop(rho=rho, momentum=momentum, epsilon=epsilon):
            return decay | {"rho": rho, "1-rho": 1 - rho, "momentum": momentum, "epsilon": epsilon}
    raise NotImplementedError(optimizer)


def apply(
    rule: Rule,
    gradients: Sequence[tf.Tensor],
    parameters: Sequence[tf.Tensor],
    slots: Sequence[Sequence[tf.Tensor]],
    rate: tf.Tensor,
    settings: Settings,
    step: tf.Tensor,
) -> tuple[list[tf.Tensor], list[tuple[tf.Tensor, ...]]]:
    """One step for all parameters: decoupled weight decay first, then the update, in Keras' order."""
    new_parameters, new_slots = [], []
    for gradient, parameter, state in zip(gradients, parameters, slots, strict=True):
        decayed = parameter - parameter * settings["weight_decay"] * rate
        moved, state = rule.update(gradient, decayed, state, rate, settings, step)
        new_parameters.append(moved)
        new_slots.append(state)
    return new_parameters, new_slots
