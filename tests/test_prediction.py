"""Predictions for new rows: the champion takes a user's own columns, and tells which of them it can't take."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import study
from study import artifacts, dataset, seeds, tables
from study.errors import BadInput
from tests.command import ran, runs_of

NAMES = ["district=Centre", "district=North", "area", "a=b", "a=b=c", "a=b=d", "new=False", "new=True"]
ROWS = {
    "id": ["x", "y", "z"],
    "district": ["North", None, "Centre"],
    "area": [30, None, 50.5],
    "a=b": [1, 2, 3],
    "a": ["b=c", "b=d", None],
    "new": [True, False, None],
}


def columns(**changed: list[object]) -> dict[str, np.ndarray]:
    return {name: np.array(values, object) for name, values in (ROWS | changed).items() if values}


def test_rows_become_the_inputs_that_training_had() -> None:
    # `a=b` is a column of numbers, and beside it `a` one of the levels `b=c` and `b=d`
    wanted = [[0, 1, 30, 1, 1, 0, 0, 1], [0, 0, np.nan, 2, 0, 1, 1, 0], [1, 0, 50.5, 3, 0, 0, 0, 0]]
    np.testing.assert_array_equal(tables.encode(NAMES, columns()), wanted)
    assert tables.encode(NAMES, {name: column[:0] for name, column in columns().items()}).shape == (0, 8)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"area": []}, "no column 'area'"),
        ({"district": []}, "no column 'district'"),
        ({"area": [1, "2", 3]}, "column 'area': '2' in row 2"),
        (
            {"district": ["North", "Nort", "Sud"]},
            "'Nort' in row 2 (first of 2)\"; valid: nothing, did you mean North? Centre, North",
        ),
        ({"new": [1, 0, 1]}, "column 'new': 1 in row 1 (first of 3)"),
    ],
)
def test_a_column_that_does_not_fit_is_told(changed: dict[str, list[object]], told: str) -> None:
    with pytest.raises(BadInput, match="rows") as error:
        tables.encode(NAMES, columns(**changed))
    assert told in str(error.value) and len(error.value.faults) == 1


def test_a_study_predicts_for_rows_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write(tmp_path / "flats.csv")
    settings = [
        "data=table",
        "data.path=flats.csv",
        "data.target=rent",
        "data.drop=[id]",
        "data.missing=median",
        "training.epochs=20",
    ]
    settings += ["training.batch_size=8", "replicates.count=2", "model.units=[8]", "loss=binary_crossentropy"]
    ran(tmp_path, "--multirun", *settings, "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny")
    monkeypatch.chdir(tmp_path)

    opened = study.open("tiny")
    place = int(np.argmin(opened.replicates.loc[opened.best, "val_loss"]))
    (run,) = (each for each in runs_of("trial") if each.data.tags["mlp_study.trial"] == str(opened.best))
    recorded = artifacts.read_predictions(Path(run.info.artifact_uri.removeprefix("file://")))[0][place].astype(float)
    seed = seeds.replicate_seed(0, "data", 0)
    _, val = dataset.parts(study.compose(settings).data, len(table), seed, seed, 0)

    (tmp_path / "flats.csv").unlink()  # it is known by its columns alone
    new = table.iloc[val].drop(columns="rent")[["new", "id", "area", "district"]]
    found = opened.predict(new)
    assert found.columns.tolist() == ["cheap", "dear"] and found.index.equals(new.index)
    np.testing.assert_allclose(found["dear"], special.expit(recorded[:, 0]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    with pytest.raises(BadInput, match="no column 'district'"):
        opened.predict(new[["new", "area"]])


def write(file: Path) -> pd.DataFrame:
    """A table with texts, booleans and gaps, and two classes."""
    draw = random.Random(1)
    rows = []
    for number in range(120):
        district, area, new = draw.choice(["Centre", "North"]), draw.randint(20, 120), draw.random() > 0.5
        dear = area * (12 + 6 * (district == "Centre")) + 100 * new > 1000
        rows.append([number, district, area if number % 9 else "", str(new).lower(), "dear" if dear else "cheap"])
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "district", "area", "new", "rent"], *rows])
    return pd.read_csv(file)
