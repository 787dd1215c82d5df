"""A folder that was moved or copied has its artifacts in it, and knows no other."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from study import sqlite
from study.tracking import relocation, spool, store
from tests.command import forget, ran, run

TINY = ["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]", "--multirun", "optimizer=adam,sgd"]


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


def test_a_read_only_copy_is_still_opened(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = copied(original, tmp_path / "copy")

    def refused(_: str) -> int:
        raise sqlite.NotWritable("read-only")

    monkeypatch.setattr(relocation, "relocate", refused)
    assert store.open_store(sqlite.url_of(here / "mlflow.db")).experiments()


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
