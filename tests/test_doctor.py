"""Doctor: each kind of damage to the records of a real study is found, mended where it can be, and then no longer found."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.entities import Run

import study
from study import locations, processes, sqlite
from study.records.outcome import Failed
from study.search import storage
from study.tracking import spool
from tests.command import DEAD, client, forget, ran, run, runs_of

TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of three trials ran, one of which diverged, and whose processes are gone."""
    rates = "optimizer.learning_rate=0.01,0.1,1e30"
    place = ran(tmp_path_factory.mktemp("doctor"), "--multirun", rates, "hydra.sweeper.study_name=tiny", *TINY, code=5)
    spool.writer(sqlite.url_of(place / "mlflow.db")).close()
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder. A test mends what it damages, or the next one would find that too."""
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def elsewhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of its databases, made by SQLite: the files alone may lack what was written last."""
    for name in ("optuna.db", "mlflow.db"):
        with closing(sqlite3.connect(folder / name)) as source, closing(sqlite3.connect(tmp_path / name)) as copy:
            source.backup(copy)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(database: str, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is told."""
    forget()
    capsys.readouterr()
    code = run("doctor", "--json", *arguments)
    return code, json.loads(capsys.readouterr().out)


def check_found(capsys: pytest.CaptureFixture[str], words: str, *arguments: str) -> None:
    """Doctor finds one thing, in these words, and changes nothing."""
    for _ in range(2):
        code, found = told(capsys, *arguments)
        assert code == 6 and len(found["findings"]) == 1, found
        assert words in found["findings"][0]["what"]


def check_mended(capsys: pytest.CaptureFixture[str], words: str, *arguments: str) -> None:
    """Doctor finds it, mends it, and then finds nothing."""
    check_found(capsys, words, *arguments)
    code, found = told(capsys, "--repair", *arguments)
    assert code == 0 and found["findings"] == [] and words in found["mended"][0]["what"]
    code, found = told(capsys, *arguments)
    assert code == 0 and found["findings"] == found["mended"] == []


def top(number: int) -> Run:
    """The run of a trial that counts."""
    return next(each for each in runs_of("trial") if each.info.run_name == f"trial {number}")


def children(number: int) -> list[Run]:
    parent = top(number).info.run_id
    return [each for each in runs_of("replicate") if each.data.tags["mlflow.parentRunId"] == parent]


def files(number: int) -> Path:
    return Path(top(number).info.artifact_uri.removeprefix("file://"))


def champion() -> Path:
    (model,) = client().search_logged_models([client().get_experiment_by_name("tiny").experiment_id])
    return Path(model.artifact_location.removeprefix("file://"))


def made(trial: int, status: str, owner: str = DEAD) -> str:
    """Another run of a trial."""
    experiment = client().get_experiment_by_name("tiny").experiment_id
    tags = {"mlp_study.kind": "trial", "mlp_study.trial": str(trial), "mlp_study.owner": owner}
    run_id: str = client().create_run(experiment, run_name="another", tags=tags).info.run_id
    client().update_run(run_id, status=status)
    return run_id


# -- nothing is wrong, or nothing is there -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_sound_study_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("tiny",), ("--thorough",), ("--repair",)):
        code, found = told(capsys, *arguments)
        assert code == 0 and found["findings"] == found["mended"] == found["notes"] == []
        assert (found["trials"], found["runs"]) == (3, 4)  # the study's own run is one of them


@pytest.mark.usefixtures("here")
def test_an_unknown_study_is_bad_input() -> None:
    assert run("doctor", "tyni") == 2


@pytest.mark.parametrize("missing", [["optuna.db"], ["mlflow.db"], ["optuna.db", "mlflow.db"]])
def test_a_missing_database_is_told_and_not_created(elsewhere: Path, missing: list[str]) -> None:
    for name in missing:
        (elsewhere / name).unlink()
    assert run("doctor") == run("doctor", "--repair") == 2
    assert not any((elsewhere / name).exists() for name in missing)


@pytest.mark.usefixtures("here")
def test_a_server_that_does_not_answer_is_unreachable() -> None:
    assert run("doctor", "--tracking-uri", "http://127.0.0.1:1") == 3


def text_for_database(path: Path) -> None:
    path.write_text("no database at all")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def other_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (number)")


def torn(path: Path) -> None:
    """A page in the middle is overwritten."""
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    content[size : 2 * size] = b"\xff" * size
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["optuna.db", "mlflow.db"])
@pytest.mark.parametrize("damage", [text_for_database, emptied, other_tables, torn])
def test_a_damaged_database_is_told_and_left_as_it_is(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Callable[[Path], None]
) -> None:
    damage(elsewhere / name)
    before = (elsewhere / name).read_bytes()
    for arguments in ((), ("--repair",)):
        code, found = told(capsys, *arguments)
        assert code == 6 and [each["where"] for each in found["findings"]] == [str(elsewhere / name)]
        assert not found["findings"][0]["mendable"]
    assert (elsewhere / name).read_bytes() == before


def test_a_draft_of_a_database_is_removed_once_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sqlite.ensure(locations.storage(None), storage._schema)
    old, young = tmp_path / ".mlflow.db.1.new", tmp_path / ".mlflow.db.2.new"
    for draft in (old, young):
        draft.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    check_mended(capsys, "left by a process that was killed")
    assert young.exists() and not old.exists() and not (tmp_path / "mlflow.db").exists()


# -- trials ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_trial_whose_job_was_done_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    before = optuna.load_study(study_name="tiny", storage=locations.storage(None)).trials[0]
    change("optuna.db", "UPDATE trials SET state = 'RUNNING' WHERE number = 0")
    change("optuna.db", "UPDATE trial_system_attributes SET value_json = ? WHERE key = 'mlp_study:owner'", json.dumps(DEAD))
    for each in (top(0), *children(0)):
        change("mlflow.db", "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", each.info.run_id)
    check_mended(capsys, "result", "tiny")
    assert {each.info.status for each in (top(0), *children(0))} == {"FINISHED"} and "failure" not in top(0).data.tags
    after = optuna.load_study(study_name="tiny", storage=locations.storage(None)).trials[0]
    assert (after.state, after.values) == (before.state, before.values)


@pytest.mark.usefixtures("here")
def test_a_trial_of_a_process_that_is_gone_is_marked_and_its_runs_end(capsys: pytest.CaptureFixture[str]) -> None:
    held = optuna.load_study(study_name="tiny", storage=locations.storage(None))
    living = held.ask()
    # as an earlier version kept it
    living.set_user_attr("owner", f"{processes.host()}:1")  # the machine's first process
    assert told(capsys)[0] == 0
    living.set_user_attr("owner", DEAD)
    check_mended(capsys, "process")
    attempt = optuna.load_study(study_name="tiny", storage=locations.storage(None)).trials[living.number]
    assert attempt.state.name == "FAIL" and attempt.user_attrs["reason"] == processes.ABANDONED

    finished = made(living.number, "FINISHED")
    check_mended(capsys, "FINISHED")
    assert client().get_run(finished).info.status == "KILLED"


# -- runs --------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_run_without_a_writer_ends_as_its_trial_did(capsys: pytest.CaptureFixture[str]) -> None:
    for number, status in ((0, "FINISHED"), (2, "FAILED")):
        for each in (top(number), children(number)[1]):
            change("mlflow.db", "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", each.info.run_id)
        check_mended(capsys, "RUNNING although its trial is")
        assert {each.info.status for each in (top(number), *children(number))} == {status}


@pytest.mark.usefixtures("here")
def test_a_run_of_a_single_trial_without_a_writer_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = client().get_experiment_by_name("tiny").experiment_id
    tags = {"mlp_study.kind": "trial", "mlp_study.owner": processes.owner()}
    alone = client().create_run(experiment, run_name="alone", tags=tags).info.run_id
    assert told(capsys)[0] == 0  # it may be at work
    client().set_tag(alone, "mlp_study.owner", DEAD)
    check_mended(capsys, "RUNNING although its process is gone")
    after = client().get_run(alone)
    assert after.info.status == "KILLED" and after.data.tags["failure"] == processes.ABANDONED


@pytest.mark.usefixtures("here")
def test_a_trial_has_one_finished_run(capsys: pytest.CaptureFixture[str]) -> None:
    second = made(0, "FINISHED")
    check_mended(capsys, "FINISHED although its trial is complete")
    assert client().get_run(second).info.status == "KILLED" and top(0).info.status == "FINISHED"


@pytest.mark.usefixtures("here")
def test_a_run_of_a_trial_that_the_study_lacks_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    alien = made(99, "FAILED")
    check_found(capsys, "1 runs belong to trials that aren't in")
    client().delete_run(alien)


@pytest.mark.usefixtures("here")
def test_a_study_of_another_storage_is_only_mentioned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = sqlite.url_of(tmp_path / "optuna.db")
    sqlite.ensure(other, storage._schema)
    code, found = told(capsys, "--storage", other)
    assert code == 0 and found["findings"] == [] and found["notes"][0].startswith("tiny: ")


@pytest.mark.usefixtures("here")
def test_deleted_runs_are_missed(capsys: pytest.CaptureFixture[str]) -> None:
    for run_id, words in ((top(1).info.run_id, "isn't in sqlite"), (children(1)[0].info.run_id, "1 of its 2 replicates")):
        client().delete_run(run_id)
        check_found(capsys, words)
        assert run("doctor", "--repair") == 6
        client().restore_run(run_id)


# -- curves and files --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("epoch", "thorough"), [(3, []), (2, ["--thorough"]), (3, ["--thorough"])])
def test_points_that_a_curve_lacks_are_sent_again(capsys: pytest.CaptureFixture[str], epoch: int, thorough: list[str]) -> None:
    child = children(0)[1].info.run_id
    before = client().get_metric_history(child, "val_loss")
    change("mlflow.db", "DELETE FROM metrics WHERE run_uuid = ? AND key = 'val_loss' AND step = ?", child, epoch)
    if epoch == 3:
        change("mlflow.db", "UPDATE latest_metrics SET step = 2 WHERE run_uuid = ? AND key = 'val_loss'", child)
    check_mended(capsys, "lacks epoch" if thorough else "the curves of replicate 1 end too early", *thorough)
    after = client().get_metric_history(child, "val_loss")
    assert sorted((p.step, p.value, p.timestamp) for p in after) == sorted((p.step, p.value, p.timestamp) for p in before)


@pytest.mark.usefixtures("here")
def test_a_point_that_is_another_cannot_be_mended(capsys: pytest.CaptureFixture[str]) -> None:
    child = children(1)[0].info.run_id
    moved = "UPDATE metrics SET value = value + ? WHERE run_uuid = ? AND key = 'train_loss' AND step = 2"
    [value] = [point.value for point in client().get_metric_history(child, "train_loss") if point.step == 2]
    change("mlflow.db", moved, 1.0, child)
    check_found(capsys, "train_loss of replicate 0 has epoch 2", "--thorough")
    assert run("doctor", "--repair", "--thorough") == 6
    change("mlflow.db", moved.replace("value + ?", "?"), value, child)


@pytest.mark.usefixtures("here")
def test_another_fingerprint_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    child = children(0)[0]
    client().set_tag(child.info.run_id, "fingerprint", "0" * 64)
    check_found(capsys, "the weights of replicate 0", "--thorough")
    client().set_tag(child.info.run_id, "fingerprint", child.data.tags["fingerprint"])


@pytest.mark.usefixtures("here")
def test_damaged_and_missing_files_are_found_and_cannot_be_mended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = files(0) / "weights.npz"
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    check_found(capsys, "checksums differ", "--thorough")
    file.unlink()
    check_found(capsys, "no weights.npz")
    assert run("doctor", "--repair") == 6
    assert "no weights.npz" in capsys.readouterr().out
    file.write_bytes(content)


@pytest.mark.usefixtures("here")
def test_a_champion_without_its_files_is_saved_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.move(champion(), tmp_path / "champion")
    check_mended(capsys, "no files in")
    assert (champion() / "MLmodel").is_file()


# -- the spool ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_what_a_killed_writer_left_is_sent_or_ended(capsys: pytest.CaptureFixture[str]) -> None:
    sender = spool.Writer(locations.tracking_uri(None))
    whole, _ = (spool.TrialRecorder(sender, "left", study.compose(TINY), name, None) for name in ("whole", "cut"))
    sender.drain()
    assert told(capsys)[0] == 0  # its writer is at work
    sender._process.kill()
    sender._process.wait()
    whole.close(Failed("a reason"))
    code, found = told(capsys)
    assert code == 6 and [each["mendable"] for each in found["findings"]] == [True, True]
    assert len({each["what"] for each in found["findings"]}) == 2
    assert told(capsys, "--repair")[0] == told(capsys)[0] == 0
    ended = client().search_runs([client().get_experiment_by_name("left").experiment_id])
    assert {each.info.run_name: each.info.status for each in ended} == {
        **dict.fromkeys(("whole", "whole/0", "whole/1"), "FAILED"),
        **dict.fromkeys(("cut", "cut/0", "cut/1"), "KILLED"),
    }
    assert list(spool.FOLDER.iterdir()) == []
