"""Create and read SQLite databases so that neither a race nor a kill leaves a broken one.

MLflow and Optuna both create their schema in many steps on first use; four processes at once, or a kill in the middle, break it.
Here one process at a time creates it under another name, and then renames the finished file in one step. The write-ahead log lets a
browser read while a study writes, and halves the cost of a commit.
"""

from __future__ import annotations

import atexit
import fcntl
import glob
import os
import re
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from study.errors import Corrupt, NotWritable, StudyError, Unreachable, check_writable, writing

PREFIX = "sqlite:///"
# SQLite's messages about problems that the user can solve
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
    """Return the absolute path of a SQLite URL; None for another database or for one in memory."""
    name = url.removeprefix(PREFIX)
    return Path(unquote(name)).absolute() if url.startswith(PREFIX) and name not in ("", ":memory:") else None


def is_there(url: str) -> bool:
    """Return True if a database may exist at this URL: a file exists, or it is on a server, which this doesn't ask."""
    path = path_of(url)
    return path is None or path.exists()


def url_of(path: Path) -> str:
    """Return the URL of a database file. Raises NotWritable for a name that a URL can't contain."""
    # a URL has another use for the first, MLflow puts the path between two of the second, and the others aren't UTF-8
    if refused := re.search(r"[?'\ud800-\udfff]", str(path.absolute())):
        raise NotWritable(f"{path.absolute()}: a database's path can't contain {refused[0]}")
    return f"{PREFIX}{str(path.absolute()).replace('%', '%25')}"  # which SQLAlchemy decodes


def ensure(url: str, schema: Callable[[str], None]) -> Path | None:
    """Create the database of a SQLite URL unless it exists; return its path, or None for any other URL.

    schema: creates the tables in a new file, given its URL. Raises NotWritable if the database can't be written, and Corrupt if
    another kind of file is there, which is left as it is.
    """
    path = path_of(url)
    if path is None:
        return None
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path):
            for left in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):  # by processes that were killed
                left.unlink()
            if path.exists():
                _check(path)
            else:
                _create(path, schema)
    return path


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database file for reading only, without leaving anything beside it.

    A connection to a write-ahead log creates files that a reader can't remove; while there is none, nobody is writing. A file
    of another program's that has no such log is locked as usual.
    """
    mode = "immutable=1" if _has_log(path) and not path.with_name(f"{path.name}-wal").exists() else "mode=ro"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
        yield connection


def is_writable(path: Path) -> bool:
    """Return whether a database file, and what SQLite makes beside it, can be written."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


@cache
def readable_copy(path: Path) -> Path:
    """Return a copy, until this process ends, of a database that can't be written: for a library that opens none for reading only.

    Raises StudyError if it can't be read.
    """
    folder = tempfile.mkdtemp(prefix="mlp-study-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with reading(path) as original, closing(sqlite3.connect(copy := Path(folder, path.name))) as copied:
            original.backup(copied)
    except sqlite3.Error as error:
        raise fault(error, str(path)) from error
    return copy


def _has_log(path: Path) -> bool:
    """Return True if a database is written through a log (https://www.sqlite.org/fileformat.html), False for no database too."""
    try:
        with path.open("rb") as content:
            return content.read(20)[18:] == b"\2\2"
    except OSError:
        return False


def rows(url: str, query: str, *values: str) -> list[tuple[object, ...]]:
    """Return the rows of a query on the file of a SQLite URL; none without a file, or for another database.

    Raises StudyError if it can't be read: the file beside a write-ahead log, for which a full disk has no room, is needed for that.
    """
    path = path_of(url)
    if path is None or not path.exists():
        return []
    try:
        with reading(path) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise fault(error, str(path)) from error


def damage(path: Path, tables: Set[str]) -> str | None:
    """Describe the damage of a database file that should have these tables; None if it is sound.

    Raises NotWritable if it can't be read.
    """
    try:
        with reading(path) as connection:
            messages = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
            existing = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        translated = fault(error, str(path))
        if not isinstance(translated, Corrupt):
            raise translated from error
        return str(error)
    if messages != ["ok"]:
        return " ".join(" ".join(messages).split())
    return f"it lacks the table {', '.join(sorted(tables - existing))}" if tables - existing else None


def fault(error: BaseException, database: str) -> StudyError:
    """Translate a database's error, whichever library raised it; into Unreachable if it isn't SQLite's."""
    message = _message(error)
    return next((kind for words, kind in MEANINGS.items() if words in message), Unreachable)(f"{database}: {message}")


def _message(error: BaseException) -> str:
    """Return SQLite's message from among those of the libraries above it, or else the first line of the first cause."""
    causes = [error]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    match = re.search(r"\(sqlite3\.\w+\) (.+)", "\n".join(map(str, causes)))
    return match[1] if match else (str(causes[-1]).strip() or type(causes[-1]).__name__).splitlines()[0]


def _create(path: Path, schema: Callable[[str], None]) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        # readable only by its owner from the first moment, and so are the files that SQLite adds
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL, 0o600))
        schema(url_of(draft))
        if draft.stat().st_size == 0:
            raise NotWritable(f"{path}: the database can't be created: the new file stayed empty")
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with draft.open("rb") as content:
            os.fsync(content.fileno())
        draft.rename(path)
    except (OSError, NotWritable):
        raise
    except Exception as error:  # the library that creates the tables may raise anything, for a full disk for instance
        raise NotWritable(f"{path}: the database can't be created: {_message(error)}") from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Let only one process at a time run the block for the database at this path."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check(url: str) -> None:
    """Raise what `ensure` would for an existing file, without creating anything. Any URL other than a SQLite file's passes."""
    path = path_of(url)
    if path is None:
        return
    with writing(path):
        if path.exists():
            _check(path)
    check_writable(path.parent)


def _check(path: Path) -> None:
    if path.is_dir():
        raise NotWritable(f"{path}: this is a directory, not a database")
    with path.open("rb") as content:
        if content.read(16) != b"SQLite format 3\0":
            raise Corrupt(f"{path}: this is not a SQLite database, and is left as it is; move it away or choose another")
