"""Killed, interrupted and shared studies: whatever happens to its processes, the same command gives the same study, once."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient

from study import sqlite
from study.clock import Clock
from study.records.outcome import Completed, Summary, TrialResult
from study.records.trial import Asked
from study.runner.sweep import run
from study.search import space
from study.search.records import INTERRUPTED
from study.search.space import Interval
from study.search.stored import keep
from study.search.study import Search
from study.statistics.objectives import Objective
from study.tracking.schema import KIND
from tests.verification import verify

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds a folder's processes in /proc")

INJECTION = Path(__file__).parent / "injection"
TINY = ["data=noise", "data.rows=60", "training.epochs=2", "replicates.count=2", "model.units=[4]", "hydra.sweeper.study_name=s"]
RATE = "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))"
LONG = ["data=noise", "replicates.count=2", "model.units=[512,512]", "training.epochs=400", "training.leg_epochs=400"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
LOG = "log"
# far more than anything here takes, also on a machine that does much else
PATIENCE = 600.0


def start(folder: Path, *overrides: str, **environment: str) -> subprocess.Popen[bytes]:
    """The real command in a folder, in a process group of its own."""
    path = os.pathsep.join(filter(None, (str(INJECTION), os.environ.get("PYTHONPATH"))))
    with (folder / LOG).open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "study", "--multirun", *overrides],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path, **environment},
            start_new_session=True,
        )


def finish(folder: Path, *overrides: str, code: int = 0) -> None:
    """Runs the command to its end, and until its writers have ended too."""
    assert start(folder, *overrides).wait(PATIENCE) == code, (folder / LOG).read_text()
    wait_until_alone(folder)


def processes_in(folder: Path) -> list[int]:
    """Drivers, writers and workers: all that have this working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder.resolve():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def wait_until_alone(folder: Path) -> None:
    wait_for(lambda: not processes_in(folder))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def kill(numbers: Sequence[int]) -> None:
    for number in numbers:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def trials_done(folder: Path) -> int:
    """As the command has told."""
    told = re.findall(r"\[(\d+)/\d+,|^  (\d+) trials? (?:is|are) already done", (folder / LOG).read_text(), re.MULTILINE)
    return max((int(fresh or before) for fresh, before in told), default=0)


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=sqlite.url_of(folder / "optuna.db")).get_trials()


# -- kills -------------------------------------------------------------------------------------------------------------------

FIFTY = [*TINY, RATE, "hydra.sweeper.n_trials=50"]
KILLS = 12


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a study of fifty trials samples."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder, *FIFTY)
    return verify(folder, "s", 50).params


