"""A champion as a folder: the graph prepares columns as Python does, and predicts the same where mlp-study isn't installed."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest

import study
from study import locations
from study.data import dates
from study.data.encoding import BOOLEAN, CODES, DATE, LEVELS, NUMBER, ORDINAL, NewInRows, TableColumn, encode_column
from study.engine import saved_model
from study.engine.backend import tf
from study.engine.saved_model import tensor_names
from study.errors import BadInput
from study.results import export_model, exported
from study.tracking import champion as logged
from study.tracking.predicting import Predictor
from tests.command import ran, run
from tests.servers import free_port

LEVEL_NAMES = ("a", "b c", "Ω")
COLUMNS = [
    TableColumn("n", NUMBER, origin=2.5),
    TableColumn("n", NUMBER, gaps=True, indicates=True),
    TableColumn("t", LEVELS, LEVEL_NAMES),
    TableColumn("t", LEVELS, LEVEL_NAMES, rare=True, gaps=True, indicates=True),
    TableColumn("t", LEVELS, (*LEVEL_NAMES, "None")),  # pandas takes this text for a missing one
    TableColumn("t", CODES, LEVEL_NAMES, gaps=True, indicates=True),
    TableColumn("t", ORDINAL, LEVEL_NAMES, gaps=True, indicates=True),
    TableColumn("b", BOOLEAN, ("False", "True"), gaps=True, indicates=True),
    TableColumn("b", BOOLEAN, ("False", "True")),
    TableColumn("d", DATE, parts=dates.PARTS, written=dates.ISO, origin=18_000.0, gaps=True, indicates=True),
    TableColumn("d", DATE, parts=(dates.MONTH, dates.ELAPSED), written=dates.ISO),
]
VALUES = {
    "n": [1.0, math.nan, -7.25],
    "t": ["a", " b c", "Ω", "new", "None", None],
    "b": ["True", "False", None],
    "d": ["2024-02-29", "1969-12-31", None, "2000-03-01 07:08", "1900-01-01T23:59:58", "2100-12-31T00:00:30.5"],
}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: f"{column.role} {len(column.inputs)}")
def test_the_graph_prepares_a_column_as_python_does(column: TableColumn) -> None:
    values = VALUES[column.name]
    given = tf.constant(values, tf.float64) if column.role == NUMBER else tf.constant([value or "" for value in values])
    graph = saved_model._encoded(column, saved_model._levels(column) if column.levels else None, given)
    wanted = encode_column(column, np.array(values, float if column.role == NUMBER else object))
    np.testing.assert_allclose(graph.numpy(), wanted, rtol=1e-9, atol=1e-9)


def test_tensors_have_names_that_tensorflow_accepts() -> None:
    assert tensor_names(["area (m²)", "area [m²]", "2019", "ok", "_x"]) == {
        "area (m²)": "area__m__",
        "area [m²]": "area__m___2",
        "2019": "c_2019",
        "ok": "ok",
        "_x": "c__x",
    }


def test_a_text_file_is_read_as_arrow_reads_it(tmp_path: Path) -> None:
    columns = (TableColumn("flag", BOOLEAN, ("False", "True")), TableColumn("code", LEVELS, ("007", "NA")), TableColumn("x"))
    reading = {"decimal": ",", "header": True, "target": "y"}
    predictor = Predictor(lambda x: x[:, None], (0,), columns, ("y",), False, reading, True, None)
    (tmp_path / "t.csv").write_text("flag;code;x;other\nTRUE; 007;1,5;NA\n;NA;n/a;z\n", "utf-8-sig")
    found = exported.read(predictor, tmp_path / "t.csv")
    assert found.to_dict("list") == {"flag": ["True", None], "code": ["007", "NA"], "x": ["1,5", None], "other": [None, "z"]}
    without = Predictor(
        lambda x: x[:, None], (0,), columns, ("y",), False, reading | {"header": False, "made_up": ["a", "y"]}, True, None
    )
    (tmp_path / "bare.csv").write_text("1\n2\n")
    assert exported.read(without, tmp_path / "bare.csv").to_dict("list") == {"a": ["1", "2"]}
    for refused in ("absent.csv", "t.csv"):
        with pytest.raises(BadInput, match="FILE: got "):
            exported.read(without, tmp_path / refused)


def test_the_modules_that_go_with_a_model_import_no_others() -> None:
    modules = (*logged.CODE, *export_model.MODULES)
    known = {"study." + name.removesuffix(".py").replace("/", ".") for name in modules}
    for name in modules:
        tree = ast.parse(Path(study.__file__).parent.joinpath(name).read_text("utf-8"))
        for node in tree.body:  # what lies deeper is for types alone
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("study"):
                imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                assert imported & known, f"{name} imports {node.module}"
                assert node.module != "study", f"{name}: the copy's imports are renamed where they name a package"


def served(model: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Ask MLflow's own server for predictions of rows, as JSON."""
    port = free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts uvicorn by its name
    environment = os.environ | {"MLFLOW_TRACKING_URI": locations.tracking_uri(None), "PATH": path}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "--port", str(port)]
    body = json.dumps({"dataframe_records": json.loads(rows.to_json(orient="records")), "params": {"interval": 0.5}}).encode()
    asked = Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(ConnectionError, URLError), urlopen(asked, timeout=60) as answer:
                    return pd.DataFrame(json.loads(answer.read())["predictions"])
                assert server.poll() is None, "the server ended"
                time.sleep(0.5)
            raise TimeoutError
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


