"""Databases and folders under attack: many processes at once, kills, and a disk that is full, with the real libraries."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from study import sqlite
from study.errors import Corrupt, NotWritable, StudyError, Unreachable

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

ROOT = Path(__file__).parent.parent
DATABASES = ("mlflow.db", "optuna.db")
# opens a database as the command does; what it waits for on its standard input lets several go at one instant
OPEN = """
import sys
from study import sqlite
from pathlib import Path
name = sys.argv[1]
if name == "mlflow.db":
    from study.tracking.store import open_store as opened
else:
    from study.search.storage import backend as opened
print("ready", flush=True)
sys.stdin.readline()
opened(sqlite.url_of(Path(name)))
"""
TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]
STUDY = ["--multirun", "optimizer.learning_rate=0.01,0.1,0.2", "hydra.sweeper.study_name=tiny", *TINY]
# SIGXFSZ is ignored by Python, so that a write beyond the limit fails as on a full disk
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def start(code: Sequence[str], folder: Path, **more: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *code],
        cwd=folder,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    )


def ready(name: str, folder: Path) -> subprocess.Popen[str]:
    """A process that opens the database as soon as it is told to."""
    process = start(["-c", OPEN, name], folder)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def drafts(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if ".new" in file.name]


# -- first use ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("name", DATABASES)
def test_eight_processes_open_a_fresh_store_at_one_instant(tmp_path: Path, name: str) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        processes = [ready(name, folder) for _ in range(8)]
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate()[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 8, told
        assert integrity(folder / name) == "ok" and drafts(folder) == []


@pytest.mark.slow  # kills at twenty moments
@pytest.mark.fault
@pytest.mark.parametrize("name", DATABASES)
def test_a_store_opens_whenever_its_first_opening_was_killed(tmp_path: Path, name: str) -> None:
    (whole := tmp_path / "whole").mkdir()
    process = ready(name, whole)
    began = time.monotonic()
    process.communicate("\n")
    seconds = time.monotonic() - began
    left = 0
    for moment in range(20):
        folder = tmp_path / f"killed {moment}"
        folder.mkdir()
        process = ready(name, folder)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(seconds * moment / 20)
        process.kill()
        process.communicate()
        left += bool(drafts(folder))
        process = ready(name, folder)
        told = process.communicate("\n")[1]
        assert process.returncode == 0, told
        assert integrity(folder / name) == "ok" and drafts(folder) == []
    assert left > 0, "no kill fell into the making of the database"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("database or disk is full", NotWritable),
        ("disk I/O error", NotWritable),
        ("attempt to write a readonly database", NotWritable),
        ("unable to open database file", NotWritable),
        ("database disk image is malformed", Corrupt),
        ("file is not a database", Corrupt),
        ("no such table: trials", Corrupt),
        ("database is locked", Unreachable),
    ],
)
def test_what_sqlite_says_is_told_in_one_line(words: str, kind: type[StudyError]) -> None:
    cause = Exception(f"(sqlite3.OperationalError) {words}\n[SQL: INSERT INTO trials]\n(Background on this error at: …)")
    above = RuntimeError("an exception is raised during the commit")
    above.__cause__ = cause
    for error in (cause, above, sqlite3.OperationalError(words)):
        found = sqlite.fault(error, "optuna.db")
        assert type(found) is kind and str(found) == f"optuna.db: {words}"


def test_an_error_that_is_none_of_sqlites_is_told_by_its_first_line() -> None:
    assert str(sqlite.fault(ConnectionError("refused\nby the host"), "here")) == "here: refused"
    assert str(sqlite.fault(TimeoutError(), "here")) == "here: TimeoutError"


# -- a full disk -------------------------------------------------------------------------------------------------------------


def study(folder: Path, *, limit: int | None = None, arguments: Sequence[str] = STUDY) -> tuple[int, str]:
    """The command's exit code and what it told, in a process that can write no file longer than `limit` bytes."""
    command = ["-m", "study", *arguments]
    code = ["-c", LIMITED, str(limit), sys.executable, *command] if limit else command
    process = start(code, folder, XDG_CACHE_HOME=str(folder / "cache"))
    told = process.communicate()[1]
    return process.returncode, told


