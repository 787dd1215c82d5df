"""Reads a study of a SQLite file as Optuna would, by plain SQL: for a reader, loading SQLAlchemy takes longer than all the rest.

Anything that isn't as expected, be it a damaged file or tables of another version, is left to Optuna and its messages.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from study import sqlite
from study.search import attributes
from study.search.records import Contents

# of the tables as this module knows them
VERSIONS = (12, "v3.2.0.a")
NUMBERS = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
OF_TRIALS = "FROM {} AS part JOIN trials USING (trial_id) WHERE study_id = ? ORDER BY {}"


def names(url: str) -> list[str] | None:
    """Return the names of a file's studies, the oldest first; None where Optuna has to read them."""
    path = _path(url)
    if path is None:
        return None
    try:
        with sqlite.reading(path) as file:
            if not _has_studies(file):
                return []
            known = file.execute("SELECT study_name FROM studies ORDER BY study_id").fetchall() if _is_known(file) else None
    except sqlite3.Error:
        return None
    return None if known is None else [name for (name,) in known]


def read(url: str, name: str) -> Contents | None:
    """Return what a file has of a study; None where Optuna has to read it. Raises KeyError if there is none of this name."""
    path = _path(url)
    if path is None:
        return None
    try:
        with sqlite.reading(path) as file:
            file.execute("BEGIN")  # all of it is of one moment
            if _has_studies(file):
                if not _is_known(file):
                    return None
                found = file.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()
                if found:
                    return _kept(file, found[0])
    except Exception:  # a value that isn't JSON, a date, a state or a distribution raises almost anything
        return None
    raise KeyError(name)


def _path(url: str) -> Path | None:
    """Return the path of a SQLite file that has content, None for any other storage."""
    path = sqlite.path_of(url)
    return path if path and path.is_file() and path.stat().st_size else None


def _has_studies(file: sqlite3.Connection) -> bool:
    """Return False for another program's database, in which Optuna would make its tables as soon as it opens it."""
    return file.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'studies'").fetchone() is not None


def _is_known(file: sqlite3.Connection) -> bool:
    return file.execute("SELECT schema_version, version_num FROM version_info, alembic_version").fetchall() == [VERSIONS]


def _kept(file: sqlite3.Connection, study: int) -> Contents:
    of_user, of_system = (
        dict(_decoded(file.execute(f"SELECT key, value_json FROM study_{kind}_attributes WHERE study_id = ?", (study,))))
        for kind in ("user", "system")
    )
    return Contents(of_user | attributes.own(of_system), _trials(file, study))


def _trials(file: sqlite3.Connection, study: int) -> list[FrozenTrial]:
    def rows(columns: str, table: str, order: str) -> list[Any]:
        return file.execute(f"SELECT {columns} {OF_TRIALS.format(table, order)}", (study,)).fetchall()

    values, notes, user, system, params, distributions = (defaultdict[int, Any](kind) for kind in (list, *[dict] * 5))
    for trial, value, kind in rows("trial_id, value, value_type", "trial_values", "objective"):
        values[trial].append(NUMBERS.get(kind, value))
    for trial, step, value, kind in rows(
        "trial_id, step, intermediate_value, intermediate_value_type", "trial_intermediate_values", "step"
    ):
        notes[trial][step] = NUMBERS.get(kind, value)
    for kept, table in ((user, "trial_user_attributes"), (system, "trial_system_attributes")):
        for (trial, key), value in _decoded(((t, k), text) for t, k, text in rows("trial_id, key, value_json", table, "key")):
            kept[trial][key] = value
    for trial, key, value, domain in rows("trial_id, param_name, param_value, distribution_json", "trial_params", "param_id"):
        distributions[trial][key] = _distribution(domain)
        params[trial][key] = distributions[trial][key].to_external_repr(value)
    return [
        FrozenTrial(
            number=number,
            trial_id=trial,
            state=TrialState[state],
            value=None,
            values=values.get(trial),
            datetime_start=_moment(start),
            datetime_complete=_moment(end),
            params=params[trial],
            distributions=distributions[trial],
            user_attrs=user[trial],
            system_attrs=system[trial],
            intermediate_values=notes[trial],
        )
        for trial, number, state, start, end in file.execute(
            "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ? ORDER BY trial_id",
            (study,),
        )
    ]


def _decoded(rows: Iterable[tuple[Any, str]]) -> Iterable[tuple[Any, Any]]:
    """Return each row's first column with the JSON of its second one, which are decoded together: that takes half the time."""
    keys, texts = tuple(zip(*rows, strict=True)) or ((), ())
    return zip(keys, json.loads(f"[{','.join(texts)}]"), strict=True)


@cache
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
