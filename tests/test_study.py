"""The main job from end to end: the real command, with real Optuna and MLflow, on tiny networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from sklearn.metrics import mean_absolute_error, r2_score

import study
from study import locations
from study.data import scaling
from study.errors import Corrupt
from study.records.outcome import Failed
from study.settings import spec
from study.tracking import artifacts, reader, runs, spool, store
from tests.command import client, ran, run, runs_of

TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]


def records(name: str) -> dict:
    found = optuna.load_study(study_name=name, storage=locations.storage(None))
    return {trial.number: trial for trial in found.trials}


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of three trials ran, one of which diverges."""
    rates = "optimizer.learning_rate=0.01,0.1,1e30"
    return ran(tmp_path_factory.mktemp("study"), "--multirun", rates, "hydra.sweeper.study_name=tiny", *TINY, code=5)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("here")
def test_every_setting_of_a_finite_space_is_tried_once_and_told() -> None:
    trials = records("tiny")
    assert [trials[number].params["optimizer.learning_rate"] for number in range(3)] == [0.01, 0.1, 1e30]
    assert [trials[number].state.name for number in range(3)] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "diverged: 2 of 2 replicates" in trials[2].user_attrs["reason"]


@pytest.mark.usefixtures("here")
def test_a_trial_is_a_run_and_each_replicate_is_a_child_of_it() -> None:
    trials, replicates = runs_of("trial"), runs_of("replicate")
    assert [run.info.run_name for run in trials] == ["trial 0", "trial 1", "trial 2"]
    assert [run.info.status for run in trials] == ["FINISHED", "FINISHED", "FAILED"]
    assert [run.info.run_name for run in replicates] == [f"trial {t}/{r}" for t in range(3) for r in range(2)]
    assert {run.data.tags["mlflow.parentRunId"] for run in replicates} == {run.info.run_id for run in trials}
    assert trials[0].data.params["optimizer.learning_rate"] == "0.01"
    assert trials[2].data.tags["failure"].startswith("diverged")
    assert not any(run.info.status == "RUNNING" for run in (*trials, *replicates))


@pytest.mark.usefixtures("here")
def test_what_is_recorded_is_what_the_engine_trains() -> None:
    trained = study.train(study.compose(["optimizer.learning_rate=0.1", *TINY]))
    trial, children = runs_of("trial")[1], runs_of("replicate")[2:4]
    for replicate, child in enumerate(children):
        assert child.data.tags["fingerprint"] == study.fingerprint(trained, replicate)
        assert child.data.tags["convergence"] == trained.labels[replicate]
        assert child.data.tags["seed.init"] == str(trained.seeds["init"][replicate])
        for key, losses in (("train_loss", trained.train_loss), ("val_loss", trained.val_loss)):
            curve = client().get_metric_history(child.info.run_id, key)
            assert [point.step for point in curve] == [1, 2, 3]
            np.testing.assert_allclose([point.value for point in curve], losses[replicate], rtol=1e-6)
        # the target is normalised, so that the trivial loss is 1; three epochs project anything
        assert child.data.metrics["loss_over_trivial"] == pytest.approx(trained.train_loss[replicate, -1], rel=1e-4)
        assert "improvement_low" not in child.data.metrics
    assert trial.data.metrics["val_loss_mean"] == pytest.approx(trained.val_loss[:, -1].mean(), rel=1e-6)
    y, scores = study.load_data(trained.spec).y_val, [trial.data.metrics["val_r2"], trial.data.metrics["val_mae"]]
    expected = [[r2_score(y, each), mean_absolute_error(y, each)] for each in trained.predictions]
    spread = scaling.learn_scaling(trained.spec, 0).targets[0].spread  # scores are in the target's own unit
    np.testing.assert_allclose(scores, np.mean(expected, axis=0) * [1, spread], rtol=1e-4)


@pytest.mark.usefixtures("here")
def test_a_trials_files_are_whole_and_rebuild_its_settings(tmp_path: Path) -> None:
    place = Path(client().download_artifacts(runs_of("trial")[0].info.run_id, "", str(tmp_path)))
    artifacts.check(place)
    assert spec.build(yaml.safe_load((place / "config.yaml").read_text())) == study.compose(["optimizer.learning_rate=0.01", *TINY])
    curves = pd.read_parquet(place / "curves.parquet")
    assert curves[["replicate", "epoch"]].values.tolist() == [[r, e] for r in range(2) for e in (1, 2, 3)]
    with np.load(place / "weights.npz") as weights:
        assert weights["kernel_0"].shape == (2, 10, 4)


def test_the_spool_is_empty_and_the_artifacts_lie_under_mlruns(here: Path) -> None:
    assert list((here / ".mlp-study" / "spool").iterdir()) == []
    assert len(list((here / "mlruns").rglob("weights.npz"))) == 2