def assert_whole(folder: Path) -> None:
    """Three finished trials, a finished run for each of them and its replicates, and nothing that still runs."""
    url = sqlite.url_of(folder / "optuna.db")
    trials = optuna.load_study(study_name="tiny", storage=url).trials
    assert Counter(trial.state for trial in trials if trial.state == TrialState.COMPLETE) == {TrialState.COMPLETE: 3}
    assert not any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials)
    client = MlflowClient(sqlite.url_of(folder / "mlflow.db"))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert not any(run.info.status == "RUNNING" for run in runs)
    finished = [run.data.tags for run in runs if run.info.status == "FINISHED"]
    made = Counter(tags["mlp_study.trial"] for tags in finished if tags["mlp_study.kind"] == "trial")
    numbers = {str(trial.number) for trial in trials if trial.state == TrialState.COMPLETE}
    assert made == dict.fromkeys(numbers, 1)
    assert Counter(tags["mlp_study.kind"] for tags in finished)["replicate"] == 6
    assert [integrity(folder / name) for name in DATABASES] == ["ok", "ok"]
    assert [file.name for file in (folder / ".mlp-study" / "spool").iterdir() if file.is_dir()] == []


# from the schemas of both databases over their write-ahead logs to the pages at the end; XLA's cache is met on the way
BETWEEN = [4_000, 30_000, 100_000, 130_000, 300_000, 700_000]


@pytest.mark.fault
@pytest.mark.parametrize("limit", [500, *(pytest.param(each, marks=pytest.mark.slow) for each in BETWEEN), 1_050_000])
def test_a_full_disk_is_told_and_the_study_resumes(tmp_path: Path, limit: int) -> None:
    code, told = study(tmp_path, limit=limit)
    assert_told(code, told)
    assert [integrity(path) for path in tmp_path.glob("*.db")] == ["ok"] * len(list(tmp_path.glob("*.db")))
    code, told = study(tmp_path)
    assert code == 0, told
    assert_whole(tmp_path)


def assert_told(code: int, told: str) -> None:
    faults = [line for line in told.splitlines() if "Traceback" in line or "File too large" in line or "disk" in line]
    assert code == 4, told
    assert len(faults) == 1 and "Traceback" not in told, told


@pytest.mark.fault
@pytest.mark.parametrize("limit", [20_000, *(pytest.param(each, marks=pytest.mark.slow) for each in (1_000, 6_000, 80_000))])
def test_a_disk_that_fills_up_in_the_middle_is_told_and_the_study_resumes(tmp_path: Path, limit: int) -> None:
    """The databases are there already: what fails are their logs, the records on their way, and the trials' files."""
    code, told = study(tmp_path, arguments=[*STUDY[:1], "optimizer.learning_rate=0.3,0.4", "hydra.sweeper.study_name=first", *TINY])
    assert code == 0, told
    code, told = study(tmp_path, limit=limit)
    assert_told(code, told)
    code, told = study(tmp_path)
    assert code == 0, told
    assert_whole(tmp_path)


@pytest.mark.fault
def test_an_output_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    code, told = study(tmp_path, limit=100, arguments=["tracking=none", *TINY])
    assert_told(code, told)
    assert str(tmp_path) in told


@pytest.mark.fault
def test_a_compile_cache_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    code, told = study(tmp_path, limit=20_000, arguments=["tracking=none", *TINY])
    assert code == 0, told
    assert list((tmp_path / "outputs").rglob("config.yaml"))


# -- many launches -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.fault
def test_eight_launches_in_one_second_have_a_folder_and_a_run_each(tmp_path: Path) -> None:
    rates = [f"0.0{number}" for number in range(1, 9)]
    processes = [start(["-m", "study", f"optimizer.learning_rate={rate}", *TINY], tmp_path) for rate in rates]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, told
    configs = [file.parent.parent for file in (tmp_path / "outputs").rglob(".hydra/overrides.yaml")]
    launched = [(folder / ".hydra" / "overrides.yaml").read_text() for folder in configs]
    assert sorted(rate for rate in rates for text in launched if f"learning_rate={rate}\n" in text) == rates
    client = MlflowClient(sqlite.url_of(tmp_path / "mlflow.db"))
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()], max_results=1000)
    assert [run.info.status for run in runs] == ["FINISHED"] * 8 * 3
    trials = [run.data.params["optimizer.learning_rate"] for run in runs if run.data.tags["mlp_study.kind"] == "trial"]
    assert sorted(trials) == rates
