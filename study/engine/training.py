"""A cohort in training: parts of WIDTH replicates, each led through the compiled program leg by leg.

The last part is padded. Parts run on threads, one a core: XLA keeps small programs on one core and releases the interpreter's
lock. A part doesn't wait for the others, unless they are to be judged together after the leg; it is one leg ahead at most of what
the caller has asked for.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from study import seeds
from study.analysis import convergence, forward
from study.clock import Clock
from study.data import batches
from study.engine import compile_cache, losses, optimizers, schedules
from study.engine.backend import keras, tf
from study.engine.initializers import initial_networks
from study.engine.program import WIDTH, Signature, initial_state, kept, program
from study.records.arrays import Floats, Integers
from study.records.cohort import Leg
from study.records.dataset import Dataset
from study.records.network import Network
from study.settings.loss import outputs as network_outputs
from study.settings.model import BATCH
from study.settings.schedule import ReduceOnPlateau
from study.settings.spec import TrialSpec
from study.settings.training import PLATEAUED

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Stage:
    """A part after a leg: what its program gave, [W, …], without the padding where it is an array.

    curves: [epochs of the leg, kept]. finite, and val_loss of the weights that a replicate has kept so far: [kept].
    """

    state: dict[str, Any]
    epochs_done: int
    val_loss: Floats
    curves: dict[str, Floats]
    predictions: Floats
    finite: Mask

    @property
    def _kept(self) -> int:
        return len(self.val_loss)

    @property
    def trained(self) -> Integers:
        """Epochs that each replicate has trained, [kept]."""
        count = self.state["trained"].numpy() if "trained" in self.state else np.full(WIDTH, self.epochs_done, np.int32)
        return count[: self._kept]

    @property
    def epoch(self) -> Integers:
        """The epoch, from 1, whose weights each replicate keeps, [kept]."""
        return self.state["best_epoch"].numpy()[: self._kept] if "best_epoch" in self.state else self.trained

    @property
    def active(self) -> Mask:
        """Which replicates go on, [kept]."""
        return self.state["active"].numpy()[: self._kept] if "active" in self.state else np.ones(self._kept, np.bool_)

    def networks(self) -> dict[str, Floats]:
        """The parameters that are kept, [kept, …]."""
        return {name: value.numpy()[: self._kept] for name, value in kept(self.state).items()}

    def stopped(self, members: Mask) -> _Stage:
        """The same, but the replicates of a mask [kept] go no further; a padding replicate stops with the one that it copies."""
        padded = np.concatenate([members, np.repeat(members[-1:], WIDTH - self._kept)])
        return replace(self, state=self.state | {"active": self.state["active"] & tf.constant(~padded)})


class _Part:
    """W replicates: how they start, what they train on, and the streams of their batch orders.

    places: of its replicates in the cohort; up to W, and padded with copies of the last, whose results are dropped.
    """

    def __init__(
        self,
        places: Sequence[int],
        spec: TrialSpec,
        signature: Signature,
        datasets: Sequence[Dataset],
        shared: tuple[tf.Tensor, ...] | None,
        start: Sequence[Network] | None,
    ) -> None:
        self._kept = len(places)
        self._numbers = [spec.replicates.numbers[place] for place in places]
        self._spec, self._signature = spec, signature
        self._start = [start[place] for place in places] if start else None
        self._order_seeds = self._padded(batches.source_seeds(spec, "order", self._numbers))
        self._streams = {seed: seeds.generator(seed) for seed in self._order_seeds}
        # TensorFlow's stateless generators take signed seeds
        dropout_seeds = self._padded(batches.source_seeds(spec, "dropout", self._numbers))
        self._dropout_seeds = tf.constant(np.array(dropout_seeds, np.uint32).view(np.int32))
        own = (_arrays(datasets[place]) for place in self._padded(places))
        self._data = shared or tuple(tf.constant(np.stack(arrays)) for arrays in zip(*own, strict=True))

    def _padded(self, values: Sequence[Any]) -> list[Any]:
        return [values[min(place, self._kept - 1)] for place in range(WIDTH)]

    @cached_property
    def initial(self) -> Network:
        """The networks before training, [kept, …]."""
        return initial_networks(self._spec, self._signature.sizes, self._numbers, self._start)

    @cached_property
    def before_training(self) -> _Stage:
        members = self._padded(range(self._kept))
        initial = {name: tf.constant(array[members]) for name, array in self.initial.parameters.items()}
        unknown = np.full(self._kept, np.nan, np.float32)
        return _Stage(initial_state(self._spec, self._signature, initial), 0, unknown, {}, unknown, np.ones(self._kept, np.bool_))

    def compiled(self, settings: dict[str, tf.Tensor], by_step: dict[str, Floats]) -> Any:
        """The traced program, after a call that trains nothing, so that it is compiled."""
        sig = self._signature
        orders = tf.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], tf.int32)
        blank = {name: tf.zeros([sig.leg_epochs * sig.steps]) for name in by_step}
        arguments = (self.before_training.state, self._data, orders, settings, blank, self._dropout_seeds, tf.constant(0))
        traced = program(sig).get_concrete_function(*arguments)
        try:
            traced(*arguments)
        except tf.errors.OpError:  # a torn file in the cache of compiled programs; anything else fails again
            compile_cache.clear()
            program.cache_clear()  # TensorFlow keeps the failure with the traced function
            traced = program(sig).get_concrete_function(*arguments)
            traced(*arguments)
        return traced

    def next_orders(self, epochs: int) -> Integers:
        """The batch orders of the next leg, [W, epochs of a whole leg, steps, batch]; to be asked for in the order of the legs.

        The first time, the networks are drawn before them.
        """
        sig, _ = self._signature, self.before_training
        drawn = {seed: batches.draw(rng, epochs, sig.rows, sig.batch_size, sig.steps) for seed, rng in self._streams.items()}
        orders = np.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], np.int32)
        for place, seed in enumerate(self._order_seeds):
            orders[place, :epochs] = drawn[seed]
        return orders

    def advance(
        self,
        traced: Any,
        before: _Stage,
        epochs: int,
        orders: Integers,
        settings: dict[str, tf.Tensor],
        by_step: dict[str, Floats],
    ) -> _Stage:
        """The part another leg of `epochs` on."""
        sig = self._signature
        padded = {name: np.zeros(sig.leg_epochs * sig.steps, np.float32) for name in by_step}
        for name, values in by_step.items():
            padded[name][: len(values)] = values
        inputs = {name: tf.constant(values) for name, values in padded.items()}
        state, curves, predictions, finite = traced(
            before.state, self._data, tf.constant(orders), settings, inputs, self._dropout_seeds, tf.constant(epochs)
        )
        after = _Stage(
            state=state,
            epochs_done=before.epochs_done + epochs,
            val_loss=before.val_loss,
            curves={name: values.numpy()[:epochs, : self._kept] for name, values in curves.items()},
            predictions=predictions.numpy()[: self._kept],
            finite=finite.numpy()[: self._kept],
        )
        # what follows a replicate's stop is not a number, and no fault
        trained = np.arange(epochs)[:, None] < after.trained - before.trained
        losses_finite = np.isfinite(after.curves["train_loss"]) & np.isfinite(after.curves["val_loss"])
        if "best_loss" in state:
            val_loss = state["best_loss"].numpy()[: self._kept]
        else:
            last = np.maximum(trained.sum(axis=0), 1) - 1
            val_loss = np.where(trained[0], after.curves["val_loss"][last, np.arange(self._kept)], before.val_loss)
        return replace(after, val_loss=val_loss, finite=after.finite & (losses_finite | ~trained).all(axis=0))


def _own_data(spec: TrialSpec) -> bool:
    """Whether each replicate has data of its own; it isn't asked of the data, since a lone replicate runs the same program."""
    disturbed = spec.data.feature_noise > 0 or spec.data.target_noise > 0
    return "data" in spec.replicates.vary or ("noise" in spec.replicates.vary and disturbed)


