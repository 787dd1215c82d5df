"""Studies under other launchers than Hydra's own: their trials are pruned in mid-training, and survive a killed worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from study import search, sqlite
from tests.command import client

TINY = ["training.epochs=60", "training.leg_epochs=20", "replicates.count=8", "model.units=[4]", "hydra.sweeper.study_name=tiny"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2"]


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "study", "--multirun", *TINY, *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def states(folder: Path) -> Counter[str]:
    return Counter(record.state for record in search.open_study(sqlite.url_of(folder / "optuna.db"), "tiny").records)


def statuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Of all runs of trials and replicates."""
    monkeypatch.chdir(folder)
    experiment = client().get_experiment_by_name("tiny")
    found = client().search_runs([experiment.experiment_id], "tags.`mlp_study.kind` != 'study'")
    return Counter(run.info.status for run in found)


@pytest.mark.fault
@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT], ids=["joblib", "submitit"])
@pytest.mark.parametrize("pruner", ["wilcoxon", "median"])
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


@pytest.mark.fault
def test_a_killed_worker_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(tmp_path, *JOBLIB, "optimizer.learning_rate=0.01,0.02,0.03,0.04,0.05,0.06") as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("[2/6"):
                break
        workers = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        loky = [int(each) for each in workers if b"loky" in Path(f"/proc/{each}/cmdline").read_bytes()]
        os.kill(max(loky), signal.SIGKILL)
        rest = running.stderr.read()
    assert running.returncode == 0, rest
    assert "is run again: its worker was lost" in rest
    assert states(tmp_path) == {"complete": 6}
    assert statuses(tmp_path, monkeypatch)["FINISHED"] == 6 * 9 and statuses(tmp_path, monkeypatch)["RUNNING"] == 0
