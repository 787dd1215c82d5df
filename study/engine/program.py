"""The compiled program: a whole leg of training for W replicates in one XLA call.

A program always trains WIDTH replicates. In a program of one width a replicate's bits depend neither on its place nor on its
neighbours; programs of different widths differ in the last digits. So a replicate's final weights are the same in a cohort of
any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from study.engine import losses, model, optimizers, stopping
from study.engine.backend import tf
from study.records.network import STATISTICS
from study.settings.model import BATCH
from study.settings.spec import TrialSpec

# `benchmarks.limits` on two cores, ms a network of the source's workload in cohorts of 1, 4, 8 and 32 at width 1: 51, 25, 21, 18;
# 2: 47, 16, 13, 12; 4: 77, 21, 13, 10.5; 8: 173, 47, 23, 10. Four is near the best for eight replicates and more.
WIDTH = 4


@dataclass(frozen=True)
class Signature:
    """What a program is compiled for. Whatever is not here is an input.

    `settings` are the names of the settings that are given: a clipping that isn't set isn't in the program. `own_data`: the data
    have a replica axis. `stops`: replicates may stop before the others. `plateau`: patience and cooldown of a learning rate that
    is reduced on a plateau.
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
    own_data: bool
    stops: bool
    patience: int | None
    plateau: tuple[int, int] | None

    @property
    def partial(self) -> bool:
        """Whether an epoch's last batch is smaller than the others."""
        return self.steps * self.batch_size > self.rows


@lru_cache(maxsize=256)
def program(signature: Signature) -> Any:
    """The leg of this signature, a `tf.function`; it is compiled at its first call.

    (state, data, orders [W, epochs, steps, batch], settings, by_step {name: [epochs × steps]}, dropout seeds [W], epochs) →
    (state, curves {train_loss, val_loss, rate_factor: [epochs, W]}, predictions [W, n_val, outputs], finite [W]). The state is
    what `initial_state` makes. Only the first `epochs` of a leg are trained, so that a short last leg needs no program of its
    own. A replicate that has stopped keeps its state, and its losses are NaN from then on.
    """
    sig, length = signature, signature.leg_epochs
    rule, row_losses = optimizers.RULES[sig.rule], losses.LOSSES[sig.loss]

    def leg(state, data, orders, settings, by_step, dropout_seeds, epochs):  # type: ignore[no-untyped-def]
        x, y, x_val, y_val = data
        if not sig.own_data:
            x_val, y_val = (tf.broadcast_to(a, [WIDTH, *a.shape]) for a in (x_val, y_val))
        take = partial(tf.gather, batch_dims=int(sig.own_data))

        def predict(parameters: model.Tensors) -> tf.Tensor:
            return model.outputs(parameters, x_val, sig.activation, model.normaliser(sig.normalisation, settings, parameters))

        def train_step(index, epoch, total, state):  # type: ignore[no-untyped-def]
            rows = orders[:, epoch, index]
            now = settings | {name: values[epoch * sig.steps + index] for name, values in by_step.items()}
            if sig.plateau:
                now["learning_rate"] *= state["rate_factor"]
            masks: Sequence[tf.Tensor] = ()
            if "dropout" in settings:
                masks = model.dropout_masks(sig.sizes[1:-1], sig.batch_size, settings["dropout"], dropout_seeds, state["step"])
            taken = tf.maximum(rows, 0) if sig.partial else rows
            if sig.normalisation == BATCH:
                counted = tf.cast(rows >= 0, tf.float32)[..., None] if sig.partial else None
                normalise: model.Normalise | None = model.ByBatch(settings, counted)
            else:
                normalise = model.normaliser(sig.normalisation, settings, state["parameters"])
            with tf.GradientTape() as tape:
                tape.watch(state["parameters"])
                outputs = model.outputs(state["parameters"], take(x, taken), sig.activation, normalise, masks)
                each = row_losses(take(y, taken), outputs, now)
                loss, count = _mean_of_batch(each, rows) if sig.partial else (tf.reduce_mean(each, axis=1), 1.0)
                # the gradient of the sum holds each replicate's own gradient
                objective = tf.reduce_sum(loss) + penalty(state["parameters"], settings)
            gradients = tape.gradient(objective, state["parameters"])
            parameters, slots = optimizers.apply(rule, gradients, state["parameters"], state["slots"], now, state["step"] + 1)
            moved = state | {"parameters": parameters, "slots": slots, "step": state["step"] + 1}
            if "ema" in settings:
                moved["averages"] = optimizers.average(state["averages"], parameters, settings, state["step"])
            if isinstance(normalise, model.ByBatch):
                moved["statistics"] = normalise.running(state["statistics"])
            return index + 1, epoch, total + loss * count, moved

        def train_epoch(epoch, curves, before):  # type: ignore[no-untyped-def]
            start = (0, epoch, tf.zeros([WIDTH]), before)
            _, _, total, state = tf.while_loop(lambda index, *_: index < sig.steps, train_step, start)
            mean = total / (sig.rows if sig.partial else sig.steps)
            validated = now_kept(state)
            val = tf.reduce_mean(row_losses(y_val, predict(validated), settings), axis=1)
            if sig.plateau:
                state |= stopping.reduce_on_plateau(state, val, settings, *sig.plateau)
            if sig.patience is not None:
                state |= stopping.stop_early(state, val, validated, settings, sig.patience)
            ended = {"train_loss": mean, "val_loss": val}
            if sig.plateau:
                ended["rate_factor"] = before["rate_factor"]
            if sig.stops:
                active = before["active"]
                state |= {name: _where(active, state[name], before[name]) for name in state if name not in ("slots", "step")}
                state["trained"] += tf.cast(active, tf.int32)
                ended = {name: tf.where(active, values, np.nan) for name, values in ended.items()}
            curves = {name: tf.tensor_scatter_nd_update(curves[name], [[epoch]], [ended[name]]) for name in curves}
            return epoch + 1, curves, state

        names = ["train_loss", "val_loss"] + ["rate_factor"] * bool(sig.plateau)
        blank = {name: tf.zeros([length, WIDTH]) for name in names}
        _, curves, state = tf.while_loop(lambda e, *_: e < epochs, train_epoch, (0, blank, state))
        final = kept(state)
        sound = [tf.reduce_all(tf.math.is_finite(p), axis=list(range(1, p.shape.rank))) for p in final.values()]
        return state, curves, predict(final), tf.reduce_all(sound, axis=0)

    return tf.function(leg, jit_compile=True, reduce_retracing=False, autograph=False)


