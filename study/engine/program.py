"""The compiled program: one XLA call trains W replicates for a whole leg.

In a program of one width, a replicate's bits depend neither on its position nor on its
neighbours; programs of different widths differ in the last digits. So a replicate ends with the same weights in a cohort of any
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from study.engine import losses, model, optimizers
from study.engine.backend import tf
from study.engine.motion import after_epoch, curve_count
from study.engine.state import Nested, State
from study.settings.model import BATCH


@dataclass(frozen=True)
class Signature:
    """The constants that a program is compiled for. Everything else is an input.

    settings: the names of the settings in use; clipping that is off, for instance, isn't in the program. datasets: how many the
    W replicates have among them; 0 where all of them share one. width: W. stops: a replicate may stop before the others. plateau:
    patience and cooldown of a learning rate that is reduced on a plateau. motion: the networks are followed. weighted: rows have
    weights.
    """

    sizes: tuple[int, ...]
    activation: str
    normalisation: str | None
    loss: str
    rule: str
    settings: frozenset[str]
    rows: int
    val_rows: int
    batch_size: int
    steps: int
    leg_epochs: int
    datasets: int
    width: int
    stops: bool
    patience: int | None
    plateau: tuple[int, int] | None
    motion: bool
    weighted: bool

    @property
    def partial(self) -> bool:
        """True if an epoch's last batch is smaller than the others."""
        return self.steps * self.batch_size > self.rows


@dataclass(frozen=True)
class LegResult(Nested):
    """The result of one call. curves: [epochs, W, C], in the order of `curve_names`, and then those of `motion`, if followed."""

    state: State
    curves: tf.Tensor


def curve_names(signature: Signature) -> tuple[str, ...]:
    """Return the names of the first curves; `rate_factor` only where the learning rate is reduced on a plateau."""
    return ("train_loss", "val_loss", *["rate_factor"] * (signature.plateau is not None))


