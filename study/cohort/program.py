"""The compiled program: whole legs of training for W replicates in one XLA call, and the loop over legs and parts.

A program always trains WIDTH replicates. A cohort is cut into parts of that width, the last padded, and the parts run on
threads, one a core (XLA keeps small programs on one core and releases the interpreter's lock). In a program of one width a
replicate's bits depend neither on its place nor on its neighbours; programs of different widths differ in the last digits. So a
replicate's final weights are the same in a cohort of any size.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from study import batches, convergence, network, seeds
from study.clock import Clock
from study.cohort import compile_cache, losses, model, optimizers, schedules, stopping
from study.cohort.initializers import initial_network
from study.records import STATISTICS, Dataset, Floats, Integers, Leg, Network
from study.settings.loss import outputs as network_outputs
from study.settings.model import BATCH
from study.settings.schedule import ReduceOnPlateau
from study.settings.training import PLATEAUED
from study.spec import TrialSpec

# On two cores the source's workload took 49, 49, 80 and 167 ms for a lone network at width 1, 2, 4 and 8, and 24, 19, 14 and
# 13 ms a network in a cohort of 32: four is near the best where it counts, and pads a cohort that it doesn't divide by less.
WIDTH = 4


@dataclass(frozen=True)
class Signature:
    """What a program is compiled for. Whatever is not here is an input.

    `settings` are the names of the settings that are given: a clipping that isn't set isn't in the program. `own_data`: the data
    have a replica axis. `plateau`: patience and cooldown of a learning rate that is reduced on a plateau.
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
    patience: int | None
    plateau: tuple[int, int] | None

    @property
    def partial(self) -> bool:
        """Whether an epoch's last batch is smaller than the others."""
        return self.steps * self.batch_size > self.rows


