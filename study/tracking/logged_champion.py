"""Finds a study's champion among MLflow's logged models, and reads its files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from study.errors import Corrupt
from study.records.behaviour import Behaviour, from_json
from study.tracking.schema import KIND
from study.tracking.store import PAGE, Store

NAME = "champion"
DESCRIPTION = "MLmodel"  # the file without which it is no model
BEHAVIOUR = "behaviour.json"  # `records.behaviour`


def all_of(store: Store, experiment: str) -> list[LoggedModel]:
    """Return an experiment's champions, those too that are being saved or were left so."""
    models = store.client.search_logged_models([experiment], f"name = '{NAME}'", max_results=PAGE)
    return [model for model in models if model.tags.get(KIND) == NAME]


def ready(store: Store, experiment: str) -> LoggedModel | None:
    return next((model for model in all_of(store, experiment) if model.status == LoggedModelStatus.READY), None)


def files(store: Store, model: LoggedModel) -> list[str]:
    """Return the names of the files and folders at its root."""
    return [file.path for file in repository(store, model).list_artifacts()]


def repository(store: Store, model: LoggedModel) -> Any:
    # by its id, MLflow would look for it in the process's own store
    return get_artifact_repository(model.artifact_location, tracking_uri=store.uri)


def behaviour(store: Store, study: str) -> Behaviour | None:
    """Return the measures of the study's champion; None without one, or for one of an earlier version. Raises Corrupt."""
    experiment = store.experiments().get(study)
    model = ready(store, experiment) if experiment else None
    if model is None or BEHAVIOUR not in files(store, model):
        return None
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder:
        file = repository(store, model).download_artifacts(BEHAVIOUR, folder)
        try:
            return from_json(Path(file).read_text("utf-8"))
        except ValueError as error:
            raise Corrupt(f"{model.artifact_location}/{BEHAVIOUR}: {error}") from error
