"""Train one trial leg by leg, watch it, and end in an `Outcome`."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from study import locations
from study.analysis import blame, blas, convergence, error_table, fingerprints, forward, motion, pairwise, summaries, tested
from study.analysis.motion import Motion
from study.clock import Clock
from study.data import batches, dataset
from study.engine.training import CohortTraining, environment
from study.records.arrays import Array, Floats, Integers
from study.records.cohort import Cohort, Leg
from study.records.dataset import Dataset
from study.records.network import Network
from study.records.outcome import Completed, Failed, Onward, Pruned, Summary, Tested, TrialResult
from study.reporting import curve_picture
from study.runner import onward as onwards
from study.sampling import evenly
from study.settings.spec import TrialSpec
from study.settings.training import Replicates
from study.tracking import provenance, warm_start


class Recorder(Protocol):
    """Stores a trial's record, as `spool.TrialRecorder` does. Methods return at once; `close` returns when all is written."""

    run_id: str | None

    def leg(self, leg: Leg) -> None: ...
    def cohort(
        self,
        cohort: Cohort,
        summary: Summary,
        fingerprints: Sequence[str],
        targets: Sequence[Floats | Integers],
        environment: Mapping[str, str],
        comparison: Mapping[str, Array],
        searchable: Sequence[str],
        onward: tuple[Cohort, Sequence[Floats | Integers]] | None,
        picture: str,
        errors: str,
    ) -> None: ...
    def close(self, result: Completed | Pruned | Failed | None) -> None: ...


@dataclass(frozen=True)
class LastLook:
    """A winner at its end: judge it on the test part, and train it on.

    with_baselines: to fit baselines too; default: a setting to judge beside it; start: the weights that the default setting's
    replicates start from, if not fresh ones. onward: train replicates on until they rest.
    """

    with_baselines: bool
    default: TrialSpec | None = None
    start: Sequence[Network] | None = None
    onward: bool = False


Prune = Callable[[Leg], bool]
LABEL_ROWS = 20_000
TIMED_ROWS = 1_000  # of a prediction


def never(_: Leg) -> bool:
    return False


def train(spec: TrialSpec) -> Cohort:
    """Train all replicates of `spec` and label them. Diverged networks are kept, with the label 'diverged'.

    Raises BadInput if the settings don't fit the data.
    """
    datasets = dataset.load_replicates(spec)
    training = CohortTraining(spec, datasets, Clock(), warm_start.load(spec, datasets[0], locations.tracking_uri(None)))
    return finish(spec, datasets, training, list(training.legs()))[0]


def finish(
    spec: TrialSpec, datasets: Sequence[Dataset], training: CohortTraining, legs: Sequence[Leg]
) -> tuple[Cohort, Motion | None]:
    """Return the trained cohort after the last leg, and its motion if it was followed."""
    weights = training.weights()
    train_loss, val_loss = (np.concatenate([getattr(leg, name) for leg in legs]).T for name in ("train_loss", "val_loss"))
    trivial_losses = forward.trivial_losses(spec.loss, datasets)
    samples = [_sample(data) for data in datasets]
    with blas.one_thread(blas.multiplications(weights.network, len(samples[0].x_train))):
        labels = tuple(
            convergence.label(
                curve[: max(1, count)],
                _loss(start, data, spec),
                np.append(_val_loss(start, data, spec), val_curve[: max(1, count)]),
                net,
                data.x_train,
                trivial,
                spec.model,
            )
            for curve, val_curve, count, start, net, data, trivial in zip(
                train_loss,
                val_loss,
                weights.trained,
                training.initial.unstack(),
                weights.network.unstack(),
                samples,
                trivial_losses,
                strict=True,
            )
        )
    cohort = Cohort(
        spec=spec,
        initial=training.initial,
        network=weights.network,
        train_loss=train_loss,
        val_loss=val_loss,
        learning_rate=np.concatenate([leg.learning_rate for leg in legs]).T,
        predictions=weights.predictions,
        trained=weights.trained,
        epoch=weights.epoch,
        labels=labels,
        seeds=batches.replicate_seeds(spec),
        width=training.signature.width,
        trajectory=training.trajectory(),
    )
    with blas.one_thread():
        moved = motion.of_cohort(cohort, datasets)
    if moved is None:
        return cohort, None
    last = train_loss[np.arange(len(cohort)), np.maximum(weights.trained, 1) - 1]
    return replace(cohort, labels=motion.refined(labels, moved, (last / trivial_losses).tolist())), moved


