"""The state of W replicates in training: frozen records that TensorFlow carries through loops and compiled programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from study.engine import optimizers
from study.engine.backend import tf
from study.engine.optimizers import Settings, spread
from study.records.network import STATISTICS
from study.settings.schedule import ReduceOnPlateau
from study.settings.spec import TrialSpec

Tensors = Mapping[str, tf.Tensor]
N = TypeVar("N", bound="Nested")


class Nested:
    """Base of dataclasses that TensorFlow takes apart into tensors; a field that is None holds none.

    The protocol is `tensorflow/python/util/custom_nest_protocol.py`.
    """

    def __tf_flatten__(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return tuple(given), tuple(given.values())

    @classmethod
    def __tf_unflatten__(cls: type[N], names: tuple[str, ...], values: tuple[Any, ...]) -> N:
        absent: dict[str, Any] = {field.name: None for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**absent | dict(zip(names, values, strict=True)))


@dataclass(frozen=True)
class EarlyStopping(Nested):
    """Each replicate's best epoch so far, the loss, parameters and predictions it had, and the epochs since; all [W, …]."""

    best_epoch: tf.Tensor
    best_loss: tf.Tensor
    best_parameters: Tensors
    best_predictions: tf.Tensor
    waited: tf.Tensor

    @classmethod
    def start(cls, parameters: Tensors, predictions: tf.Tensor) -> EarlyStopping:
        width = len(predictions)
        none, unknown = tf.zeros([width], tf.int32), tf.fill([width], float("inf"))
        return cls(none, unknown, _copies(parameters), tf.identity(predictions), none)

    def after_epoch(
        self, epoch: tf.Tensor, val: tf.Tensor, parameters: Tensors, predictions: tf.Tensor, min_delta: tf.Tensor
    ) -> EarlyStopping:
        """Return the state after an epoch [W] with validation loss `val` [W], by the rule of Keras' EarlyStopping."""
        better = val < self.best_loss - min_delta
        return EarlyStopping(
            best_epoch=tf.where(better, epoch, self.best_epoch),
            best_loss=tf.where(better, val, self.best_loss),
            best_parameters=where(better, parameters, self.best_parameters),
            best_predictions=where(better, predictions, self.best_predictions),
            waited=tf.where(better, 0, self.waited + 1),
        )


@dataclass(frozen=True)
class Plateau(Nested):
    """The factor of each replicate's learning rate, and what decides when it is reduced; all [W]."""

    factor: tf.Tensor
    best_loss: tf.Tensor
    waited: tf.Tensor
    cooldown: tf.Tensor

    @classmethod
    def start(cls, width: int) -> Plateau:
        none = tf.zeros([width], tf.int32)
        return cls(factor=tf.ones([width]), best_loss=tf.fill([width], float("inf")), waited=none, cooldown=none)

    def after_epoch(self, val: tf.Tensor, settings: Settings, patience: int, cooldown: int) -> Plateau:
        """Return the state after an epoch with validation loss `val` [W], by the rule of Keras' ReduceLROnPlateau."""
        left = tf.maximum(self.cooldown - 1, 0)
        waited = tf.where(self.cooldown > 0, 0, self.waited)
        better = val < self.best_loss - settings["plateau_min_delta"]
        waited = tf.where(better, 0, tf.where(left > 0, waited, waited + 1))
        # the lowest rate may lie above the rate that the training starts with
        lowest = tf.minimum(settings["lowest_factor"], self.factor)
        reduce = ~better & (left == 0) & (waited >= patience) & (self.factor > lowest)
        return Plateau(
            factor=tf.where(reduce, tf.maximum(self.factor * settings["plateau_factor"], lowest), self.factor),
            best_loss=tf.where(better, val, self.best_loss),
            waited=tf.where(reduce, 0, waited),
            cooldown=tf.where(reduce, cooldown, left),
        )


@dataclass(frozen=True)
class MotionState(Nested):
    """Each network after its last epoch, and the step that led there: weights [W, P] and function [W, n × outputs]."""

    weights: tf.Tensor
    weights_step: tf.Tensor
    function: tf.Tensor
    function_step: tf.Tensor


@dataclass(frozen=True)
class State(Nested):
    """Everything that changes from step to step.

    parameters: trainable; statistics: batch normalisation's running ones; averages: moving ones of the parameters, None without
    `optimizer.ema`. All of these are [W, …] by name. slots: the optimizer's, by its groups. step: how many are done.
    active: bool [W], the replicates that still train; trained: [W], the epochs that each has trained. predictions: [W, n_val,
    outputs], of the validated parameters after the last epoch; zeros before the first. motion: None unless the networks are
    followed (see `motion`).
    """

    parameters: Tensors
    statistics: Tensors
    slots: optimizers.Slots
    averages: Tensors | None
    step: tf.Tensor
    active: tf.Tensor
    trained: tf.Tensor
    predictions: tf.Tensor
    early_stopping: EarlyStopping | None
    plateau: Plateau | None
    motion: MotionState | None = None

    @property
    def validated(self) -> dict[str, tf.Tensor]:
        """The parameters that validation uses: the current ones or their averages, and the running statistics."""
        return {**(self.parameters if self.averages is None else self.averages), **self.statistics}

    @property
    def kept(self) -> Tensors:
        """The parameters that a replicate ends with: its best ones where training stops early."""
        return self.validated if self.early_stopping is None else self.early_stopping.best_parameters

    @property
    def kept_predictions(self) -> tf.Tensor:
        """The predictions of the kept parameters on the validation part, [W, n_val, outputs]."""
        return self.predictions if self.early_stopping is None else self.early_stopping.best_predictions

    def frozen_where_stopped(self, before: State) -> State:
        """Return this state, but `before` for replicates that had stopped by then; they no longer use slots, step and motion."""
        names = [name for name, value in vars(self).items() if value is not None and name not in ("slots", "step", "motion")]
        return replace(self, **{name: where(before.active, getattr(self, name), getattr(before, name)) for name in names})


def initial_state(spec: TrialSpec, initial: Tensors, val_rows: int) -> State:
    """Return the state of W replicates before training. initial: their parameters and running statistics, [W, …]."""
    width, outputs = initial[f"bias_{len(spec.model.units)}"].shape
    predictions = tf.zeros([width, val_rows, outputs])
    parameters = {name: value for name, value in initial.items() if not name.startswith(STATISTICS)}
    return State(
        parameters=parameters,
        statistics={name: value for name, value in initial.items() if name not in parameters},
        slots=optimizers.initial_slots(spec.optimizer, parameters),
        averages=None if spec.optimizer.ema is None else _copies(parameters),
        step=tf.constant(0),
        active=tf.fill([width], True),
        trained=tf.zeros([width], tf.int32),
        predictions=predictions,
        early_stopping=None if spec.training.patience is None else EarlyStopping.start(initial, predictions),
        plateau=Plateau.start(width) if isinstance(spec.schedule, ReduceOnPlateau) else None,
    )


def _copies(parameters: Tensors) -> dict[str, tf.Tensor]:
    return {name: tf.identity(value) for name, value in parameters.items()}


def where(condition: tf.Tensor, new: Any, old: Any) -> Any:
    """Choose for each replicate, by `condition` [W], between two structures of tensors [W, …]."""
    return tf.nest.map_structure(lambda n, o: tf.where(spread(condition, n), n, o), new, old)
