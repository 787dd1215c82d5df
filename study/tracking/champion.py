"""A study's champion as an MLflow model of its run, in two flavours.

`mlflow.keras.load_model` loads the Keras model, which takes encoded numbers. `mlflow.pyfunc.load_model` loads, and `mlflow models
predict` uses, one that takes a table's own columns by name (`served`).

It is built by MLflow's client alone, so that the caller's own MLflow, its active run and its address stay as they are.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from study import sqlite
from study.errors import Corrupt
from study.tracking import logged_champion
from study.tracking.logged_champion import NAME
from study.tracking.predicting import INTERVAL
from study.tracking.schema import FINGERPRINT, KIND, parameter
from study.tracking.store import Store, data_of, metrics_of

# where MLflow puts it
FILE = "data/model.keras"
PACKAGES = ("tensorflow", "keras", "numpy", "pandas")
# raised when what is logged means something else: a champion of an earlier one is replaced
FORMAT, VERSION = "mlp_study.format", "6"
# the modules of mlp-study that are logged with it, in a package of their own: another mlp-study may be installed beside them
CODE = (
    "errors.py",
    "settings/rules.py",
    "records/champion.py",
    *("data/dates.py", "data/number_texts.py", "data/encoding.py"),
    "statistics/conformal.py",
    *("tracking/predicting.py", "tracking/served.py"),
)
PACKAGE = f"mlp_study_champion_{VERSION}"


@dataclass(frozen=True)
class Column:
    """A column that a champion takes. text: not numbers or truth values; optional: it had gaps in training; example: a few rows."""

    name: str
    text: bool
    optional: bool
    example: Sequence[Any]


@dataclass(frozen=True)
class Champion:
    """A Keras model, and its description for users.

    columns: its inputs as a table has them; gives: the columns of its predictions, with MLflow's types. fingerprint: of its
    networks, stacked; params: their settings; metadata: kept in the model itself, where `predicting` finds how columns become
    inputs; note: in Markdown; files: texts that are kept beside it, by name.
    """

    model: Any
    columns: Sequence[Column]
    gives: Mapping[str, str]
    fingerprint: str
    params: Mapping[str, str]
    metadata: Mapping[str, Any]
    note: str
    files: Mapping[str, str]


def kept(store: Store, study: str, fingerprint: str) -> str | None:
    """Return the id of the study's champion if it has its files, is of this version, and its networks have this fingerprint."""
    models = [model for model in logged_champion.all_of(store, store.experiments()[study]) if _is(model, fingerprint)]
    return next((model.model_id for model in models if _has_files(store, model)), None)


def lost(store: Store, experiment: str) -> str | None:
    """Return where the files of an experiment's champion were, if they are gone."""
    ready = logged_champion.ready(store, experiment)
    return str(ready.artifact_location) if ready and not _has_files(store, ready) else None


def keep(store: Store, study: str, champion: Champion) -> str:
    """Make it the study's champion, in place of another one, and an output of the study's run; return its model's id.

    Raises StudyError for any failure: each kind of artifact store has errors of its own.
    """
    try:
        experiment = store.experiments()[study]
        return _keep(store, experiment, store.study_run(experiment, study).info.run_id, champion)
    except Exception as error:
        raise sqlite.fault(error, f"tracking.uri {store.uri}") from error


@contextmanager
def opened(store: Store, study: str) -> Iterator[tuple[Path, dict[str, Any]] | None]:
    """Give the study's champion for the block: its Keras model's file, and its metadata; None if it has none.

    Raises StudyError as `keep` does, and Corrupt if its files are gone.
    """
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder:
        try:
            experiment = store.experiments().get(study)
            ready = logged_champion.ready(store, experiment) if experiment else None
            if ready and not _has_files(store, ready):
                raise Corrupt(f"{ready.artifact_location}: the champion's files are gone; launch study {study} again to save it")
            if ready:
                logged_champion.repository(store, ready).download_artifacts("", folder)
                metadata = Model.load(folder).metadata or {}
        except Corrupt:
            raise
        except Exception as error:
            raise sqlite.fault(error, f"tracking.uri {store.uri}") from error
        yield (Path(folder, FILE), metadata) if ready else None


