"""The decision threshold of two classes: chosen by a score, on rows that neither the networks nor the score have seen, or given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

import study
from study.analysis import decision_threshold, metrics, summaries, tested
from study.analysis.decision_threshold import choose, decided
from study.analysis.forward import predicted_classes, probabilities
from study.data import dataset, splits
from study.errors import BadInput
from study.settings.data import BreastCancer, Iris
from study.settings.spec import TrialSpec
from study.statistics.rounds import joined
from study.tracking.predicting import Predictor

DRAW = np.random.default_rng(4)
REFERENCES = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "f1": lambda y, labels, sample_weight: reference.f1_score(y, labels, average="macro", sample_weight=sample_weight),
    "mcc": reference.matthews_corrcoef,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("score", REFERENCES)
def test_no_other_threshold_scores_better(score: str, weighted: bool) -> None:
    y = (DRAW.random(80) < 0.2).astype(np.int32)
    second = np.clip(0.2 + 0.15 * y + 0.1 * DRAW.normal(size=80), 0.01, 0.99).round(2)  # some rows tie
    weights = DRAW.uniform(0.1, 3, 80) if weighted else None

    def of(threshold: float) -> float:
        return float(REFERENCES[score](y, second > threshold, sample_weight=weights))

    chosen = choose(second, y, weights, score)
    assert of(chosen) == pytest.approx(max(of(threshold) for threshold in np.arange(0, 1, 0.005)))
    assert metrics.OF_COUNTS.keys() == REFERENCES.keys()


def test_of_thresholds_with_equal_scores_the_one_nearest_to_a_half_is_chosen() -> None:
    assert choose(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0, 0, 1, 1]), None, "accuracy") == pytest.approx(0.45)
    assert choose(np.array([0.1, 0.2, 0.3]), np.array([1, 1, 1]), None, "accuracy") == 0.0


@pytest.mark.parametrize("units", [1, 2])
def test_outputs_decide_by_the_threshold(units: int) -> None:
    outputs = DRAW.normal(size=(2, 30, units))
    second = probabilities(outputs)[..., 1]
    assert np.array_equal(predicted_classes(decided(outputs, 0.2)), second > 0.2)
    by_row = DRAW.uniform(0.1, 0.9, 30)
    assert np.array_equal(predicted_classes(decided(outputs, by_row)), second > by_row)
    assert predicted_classes(decided(outputs, 0.0)).all() and decided(outputs, None) is outputs


@pytest.fixture(scope="module")
def cohort() -> study.Cohort:
    more = ["training.epochs=2", "model.units=[3]", "replicates.count=4", "replicates.vary=[init,data]", "replicates.per_split=2"]
    return study.train(study.compose(["data=breast_cancer", "data.threshold=balanced_accuracy", *more]))


def test_a_trials_threshold_is_chosen_by_networks_on_rows_that_they_have_not_seen(cohort: study.Cohort) -> None:
    data = dataset.load_replicates(cohort.spec)
    summary = summaries.summarise(cohort, data, list("abcd"))
    every: dict[int, list[float]] = {}
    for number, outputs in enumerate(cohort.predictions):
        rows, _, val = splits.replicate_parts(cohort.spec, number)
        for row, probability in zip(val.tolist(), probabilities(outputs)[:, 1], strict=True):
            every.setdefault(row, []).append(probability)
    means, labels = np.array([np.mean(of) for of in every.values()]), rows.y[list(every)]
    assert summary.threshold == pytest.approx(choose(means, labels, None, "balanced_accuracy"))
    # of one network, half of its rows are decided by a threshold from the other half
    moved = decision_threshold.of_replicate(cohort.predictions[:1], data[0], cohort.spec.data)
    assert summary.scores["balanced_accuracy"][0] == pytest.approx(metrics.balanced_accuracy(moved, data[0].y_val)[0])
    assert summary.scores["auc"][0] == pytest.approx(metrics.auc(cohort.predictions[:1], data[0].y_val)[0])
    both = [replace(summary, threshold=threshold) for threshold in (0.2, 0.4)]
    assert joined(both).threshold == pytest.approx(0.3) and joined([replace(summary, threshold=None)] * 2).threshold is None


def test_a_given_threshold_decides_for_all_models_and_a_chosen_one_for_networks(cohort: study.Cohort) -> None:
    given = replace(cohort, spec=replace(cohort.spec, data=replace(cohort.spec.data, threshold=1e-9)))  # type: ignore[call-arg]
    assert decision_threshold.of_cohort(given) == 1e-9
    judged = tested.judge(given, with_baselines=True)
    positive = dataset.load_tested(given.spec).y_val.mean()  # type: ignore[union-attr]
    assert judged and {score.scores["accuracy"] for score in judged.scores if score.name in ("ensemble", "majority")} == {positive}
    assert judged.scores[0].accuracy and judged.scores[0].accuracy[0] == positive
    chosen = tested.judge(cohort, with_baselines=True)
    assert chosen and chosen.scores[1].scores["accuracy"] == pytest.approx(max(positive, 1 - positive))


def test_a_threshold_of_three_classes_or_of_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Iris(threshold=0.5)  # type: ignore[call-arg]
    (tmp_path / "t.csv").write_text("a,y,z\n" + "".join(f"{n},{'uvw'[n % 3]},{n}.5\n" for n in range(30)))
    table = ["data=table", f"data.path={tmp_path}/t.csv", "data.threshold=0.5", "training.batch_size=2"]
    with pytest.raises(BadInput, match=r"data\.threshold.*two classes"):
        study.load_data(study.compose([*table, "data.target=y", "data.drop=[z]"]))
    with pytest.raises(BadInput, match=r"threshold.*null for regression"):
        study.compose([*table, "data.target=z", "data.drop=[y]"])
    for wrong in (0, 1, "auc"):
        with pytest.raises(BadInput, match="threshold"):
            TrialSpec(data=BreastCancer(threshold=wrong))


def test_a_champion_predicts_the_class_by_its_threshold() -> None:
    metadata = {"made_of": [["a", None, False]], "outputs": ["yes"], "classes": ["no", "yes"], "members": [0]}
    columns = {"a": np.array([0.1, 0.3])}
    plain, moved = (
        Predictor.of(metadata | more, lambda x: x[:, None]).table(columns) for more in ({}, {"decision_threshold": 0.2})
    )
    assert plain["predicted class"].tolist() == ["no", "no"] and moved["predicted class"].tolist() == ["no", "yes"]
    assert moved["its probability"].tolist() == pytest.approx([0.9, 0.3])
