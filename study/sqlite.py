"""Fresh SQLite databases, created so that neither a race nor a kill leaves a broken one.

MLflow and Optuna both create their schema in many steps on first use; four processes at once, or a kill in the middle, break it.
Here one process at a time creates it under another name, and the finished file gets its name in one step. The write-ahead log
lets a browser read while a study writes, and halves the cost of a commit.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from study.errors import Corrupt, NotWritable

PREFIX = "sqlite:///"


def path_of(url: str) -> Path | None:
    """The absolute path of a SQLite URL; None for another database or for one in memory."""
    name = url.removeprefix(PREFIX)
    return Path(name).absolute() if url.startswith(PREFIX) and name not in ("", ":memory:") else None


def url_of(path: Path) -> str:
    """The URL of a database file. Raises NotWritable for a name that a URL can't carry."""
    if "?" in str(path.absolute()):
        raise NotWritable(f"{path.absolute()}: no database can lie in a folder with '?' in its name")
    return f"{PREFIX}{path.absolute()}"


def ensure(url: str, schema: Callable[[str], None]) -> Path | None:
    """Makes sure of the database of a SQLite URL; returns its path, or None for any other URL.

    schema: makes the tables in a fresh file, given its URL. Raises NotWritable if the database can't be written, and Corrupt if
    another kind of file is there, which is left as it is.
    """
    path = path_of(url)
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_name(path.name + ".lock")):
            if path.exists():
                _check(path)
            else:
                for left in path.parent.glob(f".{path.name}.*.new*"):  # by processes that were killed half way
                    left.unlink()
                _create(path, schema)
    except OSError as error:
        raise NotWritable(f"{path}: {error.strerror or error}") from error
    return path


def _create(path: Path, schema: Callable[[str], None]) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        # readable by its owner alone from the first moment, as are the files that SQLite puts beside it
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL, 0o600))
        schema(url_of(draft))
        if draft.stat().st_size == 0:
            raise NotWritable(f"{path}: the database can't be created: it stayed empty")
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with draft.open("rb") as content:
            os.fsync(content.fileno())
        draft.rename(path)
    except (OSError, NotWritable):
        raise
    except Exception as error:  # whichever the library that makes the tables chooses, for a full disk for instance
        raise NotWritable(f"{path}: the database can't be created: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check(path: Path) -> None:
    if path.is_dir():
        raise NotWritable(f"{path}: it is a directory, not a database")
    with path.open("rb") as content:
        if content.read(16) != b"SQLite format 3\0":
            raise Corrupt(f"{path}: it is no SQLite database, and is left as it is; move it away or name another")
