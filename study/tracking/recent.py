"""Reads a SQLite file of MLflow's without loading MLflow: a shell that completes a word, and a launch, can't wait for it."""

from __future__ import annotations

from study import sqlite
from study.tracking.schema import TRIAL

RUNS = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT 2000"


def runs(url: str) -> list[tuple[str, str]]:
    """Return ids and names, the newest first; none of a server, which may be slow. Raises as `study.search.recent.names` does."""
    return [(str(run_id), str(name)) for run_id, name in sqlite.rows(url, RUNS)]


NUMBERS = f"""
    SELECT tags.value FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid JOIN experiments USING (experiment_id)
    WHERE tags.key = '{TRIAL}' AND experiments.name = ? AND runs.lifecycle_stage = 'active'
"""


def trial_numbers(url: str, study: str) -> set[int]:
    """Return the numbers of a study's trials that have runs; none of a server. Raises as `runs` does."""
    return {int(str(number)) for (number,) in sqlite.rows(url, NUMBERS, study)}
