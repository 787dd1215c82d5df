"""Losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from study.settings.data import CLASSIFICATION, REGRESSION
from study.settings.rules import Kind, registry


class Loss(Kind):
    """What training minimises, averaged over the batch."""

    task: ClassVar[str]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    name = "mse"
    task = REGRESSION


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    name = "sparse_categorical_crossentropy"
    task = CLASSIFICATION


@dataclass(frozen=True)
class AutoLoss(Loss):
    """mse for regression, sparse categorical cross-entropy for classification; resolved when a `TrialSpec` is made."""

    name = "auto"


KINDS = registry(AutoLoss, MeanSquaredError, SparseCategoricalCrossentropy)
