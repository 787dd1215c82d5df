"""In what order the tests run, and what they share that takes seconds to make."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from study import sqlite
from study.tracking import spool
from tests import configs, databases, writers

# files of ten seconds or more, the longest first: one that was begun last would be left to one process
FIRST = (
    "bad_input",
    "next_cases",
    "engine",
    "training",
    "conformance",
    "champion",
    "search",
    "precedence",
    "table_reading",
    "study",
    "command_line",
    "secrets",
    "report",
    "malicious",
    "ranking",
    "doctor",
    "factor",
    "commands",
    "deciding",
    "examination",
    "prediction",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(FIRST)}
    # the sort is stable: within a file, and among all others, the order stays
    items.sort(key=lambda item: places.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In this process, fresh databases are copies, configs are parsed once and writers are forked; others are as a user's are."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which all processes of the run have
    nursery = writers.Nursery(folder)
    gc.set_threshold(50_000, 20, 50)  # looking through all that TensorFlow and MLflow keep takes a tenth of the time
    forked = type("Forked", (writers.Forked,), {"nursery": nursery})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "_create", databases.copying(folder))
        patch.setattr(configs.source(), "load_config", configs.parsing_once())
        if sys.platform == "linux":  # elsewhere no process can be given another's children
            patch.setattr(spool, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": forked}))
        yield
    nursery.close()


@pytest.fixture(scope="session")
def fresh_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an mlflow.db and an optuna.db without a trial."""
    from study.search import storage
    from study.tracking import store

    folder = tmp_path_factory.mktemp("fresh")
    sqlite.ensure(sqlite.url_of(folder / "optuna.db"), storage._schema)
    sqlite.ensure(sqlite.url_of(folder / "mlflow.db"), store._schema)
    return folder


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
