"""Doctor on a study of thirty trials with many kinds of damage at once: each is found, and mended or named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from study import locations, sqlite
from study.errors import Corrupt
from study.search import attributes, reading, records
from study.tracking import artifacts, spool, store
from tests.command import client, forget, ran, run
from tests.test_doctor import change, children, files, told
from tests.test_set_aside import DAMAGED, left

pytestmark = [pytest.mark.fault, pytest.mark.long]

TINY = ["data=noise", "data.rows=60", "training.epochs=5", "replicates.count=2", "model.units=[4]"]
STUDY = ["--multirun", "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.study_name=tiny", *TINY]
ELSEWHERE = "elsewhere:1:1:other.1:"


def copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as opened, closing(sqlite3.connect(target)) as copy:
        opened.backup(copy)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code, and the places of findings, of mended ones and of notes, each with its text."""
    code, report = told(capsys, *arguments)
    texts = {key: [f"{finding['where']}: {finding['what']}" for finding in report[key]] for key in ("findings", "mended")}
    return code, texts | {"notes": report["notes"]}


def test_thirty_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made, here = tmp_path / "made", tmp_path / "moved"
    made.mkdir()
    ran(made, *STUDY, "hydra.sweeper.n_trials=20")
    copy_database(made / "optuna.db", tmp_path / "older.db")
    ran(made, *STUDY, "hydra.sweeper.n_trials=30")
    spool.writer(sqlite.url_of(made / "mlflow.db")).close()

    # the folder is moved
    made.rename(here)
    monkeypatch.chdir(here)
    store.open_store.cache_clear()
    assert check(capsys, "--thorough") == (0, {"findings": [], "mended": [], "notes": []})

    # trials of another host: one whose result was kept, and one that was cut off
    study = optuna.load_study(study_name="tiny", storage=locations.storage(None))
    change("optuna.db", "UPDATE trials SET state = 'RUNNING' WHERE number = 0")
    for trial_id in (study.trials[0]._trial_id, study.ask()._trial_id):
        attributes.keep_with_trial(study, trial_id, records.OWNER, ELSEWHERE)
    # records in the spool that are damaged, or that MLflow refuses
    for number, content in enumerate(DAMAGED.values()):
        left(here, content, number)
    # a curve without its end, and one without a point in its midst
    for number, epoch in ((3, 5), (4, 2)):
        run_id = children(number)[0].info.run_id
        change("mlflow.db", "DELETE FROM metrics WHERE run_uuid = ? AND key = 'val_loss' AND step = ?", run_id, epoch)
    # runs that no process writes any more
    for replicate in children(5):
        change("mlflow.db", "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", replicate.info.run_id)
    # files that are damaged or gone, and a run that was deleted
    damaged = files(6) / artifacts.WEIGHTS
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    (files(7) / artifacts.CURVES).unlink()
    shutil.move(files(8), tmp_path / "artifacts")
    deleted = reading.run_ids(locations.storage(None), "tiny")[9]
    client().delete_run(deleted)

    named = ["trial 6 ", "trial 7 ", "trial 8 ", "trial 9: "]
    mendable = ["trial 0: in progress on elsewhere", "trial 30: in progress on elsewhere", "trial 3 ", "trial 4 ", "trial 5 "]
    code, texts = check(capsys, "--thorough")
    assert code == Corrupt.exit_code
    for words in [*named, *mendable]:
        assert sum(words in text for text in texts["findings"]) == 1, (words, texts)
    assert sum(str(spool.FOLDER) in text for text in texts["findings"]) == len(DAMAGED)
    assert len(texts["findings"]) == len(named) + len(mendable) + len(DAMAGED)

    code, texts = check(capsys, "--repair", "--thorough")
    assert code == Corrupt.exit_code and len(texts["notes"]) == len(DAMAGED)
    assert [any(words in text for text in texts["findings"]) for words in named] == [True] * len(named)
    assert len(texts["findings"]) == len(named) and len(texts["mended"]) == len(mendable)
    for words in mendable:
        assert any(words in text for text in texts["mended"]), (words, texts)

    # what was named is whole again once it is brought back; curves.parquet isn't
    damaged.write_bytes(whole)
    shutil.move(tmp_path / "artifacts", files(8))
    client().restore_run(deleted)
    code, texts = check(capsys, "--thorough")
    assert code == Corrupt.exit_code and len(texts["findings"]) == 1 and "trial 7 " in texts["findings"][0]

    # Optuna's storage is an older one, and then none
    (here / "optuna.db").rename(tmp_path / "kept.db")
    for rest in here.glob("optuna.db-*"):
        rest.unlink()
    shutil.copy(tmp_path / "older.db", here / "optuna.db")
    code, texts = check(capsys, "--repair")
    assert code == Corrupt.exit_code and any("belong to trials that aren't in" in text for text in texts["findings"])
    assert run(*STUDY, "hydra.sweeper.n_trials=30") == Corrupt.exit_code
    (here / "optuna.db").unlink()
    forget()
    assert run("doctor", "--repair") == 2
    assert run(*STUDY, "hydra.sweeper.n_trials=30") == Corrupt.exit_code
