"""Bound the training that asks whether a study's winner converges: without early stopping, until weights and function rest."""

from __future__ import annotations

import math
from dataclasses import replace

from study.data import batches
from study.engine.width import WIDTH
from study.records.dataset import Dataset
from study.records.network import parameter_shapes
from study.settings.spec import TrialSpec
from study.settings.training import SETTLED

REPLICATES, TIMES = 8, 10  # of the winner's, at most; as many epochs as it was given
# seconds on two cores; of a step of WIDTH replicates, and operations a second. It is no clock's, so that all machines end alike
SECONDS, STEP_SECONDS, OPERATIONS = 20.0, 4e-5, 3e10


def bounded(spec: TrialSpec, data: Dataset) -> TrialSpec:
    """Return the settings by which replicates of a trial are trained on, with the most epochs that they get."""
    sizes = data.layer_sizes(spec)
    parameters = sum(math.prod(shape) for shape in parameter_shapes(sizes, spec.model.normalisation).values())
    rows, count = len(data.x_train), min(REPLICATES, spec.replicates.count)
    batch = batches.batch_size(spec, rows)
    steps = batches.steps_per_epoch(rows, batch, spec.training.partial_batch)
    # forward and backward; the validation part goes forward alone
    operations = WIDTH * parameters * (6 * batch * steps + 2 * len(data.x_val))
    seconds = math.ceil(count / WIDTH) / 2 * (STEP_SECONDS * steps + operations / OPERATIONS)
    most = max(spec.training.epochs, min(TIMES * spec.training.epochs, int(SECONDS / seconds)))
    training = replace(spec.training, until=SETTLED, epochs=most, patience=None, motion=True)
    return replace(spec, training=training, replicates=replace(spec.replicates, count=count))
