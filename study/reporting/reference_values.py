"""Motion as it was measured before this program could: medians over 16 replicates, to show beside a study of the same setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """The labels and numbers of one setting.

    settings: what distinguishes it from COMMON. loss, weights, function: how many replicates had which label. numbers: wander,
    trend, correlation, wobble, the function's correlation and disagreement, None where one wasn't known.
    """

    settings: Mapping[str, Any]
    loss: str
    weights: str
    function: str
    numbers: tuple[float | None, float | None, float | None, float | None, float | None, float | None]


RATE, SCHEDULE = "optimizer.learning_rate", "schedule"
COMMON: Mapping[str, Any] = {
    "data.feature_noise": 0.0,
    "data.target_noise": 0.0,
    "data.resample": "split",
    "data.validation_fraction": 0.2,
    "model.activation": "relu",
    "model.dropout": 0.0,
    "model.l1": 0.0,
    "model.l2": 0.0,
    "model.normalisation": None,
    "optimizer": "sgd",
    RATE: 0.1,
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_value": None,
    "optimizer.clip_norm": None,
    "optimizer.ema": None,
    SCHEDULE: "constant",
    "schedule.warmup": 0.0,
    "init": "glorot_uniform",
    "init.bias": 0.0,
    "training.batch_size": 32,
    "training.partial_batch": "drop",
    "training.patience": None,
    "training.until": "epochs",
}
NOISE: Mapping[str, Any] = {
    "data": "noise",
    "data.rows": 1000,
    "data.features": 10,
    "data.normalise": "none",
    "model.units": [128],
    "loss": "mse",
    "training.epochs": 500,
}
DIABETES: Mapping[str, Any] = {
    "data": "diabetes",
    "data.normalise": "standard",
    "model.units": [64, 64],
    "loss": "mse",
    "training.epochs": 300,
}
DIGITS: Mapping[str, Any] = {
    "data": "digits",
    "data.normalise": "standard",
    "model.units": [64, 64],
    "loss": "sparse_categorical_crossentropy",
    "training.epochs": 100,
}
REFERENCES = (
    Reference(
        {**NOISE, RATE: 0.01, "training.epochs": 2000},
        "16 still improving",
        "16 drifting",
        "16 confined",
        (0.045, 0.99, -0.37, 0.072, -0.49, 0.246),
    ),
    Reference(NOISE, "16 still improving", "16 drifting", "16 confined", (0.063, 0.95, -0.41, 0.418, -0.51, 0.603)),
    Reference(
        {**NOISE, "model.l2": 0.001},
        "14 still improving",
        "16 drifting",
        "16 confined",
        (0.050, 0.86, -0.43, 0.142, -0.47, 0.132),
    ),
    Reference(
        {**NOISE, SCHEDULE: "cosine"}, "16 still improving", "16 slowing", "16 settled", (0.0036, 0.83, -0.22, 0.021, -0.41, 0.263)
    ),
    Reference(
        {**NOISE, SCHEDULE: "reduce_on_plateau"}, "16 plateaued", "16 settled", "16 settled", (0, None, None, 0, None, 0.114)
    ),
    Reference({**NOISE, RATE: 1.0}, "16 diverged", "16 oscillating", "16 oscillating", (0.26, 0, -1, None, -1, None)),
    # judged by the loss alone, "slow" was "stuck"
    Reference({**NOISE, RATE: 0.0001}, "16 stuck", "16 drifting", "16 settled", (0.0014, 1, 1, 0.008, 1, 0.324)),
    Reference(
        {**DIABETES, SCHEDULE: "cosine"},
        "16 plateaued",
        "13 settled, 3 slowing",
        "16 settled",
        (0.001, 0.82, -0.06, 0.003, -0.45, 0.439),
    ),
    Reference(
        {**DIABETES, "training.batch_size": None, "training.epochs": 2000},
        "13 still improving",
        "16 oscillating",
        "16 oscillating",
        (0.023, 0.88, -1, 0.257, -1, 0.456),
    ),
    Reference(DIGITS, "16 plateaued", "16 drifting", "16 settled", (0.0045, 1, 0.89, 0.0003, None, 0.019)),
)


def of(settings: Mapping[str, Any]) -> Reference | None:
    """Return the reference for a trial with these settings, by dotted key; None where its task or setting has none."""
    for reference in REFERENCES:
        if all(settings.get(key) == value for key, value in {**COMMON, **reference.settings}.items()):
            return reference
    return None
