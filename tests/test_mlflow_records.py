"""What MLflow is told of a study for a person's sake: data, descriptions, and curves while a trial runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

import study
from study import locations
from study.data import inputs
from study.records.cohort import Leg
from study.tracking import descriptions, runs, schema, spool, store
from study.tracking.schema import REASON
from tests import command
from tests.command import client, ran, runs_of

TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]
NOTE = "mlflow.note.content"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of a table ran, one of whose trials diverges."""
    folder = tmp_path_factory.mktemp("told")
    rows = [f"{a},{b},{a + b}" for a, b in np.random.default_rng(0).random((100, 2))]
    (folder / "houses.csv").write_text("area,age,price\n" + "\n".join(rows))
    data = ["data=table", f"data.path={folder / 'houses.csv'}", "data.target=price", "optimizer=sgd"]
    rates = "optimizer.learning_rate=0.01,1e30"
    return ran(folder, "--multirun", rates, *data, "hydra.sweeper.study_name=tiny", *TINY, code=5)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def note(run: Run) -> str:
    return run.data.tags[NOTE]


def test_data_are_an_input_of_every_trial_and_of_the_study_by_name_and_digest(here: Path) -> None:
    told = []
    for run in (*runs_of("trial"), *runs_of("study")):
        (used,) = run.inputs.dataset_inputs
        told.append(used.dataset)
        assert (used.dataset.name, used.tags[0].value) == ("houses.csv", "training")
    assert {each.digest for each in told} == {told[0].digest}
    assert json.loads(told[0].profile) == {
        "num_rows": 100,
        "training": 64,
        "validation": 16,
        "test": 20,
        "inputs": 2,
        "targets": 1,
    }
    columns = [each["name"] for each in json.loads(told[0].schema)["mlflow_colspec"]]
    assert columns == ["price (target)", "area", "age"]
    assert str(here) not in f"{told[0].source}{told[0].schema}{told[0].profile}"


def test_wide_data_are_told_within_mlflows_limits() -> None:
    spec = study.compose(["data=noise", "data.features=5000", "data.rows=10", "training.batch_size=2", *TINY])
    told = inputs.describe(spec, study.load_data(spec))
    assert len(told["schema"]) < 65_536
    assert "… and 4,801 more" in told["schema"]
    assert len(told["digest"]) == 36


@pytest.mark.usefixtures("here")
def test_every_run_says_what_came_of_it_and_how_to_go_on() -> None:
    whole, diverged = runs_of("trial")
    assert "Verdict: **did not converge**" in note(whole)
    assert "mlp-study reproduce tiny/0\n" in note(whole)
    assert note(diverged).startswith("**diverged: 2 of 2 replicates")
    assert "reproduce" not in note(diverged)
    first, second, *_ = runs_of("replicate")
    for each, other in ((first, second), (second, first)):
        assert each.data.tags["fingerprint"] in note(each)
        assert each.data.tags["seed.init"] in note(each) and note(each).startswith("Validation loss")
        assert f"{each.info.run_id}%22%2C%20%22{other.info.run_id}" in note(each), "itself first"
    assert "mlp-study similar tiny/0/1" in note(second)
    (own,) = runs_of("study")
    assert note(own).startswith(f"**{own.data.tags['headline']}**")
    [experiment] = [each for each in client().search_experiments() if each.name == "tiny"]
    assert experiment.tags[NOTE].startswith(f"**{own.data.tags['headline']}**")
    assert own.data.tags["answer"].removeprefix(own.data.tags["headline"]).strip() in note(own)
    assert note(own).count(own.data.tags["headline"]) == 1
    assert "| trial | val loss | rmse | learning_rate |" in note(own)


@pytest.mark.usefixtures("here")
def test_a_trials_curves_are_the_means_of_its_replicates() -> None:
    whole, diverged = runs_of("trial")
    for key in ("train_loss", "val_loss"):
        of_replicates = [
            _curve(run, key) for run in runs_of("replicate") if run.data.tags["mlflow.parentRunId"] == whole.info.run_id
        ]
        np.testing.assert_allclose(_curve(whole, key), np.mean(of_replicates, axis=0))
        assert len(_curve(diverged, key)) < 3


def _curve(run: Run, key: str) -> list[float]:
    return [point.value for point in client().get_metric_history(run.info.run_id, key)]


@pytest.mark.usefixtures("here")
def test_the_studys_run_and_its_champion_have_metrics_parameters_and_the_data() -> None:
    (own,), (best, _) = runs_of("study"), runs_of("trial")
    metrics = {key: value for key, value in best.data.metrics.items() if key not in schema.CURVES}
    assert own.data.metrics == metrics and own.data.params["data.target"] == "price"
    [model] = client().search_logged_models([own.info.experiment_id])
    assert {metric.key: metric.value for metric in model.metrics} == pytest.approx(metrics)
    assert {metric.dataset_name for metric in model.metrics} == {"houses.csv"} and model.params["optimizer"] == "sgd"


