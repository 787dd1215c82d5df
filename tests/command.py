"""The real command in a test's folder, and what it has left in MLflow there."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from study import locations, processes
from study.cli.program import main
from study.search import storage, stored
from study.settings import scorers
from study.tracking import spool

# the owner of what a process left that is gone
DEAD = f"{processes.host()}:4194305:1"


def run(*arguments: str) -> int:
    """The command's exit code."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        with pytest.MonkeyPatch.context() as patch:
            # what a command line allows, it allows for its own process
            patch.setattr(scorers, "_allowed", dict.fromkeys(scorers.allowed()))
            patch.setenv(scorers.VARIABLE, os.environ.get(scorers.VARIABLE, ""))
            main(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        # Hydra's logging puts handlers of its own in place of those that are there, and their streams end with the test
        for each in root.handlers:
            if each not in before:
                each.close()
        root.handlers[:] = before
        root.setLevel(level)
    return 0


def client() -> MlflowClient:
    return MlflowClient(locations.tracking_uri(None))


def runs_of(kind: str) -> list:
    """The runs of this kind of the study named tiny."""
    experiment = client().get_experiment_by_name("tiny")
    return client().search_runs([experiment.experiment_id], f"tags.`mlp_study.kind` = '{kind}'", order_by=["attributes.run_name"])


def ran(folder: Path, *arguments: str, code: int = 0) -> Path:
    """The folder, after the command has run there and all its records are in MLflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(*arguments) == code
        spool.writer(locations.tracking_uri(None)).drain()
    return folder


def forget() -> None:
    """What a new process hasn't seen: Optuna keeps studies and finished trials in memory."""
    for cached in (stored.load, stored.mirror_of, storage.backend):
        cached.cache_clear()
