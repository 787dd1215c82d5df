"""Update rules, each Keras' own equation for one parameter (keras/src/optimizers).

Continuous settings are inputs, so changing them needs no recompilation. Where Keras computes in double precision before it rounds
(1 − β in most rules), this module does too: 1 − 0.999 rounded in single precision is off by 5e-5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.engine.backend import tf
from study.records.arrays import Floats
from study.settings.optimizer import SGD, Adagrad, Adam, Nadam, Optimizer, RMSprop

Settings = Mapping[str, tf.Tensor]
# the rule's state: its tensors [W, P] for each of `groups`
Slots = tuple[tuple[tf.Tensor, ...], ...]
# gradient, slots, settings (including this step's), step (from 1) → what is added to the parameter, slots
Update = Callable[[tf.Tensor, Sequence[tf.Tensor], Settings, tf.Tensor], tuple[tf.Tensor, tuple[tf.Tensor, ...]]]

LARGE = 8192  # numbers of a network, from which a parameter is updated alone


@dataclass(frozen=True)
class UpdateRule:
    """slots: the number of state tensors. update: the equation."""

    slots: int
    update: Update


def _sgd(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    velocity = slots[0] * settings["momentum"] - gradient * settings["learning_rate"]
    return velocity, (velocity,)


def _sgd_nesterov(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    descent = gradient * settings["learning_rate"]
    velocity = slots[0] * settings["momentum"] - descent
    return velocity * settings["momentum"] - descent, (velocity,)


def _adam_moments(
    gradient: tf.Tensor, slots: Sequence[tf.Tensor], settings: Settings, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    count = tf.cast(step, gradient.dtype)
    correction = tf.sqrt(1 - tf.pow(settings["beta_2"], count)) / (1 - tf.pow(settings["beta_1"], count))
    mean = slots[0] + (gradient - slots[0]) * settings["1-beta_1"]
    square = slots[1] + (tf.square(gradient) - slots[1]) * settings["1-beta_2"]
    return settings["learning_rate"] * correction, mean, square


def _adam(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    alpha, mean, square = _adam_moments(gradient, slots, settings, step)
    return -mean * alpha / (tf.sqrt(square) + settings["epsilon"]), (mean, square)


def _amsgrad(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    alpha, mean, square = _adam_moments(gradient, slots, settings, step)
    largest = tf.maximum(slots[2], square)
    return -mean * alpha / (tf.sqrt(largest) + settings["epsilon"]), (mean, square, largest)


def _adamax(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    power = tf.pow(settings["beta_1"], tf.cast(step, gradient.dtype))
    mean = slots[0] + (gradient - slots[0]) * settings["1-beta_1"]
    largest = tf.maximum(settings["beta_2"] * slots[1], tf.abs(gradient))
    return -settings["learning_rate"] * mean / ((1 - power) * (largest + settings["epsilon"])), (mean, largest)


def _nadam(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    mean = slots[0] + (gradient - slots[0]) * (1 - settings["beta_1"])
    square = slots[1] + (tf.square(gradient) - slots[1]) * (1 - settings["beta_2"])
    ahead = settings["ahead"] * mean + settings["now"] * gradient
    unbiased = square / (1 - tf.pow(settings["beta_2"], tf.cast(step, gradient.dtype)))
    return -ahead * settings["learning_rate"] / (tf.sqrt(unbiased) + settings["epsilon"]), (mean, square)


def _rmsprop(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    square = settings["rho"] * slots[0] + settings["1-rho"] * tf.square(gradient)
    increment = settings["learning_rate"] * gradient / tf.sqrt(square + settings["epsilon"])
    velocity = settings["momentum"] * slots[1] + increment
    return -velocity, (square, velocity)


def _rmsprop_centered(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    square = settings["rho"] * slots[0] + settings["1-rho"] * tf.square(gradient)
    mean = settings["rho"] * slots[2] + settings["1-rho"] * gradient
    increment = settings["learning_rate"] * gradient / tf.sqrt(square - tf.square(mean) + settings["epsilon"])
    velocity = settings["momentum"] * slots[1] + increment
    return -velocity, (square, velocity, mean)


def _adagrad(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    total = slots[0] + tf.square(gradient)
    return -settings["learning_rate"] * gradient / tf.sqrt(total + settings["epsilon"]), (total,)


def _adadelta(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    square = settings["rho"] * slots[0] + settings["1-rho"] * tf.square(gradient)
    change = -tf.sqrt(slots[1] + settings["epsilon"]) * gradient / tf.sqrt(square + settings["epsilon"])
    moved = settings["rho"] * slots[1] + settings["1-rho"] * tf.square(change)
    return settings["learning_rate"] * change, (square, moved)


def _lion(gradient, slots, settings, step):  # type: ignore[no-untyped-def]
    # the complements in single precision, as in Keras: a sign near zero depends on the last digit
    direction = tf.sign(slots[0] * settings["beta_1"] + gradient * (1 - settings["beta_1"]))
    return -settings["learning_rate"] * direction, (slots[0] * settings["beta_2"] + gradient * (1 - settings["beta_2"]),)


RULES: dict[str, UpdateRule] = {
    "sgd": UpdateRule(1, _sgd),
    "sgd_nesterov": UpdateRule(1, _sgd_nesterov),
    "adam": UpdateRule(2, _adam),
    "adam_amsgrad": UpdateRule(3, _amsgrad),
    "adamax": UpdateRule(2, _adamax),
    "nadam": UpdateRule(2, _nadam),
    "rmsprop": UpdateRule(2, _rmsprop),
    "rmsprop_centered": UpdateRule(3, _rmsprop_centered),
    "adagrad": UpdateRule(1, _adagrad),
    "adadelta": UpdateRule(2, _adadelta),
    "lion": UpdateRule(1, _lion),
}


def rule_name(optimizer: Optimizer) -> str:
    """Return the name of the optimizer's rule: the settings that change the program's graph."""
    match optimizer:
        case SGD(nesterov=True):
            return "sgd_nesterov"
        case Adam(amsgrad=amsgrad):  # AdamW differs in a default only
            return "adam_amsgrad" if amsgrad else "adam"
        case RMSprop(centered=True):
            return "rmsprop_centered"
    return optimizer.name


def settings_of(optimizer: Optimizer) -> dict[str, float]:
    """Return the settings that are inputs of the program: all numbers but the learning rate, and complements of the decays."""
    numbers = {
        field.name: getattr(optimizer, field.name)
        for field in dataclasses.fields(optimizer)
        if field.name != "learning_rate" and type(getattr(optimizer, field.name)) is float
    }
    return numbers | {f"1-{name}": 1 - numbers[name] for name in ("beta_1", "beta_2", "rho") if name in numbers}


def settings_by_step(optimizer: Optimizer, steps: int) -> dict[str, Floats]:
    """Return further inputs that depend only on the step, [steps] each: the products of Nadam's rising momentum."""
    if not isinstance(optimizer, Nadam):
        return {}
    momenta = optimizer.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1, steps + 2, dtype=np.float64))
    products = np.cumprod(momenta)
    factors = {"ahead": momenta[1:] / (1 - products[1:]), "now": (1 - momenta[:-1]) / (1 - products[:-1])}
    return {name: values.astype(np.float32) for name, values in factors.items()}


