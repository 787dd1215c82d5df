"""The compiled program: whole legs of training for W replicates in one XLA call, and the loop over legs and parts.

A program always trains WIDTH replicates. A cohort is cut into parts of that width, the last padded, and the parts run on
threads, one a core (XLA keeps small programs on one core and releases the interpreter's lock). In a program of one width a
replicate's bits depend neither on its place nor on its neighbours; programs of different widths differ in the last digits. So a
replicate's final weights are the same in a cohort of any size.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from study import batches, seeds
from study.clock import Clock
from study.cohort import compile_cache, losses, model, optimizers, schedules
from study.cohort.initializers import initial_kernels
from study.records import Dataset, Floats, Leg
from study.spec import TrialSpec

# Two: programs of one and of two take as long for a lone network, one of four twice as long, and none gains in a large cohort.
WIDTH = 2


@dataclass(frozen=True)
class Signature:
    """What a program is compiled for. Whatever is not here is an input."""

    sizes: tuple[int, ...]
    activation: str
    loss: str
    rule: str
    rows: int
    val_rows: int
    batch_size: int
    leg_epochs: int

    @property
    def steps(self) -> int:
        return batches.steps_per_epoch(self.rows, self.batch_size)


@lru_cache(maxsize=256)
def program(signature: Signature) -> Callable[..., Any]:
    """The leg of this signature; it is traced and compiled at its first call.

    (parameters, slots, step, data, orders [W, epochs, steps, batch], rates [epochs × steps], settings, epochs) →
    (parameters, slots, step, train_loss [epochs, W], val_loss [epochs, W], predictions [W, n_val, outputs], finite [W]).
    Only the first `epochs` of a leg are trained, so that a short last leg needs no program of its own.
    """
    steps, length = signature.steps, signature.leg_epochs
    loss_of, rule = losses.LOSSES[signature.loss], optimizers.RULES[signature.rule]

    def predict(parameters: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        return model.outputs(parameters, x, signature.activation)

    def leg(parameters, slots, step, data, orders, rates, settings, epochs):  # type: ignore[no-untyped-def]
        x, y, x_val, y_val = data
        x_val, y_val = (tf.broadcast_to(a, [WIDTH, *a.shape]) for a in (x_val, y_val))

        def train_step(index, parameters, slots, step, total, epoch):  # type: ignore[no-untyped-def]
            rows = orders[:, epoch, index]
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                loss = loss_of(tf.gather(y, rows), predict(parameters, tf.gather(x, rows)))
                # the gradient of the sum holds each replicate's own gradient
                objective = tf.reduce_sum(loss)
            gradients = tape.gradient(objective, parameters)
            rate = rates[epoch * steps + index]
            parameters, slots = optimizers.apply(rule, gradients, parameters, slots, rate, settings, step + 1)
            return index + 1, parameters, slots, step + 1, total + loss, epoch

        def train_epoch(epoch, parameters, slots, step, train_loss, val_loss):  # type: ignore[no-untyped-def]
            state = (0, parameters, slots, step, tf.zeros([WIDTH]), epoch)
            _, parameters, slots, step, total, _ = tf.while_loop(lambda index, *_: index < steps, train_step, state)
            train_loss = tf.tensor_scatter_nd_update(train_loss, [[epoch]], [total / steps])
            val_loss = tf.tensor_scatter_nd_update(val_loss, [[epoch]], [loss_of(y_val, predict(parameters, x_val))])
            return epoch + 1, parameters, slots, step, train_loss, val_loss

        blank = tf.zeros([length, WIDTH])
        state = (0, parameters, slots, step, blank, blank)
        _, parameters, slots, step, train_loss, val_loss = tf.while_loop(lambda e, *_: e < epochs, train_epoch, state)
        sound = [tf.reduce_all(tf.math.is_finite(p), axis=list(range(1, p.shape.rank))) for p in parameters]
        return parameters, slots, step, train_loss, val_loss, predict(parameters, x_val), tf.reduce_all(sound, axis=0)

    return tf.function(leg, jit_compile=True, reduce_retracing=False)


class _Part:
    """W replicates in training: their tensors and the streams of their batch orders."""

    def __init__(self, start: int, signature: Signature, kernels: tuple[Floats, ...], order_seeds: list[int]) -> None:
        count = len(order_seeds)
        # a part is padded with copies of its last replicate, whose results are dropped
        self.members = [min(start + place, count - 1) for place in range(WIDTH)]
        self.kept = min(WIDTH, count - start)
        self.signature = signature
        self.streams = {order_seeds[m]: seeds.generator(order_seeds[m]) for m in self.members}
        self.order_seeds = [order_seeds[m] for m in self.members]
        self.parameters = []
        for kernel in kernels:
            self.parameters += [tf.constant(kernel[self.members]), tf.zeros([WIDTH, kernel.shape[2]])]
        slots = optimizers.RULES[signature.rule].slots
        self.slots = [tuple(tf.zeros_like(p) for _ in range(slots)) for p in self.parameters]
        self.step = tf.constant(0)

    def compile(self, data: tuple[tf.Tensor, ...], settings: dict[str, tf.Tensor]) -> None:
        """Traces and compiles the program, unless that is done, by a call that trains nothing."""
        sig = self.signature
        orders = tf.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], tf.int32)
        rates = tf.zeros([sig.leg_epochs * sig.steps])
        arguments = (self.parameters, self.slots, self.step, data, orders, rates, settings, tf.constant(0))
        try:
            program(sig)(*arguments)
        except tf.errors.OpError:  # a torn file in the cache of compiled programs; anything else fails again
            compile_cache.clear()
            program.cache_clear()  # TensorFlow keeps the failure with the traced function
            program(sig)(*arguments)

    def advance(self, epochs: int, data: tuple[tf.Tensor, ...], rates: Floats, settings: dict[str, tf.Tensor]) -> None:
        sig = self.signature
        drawn = {seed: batches.draw(stream, epochs, sig.rows, sig.batch_size) for seed, stream in self.streams.items()}
        orders = np.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], np.int32)
        for place, seed in enumerate(self.order_seeds):
            orders[place, :epochs] = drawn[seed]
        padded = np.zeros(sig.leg_epochs * sig.steps, np.float32)
        padded[: len(rates)] = rates
        arguments = (self.parameters, self.slots, self.step, data, tf.constant(orders), tf.constant(padded), settings)
        self.parameters, self.slots, self.step, train, val, predictions, finite = program(sig)(*arguments, tf.constant(epochs))
        self.train_loss, self.val_loss = train.numpy()[:epochs, : self.kept], val.numpy()[:epochs, : self.kept]
        self.predictions, self.finite = predictions.numpy()[: self.kept], finite.numpy()[: self.kept]


@dataclass(frozen=True)
class Weights:
    """A cohort's parameters at one moment: kernels [R, in, out], biases [R, out], and predictions [R, n_val, outputs]."""

    kernels: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    predictions: Floats


