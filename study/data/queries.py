"""The rows of a query, in a SQLite file or on a database server, which it can't change.

The rows that a study trains on are kept among the records (`kept_rows`), with a note of their query: so workers train on the same
rows as their driver, and a study resumes although its server has more rows by now, or is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from study import redaction, sqlite
from study.data import formats, kept_rows, python_rows
from study.errors import BadInput, Fault, Unreachable, writing
from study.settings.data import UserTable, is_url

ANSWER_SECONDS = 4
READS = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(select|with|values|table|from)\b", re.IGNORECASE | re.DOTALL)
QUERY = "a query that only reads, such as 'SELECT * FROM houses'"
EXTRAS = {"psycopg2": ": pip install 'mlp-study[postgres]'"}
DRIVERS = {"postgresql": "postgresql+psycopg2"}  # without one, SQLAlchemy 2.1 takes another
READ_ONLY = {"mysql": "SET TRANSACTION READ ONLY", "mariadb": "SET TRANSACTION READ ONLY"}
# what a query that reads may do in SQLite: without files of its own, other databases and settings
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

Table = Any  # pa.Table; pyarrow has no types


def is_database(path: str) -> bool:
    """Return True for a database's URL, and for a SQLite file."""
    return is_url(path) or (Path(path).is_file() and formats.is_sqlite(path))


def rows(settings: UserTable) -> Table:
    """Return the rows of `data.sql` as an Arrow table. Raises BadInput for a query that fails or writes, and Unreachable."""
    sql = settings.sql
    if sql is None:
        raise BadInput([Fault("data.sql", None, _hint(settings.path))])
    if not READS.match(sql):
        raise BadInput([Fault("data.sql", sql, QUERY)])
    return _of_server(settings.path, sql) if is_url(settings.path) else _of_file(settings.path, sql)


def kept(settings: UserTable) -> tuple[str, list[str]]:
    """Return the path of the file that keeps the rows of a study's query, and a line that says so.

    The query runs where none are kept, and again where a SQLite file has changed since. Raises as `rows` does, and NotWritable.
    """
    note = _note_of(settings)
    with writing(note):
        note.parent.mkdir(parents=True, exist_ok=True)
        with sqlite.lock(note.with_name("queries")):  # of several workers one runs it
            known = _known(note, settings)
            if known is None:
                table = rows(settings)
                path = kept_rows.keep(table)
                when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
                known = {"rows": path.name, "count": len(table), "when": when, "stamp": _stamp(settings.path)}
                draft = note.with_suffix(".new")
                with draft.open("w") as content:
                    json.dump(known | {"path": redaction.redact(settings.path), "sql": settings.sql}, content)
                    content.flush()
                    os.fsync(content.fileno())
                draft.rename(note)
    path = note.with_name(known["rows"])
    again = "" if known["stamp"] else f"; to run the query again: rm {note.relative_to(Path.cwd())}"
    return str(path), [
        f"{known['count']:,} rows of the query, as of {known['when']}, kept in {path.relative_to(Path.cwd())}{again}"
    ]


def _note_of(settings: UserTable) -> Path:
    key = hashlib.sha256(f"{settings.path}\0{settings.sql}".encode()).hexdigest()[: kept_rows.DIGITS]
    return kept_rows.KEPT.absolute() / f"query-{key}.json"


def _known(note: Path, settings: UserTable) -> dict[str, Any] | None:
    """Return what is known of a query's rows, if they are kept and, for a file, not older than it."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known: dict[str, Any] = json.loads(note.read_text())
        is_same = known["stamp"] == _stamp(settings.path) or not Path(settings.path).exists()
        if is_same and isinstance(known["count"], int) and kept_rows.is_whole(note.with_name(Path(known["rows"]).name)):
            return known | {"when": str(known["when"])}
    return None


def _stamp(path: str) -> list[int]:
    """Return what changes when a SQLite file does, or what isn't in it yet; empty for a server, which says nothing of the kind."""
    if is_url(path):
        return []
    found = (Path(path), Path(f"{path}-wal"))
    return [number for file in found if file.exists() for number in (file.stat().st_mtime_ns, file.stat().st_size)]