def groups(parameters: Mapping[str, tf.Tensor]) -> list[list[str]]:
    """Return the names of the parameters that are updated together as one vector: each large one alone, and all others.

    Compiling an update for each small parameter takes longer than training; copying large ones takes time in every step.
    """
    names = sorted(parameters)
    alone = [name for name in names if math.prod(parameters[name].shape[1:]) >= LARGE]
    together = [name for name in names if name not in alone]
    return [*([name] for name in alone), *([together] if together else [])]


def flat(tensors: Mapping[str, tf.Tensor], names: Sequence[str]) -> tf.Tensor:
    """Return these tensors [W, …] side by side, [W, P]."""
    return tf.concat([tf.reshape(tensors[name], [tensors[name].shape[0], -1]) for name in names], axis=1)


def initial_slots(optimizer: Optimizer, parameters: Mapping[str, tf.Tensor]) -> Slots:
    """Return the rule's state before the first step."""
    start = optimizer.initial_accumulator_value if isinstance(optimizer, Adagrad) else 0.0
    shapes = [flat(parameters, names).shape for names in groups(parameters)]
    return tuple(tuple(tf.fill(shape, start) for _ in range(RULES[rule_name(optimizer)].slots)) for shape in shapes)


def clip(gradients: Mapping[str, tf.Tensor], settings: Settings) -> Mapping[str, tf.Tensor]:
    """Clip the gradients [W, …] by the settings, each replicate by its own norm."""
    if "clip_norm" in settings:
        squares = [tf.reduce_sum(tf.square(g), axis=list(range(1, g.shape.rank))) for g in gradients.values()]
        norm = tf.sqrt(tf.add_n(squares))
        scale = settings["clip_norm"] * tf.minimum(1 / norm, 1 / settings["clip_norm"])
        return {name: g * spread(scale, g) for name, g in gradients.items()}
    if "clip_value" in settings:
        return {name: tf.clip_by_value(g, -settings["clip_value"], settings["clip_value"]) for name, g in gradients.items()}
    return gradients


def spread(values: tf.Tensor, over: tf.Tensor) -> tf.Tensor:
    """Reshape values [W] so that they multiply `over` [W, …]; a scalar stays a scalar."""
    return tf.reshape(values, [-1] + [1] * (over.shape.rank - 1)) if values.shape.rank else values


def apply(
    rule: UpdateRule,
    gradients: Mapping[str, tf.Tensor],
    parameters: Mapping[str, tf.Tensor],
    slots: Slots,
    settings: Settings,
    step: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], Slots]:
    """Take one step for all parameters, in Keras' order: clip the gradients, decay the weights, then update.

    settings["learning_rate"] is one number, or one per replicate, [W].
    """
    rate, clipped = settings["learning_rate"], clip(gradients, settings)
    new_parameters, new_slots = {}, []
    for names, before in zip(groups(parameters), slots, strict=True):
        gradient = flat(clipped, names)
        change, after = rule.update(gradient, before, {**settings, "learning_rate": spread(rate, gradient)}, step)
        new_slots.append(after)
        sizes = [math.prod(parameters[name].shape[1:]) for name in names]
        for name, own in zip(names, tf.split(change, sizes, axis=1), strict=True):
            parameter = parameters[name]
            decayed = parameter - parameter * settings["weight_decay"] * spread(rate, parameter)
            new_parameters[name] = decayed + tf.reshape(own, parameter.shape)
    return {name: new_parameters[name] for name in parameters}, tuple(new_slots)


def average(
    averages: Mapping[str, tf.Tensor], parameters: Mapping[str, tf.Tensor], settings: Settings, step: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return the moving averages after a step (from 0); the first are the parameters themselves, as in Keras."""
    momentum = tf.where(step > 0, settings["ema"], 0.0)
    return {name: momentum * averages[name] + (1 - momentum) * new for name, new in parameters.items()}
