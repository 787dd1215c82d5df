"""Opening an MLflow store, and what concerns a whole study in it."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

# read by MLflow at its import
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_TRUNCATE_LONG_VALUES", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# again after 0, 2, 6, 14, 30, 62 and 126 s: longer than a server takes to start again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from study import locations, sqlite
from study.errors import BadInput, Fault
from study.tracking import descriptions, views
from study.tracking.schema import KIND, REASON

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.WARNING)
# what it logs, with a traceback, it raises too
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

PAGE = 1_000


@dataclass(frozen=True)
class Store:
    """An MLflow store that answers."""

    client: MlflowClient
    uri: str

    @property
    def remote(self) -> bool:
        """Whether it is a server, whose answers can get lost."""
        return sqlite.path_of(self.uri) is None

    def experiments(self) -> dict[str, str]:
        """The name of every experiment, with its id."""
        return {each.name: str(each.experiment_id) for each in _pages(self.client.search_experiments)}

    def search(self, wanted: str, experiment: str | None = None, order: Sequence[str] = ()) -> Iterator[Run]:
        """The runs that MLflow's expression describes, in one experiment or in all, by pages."""
        experiments = [experiment] if experiment else list(self.experiments().values())
        return _pages(partial(self.client.search_runs, experiments, wanted, order_by=list(order)))

    def runs(self, tag: str, value: str, experiment: str | None = None) -> list[Run]:
        """The runs with this tag, in one experiment or in all."""
        return list(self.search(f"tags.`{tag}` = '{value}'", experiment))

    def end(self, run_id: str, status: str, reason: str | None = None) -> None:
        """Ends a run, and says why, if there is a reason."""
        if reason:
            self.client.set_tag(run_id, REASON, reason)
        self.client.set_terminated(run_id, status)

    def drop(self, run_id: str) -> None:
        """Deletes a run that was made twice."""
        self.end(run_id, "KILLED")
        self.client.delete_run(run_id)

    def experiment(self, name: str, settings: Sequence[str] = views.SETTINGS) -> str:
        """The experiment's id; made at first use, with its artifacts under ./mlruns if the store is a local database.

        settings: the parameters that get a column in the UI's runs table, as `page` opens it.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            local = sqlite.path_of(self.uri)
            location = (local.parent / "mlruns" / locations.file_name(name)).as_uri() if local else None
            try:
                tags = EXPERIMENT_TAGS | views.tags(settings)
                created: str = self.client.create_experiment(name, artifact_location=location, tags=tags)
                self.client.set_experiment_tag(created, MLFLOW_RUN_NOTE, descriptions.of_experiment(created))
                return created
            except MlflowException:
                found = self.client.get_experiment_by_name(name)  # made by another process since we looked
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise BadInput([Fault("study_name", name, "another name, or restore the deleted MLflow experiment of this name")])
        return str(found.experiment_id)

    def page(self, experiment: str) -> str:
        """The experiment's page in the UI, below the server's address: the runs table, best trial first."""
        return f"/{views.page(experiment)}"

    def log_study(self, experiment: str, name: str, tags: Mapping[str, str], texts: Mapping[str, str], files: Sequence[str]) -> str:
        """The study's own run, kept up to date: one an experiment."""
        if not self.runs(KIND, "study", experiment):
            self.client.create_run(experiment, run_name=f"study {name}", tags=origin() | {KIND: "study"})
        # another process may have made one too, or the server two when its first answer got lost: all keep the same one
        run, *more = sorted(self.runs(KIND, "study", experiment), key=lambda each: (each.info.start_time, each.info.run_id))
        for each in more:
            self.drop(each.info.run_id)
        note = {MLFLOW_RUN_NOTE: descriptions.of_study(name, experiment, tags, texts, files)}
        self.client.log_batch(run.info.run_id, tags=[RunTag(key, text) for key, text in (note | dict(tags)).items()])
        # all trials have the same data
        for trial in self.client.search_runs([experiment], f"tags.`{KIND}` = 'trial'", max_results=1):
            self.client.log_inputs(run.info.run_id, trial.inputs.dataset_inputs if trial.inputs else [])
        for file, text in texts.items():
            self.client.log_text(run.info.run_id, text, file)
        for path in files:
            self.client.log_artifact(run.info.run_id, path)
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)


EXPERIMENT_TAGS = {
    # without it the UI opens the experiment as one of traces and prompts
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "val_loss_mean",
}


def origin() -> dict[str, str]:
    """The tags of a run that say who has made it, with what."""
    return {MLFLOW_SOURCE_NAME: "mlp-study", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """All that a search of MLflow's client finds, which it gives by pages."""
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def connect(uri: str) -> Store:
    """Opens the store as `open_store` does. Raises Unreachable if a server doesn't answer within seconds."""
    locations.check(uri)
    return open_store(uri)


@cache
def open_store(uri: str) -> Store:
    """Opens the store, which is created if it is a SQLite database that doesn't exist yet; waits for a server that is away.

    Raises Unreachable, NotWritable or Corrupt.
    """
    sqlite.ensure(uri, _schema)
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # the database's own reach us as they are from here
        raise sqlite.fault(error, f"tracking.uri {uri}") from error
    return Store(client, uri)


def existing(uri: str) -> Store:
    """Opens a store that has been written to. Raises BadInput if it is a database that doesn't exist."""
    path = sqlite.path_of(uri)
    if path and not path.exists():
        raise BadInput([Fault("tracking.uri", uri, f"a store that holds runs; there is no {path}")])
    return connect(uri)


def _schema(url: str) -> None:
    # the store itself and not a client, which would keep a connection to the file under its draft's name
    SqlAlchemyStore(url, "mlruns").engine.dispose()  # type: ignore[no-untyped-call]
