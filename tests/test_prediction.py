"""Predictions for new rows: the champion takes a user's own columns, and tells which of them it can't take."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from scipy import special

import study
from study import locations
from study.data import encoding, inputs, readers, splits
from study.data.encoding import NewInRows
from study.errors import BadInput, Corrupt
from study.runner import planning
from study.search import space
from study.settings.data import UserTable
from study.tracking import artifacts, predicting
from tests.command import ran, run, runs_of

# as earlier versions kept them: [column, level, gaps]; `a=b` is a column of numbers, and `a` has the levels `b=c` and `b=d`
TRIPLES = [
    *(["district", level, True] for level in ("Centre", "North")),
    *(["area", None, False], ["a=b", None, False]),
    *(["a", level, False] for level in ("b=c", "b=d")),
    *(["new", level, True] for level in ("False", "True")),
    *(["masonry", level, False] for level in ("None", "Brick")),
]
INPUTS = encoding.from_plain(TRIPLES)
ROWS = {
    "id": ["x", "y", "z"],
    "district": ["North", None, " Centre"],
    "area": [30, None, np.float32(50.5)],
    "a=b": [Decimal(1), np.int64(2), True],
    "a": ["b=c", "b=d", None],
    "new": [True, np.False_, None],
    "masonry": ["Brick", None, "Brick"],
}


def columns(**changed: list[object]) -> dict[str, np.ndarray]:
    return {name: np.array(values, object) for name, values in (ROWS | changed).items() if values}


def test_rows_become_the_inputs_that_training_had() -> None:
    nan = np.nan
    wanted = [
        [0, 1, 30, 1, 1, 0, 0, 1, 0, 1],
        [0, 0, nan, 2, 0, 1, 1, 0, 1, 0],  # the text None is what pandas takes for nothing
        [1, 0, 50.5, 1, nan, nan, 0, 0, 0, 1],  # nothing, in a column that had no gaps
    ]
    with pytest.warns(NewInRows, match="(area|a): 1 row has no value, though training had no gaps: so there is no prediction"):
        np.testing.assert_array_equal(encoding.encode(INPUTS, columns()), wanted)
    numbers = columns() | {"area": np.array([30, nan, 50.5], np.float32), "a=b": np.array([1, 2, 1], np.uint8)}
    with pytest.warns(NewInRows):
        np.testing.assert_array_equal(encoding.encode(INPUTS, numbers), wanted)
    texts = columns() | {"area": np.array(["30", " ", "50,5"], object), "a=b": np.array(["1", "2", " $1"], object)}
    with pytest.warns(NewInRows):
        np.testing.assert_array_equal(encoding.encode(INPUTS, texts, ","), wanted)
    assert encoding.encode(INPUTS, {name: column[:0] for name, column in columns().items()}).shape == (0, 10)


def test_marks_of_gaps_among_numbers_are_gaps_in_new_rows_too() -> None:
    [column] = encoding.from_plain([{"name": "area", "gaps": True, "indicates": True}])
    given = {"area": np.array(["30", " ? ", "-", "n/a", "unknown", "-5"], object)}
    wanted = [[30, 0], *[[np.nan, 1]] * 4, [-5, 0]]
    np.testing.assert_array_equal(encoding.encode([column], given), wanted)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"area": []}, "no column 'area'"),
        ({"district": []}, "no column 'district'"),
        # what is another input isn't what was meant
        ({"a": [], "a ": ["b=c"] * 3}, "no column 'a'\"; valid: did you mean a ? id, district"),
        ({"area": [1, "two", 3]}, "column 'area': 'two' in row 2"),
        ({"area": [1, object, 3]}, "column 'area': <class 'object'> in row 2"),
    ],
)
def test_a_column_that_does_not_fit_is_told(changed: dict[str, list[object]], told: str) -> None:
    with pytest.raises(BadInput, match="rows") as error:
        encoding.encode(INPUTS, columns(**changed))
    assert told in str(error.value) and len(error.value.faults) == 1


def test_a_file_has_the_texts_and_numbers_that_training_had(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("code;area;new;other;gap\n02;1,5;true;x;\n1; ;false;y;\n")
    source = UserTable(path=str(tmp_path / "new.csv"), target="rent", decimal=",")
    found = readers.values(source, {"code", "area", "new", "gap"}, ["code"])
    wanted = {"code": ["02", "1"], "area": [1.5, np.nan], "new": [True, False], "gap": [None, None]}
    np.testing.assert_equal({name: column.tolist() for name, column in found.items()}, wanted)
    # the file's own names are shown, those too that nothing needs
    with pytest.raises(BadInput, match="no column 'Other'\"; valid: did you mean other\\? code, area, new, other, gap"):
        readers.values(source, {"code", "Other"}, ["code"])


SETTINGS = ["data=table", "data.path=flats.csv", "data.target=rent", "data.drop=[id]", "data.missing=median", "training.epochs=20"]
SETTINGS += ["training.batch_size=8", "replicates.count=2", "model.units=[8]", "loss=binary_crossentropy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study on `write`'s table ran."""
    made = tmp_path_factory.mktemp("prediction")
    write(made / "flats.csv")
    return ran(made, "--multirun", *SETTINGS, "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny")


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locations.tracking_uri(None))
    return folder


