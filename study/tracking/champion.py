"""A study's best network as an MLflow model of its run: `mlflow.keras.load_model` and `mlflow models predict` take it.

It is built by MLflow's client alone, so that the caller's own MLflow, its active run and its address stay as they are.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from study import sqlite
from study.records import Array, Doubles
from study.tracking.names import FINGERPRINT, KIND
from study.tracking.store import PAGE, Store

NAME = "champion"
# where MLflow puts it
FILE = "data/model.keras"
PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Champion:
    """A Keras model, and what tells a user about it.

    example: a few rows that it takes, [n, inputs]; outputs: what it makes of them, [n, outputs]. params: its settings; metadata:
    kept in the model itself; note: in Markdown.
    """

    model: Any
    example: Doubles
    outputs: Array
    fingerprint: str
    params: Mapping[str, str]
    metadata: Mapping[str, Any]
    note: str


def kept(store: Store, study: str, fingerprint: str) -> str | None:
    """The id of the study's champion, if it is the network with this fingerprint."""
    return next((each.model_id for each in _models(store, store.experiments()[study]) if _is(each, fingerprint)), None)


def keep(store: Store, study: str, champion: Champion) -> str | None:
    """Makes it the study's champion, in place of another one; its model's id. None if the study has no run.

    Raises StudyError for whatever prevents it: each kind of artifact store has errors of its own.
    """
    try:
        experiment = store.experiments()[study]
        run = next(iter(store.runs(KIND, "study", experiment)), None)
        return _keep(store, experiment, run.info.run_id, champion) if run else None
    except Exception as error:
        raise sqlite.fault(error, f"tracking.uri {store.uri}") from error


@contextmanager
def opened(store: Store, study: str) -> Iterator[tuple[Path, dict[str, Any]] | None]:
    """The study's champion for the block: its Keras model's file, and its metadata; None if it has none.

    Raises StudyError as `keep` does.
    """
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder:
        try:
            experiment = store.experiments().get(study)
            found = [each for each in _models(store, experiment) if each.status == LoggedModelStatus.READY] if experiment else []
            if found:
                # by its id, MLflow would look for it in the process's own store
                kept_at: Any = get_artifact_repository(found[0].artifact_location, tracking_uri=store.uri)
                kept_at.download_artifacts("", folder)
                metadata = Model.load(folder).metadata or {}
        except Exception as error:
            raise sqlite.fault(error, f"tracking.uri {store.uri}") from error
        yield (Path(folder, FILE), metadata) if found else None


def _keep(store: Store, experiment: str, run: str, champion: Champion) -> str:
    client = store.client
    # one that a process was killed at stays pending, and goes too
    others = _models(store, experiment)
    tags = {KIND: NAME, FINGERPRINT: champion.fingerprint, MLFLOW_RUN_NOTE: champion.note}
    made = client.create_logged_model(experiment, NAME, run, tags=tags, params=dict(champion.params), model_type="mlp")
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder:
        _save(champion, made, folder)
        client.log_model_artifacts(made.model_id, folder)
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.log_outputs(run, [LoggedModelOutput(made.model_id, 0)])
    for each in others:
        client.delete_logged_model(each.model_id)
    return str(made.model_id)


def _save(champion: Champion, made: LoggedModel, folder: str) -> None:
    """Writes what MLflow loads a model from. made: the model's entry in the store."""
    model = Model(artifact_path=made.artifact_location, run_id=made.source_run_id, model_uuid=made.model_id, model_id=made.model_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, at its import, about type hints of its own
        from mlflow import keras  # which imports Keras; the caller has it already

        keras.save_model(
            champion.model,
            folder,
            mlflow_model=model,
            signature=ModelSignature(Schema([_columns(champion.example)]), Schema([_columns(champion.outputs)])),
            input_example=champion.example,
            # told, since MLflow would find them out by loading the model in another process
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
            metadata=dict(champion.metadata),
        )


def _columns(rows: Array) -> TensorSpec:
    return TensorSpec(np.dtype(rows.dtype), (-1, rows.shape[1]))


def _models(store: Store, experiment: str) -> list[LoggedModel]:
    found = store.client.search_logged_models([experiment], f"name = '{NAME}'", max_results=PAGE)
    return [each for each in found if each.tags.get(KIND) == NAME]


def _is(model: LoggedModel, fingerprint: str) -> bool:
    return bool(model.status == LoggedModelStatus.READY and model.tags.get(FINGERPRINT) == fingerprint)