def _sample(data: Dataset) -> Dataset:
    """Return at most LABEL_ROWS training rows, evenly spaced: enough to see dead layers and the loss before training."""
    return data if len(data.x_train) <= LABEL_ROWS else data.part(evenly(len(data.x_train), LABEL_ROWS))


def _loss(net: Network, data: Dataset, spec: TrialSpec) -> float:
    """Return a network's training loss, computed as training does."""
    outputs = forward.layer_outputs(Network.stack([net]), data.x_train, spec.model, training=True)[-1]
    return float(forward.losses(outputs, data.y_train, spec.loss, data.weights_train)[0])


def _val_loss(net: Network, data: Dataset, spec: TrialSpec) -> float:
    outputs = forward.layer_outputs(Network.stack([net]), data.x_val, spec.model)[-1]
    return float(forward.losses(outputs, data.y_val, spec.loss, data.weights_val)[0])


def run_trial(
    spec: TrialSpec,
    datasets: Sequence[Dataset],
    recorder: Recorder,
    clock: Clock,
    prune: Prune = never,
    progress: Callable[[Leg], None] | None = None,
    start: Sequence[Network] | None = None,
    test: LastLook | None = None,
) -> TrialResult:
    """Train, record and judge one trial. A network that diverges makes it `Failed`, which is a result, not an exception."""
    outcome: Completed | Pruned | Failed | None = None
    try:
        outcome = _run(spec, datasets, recorder, clock, prune, progress, start, test)
    finally:
        # without an outcome, an exception or a signal is passing through: the run is closed as killed
        with clock.phase("track"):
            recorder.close(outcome)
    return TrialResult(outcome, recorder.run_id, dict(clock.seconds))


def _run(
    spec: TrialSpec,
    datasets: Sequence[Dataset],
    recorder: Recorder,
    clock: Clock,
    prune: Prune,
    progress: Callable[[Leg], None] | None,
    start: Sequence[Network] | None,
    test: LastLook | None,
) -> Completed | Pruned | Failed:
    # before training, since a file may change meanwhile
    origin, judged_by = provenance.describe(spec), dataset.judged_by(spec)
    training = CohortTraining(spec, datasets, clock, start)
    legs: list[Leg] = []
    for leg in training.legs():
        legs.append(leg)
        with clock.phase("track"):
            recorder.leg(leg)
        if progress:
            progress(leg)
        if not leg.finite.all():
            return Failed(_divergence(leg, legs))
        if prune(leg):
            return Pruned(leg.epochs_done, float(np.mean(leg.current)))
    with clock.phase("analyse"):
        trained, examined, marks, summary = _analysed(spec, datasets, training, legs, clock)
        summary = replace(summary, judged_by=judged_by)
    if test:
        with clock.phase("test"):
            summary = replace(summary, tested=_judged(trained, test))
    trained_on = None
    if test and test.onward:
        onward, trained_on = _train_on(onwards.bounded(spec, datasets[0]), datasets, start, clock)
        summary = replace(summary, onward=onward)
    if spec.replicates.crossed:
        near = _one_ulp_apart(spec, datasets, clock, start)
        with clock.phase("analyse"):
            summary = replace(summary, blame=blame.blame(trained, datasets, near))
    with clock.phase("track"):
        targets = [data.y_val for data in datasets]
        comparison = examined.arrays() if examined else {}
        surroundings = environment() | {"width": str(training.signature.width)} | origin
        searchable = summaries.searchable_texts(trained, datasets)
        further = (trained_on, targets[: len(trained_on)]) if trained_on else None
        picture, errors = curve_picture.svg(trained), error_table.as_text(trained, datasets)
        recorder.cohort(trained, summary, marks, targets, surroundings, comparison, searchable, further, picture, errors)
    return Completed(summary)


def _train_on(
    spec: TrialSpec, datasets: Sequence[Dataset], start: Sequence[Network] | None, clock: Clock
) -> tuple[Onward, Cohort | None]:
    """Train replicates until they rest, and judge them; the cohort is None where a network has diverged."""
    own = datasets[: spec.replicates.count]
    training = CohortTraining(spec, own, clock, start and start[: spec.replicates.count])
    legs = _legs(training)
    losses = np.concatenate([leg.val_loss for leg in legs])
    best = np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=0)
    lowest = float(np.mean(losses[best, np.arange(len(own))]))
    onward = Onward(
        most=spec.training.epochs,
        trained=training.weights().trained.tolist(),
        best=(best + 1).tolist(),
        best_loss=lowest if np.isfinite(lowest) else None,
        summary=None,
    )
    if not legs[-1].finite.all():
        return replace(onward, reason=_divergence(legs[-1], legs)), None
    with clock.phase("analyse"):
        trained, _, _, summary = _analysed(spec, own, training, legs, clock)
        standing = onwards.standing(trained, own)
    return replace(onward, summary=summary, standing=standing), trained


