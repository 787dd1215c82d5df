"""A folder that was moved or copied has its artifacts in it, and knows no other."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from study import sqlite
from study.tracking import relocation, spool
from tests.command import forget, ran, run

TINY = ["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]", "--multirun", "optimizer=adam,sgd"]
FLOWER = "petal width (cm),petal length (cm),sepal width (cm),sepal length (cm)\n0.2,1.4,3.5,5.1\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study ran."""
    folder = ran(tmp_path_factory.mktemp("original"), *TINY, "hydra.sweeper.study_name=tiny")
    spool.writer(sqlite.url_of(folder / "mlflow.db")).close()
    return folder


def locations(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return [
            str(location)
            for table, column in relocation.COLUMNS
            for (location,) in connection.execute(f"SELECT {column} FROM {table} WHERE {column} LIKE '%/tiny%'")
        ]


def files(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in (folder / "mlruns").rglob("*") if file.is_file()}


def copied(original: Path, folder: Path) -> Path:
    shutil.copytree(original, folder)
    forget()
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", ["copy", "a folder with spaces, ü and %41"])
def test_a_copy_reads_and_writes_its_own_artifacts(
    original: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, here = files(original), copied(original, tmp_path / name)
    monkeypatch.chdir(here)
    shutil.rmtree(original / "mlruns")  # a copy that looks there finds nothing
    try:
        assert run("compare", "tiny/0") == 0 and run("report", "tiny") == 0
        assert locations(here) and all(location.startswith((here / "mlruns").as_uri()) for location in locations(here))
        capsys.readouterr()
        ran(here, *TINY, "hydra.sweeper.study_name=more", "seed=1")
        assert run("predict", "tiny", str(here / "rows.csv")) == 2  # there is no such file, and the champion was found
        assert not (original / "mlruns").exists()
    finally:
        for file, content in before.items():
            (original / file).parent.mkdir(parents=True, exist_ok=True)
            (original / file).write_bytes(content)


def test_what_is_deleted_in_a_copy_stays_in_the_original(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, here = files(original), copied(original, tmp_path / "copy")
    monkeypatch.chdir(here)
    assert run("delete", "tiny", "--yes") == 0
    assert all(location.startswith((here / "mlruns").as_uri()) for location in locations(here))
    assert files(original) == before


def test_a_folder_in_its_place_and_artifacts_elsewhere_stay_as_they_are(original: Path, tmp_path: Path) -> None:
    assert relocation.relocate(sqlite.url_of(original / "mlflow.db")) == 0
    here = copied(original, tmp_path / "copy")
    with closing(sqlite3.connect(here / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = 's3://bucket/mlruns/tiny/' || run_uuid")
        connection.execute("UPDATE experiments SET artifact_location = '/elsewhere/mlruns/none' WHERE name = 'Default'")
    assert relocation.relocate(sqlite.url_of(here / "mlflow.db")) > 0
    with closing(sqlite3.connect(here / "mlflow.db")) as connection:
        assert all(uri.startswith("s3://") for (uri,) in connection.execute("SELECT artifact_uri FROM runs"))
        [(default,)] = connection.execute("SELECT artifact_location FROM experiments WHERE name = 'Default'")
        assert default == "/elsewhere/mlruns/none"
    assert relocation.relocate(sqlite.url_of(here / "mlflow.db")) == 0


READING = """
import sys
from tests.command import run
codes = [run(*line.split()) for line in sys.argv[1].splitlines()]
sys.exit(codes != [0, 0, 0, 0, 4])
"""
COMMANDS = """compare tiny/0
similar tiny/0/1
report tiny --output {output}
predict tiny {rows}
report tiny"""


@pytest.mark.long
def test_a_moved_folder_that_can_only_be_read_is_read(original: Path, tmp_path: Path) -> None:
    here, rows, output = copied(original, tmp_path / "copy"), tmp_path / "rows.csv", tmp_path / "tiny.html"
    pd.read_csv(io.StringIO(FLOWER)).to_csv(rows, index=False)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    drop: list[str] = []
    for path in (here, *before):
        if os.getuid() == 0:  # who may write anything, unless it is another's
            os.chown(path, 65_534, 65_534)
            drop = ["setpriv", "--bounding-set=-dac_override"]
        path.chmod(0o755 if path.is_dir() else 0o644) if drop else path.chmod(0o555 if path.is_dir() else 0o444)
    away = original.rename(original.with_name("away"))
    try:
        command = [*drop, sys.executable, "-c", READING, COMMANDS.format(rows=rows, output=output)]
        ended = subprocess.run(command, cwd=here, text=True, capture_output=True, check=False)
    finally:
        away.rename(original)
        here.chmod(0o755)
    assert ended.returncode == 0, ended.stderr
    assert "can't be written; --output names another file" in ended.stderr
    assert output.stat().st_size > 10_000
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


@pytest.mark.long
@pytest.mark.parametrize("lost", ["whole", "later trials"])
def test_a_study_whose_trials_were_lost_is_not_trained_again(
    original: Path, tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = copied(original, tmp_path / "copy")
    monkeypatch.chdir(here)
    if lost == "whole":
        for file in here.glob("optuna.db*"):
            file.unlink()
    else:
        with closing(sqlite3.connect(here / "optuna.db")) as connection:
            connection.execute("DELETE FROM trials WHERE number > 0")
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'trial\\_%' ESCAPE '\\'")
            for (table,) in tables.fetchall():
                connection.execute(f"DELETE FROM {table} WHERE trial_id NOT IN (SELECT trial_id FROM trials)")
            connection.commit()
    before = files(here)
    assert run(*TINY, "hydra.sweeper.study_name=tiny") == 6
    assert files(here) == before
    assert run("delete", "tiny", "--yes", "--storage", "sqlite:///optuna.db") == 0
    ran(here, *TINY, "hydra.sweeper.study_name=tiny")
