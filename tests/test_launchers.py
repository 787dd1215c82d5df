"""Studies under other launchers than Hydra's own: their trials are pruned in mid-training, and survive a killed worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from study import sqlite
from study.search import reading
from study.tracking import spool
from tests.command import client

TINY = ["replicates.count=8", "model.units=[4]", "hydra.sweeper.study_name=tiny"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2"]


def start(folder: Path, *overrides: str, epochs: int = 60) -> subprocess.Popen[str]:
    length = [f"training.epochs={epochs}", f"training.leg_epochs={epochs // 3}"]
    command = [sys.executable, "-m", "study", "--multirun", *TINY, *length, *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def states(folder: Path) -> Counter[str]:
    return Counter(record.state for record in reading.open_study(sqlite.url_of(folder / "optuna.db"), "tiny").records)


def statuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Of all runs of trials and replicates."""
    monkeypatch.chdir(folder)
    experiment = client().get_experiment_by_name("tiny")
    found = client().search_runs([experiment.experiment_id], "tags.`mlp_study.kind` != 'study'")
    return Counter(run.info.status for run in found)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("launcher", "pruner"),
    [
        pytest.param(JOBLIB, "median", id="joblib-median"),
        pytest.param(JOBLIB, "wilcoxon", id="joblib-wilcoxon", marks=pytest.mark.slow),
        pytest.param(SUBMITIT, "median", id="submitit-median", marks=pytest.mark.slow),
        pytest.param(SUBMITIT, "wilcoxon", id="submitit-wilcoxon", marks=pytest.mark.slow),
    ],
)
def test_trials_in_other_processes_are_pruned_by_what_all_have_reported(
    launcher: list[str], pruner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["pruner.n_warmup_steps=0", *(["pruner.n_startup_trials=1"] if pruner == "median" else [])]
    rates = "optimizer.learning_rate=0.02,0.03,1e-6,2e-6"
    with start(tmp_path, *launcher, f"pruner={pruner}", *more, rates) as running:
        told = running.communicate()[1]
    assert running.returncode == 0, told
    assert states(tmp_path) == {"complete": 2, "pruned": 2}
    assert statuses(tmp_path, monkeypatch) == {"FINISHED": 2 * 9, "KILLED": 2 * 9}


def stop_at_work(folder: Path, running: subprocess.Popen[str]) -> list[int]:
    """Holds both workers where each is amid a trial: between two, or with a whole record, a worker costs nothing."""
    while running.poll() is None:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        workers = [int(each) for each in children if b"popen_loky" in Path(f"/proc/{each}/cmdline").read_bytes()]
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        spooled = (folder / ".mlp-study" / "spool").iterdir()
        unfinished = [each for each in spooled if not (each.name.startswith(spool.GONE) or (each / spool.RECORD).exists())]
        if len(workers) == len(unfinished) == 2:
            return workers
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        time.sleep(0.05)
    assert running.stderr
    pytest.fail(running.stderr.read())


@pytest.mark.slow
@pytest.mark.fault
def test_a_killed_worker_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(tmp_path, *JOBLIB, "optimizer.learning_rate=0.01,0.02,0.03,0.04,0.05,0.06", epochs=1200) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("[2/6"):
                break
        killed, other = stop_at_work(tmp_path, running)
        os.kill(killed, signal.SIGKILL)
        os.kill(other, signal.SIGCONT)
        rest = running.stderr.read()
    assert running.returncode == 0, rest
    assert "again: its worker was lost" in rest
    assert states(tmp_path) == {"complete": 6}
    assert statuses(tmp_path, monkeypatch)["FINISHED"] == 6 * 9 and statuses(tmp_path, monkeypatch)["RUNNING"] == 0
