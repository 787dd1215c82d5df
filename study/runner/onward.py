"""Bound the training that asks whether a study's winner converges: without early stopping, until weights and function rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from study.data import batches
from study.engine.width import width_of
from study.records.cohort import Cohort
from study.records.dataset import Dataset
from study.records.network import parameter_count
from study.records.outcome import Standing
from study.settings.optimizer import SGD
from study.settings.spec import TrialSpec
from study.settings.training import SETTLED

REPLICATES, TIMES = 8, 10  # of the winner's, at most; as many epochs as it was given
# seconds on two cores; of a program's step, and operations a second. It is no clock's, so that all machines end alike
SECONDS, STEP_SECONDS, OPERATIONS = 20.0, 4e-5, 3e10

# networks whose curvature is searched, and parameters times rows of all of them: about two seconds
MOST_STANDING, MOST_WORK = 4, 2e7


def standing(cohort: Cohort, datasets: Sequence[Dataset]) -> Standing | None:
    """Return where the first few networks stand; None where even one takes too long, or the search finds no eigenvalues."""
    from study.engine import curvature

    rows = len(datasets[0].x_train)
    size = sum(array[0].size for array in cohort.network.trainable.values())
    count = min(MOST_STANDING, len(cohort), int(MOST_WORK / (size * rows)))
    pairs = zip(cohort.networks()[:count], datasets, strict=False)
    found = [curvature.stationarity(cohort.spec, network, data) for network, data in pairs]
    if not found or not np.isfinite([(place.gradient_term, place.curvature_ratio) for place in found]).all():
        return None
    optimizer = cohort.spec.optimizer
    plain = isinstance(optimizer, SGD) and not optimizer.momentum and batches.batch_size(cohort.spec, rows) == rows
    rates = [float(curve[: max(1, trained)][-1]) for curve, trained in zip(cohort.learning_rate, cohort.trained, strict=True)]
    return Standing(
        gradient=[place.gradient_term for place in found],
        curvature=[place.curvature_ratio for place in found],
        stationary=sum(place.is_stationary for place in found),
        saddles=sum(place.is_saddle for place in found),
        edge=[place.largest * rate for place, rate in zip(found, rates, strict=False)] if plain else None,
    )


def bounded(spec: TrialSpec, data: Dataset) -> TrialSpec:
    """Return the settings by which replicates of a trial are trained on, with the most epochs that they get."""
    sizes = data.layer_sizes(spec)
    parameters = parameter_count(sizes, spec.model.normalisation)
    rows, count = len(data.x_train), min(REPLICATES, spec.replicates.count)
    batch = batches.batch_size(spec, rows)
    steps = batches.steps_per_epoch(rows, batch, spec.training.partial_batch)
    width = width_of(sizes, batch)
    # forward and backward; the validation part goes forward alone
    operations = width * parameters * (6 * batch * steps + 2 * len(data.x_val))
    seconds = math.ceil(count / width) / 2 * (STEP_SECONDS * steps + operations / OPERATIONS)
    most = max(spec.training.epochs, min(TIMES * spec.training.epochs, int(SECONDS / seconds)))
    training = replace(spec.training, until=SETTLED, epochs=most, patience=None, motion=True)
    return replace(spec, training=training, replicates=replace(spec.replicates, count=count))
