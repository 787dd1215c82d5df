"""What a champion does: importance and dependence against scikit-learn on a case made by hand, and how they reach a user."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import confusion_matrix

from study.analysis import behaviour
from study.analysis.behaviour import JudgedColumn, JudgedModel
from study.records.behaviour import Behaviour, Dependence, Importance, from_json
from study.reporting.pages import behaviour_section

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3))
Y = (2 * X[:, 0] + X[:, 1] ** 2)[:, None] + 0.1 * RNG.normal(size=(300, 1))
WEIGHTS = np.array([[2.0, 0.9, 0.0], [1.8, 1.1, 0.2]])  # of two members
SEEN_BY_NONE = np.ones((2, 300), bool)


def regression(x: np.ndarray) -> np.ndarray:
    """Each member's prediction, [n, 2, 1]."""
    return (np.stack([x[:, 0], x[:, 1] ** 2, x[:, 2]], axis=1) @ WEIGHTS.T)[..., None]


class Member(RegressorMixin, BaseEstimator):
    """One of the members, as scikit-learn takes it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fit(self, x: np.ndarray, y: np.ndarray) -> Member:
        self.fitted_ = True
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return regression(np.asarray(x))[:, self.number, 0]


class Classifier(ClassifierMixin, BaseEstimator):
    """The second class's log odds are the first member's prediction."""

    classes_ = np.array([0, 1])

    def fit(self, x: np.ndarray, y: np.ndarray) -> Classifier:
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        second = special.expit(regression(np.asarray(x))[:, 0, 0])
        return np.stack([1 - second, second], axis=1)


def test_importance_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour, "REPEATS", 60)
    model = JudgedModel(regression, 3, ("y",), False)
    columns = {"a": [0], "b": [1], "c": [2]}
    found = behaviour.importances(model, X, Y, SEEN_BY_NONE, columns, np.random.default_rng(1))
    for number in (0, 1):
        theirs = permutation_importance(Member(number).fit(X, Y), X, Y, n_repeats=60, random_state=0).importances_mean
        ours = [found[name][number] for name in columns]
        np.testing.assert_allclose(ours, theirs, rtol=0.03, atol=1e-3)
    assert found["c"][0] == pytest.approx(0, abs=1e-12), "the first member doesn't use it"
    classes = (Y[:, 0] > 1).astype(int)
    binary = JudgedModel(lambda x: special.expit(regression(x)[:, :1]), 3, ("no", "yes"), True)
    found = behaviour.importances(binary, X, classes, SEEN_BY_NONE[:1], columns, np.random.default_rng(1))
    theirs = permutation_importance(Classifier(), X, classes, scoring="neg_log_loss", n_repeats=60, random_state=0).importances_mean
    np.testing.assert_allclose([found[name][0] for name in columns], theirs, rtol=0.03, atol=1e-3)


def test_inputs_of_one_column_are_shuffled_together() -> None:
    pair = np.stack([X[:, 0], X[:, 0]], axis=1)  # they are the same in all rows
    model = JudgedModel(lambda x: np.square(x[:, :1] - x[:, 1:])[..., None], 1, ("y",), False)
    found = behaviour.importances(model, pair, Y, SEEN_BY_NONE[:1], {"both": [0, 1]}, np.random.default_rng(0))
    assert found["both"] == pytest.approx([0])


def test_partial_dependence_is_that_of_scikit_learn() -> None:
    model = JudgedModel(regression, 3, ("y",), False)
    values = behaviour.values_of(X[:, [1]], 0)
    assert len(values) == 20 and (np.diff(values[:, 0]) > 0).all()
    assert np.mean(X[:, 1] < values[0]) == pytest.approx(0.025, abs=0.005)
    mean, sd = behaviour.dependence(model, X, JudgedColumn([1], values[:, 0].tolist(), values))
    theirs = [
        partial_dependence(Member(number).fit(X, Y), X, [1], kind="average", method="brute", custom_values={1: values[:, 0]})[
            "average"
        ]
        for number in (0, 1)
    ]
    np.testing.assert_allclose(mean[:, 0], np.mean(theirs, axis=0)[0])
    np.testing.assert_allclose(sd[:, 0], np.std(theirs, axis=0, ddof=1)[0])


def test_a_member_is_judged_by_rows_that_it_was_not_trained_on() -> None:
    unseen = np.stack([np.arange(300) < 100, np.arange(300) >= 200])  # nobody's in between
    model = JudgedModel(regression, 3, ("y",), False)
    columns = {name: JudgedColumn([at], [0.0, 1.0], np.array([[0.0], [1.0]])) for at, name in enumerate("abc")}
    found = behaviour.measure(model, X, Y, unseen, columns, np.random.default_rng(0), trial=7, part="validation")
    assert (found.rows, found.trial, found.part, found.measured) == (200, 7, "validation", 200)
    scores = behaviour.scores(regression(X), Y, unseen, classes=False)
    for number, rows in enumerate(unseen):
        assert scores[number] == pytest.approx(Member(number).fit(X, Y).score(X[rows], Y[rows]))
    predicted, truth = np.array(found.residuals[0]).T
    np.testing.assert_allclose(predicted[:100], regression(X)[:100, 0, 0])
    np.testing.assert_allclose(truth[100:], Y[200:, 0])
    assert [column.column for column in found.importance] == ["a", "b", "c"]
    assert from_json(found.to_json()) == found
    with pytest.raises(ValueError, match="no measures of a champion"):
        from_json('{"importance": 1}')


def test_classes_have_a_confusion_matrix_of_the_mean() -> None:
    labels = RNG.integers(3, size=300)
    probabilities = RNG.dirichlet(np.ones(3), size=(300, 2))
    model = JudgedModel(lambda x: probabilities if len(x) == 300 else np.ones((len(x), 2, 3)) / 3, 1e9, ("x", "y", "z"), True)
    columns = {"a": JudgedColumn([0], [0.0, 1.0], np.array([[0.0], [1.0]]))}
    found = behaviour.measure(model, X, labels, SEEN_BY_NONE, columns, np.random.default_rng(0), trial=0, part="test")
    assert found.importance == () and found.measured == 0, "such a model takes too long"
    wanted = confusion_matrix(labels, probabilities.mean(axis=1).argmax(axis=1))
    assert np.array(found.confusion).tolist() == wanted.tolist()
    mean = np.array([[0.7, 0.3], [0.6, 0.4]])
    above = JudgedModel(regression, 1, ("no", "yes"), True, threshold=0.35)
    assert behaviour._confusion(above, mean, np.array([0, 0])) == ((1, 1), (0, 0))


def test_many_columns_are_refused_and_values_of_texts_are_the_most_frequent() -> None:
    wide = JudgedModel(regression, 1e6, ("y",), False)
    assert behaviour._affordable(wide, 3000) == 0
    assert behaviour._affordable(wide._replace(cost=5000), 20) == 1000
    levels = np.eye(30)[[*range(30), *[7] * 5, *[3] * 4]]
    shown = behaviour.values_of(levels, None)
    assert len(shown) == 20 and shown[[3, 7], [3, 7]].tolist() == [1, 1]
    assert len(behaviour.values_of(np.full((4, 1), np.nan), 0)) == 0


def test_the_section_says_which_rows_and_what_it_leaves_out() -> None:
    dependences = [Dependence(f"c{at}", (0.0, 1.0), ((1.0,), (2.0,)), ((None,), (None,))) for at in range(9)]
    columns = [Importance(f"c{at}", (0.5 - at / 100,)) for at in range(30)]
    found = Behaviour(3, "validation", 400, 90, "R²", 5, 30, ("rent",), tuple(columns), tuple(dependences), (((1.0, 2.0),) * 4,))
    shown = behaviour_section.section(found)
    titles = [chart.title for chart in shown.charts]
    assert titles == ["Importance of the columns", *(f"Prediction by c{at}" for at in range(4)), "Errors by prediction"]
    first, *_, last = shown.charts
    assert "90 validation rows, each network judged by those that it wasn't trained on" in first.caption
    assert "10 columns that matter less are not shown" in first.caption and "the network scores" in first.caption
    assert "interval" not in first.caption, "a single network has none"
    assert "RMSE 1" in last.alt and "4 of 400 validation rows" in last.caption
    too_wide = behaviour_section.section(Behaviour(3, "test", 400, 0, "R²", 5, 9000, ("rent",)))
    assert "9,000 columns would take too long" in too_wide.texts[0]
    assert behaviour_section.section(None).empty
