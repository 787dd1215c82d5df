"""A study's champion as a Keras model in MLflow: it takes what a user has, and gives the mean of what its records hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient
from scipy import special

import study
from study import locations
from study.analysis import fingerprints
from study.data.scaling import ColumnScale, Scaling, learn_scaling
from study.engine import export
from study.errors import BadInput, Corrupt, Unreachable
from study.reporting import report, study_results
from study.results import champion
from study.tracking import artifacts, predicting
from study.tracking.champion import FORMAT, kept
from study.tracking.store import open_store
from tests.command import client, ran, run, runs_of

TINY = ["training.epochs=3", "replicates.count=3", "model.units=[4]"]
STUDY = ["--multirun", "data=iris", "optimizer=sgd,adam", "hydra.sweeper.study_name=tiny", *TINY]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study on iris ran."""
    return ran(tmp_path_factory.mktemp("champion"), *STUDY)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    # MLflow's own way of loading, which the program itself leaves alone
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locations.tracking_uri(None))
    return folder


def models() -> list[LoggedModel]:
    experiment = client().get_experiment_by_name("tiny").experiment_id
    return list(client().search_logged_models([experiment]))


def best() -> tuple[Any, np.ndarray]:
    """The best trial's run, and its replicates' probabilities on the validation part, [R, n, classes]."""
    trial = min(runs_of("trial"), key=lambda each: each.data.metrics["val_loss_mean"])
    predictions, _ = artifacts.read_predictions(Path(trial.info.artifact_uri.removeprefix("file://")))
    return trial, special.softmax(predictions, axis=-1)


@pytest.mark.usefixtures("here")
def test_it_predicts_from_raw_columns_the_mean_of_what_the_replicates_records_hold() -> None:
    trial, probabilities = best()
    (model,) = models()
    assert (model.name, model.status, model.source_run_id) == ("champion", LoggedModelStatus.READY, runs_of("study")[0].info.run_id)
    networks = study.open("tiny").weights(study.open("tiny").best)
    assert model.tags["fingerprint"] == fingerprints.digest(networks)
    note = model.tags["mlflow.note.content"]
    assert trial.info.run_id in note and report.number(trial.data.metrics["val_loss_mean"]) in note
    raw = learn_scaling(study.compose(["data=iris", *TINY]), 0).x_val
    assert raw.min() > 0, "centimetres, not standard deviations"
    loaded = mlflow.keras.load_model(f"models:/{model.model_id}")
    np.testing.assert_allclose(loaded.predict(raw, verbose=0), probabilities.mean(axis=0), atol=1e-5)


