"""What watches each replicate's validation loss at an epoch's end, with the rules of Keras' callbacks of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.engine.backend import tf
from study.engine.optimizers import Settings, spread

State = Mapping[str, Any]


def start_early_stopping(parameters: Mapping[str, tf.Tensor], width: int) -> dict[str, Any]:
    return {
        "best_epoch": tf.zeros([width], tf.int32),
        "best_loss": tf.fill([width], float("inf")),
        "best_parameters": {name: tf.identity(value) for name, value in parameters.items()},
        "waited": tf.zeros([width], tf.int32),
    }


def stop_early(
    state: State, val: tf.Tensor, parameters: Mapping[str, tf.Tensor], settings: Settings, patience: int
) -> dict[str, Any]:
    """After an epoch: the best parameters [W, …] so far, and which replicates go on, [W]."""
    better = val < state["best_loss"] - settings["min_delta"]
    waited = tf.where(better, 0, state["waited"] + 1)
    return {
        "active": state["active"] & (waited < patience),
        "best_epoch": tf.where(better, state["trained"] + 1, state["best_epoch"]),
        "best_loss": tf.where(better, val, state["best_loss"]),
        "best_parameters": {
            name: tf.where(spread(better, new), new, state["best_parameters"][name]) for name, new in parameters.items()
        },
        "waited": waited,
    }


def start_plateau(width: int) -> dict[str, Any]:
    return {
        "rate_factor": tf.ones([width]),
        "plateau_best": tf.fill([width], float("inf")),
        "plateau_waited": tf.zeros([width], tf.int32),
        "cooldown": tf.zeros([width], tf.int32),
    }


def reduce_on_plateau(state: State, val: tf.Tensor, settings: Settings, patience: int, cooldown: int) -> dict[str, Any]:
    """After an epoch: what each replicate's learning rate is multiplied by, [W]."""
    left = tf.maximum(state["cooldown"] - 1, 0)
    cooling = state["cooldown"] > 0
    waited = tf.where(cooling, 0, state["plateau_waited"])
    better = val < state["plateau_best"] - settings["plateau_min_delta"]
    waited = tf.where(better, 0, tf.where(left > 0, waited, waited + 1))
    # the lowest rate may lie above the rate that the training starts with
    lowest = tf.minimum(settings["lowest_factor"], state["rate_factor"])
    reduce = ~better & (left == 0) & (waited >= patience) & (state["rate_factor"] > lowest)
    return {
        "rate_factor": tf.where(
            reduce, tf.maximum(state["rate_factor"] * settings["plateau_factor"], lowest), state["rate_factor"]
        ),
        "plateau_best": tf.where(better, val, state["plateau_best"]),
        "plateau_waited": tf.where(reduce, 0, waited),
        "cooldown": tf.where(reduce, cooldown, left),
    }
