"""Settings of the loss. Definitions and defaults are Keras' (keras/src/losses); classification uses logits and class numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from study.errors import Fault
from study.settings.data import CLASSIFICATION, REGRESSION
from study.settings.rules import Kind, number, registry, setting


class Loss(Kind):
    """The quantity that training minimises, averaged over the batch."""

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
    """Half the squared error up to `delta`, linear beyond; in units of the normalised target."""

    name = "huber"
    task = REGRESSION
    delta: float = setting(1.0, number(0, 1e18, above=True))  # single precision holds its square


@dataclass(frozen=True)
class LogCosh(Loss):
    name = "log_cosh"
    task = REGRESSION


@dataclass(frozen=True)
class MeanAbsolutePercentageError(Loss):
    """100 · |error| / |target|. Targets are normalised to mean 0, and those nearest to it have the largest weight."""

    name = "mape"
    task = REGRESSION


@dataclass(frozen=True)
class Crossentropy(Loss):
    """With `label_smoothing` s and K classes, the target of the true class is 1 − s + s / K, and that of each other class s / K."""

    task = CLASSIFICATION
    label_smoothing: float = setting(0.0, number(0, 1))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Crossentropy):
    name = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class CategoricalCrossentropy(Crossentropy):
    """The same loss from one-hot targets; it differs from the sparse one in the last digits."""

    name = "categorical_crossentropy"


@dataclass(frozen=True)
class BinaryCrossentropy(Crossentropy):
    """For two classes: the network has one output, the logit of class 1."""

    name = "binary_crossentropy"


@dataclass(frozen=True)
class AutoLoss(Loss):
    """mse for regression, sparse categorical cross-entropy for classification; resolved when a `TrialSpec` is made."""

    name = "auto"


# `auto` is the first of the data's task
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
    """Describe the quantity that a loss measures: two losses with equal texts give equal outputs equal numbers."""
    if isinstance(loss, Crossentropy):
        return f"cross-entropy with label_smoothing {loss.label_smoothing:g}"
    return " ".join([loss.name, *(f"with {key} {value:g}" for key, value in vars(loss).items())])


def outputs(loss: Loss, data_outputs: int) -> int:
    """Return the network's number of outputs for data with `data_outputs` target columns or classes."""
    return 1 if isinstance(loss, BinaryCrossentropy) else data_outputs


def unsuitable(loss: Loss, data_outputs: int) -> Fault | None:
    """Return the fault of a loss for data with this many target columns or classes; None if it suits them."""
    if isinstance(loss, BinaryCrossentropy) and data_outputs != 2:
        valid = f"{SparseCategoricalCrossentropy.name}, {CategoricalCrossentropy.name} (the data have {data_outputs} classes)"
        return Fault("loss", loss.name, valid)
    return None