@pytest.mark.usefixtures("here")
def test_a_study_predicts_with_it_in_pandas() -> None:
    _, probabilities = best()
    spec = study.compose(["data=iris", *TINY])
    rows = pd.DataFrame(learn_scaling(spec, 0).x_val, columns=list(study.load_data(spec).input_names))
    opened = study.open("tiny")
    mean, std = opened.predict(rows.iloc[::-1], return_std=True)
    assert mean.columns.tolist() == ["setosa", "versicolor", "virginica"] and mean.index.tolist() == rows.index.tolist()[::-1]
    np.testing.assert_allclose(mean[::-1], probabilities.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(std[::-1], probabilities.std(axis=0, ddof=1), atol=1e-5)
    pd.testing.assert_frame_equal(opened.predict(rows), mean[::-1])
    alone, nothing = opened.predict(rows, member=2, return_std=True)
    np.testing.assert_allclose(alone, probabilities[2], atol=1e-5)
    assert nothing.isna().all(axis=None)
    with pytest.raises(BadInput, match="member: got 3; valid: the number of a replicate: 0, 1, 2"):
        opened.predict(rows, member=3)


@pytest.mark.usefixtures("here")
def test_a_single_network_that_an_earlier_version_kept_still_predicts(here: Path) -> None:
    _, probabilities = best()
    spec = study.compose(["data=iris", *TINY])
    scaling, networks = learn_scaling(spec, 1), study.open("tiny").weights(study.open("tiny").best, 1)
    spreads, centres = (np.array([getattr(column, name) for column in scaling.inputs]) for name in ("spread", "centre"))
    layers, columns = export.keras.layers, export.keras.Input((4,), dtype="float64")
    x = layers.Rescaling(1 / spreads, -centres / spreads, dtype="float64")(columns)
    model = export.keras.Model(columns, layers.Softmax()(layers.Dense(3)(layers.Dense(4, activation="relu")(x))))
    model.set_weights([networks.parameters[name] for name in export.names_of_weights(networks)])
    (file,), (description,) = here.glob("mlruns/**/model.keras"), here.glob("mlruns/**/MLmodel")
    before, text = file.read_bytes(), description.read_text()
    content = yaml.safe_load(text)
    del content["metadata"]["members"]
    content["metadata"]["replicate"] = 1
    try:
        model.save(file)
        export.keras.utils.clear_session()
        description.write_text(yaml.safe_dump(content))
        rows = pd.DataFrame(scaling.x_val, columns=list(study.load_data(spec).input_names))
        opened = study.open("tiny")
        mean, std = opened.predict(rows, return_std=True)
        np.testing.assert_allclose(mean, probabilities[1], atol=1e-5)
        assert std.isna().all(axis=None)
        pd.testing.assert_frame_equal(opened.predict(rows, member=1), mean)
        with pytest.raises(BadInput, match="member: got 0"):
            opened.predict(rows, member=0)
    finally:
        file.write_bytes(before)
        description.write_text(text)


def test_a_damaged_one_predicts_nothing(here: Path) -> None:
    (file,) = here.glob("mlruns/**/model.keras")
    whole = file.read_bytes()
    rows = pd.DataFrame(np.ones((2, 4)), columns=list(study.load_data(study.compose(["data=iris"])).input_names))
    try:
        file.write_bytes(whole[:1000])
        with pytest.raises(Corrupt, match=r"model\.keras isn't a Keras model"):
            study.open("tiny").predict(rows)
    finally:
        file.write_bytes(whole)
    assert study.open("tiny").predict(rows).sum(axis=1).tolist() == pytest.approx([1, 1])


@pytest.mark.usefixtures("here")
def test_it_has_a_signature_an_input_example_and_says_what_it_takes_and_gives() -> None:
    trial, _ = best()
    (model,) = models()
    kept_model = Model.load(f"models:/{model.model_id}")
    assert kept_model.signature.inputs.required_input_names() == list(study.load_data(study.compose(["data=iris"])).input_names)
    classes = ["setosa", "versicolor", "virginica"]
    assert kept_model.signature.outputs.input_names() == ["predicted class", "its probability", "SD over members", *classes]
    example = kept_model.load_input_example()
    assert example.shape == (5, 4)
    found = mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(example)
    mean, std = study.open("tiny").predict(example, return_std=True)
    pd.testing.assert_frame_equal(found[classes], mean, check_dtype=False)
    assert found["predicted class"].tolist() == mean.idxmax(axis=1).tolist()
    np.testing.assert_allclose(found["its probability"], mean.max(axis=1))
    np.testing.assert_allclose(found["SD over members"], std.to_numpy()[range(5), mean.to_numpy().argmax(axis=1)])
    told = kept_model.metadata
    assert (told["study"], told["run_id"], told["members"]) == ("tiny", trial.info.run_id, [0, 1, 2])
    assert told["inputs"][0] == "sepal length (cm)"
    assert told["outputs"] == classes
    files = [file for file in Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}")).rglob("*") if file.is_file()]
    # an empty one is uploaded in chunks, which not every proxy before a server takes
    assert files and all(file.stat().st_size for file in files)


@pytest.mark.usefixtures("here")
def test_the_same_command_again_keeps_it_and_another_champion_takes_its_place() -> None:
    (before,) = models()
    assert run(*STUDY) == 0
    (after,) = models()
    assert after.model_id == before.model_id
    opened = open_store(locations.tracking_uri(None))
    # what a process that was killed at it leaves, and then no champion at all
    experiment, mark = opened.experiments()["tiny"], after.tags["fingerprint"]
    client().create_logged_model(experiment, "champion", tags={"mlp_study.kind": "champion", "fingerprint": mark})
    client().delete_logged_model(before.model_id)
    assert kept(opened, "tiny", mark) is None
    with pytest.raises(BadInput, match=r"^STUDY: got 'tiny'"):
        study.open("tiny").predict(pd.DataFrame())
    assert run("doctor", "tiny") == 0
    assert run(*STUDY) == 0
    (new,) = models()
    assert new.model_id != before.model_id
    assert new.status == LoggedModelStatus.READY
    # an earlier version kept it, whose model took columns without their names
    client().delete_logged_model_tag(new.model_id, FORMAT)
    assert study.open("tiny").best is not None
    assert run(*STUDY) == 0
    (newest,) = models()
    assert newest.model_id != new.model_id


@pytest.mark.usefixtures("here")
def test_a_study_is_done_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = models()
    client().delete_logged_model(before.model_id)

    def refuse(*_: object) -> None:
        raise MlflowException("no models here")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifacts", refuse)
        assert run(*STUDY) == 0
        with pytest.raises(Unreachable, match="no models here"):
            champion.keep(study_results.read(locations.storage(None), "tiny"), locations.tracking_uri(None))
    assert {each.status for each in models()} == {LoggedModelStatus.PENDING}
    assert run(*STUDY) == 0
    assert [each.status for each in models()] == [LoggedModelStatus.READY]


def test_no_model_is_kept_where_nothing_is_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*STUDY, "tracking=none") == 0
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(["data=diabetes", "replicates.vary=[init,data]"], marks=pytest.mark.long),
        pytest.param(
            ["data=diabetes", "data.normalise=minmax", "data.normalise_target=minmax", "model.normalisation=batch"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            ["data=noise", "data.outputs=2", "data.rows=200", "data.normalise=robust", "model.normalisation=layer"],
            marks=pytest.mark.long,
        ),
        ["data=breast_cancer", "loss=binary_crossentropy", "model.dropout=0.5", "model.l2=0.01"],
        pytest.param(
            ["data=digits", "loss=categorical_crossentropy", "data.resample=kfold", "replicates.vary=[init,data]"],
            marks=pytest.mark.long,
        ),
    ],
    ids=" ".join,
)
def test_it_predicts_as_keras_models_that_are_scaled_and_averaged_by_hand(settings: list[str], tmp_path: Path) -> None:
    spec = study.compose([*settings, *TINY, "model.units=[4,5]", "replicates.first=2"])
    cohort = study.train(spec)
    scalings = [learn_scaling(spec, number) for number in spec.replicates.numbers]
    export.predictor(spec, cohort.networks(), scalings).save(tmp_path / "model.keras")
    export.keras.utils.clear_session()  # as in a new process, where operations get the names of the saved ones again
    loaded = export.keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    rows, by_hand = scalings[0].x_val, []
    members = predicting.networks(loaded)(rows)
    for replicate, scaling in enumerate(scalings):
        spreads, centres = np.array([(column.spread, column.centre) for column in scaling.inputs]).T
        outputs = study.keras_model(cohort, replicate).predict((rows - centres) / spreads, verbose=0).astype(float)
        if scaling.targets:
            spreads, centres = np.array([(column.spread, column.centre) for column in scaling.targets]).T
            by_hand.append(outputs * spreads + centres)
        else:
            by_hand.append(special.softmax(outputs, axis=-1) if outputs.shape[1] > 1 else special.expit(outputs))
        # single precision, of which a target's unit knows nothing
        tolerance = 1e-5 * max([scale.spread for scale in scaling.targets], default=1)
        np.testing.assert_allclose(members[:, replicate], by_hand[-1], rtol=1e-5, atol=tolerance)
    np.testing.assert_allclose(loaded.predict(rows, verbose=0), np.mean(by_hand, axis=0), rtol=1e-5, atol=tolerance)