@pytest.mark.usefixtures("here")
def test_what_has_one_value_is_of_step_0_so_that_the_ui_draws_bars_of_it() -> None:
    whole, _ = runs_of("trial")
    steps = {key: [point.step for point in client().get_metric_history(whole.info.run_id, key)] for key in whole.data.metrics}
    assert steps.pop("val_loss_mean") == [3]
    assert steps.pop("train_loss") == steps.pop("val_loss") == [1, 2, 3]
    assert not {"null", "distinct", "finite_test"} & steps.keys()
    assert {tuple(each) for each in steps.values()} == {(0,)}


def test_a_description_never_exceeds_what_mlflow_keeps_and_ends_with_the_way_on() -> None:
    rows = "| trial |\n| --- |\n" + "| 1 |\n" * 200
    told = descriptions.of_study("it's", "1", {"answer": "No. " * 5_000}, {"trials.md": rows}, ["/a/report.html"])
    assert len(told) <= 8_000
    assert told.endswith("mlp-study report 'it'\"'\"'s'\n```")


def test_curves_reach_mlflow_while_a_trial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spool, "LIVE_SECONDS", 0)
    spec = study.compose(TINY)
    recorder = spool.TrialRecorder(spool.writer(locations.tracking_uri(None)), "tiny", spec, "trial 0", 0)
    losses = np.full((1, 2), 0.5, np.float32)
    recorder.leg(Leg(1, losses, losses, losses, np.array([True, True]), losses[0]))
    until = time.monotonic() + 600
    while not (shown := _points()) and time.monotonic() < until:
        time.sleep(0.1)
    assert shown == {"trial 0/0": 0.5, "trial 0/1": 0.5}
    recorder.close(None)


def _points() -> dict[str, float]:
    """The validation loss of each replicate that is running, once all have one."""
    if not Path("mlflow.db").exists() or not client().get_experiment_by_name("tiny"):
        return {}
    runs = [each for each in runs_of("replicate") if each.info.status == "RUNNING"]
    found = {each.info.run_name: each.data.metrics["val_loss"] for each in runs if "val_loss" in each.data.metrics}
    return found if len(found) == 2 else {}


@pytest.mark.parametrize(("epochs", "points"), [(20, 20), (1_000, 1_000), (10_000, 2_000), (100_000, 3_111)])
def test_a_curve_has_a_thousand_points_for_each_power_of_ten(epochs: int, points: int) -> None:
    charted = [epoch for epoch in range(1, epochs + 1) if schema.charted(epoch)]
    assert len(charted) == points
    gaps = np.diff(charted)
    assert (gaps[1:] >= gaps[:-1] - 81).all() and (gaps[:999] == 1).all()


@pytest.mark.long
def test_a_long_curve_has_its_last_epoch_in_mlflow_and_all_of_them_in_the_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(
        tmp_path,
        "--multirun",
        *TINY,
        "training.epochs=1100",
        "training.leg_epochs=500",
        "hydra.sweeper.n_trials=1",
        "hydra.sweeper.study_name=tiny",
    )
    monkeypatch.chdir(tmp_path)
    child = runs_of("replicate")[0].info.run_id
    for key in schema.CURVES:
        steps = [point.step for point in client().get_metric_history(child, key)]
        assert steps == [*range(1, 1001), *range(1008, 1100, 9), 1100]
    opened = store.existing(locations.tracking_uri(None))
    assert runs.curves(opened, runs_of("trial")[0].info.run_id)["train_loss"].shape == (2, 1100)
    assert command.run("doctor", "--thorough") == 0
    capsys.readouterr()
    assert command.run("show", "tiny/0/0") == 0
    assert "train loss, 1100 epochs" in capsys.readouterr().out


def test_a_reason_that_another_writer_has_just_given_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = store.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = opened.client.create_run(opened.experiment("tiny"))
    set_tag, calls = opened.client.set_tag, []

    def collide(run_id: str, key: str, value: str) -> None:
        calls.append(key)
        set_tag(run_id, key, value)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: tags.key, tags.run_uuid")

    monkeypatch.setattr(opened.client, "set_tag", collide)
    opened.end(run.info.run_id, "KILLED", "another run holds all replicates of trial 3")
    ended = opened.client.get_run(run.info.run_id)
    assert ended.info.status == "KILLED" and ended.data.tags[REASON].startswith("another run") and calls == [REASON] * 2