def test_mlflow_serves_a_tables_own_columns_by_name_in_any_order(here: Path) -> None:
    rows = pd.read_csv(here / "flats.csv").drop(columns=["rent", "id"])
    wanted = study.open("tiny").predict(rows)
    (saved,) = here.glob("mlruns/**/MLmodel")
    model = mlflow.pyfunc.load_model(str(saved.parent))
    for given in (rows, rows[["new", "area", "district"]], rows.astype({"area": object}), rows.assign(id="more")):
        pd.testing.assert_frame_equal(model.predict(given)[[*wanted]], wanted, check_dtype=False)
    whole = rows.dropna().astype({"area": int})  # MLflow itself takes no int64 for a double
    pd.testing.assert_frame_equal(model.predict(whole)[[*wanted]], wanted.loc[whole.index], check_dtype=False)
    texts = whole.assign(area=[f" {area:,}" for area in 1000 * whole["area"]])
    with warnings.catch_warnings():  # of numbers outside those of training, in the model's own class
        warnings.simplefilter("ignore")
        pd.testing.assert_frame_equal(model.predict(texts), model.predict(whole.assign(area=1000 * whole["area"])))
    # training had gaps in this column alone
    assert model.metadata.signature.inputs.optional_input_names() == ["area"]
    gaps = study.open("tiny").predict(rows.assign(area=None))
    pd.testing.assert_frame_equal(model.predict(rows.drop(columns="area"))[[*wanted]], gaps, check_dtype=False)
    for refused, told in [
        (rows.drop(columns="new"), "missing inputs \\['new'\\]"),
        (rows.assign(district=1), "column district"),
        (rows.assign(area="sixty"), "column 'area': 'sixty' in row 1"),
        (rows.to_numpy(), "missing inputs \\['district', 'new'\\]"),
    ]:
        with pytest.raises(MlflowException, match=told):
            model.predict(refused)


SERVER = """
import sys
sys.modules["study"] = None  # as where mlp-study isn't installed
import mlflow, pandas
rows = pandas.DataFrame({"new": [True, False], "district": ["North", "Centre"], "area": [60, None]})
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(rows).to_json())
"""


@pytest.mark.long
def test_mlflow_serves_it_where_mlp_study_is_not_installed(here: Path) -> None:
    (saved,) = here.glob("mlruns/**/MLmodel")
    done = subprocess.run([sys.executable, "-c", SERVER, str(saved.parent)], capture_output=True, text=True, check=True)
    rows = pd.DataFrame({"new": [True, False], "district": ["North", "Centre"], "area": [60, None]})
    wanted = study.open("tiny").predict(rows)
    found = pd.read_json(io.StringIO(done.stdout.splitlines()[-1]))
    pd.testing.assert_frame_equal(found[[*wanted]], wanted, check_dtype=False)


