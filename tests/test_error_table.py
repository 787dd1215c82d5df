"""The table of a trial's errors, which MLflow shows beside another trial's."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import study
from study.analysis import error_table
from study.data import dataset
from study.records.arrays import Array
from study.records.dataset import Dataset
from tests.test_records_on_disk import COHORT


def table(overrides: list[str], predict: Callable[[Dataset], Array]) -> list[list[str]]:
    """The lines, with the header, of two replicates that predict their validation rows so."""
    spec = study.compose([*overrides, "replicates.count=2"])
    datasets = dataset.load_replicates(spec)
    predictions = np.stack([predict(data) for data in datasets]).astype(np.float32)
    text = error_table.as_text(dataclasses.replace(COHORT, spec=spec, predictions=predictions), datasets)
    return [line.split() for line in text.splitlines()[3:]]


def test_classes_have_their_confusion_matrix_in_percent() -> None:
    header, *lines = table(["data=iris"], lambda data: np.eye(3)[np.where(data.y_val == 1, 2, data.y_val)])
    assert header == ["rows", "setosa", "versicolor", "virginica"]
    assert [line[2:] for line in lines] == [["100.0", "–", "–"], ["–", "–", "100.0"], ["–", "–", "100.0"]]
    assert sum(int(line[1]) for line in lines) == 48  # of two replicates


def test_numbers_have_residuals_in_their_own_unit_by_the_size_of_the_target() -> None:
    """The mean predictor is too high for small targets, and too low for large ones."""
    header, *lines = table([], lambda data: np.zeros_like(data.y_val))
    assert header == ["from", "to", "rows", "mean", "residual", "RMSE"] and len(lines) == error_table.GROUPS
    numbers = np.array(lines, float)
    assert numbers[0, 0] >= 25 and numbers[-1, 1] <= 346  # diabetes' own range
    assert (np.diff(numbers[:, 0]) > 0).all() and (np.diff(numbers[:, 3]) > 0).all()
    assert numbers[0, 3] < -80 and numbers[-1, 3] > 80
    assert (numbers[:, 4] >= np.abs(numbers[:, 3]) - 1).all()


def test_several_targets_have_a_group_of_lines_each(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y,z\n" + "\n".join(f"{row},{row * 100_000},{row % 2}" for row in range(60)))
    overrides = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=[y,z]"]
    header, *lines = table(overrides, lambda data: data.y_val)
    assert header[0] == "target" and [line[0] for line in lines] == ["y"] * error_table.GROUPS + ["z"] * 2
    assert lines[-1][1:3] == ["1", "1"] and all("e" not in number for number in lines[9][1:3])
    assert all(abs(float(line[5])) < 1 for line in lines)  # predicted as they are, up to float32


def test_a_threshold_decides_the_class(tmp_path: Path) -> None:
    """A probability of 0.4 is the second class where the threshold is 0.3."""
    (tmp_path / "t.csv").write_text("x,y\n" + "\n".join(f"{row % 7},{'ab'[row % 2]}" for row in range(60)))
    overrides = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y"]

    def forty(data: Dataset) -> Array:
        return np.log(np.broadcast_to([0.6, 0.4], (len(data.y_val), 2)))

    for threshold, shares in (("null", ["100.0", "–"]), ("0.3", ["–", "100.0"])):
        _, *lines = table([*overrides, f"data.threshold={threshold}"], forty)
        assert [line[2:] for line in lines] == [shares, shares]


@pytest.mark.parametrize(("classes", "known"), [(error_table.MOST_CLASSES, True), (error_table.MOST_CLASSES + 1, False)])
def test_many_classes_have_no_table(tmp_path: Path, classes: int, known: bool) -> None:
    rows = "\n".join(f"{row},c{row % classes}" for row in range(12 * classes))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}")
    overrides = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.task=classification"]
    assert bool(table(overrides, lambda data: np.zeros((len(data.y_val), classes)))) == known
