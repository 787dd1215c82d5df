"""Losses. Definitions and defaults are Keras' (keras/src/losses); classification is by logits and class numbers throughout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from study.errors import Fault
from study.settings.data import CLASSIFICATION, REGRESSION
from study.settings.rules import Kind, number, registry, setting


class Loss(Kind):
    """What training minimises, averaged over the batch."""

    task: ClassVar[str]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    name = "mse"
    task = REGRESSION


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    name = "mae"
    task = REGRESSION


@dataclass(frozen=True)
class Huber(Loss):
    """Half the squared error up to `delta`, from there on linear; in units of the normalised target."""

    name = "huber"
    task = REGRESSION
    delta: float = setting(1.0, number(0, 1e18, above=True))  # single precision holds its square


@dataclass(frozen=True)
class LogCosh(Loss):
    name = "log_cosh"
    task = REGRESSION


@dataclass(frozen=True)
class MeanAbsolutePercentageError(Loss):
    """100 · |error| / |target|. Targets are normalised to mean 0, and those nearest to it weigh most."""

    name = "mape"
    task = REGRESSION


@dataclass(frozen=True)
class Crossentropy(Loss):
    """`label_smoothing` s makes the target of a true class 1 − s + s / K, and of each other class s / K, of K classes."""

    task = CLASSIFICATION
    label_smoothing: float = setting(0.0, number(0, 1))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Crossentropy):
    name = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class CategoricalCrossentropy(Crossentropy):
    """The same loss from one-hot targets: it differs from the sparse one in the last digits."""

    name = "categorical_crossentropy"


@dataclass(frozen=True)
class BinaryCrossentropy(Crossentropy):
    """For two classes: the network has one output, the logit of class 1."""

    name = "binary_crossentropy"


@dataclass(frozen=True)
class AutoLoss(Loss):
    """mse for regression, sparse categorical cross-entropy for classification; resolved when a `TrialSpec` is made."""

    name = "auto"


# the first of a task is what auto stands for
KINDS = registry(
    AutoLoss,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    LogCosh,
    MeanAbsolutePercentageError,
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
)


def measured(loss: Loss) -> str:
    """What a loss measures: two losses of the same text give networks of the same outputs the same number."""
    if isinstance(loss, Crossentropy):
        return f"cross-entropy with label_smoothing {loss.label_smoothing:g}"
    return " ".join([loss.name, *(f"with {key} {value:g}" for key, value in vars(loss).items())])


def outputs(loss: Loss, data_outputs: int) -> int:
    """The network's number of outputs, where the data have `data_outputs` target columns or classes."""
    return 1 if isinstance(loss, BinaryCrossentropy) else data_outputs


def unsuitable(loss: Loss, data_outputs: int) -> Fault | None:
    """What is wrong with a loss for data of so many target columns or classes; None if nothing is."""
    if isinstance(loss, BinaryCrossentropy) and data_outputs != 2:
        valid = f"{SparseCategoricalCrossentropy.name}, {CategoricalCrossentropy.name} (the data have {data_outputs} classes)"
        return Fault("loss", loss.name, valid)
    return None
