"""Reads the latest runs of a SQLite file without loading MLflow: a shell that completes a word can't wait for it."""

from __future__ import annotations

from study import sqlite

RUNS = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT 2000"


def runs(url: str) -> list[tuple[str, str]]:
    """Return ids and names, the newest first; none of a server, which may be slow. Raises as `study.search.recent.names` does."""
    return [(str(run_id), str(name)) for run_id, name in sqlite.rows(url, RUNS)]