WITHOUT_STUDY = """
import runpy, sys
sys.modules["study"] = None  # as where mlp-study isn't installed
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
BY_COLUMN = """
import sys
sys.modules["study"] = None
import pandas as pd, tensorflow as tf
rows = pd.read_csv(sys.argv[2], na_values="?")
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
when = pd.to_datetime(rows["when"], format="%d/%m/%Y").dt.strftime("%Y-%m-%d")
found = serve(
    area__m__=tf.constant(rows["area (m²)"], tf.float64),
    when=tf.constant(when.tolist()),
    new=tf.constant(rows["new"].astype(str).tolist()),
    district=tf.constant(rows["district"].tolist()),
)
pd.DataFrame({name: values.numpy() for name, values in found.items()}).to_json(sys.argv[3])
"""


def table(rows: int = 150) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D")
    frame = pd.DataFrame(
        {
            "id": [f"{number:03d}" for number in range(rows)],
            "area (m²)": draw.integers(20, 120, rows),
            "when": days.strftime("%d/%m/%Y"),
            "new": draw.random(rows) > 0.5,
            "district": draw.choice(["North", "Centre | Old"], rows),
        }
    )
    worth = frame["area (m²)"] * (12 + 6 * (frame["district"] == "North")) + 100 * frame["new"] + 50 * (days.year - 2020)
    return frame.assign(rent=worth, dear=np.where(worth > 1000, "dear", "cheap"))


@pytest.mark.long
@pytest.mark.parametrize(("target", "other", "fourier"), [("rent", "dear", "false"), ("dear", "rent", "true")])
def test_the_folder_predicts_the_same_where_mlp_study_is_not_installed(
    target: str, other: str, fourier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = table()
    whole.drop(columns=other).to_csv(tmp_path / "flats.csv", index=False)
    new = whole.drop(columns=[target, other]).astype({"area (m²)": object, "district": object})
    new.loc[5, "area (m²)"] = "?"
    new.to_csv(tmp_path / "new.csv", index=False)
    settings = ["data=table", "data.path=flats.csv", f"data.target={target}", "data.drop=[id]", "training.epochs=5"]
    settings += ["replicates.count=3", "training.batch_size=16", "model.units=[8]", f"data.fourier={fourier}"]
    ran(tmp_path, "--multirun", *settings, "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny")
    monkeypatch.chdir(tmp_path)
    assert run("predict", "tiny", "new.csv", "wanted.csv", "--keep", "id", "--interval", "0.5") == 0
    assert run("export", "tiny", "--model", "model", "--onnx") == 0
    errors: list[str] = []
    monkeypatch.setattr("study.reporting.terminal.error", lambda text, *_: errors.append(text))
    assert run("export", "tiny", "--model", "model") == 2 and "--model: got 'model'; valid: a new folder" in errors.pop()
    assert run("export", "tiny", "--model", "model", "--onnx", "--force") == 0
    assert run("export", "tiny") == 2 and "a file for a table, or --model DIR" in errors.pop()
    assert [path.name for path in tmp_path.glob(".model*")] == [], "no draft is left"

    command = [sys.executable, "-c", WITHOUT_STUDY, "model/predict.py", "new.csv", "found.csv", "--keep", "id", "--interval", "0.5"]
    subprocess.run(command, check=True, timeout=600)
    wanted, found = (pd.read_csv(name, dtype={"id": str}) for name in ("wanted.csv", "found.csv"))
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-5, atol=1e-5)
    assert found["id"].tolist()[:2] == ["000", "001"]
    refused = subprocess.run([*command[:4], "flats.parquet"], capture_output=True, text=True, timeout=600)
    assert refused.returncode == 2 and refused.stderr.startswith("FILE: got 'flats.parquet'") and refused.stderr.count("\n") == 1

    subprocess.run([sys.executable, "-c", BY_COLUMN, "model/saved_model", "new.csv", "raw.json"], check=True, timeout=600)
    raw = pd.DataFrame(json.loads(Path("raw.json").read_text()))
    names = tensor_names(wanted.columns.tolist())
    for name in wanted.select_dtypes("number").columns.difference(["lower", "upper"]):
        np.testing.assert_allclose(raw[names[name]], wanted[name], rtol=1e-5, atol=1e-5)

    [model_id] = [folder.parent.name for folder in tmp_path.glob("mlruns/*/models/*/artifacts")]
    answer = served(f"models:/{model_id}", pd.read_csv("new.csv").drop(columns="id"))
    pd.testing.assert_frame_equal(answer, wanted.drop(columns="id"), check_dtype=False, rtol=1e-6)

    import onnx
    from onnx.reference import ReferenceEvaluator

    model = exported.ExportedModel(tmp_path / "model")
    with pytest.warns(NewInRows, match="1 row has no value"):
        x = model.predictor.encoded(exported.columns(exported.read(model.predictor, tmp_path / "new.csv")))
    [members] = ReferenceEvaluator(onnx.load("model/model.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(members, model.predictor.networks(x), rtol=1e-4, atol=1e-5)
    assert (
        study.open("tiny").best is not None
        and (tmp_path / "model" / export_model.README).read_text().count("| district | one of 2 levels |") == 1
    )
