"""Opens Optuna's storage: a SQLite file, or a PostgreSQL database that several machines share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from study import collector, sqlite
from study.errors import BadInput, Corrupt, Fault

with collector.held():
    import optuna
    import sqlalchemy
    from optuna.exceptions import ExperimentalWarning, StorageInternalError
    from optuna.storages import BaseStorage, RDBStorage, get_storage
    from optuna.storages._heartbeat import BaseHeartbeat
    from optuna.storages._rdb.models import NOT_FOUND_MSG
    from sqlalchemy.exc import SQLAlchemyError

optuna.logging.set_verbosity(optuna.logging.ERROR)

# a driver of which nothing else is known, such as one on another machine, is dead if it has been silent for so long
HEARTBEAT_SECONDS, GRACE_SECONDS = 30, 120
CONNECTION: dict[str, Any] = {"connect_args": {"connect_timeout": 4}, "pool_pre_ping": True}
# any number that no other user of advisory locks in the database has
LOCK = 0x6D6C70
KEY = "hydra.sweeper.storage"


@cache
def backend(url: str) -> BaseStorage:
    """Open a storage, which is made if it is a SQLite file that doesn't exist. Raises Unreachable, NotWritable or Corrupt."""
    try:
        with errors(url):
            if sqlite.ensure(url, _schema):
                return _with_heartbeats(url)
            with claim(url):  # the tables are made by one
                return _with_heartbeats(url, CONNECTION)
    except RuntimeError as error:  # another version's tables
        raise Corrupt(f"{KEY} {url}: {error}") from error


def _with_heartbeats(url: str, connection: dict[str, Any] | None = None) -> BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return get_storage(RDBStorage(url, connection, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS))


def _schema(url: str) -> None:
    made = RDBStorage(url)
    made.remove_session()
    made.engine.dispose()


@contextmanager
def errors(url: str) -> Iterator[None]:
    """Raise a database's refusals in the block as errors that a user can act on."""
    try:
        yield
    except ImportError as error:
        raise BadInput([Fault(KEY, url, f"pip install 'mlp-study[postgres]' first: {error}")]) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raise sqlite.fault(error, f"{KEY} {url}") from error
    except KeyError as error:
        if NOT_FOUND_MSG not in error.args:
            raise
        raise Corrupt(f"{KEY} {url}: the study has been deleted meanwhile; the same command begins it anew") from error


@contextmanager
def claim(url: str, study: int = 0) -> Iterator[None]:
    """Hold a lock for the block: one process at a time, for a study of this storage or (0) for the storage itself.

    So no other process counts trials before this one has made its own.
    """
    path = sqlite.path_of(url)
    if path:
        with sqlite.lock(path):
            yield
        return
    # a transaction of its own, so that the lock ends with the connection whatever happens
    with _engine(url).connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key, :study)"), {"key": LOCK, "study": study})
        yield


@cache
def _engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url, **CONNECTION)


def heart(storage: BaseStorage) -> BaseHeartbeat | None:
    """Return the storage as one that takes signs of life, if it does."""
    return storage if isinstance(storage, BaseHeartbeat) and storage.get_heartbeat_interval() is not None else None
