"""Scores: those of scikit-learn, weighted and not, in the target's own unit; and how a study goes by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

import study
from study.analysis import metrics, summaries
from study.analysis.forward import predicted_classes, probabilities
from study.data import dataset, scaling
from study.errors import BadInput
from study.records.trial import TrialRecord
from study.reporting import wins
from study.statistics import objectives
from study.statistics.objectives import SCORES, SCORES_OF_TASK, Objective

DRAW = np.random.default_rng(8)
ROWS = 60
# by scikit-learn: of classes, predicted ones and probabilities, of two classes those of the second
OF_CLASSES = {
    "accuracy": lambda y, labels, p, w: reference.accuracy_score(y, labels, sample_weight=w),
    "balanced_accuracy": lambda y, labels, p, w: reference.balanced_accuracy_score(y, labels, sample_weight=w),
    "f1": lambda y, labels, p, w: reference.f1_score(y, labels, average="macro", sample_weight=w),
    "mcc": lambda y, labels, p, w: reference.matthews_corrcoef(y, labels, sample_weight=w),
    "auc": lambda y, labels, p, w: reference.roc_auc_score(y, _second(p), multi_class="ovr", sample_weight=w),
    "average_precision": lambda y, labels, p, w: reference.average_precision_score(y, _second(p), sample_weight=w),
    "log_loss": lambda y, labels, p, w: reference.log_loss(y, p, sample_weight=w),
    "brier": lambda y, labels, p, w: reference.brier_score_loss(y, _second(p), sample_weight=w),
}
OF_NUMBERS = {
    "r2": reference.r2_score,
    "rmse": reference.root_mean_squared_error,
    "mae": reference.mean_absolute_error,
    "mape": reference.mean_absolute_percentage_error,
    "median_absolute_error": reference.median_absolute_error,
}


def _second(probability: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return probability[:, 1] if probability.shape[1] == 2 else probability


def test_every_score_is_compared() -> None:
    assert set(OF_CLASSES) == set(SCORES_OF_TASK["classification"]) and set(OF_NUMBERS) == set(SCORES_OF_TASK["regression"])
    assert set(metrics.MEASURES) == set(SCORES) == {*OF_CLASSES, *OF_NUMBERS}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("units", [1, 2, 4])
def test_scores_of_classes_are_scikit_learns(units: int, weighted: bool) -> None:
    # rounded, so that some rows tie
    outputs = DRAW.normal(size=(3, ROWS, units))
    if units < 3:  # some rows tie
        outputs = (4 * outputs).round() / 4
    y = DRAW.integers(0, max(2, units), ROWS).astype(np.int32)
    weights = DRAW.uniform(0.1, 3, ROWS) if weighted else None
    found = metrics.scores(outputs, y, weights)
    for replicate, (labels, shares) in enumerate(zip(predicted_classes(outputs), probabilities(outputs), strict=True)):
        for name, measure in OF_CLASSES.items():
            assert found[name][replicate] == pytest.approx(measure(y, labels, shares, weights)), name


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("units", [1, 2])
def test_scores_of_numbers_are_scikit_learns(units: int, weighted: bool) -> None:
    outputs, y = DRAW.normal(3, 1, (2, ROWS, units)), DRAW.normal(3, 1, (ROWS, units))
    weights = DRAW.uniform(0.1, 3, ROWS) if weighted else None
    found = metrics.scores(outputs, y, weights)
    for replicate, of_one in enumerate(outputs):
        for name, measure in OF_NUMBERS.items():
            assert found[name][replicate] == pytest.approx(measure(y, of_one, sample_weight=weights)), name


def test_what_rows_cannot_give_is_nan_and_so_are_a_diverged_networks() -> None:
    outputs = np.array([[[1.0], [2.0]], [[np.nan], [1.0]]])
    of_numbers = metrics.scores(outputs, np.array([[0.0], [2.0]]))
    assert of_numbers["mae"][0] == 0.5 and np.isnan(of_numbers["mape"]).all()
    of_classes = metrics.scores(outputs, np.array([1, 1], np.int32))
    assert of_classes["accuracy"][0] == 1 and np.isnan(of_classes["auc"]).all()
    assert all(np.isnan(values[1]) for found in (of_numbers, of_classes) for values in found.values())


@pytest.fixture(scope="module")
def trained() -> study.Cohort:
    more = ["model.units=[2]", "replicates.count=2", "replicates.vary=[init,data]"]
    return study.train(study.compose(["data=diabetes", "training.epochs=1", *more]))


@pytest.fixture
def record(trained: study.Cohort) -> TrialRecord:
    summary = summaries.summarise(trained, dataset.load_replicates(trained.spec), ["a", "b"])
    return TrialRecord(0, "complete", {}, [], summary, None, None, {})


def test_a_trials_errors_are_in_the_targets_own_unit(trained: study.Cohort, record: TrialRecord) -> None:
    data, [scale] = dataset.load_replicates(trained.spec)[1], scaling.targets_of(trained.spec, 1)
    errors = (trained.predictions[1] - data.y_val) * scale.spread
    assert record.summary is not None and list(record.summary.scores) == list(SCORES_OF_TASK["regression"])
    assert record.summary.scores["mae"][1] == pytest.approx(np.abs(errors).mean())
    assert record.summary.scores["rmse"][1] == pytest.approx(np.sqrt(np.square(errors).mean()))


def test_each_score_has_the_direction_that_is_better() -> None:
    worse, better = np.array([[[1.0], [1.0], [-1.0]]]), np.array([[[-3.0], [3.0], [2.0]]])
    for task, y in (("classification", np.array([0, 1, 1])), ("regression", np.array([[-3.0], [3.0], [2.5]]))):
        low, high = metrics.scores(worse, y), metrics.scores(better, y)
        for name in SCORES_OF_TASK[task]:
            way = "maximize" if high[name] > low[name] else "minimize"
            assert objectives.parse(name, None, task) == (Objective(name, way),)


def test_a_score_of_the_other_task_is_refused_with_those_of_this_one() -> None:
    with pytest.raises(BadInput, match=r"rmse.*accuracy.*brier"):
        objectives.parse("rmse", None, "classification")


def test_the_mae_of_earlier_records_is_not_compared_with_that_of_the_targets_unit(record: TrialRecord) -> None:
    assert record.summary is not None
    judged = {"loss": "mse", "target": "standard", "rows": "aa"}
    old = replace(record, summary=replace(record.summary, judged_by=judged))
    new = replace(record, summary=replace(record.summary, judged_by=judged | {"unit": "the target's own"}))
    assert wins.unlike_text(["unit"]).startswith("no winner is named: errors of some trials are of the normalised target")
    assert objectives.unlike([old, new], Objective("mae")) == ["unit"] and not objectives.unlike([old, old], Objective("mae"))
    other = replace(new, summary=replace(new.summary, judged_by=new.summary.judged_by | {"target": "minmax"}))  # type: ignore[union-attr,type-var]
    assert not objectives.unlike([new, other], Objective("mae")) and objectives.unlike([new, other], Objective()) == ["target"]


def test_a_percentage_of_a_target_with_zeros_is_refused_as_an_objective(tmp_path: Path) -> None:
    from study.runner import planning

    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n},{n % 7}.5\n" for n in range(20)) + "3,0\n")
    spec = study.compose(["data=table", f"data.path={tmp_path}/t.csv", "data.target=y", "training.batch_size=2"])
    with pytest.raises(BadInput, match=r"mape, but the target is 0"):
        planning._check_judged([Objective("mape")], spec)
    planning._check_judged([Objective("mae")], spec)
