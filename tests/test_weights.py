"""Targets and weights of rows: which rows are kept, what they count for, and the same training as Keras' own `fit`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.utils.class_weight import compute_class_weight

import study
from study.analysis import forward
from study.data import inputs, weighting
from study.data.rows import Rows
from study.errors import BadInput
from study.settings.data import Digits, UserTable
from study.settings.loss import (
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from study.settings.spec import TrialSpec, as_mapping, build
from study.statistics import rows

DRAW = np.random.default_rng(5)
NOBODY = np.zeros(0, np.int32)


def table(folder: Path, columns: dict[str, object], *more: str) -> TrialSpec:
    pd.DataFrame(columns).to_parquet(path := folder / "t.parquet")
    return study.compose(["data=table", f"data.path={path}", "training.batch_size=null", *more])


def columns(count: int = 60) -> dict[str, object]:
    draw = np.random.default_rng(0)
    return {"a": draw.normal(size=count), "w": draw.uniform(0.1, 9, count).round(2), "y": draw.normal(size=count)}


# -- which rows ------------------------------------------------------------------------------------------------------------------


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    content = columns()
    content["y"] = np.where(np.arange(60) % 6 == 0, np.nan, content["y"])
    spec = table(tmp_path, content, "data.target=y", "data.drop=[w]")
    data = study.load_data(spec)
    assert len(data.x_train) + len(data.x_val) == 40  # of 50, and a fifth to test
    assert "left out: 10 of 60 rows without a value of the target (y)" in inputs.reading(spec, data)


def test_several_targets_are_one_output_each_and_need_all_values(tmp_path: Path) -> None:
    content = columns() | {"z": [None, *range(59)]}
    spec = table(tmp_path, content, "data.target=[y,z]", "data.drop=[w]")
    data = study.load_data(spec)
    assert data.target_names == ("y", "z") and data.y_train.shape == (38, 2) and spec.data.task == "regression"
    assert "regression of y, z; 1 input" in inputs.reading(spec, data)
    assert "1 of 60 rows" in inputs.reading(spec, data)
    assert build(as_mapping(spec)) == spec and hash(build(as_mapping(spec))) == hash(spec)
    assert study.compose(["data=table", f"data.path={tmp_path}/t.parquet", "data.target=[y]"]).data.target == "y"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0.0, 1.0], ("0", "1")),
        ([1.0, 2.0, None], ("1", "2")),
        ([1.5, 2.0], ("1.5", "2")),
        (pa.array([1, 2], pa.decimal128(5, 1)), ("1", "2")),
    ],
)
def test_classes_may_be_written_as_floats(tmp_path: Path, values: object, names: tuple[str, ...]) -> None:
    repeated = pa.concat_arrays([pa.array(values)] * 20)
    pa.parquet.write_table(pa.table({"a": range(len(repeated)), "y": repeated}), path := tmp_path / "t.parquet")
    more = [] if names[0] in "01" and repeated.type == pa.float64() else ["data.task=classification"]
    spec = study.compose(["data=table", f"data.path={path}", "data.target=y", "training.batch_size=4", *more])
    assert spec.data.task == "classification" and study.load_data(spec).target_names == names


# -- what they count for ---------------------------------------------------------------------------------------------------------


def test_a_weight_is_no_input_and_has_mean_one_in_each_part(tmp_path: Path) -> None:
    spec = table(tmp_path, columns(), "data.target=y", "data.weight=w")
    data = study.load_data(spec)
    assert data.input_names == ("a",)
    assert data.weights_train is not None and data.weights_val is not None
    for weights in (data.weights_train, data.weights_val):
        assert weights.mean() == pytest.approx(1) and weights.std() > 0.3
    assert "rows weighted by w, from " in inputs.reading(spec, data)
    plain = study.load_data(table(tmp_path, columns(), "data.target=y", "data.drop=[w]"))
    assert plain.weights_train is plain.weights_val is None and np.array_equal(plain.x_train, data.x_train)


def test_class_weights_multiply_those_of_training_rows_alone() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2], np.int32)
    every = Rows(np.zeros((6, 1)), labels, (), ("a", "b", "c"), weights=np.array([1, 2, 3, 2, 2, 2.0]))
    data = UserTable(path="t", target="y", task="classification", class_weight={"b": 5})  # type: ignore[arg-type]
    train, val = weighting.of_parts(data, every, np.array([0, 2, 3]), np.array([1, 4]), labels[[0, 2, 3]])
    assert train is not None and val is not None
    assert train.tolist() == [0.5, 1.5, 5] and val.tolist() == [1, 1]
    wrong = Digits(class_weight={"b": 5})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"class_weight.*'b'"):
        study.load_data(TrialSpec(data=wrong))


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat(np.arange(3, dtype=np.int32), (50, 9, 2))
    found = weighting.class_weights("balanced", ("a", "b", "c"), labels, None, NOBODY)
    assert found is not None and found.tolist() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    weights = DRAW.random(len(labels))
    found = weighting.class_weights("balanced", ("a", "b", "c", "d"), labels, weights, np.arange(len(labels)))
    assert found is not None and found[3] == 1
    totals = np.bincount(labels, weights * found[labels])
    assert totals == pytest.approx(weights.sum() / 3)


@pytest.mark.parametrize("loss", [MeanSquaredError(), MeanAbsoluteError(), MeanAbsolutePercentageError(), Huber(0.5), LogCosh()])
def test_the_trivial_loss_of_whole_weights_is_that_of_repeated_rows(loss: object) -> None:
    y, counts = DRAW.normal(size=(15, 2)).astype(np.float32), DRAW.integers(1, 4, 15)
    weights = counts / counts.mean()
    found = forward.trivial_loss(loss, y, weights=weights)  # type: ignore[arg-type]
    assert found == pytest.approx(forward.trivial_loss(loss, np.repeat(y, counts, axis=0)), rel=1e-6)  # type: ignore[arg-type]


def test_the_trivial_loss_of_weighted_classes_is_that_of_repeated_rows() -> None:
    labels, counts = DRAW.integers(0, 3, 20).astype(np.int32), DRAW.integers(1, 4, 20)
    loss = SparseCategoricalCrossentropy(0.1)
    found = forward.trivial_loss(loss, labels, 3, counts.astype(np.float32))
    assert found == pytest.approx(counts.mean() * forward.trivial_loss(loss, np.repeat(labels, counts), 3))


def test_an_interval_of_a_weighted_mean_is_about_the_weighted_mean() -> None:
    values, weights = DRAW.normal(3, 1, (2, 400)), DRAW.uniform(0, 2, 400)
    weights /= weights.mean()
    [first, _] = rows.means(rows.weighted(values, weights), np.random.default_rng(0))
    assert first.value == pytest.approx(np.average(values[0], weights=weights))
    # the standard error of a ratio estimator, twice 1.96 times
    se = np.sqrt(np.sum((weights * (values[0] - first.value)) ** 2)) / 400
    assert first.high - first.low == pytest.approx(2 * 1.97 * se, rel=0.08)
    assert rows.weighted(values, None) is values


# -- the same as Keras -----------------------------------------------------------------------------------------------------------


def _fitted(cohort: study.Cohort, replicate: int, data: study.Dataset, **weights: object) -> dict[str, list[float]]:
    """Return the losses by epoch of Keras' own `fit` on whole batches from the same first weights."""
    from study.engine import export

    model = export.untrained(cohort.spec, data.x_train.shape[1], cohort.kernels[-1].shape[2])
    names = export.names_of_weights(cohort.initial)
    model.set_weights([cohort.initial.parameters[name][replicate] for name in names])
    history = model.fit(
        data.x_train,
        data.y_train,
        len(data.x_train),
        cohort.train_loss.shape[1],
        verbose=0,
        validation_data=(data.x_val, data.y_val, data.weights_val),
        **weights,
    )
    return history.history  # type: ignore[no-any-return]


