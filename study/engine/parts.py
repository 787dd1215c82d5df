"""The parts of a cohort: as many replicates each as a program trains, queued leg by leg for the compiled program.

XLA keeps small programs on one core and releases the interpreter's lock, so parts train on threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from study import seeds
from study.data import batches
from study.engine import motion
from study.engine.backend import tf
from study.engine.initializers import initial_networks
from study.engine.program import LegResult, Signature, curve_names
from study.engine.state import State, initial_state
from study.engine.stored_programs import Program, compiled
from study.engine.width import available_cores
from study.records.arrays import Floats, Integers
from study.records.dataset import Dataset
from study.records.network import Network
from study.settings.spec import TrialSpec

Mask = npt.NDArray[np.bool_]
Inputs = Mapping[str, tf.Tensor]


@dataclass(frozen=True)
class LegPlan:
    """The epochs of one leg.

    followed_from: networks are followed from this one of them on, counted from 0; none of them where the leg has fewer.
    by_step: the inputs that change from step to step, {name: [epochs of a whole leg × steps]}.
    """

    start: int
    epochs: int
    followed_from: int
    by_step: dict[str, Floats]


@dataclass(frozen=True)
class Stage:
    """A part after a leg. Its arrays hold the n replicates of the part, without the padding; the state is padded to [W, …].

    curves: {name: [epochs of the leg, n]}; motion: {name: [epochs of the leg, n, …]}, as from `motion.parted`, none where the
    leg isn't followed; finite: [n], parameters and losses are finite numbers; val_loss: [n], of the weights that each replicate has
    kept so far.
    """

    state: State
    epochs_done: int
    val_loss: Floats
    curves: dict[str, Floats]
    motion: dict[str, Floats]
    finite: Mask

    def _unpadded(self, values: tf.Tensor) -> Any:
        return values.numpy()[: len(self.val_loss)]

    @property
    def trained(self) -> Integers:
        """The epochs that each replicate has trained, [n]."""
        return self._unpadded(self.state.trained)

    @property
    def epoch(self) -> Integers:
        """The epoch, from 1, whose weights each replicate keeps, [n]."""
        early_stopping = self.state.early_stopping
        return self.trained if early_stopping is None else self._unpadded(early_stopping.best_epoch)

    @property
    def predictions(self) -> Floats:
        """The predictions of what each replicate keeps on the validation part, [n, n_val, outputs]."""
        return self._unpadded(self.state.kept_predictions)

    @property
    def active(self) -> Mask:
        """The replicates that still train, [n]."""
        return self._unpadded(self.state.active)

    def networks(self) -> dict[str, Floats]:
        """The parameters that each replicate keeps, [n, …]."""
        return {name: self._unpadded(value) for name, value in self.state.kept.items()}

    def stopped(self, mask: Mask) -> Stage:
        """Return the stage with the replicates of `mask` [n] stopped; padding stops with the replicate that it copies."""
        padded = np.concatenate([mask, np.repeat(mask[-1:], len(self.state.active) - len(mask))])
        return replace(self, state=replace(self.state, active=self.state.active & tf.constant(~padded)))


@dataclass(frozen=True)
class Threads:
    """Threads that draw batch orders, one leg after the other, and threads that train parts."""

    drawing: ThreadPoolExecutor
    training: ThreadPoolExecutor


@contextmanager
def open_threads() -> Iterator[Threads]:
    # a program runs on TensorFlow's own threads, one per core; more of ours keep these busy while some prepare the next call
    threads = Threads(ThreadPoolExecutor(1), ThreadPoolExecutor(2 * available_cores()))
    try:
        yield threads
    finally:
        for pool in (threads.drawing, threads.training):
            pool.shutdown(wait=False, cancel_futures=True)  # a running leg may take long, and nobody needs it any more


class Part:
    """Up to W replicates: their first weights, their data, and the streams of their batch orders.

    positions: the replicates' in the cohort. Copies of the last one pad them to W, and their results are dropped. tensors: of
    each dataset by its id, where the replicates of a part all have the same one.
    """

    def __init__(
        self,
        positions: Sequence[int],
        spec: TrialSpec,
        signature: Signature,
        datasets: Sequence[Dataset],
        tensors: Mapping[int, tuple[tf.Tensor, ...]],
        start: Sequence[Network] | None,
    ) -> None:
        self._count = len(positions)
        self._numbers = [spec.replicates.numbers[position] for position in positions]
        self._spec, self._signature = spec, signature
        self._start = [start[position] for position in positions] if start else None
        self._order_seeds = self._padded(batches.source_seeds(spec, "order", self._numbers))
        self._streams = {seed: seeds.generator(seed) for seed in self._order_seeds}
        # TensorFlow's stateless generators take signed seeds
        dropout_seeds = self._padded(batches.source_seeds(spec, "dropout", self._numbers))
        self._dropout_seeds = tf.constant(np.array(dropout_seeds, np.uint32).view(np.int32))
        self._data = (
            _own_data([datasets[position] for position in self._padded(positions)], signature.datasets)
            if signature.datasets
            else tensors[id(datasets[positions[0]])]
        )
        self._latest: Future[Stage] | None = None

    def _padded(self, values: Sequence[Any]) -> list[Any]:
        return [values[min(position, self._count - 1)] for position in range(self._signature.width)]

    @cached_property
    def initial(self) -> Network:
        """The networks before training, [n, …]."""
        return initial_networks(self._spec, self._signature.sizes, self._numbers, self._start)

    @cached_property
    def before_training(self) -> Stage:
        members = self._padded(range(self._count))
        initial = {name: tf.constant(array[members]) for name, array in self.initial.parameters.items()}
        unknown, sig = np.full(self._count, np.nan, np.float32), self._signature
        state = initial_state(self._spec, initial, sig.val_rows)
        if sig.motion:
            state = replace(state, motion=motion.start(state.validated, sig.val_rows * sig.sizes[-1]))
        return Stage(state, 0, unknown, {}, {}, np.ones(self._count, np.bool_))

    @property
    def start_sketch(self) -> Floats:
        """The sketches of the weights before training, [n, 251]."""
        return motion.sketch(motion.flat(self.before_training.state.validated)).numpy()[: self._count]

    def compiled(self, settings: Inputs, leg: LegPlan) -> Program:
        """Return the compiled program."""
        sig = self._signature
        orders = tf.zeros([sig.width, sig.leg_epochs, sig.steps, sig.batch_size], tf.int32)
        blank = {name: tf.zeros(len(values)) for name, values in leg.by_step.items()}
        none = tf.constant(0)
        arguments = (self.before_training.state, self._data, orders, settings, blank, self._dropout_seeds, none, none)
        return compiled(sig, arguments)

    def queue(self, leg: LegPlan, traced: Program, settings: Inputs, threads: Threads) -> Future[Stage]:
        """Queue a leg behind those of this part that are queued already, and return the stage that it will lead to."""
        before = self._latest or threads.drawing.submit(lambda: self.before_training)
        orders = threads.drawing.submit(self._next_orders, leg.epochs)
        self._latest = threads.training.submit(self._advance, before, leg, orders, traced, settings)
        return self._latest

    def go_on_from(self, stage: Stage) -> None:
        """Let the next leg begin at `stage`."""
        self._latest = Future()
        self._latest.set_result(stage)

    def _next_orders(self, epochs: int) -> Integers:
        """Draw the batch orders of the next leg, [W, epochs of a whole leg, steps, batch]."""
        sig = self._signature
        drawn = {seed: batches.draw(rng, epochs, sig.rows, sig.batch_size, sig.steps) for seed, rng in self._streams.items()}
        orders = np.zeros([sig.width, sig.leg_epochs, sig.steps, sig.batch_size], np.int32)
        for position, seed in enumerate(self._order_seeds):
            orders[position, :epochs] = drawn[seed]
        return orders

    def _advance(self, before: Future[Stage], leg: LegPlan, orders: Future[Integers], traced: Program, settings: Inputs) -> Stage:
        by_step = {name: tf.constant(values) for name, values in leg.by_step.items()}
        order, stage = tf.constant(orders.result()), before.result()
        bounds = tf.constant(leg.epochs), tf.constant(leg.followed_from)
        arguments = (stage.state, self._data, order, settings, by_step, self._dropout_seeds, *bounds)
        return self._stage(stage, leg, traced(*arguments))

    def _stage(self, before: Stage, leg: LegPlan, result: LegResult) -> Stage:
        """Return the stage after a leg."""
        epochs, names = leg.epochs, curve_names(self._signature)
        by_epoch = result.curves.numpy()[:epochs, : self._count]
        curves = {name: by_epoch[..., place] for place, name in enumerate(names)}
        followed = self._signature.motion and leg.followed_from < epochs
        trained = result.state.trained.numpy()[: self._count] - before.trained
        # after a replicate's stop its losses are NaN, which is no fault
        active = np.arange(epochs)[:, None] < trained
        losses_finite = np.isfinite(curves["train_loss"]) & np.isfinite(curves["val_loss"])
        if (early_stopping := result.state.early_stopping) is not None:
            val_loss = early_stopping.best_loss.numpy()[: self._count]
        else:
            last = np.maximum(trained, 1) - 1
            val_loss = np.where(active[0], curves["val_loss"][last, np.arange(self._count)], before.val_loss)
        return Stage(
            state=result.state,
            epochs_done=before.epochs_done + epochs,
            val_loss=val_loss,
            curves=curves,
            motion=motion.parted(by_epoch[..., len(names) :]) if followed else {},
            finite=_finite(result.state.kept)[: self._count] & (losses_finite | ~active).all(axis=0),
        )


def _finite(parameters: Mapping[str, tf.Tensor]) -> Mask:
    """Return whose parameters [W, …] are finite numbers, [W]; not by the program, where it takes as long to compile as a layer."""
    return np.all([np.isfinite(value.numpy()).reshape(len(value), -1).all(axis=1) for value in parameters.values()], axis=0)


def _own_data(datasets: Sequence[Dataset], count: int) -> tuple[tf.Tensor, ...]:
    """Return the data of W replicates as the program takes them, each dataset once; the first one pads them to `count`."""
    distinct = {id(data): data for data in datasets}
    places = {key: place for place, key in enumerate(distinct)}
    arrays = [arrays_of(data) for data in distinct.values()]
    x, y, x_val, y_val, *weights = zip(*arrays, *arrays[:1] * (count - len(arrays)), strict=True)
    own = np.array([places[id(data)] for data in datasets], np.int32)
    # of weighted rows, those of the training parts come before those of the validation parts
    weighted = (np.concatenate(weights[0]), np.stack(weights[1])) if weights else ()
    return tuple(map(tf.constant, (np.concatenate(x), np.concatenate(y), np.stack(x_val), np.stack(y_val), *weighted, own)))


def arrays_of(data: Dataset) -> tuple[Any, ...]:
    """Return the arrays that the program takes, in its order; those of weights only where rows have some."""
    weights = () if data.weights_train is None else (data.weights_train, data.weights_val)
    return data.x_train, data.y_train, data.x_val, data.y_val, *weights
