"""In what order the tests run, and what they share that takes seconds to make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from study import sqlite
from study.tracking import spool
from tests import writers

# files of a minute or so, which would be left for last, and for one process, if they weren't begun first
FIRST = (
    "conformance",
    "next_cases",
    "bad_input",
    "engine",
    "training",
    "search",
    "study",
    "precedence",
    "champion",
    "table_reading",
    "secrets",
    "report",
    "command_line",
    "malicious",
    "prediction",
    "doctor",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the sort is stable: within a file, and among all others, the order stays
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in FIRST)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh mlflow.db and a fresh optuna.db, made once for all processes of a test run."""
    from study.search import storage
    from study.tracking import store

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases"
    folder.mkdir(exist_ok=True)
    sqlite.ensure(sqlite.url_of(folder / "optuna.db"), storage._schema)
    sqlite.ensure(sqlite.url_of(folder / "mlflow.db"), store._schema)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _made_once(databases: Path) -> Iterator[None]:
    """In this process, fresh databases are copies, and writers are forked; the processes that tests start are as a user's are."""
    from study.search import storage
    from study.tracking import store

    nursery = writers.Nursery(databases / "mlflow.db")
    forked = type("Forked", (writers.Forked,), {"nursery": nursery})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_schema", writers.copying(databases / "optuna.db"))
        patch.setattr(store, "_schema", writers.copying(databases / "mlflow.db"))
        patch.setattr(spool, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": forked}))
        yield
    nursery.close()