@lru_cache(maxsize=256)
def program(signature: Signature) -> Any:
    """Return the `tf.function` that trains a leg of this signature; its first call compiles it.

    (state, data, orders [W, epochs, steps, batch], settings, by_step {name: [epochs × steps]}, dropout seeds [W], epochs,
    first epoch that is followed) → `LegResult`.

    It trains only the first `epochs` of a leg, so a short last leg needs no program of its own. A replicate that has stopped keeps
    its state, and its losses are NaN from then on. data: as from `parts.arrays_of`; of several datasets, the training parts follow
    one another, the validation parts are stacked, and the number of each replicate's dataset comes last, [W].
    Weights multiply the losses of rows, whose mean is over their number, as in Keras.
    """
    sig, length = signature, signature.leg_epochs
    rule, row_losses = optimizers.RULES[sig.rule], losses.LOSSES[sig.loss]

    def leg(state, data, orders, settings, by_step, dropout_seeds, epochs, followed_from):  # type: ignore[no-untyped-def]
        x, y, x_val, y_val, *more = data
        weights, *weights_val = more[: 2 * sig.weighted] or [None]
        if sig.datasets:
            dataset = more[-1]
            x_val, y_val, *weights_val = (tf.gather(values, dataset) for values in (x_val, y_val, *weights_val))
            first = sig.rows * dataset[:, None]
        else:
            x_val, y_val, *weights_val = (
                tf.broadcast_to(values, [sig.width, *values.shape]) for values in (x_val, y_val, *weights_val)
            )

        def take(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            return tf.gather(values, rows + first if sig.datasets else rows)

        def train_step(index, epoch, total, state):  # type: ignore[no-untyped-def]
            at = epoch * sig.steps + index
            rows = tf.gather(flat_orders, at, axis=1)
            now = settings | {name: tf.gather(values, at) for name, values in by_step.items()}
            if sig.plateau:
                now["learning_rate"] *= state.plateau.factor
            masks: Sequence[tf.Tensor] = ()
            if "dropout" in settings:
                masks = model.dropout_masks(sig.sizes[1:-1], sig.batch_size, settings["dropout"], dropout_seeds, state.step)
            taken = tf.maximum(rows, 0) if sig.partial else rows
            if sig.normalisation == BATCH:
                counted = tf.cast(rows >= 0, tf.float32)[..., None] if sig.partial else None
                normalise: model.Normalise | None = model.ByBatch(settings, counted)
            else:
                normalise = model.normaliser(sig.normalisation, settings, state.parameters)
            with tf.GradientTape() as tape:
                tape.watch(state.parameters)
                outputs = model.outputs(state.parameters, take(x, taken), sig.activation, normalise, masks)
                by_row = row_losses(take(y, taken), outputs, now)
                if sig.weighted:
                    by_row *= take(weights, taken)
                loss, count = _mean_of_batch(by_row, rows) if sig.partial else (tf.reduce_mean(by_row, axis=1), 1.0)
                # the gradient of the sum holds each replicate's own gradient
                objective = tf.reduce_sum(loss) + penalty(state.parameters, settings)
            gradients = tape.gradient(objective, state.parameters)
            parameters, slots = optimizers.apply(rule, gradients, state.parameters, state.slots, now, state.step + 1)
            moved = replace(state, parameters=parameters, slots=slots, step=state.step + 1)
            if state.averages is not None:
                moved = replace(moved, averages=optimizers.average(state.averages, parameters, settings, state.step))
            if isinstance(normalise, model.ByBatch):
                moved = replace(moved, statistics=normalise.running(state.statistics))
            return index + 1, epoch, total + loss * count, moved

        def train_epoch(epoch, curves, before):  # type: ignore[no-untyped-def]
            start = (0, epoch, tf.zeros([sig.width]), before)
            _, _, total, state = tf.while_loop(lambda index, *_: index < sig.steps, train_step, start)
            mean = total / (sig.rows if sig.partial else sig.steps)
            validated = state.validated
            outputs = model.outputs(validated, x_val, sig.activation, model.normaliser(sig.normalisation, settings, validated))
            state = replace(state, predictions=outputs)
            val_by_row = row_losses(y_val, outputs, settings)
            if sig.weighted:
                val_by_row *= weights_val[0]
            val = tf.reduce_mean(val_by_row, axis=1)
            ended = [tf.stack([mean, val, *([before.plateau.factor] if sig.plateau else [])], axis=1)]
            if state.motion is not None:
                # a loop of one turn or none: XLA copies what a condition passes through, every epoch
                _, place, moved = tf.while_loop(
                    lambda left, *_: left,
                    lambda left, place, _: (False, *after_epoch(place, validated, outputs, sig.loss)),
                    (epoch >= followed_from, before.motion, unfollowed),
                )
                state = replace(state, motion=place)
                ended.append(moved)
            row = tf.concat(ended, axis=1)
            if sig.plateau:
                state = replace(state, plateau=state.plateau.after_epoch(val, settings, *sig.plateau))
            if sig.patience is not None:
                stopping = state.early_stopping.after_epoch(state.trained + 1, val, validated, outputs, settings["min_delta"])
                state = replace(state, early_stopping=stopping, active=state.active & (stopping.waited < sig.patience))
            if sig.stops:
                state = state.frozen_where_stopped(before)
                row = tf.where(before.active[:, None], row, np.nan)
            state = replace(state, trained=state.trained + tf.cast(before.active, tf.int32))
            return epoch + 1, curves.write(epoch, row), state

        flat_orders = tf.reshape(orders, [sig.width, length * sig.steps, sig.batch_size])
        unfollowed = tf.fill([sig.width, curve_count(sig.loss)], np.nan)
        # an array of TensorFlow's: a scatter into a tensor would check its bounds, which costs compiling
        curves = tf.TensorArray(tf.float32, length, element_shape=[sig.width, None])
        _, curves, state = tf.while_loop(lambda e, *_: e < epochs, train_epoch, (0, curves, state))
        return LegResult(state, curves.stack())

    return tf.function(leg, jit_compile=True, reduce_retracing=False, autograph=False)


def result_structure(state: State) -> LegResult:
    """Return the structure of a program's result: `state` as it was, and a placeholder."""
    return LegResult(state, tf.constant(0))


def penalty(parameters: model.Tensors, settings: optimizers.Settings) -> tf.Tensor:
    """Return Σ over the replicates of l1 · Σ|w| + l2 · Σw², w being the kernels."""
    total = tf.zeros([], parameters["kernel_0"].dtype)
    for kernel in (value for name, value in parameters.items() if name.startswith("kernel")):
        if "l1" in settings:
            total += settings["l1"] * tf.reduce_sum(tf.abs(kernel))
        if "l2" in settings:
            total += settings["l2"] * tf.reduce_sum(tf.square(kernel))
    return total


def _mean_of_batch(by_row: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the mean loss [W] of a batch's rows without its padding (-1), and the number of these rows [W]."""
    counted = tf.cast(rows >= 0, by_row.dtype)
    count = tf.reduce_sum(counted, axis=1)
    return tf.reduce_sum(tf.where(rows >= 0, by_row, 0.0), axis=1) / count, count
