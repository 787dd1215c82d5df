"""Several commands on one folder at once, runs deleted under a study that runs, and a clock that is set back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from study import sqlite
from study.errors import Corrupt
from study.search.records import INTERRUPTED
from study.tracking import spool
from study.tracking.schema import KIND, OF_REPLICATE, OF_TRIAL
from tests.test_faults_study import (
    LOG,
    PATIENCE,
    RATE,
    TINY,
    finish,
    kill,
    processes_in,
    runs,
    start,
    trials,
    trials_done,
    wait_for,
    wait_until_alone,
)
from tests.verification import verify

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds a folder's processes in /proc"),
]

ANOTHER = ["hydra.sweeper.study_name=another"]


def total(n_trials: int) -> list[str]:
    return [*TINY, RATE, f"hydra.sweeper.n_trials={n_trials}"]


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of another command in the folder."""
    done = subprocess.run([sys.executable, "-m", "study", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def client(folder: Path) -> MlflowClient:
    return MlflowClient(sqlite.url_of(folder / "mlflow.db"))


def test_two_studies_share_a_folder(tmp_path: Path) -> None:
    drivers = [start(tmp_path, *total(6)), start(tmp_path, *total(6), *ANOTHER)]
    assert [driver.wait(PATIENCE) for driver in drivers] == [0, 0], (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    assert verify(tmp_path, "s", 6).params == verify(tmp_path, "another", 6).params


def test_drivers_of_different_totals_make_the_largest(tmp_path: Path) -> None:
    drivers = [start(tmp_path, *total(n_trials)) for n_trials in (4, 8, 12)]
    assert [driver.wait(PATIENCE) for driver in drivers] == [0] * 3, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    verify(tmp_path, "s", 12)


@pytest.mark.parametrize("moment", ["study.search.study:Search.ask", "study.reporting.outputs:write_report"], ids=["ask", "report"])
def test_a_study_that_runs_is_not_deleted(moment: str, tmp_path: Path) -> None:
    driver = start(tmp_path, *total(2), SLOW=f"{moment}:20")
    wait_for(lambda: trials_done(tmp_path) >= 1 or driver.poll() is not None)
    code, said = command(tmp_path, "delete", "s", "--yes")
    assert code == 2 and f"process {driver.pid} of this one is" in said
    kill(processes_in(tmp_path))
    driver.wait()
    assert command(tmp_path, "delete", "s", "--yes")[0] == 0
    finish(tmp_path, *total(2))
    verify(tmp_path, "s", 2)


def test_a_driver_whose_study_is_deleted_elsewhere_ends_in_one_line(tmp_path: Path) -> None:
    driver = start(tmp_path, *total(6), SLOW="study.search.study:Search.ask:2")
    wait_for(lambda: trials_done(tmp_path) >= 1 or driver.poll() is not None)
    optuna.delete_study(study_name="s", storage=sqlite.url_of(tmp_path / "optuna.db"))
    assert driver.wait(PATIENCE) == Corrupt.exit_code
    said = (tmp_path / LOG).read_text()
    assert "deleted" in said and "Traceback" not in said


def send_again(folder: Path) -> None:
    """Give the records that were set aside back to the spool, and have them sent."""
    for aside in (folder / spool.ASIDE).glob("*"):  # none, if the driver ended before it had sent any
        aside.rename(folder / spool.FOLDER / aside.name)
    code, said = command(folder, "doctor", "--repair", "--thorough")
    assert code == 0, said


@pytest.mark.parametrize(("kind", "status"), [(OF_TRIAL, "RUNNING"), (OF_REPLICATE, "RUNNING"), (OF_TRIAL, "FINISHED")])
def test_a_run_deleted_in_mid_study_is_named_and_whole_again_when_it_is_restored(kind: str, status: str, tmp_path: Path) -> None:
    def deletable() -> list[str]:
        there = runs(tmp_path) if (tmp_path / "mlflow.db").exists() else []
        return [run.info.run_id for run in there if run.data.tags[KIND] == kind and run.info.status == status]

    driver = start(tmp_path, *total(3), SLOW="study.runner.trial:finish:3")
    wait_for(lambda: bool(deletable()) or driver.poll() is not None)
    gone = deletable()[0]
    client(tmp_path).delete_run(gone)
    assert driver.wait(PATIENCE) == 0, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE"] * 3
    assert ("can't be sent" in (tmp_path / LOG).read_text()) is (status == "RUNNING")
    assert command(tmp_path, "doctor")[0] == Corrupt.exit_code
    client(tmp_path).restore_run(gone)
    if status == "RUNNING":
        send_again(tmp_path)
    verify(tmp_path, "s", 3)


def test_an_experiment_deleted_in_mid_study_ends_it_and_no_trial_is_blamed(tmp_path: Path) -> None:
    driver = start(tmp_path, *total(8), SLOW="study.runner.trial:finish:1")
    wait_for(lambda: trials_done(tmp_path) >= 2 or driver.poll() is not None)
    experiment = client(tmp_path).get_experiment_by_name("s").experiment_id
    client(tmp_path).delete_experiment(experiment)
    assert driver.wait(PATIENCE) == 2, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    assert {trial.user_attrs["reason"] for trial in trials(tmp_path) if trial.state.name == "FAIL"} <= {INTERRUPTED}
    assert start(tmp_path, *total(8)).wait(PATIENCE) == 2 and "restore" in (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    client(tmp_path).restore_experiment(experiment)
    finish(tmp_path, *total(8))
    send_again(tmp_path)
    verify(tmp_path, "s", 8)


def test_a_clock_set_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("7200")
    killed = start(tmp_path, *total(8), CLOCK=str(clock))
    wait_for(lambda: trials_done(tmp_path) >= 2 or killed.poll() is not None)
    clock.write_text("3600")
    wait_for(lambda: trials_done(tmp_path) >= 4 or killed.poll() is not None)
    kill(processes_in(tmp_path))
    killed.wait()
    clock.write_text("-90000")
    assert start(tmp_path, *total(8), CLOCK=str(clock)).wait(PATIENCE) == 0, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    verify(tmp_path, "s", 8)
    started = [trial.datetime_start for trial in trials(tmp_path)]
    assert started != sorted(started)
    code, said = command(tmp_path, "doctor", "--thorough")
    assert code == 0, said


def test_a_record_completed_while_the_clock_is_set_back_is_finished_once(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("7200")
    point = "study.search.stored:keep:2:before"
    assert start(tmp_path, *total(3), CLOCK=str(clock), CRASH=point).wait(PATIENCE) == -signal.SIGKILL
    wait_until_alone(tmp_path)
    clock.write_text("0")
    assert start(tmp_path, *total(3), CLOCK=str(clock)).wait(PATIENCE) == 0, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    verify(tmp_path, "s", 3)