# -- a SQLite file -------------------------------------------------------------------------------------------------------------


def _hint(path: str) -> str:
    if is_url(path):
        return QUERY
    try:
        with sqlite.reading(Path(path)) as connection:
            named = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    except sqlite3.Error as error:
        raise BadInput([Fault("data.path", path, f"a SQLite file that can be read ({error})")]) from error
    return f"{QUERY}; its tables: {', '.join(named) or 'none'}"


def _of_file(path: str, sql: str) -> Table:
    if not Path(path).is_file():
        raise BadInput([Fault("data.path", path, "a file (no such file)")])
    if not is_database(path):
        raise BadInput([Fault("data.path", path, "a SQLite file, or a database's URL, with data.sql; without data.sql, any table")])
    try:
        with sqlite.reading(Path(path)) as connection:
            connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY)
            cursor = connection.execute(sql)
            names = [str(column[0]) for column in cursor.description or ()]
            return python_rows.table_of(names, iter(lambda: cursor.fetchmany(python_rows.BLOCK), []))
    except sqlite3.Error as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise BadInput([Fault("data.path", path, f"a SQLite file that is whole ({error})")]) from error
        reason = "it may only read" if "not authorized" in str(error) else error
        raise BadInput([Fault("data.sql", sql, f"{QUERY} ({reason})")]) from error


# -- a server ------------------------------------------------------------------------------------------------------------------


def _of_server(path: str, sql: str) -> Table:
    from sqlalchemy import exc

    shown = redaction.redact(path)
    try:
        with closing(_connected(path)) as connection:
            return _result(connection, sql)
    except ImportError as error:
        valid = f"a database whose driver is installed, which {error.name} isn't" + EXTRAS.get(str(error.name), "")
        raise BadInput([Fault("data.path", shown, valid)]) from error
    except exc.ArgumentError as error:  # another kind of database that SQLAlchemy doesn't know is one of these
        valid = f"a database's URL, as in postgresql://USER@HOST/DATABASE ({_first_line(error)})"
        raise BadInput([Fault("data.path", shown, valid)]) from error
    except exc.SQLAlchemyError as error:
        raise Unreachable(f"data.path {shown}: {_first_line(error)}") from error


def _connected(path: str) -> Any:
    import sqlalchemy

    url = sqlalchemy.make_url(path)
    if variable := redaction.variable_of(url.password or ""):
        url = url.set(password=os.environ[variable])
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=_patience(url.get_backend_name()))
    options = {"stream_results": True, "max_row_buffer": python_rows.BLOCK}
    if engine.dialect.name == "postgresql":
        options |= {"postgresql_readonly": True}
    return engine.connect().execution_options(**options)


def _patience(backend: str) -> dict[str, int]:
    return {"connect_timeout": ANSWER_SECONDS} if backend in ("postgresql", "mysql", "mariadb") else {}


def _result(connection: Any, sql: str) -> Table:
    import sqlalchemy

    if (read_only := READ_ONLY.get(connection.dialect.name)) is not None:
        connection.execute(sqlalchemy.text(read_only))
    # a colon in a query is no parameter
    statement = sqlalchemy.text(re.sub(r"(?<![:\\]):(?=\w)", r"\\:", sql))
    try:
        result = connection.execute(statement)
        return python_rows.table_of(list(map(str, result.keys())), _blocks(result))
    except sqlalchemy.exc.SQLAlchemyError as error:
        if getattr(error, "connection_invalidated", False):
            raise
        raise BadInput([Fault("data.sql", sql, f"{QUERY} ({_first_line(error)})")]) from error
    finally:
        connection.rollback()


def _blocks(result: Any) -> Iterator[Any]:
    while block := result.fetchmany(python_rows.BLOCK):
        yield block


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return redaction.redact((str(cause).strip() or type(cause).__name__).splitlines()[0])