@pytest.mark.usefixtures("here")
def test_show_tells_the_trials_the_best_and_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "show", "tiny")
    assert [trial["state"] for trial in found["trials"]] == ["complete", "complete", "failed"]
    values = {trial["number"]: trial["value"] for trial in found["trials"] if trial["state"] == "complete"}
    assert found["best"] == min(values, key=values.get)
    assert found["headline"].startswith("Not decided: the training loss") and found["answer"].startswith(found["headline"])
    assert found["indistinguishable"] == sorted(values, key=values.get)  # two replicates decide nothing
    assert "Too few replicates to decide" in found["win"]
    assert run("show", "tiny") == 0
    assert "diverged: 2 of 2 replicates" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_trials_files_are_checked_once_per_process_and_again_where_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = store.existing(locations.tracking_uri(None))
    trial = runs_of("trial")[0]
    checked: list[Path] = []
    check = artifacts.check

    def counted(folder: Path) -> None:
        checked.append(folder)
        check(folder)

    monkeypatch.setattr(artifacts, "check", counted)
    reader._check.cache_clear()
    first, again = reader.load_networks(opened, trial.info.run_id), reader.load_networks(opened, trial.info.run_id)
    assert [network.fingerprint for network in first] == [network.fingerprint for network in again]
    followed = runs.motion_of(opened, trial.info.run_id)
    known = reader.load_networks(opened, trial.info.run_id, motion=True)
    assert followed and [network.rests for network in known] == followed.function_rests.tolist()
    np.testing.assert_array_equal([network.wobble for network in known], followed.wobble)
    assert first[0].rests is None, "it takes time, and only a comparison asks for it"
    reader.load_trial(opened, trial.info.run_id)
    assert len(checked) == 1
    [folder] = checked
    with pytest.raises(Corrupt, match=r"curves\.npz"), changed(folder / artifacts.CURVES):
        reader.load_trial(opened, trial.info.run_id)
    reader.load_trial(opened, trial.info.run_id)
    assert len(checked) == 3