def test_a_study_predicts_for_rows_as_they_come(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv("flats.csv")
    opened = study.open("tiny")
    (trial,) = (each for each in runs_of("trial") if each.data.tags["mlp_study.trial"] == str(opened.best))
    recorded = artifacts.read_predictions(Path(trial.info.artifact_uri.removeprefix("file://")))[0].astype(float)
    spec = study.compose(SETTINGS)
    _, _, val = splits.replicate_parts(spec, 0)

    (here / "flats.csv").rename(tmp_path / "flats.csv")  # it is known by its columns alone
    new = table.iloc[val].drop(columns="rent")[["new", "id", "area", "district"]]
    found = opened.predict(new)
    assert found.columns.tolist() == ["cheap", "dear"] and found.index.equals(new.index)
    probabilities = special.expit(recorded[..., 0])
    np.testing.assert_allclose(found["dear"], probabilities.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert opened.predict(new[:0]).shape == (0, 2)
    with pytest.raises(BadInput, match="no column 'district'"):
        opened.predict(new[["new", "area"]])
    with pytest.raises(BadInput, match="several columns named 'area'"):
        opened.predict(new[["new", "area", "area", "district"]])

    # the same from files, in another form than the table that it was trained on
    file, output = tmp_path / "new.csv", tmp_path / "out.parquet"
    new.to_csv(file, sep=";", decimal=",", index=False)
    capsys.readouterr()
    assert run("predict", "tiny", str(file), "--decimal", ",") == 0
    told = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert told.columns.tolist() == ["predicted class", "its probability", "SD over members", "cheap", "dear"]
    pd.testing.assert_frame_equal(told[["cheap", "dear"]], found.reset_index(drop=True), check_dtype=False)
    assert told["predicted class"].tolist() == found.idxmax(axis=1).tolist()
    np.testing.assert_allclose(told["its probability"], found.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(told["SD over members"], probabilities.std(axis=0, ddof=1), rtol=1e-3, atol=1e-5)
    assert run("predict", "tiny", str(file), str(output), "--decimal", ",", "--encoding", "utf-8", "--member", "1") == 0
    alone = pd.read_parquet(output)
    assert alone.columns.tolist() == ["predicted class", "its probability", "cheap", "dear"]
    np.testing.assert_allclose(alone["dear"], probabilities[1], rtol=1e-4, atol=1e-5)
    assert run("predict", "tiny", str(file), str(output), "--decimal", ",", "--keep", "id", "--keep", "area", "--force") == 0
    beside = pd.read_parquet(output)
    assert beside.columns.tolist() == ["id", "area", *told.columns] and beside["id"].tolist() == new["id"].astype(str).tolist()
    np.testing.assert_allclose(beside["dear"], found["dear"], rtol=1e-6)

    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    storage, uri = (f"sqlite:///{here / name}" for name in ("optuna.db", "mlflow.db"))
    pd.testing.assert_frame_equal(study.open("tiny", storage, uri).predict(new), found)
    assert list(elsewhere.iterdir()) == []

    monkeypatch.chdir(here)
    new.to_csv(whole := tmp_path / "whole.csv", index=False)
    new[["new", "area"]].to_csv(file, index=False)
    errors: list[str] = []
    monkeypatch.setattr("study.reporting.terminal.error", lambda text, *_: errors.append(text))
    for arguments, fault in [
        ([str(file)], "FILE: got \"no column 'district'\"; valid: new, area"),
        (["absent.csv"], "FILE: got "),
        ([str(file), "--delimiter", "aa"], "--delimiter: got 'aa'; valid: one to three characters"),
        ([str(file), "--encoding", "no such"], "--encoding: got 'no such'; valid: a text encoding"),
        ([str(file), "out.txt"], "FILE: got 'out.txt'; valid: a name that ends in .csv or .parquet"),
        ([str(file), str(output)], "--force"),
        ([str(whole), "--keep", "ide"], "--keep: got \"no column 'ide'\"; valid: did you mean id? new, id, area, district"),
        ([str(whole), "--member", "99"], "--member: got 99; valid: "),
    ]:
        assert run("predict", "tiny", *arguments) == 2
        assert fault in errors.pop()
    assert run("predict", "tine", str(file)) == 2 and errors.pop() == "STUDY: got 'tine'; valid: did you mean tiny? one of: tiny"
    (tmp_path / "flats.csv").rename(here / "flats.csv")


def test_a_study_says_what_its_champion_does(here: Path) -> None:
    found = study.open("tiny")
    importance = found.importance()
    assert set(importance.index[:2]) == {"area", "district"} and importance.attrs["part"] == "test"
    assert (importance["low"] <= importance["importance"]).all() and importance.columns[-1] == "member 1"
    dependence = found.partial_dependence("area")
    assert dependence["dear"].iloc[0] < dependence["dear"].iloc[-1] and (dependence["SD over members, dear"] > 0).all()
    assert set(found.partial_dependence("new").index) == {"False", "True"}
    confusion = found.confusion()
    assert confusion.to_numpy().sum() == confusion.attrs["rows"] == 24 and confusion.columns.tolist() == ["cheap", "dear"]
    (saved,) = here.glob("mlruns/**/behaviour.json")
    text = saved.read_text()
    assert json.loads(text)["trial"] == found.best
    with pytest.raises(BadInput, match=r"column: got 'aria'; valid: did you mean area\?"):
        found.partial_dependence("aria")
    with pytest.raises(BadInput, match="classes have a confusion matrix"):
        found.residuals()
    assert "Confusion matrix" in (here / found.report(here / "page.html")).read_text()
    try:
        saved.write_text("{}")
        with pytest.raises(Corrupt, match=r"behaviour\.json"):
            study.open("tiny").importance()
        saved.unlink()
        with pytest.raises(BadInput, match="launch it again"):
            study.open("tiny").importance()
    finally:
        saved.write_text(text)


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


def test_odd_names_stay_in_their_line(tmp_path: Path) -> None:
    file, target = tmp_path / "odd.csv", "a\nb"
    columns = {"x" * 500: range(60), "tab\there": range(60), target: ["low\x1b[31m", "high"] * 30}
    pd.DataFrame(columns).to_csv(file, index=False)
    spec = study.compose(["data=table", f"data.path={file}", f"data.target='{target}'", "training.batch_size=8"])
    told = inputs.reading(spec, study.load_data(spec))
    assert told.replace("\n", "").isprintable() and len(told) < 500
    assert r"classification of a\nb" in told and r"tab\there" in told and f"{'x' * 59}…" in told


def test_how_a_table_was_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "flats.csv")
    table = ["data=table", f"data.path={tmp_path / 'flats.csv'}", "data.target=rent", "data.drop=[id]", "data.missing=median"]
    spec = study.compose(table)
    told = (
        "flats.csv: 77 rows to train on, 19 to validate on, 24 to test; classification of rent, 2 classes: cheap, dear; "
        "4 inputs\n"
        "  number               area (14 missing)\n"
        "  boolean              new\n"
        "  category             district (2 levels)\n"
        "warning: 6 of 19 validation rows and 5 of 24 test rows are equal to a row to train on: they judge what is remembered "
        "(data.split, data.group)"
    )
    assert inputs.reading(spec, study.load_data(spec)) == planning._reading(spec, {}) == told
    searched = space.ordered({"data.missing": space.Choice("data.missing", ("mean", "median"))})
    assert planning._reading(spec, searched) == told.replace("inputs\n", "inputs (in the first setting)\n")
    assert planning._reading(study.compose(["data=iris"]), searched) == ""


def test_predictions_in_files_have_the_digits_that_networks_compute() -> None:
    """Nine significant digits and three decimals at least; texts, gaps, float32 and large numbers stay as they are."""
    numbers = [1304.4519125696079, 0.123456789012, -31.19807528578354, 1700000003.12345, 0.0, float("nan"), 1.25e300]
    singles = np.array([0.1, 0.2, 0.3, 1 / 3, 0, np.nan, 1], np.float32)
    table = predicting.written(pd.DataFrame({"class": ["a"] * 7, "price": numbers, "share": singles}))
    assert table.to_csv(index=False, lineterminator=" ").split() == [
        "class,price,share",
        "a,1304.45191,0.1",
        "a,0.123456789,0.2",
        "a,-31.1980753,0.3",
        "a,1700000003.123,0.33333334",
        "a,0.0,0.0",
        "a,,",
        "a,1.25e+300,1.0",
    ]
