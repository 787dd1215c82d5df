"""One trial: train a cohort leg by leg, watch it, and end in an `Outcome`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from study import batches, cohort, convergence, dataset, disagreement, distance, fingerprints, intervals, network
from study.clock import Clock
from study.records import Cohort, Completed, Dataset, Failed, Floats, Integers, Leg, Pruned, Summary, TrialResult, unstack
from study.settings.data import CLASSIFICATION
from study.spec import TrialSpec


class Recorder(Protocol):
    """Where a trial's record goes; see `tracking.TrialRecorder`. Every method returns at once, `close` when all is written."""

    run_id: str | None

    def leg(self, leg: Leg) -> None: ...
    def cohort(
        self,
        cohort: Cohort,
        summary: Summary,
        fingerprints: Sequence[str],
        target: Floats | Integers,
        environment: Mapping[str, str],
    ) -> None: ...
    def close(self, result: Completed | Pruned | Failed | None) -> None: ...


Prune = Callable[[Leg], bool]


def never(_: Leg) -> bool:
    return False


def train(spec: TrialSpec) -> Cohort:
    """Trains all replicates of `spec` and labels them. Diverged networks are kept, with the label 'diverged'.

    Raises BadInput if the settings don't fit the data.
    """
    data = dataset.load_data(spec)
    training = cohort.Training(spec, data, Clock())
    return finish(spec, data, training, list(training.legs()))


def finish(spec: TrialSpec, data: Dataset, training: cohort.Training, legs: Sequence[Leg]) -> Cohort:
    """The cohort after the last leg."""
    weights = training.weights()
    train_loss = np.concatenate([leg.train_loss for leg in legs]).T
    start = network.layer_outputs(training.initial_kernels, training.initial_biases, data.x_train, spec.model.activation)[-1]
    initial_losses = network.losses(start, data.y_train)
    networks = unstack(weights.kernels, weights.biases)
    labels = tuple(
        convergence.label(curve, float(initial), net, data, spec.model.activation)
        for curve, initial, net in zip(train_loss, initial_losses, networks, strict=True)
    )
    return Cohort(
        spec=spec,
        initial_kernels=training.initial_kernels,
        initial_biases=training.initial_biases,
        kernels=weights.kernels,
        biases=weights.biases,
        train_loss=train_loss,
        val_loss=np.concatenate([leg.val_loss for leg in legs]).T,
        learning_rate=np.concatenate([leg.learning_rate for leg in legs]),
        predictions=weights.predictions,
        labels=labels,
        seeds=batches.replicate_seeds(spec),
        width=cohort.WIDTH,
    )


def summarise(trained: Cohort, data: Dataset, marks: Sequence[str]) -> Summary:
    """What the trial is judged by. Distance and disagreement are means over the pairs of replicates."""
    final = [float(loss) for loss in trained.val_loss[:, -1]]
    rows = distance.vectors(trained.networks())
    if trained.spec.data.task == CLASSIFICATION:
        apart = disagreement.churn(trained.predictions)
    else:
        apart = disagreement.normalised_rmse(trained.predictions, data.y_val)
    return Summary(
        val_losses=final,
        val_loss_mean=float(np.mean(final)),
        val_loss_std=float(np.std(final, ddof=1)) if len(final) > 1 else 0.0,
        val_loss_halfwidth=intervals.mean_halfwidth(final),
        train_loss_mean=float(np.mean(trained.train_loss[:, -1])),
        distance=distance.mean_of_pairs(distance.relative_l2(rows)),
        disagreement=distance.mean_of_pairs(apart),
        distinct=len(set(marks)),
        labels={name: trained.labels.count(name) for name in convergence.LABELS if name in trained.labels},
    )


def run_trial(
    spec: TrialSpec,
    data: Dataset,
    recorder: Recorder,
    clock: Clock,
    prune: Prune = never,
    progress: Callable[[Leg], None] | None = None,
) -> TrialResult:
    """Trains, records and judges one trial. A network that diverges makes it `Failed`, which is a result and no exception."""
    outcome: Completed | Pruned | Failed | None = None
    try:
        outcome = _run(spec, data, recorder, clock, prune, progress)
    finally:
        # without an outcome, an exception or a signal is on its way up: the run is closed as killed
        with clock.phase("track"):
            recorder.close(outcome)
    return TrialResult(outcome, recorder.run_id, dict(clock.seconds))


def _run(
    spec: TrialSpec,
    data: Dataset,
    recorder: Recorder,
    clock: Clock,
    prune: Prune,
    progress: Callable[[Leg], None] | None,
) -> Completed | Pruned | Failed:
    training = cohort.Training(spec, data, clock)
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
            return Pruned(leg.epochs_done, float(np.mean(leg.val_loss[-1])))
    with clock.phase("analyse"):
        trained = finish(spec, data, training, legs)
        marks = [fingerprints.digest(net) for net in trained.networks()]
        summary = summarise(trained, data, marks)
    with clock.phase("track"):
        recorder.cohort(trained, summary, marks, data.y_val, cohort.environment())
    return Completed(summary)


def _divergence(leg: Leg, legs: Sequence[Leg]) -> str:
    losses = np.concatenate([np.stack([each.train_loss, each.val_loss]) for each in legs], axis=1)
    wrong = ~np.isfinite(losses).all(axis=0)  # [epochs, R]
    wrong[-1] |= ~leg.finite
    epoch, replicate = np.argwhere(wrong)[0]
    return f"diverged: {np.sum(~leg.finite)} of {len(leg.finite)} replicates, replicate {replicate} not finite in epoch {epoch + 1}"