def penalty(parameters: model.Tensors, settings: optimizers.Settings) -> tf.Tensor:
    """Σ over the replicates of l1 · Σ|w| + l2 · Σw², w being the kernels."""
    total = tf.zeros([], parameters["kernel_0"].dtype)
    for kernel in (value for name, value in parameters.items() if name.startswith("kernel")):
        if "l1" in settings:
            total += settings["l1"] * tf.reduce_sum(tf.abs(kernel))
        if "l2" in settings:
            total += settings["l2"] * tf.reduce_sum(tf.square(kernel))
    return total


def now_kept(state: dict[str, Any]) -> dict[str, tf.Tensor]:
    """What a replicate is validated with: its parameters, or their averages, and the running statistics."""
    found: dict[str, tf.Tensor] = state.get("averages", state["parameters"]) | state["statistics"]
    return found


def kept(state: dict[str, Any]) -> dict[str, tf.Tensor]:
    """What a replicate ends with: its best parameters, where training stops early."""
    found: dict[str, tf.Tensor] = state.get("best_parameters") or now_kept(state)
    return found


def _mean_of_batch(each: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean loss [W] of a batch's rows, without those that pad it (-1), and how many there are [W]."""
    counted = tf.cast(rows >= 0, each.dtype)
    count = tf.reduce_sum(counted, axis=1)
    return tf.reduce_sum(tf.where(rows >= 0, each, 0.0), axis=1) / count, count


def _where(active: tf.Tensor, new: Any, old: Any) -> Any:
    return tf.nest.map_structure(lambda n, o: tf.where(optimizers.spread(active, n), n, o), new, old)


def initial_state(spec: TrialSpec, signature: Signature, initial: dict[str, tf.Tensor]) -> dict[str, Any]:
    """Everything that changes from step to step, for W replicates that haven't begun."""
    statistics = {name: value for name, value in initial.items() if name.startswith(STATISTICS)}
    parameters = {name: value for name, value in initial.items() if name not in statistics}
    slots = {name: optimizers.initial_slots(spec.optimizer, value) for name, value in parameters.items()}
    state: dict[str, Any] = {"parameters": parameters, "statistics": statistics, "slots": slots, "step": tf.constant(0)}
    if spec.optimizer.ema is not None:
        state["averages"] = {name: tf.identity(value) for name, value in parameters.items()}
    if signature.plateau:
        state |= stopping.start_plateau(WIDTH)
    if signature.patience is not None:
        state |= stopping.start_early_stopping(initial, WIDTH)
    if signature.stops:
        state |= {"active": tf.fill([WIDTH], True), "trained": tf.zeros([WIDTH], tf.int32)}
    return state
