"""Reads the names of the studies in a SQLite file without loading Optuna: a shell that completes a word can't wait for it."""

from __future__ import annotations

from study import sqlite

NAMES = "SELECT study_name FROM studies ORDER BY study_id DESC"


def names(url: str) -> list[str]:
    """Return the names, the newest first; none of a server, which may be slow.

    Raises StudyError for a file that isn't Optuna's.
    """
    return [str(name) for (name,) in sqlite.rows(url, NAMES)]
