"""A cohort in training: its parts go through the compiled program leg by leg.

A part doesn't wait for the others, unless they are judged together after the leg. It is at most one leg ahead of the caller.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis import convergence, forward, motion
from study.clock import Clock
from study.data import batches
from study.engine import compile_cache, losses, optimizers, schedules
from study.engine.backend import keras, tf
from study.engine.parts import LegPlan, Mask, Part, Stage, arrays_of, open_threads
from study.engine.program import Signature
from study.engine.trajectory_log import TrajectoryLog
from study.engine.width import available_cores, width_of
from study.records.arrays import Floats, Integers
from study.records.cohort import Leg
from study.records.dataset import Dataset
from study.records.network import Network
from study.records.trajectory import Trajectory
from study.settings.model import BATCH
from study.settings.schedule import ReduceOnPlateau
from study.settings.spec import TrialSpec
from study.settings.training import ALL_EPOCHS, PLATEAUED


@dataclass(frozen=True)
class Weights:
    """A cohort at one moment: its R networks as one stack, and their predictions [R, n_val, outputs].

    trained: [R], the epochs that led to it; epoch: [R], the epoch whose weights these are.
    """

    network: Network
    predictions: Floats
    trained: Integers
    epoch: Integers


class CohortTraining:
    """A cohort in training. `initial` holds its first weights; iterate over `legs()`; then read `weights()`.

    datasets: one per replicate; replicates that share their data have the same object. start: each replicate's first weights,
    where the settings name a run that they come from.
    """

    def __init__(self, spec: TrialSpec, datasets: Sequence[Dataset], clock: Clock, start: Sequence[Network] | None = None) -> None:
        self._spec, self._clock = spec, clock
        self._judged_together = spec.training.until != ALL_EPOCHS
        self._trivial_losses = forward.trivial_losses(spec.loss, datasets) if spec.training.until == PLATEAUED else []
        self._targets = [data.y_val for data in datasets]
        with clock.phase("train"):
            self._settings = {name: tf.constant(value) for name, value in _settings(spec).items()}
            self.signature = signature_of(spec, datasets[0])
            positions, width = range(spec.replicates.count), self.signature.width
            members = [positions[first : first + width] for first in positions[::width]]
            distinct = {} if self.signature.datasets else {id(data): data for data in datasets}
            tensors = {key: tuple(map(tf.constant, arrays_of(data))) for key, data in distinct.items()}
            self._parts = [Part(part, spec, self.signature, datasets, tensors, start) for part in members]
            self._stages: list[Stage] = []
            self._done = np.zeros(spec.replicates.count, np.bool_)
            # where the end is known beforehand, the epochs before the tail needn't be followed
            fixed = spec.training.until == ALL_EPOCHS and spec.training.patience is None
            epochs = spec.training.epochs
            self._followed_from = max(epochs - convergence.tail_length(epochs), 1) if fixed else 1
            self._trajectory = (
                TrajectoryLog(np.concatenate([part.start_sketch for part in self._parts]), self._followed_from)
                if spec.training.motion
                else None
            )

    @property
    def initial(self) -> Network:
        """The networks before training, [R, …]."""
        return _joined([part.initial.parameters for part in self._parts])

    def compile(self) -> None:
        """Compile the program, so that another training finds it."""
        self._parts[0].compiled(self._settings, self._plans(self._rates())[0])

    def _rates(self) -> Floats:
        return schedules.learning_rates(
            self._spec.schedule, self._spec.optimizer.learning_rate, self._spec.training.epochs, self.signature.steps
        )

    def _plans(self, rates: Floats) -> list[LegPlan]:
        by_step = {"learning_rate": rates} | optimizers.settings_by_step(self._spec.optimizer, len(rates))
        return _plans(by_step, self._spec.training.epochs, self._followed_from, self.signature)

    def legs(self) -> Iterator[Leg]:
        """Train leg by leg until the epochs are done, every replicate has stopped, or the caller stops iterating."""
        rates, steps = self._rates(), self.signature.steps
        plans = self._plans(rates)
        with self._clock.phase("compile"):
            traced = self._parts[0].compiled(self._settings, plans[0])
        legs: list[Leg] = []
        with open_threads() as threads:
            queued = [part.queue(plans[0], traced, self._settings, threads) for part in self._parts]
            for plan, following in zip(plans, [*plans[1:], None], strict=True):
                running = queued
                if following and not self._judged_together:
                    queued = [part.queue(following, traced, self._settings, threads) for part in self._parts]
                with self._clock.phase("train"):
                    self._stages = [stage.result() for stage in running]
                leg = self._leg(rates[plan.start * steps :])
                if self._trajectory:
                    self._trajectory.add(*self._moved())
                yield leg
                if self._judged_together:
                    legs.append(leg)
                    self._stop(self._plateaued(legs) if self._spec.training.until == PLATEAUED else self._resting(legs))
                if not any(stage.active.any() for stage in self._stages):
                    return
                if following and self._judged_together:
                    queued = [part.queue(following, traced, self._settings, threads) for part in self._parts]

    def _leg(self, rates: Floats) -> Leg:
        """rates: by step, from the leg's first step on."""

        def curve(name: str) -> Floats:
            return np.concatenate([stage.curves[name] for stage in self._stages], axis=1)

        train = curve("train_loss")
        at_ends = rates[self.signature.steps - 1 :: self.signature.steps][: len(train), None]
        factors = curve("rate_factor") if self.signature.plateau else np.ones_like(train)
        finite, current = (np.concatenate([getattr(stage, name) for stage in self._stages]) for name in ("finite", "val_loss"))
        return Leg(self._stages[0].epochs_done, train, curve("val_loss"), at_ends * factors, finite, current)

    def _moved(self) -> tuple[dict[str, Floats], int, Integers]:
        """Return the curves of the last leg's motion, {name: [epochs, R, …]}, its last epoch, and what each has trained, [R]."""
        names = self._stages[0].motion
        curves = {name: np.concatenate([stage.motion[name] for stage in self._stages], axis=1) for name in names}
        return curves, self._stages[0].epochs_done, self._trained

    def trajectory(self) -> Trajectory | None:
        """Return how the networks have moved up to the last leg; None where they aren't followed."""
        return self._trajectory.trajectory() if self._trajectory else None

    def _plateaued(self, legs: Sequence[Leg]) -> Mask:
        """Return whose training loss has plateaued, [R]."""
        judged = zip(np.concatenate([leg.train_loss for leg in legs]).T, self._trained, self._trivial_losses, strict=True)
        return np.array([convergence.has_plateaued(curve[:count], trivial) for curve, count, trivial in judged])

    def _resting(self, legs: Sequence[Leg]) -> Mask:
        """Return whose weights and function are at rest, [R]."""
        path = self.trajectory()
        assert path
        rates = np.concatenate([leg.learning_rate for leg in legs]).T
        predictions = np.concatenate([stage.predictions for stage in self._stages])
        return motion.measure(path, self._trained.tolist(), rates, predictions, self._targets).resting

    def _stop(self, done: Mask) -> None:
        """Stop the replicates that are done at the ends of two legs in a row.

        Every look may be wrong by chance, and there are many looks; two in a row seldom are.
        """
        before, self._done, width = self._done, done, self.signature.width
        masks = np.split(before & done, range(width, len(done), width))
        self._stages = [stage.stopped(mask) for stage, mask in zip(self._stages, masks, strict=True)]
        for part, stage in zip(self._parts, self._stages, strict=True):
            part.go_on_from(stage)

    @property
    def _trained(self) -> Integers:
        return np.concatenate([stage.trained for stage in self._stages])

    def weights(self) -> Weights:
        """Return the weights that the replicates have kept at the end of the last leg that the caller received."""
        networks = _joined([stage.networks() for stage in self._stages])
        gathered = ([getattr(stage, name) for stage in self._stages] for name in ("predictions", "trained", "epoch"))
        return Weights(networks, *map(np.concatenate, gathered))