@contextmanager
def changed(file: Path) -> Iterator[None]:
    """A file with another byte at its end, for the block."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        yield
    finally:
        file.write_bytes(content)


@pytest.mark.usefixtures("here")
def test_compare_sets_networks_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (run.info.run_id for run in runs_of("trial")[:2])
    found = shown(capsys, "compare", first, second)
    assert [network["name"] for network in found["networks"]] == ["trial 0/0", "trial 0/1", "trial 1/0", "trial 1/1"]
    assert found["differing_settings"] == ["optimizer.learning_rate", "seed.init", "seed.order"]
    assert all(network["fingerprint"] == network["recorded_fingerprint"] for network in found["networks"])
    assert np.shape(found["relative_l2"]) == np.shape(found["disagreement"]) == (4, 4)
    assert found["distinct_fingerprints"] == 4
    same = runs_of("replicate")[0].info.run_id
    assert shown(capsys, "compare", same, same)["relative_l2"] == [[0, 0], [0, 0]]


@pytest.mark.usefixtures("here")
def test_similar_finds_the_nearest_networks_and_survives_a_torn_copy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    query = runs_of("replicate")[0].info.run_id
    first = shown(capsys, "similar", query)
    assert first["compared"] == 3 and len(first["similar"]) == 3
    distances = [each["distance"] for each in first["similar"]]
    assert distances == sorted(distances) and distances[0] > 0
    assert shown(capsys, "similar", query) == first  # from the copy on disk
    [copy] = tmp_path.rglob("*.npz")
    copy.write_bytes(copy.read_bytes()[:99])
    assert shown(capsys, "similar", query) == first
    assert len(shown(capsys, "similar", query, "--count", "2")["similar"]) == 2
    assert run("similar", runs_of("trial")[0].info.run_id) == 2  # not a replicate's


@pytest.mark.usefixtures("here")
def test_the_same_command_again_adds_nothing() -> None:
    before = records("tiny")
    assert run("--multirun", "optimizer.learning_rate=0.01,0.1,1e30", "hydra.sweeper.study_name=tiny", *TINY) == 5
    assert records("tiny") == before
    assert len(runs_of("trial")) == 3 and len(runs_of("study")) == 1


@pytest.mark.usefixtures("empty")
def test_n_trials_is_a_total_and_an_interrupted_study_goes_on_as_it_would_have() -> None:
    sampled = [
        "--multirun",
        "optimizer.learning_rate=tag(log,interval(1e-3,1e-1))",
        "tracking=none",
        "training.epochs=1",
        *TINY[1:],
    ]

    def rates(name: str) -> list[float]:
        return [t.params["optimizer.learning_rate"] for t in records(name).values() if t.state.name == "COMPLETE"]

    assert run(*sampled, "hydra.sweeper.study_name=whole", "hydra.sweeper.n_trials=4") == 0
    assert run(*sampled, "hydra.sweeper.study_name=parts", "hydra.sweeper.n_trials=2") == 0
    # a trial that another program asked for and left: it doesn't count
    optuna.load_study(study_name="parts", storage=locations.storage(None)).ask()
    assert run(*sampled, "hydra.sweeper.study_name=parts", "hydra.sweeper.n_trials=4") == 0
    assert len(set(rates("whole"))) == 4
    assert rates("parts") == rates("whole")
    assert records("parts")[2].user_attrs["reason"].startswith("abandoned")


def test_a_single_trial_is_recorded_too(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TINY, "data=digits") == 0
    assert "2 different fingerprints" in capsys.readouterr().out
    spool.writer(locations.tracking_uri(None)).drain()
    experiment = client().get_experiment_by_name("digits")
    assert len(client().search_runs([experiment.experiment_id])) == 3
    assert (empty / "mlruns" / "digits").is_dir()
    [page] = empty.glob("outputs/*/*/portrait.html")
    [kept] = empty.glob("mlruns/digits/*/artifacts/portrait.html")
    assert "Disagreement of the functions" in page.read_text() == kept.read_text()


def test_a_record_that_was_left_behind_is_written_by_the_next_writer(empty: Path) -> None:
    """As after a kill -9 of the trainer and the writer, when the record was on disk."""
    sender = spool.Writer(locations.tracking_uri(None))
    held = spool.TrialRecorder(sender, "left", study.compose(TINY), "trial 7", 7)
    sender.drain()
    sender._process.kill()
    sender._process.wait()
    held.close(Failed("a reason"))
    with pytest.raises(spool.Unreachable):
        sender.drain()

    later = spool.Writer(locations.tracking_uri(None))
    later.prepare()
    later.drain()
    later.close()
    experiment = client().get_experiment_by_name("left")
    runs = client().search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"] * 3
    assert list(spool.FOLDER.iterdir()) == []


def test_a_trial_that_was_killed_in_the_middle_leaves_no_run_open(empty: Path) -> None:
    sender = spool.Writer(locations.tracking_uri(None))
    spool.TrialRecorder(sender, "cut", study.compose(TINY), "trial 0", 0)
    sender.close()  # the end of the input is all that a writer sees of a killed trainer
    experiment = client().get_experiment_by_name("cut")
    assert [run.info.status for run in client().search_runs([experiment.experiment_id])] == ["KILLED"] * 3
    assert list(spool.FOLDER.iterdir()) == []


def test_a_study_of_one_setting_ends_with_what_the_setting_does(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--multirun", "optimizer=sgd,adam", "hydra.sweeper.study_name=factor", *TINY) == 0
    shown = capsys.readouterr()
    assert "sgd – adam" in shown.out and "Controlled" in shown.out
    experiment = client().get_experiment_by_name("factor")
    [found] = client().search_runs([experiment.experiment_id], "tags.`mlp_study.kind` = 'study'")
    assert {"report.html", "optimizer.md"} <= {file.path for file in client().list_artifacts(found.info.run_id)}
    assert found.data.tags["factor"] in next((empty / "mlruns").glob("**/optimizer.md")).read_text()


def test_a_tracked_runs_final_weights_can_be_the_start(here: Path) -> None:
    [trial] = [run for run in runs_of("trial") if run.data.params["optimizer.learning_rate"] == "0.1"]
    replicate = next(run for run in runs_of("replicate") if run.data.tags["mlflow.parentRunId"] == trial.info.run_id)
    source = study.train(study.compose(["optimizer.learning_rate=0.1", *TINY]))
    place = int(replicate.data.tags["mlp_study.replicate"])
    for name, expected in ((trial.info.run_id, [0, 1]), (replicate.info.run_id, [place, place])):
        started = study.train(study.compose([f"init.same_as={name}", *TINY]))
        for initial, final in zip(started.initial_kernels, source.kernels, strict=True):
            assert initial.tobytes() == final[expected].tobytes()
    for overrides, told in (
        (["init.same_as=abc"], "init.same_as: got 'abc'"),
        ([f"init.same_as={trial.info.run_id}", "model.normalisation=batch"], "10-4-1'; valid: .* 10-4-1 with batch normalisation"),
        ([f"init.same_as={trial.info.run_id}", "model.units=[5]"], "10-4-1.*10-5-1"),
        ([f"init.same_as={trial.info.run_id}", "replicates.count=3"], "at least 3"),
    ):
        with pytest.raises(study.BadInput, match=told):
            study.train(study.compose([*TINY, *overrides]))