def test_a_column_that_is_far_from_zero_is_scaled_in_double_precision(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{10_000 + a},{b},{a + 2 * b}" for a, b in draw.random((80, 2))]
    (tmp_path / "t.csv").write_text("far,near,target\n" + "\n".join(rows))
    spec = study.compose(["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=target", "training.batch_size=8", *TINY])
    cohort, scaling = study.train(spec), learn_scaling(spec, 0)
    (target,) = scaling.targets
    model = export.predictor(spec, cohort.networks()[:1], [scaling])
    # in single precision the column's steps would be 0.001, of an SD of 0.3
    wanted = cohort.predictions[0] * target.spread + target.centre
    np.testing.assert_allclose(np.asarray(model(scaling.x_val)), wanted, rtol=1e-5, atol=1e-5)


def test_a_gap_is_filled_as_in_training_and_elsewhere_told_as_one(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{a if number % 5 else ''},{b},{a + b}" for number, (a, b) in enumerate(draw.random((80, 2)))]
    (tmp_path / "t.csv").write_text("gaps,whole,target\n" + "\n".join(rows))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=target", "data.missing=median", "training.batch_size=8"]
    spec = study.compose([*table, *TINY])
    cohort, scaling = study.train(spec), learn_scaling(spec, 0)
    export.predictor(spec, cohort.networks()[:1], [scaling]).save(tmp_path / "model.keras")
    model = export.keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    median = scaling.inputs[0].fill
    assert median is not None and scaling.inputs[1].fill is None
    filled, same, nothing = model.predict(np.array([[np.nan, 0.5], [median, 0.5], [0.5, np.nan]]), verbose=0)
    assert filled == pytest.approx(same, rel=1e-6) and np.isnan(nothing)


def test_a_network_without_gaps_fills_them_as_the_others_do() -> None:
    def scaling(*fills: float | None) -> Scaling:
        return Scaling(tuple(ColumnScale(fill, 0.0, 1.0) for fill in fills), (), np.empty((0, 3)))

    nan = np.nan
    filled = export.fills([scaling(1.0, None, None), scaling(3.0, 5.0, None), scaling(8.0, 7.0, None)])
    np.testing.assert_array_equal(filled, [[1, 6, nan], [3, 5, nan], [8, 7, nan]])


@pytest.mark.fault
def test_mlflow_models_predict_works_on_it(here: Path) -> None:
    (model,) = models()
    names = list(study.load_data(study.compose(["data=iris"])).input_names)[::-1]  # in another order than in training
    rows = [dict(zip(names, values, strict=True)) for values in ([0.2, 1.4, 3.5, 5.1], [2.5, 6.0, 3.3, 6.3])]
    (here / "input.json").write_text(json.dumps({"dataframe_records": rows}))
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", f"models:/{model.model_id}", "-i", "input.json"]
    done = subprocess.run([*command, "--env-manager", "local"], capture_output=True, text=True, check=True, timeout=1800)
    answer = pd.DataFrame(json.loads(done.stdout.splitlines()[-1])["predictions"])
    expected = study.open("tiny").predict(pd.DataFrame(rows))
    np.testing.assert_allclose(answer[list(expected)], expected, rtol=1e-5)