def _judged(trained: Cohort, test: LastLook) -> Tested | None:
    """Judge a trial on the test part, and the default setting by as many replicates, if none of them diverges."""
    default = None
    if test.default and dataset.load_tested(trained.spec) is not None:
        spec = replace(test.default, replicates=trained.spec.replicates)
        datasets = dataset.load_replicates(spec)
        training = CohortTraining(spec, datasets, Clock(), test.start)
        legs = _legs(training)
        default = finish(spec, datasets, training, legs)[0] if legs[-1].finite.all() else None
    return tested.judge(trained, with_baselines=test.with_baselines, default=default)


def measure(
    spec: TrialSpec,
    datasets: Sequence[Dataset],
    clock: Clock,
    start: Sequence[Network] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> TrialResult:
    """Train replicates for their losses and scores alone: nothing is recorded, and pairs aren't compared.

    Raises KeyboardInterrupt after a leg in which it was `interrupted`.
    """
    training = CohortTraining(spec, datasets, clock, start)
    legs = _legs(training, interrupted)
    if not legs[-1].finite.all():
        return TrialResult(Failed(_divergence(legs[-1], legs)), None, dict(clock.seconds))
    with clock.phase("analyse"):
        summary = _analysed(spec, datasets, training, legs, clock, compared=False)[-1]
    return TrialResult(Completed(summary), None, dict(clock.seconds))


def _legs(training: CohortTraining, interrupted: Callable[[], bool] = lambda: False) -> list[Leg]:
    """Train to the end, or to the first leg after which a replicate isn't finite."""
    legs: list[Leg] = []
    for leg in training.legs():
        legs.append(leg)
        if interrupted():
            raise KeyboardInterrupt
        if not leg.finite.all():
            break
    return legs


def _analysed(
    spec: TrialSpec,
    datasets: Sequence[Dataset],
    training: CohortTraining,
    legs: Sequence[Leg],
    clock: Clock,
    *,
    compared: bool = True,
) -> tuple[Cohort, pairwise.Examination | None, list[str], Summary]:
    """Return the trained cohort, the comparison of its replicates, each one's fingerprint, and the trial's summary."""
    trained, moved = finish(spec, datasets, training, legs)
    examined = pairwise.examine(trained, datasets, moved) if compared and len(trained) > 1 else None
    marks = [fingerprints.digest(net) for net in trained.networks()]
    summary = summaries.summarise(trained, datasets, marks, examined, moved)
    seconds = clock.seconds.get("train", 0.0) / len(trained)
    return trained, examined, marks, replace(summary, seconds=seconds, predict_seconds=_predict_seconds(trained, datasets[0]))


def _predict_seconds(trained: Cohort, data: Dataset) -> float:
    """Return the seconds that a network takes to predict one row of the validation part, the first TIMED_ROWS at once."""
    one, x = Network({name: array[:1] for name, array in trained.network.parameters.items()}), data.x_val[:TIMED_ROWS]
    # the least, since whatever else the machine does only adds
    return min(timeit.repeat(lambda: forward.layer_outputs(one, x, trained.spec.model), number=1, repeat=5)) / len(x)


def _one_ulp_apart(spec: TrialSpec, datasets: Sequence[Dataset], clock: Clock, start: Sequence[Network] | None) -> Cohort:
    """Train the first cell of a crossed design repeatedly, with one weight moved by one unit in the last place."""
    near = replace(spec, replicates=Replicates(count=blame.ULP_REPLICATES, vary=("ulp",)))
    data = [datasets[0]] * blame.ULP_REPLICATES
    training = CohortTraining(near, data, clock, start and [start[0]] * blame.ULP_REPLICATES)
    legs = list(training.legs())
    with clock.phase("analyse"):
        return finish(near, data, training, legs)[0]


def _divergence(leg: Leg, legs: Sequence[Leg]) -> str:
    losses = np.concatenate([np.stack([done.train_loss, done.val_loss]) for done in legs], axis=1)
    # a healthy replicate's losses are NaN only after its stop
    wrong = ~np.isfinite(losses).all(axis=0) & ~leg.finite  # [epochs, R]
    wrong[-1] |= ~leg.finite
    epoch, replicate = np.argwhere(wrong)[0]
    return f"diverged: {np.sum(~leg.finite)} of {len(leg.finite)} replicates, replicate {replicate} not finite in epoch {epoch + 1}"
