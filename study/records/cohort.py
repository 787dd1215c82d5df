"""The R replicates of a trial: in training, a leg at a time, and trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from study.records.arrays import Floats, Integers
from study.records.network import Network
from study.records.trajectory import Trajectory
from study.settings.spec import TrialSpec


@dataclass(frozen=True)
class Leg:
    """One call of the compiled program for the whole cohort.

    Losses and learning rates are [epochs of this leg, R], losses NaN where a replicate has stopped before. `finite` [R] says
    whose parameters and losses are still finite numbers, and `current` [R] is the validation loss of what each has kept so far.
    """

    epochs_done: int
    train_loss: Floats
    val_loss: Floats
    learning_rate: Floats
    finite: npt.NDArray[np.bool_]
    current: Floats


@dataclass(frozen=True, repr=False)
class Cohort:
    """R trained networks of one trial.

    network, and initial before training: parameters with the axis [R] in front.
    train_loss, val_loss: [R, epochs]; the training loss of an epoch is the mean of its batches' losses, as Keras' `fit` reports
    it, and the validation loss is taken after the epoch; both are NaN after a replicate's stop. learning_rate: [R, epochs], at
    each epoch's end. trained: [R] epochs; epoch: [R] the one, from 1, whose weights are kept. predictions:
    [R, n_val, outputs], logits for classification.
    labels: [R] convergence labels (see `convergence`). seeds: source → [R] seeds. width: replicates in a compiled program.
    trajectory: how weights and predictions moved (see `motion`); None with `training.motion=false`.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> cohort  # doctest: +ELLIPSIS
    Cohort(2 × 4-4-3, 2 epochs, val loss ...)
    >>> [network.architecture for network in cohort.networks()]
    ['4-4-3', '4-4-3']
    """

    spec: TrialSpec
    initial: Network
    network: Network
    train_loss: Floats
    val_loss: Floats
    learning_rate: Floats
    predictions: Floats
    trained: Integers
    epoch: Integers
    labels: tuple[str, ...]
    seeds: dict[str, list[int]]
    width: int
    trajectory: Trajectory | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        losses = self.final(self.val_loss)
        labels = ", ".join(f"{count} {label}" for label, count in Counter(self.labels).items())
        size = f"{len(self)} × {self.network.architecture}, {self.val_loss.shape[1]} epochs"
        return f"Cohort({size}, val loss {losses.min():.4g} to {losses.max():.4g}: {labels})"

    def final(self, curve: Floats) -> Floats:
        """A curve's value, [R] of [R, epochs], at the epoch whose weights are kept."""
        return curve[np.arange(len(self)), np.maximum(self.epoch, 1) - 1]

    def networks(self) -> list[Network]:
        """The trained replicates, one by one."""
        return self.network.unstack()

    @property
    def kernels(self) -> tuple[Floats, ...]:
        """[R, in, out] of each layer."""
        return self.network.kernels

    @property
    def biases(self) -> tuple[Floats, ...]:
        """[R, out] of each layer."""
        return self.network.biases

    @property
    def initial_kernels(self) -> tuple[Floats, ...]:
        return self.initial.kernels

    @property
    def initial_biases(self) -> tuple[Floats, ...]:
        return self.initial.biases
