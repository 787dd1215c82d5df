"""Fourier features: a sine and a cosine beside each number."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from study.data import fourier, loading, scaling, splits

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    "column",
    [
        DRAW.normal(3, 2, 200),
        DRAW.lognormal(0, 3, 200),
        np.r_[np.zeros(150), np.arange(50)],
        1e12 + np.arange(9.0),
        np.array([0.0, 1e300, -1e300]),
    ],
    ids=["normal", "skewed", "mostly zero", "far from zero", "huge"],
)
def test_features_are_standardised_and_finite_everywhere(column: np.ndarray) -> None:
    learned = fourier.learn(column)
    found = fourier.of_columns([learned], column[:, None])
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-9)
    assert np.isfinite(fourier.of_columns([learned], np.array([[1e30], [-1e30], [0.0]]))).all()


def test_they_are_the_sine_and_the_cosine_of_the_scaled_column_below_a_smooth_limit() -> None:
    column = np.arange(101.0)  # median 50, quartiles 25 and 75
    scaled = (column - 50) / 50
    angle = 0.9 * scaled / np.sqrt(1 + (scaled / 3) ** 2)
    for wave, found in zip(
        (np.sin(angle), np.cos(angle)), fourier.of_columns([fourier.learn(column)], column[:, None]).T, strict=True
    ):
        np.testing.assert_allclose(found, (wave - wave.mean()) / wave.std())


def test_a_constant_column_has_none_to_tell() -> None:
    learned = fourier.learn(np.full(5, 7.0))
    assert (fourier.of_columns([learned], np.array([[7.0], [8.0]])) == 0).all()


def test_they_stand_behind_the_other_inputs_and_learn_from_the_training_part_alone(tmp_path: Path) -> None:
    count = 60
    frame = pd.DataFrame(
        {"town": ["a", "b", "c"] * 20, "size": np.arange(count) % 17 * 1.5, "date": pd.date_range("2024-01-30", periods=count)}
    )
    frame.assign(y=np.arange(count)).to_parquet(tmp_path / "t.parquet")
    table = ["data=table", f"data.path={tmp_path / 't.parquet'}", "data.target=y"]
    spec = study.compose([*table, "data.fourier=true"])
    data, plain = study.load_data(spec), study.load_data(study.compose(table))
    numbers = [name for name, kind in zip(plain.input_names, loading.rows(spec).kinds, strict=True) if kind == "amount"]
    assert "size" in numbers and len(numbers) > 1
    assert data.input_names == (
        *plain.input_names,
        *(f"{name} (sine)" for name in numbers),
        *(f"{name} (cosine)" for name in numbers),
    )
    width = len(plain.input_names)
    np.testing.assert_array_equal(data.x_train[:, :width], plain.x_train)
    rows, train, val = splits.replicate_parts(spec, 0)
    size = rows.x[:, rows.input_names.index("size")].astype(float)
    at = width + numbers.index("size")
    learned = fourier.learn(size[train])
    np.testing.assert_allclose(
        data.x_val[:, [at, at + len(numbers)]], fourier.of_columns([learned], size[val, None]), rtol=1e-5, atol=1e-6
    )
    assert scaling.learn_scaling(spec, 0).waves[numbers.index("size")] == learned


def test_a_gap_of_new_rows_is_filled(tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": [*range(20), None], "y": range(21)})
    found = study.fit(frame, "y", ["data.fourier=true", "training.epochs=2", "replicates.count=2", "model.units=[3]"])
    predicted = found.predict(pd.DataFrame({"size": [None, 9.5, np.nan]})).to_numpy(float)
    assert np.isfinite(predicted).all() and predicted[0] == predicted[2] != predicted[1]
