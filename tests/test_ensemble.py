"""The mean prediction beside a single one, against real Keras models that are averaged by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import study
from study.analysis import ensemble, forward
from study.settings.loss import BinaryCrossentropy, Loss, MeanSquaredError

# from targets and outputs (probabilities for classes) to a loss
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mse": lambda y, outputs: np.mean((y - outputs) ** 2),
    "mae": lambda y, outputs: np.mean(np.abs(y - outputs)),
    "sparse_categorical_crossentropy": lambda y, outputs: -np.mean(np.log(outputs[range(len(y)), y])),
    "binary_crossentropy": lambda y, outputs: -np.mean(np.log(np.where(y[:, None] == 1, outputs, 1 - outputs))),
}


def losses_of(predictions: np.ndarray, y: np.ndarray, loss: Loss) -> tuple[float, float]:
    """The mean loss of the networks one by one, and the loss of their mean prediction."""
    mean = ensemble.combined(predictions, loss)
    return float(forward.losses(predictions, y, loss).mean()), float(forward.losses(mean[None], y, loss)[0])


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("diabetes", "mse"),
        pytest.param("diabetes", "mae", marks=pytest.mark.long),
        pytest.param("digits", "sparse_categorical_crossentropy", marks=pytest.mark.long),
        ("breast_cancer", "binary_crossentropy"),
    ],
)
def test_the_losses_are_those_of_keras_models_averaged_by_hand(data: str, loss: str) -> None:
    spec = study.compose([f"data={data}", f"loss={loss}", "training.epochs=5", "replicates.count=3", "model.units=[8]"])
    cohort, rows = study.train(spec), study.load_data(spec)
    outputs = [study.keras_model(cohort, replicate).predict(rows.x_val, verbose=0).astype(float) for replicate in range(3)]
    if loss.endswith("crossentropy"):
        outputs = [special.expit(logits) if loss.startswith("binary") else special.softmax(logits, axis=-1) for logits in outputs]
    single, mean = losses_of(cohort.predictions, rows.y_val, spec.loss)
    assert single == pytest.approx(np.mean([LOSSES[loss](rows.y_val, output) for output in outputs]), rel=1e-5)
    assert mean == pytest.approx(LOSSES[loss](rows.y_val, np.mean(outputs, axis=0)), rel=1e-5)
    assert mean < single, "the loss is convex"


def test_certain_networks_keep_their_digits() -> None:
    loss, y = BinaryCrossentropy(), np.array([1], np.int32)
    # probabilities of 1 - e^-50 and 1 - e^-60, which are 1 in double precision
    logits = np.array([[[50.0]], [[60.0]]], np.float32)
    assert ensemble.combined(logits, loss)[0, 0] == pytest.approx(50 + np.log(2) - np.log1p(np.exp(-10)), rel=1e-12)
    assert losses_of(logits, y, loss)[1] == pytest.approx((np.exp(-50) + np.exp(-60)) / 2, rel=1e-9)


def test_one_network_gains_nothing() -> None:
    predictions, y = np.array([[[1.0], [2.0]]], np.float32), np.array([[0.0], [4.0]], np.float32)
    assert losses_of(predictions, y, MeanSquaredError()) == (2.5, 2.5)