@lru_cache(maxsize=256)
def program(signature: Signature) -> Callable[..., Any]:
    """The leg of this signature; it is traced and compiled at its first call.

    (state, data, orders [W, epochs, steps, batch], settings, by_step {name: [epochs × steps]}, dropout seeds [W], epochs) →
    (state, curves {train_loss, val_loss, rate_factor: [epochs, W]}, predictions [W, n_val, outputs], finite [W]). The state is
    what `_initial_state` makes. Only the first `epochs` of a leg are trained, so that a short last leg needs no program of its
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
            if "active" in state:
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
    total = tf.constant(0.0)
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


class _Part:
    """W replicates in training: their tensors and the streams of their batch orders."""

    def __init__(
        self,
        start: int,
        spec: TrialSpec,
        signature: Signature,
        replicate_seeds: Mapping[str, Sequence[int]],
        initial: Network,
        datasets: Sequence[Dataset],
        shared: tuple[tf.Tensor, ...] | None,
    ) -> None:
        count = spec.replicates.count
        # a part is padded with copies of its last replicate, whose results are dropped
        members = [min(start + place, count - 1) for place in range(WIDTH)]
        self.kept = min(WIDTH, count - start)
        self.signature = signature
        self.order_seeds = [replicate_seeds["order"][member] for member in members]
        self.streams = {seed: seeds.generator(seed) for seed in self.order_seeds}
        # TensorFlow's stateless generators take signed seeds
        self.dropout_seeds = tf.constant(np.array([replicate_seeds["dropout"][m] for m in members], np.uint32).view(np.int32))
        tensors = {name: tf.constant(array[members]) for name, array in initial.parameters.items()}
        self.state = _initial_state(spec, signature, tensors)
        self._epochs_done = 0
        self.val_loss = np.full(self.kept, np.nan, np.float32)  # of the weights that a replicate has kept so far
        self.data = shared or tuple(
            tf.constant(np.stack(arrays)) for arrays in zip(*(_arrays(datasets[m]) for m in members), strict=True)
        )

    def compile(self, settings: dict[str, tf.Tensor], by_step: dict[str, Floats]) -> None:
        """Traces and compiles the program, unless that is done, by a call that trains nothing."""
        sig = self.signature
        orders = tf.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], tf.int32)
        blank = {name: tf.zeros([sig.leg_epochs * sig.steps]) for name in by_step}
        arguments = (self.state, self.data, orders, settings, blank, self.dropout_seeds, tf.constant(0))
        try:
            program(sig)(*arguments)
        except tf.errors.OpError:  # a torn file in the cache of compiled programs; anything else fails again
            compile_cache.clear()
            program.cache_clear()  # TensorFlow keeps the failure with the traced function
            program(sig)(*arguments)

    def advance(self, epochs: int, settings: dict[str, tf.Tensor], by_step: dict[str, Floats]) -> None:
        sig = self.signature
        drawn = {seed: batches.draw(stream, epochs, sig.rows, sig.batch_size, sig.steps) for seed, stream in self.streams.items()}
        orders = np.zeros([WIDTH, sig.leg_epochs, sig.steps, sig.batch_size], np.int32)
        for place, seed in enumerate(self.order_seeds):
            orders[place, :epochs] = drawn[seed]
        padded = {name: np.zeros(sig.leg_epochs * sig.steps, np.float32) for name in by_step}
        for name, values in by_step.items():
            padded[name][: len(values)] = values
        inputs = {name: tf.constant(values) for name, values in padded.items()}
        arguments = (self.state, self.data, tf.constant(orders), settings, inputs, self.dropout_seeds, tf.constant(epochs))
        trained_before = self.trained
        self._epochs_done += epochs
        self.state, curves, predictions, finite = program(sig)(*arguments)
        self.curves = {name: values.numpy()[:epochs, : self.kept] for name, values in curves.items()}
        self.predictions = predictions.numpy()[: self.kept]
        # what follows a replicate's stop is not a number, and no fault
        trained = np.arange(epochs)[:, None] < self.trained - trained_before
        losses_finite = np.isfinite(self.curves["train_loss"]) & np.isfinite(self.curves["val_loss"])
        self.finite = finite.numpy()[: self.kept] & (losses_finite | ~trained).all(axis=0)
        if "best_loss" in self.state:
            self.val_loss = self.state["best_loss"].numpy()[: self.kept]
        else:
            last = np.maximum(trained.sum(axis=0), 1) - 1
            self.val_loss = np.where(trained[0], self.curves["val_loss"][last, np.arange(self.kept)], self.val_loss)

    @property
    def trained(self) -> Integers:
        """Epochs that each replicate has trained, [kept]."""
        count = self.state["trained"].numpy() if "trained" in self.state else np.full(WIDTH, self._epochs_done, np.int32)
        return count[: self.kept]

    @property
    def epoch(self) -> Integers:
        """The epoch, from 1, whose weights each replicate keeps, [kept]."""
        return self.state["best_epoch"].numpy()[: self.kept] if "best_epoch" in self.state else self.trained

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Which replicates go on, [kept]."""
        return self.state["active"].numpy()[: self.kept] if "active" in self.state else np.ones(self.kept, np.bool_)

    def stop(self, members: npt.NDArray[np.bool_]) -> None:
        """Stops the replicates of a mask [kept]; a padding replicate stops with the one that it copies."""
        padded = np.concatenate([members, np.repeat(members[-1:], WIDTH - self.kept)])
        self.state["active"] = self.state["active"] & tf.constant(~padded)


def _initial_state(spec: TrialSpec, signature: Signature, initial: dict[str, tf.Tensor]) -> dict[str, Any]:
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
    if signature.patience is not None or spec.training.until == PLATEAUED:
        state |= {"active": tf.fill([WIDTH], True), "trained": tf.zeros([WIDTH], tf.int32)}
    return state


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


