"""Files that were lost alone: each command works without them, or says which are missing; nothing is trained again unasked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from study import sqlite
from study.search import reading
from study.tracking import recent, spool
from tests.command import forget, ran, run

STUDY = ["--multirun", "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny"]
TINY = [*STUDY, "data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"]
COLUMNS = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
COMMANDS = {
    "show": ["show", "tiny"],
    "report": ["report", "tiny"],
    "compare": ["compare", "tiny/0"],
    "predict": ["predict", "tiny", "rows.csv"],
    "doctor": ["doctor"],
    "repair": ["doctor", "--repair"],
    "again": TINY,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study ran."""
    folder = ran(tmp_path_factory.mktemp("original"), *TINY)
    spool.writer(sqlite.url_of(folder / "mlflow.db")).close()
    return folder


@pytest.fixture
def here(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, all of whose artifacts are its own."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    (folder / "rows.csv").write_text(f"{COLUMNS}\n5.1,3.5,1.4,0.2\n")
    monkeypatch.chdir(folder)
    forget()
    assert run("doctor", "--thorough") == 0
    return folder


def lose(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            for path in folder.glob(f"{name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def trials(folder: Path) -> dict[int, str | None]:
    return reading.run_ids(sqlite.url_of(folder / "optuna.db"), "tiny")


@pytest.mark.long
@pytest.mark.parametrize(
    ("lost", "codes"),
    [
        (["mlflow.db"], {"show": 0, "report": 2, "compare": 2, "predict": 2, "doctor": 2, "repair": 2, "again": 6}),
        (["mlruns"], {"show": 0, "report": 6, "compare": 6, "predict": 6, "doctor": 6, "repair": 6, "again": 0}),
        ([".mlp-study"], dict.fromkeys(COMMANDS, 0)),
        (["optuna.db"], {"show": 2, "report": 2, "compare": 0, "predict": 0, "doctor": 2, "repair": 2, "again": 6}),
        (
            ["mlflow.db", "optuna.db", "mlruns", ".mlp-study", "multirun"],
            {"show": 2, "report": 2, "compare": 2, "predict": 2, "doctor": 2, "repair": 2, "again": 0},
        ),
    ],
    ids=["mlflow.db", "mlruns", ".mlp-study", "optuna.db", "all"],
)
def test_each_command_has_a_result_without_them(here: Path, lost: list[str], codes: dict[str, int]) -> None:
    before = trials(here)
    lose(*lost)(here)
    forget()
    assert {name: run(*arguments) for name, arguments in COMMANDS.items()} == codes
    if codes["again"]:
        assert run("delete", "tiny", "--yes", "--storage", sqlite.url_of(here / "optuna.db")) == 0
        forget()
        assert run(*TINY) == 0
    assert len(trials(here)) == 2
    # what was done is not done again
    assert (trials(here) == before) is (lost in (["mlruns"], [".mlp-study"]))
    active = [tracked for tracked in recent.trial_runs(sqlite.url_of(here / "mlflow.db"), "tiny") if not tracked.deleted]
    assert {tracked.number: tracked.run_id for tracked in active} == trials(here)