def signature_of(spec: TrialSpec, data: Dataset) -> Signature:
    """Return the signature of the program that trains this trial on data of this shape."""
    rows, schedule, training = len(data.x_train), spec.schedule, spec.training
    sizes, batch_size = data.layer_sizes(spec), batches.batch_size(spec, rows)
    width = width_of(sizes, batch_size)
    return Signature(
        sizes=sizes,
        activation=spec.model.activation,
        normalisation=spec.model.normalisation,
        loss=spec.loss.name,
        rule=optimizers.rule_name(spec.optimizer),
        settings=frozenset(_settings(spec)),
        rows=rows,
        val_rows=len(data.x_val),
        batch_size=batch_size,
        steps=batches.steps_per_epoch(rows, batch_size, training.partial_batch),
        leg_epochs=min(training.leg_epochs, training.epochs),
        datasets=_datasets(spec, width),
        width=width,
        stops=training.patience is not None or training.until != ALL_EPOCHS,
        patience=training.patience,
        plateau=(schedule.patience, schedule.cooldown) if isinstance(schedule, ReduceOnPlateau) else None,
        motion=training.motion,
        weighted=data.weights_train is not None,
    )


def _datasets(spec: TrialSpec, width: int) -> int:
    """Return how many datasets the replicates of a part have at most; 0 if no part has more than one."""
    if not spec.own_data or width == 1:
        return 0
    shared = spec.per_dataset
    # a part may begin between replicates that share one
    begins = {(spec.replicates.first + width * part) % shared for part in range(shared)}
    return max((begin + width - 1) // shared + 1 for begin in begins)


def _settings(spec: TrialSpec) -> dict[str, float]:
    """The program's inputs that stay the same from step to step. A setting that is off is left out, and so is its work."""
    used = {name: getattr(spec.model, name) for name in ("dropout", "l1", "l2") if getattr(spec.model, name)}
    settings = optimizers.settings_of(spec.optimizer) | losses.settings_of(spec.loss) | used
    if spec.model.normalisation:
        settings["norm_epsilon"] = spec.model.norm_epsilon
    if spec.model.normalisation == BATCH:
        settings["norm_momentum"] = spec.model.norm_momentum
    if spec.training.patience is not None:
        settings["min_delta"] = spec.training.min_delta
    if isinstance(spec.schedule, ReduceOnPlateau):
        settings["plateau_factor"], settings["plateau_min_delta"] = spec.schedule.factor, spec.schedule.min_delta
        settings["lowest_factor"] = spec.schedule.min_learning_rate / spec.optimizer.learning_rate
    return settings


def _plans(by_step: Mapping[str, Floats], epochs: int, followed_from: int, signature: Signature) -> list[LegPlan]:
    """Cut a training of `epochs` into legs. followed_from: the first epoch, from 1, that is followed.

    by_step: {name: [epochs × steps]}; a short last leg's is padded with zeros.
    """
    plans = []
    for start in range(0, epochs, signature.leg_epochs):
        first, length = start * signature.steps, signature.leg_epochs * signature.steps
        inputs = {name: np.zeros(length, np.float32) for name in by_step}
        for name, values in by_step.items():
            own = values[first : first + length]
            inputs[name][: len(own)] = own
        followed = max(followed_from - 1 - start, 0)
        plans.append(LegPlan(start, min(signature.leg_epochs, epochs - start), followed, inputs))
    return plans


def _joined(parts: Sequence[Mapping[str, Floats]]) -> Network:
    return Network({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def environment() -> dict[str, str]:
    """Return what decides the bits besides the spec, the code and the data: versions, processor and switches."""
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
    }
