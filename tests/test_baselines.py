"""Baselines against scikit-learn itself, and on data that leave a model little to learn from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import ensemble, linear_model
from threadpoolctl import threadpool_limits

import study
from study.analysis import baselines, forward
from study.analysis.baselines import BOOSTING, CONSTANT, FOREST, LOGISTIC, MAJORITY, MEAN, RIDGE
from study.records.dataset import Dataset
from study.settings.loss import BinaryCrossentropy, Huber, MeanAbsoluteError, MeanSquaredError, SparseCategoricalCrossentropy

SEED = 3
MSE, CROSS_ENTROPY = MeanSquaredError(), SparseCategoricalCrossentropy()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine, scikit-learn's threads wait for one another for much longer than one takes."""
    with threadpool_limits(1):
        yield


def fitted(data: Dataset, loss: Any, seed: int = SEED) -> dict[str, baselines.Baseline]:
    return {baseline.name: baseline for baseline in baselines.fitted(data, loss, seed)}


def regression(rows: int, outputs: int = 1, columns: int = 3) -> Dataset:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows + 20, columns)).astype(np.float32)
    y = (x @ rng.normal(size=(columns, outputs)) + rng.normal(size=(rows + 20, outputs))).astype(np.float32)
    return Dataset(x[20:], y[20:], x[:20], y[:20], outputs)


def labelled(train: list[int], val: list[int], classes: int) -> Dataset:
    def x(labels: list[int]) -> Any:
        return np.random.default_rng(1).normal(np.array(labels)[:, None], 0.5, size=(len(labels), 2)).astype(np.float32)

    return Dataset(x(train), np.array(train, np.int32), x(val), np.array(val, np.int32), classes)


def test_regression_is_scikit_learns() -> None:
    spec = study.compose(["data=diabetes"])
    data = study.load_data(spec)
    y = data.y_train[:, 0]
    models = {
        RIDGE: linear_model.RidgeCV(),
        BOOSTING: ensemble.HistGradientBoostingRegressor(random_state=SEED),
        FOREST: ensemble.RandomForestRegressor(random_state=SEED),
    }
    results = fitted(data, spec.loss)
    assert list(results) == [MEAN, RIDGE, BOOSTING, FOREST]
    for name, model in models.items():
        expected = model.fit(data.x_train.astype(float), y.astype(float)).predict(data.x_val.astype(float))
        assert results[name].outputs == pytest.approx(expected[:, None]), name
        assert results[name].losses == pytest.approx((expected - data.y_val[:, 0]) ** 2), name
        assert results[name].rows == len(y)
    assert results[MEAN].outputs == pytest.approx(np.full(data.y_val.shape, y.mean(dtype=float)))
    assert results[RIDGE].losses.mean() < 0.7 * results[MEAN].losses.mean()


def test_classification_is_scikit_learns() -> None:
    spec = study.compose(["data=wine"])
    data = study.load_data(spec)
    models = {
        LOGISTIC: linear_model.LogisticRegression(),
        BOOSTING: ensemble.HistGradientBoostingClassifier(random_state=SEED),
        FOREST: ensemble.RandomForestClassifier(random_state=SEED),
    }
    results = fitted(data, spec.loss)
    assert list(results) == [MAJORITY, LOGISTIC, BOOSTING, FOREST]
    for name, model in models.items():
        expected = model.fit(data.x_train.astype(float), data.y_train).predict_proba(data.x_val.astype(float))
        floored = np.where(expected > 0, expected, 1 / (len(data.y_train) + 3))  # the forest's trees may all be sure
        floored /= floored.sum(axis=1, keepdims=True)
        assert forward.probabilities(results[name].outputs) == pytest.approx(floored), name
        assert results[name].losses == pytest.approx(-np.log(floored[np.arange(len(expected)), data.y_val])), name
    shares = np.bincount(data.y_train) / len(data.y_train)
    assert results[MAJORITY].losses == pytest.approx(-np.log(shares)[data.y_val])


def test_several_target_columns() -> None:
    data = regression(60, outputs=3)
    results = fitted(data, MSE)
    for name, result in results.items():
        assert result.outputs.shape == (20, 3), name
        assert result.losses == pytest.approx(np.mean((result.outputs - data.y_val) ** 2, axis=1)), name
    last = ensemble.HistGradientBoostingRegressor(random_state=SEED).fit(data.x_train, data.y_train[:, 2].astype(float))
    assert results[BOOSTING].outputs[:, 2] == pytest.approx(last.predict(data.x_val))


def test_the_constant_suits_the_loss() -> None:
    data = regression(61)
    absolute = fitted(data, MeanAbsoluteError())
    assert absolute[CONSTANT].outputs[0, 0] == pytest.approx(np.median(data.y_train))
    boosted = ensemble.HistGradientBoostingRegressor("absolute_error", random_state=SEED)
    expected = boosted.fit(data.x_train, data.y_train[:, 0].astype(float)).predict(data.x_val)
    assert absolute[BOOSTING].losses == pytest.approx(np.abs(expected - data.y_val[:, 0]))
    assert fitted(data, Huber(0.1))[CONSTANT].losses.mean() > 0


