"""Streams and surroundings: full, closed or odd ones, under which a command does its work, or says in one line why not."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from study import sqlite
from study.tracking import spool
from tests.command import ran
from tests.verification import verify

TINY = ["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study ran."""
    here = ran(tmp_path_factory.mktemp("streams"), *TINY, "--multirun", "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny")
    spool.writer(sqlite.url_of(here / "mlflow.db")).close()
    return here


def shell(folder: Path, command: str, **environment: str | None) -> tuple[int, list[str]]:
    """The exit code of a shell's line, in which $STUDY is the program, and the lines on standard error."""
    given: Mapping[str, str | None] = {**os.environ, "STUDY": f"{sys.executable} -m study", **environment}
    surroundings = {name: value for name, value in given.items() if value is not None}
    script = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(script, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("$STUDY list > /dev/full", 4, ["standard output: No space left on device"]),
        pytest.param(
            "$STUDY show tiny --json > /dev/full", 4, ["standard output: No space left on device"], marks=pytest.mark.long
        ),
        ("$STUDY show tiny | true", 141, []),  # which has ended long before the first line
        pytest.param("$STUDY list >&-", 0, [], marks=pytest.mark.long),
        ("$STUDY show tiny <&- >&- 2>&-", 0, []),
        pytest.param("unset HOME; $STUDY list", 0, [], marks=pytest.mark.long),
        pytest.param("TERM=dumb $STUDY list", 0, [], marks=pytest.mark.long),
        pytest.param("LANG=C LC_ALL=C $STUDY list", 0, [], marks=pytest.mark.long),
        pytest.param("PYTHONIOENCODING=ascii $STUDY list", 0, [], marks=pytest.mark.long),
        pytest.param("TMPDIR=/dev/null/none $STUDY list", 0, [], marks=pytest.mark.long),
    ],
)
def test_reading(folder: Path, command: str, code: int, told: list[str]) -> None:
    assert shell(folder, command) == (code, told)


TRAIN = f"$STUDY {' '.join(TINY)}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"{TRAIN} > /dev/full", 4),
        (f"{TRAIN} --multirun optimizer=adam,sgd | true", 141),
        (f"{TRAIN} <&- >&- 2>&-", 0),
        (f"{TRAIN} 2> /dev/full", 0),
        (f"HOME=/dev/null/none XDG_CACHE_HOME= {TRAIN}", 0),
        (f"TMPDIR=/dev/null/none {TRAIN}", 0),
        (f"LANG=C LC_ALL=C {TRAIN} --multirun optimizer=adam,sgd 'hydra.sweeper.study_name=\"größe\"'", 0),
        (f"TERM=dumb {TRAIN}", 0),
        (f"mkdir $'a b\"\\nü😀' && cd $'a b\"\\nü😀' && {TRAIN}", 0),
        (f"mkdir real && ln -s real linked && cd linked && {TRAIN}", 0),
    ],
)
def test_training(tmp_path: Path, command: str, code: int) -> None:
    assert shell(tmp_path, command)[0] == code
    [database] = tmp_path.rglob("mlflow.db")
    assert statuses(database) == {"FINISHED"}


def statuses(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {status for (status,) in connection.execute("SELECT status FROM runs")}


# a user id without an account: what a container that runs under an arbitrary one looks like from within
NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*NOBODY, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0,
    reason="this system gives no process a user id without an account",
)
def test_a_user_without_an_account_and_a_home(tmp_path: Path) -> None:
    nobody = dict.fromkeys(("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"))
    assert shell(tmp_path, f"exec {shlex.join(NOBODY)} {TRAIN}", **nobody)[0] == 0
    assert statuses(tmp_path / "mlflow.db") == {"FINISHED"}
    assert shell(tmp_path, f"exec {shlex.join(NOBODY)} $STUDY compare iris/best", **nobody)[0] == 0


@pytest.mark.parametrize("name", [b"it's", pytest.param(b"what?", marks=pytest.mark.long), b"\xff"])
def test_a_folder_that_no_database_can_lie_in_is_refused_in_one_line(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    done = subprocess.run([sys.executable, "-m", "study", *TINY], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1 and os.listdir(folder) == []


LONG_STUDY = ["--multirun", "optimizer=adam,sgd", "seed=1,2", "hydra.sweeper.study_name=tiny"]


def heed_hangups() -> None:
    """End at SIGHUP, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def begun(folder: Path, ignored: bool, controlling: bool) -> tuple[subprocess.Popen[bytes], int]:
    """A study on a terminal, after its first trial, and the terminal's other end.

    ignored: it ignores SIGHUP, as under nohup; controlling: the terminal is its own, so that the end of it is a SIGHUP.
    """
    ours, theirs = pty.openpty()

    def prepare() -> None:
        os.setsid()
        if controlling:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    command = [sys.executable, "-m", "study", *TINY, *LONG_STUDY]
    driver = subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=prepare, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    while b"val loss" not in shown:
        shown += os.read(ours, 65_536)
    return driver, ours


@pytest.mark.fault
@pytest.mark.parametrize(
    ("ignored", "controlling", "code"),
    [(False, True, 128 + signal.SIGHUP), (True, True, 4), (False, False, 4)],
    ids=["hung up", "under nohup", "of another session"],
)
def test_a_terminal_that_is_closed_in_mid_study(tmp_path: Path, ignored: bool, controlling: bool, code: int) -> None:
    driver, terminal = begun(tmp_path, ignored, controlling)
    os.close(terminal)
    assert driver.wait(300) == code
    assert shell(tmp_path, f"$STUDY {shlex.join([*TINY, *LONG_STUDY])} 2>&1 | cat")[0] == 0
    verify(tmp_path, "tiny", 4)


@pytest.mark.fault
def test_a_hangup_ends_the_study_in_order(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study", *TINY, *LONG_STUDY]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_hangups
    ) as driver:
        assert driver.stderr and any("val loss" in line for line in driver.stderr)
        driver.send_signal(signal.SIGHUP)
        assert driver.wait(60) == 128 + signal.SIGHUP
    assert shell(tmp_path, f"$STUDY {shlex.join([*TINY, *LONG_STUDY])}")[0] == 0
    verify(tmp_path, "tiny", 4)
