"""scikit-learn's estimators: what scikit-learn itself checks, and what tables of texts, pipelines and searches need."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from study.errors import BadInput
from study.estimators import MLPStudyClassifier, MLPStudyRegressor
from tests.test_from_python import frame

QUICK = {"units": (16,), "epochs": 60, "replicates": 2}
# checks that can't hold, each with the reason
SPLIT = "rows are split at random, and a batch has so many rows whatever they weigh: a row of weight two isn't that row twice"
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": SPLIT}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", [MLPStudyRegressor(**QUICK), MLPStudyClassifier(**QUICK)], ids=["regressor", "classifier"])
def test_scikit_learns_own_checks_hold(estimator: BaseEstimator, empty: Path) -> None:
    checks = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    assert [(check["check_name"], check["exception"]) for check in checks if check["status"] == "failed"] == []
    assert sum(check["status"] == "passed" for check in checks) >= 50 and os.listdir() == []


def test_parameters_are_the_settings_of_the_command_line() -> None:
    estimator = MLPStudyRegressor(units=[8], learning_rate=0.01, optimizer="sgd", settings=("optimizer.momentum=0.9",))
    lines = clone(estimator).set_params(dropout=0.1, patience=None)._overrides()
    assert {"model.units=[8]", "optimizer.learning_rate=0.01", "optimizer=sgd", "model.dropout=0.1"} <= set(lines)
    assert lines[-1] == "optimizer.momentum=0.9" and not any(line.startswith("training.patience") for line in lines)
    assert MLPStudyRegressor(random_state=np.random.RandomState(1))._overrides() != MLPStudyRegressor()._overrides()


def test_a_frame_of_texts_is_learned_and_survives_a_pickle() -> None:
    rows = frame().assign(garden=np.where(np.arange(60) % 2, "yes", "no"))
    labels = rows.pop("district").to_numpy()
    made = MLPStudyClassifier(units=(4,), epochs=2, replicates=2).fit(rows, labels)
    assert made.classes_.tolist() == ["North", "South"] and made.feature_names_in_.tolist() == ["area", "price", "garden"]
    chances = made.predict_proba(rows)
    assert chances.shape == (60, 2) and chances.sum(axis=1) == pytest.approx(np.ones(60))
    assert made.predict(rows).tolist() == made.classes_[chances.argmax(axis=1)].tolist()
    assert (pickle.loads(pickle.dumps(made)).predict_proba(rows) == chances).all()
    with pytest.raises(ValueError, match="feature names"):
        made.predict(rows[["price", "area", "garden"]])


@pytest.mark.parametrize(
    ("estimator", "labels", "told"),
    [
        (MLPStudyClassifier(), ["a"] * 60, "y has 1 class"),
        (MLPStudyRegressor(epochs=0), np.arange(60), "training.epochs: got 0"),
        (MLPStudyRegressor(settings=("lrr=3",)), np.arange(60), "lrr"),
    ],
)
def test_what_cannot_be_fitted_is_refused_as_scikit_learn_does(estimator: BaseEstimator, labels: object, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        estimator.fit(frame(), labels)
    assert isinstance(refused.value, BadInput) or told == "y has 1 class"


@pytest.mark.long
@pytest.mark.parametrize("threshold", ["0.2", "f1"])
def test_two_classes_are_decided_by_the_threshold_of_the_settings(threshold: str) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    made = MLPStudyClassifier(**QUICK, settings=(f"data.threshold={threshold}",)).fit(x, np.where(y, "yes", "no"))
    limit = made.fitted_.predictor.threshold
    assert limit == 0.2 if threshold == "0.2" else 0 < limit < 1
    assert (made.predict(x) == np.where(made.predict_proba(x)[:, 1] > limit, "yes", "no")).all()


@pytest.mark.long
def test_weights_and_several_targets_are_those_of_the_settings() -> None:
    rows, weights = frame(), np.r_[np.zeros(20), np.full(40, 2.0)]
    targets = np.column_stack([rows.price, rows.area])
    made = MLPStudyRegressor(units=(4,), epochs=2, replicates=2).fit(rows[["district", "area"]], targets, sample_weight=weights)
    assert made.predict(rows[["district", "area"]]).shape == (60, 2)
    assert made.fitted_.spec.data.weight == "weight" and "32 rows to train on" in made.fitted_.reading
    with pytest.raises(ValueError, match="zero"):
        made.fit(rows, targets, sample_weight=np.zeros(60))


@pytest.mark.long
def test_searches_and_pipelines_of_scikit_learn_use_it_in_processes(empty: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    estimator = MLPStudyRegressor(units=(32,), epochs=100, replicates=2)
    search = GridSearchCV(estimator, {"learning_rate": [1e-6, 1e-2], "settings": [[]]}, cv=2, n_jobs=2).fit(x, y)
    assert search.best_params_["learning_rate"] == 1e-2 and search.best_score_ > 0.3
    x, y = load_iris(return_X_y=True)
    piped = make_pipeline(StandardScaler(), MLPStudyClassifier(units=(16,), learning_rate=0.01, replicates=2))
    assert cross_val_score(piped, x, y, cv=3, n_jobs=2).mean() > 0.9
    assert os.listdir() == []


@pytest.mark.long
def test_a_space_is_searched_before_the_fit_with_records_or_without(empty: Path) -> None:
    x, y = load_iris(return_X_y=True)
    settings = ("hydra.sweeper.decide=false",)
    space = {"optimizer.learning_rate": [1e-6, 1e-2], "model.units": [[8], [16]]}
    made = MLPStudyClassifier(epochs=40, replicates=2, space=space, n_trials=4, settings=settings).fit(x, y)
    assert made.fitted_.spec.optimizer.learning_rate == 1e-2 and made.score(x, y) > 0.9
    assert set(os.listdir()) <= {".mlp-study"} and not os.path.exists(".mlp-study/rows")
    kept = clone(made).set_params(study_name="iris").fit(x, y)
    assert os.path.exists("optuna.db") and kept.fitted_.spec.model == made.fitted_.spec.model
    assert isinstance(pd.DataFrame(kept.predict_proba(x)), pd.DataFrame)