def _arrays(data: Dataset) -> tuple[Any, ...]:
    return data.x_train, data.y_train, data.x_val, data.y_val


def _settings(spec: TrialSpec) -> dict[str, float]:
    """The program's inputs that stay the same from step to step. A setting that is off is left out, and with it its work."""
    off = {name: getattr(spec.model, name) for name in ("dropout", "l1", "l2") if getattr(spec.model, name)}
    found = optimizers.settings_of(spec.optimizer) | losses.settings_of(spec.loss) | off
    if spec.model.normalisation:
        found["norm_epsilon"] = spec.model.norm_epsilon
    if spec.model.normalisation == BATCH:
        found["norm_momentum"] = spec.model.norm_momentum
    if spec.training.patience is not None:
        found["min_delta"] = spec.training.min_delta
    if isinstance(spec.schedule, ReduceOnPlateau):
        found["plateau_factor"], found["plateau_min_delta"] = spec.schedule.factor, spec.schedule.min_delta
        found["lowest_factor"] = spec.schedule.min_learning_rate / spec.optimizer.learning_rate
    return found


@dataclass(frozen=True)
class Weights:
    """A cohort at one moment: its R networks as one stack, and their predictions [R, n_val, outputs].

    `trained` [R] epochs led to it; the weights are those of `epoch` [R].
    """

    network: Network
    predictions: Floats
    trained: Integers
    epoch: Integers