def _keep(store: Store, experiment: str, run: str, champion: Champion) -> str:
    client = store.client
    # one whose process was killed stays pending, and is deleted too
    others = logged_champion.all_of(store, experiment)
    tags = {KIND: NAME, FORMAT: VERSION, FINGERPRINT: champion.fingerprint, MLFLOW_RUN_NOTE: champion.note}
    params = {key: parameter(text) for key, text in champion.params.items()}
    made = client.create_logged_model(experiment, NAME, run, tags=tags, params=params, model_type="mlp")
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder:
        _save(champion, made, folder)
        client.log_model_artifacts(made.model_id, folder)
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.log_outputs(run, [LoggedModelOutput(made.model_id, 0)])
    client.log_batch(run, metrics=_metrics(client.get_run(champion.metadata["run_id"]), run, made.model_id))
    for other in others:
        client.delete_logged_model(other.model_id)
    return str(made.model_id)


def _metrics(best: Run, study: str, model: str) -> list[Metric]:
    """Return the metrics of the best trial's run for the champion, with the data they were measured on. study: its run's id."""
    used = data_of(best)
    name, digest = (used.name, used.digest) if used else (None, None)
    return [Metric(known.key, known.value, known.timestamp, known.step, model, name, digest, study) for known in metrics_of(best)]


def _save(champion: Champion, made: LoggedModel, folder: str) -> None:
    """Write the files from which MLflow loads a model. made: the model's entry in the store."""
    model = Model(artifact_path=made.artifact_location, run_id=made.source_run_id, model_uuid=made.model_id, model_id=made.model_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, at its import, about type hints of its own
        from mlflow import keras, pyfunc  # which import Keras; the caller has it already

        keras.save_model(
            champion.model,
            folder,
            mlflow_model=model,
            signature=ModelSignature(Schema([TensorSpec(np.dtype(float), (-1, champion.model.input_shape[1]))])),
            input_example=pd.DataFrame({column.name: column.example for column in champion.columns}),
            # MLflow would find them by loading the model in another process
            pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
            metadata=dict(champion.metadata),
        )
        # MLflow's own takes a DataFrame's columns in any order
        flavor = model.flavors[pyfunc.FLAVOR_NAME] | {"loader_module": f"{PACKAGE}.tracking.served", "data": "data", "code": "code"}
        model.add_flavor(pyfunc.FLAVOR_NAME, **flavor)
        model.signature = _signature(champion)
        model.save(str(Path(folder, logged_champion.DESCRIPTION)))
    save_code(Path(folder, "code", PACKAGE), CODE)
    for name, text in champion.files.items():
        Path(folder, name).write_text(text, "utf-8")


def _signature(champion: Champion) -> ModelSignature:
    """Numbers and truth values are of any type, and `predicting` checks them: MLflow refuses whole numbers (int64) for doubles, and
    reads a missing truth value as true.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]
    takes = [ColSpec("string" if column.text else anything, column.name, not column.optional) for column in champion.columns]
    gives = Schema([ColSpec(kind, name) for name, kind in champion.gives.items()])
    return ModelSignature(Schema([*takes]), gives, ParamSchema([ParamSpec(INTERVAL, "double", 0.0)]))


def save_code(package: Path, modules: Iterable[str]) -> None:
    """Write modules of mlp-study, such as CODE, as a package of their own, this folder."""
    for name in modules:
        text, file = Path(__file__).parents[1].joinpath(name).read_text("utf-8"), package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # not empty: such a file is uploaded in chunks, which not every proxy before a server takes
        (file.parent / "__init__.py").write_text('"""Part of an mlp-study champion."""\n', "utf-8")
        file.write_text(text.replace("from study.", f"from {package.name}."), "utf-8")


def _has_files(store: Store, model: LoggedModel) -> bool:
    return logged_champion.DESCRIPTION in logged_champion.files(store, model)


def _is(model: LoggedModel, fingerprint: str) -> bool:
    tags = {FORMAT: VERSION, FINGERPRINT: fingerprint}
    return bool(model.status == LoggedModelStatus.READY and tags.items() <= model.tags.items())
