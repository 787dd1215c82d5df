"""Relocation of a local store's artifacts after its folder was moved or copied: to `mlruns` beside the database.

MLflow keeps absolute locations. In a moved folder they lead nowhere; in a copy they lead to the original, which a run that is
deleted here, or written here, would change there.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from study import sqlite

ARTIFACTS = "mlruns"
# the columns of MLflow's tables that hold locations
COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"))
LOCATION = re.compile(rf"(?P<scheme>file://)?(?P<root>/.*?)/{ARTIFACTS}/(?P<rest>.+)")


def relocate(uri: str, folder: Path | None = None) -> int:
    """Rewrite the locations of artifacts that lie beside the database, and that it has elsewhere; return how many.

    folder: where they lie instead. Locations that have nothing there, such as those of an object store, stay. Raises StudyError for
    a damaged or read-only database.
    """
    path = sqlite.path_of(uri)
    folder = folder or (path and path.parent)
    if path is None or folder is None or not path.exists() or not (folder / ARTIFACTS).is_dir():
        return 0
    try:
        with sqlite.reading(path) as connection:
            if not any(_moved(connection, folder)):
                return 0
        with sqlite.lock(path), closing(sqlite3.connect(path)) as connection, connection:
            moved = list(_moved(connection, folder))
            for table, column, old, new in moved:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))
            return len(moved)
    except sqlite3.Error as error:
        raise sqlite.fault(error, f"tracking.uri {uri}") from error


def _moved(connection: sqlite3.Connection, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield table, column, old and new value of every location that isn't in `folder`, and whose artifacts are."""
    here = folder / ARTIFACTS
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    known: dict[str, bool] = {}
    for table, column in COLUMNS:
        if table not in tables:
            continue
        # most lie in their place, and a large study has tens of thousands of them: the database finds the others
        others = f"{column} LIKE '%/{ARTIFACTS}/%' AND instr({column}, ?) != 1 AND instr({column}, ?) != 1"
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {others}"
        for (old,) in connection.execute(query, (f"{here.as_uri()}/", f"{here}/")).fetchall():
            place = LOCATION.fullmatch(old)
            if not place:
                continue
            plain = unquote if place["scheme"] else str
            if Path(plain(place["root"])) == folder:
                continue
            name = plain(place["rest"]).split("/")[0]
            # an experiment's folder: its runs may have no files yet
            if known.setdefault(name, (here / name).exists()):
                root = here.as_uri() if place["scheme"] else str(here)
                yield table, column, old, f"{root}/{place['rest']}"
