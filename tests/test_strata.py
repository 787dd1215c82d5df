"""Parts with a share of every class: drawn by the seed alone, and those of a regression as they always were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import study
from study import seeds
from study.analysis import metrics
from study.data import inputs, splits
from study.data.encoding import TableColumn
from study.data.rows import Rows
from study.errors import BadInput
from study.records.outcome import Summary
from study.reporting import report
from study.search.study import check_identity
from study.settings import data as kinds

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=6).filter(lambda counts: sum(counts) >= 4)
SEEDS = st.integers(0, 2**32 - 1)


def labels_of(counts: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)


def labelled(labels: np.ndarray) -> Rows:
    return Rows(np.zeros((len(labels), 1)), labels, (TableColumn("x"),), ("y",))


@given(COUNTS, st.floats(0.1, 0.9), SEEDS, st.sampled_from(["split", "bootstrap"]))
@settings(deadline=None)
def test_each_part_has_its_share_of_every_class(counts: list[int], fraction: float, seed: int, resample: str) -> None:
    labels, rows = labels_of(counts), sum(counts)
    if not 0 < (n_val := round(rows * fraction)) < rows:
        return
    data = kinds.Iris(test_fraction=0, validation_fraction=fraction, resample=resample)
    train, val = splits.parts(data, labelled(labels), 1, seed, 0)
    again = splits.parts(data, labelled(labels), 1, seed, 0)
    assert [part.tolist() for part in again] == [train.tolist(), val.tolist()]
    assert len(val) == n_val and len(train) == rows - n_val and not set(train) & set(val)
    of_val, of_train = (np.bincount(labels[part], minlength=len(counts)) for part in (val, train))
    assert (of_val + of_train == counts).all()  # of a bootstrap as well
    several = [count for count in counts if count > 1]
    if len(several) <= n_val <= sum(count - 1 for count in several):
        assert all((of_val[each] > 0) == (count > 1) and of_train[each] > 0 for each, count in enumerate(counts))
    if min(counts) > 1 / fraction and min(counts) > 1 / (1 - fraction):
        np.testing.assert_allclose(of_val, n_val * np.array(counts) / rows, atol=1)


@given(COUNTS, st.integers(2, 6), SEEDS)
@settings(deadline=None)
def test_each_fold_has_its_share_of_every_class(counts: list[int], folds: int, seed: int) -> None:
    labels, rows = labels_of(counts), sum(counts)
    eligible = sum(count for count in counts if count > 1)
    if eligible < folds:
        return
    data = kinds.Iris(test_fraction=0, resample="kfold", folds=folds)
    parts = [splits.parts(data, labelled(labels), seed, 0, fold) for fold in range(folds)]
    assert {len(val) for _, val in parts} == {eligible // folds}
    assert all(sorted([*train, *val]) == list(range(rows)) for train, val in parts)
    assert len({row for _, val in parts for row in val}) == folds * (eligible // folds)
    judged = np.array([np.bincount(labels[val], minlength=len(counts)) for _, val in parts])  # [folds, classes]
    for each, count in enumerate(counts):
        assert judged[:, each].max() - judged[:, each].min() <= 1
        assert judged[:, each].max() < count or count == 0  # a network that is judged on a class has seen it
        assert judged[:, each].min() > 0 or count < folds


@pytest.mark.parametrize("resample", ["split", "kfold", "bootstrap"])
def test_the_parts_of_a_regression_are_those_of_earlier_versions(resample: str) -> None:
    data, rows, root, seed = kinds.Noise(resample=resample), 53, 7, 8
    unlabelled = Rows(np.zeros((rows, 1)), np.zeros((rows, 1)), (TableColumn("x"),), ("y",))
    train, val = splits.parts(data, unlabelled, root, seed, 2)
    if resample == "kfold":
        order = seeds.generator(root).permutation(rows)
        expected = np.delete(order, np.s_[20:30]), order[20:30]
    else:
        order = seeds.generator(root if resample == "bootstrap" else seed).permutation(rows)
        expected = order[11:], order[:11]
        if resample == "bootstrap":
            expected = order[11:][seeds.generator(seed, splits.DRAWS).integers(42, size=42)], order[:11]
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(val, expected[1])


def test_every_kind_of_classes_is_spread_evenly() -> None:
    for name, shares in {"iris": {10}, "wine": {12, 14, 10}, "breast_cancer": {42, 72}}.items():
        for seed in range(3):
            data = study.load_data(study.compose([f"data={name}", f"seed={seed}", "data.test_fraction=0"]))
            assert set(np.bincount(data.y_val).tolist()) == shares, name


def rare(classes: str) -> str:
    """A table with these rows of the class of that letter, and 40 of the class z."""
    return "a,b,y\n" + "".join(f"{number},{number % 7},{each}\n" for number, each in enumerate(classes + "z" * 40))


@pytest.mark.parametrize(
    ("classes", "settings_", "told"),
    [
        ("xx", [], ""),
        ("x", [], "class with a single row, which is trained on and never validated on: x (1)"),
        ("xy", [], "classes with a single row, which is trained on and never validated on: x (1), y (1)"),
        ("xxx", ["data.resample=kfold"], "class with fewer rows than the 5 folds, so some folds validate without them: x (3)"),
        ("xxx", ["data.resample=kfold", "data.folds=3"], ""),
        ("xxyy", ["data.validation_fraction=0.05"], "class with no row in the validation part (data.validation_fraction): x (2)"),
        ("xx", ["data.resample=bootstrap"], ""),
        ("xx", ["data.test_fraction=0.2"], "class with a single row, which is trained on and never validated on: x (1)"),
    ],
)
def test_a_class_that_a_part_lacks_is_named(tmp_path: Path, classes: str, settings_: list[str], told: str) -> None:
    (tmp_path / "t.csv").write_text(rare(classes))
    spec = study.compose(
        [
            "data=table",
            f"data.path={tmp_path / 't.csv'}",
            "data.target=y",
            "training.batch_size=8",
            "data.test_fraction=0",
            *settings_,
        ]
    )
    _, *lines = (
        line for line in inputs.reading(spec, study.load_data(spec)).splitlines() if not line.startswith(("  ", "warning: "))
    )
    assert lines == ([told] if told else [])


def test_bundled_data_print_what_a_part_lacks() -> None:
    spec = study.compose(["data=iris", "data.validation_fraction=0.01", "data.test_fraction=0"])
    assert inputs.reading(spec, study.load_data(spec)) == (
        "class with no row in the validation part (data.validation_fraction): setosa (50)"
    )
    assert inputs.reading(study.compose(["data=iris"]), study.load_data(study.compose(["data=iris"]))) == ""


def test_a_study_of_classes_that_an_earlier_version_began_is_another() -> None:
    known = {"data": "iris", "data.task": "classification"}
    with pytest.raises(
        BadInput, match=r"data\.parts: got 'stratified'; valid: drawn from all rows, by an earlier version, in study 'a'"
    ):
        check_identity("a", known, known | {"data.parts": "stratified"})
    check_identity("a", known, known)


def test_a_setting_that_an_earlier_study_lacks_is_told_with_the_value_that_resumes_it() -> None:
    known = {"data": "table", "data.missing": "refuse"}
    new = known | {"data.roles": "auto", "data.clip": "20.0"}
    with pytest.raises(BadInput) as refused:
        check_identity("a", known, new)
    assert [(fault.key, fault.valid.partition(" in study")[0]) for fault in refused.value.faults] == [
        ("data.roles", "types"),
        ("data.clip", "null"),
    ]


# -- classes that are never predicted ----------------------------------------------------------------------------------------


def test_an_accuracy_stands_beside_the_largest_class() -> None:
    labels = np.array([0, 0, 0, 1], np.int32)
    assert metrics.majority(labels) == 0.75
    logits = np.array([[[1], [2], [3], [4]], [[1], [-2], [3], [4]], [[-1], [-2], [-3], [-4]]], np.float32)
    assert metrics.one_class(logits).tolist() == [True, False, True]
    several = np.array([[[1, 2, 0], [0, 3, 1]], [[1, 2, 0], [4, 3, 1]]], np.float32)
    assert metrics.one_class(several).tolist() == [True, False]

    plain = {
        "val_losses": [0.1, 0.2],
        "val_loss_mean": 0.15,
        "val_loss_std": 0.05,
        "val_loss_halfwidth": 0.4,
        "train_loss_mean": 0.1,
        "distance": 1.4,
        "disagreement": 0.0,
        "distinct": 2,
        "labels": {"plateaued": 2},
        "scores": {"accuracy": [0.75, 0.75], "auc": [0.9, 0.8]},
    }
    earlier = Summary.of_plain(plain)
    assert report.scores_text(earlier) == "accuracy 0.750, AUC 0.850"
    assert report.labels_text(earlier) == "2 plateaued"
    found = Summary.of_plain(plain | {"majority": 0.75, "one_class": 2})
    assert report.scores_text(found) == "accuracy 0.750 (majority 0.750), AUC 0.850"
    assert report.labels_text(found) == "2 plateaued, 2 of 2 predict one class only"
