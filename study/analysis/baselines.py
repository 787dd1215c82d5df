"""Baselines: models of scikit-learn, fitted in seconds to the rows that networks train on and judged on the same held-out rows.

All keep scikit-learn's defaults, except that logistic regression may take 1,000 iterations. They minimise the squared error or the
cross-entropy, whichever loss the networks have; boosting minimises the absolute error where that is the loss. Large data are cut,
so that each model takes at most some ten seconds on two cores: linear models and boosting see a random part of the rows, and each
tree of the forest draws fewer, as `Baseline.rows` shows. A model that would see fewer than 500 of them is left out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from study import seeds
from study.analysis.forward import best_constant, logits, row_losses
from study.records.arrays import Array, Doubles
from study.records.dataset import Dataset
from study.settings.data import CLASSIFICATION
from study.settings.loss import Loss, MeanAbsoluteError, MeanSquaredError

CONSTANT, MEAN, MAJORITY = "constant", "mean", "majority"
RIDGE, LOGISTIC, BOOSTING, FOREST = "ridge", "logistic", "boosting", "forest"
FEWEST_ROWS = 500
# values that a model can read in a few seconds: rows × columns × outputs, for the forest rows × columns tried of one tree
LINEAR_VALUES, BOOSTING_VALUES, FOREST_VALUES = 20_000_000, 7_000_000, 100_000
OVERHEAD_ROWS, OVERHEAD_COLUMNS = 5000, 30  # a tree of boosting takes as long for its bins, and for itself, as for that many


@dataclass(frozen=True)
class Baseline:
    """A baseline's predictions for the held-out rows.

    outputs: [n, units] as a network has them, for classification logits. losses: of each row by the trial's own loss, [n].
    rows: of the training part, those that it saw; for the forest, those that each tree draws. seconds: of fitting and prediction.
    """

    name: str
    outputs: Doubles
    losses: Doubles
    rows: int
    seconds: float


def fitted(data: Dataset, loss: Loss, seed: int) -> Iterator[Baseline]:
    """Fit one baseline after the other to the training part, and judge it on the other part, `x_val` and `y_val`.

    The constant comes first: mean or majority, or for another loss the constant that suits it best. For classes, a probability of
    zero becomes that of a class never seen (the rule of succession): a forest gives zero where none of its trees has an example.
    Where the training part has one class there is only the constant.
    """
    count = len(data.x_train)
    start = time.perf_counter()
    yield _judged(_constant_name(loss), _constant(data, loss), count, data, loss, start)
    for number, (name, most, model) in enumerate(_models(data, loss, seed)):
        if (rows := min(most, count)) < min(FEWEST_ROWS, count):
            continue
        seen = np.arange(count)
        if rows < count and name != FOREST:
            seen = np.sort(seeds.generator(seed, number).permutation(count)[:rows])
        y = data.y_train[seen]
        if loss.task == CLASSIFICATION and (y == y[0]).all():
            continue
        start = time.perf_counter()
        # OpenMP's threads spin while they wait: on a busy machine that takes ten times as long as the work
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lbfgs failed to converge")
            outputs = _outputs(model, seen, data, loss)
        yield _judged(name, outputs, rows, data, loss, start)


def _judged(name: str, outputs: Doubles, rows: int, data: Dataset, loss: Loss, start: float) -> Baseline:
    return Baseline(name, outputs, row_losses(outputs[None], data.y_val, loss)[0], rows, time.perf_counter() - start)


def _constant_name(loss: Loss) -> str:
    if loss.task == CLASSIFICATION:
        return MAJORITY
    return MEAN if isinstance(loss, MeanSquaredError) else CONSTANT


def _constant(data: Dataset, loss: Loss) -> Doubles:
    if loss.task == CLASSIFICATION:
        shares = np.bincount(data.y_train, data.weights_train, data.outputs)
        shares = shares / shares.sum()
        outputs = _logits(shares[None], np.arange(data.outputs), len(data.y_train), data.outputs, loss)
    else:
        columns = data.y_train.astype(np.float64).T[..., None]  # [outputs, n, 1]
        outputs = np.array([[best_constant(loss, column, data.weights_train) for column in columns]])
    return np.repeat(outputs, len(data.x_val), axis=0)


def _models(data: Dataset, loss: Loss, seed: int) -> Iterator[tuple[str, int, Any]]:
    """Each model's name, the most rows that it may see, and the estimator."""
    from sklearn import ensemble, linear_model, multioutput  # a second, which only a study's end needs

    (count, columns), units = data.x_train.shape, data.outputs
    classes = loss.task == CLASSIFICATION
    linear = LINEAR_VALUES // (columns * units)
    ensembles = 1 if classes and units == 2 else units
    boosted = BOOSTING_VALUES // ((columns + OVERHEAD_COLUMNS) * ensembles) - OVERHEAD_ROWS
    boosting: dict[str, Any] = {"random_state": seed, "early_stopping": False}  # stopping fails for a class with a single row
    drawn = FOREST_VALUES // max(int(np.sqrt(columns)) if classes else columns, units, 10)
    forest: dict[str, Any] = {"random_state": seed, "n_jobs": -1, "max_samples": drawn if drawn < count else None}
    if classes:
        yield LOGISTIC, linear, linear_model.LogisticRegression(max_iter=1000)
        yield BOOSTING, boosted, ensemble.HistGradientBoostingClassifier(**boosting)
        yield FOREST, drawn, ensemble.RandomForestClassifier(**forest)
    else:
        yield RIDGE, linear, linear_model.RidgeCV()
        kind = "absolute_error" if isinstance(loss, MeanAbsoluteError) else "squared_error"
        one = ensemble.HistGradientBoostingRegressor(loss=kind, **boosting)
        yield BOOSTING, boosted, one if units == 1 else multioutput.MultiOutputRegressor(one)
        yield FOREST, drawn, ensemble.RandomForestRegressor(**forest)


def _outputs(model: Any, seen: Array, data: Dataset, loss: Loss) -> Doubles:
    """Fit the model to these training rows, with their weights, and return its outputs for `x_val`, [n, units]."""
    x, y, x_val = data.x_train[seen].astype(np.float64), data.y_train[seen], data.x_val.astype(np.float64)
    weights = None if data.weights_train is None else data.weights_train[seen].astype(np.float64)
    if loss.task == CLASSIFICATION:
        model.fit(x, y, sample_weight=weights)
        return _logits(model.predict_proba(x_val), model.classes_, len(y), data.outputs, loss)
    targets = y.astype(np.float64)
    model.fit(x, targets[:, 0] if data.outputs == 1 else targets, sample_weight=weights)
    return model.predict(x_val).reshape(len(x_val), data.outputs)


def _logits(probabilities: Doubles, numbers: Array, rows: int, classes: int, loss: Loss) -> Doubles:
    """Return the outputs that a network with these probabilities would have, [n, units].

    probabilities: [n, classes seen]; numbers: of the classes seen; rows: trained on.
    """
    every = np.zeros((len(probabilities), classes))
    every[:, numbers] = probabilities
    return logits(np.where(every > 0, every, 1 / (rows + classes)), loss)