def test_weighted_rows_train_as_in_keras_fit(tmp_path: Path) -> None:
    content = columns() | {"y": ["no", "yes", "no"] * 20}
    more = ["data.class_weight={yes: 4}", "replicates.vary=[init,data]", "replicates.count=2", "model.units=[5]"]
    shape = ["optimizer=sgd", "optimizer.learning_rate=0.1", "training.epochs=6", "training.leg_epochs=6"]
    cohort = study.train(spec := table(tmp_path, content, "data.target=y", "data.weight=w", *more, *shape))
    from study.data import dataset

    data = dataset.load_replicates(spec)[1]  # the second, which has rows of its own
    assert data.weights_train is not None and data.weights_train.max() > 4
    losses = _fitted(cohort, 1, data, sample_weight=data.weights_train)
    assert cohort.train_loss[1] == pytest.approx(losses["loss"], rel=1e-4)
    assert cohort.val_loss[1] == pytest.approx(losses["val_loss"], rel=1e-4)


@pytest.mark.long
def test_class_weights_train_as_in_keras_fit() -> None:
    more = ["data.class_weight={malignant: 0.5, benign: 3}", "replicates.count=2", "model.units=[5]", "training.batch_size=null"]
    shape = ["optimizer=sgd", "optimizer.learning_rate=0.1", "training.epochs=6", "training.leg_epochs=6"]
    cohort = study.train(spec := study.compose(["data=breast_cancer", *more, *shape]))
    data = study.load_data(spec)
    losses = _fitted(
        cohort, 1, data, class_weight={data.target_names.index("malignant"): 0.5, data.target_names.index("benign"): 3.0}
    )
    assert cohort.train_loss[1] == pytest.approx(losses["loss"], rel=1e-4)
    assert cohort.val_loss[1] == pytest.approx(losses["val_loss"], rel=1e-4)
    # validation rows count alike
    assert cohort.val_loss[1, -1] == pytest.approx(forward.losses(cohort.predictions, data.y_val, spec.loss)[1], rel=1e-4)