class CohortTraining:
    """A cohort in training. `initial` holds its first weights; iterate over `legs()`; then read `weights()`.

    datasets: that of each replicate; those that share their data have the same object. start: each replicate's first weights,
    where the settings name a run that they come from.
    """

    def __init__(self, spec: TrialSpec, datasets: Sequence[Dataset], clock: Clock, start: Sequence[Network] | None = None) -> None:
        self._spec, self._clock = spec, clock
        self._trivial_losses = forward.trivial_losses(spec.loss, datasets) if spec.training.until == PLATEAUED else []
        data = datasets[0]
        rows, batch_size = len(data.x_train), batches.batch_size(spec, len(data.x_train))
        outputs, schedule = network_outputs(spec.loss, data.outputs), spec.schedule
        with clock.phase("train"):
            sizes = (data.x_train.shape[1], *spec.model.units, outputs)
            settings = _settings(spec)
            self._settings = {name: tf.constant(value) for name, value in settings.items()}
            self.signature = signature = Signature(
                sizes=sizes,
                activation=spec.model.activation,
                normalisation=spec.model.normalisation,
                loss=spec.loss.name,
                rule=optimizers.rule_name(spec.optimizer),
                settings=frozenset(settings),
                rows=rows,
                val_rows=len(data.x_val),
                batch_size=batch_size,
                steps=batches.steps_per_epoch(rows, batch_size, spec.training.partial_batch),
                leg_epochs=min(spec.training.leg_epochs, spec.training.epochs),
                own_data=_own_data(spec),
                stops=spec.training.patience is not None or spec.training.until == PLATEAUED,
                patience=spec.training.patience,
                plateau=(schedule.patience, schedule.cooldown) if isinstance(schedule, ReduceOnPlateau) else None,
            )
            shared = None if signature.own_data else tuple(map(tf.constant, _arrays(data)))
            places = range(spec.replicates.count)
            cut = [places[first : first + WIDTH] for first in places[::WIDTH]]
            self._parts = [_Part(members, spec, signature, datasets, shared, start) for members in cut]
            self._stages: list[_Stage] = []
            self._plateaued = np.zeros(spec.replicates.count, np.bool_)

    @property
    def initial(self) -> Network:
        """The networks before training, [R, …]."""
        return _joined([part.initial.parameters for part in self._parts])

    def legs(self) -> Iterator[Leg]:
        """Trains on, one leg a step, until the epochs are done, every replicate has stopped, or the caller stops asking."""
        signature, epochs = self.signature, self._spec.training.epochs
        rates = schedules.learning_rates(self._spec.schedule, self._spec.optimizer.learning_rate, epochs, signature.steps)
        by_step = {"learning_rate": rates} | optimizers.settings_by_step(self._spec.optimizer, epochs * signature.steps)
        with self._clock.phase("compile"):
            traced = self._parts[0].compiled(self._settings, by_step)
        # a program runs on TensorFlow's own threads, one a core; more of ours keep them busy while some prepare the next call
        drawing, running = ThreadPoolExecutor(1), ThreadPoolExecutor(2 * available_cores())

        def submit(start: int, before: Sequence[Future[_Stage] | None]) -> list[Future[_Stage]]:
            """The leg that begins with epoch `start`, after the stages before it."""
            count = min(signature.leg_epochs, epochs - start)
            now = {name: values[start * signature.steps : (start + count) * signature.steps] for name, values in by_step.items()}

            def advance(part: _Part, drawn: Future[Integers], stage: Future[_Stage] | None) -> _Stage:
                orders = drawn.result()
                return part.advance(traced, stage.result() if stage else part.before_training, count, orders, self._settings, now)

            orders = [drawing.submit(part.next_orders, count) for part in self._parts]
            return [running.submit(advance, *each) for each in zip(self._parts, orders, before, strict=True)]

        together = self._spec.training.until == PLATEAUED
        curves: list[Floats] = []
        try:
            ahead = submit(0, [None] * len(self._parts))
            for start in range(0, epochs, signature.leg_epochs):
                stop = start + signature.leg_epochs
                asked = ahead
                if stop < epochs and not together:
                    ahead = submit(stop, asked)
                with self._clock.phase("train"):
                    self._stages = [future.result() for future in asked]
                leg = self._leg(rates[start * signature.steps :])
                yield leg
                if together:
                    curves.append(leg.train_loss)
                    self._stop_plateaued(np.concatenate(curves))
                if stop >= epochs or not any(stage.active.any() for stage in self._stages):
                    return
                if together:
                    ahead = submit(stop, [_done(stage) for stage in self._stages])
        finally:
            for threads in (drawing, running):
                threads.shutdown(wait=False, cancel_futures=True)  # a leg under way may take long, and nobody asks for it any more

    def _leg(self, rates: Floats) -> Leg:
        """rates: by step, from the leg's first step on."""

        def curve(name: str) -> Floats:
            return np.concatenate([stage.curves[name] for stage in self._stages], axis=1)

        train = curve("train_loss")
        at_ends = rates[self.signature.steps - 1 :: self.signature.steps][: len(train), None]
        factors = curve("rate_factor") if "rate_factor" in self._stages[0].curves else np.ones_like(train)
        finite, current = (np.concatenate([getattr(stage, name) for stage in self._stages]) for name in ("finite", "val_loss"))
        return Leg(self._stages[0].epochs_done, train, curve("val_loss"), at_ends * factors, finite, current)

    def _stop_plateaued(self, curves: Floats) -> None:
        """Stops the replicates whose training loss, [epochs, R], has plateaued, at the ends of two legs in a row.

        Every look may be wrong by chance, and there are many looks; two in a row seldom are.
        """
        trained = np.concatenate([stage.trained for stage in self._stages])
        judged = zip(curves.T, trained, self._trivial_losses, strict=True)
        before, self._plateaued = self._plateaued, np.array([convergence.has_plateaued(c[:n], trivial) for c, n, trivial in judged])
        members = np.split(before & self._plateaued, range(WIDTH, len(before), WIDTH))
        self._stages = [stage.stopped(mask) for stage, mask in zip(self._stages, members, strict=True)]

    def weights(self) -> Weights:
        """The weights that are kept after the last leg that was asked for."""
        networks = _joined([stage.networks() for stage in self._stages])
        gathered = ([getattr(stage, name) for stage in self._stages] for name in ("predictions", "trained", "epoch"))
        return Weights(networks, *map(np.concatenate, gathered))


def _joined(parts: Sequence[Mapping[str, Floats]]) -> Network:
    return Network({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _done(stage: _Stage) -> Future[_Stage]:
    future: Future[_Stage] = Future()
    future.set_result(stage)
    return future


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """What besides the spec, the code and the data decides the bits: versions, processor, and switches."""
    switches = [switch for switch in os.environ.get("TF_XLA_FLAGS", "").split() if not switch.startswith(compile_cache.FLAG)]
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "system": " ".join([platform.system(), platform.machine(), *platform.libc_ver()]).strip(),
        "processor": compile_cache.processor(),
        "devices": ", ".join(device.device_type for device in tf.config.list_physical_devices()),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "tf_xla_flags": " ".join(switches),
        "threads": str(available_cores()),
        "width": str(WIDTH),
    }