class Training:
    """A cohort in training. `initial` holds its first weights; iterate over `legs()`; then read `weights()`.

    datasets: that of each replicate; those that share their data have the same object. start: each replicate's first weights,
    where the settings name a run that they come from. Raises BadInput if its networks are of another architecture.
    """

    def __init__(self, spec: TrialSpec, datasets: Sequence[Dataset], clock: Clock, start: Sequence[Network] | None = None) -> None:
        self._spec, self._clock = spec, clock
        self._trivial_losses = network.trivial_losses(spec.loss, datasets) if spec.training.until == PLATEAUED else []
        data = datasets[0]
        rows, batch_size = len(data.x_train), batches.batch_size(spec, len(data.x_train))
        outputs, schedule = network_outputs(spec.loss, data.outputs), spec.schedule
        with clock.phase("train"):
            sizes = (data.x_train.shape[1], *spec.model.units, outputs)
            self.initial = initial_network(spec, sizes, start)
            settings = _settings(spec)
            self._settings = {name: tf.constant(value) for name, value in settings.items()}
            signature = Signature(
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
                patience=spec.training.patience,
                plateau=(schedule.patience, schedule.cooldown) if isinstance(schedule, ReduceOnPlateau) else None,
            )
            shared = None if signature.own_data else tuple(map(tf.constant, _arrays(data)))
            replicate_seeds = batches.replicate_seeds(spec)
            starts = range(0, spec.replicates.count, WIDTH)
            self._parts = [_Part(start, spec, signature, replicate_seeds, self.initial, datasets, shared) for start in starts]

    def legs(self) -> Iterator[Leg]:
        """Trains on, one leg a step, until the epochs are done, every replicate has stopped, or the caller stops asking."""
        signature, epochs = self._parts[0].signature, self._spec.training.epochs
        rates = schedules.learning_rates(self._spec.schedule, self._spec.optimizer.learning_rate, epochs, signature.steps)
        by_step = {"learning_rate": rates} | optimizers.settings_by_step(self._spec.optimizer, epochs * signature.steps)
        curves: list[Floats] = []
        with self._clock.phase("compile"):
            self._parts[0].compile(self._settings, by_step)
        with ThreadPoolExecutor(available_cores()) as threads:
            for start in range(0, epochs, signature.leg_epochs):
                stop = min(start + signature.leg_epochs, epochs)
                steps = slice(start * signature.steps, stop * signature.steps)
                now = {name: values[steps] for name, values in by_step.items()}

                def advance(part: _Part, count: int = stop - start, now: dict[str, Floats] = now) -> None:
                    part.advance(count, self._settings, now)

                with self._clock.phase("train"):
                    list(threads.map(advance, self._parts))
                leg = self._leg(stop, now["learning_rate"][signature.steps - 1 :: signature.steps])
                curves.append(leg.train_loss)
                yield leg
                if self._spec.training.until == PLATEAUED:
                    self._stop_plateaued(np.concatenate(curves))
                if not any(part.active.any() for part in self._parts):
                    return

    def _leg(self, epochs_done: int, rates: Floats) -> Leg:
        def curve(name: str) -> Floats:
            return np.concatenate([part.curves[name] for part in self._parts], axis=1)

        train = curve("train_loss")
        factors = curve("rate_factor") if "rate_factor" in self._parts[0].curves else np.ones_like(train)
        finite = np.concatenate([part.finite for part in self._parts])
        current = np.concatenate([part.val_loss for part in self._parts])
        return Leg(epochs_done, train, curve("val_loss"), rates[:, None] * factors, finite, current)

    def _stop_plateaued(self, curves: Floats) -> None:
        """Stops the replicates whose training loss, [epochs, R], has plateaued."""
        trained = np.concatenate([part.trained for part in self._parts])
        judged = zip(curves.T, trained, self._trivial_losses, strict=True)
        done = np.array([convergence.has_plateaued(curve[:count], trivial) for curve, count, trivial in judged])
        for part, members in zip(self._parts, np.split(done, range(WIDTH, len(done), WIDTH)), strict=True):
            part.stop(members)

    def weights(self) -> Weights:
        """The weights that are kept after the last leg that was asked for."""
        stacked = [kept(part.state) for part in self._parts]

        def gather(name: str) -> Floats:
            return np.concatenate([found[name].numpy()[: part.kept] for found, part in zip(stacked, self._parts, strict=True)])

        networks = Network({name: gather(name) for name in self.initial.parameters})
        predictions = np.concatenate([part.predictions for part in self._parts])
        trained, epoch = (np.concatenate([getattr(part, name) for part in self._parts]) for name in ("trained", "epoch"))
        return Weights(networks, predictions, trained, epoch)


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
