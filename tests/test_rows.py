"""Intervals over rows, prediction intervals and calibration: by hand, against other libraries, and how often they are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor

from study.analysis import forward, worth
from study.data.scaling import ColumnScale
from study.settings.loss import BinaryCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from study.statistics import calibration, conformal, rows


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ends(estimates: Any) -> Any:
    return np.array([(estimate.low, estimate.high) for estimate in estimates])


# -- means over rows ---------------------------------------------------------------------------------------------------------


def test_weights_have_the_moments_of_poisson() -> None:
    weights = rows.WEIGHTS.astype(float)
    assert len(weights) == 256 and weights.mean() == 1 and weights.var() == 1
    assert np.mean((weights - 1) ** 3) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("draw", "count"), [("gamma", 40), ("normal", 30)])
def test_the_interval_is_scipys_at_the_level_of_students_t(draw: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "RESAMPLES", 20_000)
    values = rng(1).normal(size=count) if draw == "normal" else rng(1).standard_gamma(0.1, count)
    (estimate,) = rows.means(values[None], rng(2))
    assert estimate.value == values.mean()
    level = 1 - 2 * stats.norm.sf(stats.t.isf(0.025, count - 1) * math.sqrt(count / (count - 1)))
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=level, method="BCa", batch=1000, rng=rng(3)
    )
    low, high = reference.confidence_interval
    assert [estimate.low, estimate.high] == pytest.approx([low, high], abs=0.03 * (high - low))


@pytest.mark.parametrize(("draw", "mean"), [("normal", 0), ("exponential", 1)])
@pytest.mark.parametrize("count", [15, 60])
def test_the_interval_covers_the_truth_19_times_in_20(draw: str, mean: float, count: int) -> None:
    samples = 1000
    low, high = ends(rows.means(getattr(rng(4), draw)(size=(samples, count)), rng(5))).T
    covered = int(np.sum((low <= mean) & (mean <= high)))
    fewest, most = stats.binom.ppf([0.001, 0.999], samples, 0.95)
    # the smallest samples of skewed values are known to miss two more in a hundred
    assert fewest - (20 if (draw, count) == ("exponential", 15) else 0) <= covered <= most


def test_other_confidence_and_units_move_the_ends_alike() -> None:
    values = rng().exponential(size=(1, 50))
    (estimate,), (wide,), (moved,), (mirrored,) = (
        rows.means(content, rng(), confidence=confidence)
        for content, confidence in ((values, 0.95), (values, 0.99), (1000 - 3 * values, 0.95), (-values, 0.95))
    )
    assert wide.low < estimate.low < estimate.value < estimate.high < wide.high
    assert [-mirrored.high, -mirrored.low] == pytest.approx([estimate.low, estimate.high], rel=1e-3)
    assert [moved.high, moved.low] == pytest.approx([1000 - 3 * estimate.low, 1000 - 3 * estimate.high], rel=1e-5)


def test_three_rows_and_a_high_confidence_keep_the_ends_in_order() -> None:
    (estimate,) = rows.means(np.array([[0.0, 0, 1]]), rng(), confidence=0.999)
    assert (estimate.low, estimate.high) == pytest.approx((0, 1))


def test_one_draw_serves_all_models_so_that_differences_are_paired() -> None:
    first = rng().exponential(size=100)
    second = first + 0.01 + 0.02 * rng(1).normal(size=100)
    alone = rows.means(second[None], rng())
    together = rows.means(np.stack([first, second, second - first]), rng())
    assert ends(alone) == pytest.approx(ends(together)[1:2])
    assert together[2].low > 0 and together[0].high > together[1].low


def test_rows_of_a_group_are_drawn_together() -> None:
    distinct = rng().normal(size=(1, 40))
    names = np.array([f"g{number}" for number in rng().permutation(40)])
    once = ends(rows.means(distinct, rng(), names))
    together = ends(rows.means(np.repeat(distinct, 9, axis=1), rng(), np.repeat(names, 9)))
    apart = ends(rows.means(np.repeat(distinct, 9, axis=1), rng()))
    assert together == pytest.approx(once)
    assert np.ptp(apart) == pytest.approx(np.ptp(once) / 3, rel=0.1)


def test_more_rows_than_are_drawn_singly_keep_their_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = rng().exponential(size=(1, 5000))
    monkeypatch.setattr(rows, "MOST_UNITS", 300)
    (estimate,) = rows.means(values, rng())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(5000), rel=0.1)


def test_values_without_spread_and_without_an_interval() -> None:
    constant, infinite, lost, good = rows.means(np.array([[2.0, 2], [1, math.inf], [math.nan, 1], [0, 1]]), rng())
    assert (constant.low, constant.value, constant.high) == (2, 2, 2)
    assert infinite.value == math.inf and math.isnan(lost.value) and np.isnan(ends([infinite, lost])).all()
    assert good.low < 0.5 < good.high
    for estimates in (rows.means(np.array([[3.0]]), rng()), rows.means(np.array([[2.0, 4]]), rng(), np.array([7, 7]))):
        assert estimates[0].value == 3 and np.isnan(ends(estimates)).all()


def test_huge_values_keep_their_precision() -> None:
    values = rng().exponential(size=(1, 30))
    assert ends(rows.means(1e200 * values, rng())) / 1e200 == pytest.approx(ends(rows.means(values, rng())))


# -- worth of models ---------------------------------------------------------------------------------------------------------


def scales(*spreads: float) -> list[ColumnScale]:
    return [ColumnScale(None, 0.0, spread) for spread in spreads]


def test_regression_in_the_targets_own_units() -> None:
    y = np.zeros((4, 2), np.float32)
    outputs = np.array([[[1, 0], [1, 0], [-1, 2], [-1, 2]], [[0, 0]] * 4], float)
    first, exact = worth.of_models(outputs, y, MeanSquaredError(), scales(10, 0.5), rng())
    assert first.loss.value == 1.5 and first.accuracy is None  # the mean of (1 + 0) / 2 and (1 + 4) / 2, twice each
    assert [rmse.value for rmse in first.rmse] == pytest.approx([10, 0.5 * math.sqrt(2)])
    assert [mae.value for mae in first.mae] == pytest.approx([10, 0.5])
    assert ends(first.rmse)[0].tolist() == [10, 10]
    squares = rows.means(np.array([[0, 0, 1, 1.0]]), rng())  # of the second column: errors of 0 and 1
    assert ends(first.rmse)[1] == pytest.approx(np.sqrt(np.maximum(ends(squares)[0], 0)), abs=0.02)
    assert ends([exact.loss, *exact.rmse, *exact.mae]).tolist() == [[0, 0]] * 5


def test_a_target_that_is_constant_in_the_training_part_has_no_unit() -> None:
    y = np.array([[0, 1], [0, 2], [0, 4]], np.float32)
    (model,) = worth.of_models(np.array([[[0, 0], [1, 0], [0, 0]]]), y, MeanSquaredError(), scales(math.inf, 2), rng())
    assert math.isnan(model.rmse[0].value) and math.isnan(model.mae[0].low)
    assert model.rmse[1].value == pytest.approx(2 * math.sqrt(7)) and math.isfinite(model.loss.high)


@pytest.mark.parametrize("loss", [SparseCategoricalCrossentropy(), BinaryCrossentropy()], ids=lambda loss: loss.name)
def test_accuracy_has_an_interval_even_where_every_row_is_right(loss: Any) -> None:
    y = np.array([0, 1] * 15, np.int32)
    right = np.where(y[:, None] == [0, 1], 3.0, -3.0)
    outputs = np.stack([right, -right])
    outputs = outputs[..., 1:] if isinstance(loss, BinaryCrossentropy) else outputs
    good, bad = worth.of_models(outputs, y, loss, (), rng())
    assert good.loss.value == pytest.approx(forward.losses(outputs, y, loss)[0]) and good.rmse == good.mae == ()
    z = 1.959964
    assert good.accuracy and bad.accuracy
    assert [good.accuracy.low, good.accuracy.value, good.accuracy.high] == pytest.approx([1 / (1 + z**2 / 30), 1, 1])
    assert bad.accuracy.value == 0 and bad.accuracy.high == pytest.approx(1 - good.accuracy.low)
    (grouped,) = worth.of_models(outputs[:1] * np.where(np.arange(30) < 6, -1, 1)[:, None], y, loss, (), rng(), np.arange(30) // 3)
    assert grouped.accuracy and grouped.accuracy.value == 0.8
    assert grouped.accuracy.high - grouped.accuracy.low > 1.5 * (0.905 - 0.627)  # Wilson's, of 24 in 30 single rows


# -- conformal prediction ----------------------------------------------------------------------------------------------------


def test_out_of_fold_is_the_mean_over_those_that_did_not_train_on_the_row() -> None:
    trained = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    predictions = np.array([[1, 2, 3, 4], [10, 20, 30, 40], [100, 200, 300, 400]], np.float32)
    assert conformal.out_of_fold(predictions, trained) == pytest.approx([55, 200, 111, math.nan], nan_ok=True)
    shares = np.stack([predictions, 2 * predictions], axis=2)
    assert conformal.out_of_fold(shares, trained)[:3].tolist() == [[55, 110], [200, 400], [111, 222]]


@pytest.mark.parametrize(
    ("count", "coverage", "halfwidth"),
    [(9, 0.9, 9), (8, 0.9, math.inf), (9, 0.5, 5), (10, 0.5, 6), (19, 0.95, 19), (99, 0.9, 90), (99, 0.55, 55), (0, 0.5, math.inf)],
)
def test_halfwidth_is_an_order_statistic(count: int, coverage: float, halfwidth: float) -> None:
    sizes = rng().permutation(count) + 1.0
    errors = np.stack([sizes * np.where(sizes % 2, 1, -1), 2 * sizes], axis=1)
    errors = np.concatenate([errors, [[math.nan, math.nan]]])
    assert conformal.halfwidths(errors, coverage).tolist() == [halfwidth, 2 * halfwidth]


def test_exchangeable_errors_are_covered_as_often_as_asked() -> None:
    samples, count = 4000, 24  # rank 20 of 25: 80 % exactly
    errors = rng().standard_cauchy(size=(count + 1, samples))
    covered = int(np.sum(np.abs(errors[-1]) <= conformal.halfwidths(errors[:-1], 0.8)))
    fewest, most = stats.binom.ppf([0.001, 0.999], samples, 0.8)
    assert fewest <= covered <= most


def test_intervals_of_an_ensemble_cover_held_out_rows_of_diabetes() -> None:
    """Trees memorise the rows that they were trained on: errors on these would make intervals far too short."""
    x, y = load_diabetes(return_X_y=True)
    covered, by_training = [], []
    for repetition in range(30):
        order = rng(repetition).permutation(len(y))
        test, rest = order[:88], order[88:]
        trained = np.stack([rng(100 * repetition + pair).random(len(rest)) < 0.8 for pair in range(4) for _ in range(2)])
        trees = [
            DecisionTreeRegressor(max_features=0.5, random_state=number).fit(x[rest[rows]], y[rest[rows]])
            for number, rows in enumerate(trained)
        ]
        predictions = np.stack([tree.predict(x[rest]) for tree in trees])
        errors = np.abs(y[test] - np.mean([tree.predict(x[test]) for tree in trees], axis=0))
        fair = conformal.out_of_fold(predictions, trained) - y[rest]
        covered.append(np.mean(errors <= conformal.halfwidths(fair[:, None], 0.9)[0]))
        seen = predictions.mean(axis=0) - y[rest]
        by_training.append(np.mean(errors <= conformal.halfwidths(seen[:, None], 0.9)[0]))
    assert 0.88 <= np.mean(covered) <= 0.97  # above 0.9: eight trees err by less than the two to six that predict a row out of fold
    assert np.mean(by_training) < 0.6


# -- calibration -------------------------------------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    confident, unsure = [[0.9, 0.1]] * 10, [[0.4, 0.6]] * 10
    labels = np.array([0] * 8 + [1] * 2 + [1] * 7 + [0] * 3)
    curve = calibration.calibration(np.array(confident + unsure), labels, rng())
    assert curve.confidence == pytest.approx([0.6, 0.9]) and curve.accuracy == pytest.approx([0.7, 0.8])
    assert curve.rows == [10, 10] and curve.ece == pytest.approx(0.1)


def drawn(count: int, seed: int) -> tuple[Any, Any]:
    """Probabilities of three classes, and labels that were drawn by them."""
    shares = rng(seed).dirichlet([0.5] * 3, count)
    return shares, (rng(seed + 1).random(count)[:, None] > np.cumsum(shares, axis=1)[:, :2]).sum(axis=1)


def test_the_curve_is_scikit_learns() -> None:
    shares, labels = drawn(503, 0)
    curve = calibration.calibration(shares, labels, rng())
    right = (shares.argmax(axis=1) == labels).astype(int)
    accuracy, confidence = calibration_curve(right, shares.max(axis=1), n_bins=10, strategy="quantile")
    assert curve.accuracy == pytest.approx(accuracy) and curve.confidence == pytest.approx(confidence)
    assert sum(curve.rows) == 503 and min(curve.rows) >= 50


def test_only_wrong_probabilities_go_beyond_chance() -> None:
    samples = 300
    curves = [calibration.calibration(*drawn(80, 2 * seed), rng(seed)) for seed in range(samples)]
    below = sum(curve.ece <= curve.by_chance for curve in curves)
    fewest, most = stats.binom.ppf([0.001, 0.999], samples, 0.95)
    assert fewest <= below <= most
    shares, labels = drawn(400, 7)
    sharper = shares**3 / np.sum(shares**3, axis=1, keepdims=True)
    overconfident = calibration.calibration(sharper, labels, rng())
    assert overconfident.ece > 2 * overconfident.by_chance


def test_several_classifiers_share_a_curve_and_have_the_mean_of_their_errors() -> None:
    bold, shy = np.tile([0.9, 0.1], (20, 1)), np.tile([0.7, 0.3], (20, 1))
    labels = np.array([0] * 16 + [1] * 4)
    both = calibration.of_several(np.stack([bold, shy]), labels, rng())
    assert both.confidence == pytest.approx([0.7, 0.9]) and both.accuracy == pytest.approx([0.8, 0.8])
    assert both.rows == [20, 20] and both.ece == pytest.approx(0.1)
    alone = calibration.of_several(bold[None], labels, rng())
    assert alone.ece == calibration.calibration(bold, labels, rng()).ece


@pytest.mark.parametrize("count", [1, 30])
def test_equal_probabilities_share_a_bin(count: int) -> None:
    sure = calibration.calibration(np.tile([0.0, 1.0], (count, 1)), np.ones(count, int), rng())
    assert sure.rows == [count] and sure.ece == sure.by_chance == 0