def test_a_class_that_is_absent_from_the_training_part() -> None:
    data = labelled([0] * 6 + [2] * 4, [0, 1, 2], classes=3)
    results = fitted(data, CROSS_ENTROPY)
    assert list(results) == [MAJORITY, LOGISTIC, BOOSTING, FOREST]
    # shares of 0.6 and 0.4, and 1/13 for the class never seen
    assert results[MAJORITY].losses == pytest.approx(np.log((1 + 1 / 13) / np.array([0.6, 1 / 13, 0.4])))
    for name, result in results.items():
        assert result.outputs.shape == (3, 3) and np.isfinite(result.outputs).all(), name
        assert result.losses[1] == pytest.approx(math.log(14)), name  # 1/13 of a total of 14/13; no zero but this one


def test_one_class_to_train_on_leaves_the_constant() -> None:
    assert list(fitted(labelled([1] * 8, [0, 1], classes=2), CROSS_ENTROPY)) == [MAJORITY]


def test_a_class_with_a_single_row_among_many() -> None:
    """Early stopping, the default beyond 10,000 rows, would need two."""
    data = labelled([0, 1] * 5001 + [2], [0, 1, 2], classes=3)
    boosting = next(baseline for baseline in baselines.fitted(data, CROSS_ENTROPY, SEED) if baseline.name == BOOSTING)
    assert boosting.rows == len(data.x_train) and np.isfinite(boosting.losses).all()


def test_one_logit_is_worth_the_same_as_two() -> None:
    data = labelled([0, 1, 1] * 10, [0, 1, 1, 0], classes=2)
    two, one = fitted(data, CROSS_ENTROPY), fitted(data, BinaryCrossentropy())
    for name in two:
        assert two[name].outputs.shape == (4, 2) and one[name].outputs.shape == (4, 1)
        assert one[name].losses == pytest.approx(two[name].losses), name


@pytest.mark.parametrize(
    "data", [regression(2), regression(2, outputs=2), labelled([0, 1], [0, 1], 2)], ids=["one", "two", "classes"]
)
def test_two_rows_to_train_on(data: Dataset) -> None:
    results = fitted(data, MSE if data.y_train.ndim == 2 else CROSS_ENTROPY)
    assert len(results) == 4 and all(np.isfinite(result.losses).all() for result in results.values())


def test_seeds_decide_what_is_drawn() -> None:
    data = regression(50)
    first, again, other = (fitted(data, MSE, seed) for seed in (0, 0, 1))
    for name in (MEAN, RIDGE, BOOSTING, FOREST):
        assert np.array_equal(first[name].outputs, again[name].outputs), name
    assert not np.array_equal(first[FOREST].outputs, other[FOREST].outputs)


def test_large_data_are_cut_and_a_model_that_would_see_too_little_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = regression(90, columns=10)
    monkeypatch.setattr(baselines, "FEWEST_ROWS", 40)
    monkeypatch.setattr(baselines, "LINEAR_VALUES", 399)  # 39 rows of 10 columns
    monkeypatch.setattr(baselines, "BOOSTING_VALUES", 40 * 5045)
    monkeypatch.setattr(baselines, "FOREST_VALUES", 500)
    results = fitted(data, MSE)
    assert {name: result.rows for name, result in results.items()} == {MEAN: 90, BOOSTING: 45, FOREST: 50}
    forest = ensemble.RandomForestRegressor(random_state=SEED, max_samples=50).fit(data.x_train, data.y_train[:, 0].astype(float))
    assert results[FOREST].outputs[:, 0] == pytest.approx(forest.predict(data.x_val))
    whole = ensemble.HistGradientBoostingRegressor(random_state=SEED).fit(data.x_train, data.y_train[:, 0].astype(float))
    assert results[BOOSTING].outputs[:, 0] != pytest.approx(whole.predict(data.x_val))


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BinaryCrossentropy(0.2)], ids=lambda loss: loss.name)
def test_logits_of_probabilities_are_worth_what_the_outputs_were(loss: Any) -> None:
    outputs = np.random.default_rng(0).normal(0, 3, size=(2, 5, 1 if isinstance(loss, BinaryCrossentropy) else 2))
    y = np.array([0, 1, 1, 0, 1], np.int32)
    shares = forward.probabilities(outputs)
    assert shares.shape == (2, 5, 2) and shares.sum(axis=-1) == pytest.approx(np.ones((2, 5)))
    assert forward.row_losses(forward.logits(shares, loss), y, loss) == pytest.approx(forward.row_losses(outputs, y, loss))
    assert np.array_equal(shares.argmax(axis=-1), forward.predicted_classes(outputs))