class Training:
    """A cohort in training. `initial` holds its first weights; iterate over `legs()`; then read `weights()`."""

    def __init__(self, spec: TrialSpec, data: Dataset, clock: Clock) -> None:
        self._spec, self._clock = spec, clock
        sizes = (data.x_train.shape[1], *spec.model.units, data.outputs)
        replicate_seeds = batches.replicate_seeds(spec)
        with clock.phase("train"):
            self.initial_kernels = initial_kernels(spec.init, sizes, replicate_seeds["init"])
            self.initial_biases = tuple(np.zeros(k.shape[::2], np.float32) for k in self.initial_kernels)
            self._data = tuple(map(tf.constant, (data.x_train, data.y_train, data.x_val, data.y_val)))
            self._settings = {name: tf.constant(value) for name, value in optimizers.settings_of(spec.optimizer).items()}
            signature = Signature(
                sizes=sizes,
                activation=spec.model.activation,
                loss=spec.loss.name,
                rule=optimizers.rule_name(spec.optimizer),
                rows=len(data.x_train),
                val_rows=len(data.x_val),
                batch_size=spec.training.batch_size,
                leg_epochs=min(spec.training.leg_epochs, spec.training.epochs),
            )
            starts = range(0, spec.replicates.count, WIDTH)
            self._parts = [_Part(start, signature, self.initial_kernels, replicate_seeds["order"]) for start in starts]

    def legs(self) -> Iterator[Leg]:
        """Trains on, one leg a step, until the epochs are done or the caller stops asking."""
        signature, epochs = self._parts[0].signature, self._spec.training.epochs
        rates = schedules.learning_rates(self._spec.schedule, self._spec.optimizer.learning_rate, epochs * signature.steps)
        with self._clock.phase("compile"):
            self._parts[0].compile(self._data, self._settings)
        with ThreadPoolExecutor(available_cores()) as threads:
            for start in range(0, epochs, signature.leg_epochs):
                stop = min(start + signature.leg_epochs, epochs)
                leg_rates = rates[start * signature.steps : stop * signature.steps]

                def advance(part: _Part, count: int = stop - start, leg_rates: Floats = leg_rates) -> None:
                    part.advance(count, self._data, leg_rates, self._settings)

                with self._clock.phase("train"):
                    list(threads.map(advance, self._parts))
                yield self._leg(stop, leg_rates[signature.steps - 1 :: signature.steps])

    def _leg(self, epochs_done: int, rates: Floats) -> Leg:
        train = np.concatenate([part.train_loss for part in self._parts], axis=1)
        val = np.concatenate([part.val_loss for part in self._parts], axis=1)
        finite = np.concatenate([part.finite for part in self._parts])
        return Leg(epochs_done, train, val, rates, finite & np.isfinite(train).all(0) & np.isfinite(val).all(0))

    def weights(self) -> Weights:
        """The weights after the last leg that was asked for."""

        def gather(index: int) -> Floats:
            return np.concatenate([part.parameters[index].numpy()[: part.kept] for part in self._parts])

        count = len(self._parts[0].parameters)
        kernels = tuple(gather(index) for index in range(0, count, 2))
        biases = tuple(gather(index) for index in range(1, count, 2))
        return Weights(kernels, biases, np.concatenate([part.predictions for part in self._parts]))


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """What besides the spec decides the bits: versions, processor, and switches."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "processor": compile_cache.processor(),
        "devices": ", ".join(device.device_type for device in tf.config.list_physical_devices()),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threads": str(available_cores()),
        "width": str(WIDTH),
    }
