"""Fresh SQLite databases, created so that neither a race nor a kill leaves a broken one.

MLflow and Optuna both create their schema in many steps on first use; four processes at once, or a kill in the middle, break it.
Here one process at a time creates it under another name, and the finished file gets its name in one step. The write-ahead log
lets a browser read while a study writes, and halves the cost of a commit.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import closing, contextmanager
from pathlib import Path

from study.errors import Corrupt, NotWritable, StudyError, Unreachable, check_writable, writing

PREFIX = "sqlite:///"
# what SQLite says where a user can help
MEANINGS: dict[str, type[StudyError]] = {
    "database or disk is full": NotWritable,
    "disk I/O error": NotWritable,
    "readonly database": NotWritable,
    "unable to open database file": NotWritable,
    "malformed": Corrupt,
    "not a database": Corrupt,
    "no such table": Corrupt,
    "no such column": Corrupt,
}


def path_of(url: str) -> Path | None:
    """The absolute path of a SQLite URL; None for another database or for one in memory."""
    name = url.removeprefix(PREFIX)
    return Path(name).absolute() if url.startswith(PREFIX) and name not in ("", ":memory:") else None


def is_there(url: str) -> bool:
    """Whether there may be a database at this URL: a file exists, and of a server that is for others to find out."""
    path = path_of(url)
    return path is None or path.exists()


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
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path):
            for left in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):  # by processes that were killed half way
                left.unlink()
            if path.exists():
                _check(path)
            else:
                _create(path, schema)
    return path


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A database file that is only read, and beside which nothing is left.

    A connection to a write-ahead log makes files that a reader can't remove; where there is no log, nobody writes.
    """
    kept = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{kept}", uri=True)) as connection:
        yield connection


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """The rows that a query finds in the file of a SQLite URL; none where there is no file, or the database is another.

    Raises sqlite3.Error for a file that the query doesn't fit.
    """
    path = path_of(url)
    if path is None or not path.exists():
        return []
    with reading(path) as connection:
        return connection.execute(query).fetchall()


def damage(path: Path, tables: Set[str]) -> str | None:
    """What is wrong with a database file that should have these tables; None if nothing is.

    Raises NotWritable if it can't be read.
    """
    try:
        # by an address that never creates a file
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            told = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
            found = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        meant = fault(error, str(path))
        if not isinstance(meant, Corrupt):
            raise meant from error
        return str(error)
    if told != ["ok"]:
        return " ".join(" ".join(told).split())
    return f"it has no table {', '.join(sorted(tables - found))}" if tables - found else None


def fault(error: BaseException, place: str) -> StudyError:
    """What a database's error means to the user, whichever library passes it on. Unreachable for what is no word of SQLite's."""
    told = _told(error)
    return next((kind for words, kind in MEANINGS.items() if words in told), Unreachable)(f"{place}: {told}")


def _told(error: BaseException) -> str:
    """SQLite's words among those of the libraries above it, or else the first cause's first line."""
    causes = [error]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    found = re.search(r"\(sqlite3\.\w+\) (.+)", "\n".join(map(str, causes)))
    return found[1] if found else (str(causes[-1]).strip() or type(causes[-1]).__name__).splitlines()[0]


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
        raise NotWritable(f"{path}: the database can't be created: {_told(error)}") from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Only one process at a time is in this block for the database of this path."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check(url: str) -> None:
    """Raises what `ensure` would for what is there, without making anything. Any URL that isn't a SQLite file's is right."""
    path = path_of(url)
    if path is None:
        return
    with writing(path):
        if path.exists():
            _check(path)
    check_writable(path.parent)


def _check(path: Path) -> None:
    if path.is_dir():
        raise NotWritable(f"{path}: it is a directory, not a database")
    with path.open("rb") as content:
        if content.read(16) != b"SQLite format 3\0":
            raise Corrupt(f"{path}: it is no SQLite database, and is left as it is; move it away or name another")