@pytest.mark.slow  # a dozen kills, and as many starts
@pytest.mark.fault
@pytest.mark.parametrize("victims", ["the driver", "the driver and its writer"])
def test_a_study_killed_again_and_again_is_the_uninterrupted_one(
    victims: str, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    random = np.random.default_rng(len(victims))
    kills = 0
    # from the first moments to the report after the last trial
    for done in [0, 0, *sorted(random.integers(1, 50, KILLS - 3)), 50]:
        driver = start(tmp_path, *FIFTY)
        wait_for(lambda done=done, driver=driver: trials_done(tmp_path) >= done or driver.poll() is not None)
        time.sleep(random.uniform(0, 8 if done == 0 else 1))
        kills += driver.poll() is None
        kill([driver.pid] if victims == "the driver" else processes_in(tmp_path))
        driver.wait()
    assert kills >= KILLS - 1, "the last may come too late"
    finish(tmp_path, *FIFTY)
    found = verify(tmp_path, "s", 50).params
    assert found == uninterrupted
    assert len({str(each) for each in found}) == 50


@pytest.mark.fault
@pytest.mark.parametrize("more", [[], JOBLIB], ids=["basic", "joblib"])
def test_a_study_goes_on_on_a_machine_of_another_name(more: list[str], tmp_path: Path) -> None:
    twelve = [*TINY, RATE, "hydra.sweeper.n_trials=12", *more]
    driver = start(tmp_path, *twelve)
    wait_for(lambda: trials_done(tmp_path) >= 4 or driver.poll() is not None)
    assert driver.poll() is None
    kill(processes_in(tmp_path))
    driver.wait()
    assert start(tmp_path, *twelve, HOST="renamed").wait(PATIENCE) == 0, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    verify(tmp_path, "s", 12)


@pytest.mark.fault
def test_workers_end_with_their_driver(tmp_path: Path) -> None:
    driver = start(tmp_path, *TINY, RATE, "hydra.sweeper.n_trials=40", *JOBLIB)
    wait_for(lambda: trials_done(tmp_path) >= 4 or driver.poll() is not None)
    driver.kill()
    driver.wait()
    wait_until_alone(tmp_path)


# -- crash points ------------------------------------------------------------------------------------------------------------

CLIENT = "mlflow.tracking.client:MlflowClient."
SEARCH, STORED, TRIALS = "study.search.study:", "study.search.stored:", "study.search.trials:Trials."
POINTS = {
    "before a trial is written": [f"{SEARCH}Search._create:2:before"],
    "after a trial is written": [f"{SEARCH}Search._create:2:after"],
    "after ask": [f"{SEARCH}Search.ask:2:after"],
    "before the trial's run is made": [f"{CLIENT}create_run:4:before"],
    "after the trial's run is made": [f"{CLIENT}create_run:4:after"],
    "after the first replicate's run is made": [f"{CLIENT}create_run:5:after"],
    "after all runs are made": [f"{CLIENT}create_run:6:after"],
    "amid the metrics": [f"{CLIENT}log_batch:13:after"],
    "before the files are written": ["study.tracking.artifacts:write:2:before"],
    "amid the files": ["study.tracking.artifacts:_sha256:9:before"],
    "after the files are written": ["study.tracking.artifacts:write:2:after"],
    "before the record is on disk": ["study.tracking.artifacts:write_atomically:2:before"],
    "after the record is on disk": ["study.tracking.artifacts:write_atomically:2:after"],
    "before the files are in MLflow": [f"{CLIENT}log_artifacts:2:before"],
    "after the files are in MLflow": [f"{CLIENT}log_artifacts:2:after"],
    "before the runs end": [f"{CLIENT}set_terminated:4:before"],
    "amid the runs' ends": [f"{CLIENT}set_terminated:5:before"],
    "after the runs' ends": [f"{CLIENT}set_terminated:6:after"],
    "amid the spool's clearing": ["study.tracking.spool:discard:2:before"],
    "before keep": [f"{STORED}keep:2:before"],
    "amid keep": ["optuna.storages._rdb.storage:RDBStorage.set_trial_user_attr:2:after"],
    "after keep": [f"{STORED}keep:2:after"],
    "before tell": [f"{TRIALS}tell:2:before"],
    "amid tell": ["optuna.storages._rdb.storage:RDBStorage.set_trial_state_values:2:before"],
    "after tell": [f"{TRIALS}tell:2:after"],
    "amid the takeover of a trial cut off": [f"{CLIENT}log_batch:13:after", f"{CLIENT}set_terminated:2:before"],
    "amid the takeover of a trial recorded": [f"{CLIENT}log_artifacts:2:before", f"{CLIENT}set_terminated:2:before"],
    "amid the adoption of a result kept": [f"{STORED}keep:2:after", f"{TRIALS}_complete:1:before"],
    "amid the end of a dead process's trial": [
        f"{SEARCH}Search.ask:2:after",
        "optuna.storages._rdb.storage:RDBStorage.set_trial_state_values:1:before",
    ],
}

AMID = ("amid the metrics", "amid keep", "amid tell", "amid the takeover of a trial cut off")


@pytest.mark.fault
@pytest.mark.parametrize(
    "crashes",
    # each takes three starts: of those between two steps, one is as good as the next
    [pytest.param(points, id=name, marks=[] if name in AMID else pytest.mark.slow) for name, points in POINTS.items()],
)
def test_a_crash_at_any_point_is_mended_by_the_same_command(crashes: list[str], fresh: Path) -> None:
    three = [*TINY, RATE, "hydra.sweeper.n_trials=3"]
    for point in crashes:
        # the driver is killed, or its writer is and it says so
        assert start(fresh, *three, CRASH=point).wait(PATIENCE) in (-signal.SIGKILL, 3), (fresh / LOG).read_text()
        wait_until_alone(fresh)
    finish(fresh, *three)
    verify(fresh, "s", 3)


@pytest.fixture
def fresh(fresh_databases: Path, tmp_path: Path) -> Path:
    for name in ("optuna.db", "mlflow.db"):
        shutil.copy(fresh_databases / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow  # it waits for a minute and a half
@pytest.mark.fault
def test_a_writer_that_is_late_finishes_no_run_of_an_attempt_made_again(fresh: Path) -> None:
    """The driver dies when its trial is recorded and not yet kept, and the writer needs longer than the next launch."""
    two = [*TINY, RATE, "hydra.sweeper.n_trials=2"]
    slow = f"{CLIENT}log_artifacts:90"
    assert start(fresh, *two, CRASH="study.tracking.spool:TrialRecorder.close:1:after", SLOW=slow).wait(PATIENCE) == -signal.SIGKILL
    finish(fresh, *two)
    verify(fresh, "s", 2)


# -- several drivers ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault
def test_four_drivers_share_two_hundred_trials(tmp_path: Path) -> None:
    """200 trials × 2 replicates × 50 epochs × 2 curves."""
    shared = [*TINY, "training.epochs=50", RATE, "hydra.sweeper.n_trials=200"]
    drivers = [start(tmp_path, *shared) for _ in range(4)]
    assert [driver.wait(2 * PATIENCE) for driver in drivers] == [0] * 4, (tmp_path / LOG).read_text()
    wait_until_alone(tmp_path)
    found = verify(tmp_path, "s", 200)
    assert found.values == 40_000
    assert len({str(each) for each in found.params}) == 200


# -- signals -----------------------------------------------------------------------------------------------------------------

# of the processor, which is also what the training would go on with
WITHIN_SECONDS = 5.0


def processor_seconds(process: int) -> float:
    """What it has taken itself until now, or, if nobody has waited for it, until its end."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def end(driver: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Its exit code, and the processor's seconds that it took in all."""
    wait_for(lambda: os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    seconds = processor_seconds(driver.pid)
    return driver.wait(), seconds


def during_start_up(folder: Path) -> None:
    """From where on the program, and not Python itself, meets a signal."""
    wait_for(lambda: any(catches(number, signal.SIGTERM) for number in processes_in(folder)))


def catches(process: int, number: signal.Signals) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def in_the_first_leg(folder: Path) -> None:
    """Once its run is there, the program is compiled or compiling."""
    wait_for(lambda: any(run.info.status == "RUNNING" for run in runs(folder)))
    time.sleep(2.0)


def after_a_trial(folder: Path) -> None:
    wait_for(lambda: trials_done(folder) >= 1)


def runs(folder: Path) -> list:
    client = MlflowClient(sqlite.url_of(folder / "mlflow.db"))
    experiment = client.get_experiment_by_name("s")
    return client.search_runs([experiment.experiment_id], f"tags.`{KIND}` != 'study'") if experiment else []


def interrupted() -> Iterator[object]:
    """Of each moment, launcher and signal some combination is not slow."""
    quick = {(in_the_first_leg, "joblib", signal.SIGINT), (in_the_first_leg, "basic", signal.SIGINT)}
    quick |= {(in_the_first_leg, "basic", signal.SIGTERM), (after_a_trial, "basic", signal.SIGTERM)}
    for moment in (during_start_up, after_a_trial, in_the_first_leg):
        for number in (signal.SIGINT, signal.SIGTERM):
            for name, launcher in (("basic", []), ("joblib", JOBLIB)):
                marks = [] if (moment, name, number) in quick else [pytest.mark.slow]
                yield pytest.param(moment, number, launcher, id=f"{moment.__name__}-{number.name}-{name}", marks=marks)


@pytest.mark.fault
@pytest.mark.parametrize(("moment", "number", "launcher"), interrupted())
def test_a_signal_ends_the_study_in_order_and_it_can_be_resumed(
    moment: Callable[[Path], None], number: signal.Signals, launcher: list[str], fresh: Path
) -> None:
    n_trials = 6 if moment is after_a_trial else 2
    of_study = [*TINY, RATE, f"hydra.sweeper.n_trials={n_trials}", *launcher]
    long = [*TINY, *LONG, RATE, f"hydra.sweeper.n_trials={n_trials}", *launcher]
    command = long if moment is in_the_first_leg else of_study
    driver = start(fresh, *command)
    moment(fresh)
    before = processor_seconds(driver.pid)
    # as a terminal does it: to the whole group; a supervisor sends SIGTERM to the process alone
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)
    else:
        driver.send_signal(number)
    code, seconds = end(driver)
    assert code == 128 + number and seconds - before < WITHIN_SECONDS, (fresh / LOG).read_text()
    wait_until_alone(fresh)
    assert not any(run.info.status == "RUNNING" for run in runs(fresh))
    if moment is in_the_first_leg:
        cut = trials(fresh)
        assert cut and {each.state.name for each in cut} == {"FAIL"}
        assert {each.user_attrs["reason"] for each in cut} == {INTERRUPTED}
        assert {run.info.status for run in runs(fresh)} == {"KILLED"}
        return  # to train it to its end would take minutes, and tell nothing more
    finish(fresh, *of_study)
    verify(fresh, "s", n_trials)


# -- trials that fail --------------------------------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize(("rates", "lost"), [("1e-4,1e-3,1e30,1e-2,0.02,0.1", ""), ("1e-4,1e-3,5e-3,1e-2,0.02,0.1", "5e-3")])
def test_a_trial_that_diverges_fails_with_its_reason_and_the_others_complete(rates: str, lost: str, fresh: Path) -> None:
    environment = {"NAN": lost} if lost else {}
    six = [*TINY, f"optimizer.learning_rate={rates}"]
    assert start(fresh, *six, **environment).wait(PATIENCE) == 5, (fresh / LOG).read_text()
    wait_until_alone(fresh)
    verify(fresh, "s", 6)
    assert [each.state.name for each in trials(fresh)] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    reason = trials(fresh)[2].user_attrs["reason"]
    assert reason.startswith("diverged: 2 of 2 replicates, replicate 0 not finite in epoch ")


# -- a large study -----------------------------------------------------------------------------------------------------------

THOUSAND, MORE = 1_000, 200
START_SECONDS, GROWTH_BYTES = 10.0, 50e6


def opened(url: str, n_trials: int, sampler: str) -> Search:
    searched = space.ordered({"x": Interval("x", 0.0, 1.0), "y": Interval("y", 1e-3, 1.0, log=True)})
    return Search(
        name="s",
        storage=url,
        objectives=(Objective(),),
        space=searched,
        sampler={"name": sampler},
        seed=7,
        n_trials=n_trials,
        identity={},
    )


class Watcher:
    def launched(self, asked: Sequence[Asked], ended: int) -> None: ...
    def finished(self, asked: Asked, result: TrialResult) -> None: ...
    def again(self, asked: Asked, reason: str) -> None: ...


def run_fast(study: Search) -> None:
    """With results that need no training."""

    def launch(batch: Sequence[Asked]) -> list[TrialResult | BaseException]:
        results: list[TrialResult | BaseException] = []
        for asked in batch:
            loss = sum((0.3 - float(value or 0)) ** 2 for value in asked.params.values())
            losses = [loss - 0.01, loss + 0.01]
            told = Summary(losses, loss, 0.01, 0.1, loss, 1.0, 0.1, 2, {"plateaued": 2}, parameters=10)
            result = TrialResult(Completed(told), run_id=f"run {asked.number}")
            keep(study.storage, study.name, asked.number, result)
            results.append(result)
        return results

    assert run(study, launch, Watcher(), 1, math.inf, Clock()) is None


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = sqlite.url_of(tmp_path_factory.mktemp("thousand") / "optuna.db")
    run_fast(opened(url, THOUSAND, "random"))
    return url


RESUMING = """
import sys, time
from tests.test_faults_study import THOUSAND, opened
study = opened(sys.argv[1], THOUSAND + 1, "tpe")
study.reap()
study.interrupted(), study.records()
[asked] = study.ask(1)
study.tell_failed(asked.number, "interrupted")
print(time.process_time())
"""

GROWING = """
import resource, sys
from tests.test_faults_study import MORE, THOUSAND, opened, run_fast
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
run_fast(opened(sys.argv[1], THOUSAND + 10, "tpe"))
before = resident()
run_fast(opened(sys.argv[1], THOUSAND + 10 + MORE, "tpe"))
print(resident() - before)
"""


def output(script: str, url: str) -> float:
    root = Path(__file__).parent.parent
    return float(subprocess.run([sys.executable, "-c", script, url], cwd=root, capture_output=True, check=True, text=True).stdout)


@pytest.mark.fault
def test_a_study_of_a_thousand_trials_goes_on_within_seconds(thousand: str) -> None:
    """Of the processor's time, which doesn't depend on what else the machine does."""
    assert output(RESUMING, thousand) < START_SECONDS


@pytest.mark.fault
def test_two_hundred_trials_more_take_little_memory(thousand: str) -> None:
    assert output(GROWING, thousand) < GROWTH_BYTES
