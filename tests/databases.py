"""Fresh databases of MLflow's and Optuna's: one of each kind is migrated in a test run, the others are copies of it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from study import sqlite

Schema = Callable[[str], None]
# the modules whose schema takes up to two seconds
SLOW = ("study.search.storage", "study.tracking.store")


def copying(folder: Path) -> Callable[[Path, Schema], None]:
    """In place of `sqlite._create`. folder: for the databases to copy, each made by the first process that needs it."""
    create = sqlite._create

    def copy(path: Path, schema: Schema) -> None:
        if schema.__module__ not in SLOW:
            create(path, schema)
            return
        template = folder / f"{schema.__module__}.db"
        with sqlite.lock(template):
            if not template.exists():
                create(template, schema)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
        shutil.copy(template, draft)
        draft.rename(path)

    return copy
