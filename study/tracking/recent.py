"""Reads a SQLite file of MLflow's without loading MLflow: a shell that completes a word, and a launch, can't wait for it."""

from __future__ import annotations

from study import sqlite
from study.tracking.schema import TRIAL, TrialRun

RUNS = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT 2000"


def runs(url: str) -> list[tuple[str, str]]:
    """Return ids and names, the newest first; none of a server, which may be slow. Raises as `study.search.recent.names` does."""
    return [(str(run_id), str(name)) for run_id, name in sqlite.rows(url, RUNS)]


TRIALS = f"""
    SELECT run_uuid, tags.value, runs.lifecycle_stage FROM tags JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)
    WHERE tags.key = '{TRIAL}' AND experiments.name = ?
"""


def trial_runs(url: str, study: str) -> list[TrialRun]:
    """Return the runs of a study's trials, the deleted ones too; none of a server. Raises as `runs` does."""
    return [TrialRun(str(run), int(str(number)), stage == "deleted") for run, number, stage in sqlite.rows(url, TRIALS, study)]
