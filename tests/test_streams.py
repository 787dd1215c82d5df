"""Streams and surroundings: full, closed or odd ones, under which a command does its work, or says in one line why not."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from study import sqlite
from study.tracking import spool
from tests.command import ran

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
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert {status for (status,) in connection.execute("SELECT status FROM runs")} == {"FINISHED"}
