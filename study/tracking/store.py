"""Opens an MLflow store, and keeps a study's experiment and its own run."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

# read by MLflow at its import
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_TRUNCATE_LONG_VALUES", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# tries again after 0, 2, 6, 14, 30, 62 and 126 s: longer than a server takes to restart
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

from study import collector, locations, sqlite
from study.errors import BadInput, Fault
from study.tracking import commit, descriptions, relocation, schema, views
from study.tracking.schema import KILLED, KIND, OF_STUDY, OF_TRIAL, REASON, TRIAL, VAL_LOSS_MEAN, TrialRun

with collector.held():
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Metric, Param, Run, RunTag, ViewType
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.mlflow_tags import (
        MLFLOW_GIT_COMMIT,
        MLFLOW_GIT_DIRTY,
        MLFLOW_RUN_NOTE,
        MLFLOW_SOURCE_NAME,
        MLFLOW_SOURCE_TYPE,
        MLFLOW_USER,
    )

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.WARNING)
# it raises what it logs with a traceback
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

PAGE = 1_000
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Store:
    """An MLflow store that answers."""

    client: MlflowClient
    uri: str

    @property
    def remote(self) -> bool:
        """Return whether it is a server, whose answers can get lost."""
        return sqlite.path_of(self.uri) is None

    def experiments(self) -> dict[str, str]:
        """Return the id of every experiment by its name."""
        return {experiment.name: str(experiment.experiment_id) for experiment in _pages(self.client.search_experiments)}

    def search(
        self, wanted: str, experiment: str | None = None, order: Sequence[str] = (), view: int = ViewType.ACTIVE_ONLY
    ) -> Iterator[Run]:
        """Yield the runs that match an expression of MLflow's, in one experiment or in all, by pages."""
        experiments = [experiment] if experiment else list(self.experiments().values())
        return _pages(partial(self.client.search_runs, experiments, wanted, view, order_by=list(order)))

    def trial_runs(self, study: str) -> list[TrialRun]:
        """Return the runs of a study's trials, the deleted ones too."""
        experiment = self.client.get_experiment_by_name(study)
        if experiment is None:
            return []
        numbered = self.search(f"tags.`{TRIAL}` LIKE '%'", experiment.experiment_id, view=ViewType.ALL)
        return [TrialRun(run.info.run_id, int(run.data.tags[TRIAL]), run.info.lifecycle_stage == "deleted") for run in numbered]

    def runs(self, tag: str, value: str, experiment: str | None = None) -> list[Run]:
        """Return the runs with this tag, in one experiment or in all."""
        return list(self.search(f"tags.`{tag}` = '{value}'", experiment))

    def end(self, run_id: str, status: str, reason: str | None = None) -> None:
        """End a run, and record the reason, if there is one."""
        if reason:
            twice(partial(self.client.set_tag, run_id, REASON, reason))
        self.client.set_terminated(run_id, status)

    def drop(self, run_id: str) -> None:
        """Delete a run that was made twice."""
        self.end(run_id, KILLED)
        self.client.delete_run(run_id)

    def experiment(self, name: str, settings: Sequence[str] = views.SETTINGS) -> str:
        """Return an experiment's id. It is made at first use, with its artifacts under ./mlruns if the store is a local database.

        settings: the parameters with a column in the UI's runs table, as `page` opens it. Raises BadInput for a deleted experiment.
        """
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            local = sqlite.path_of(self.uri)
            location = (local.parent / "mlruns" / locations.file_name(name)).as_uri() if local else None
            try:
                tags = EXPERIMENT_TAGS | views.tags(settings)
                created: str = self.client.create_experiment(name, artifact_location=location, tags=tags)
                self.client.set_experiment_tag(created, MLFLOW_RUN_NOTE, descriptions.of_experiment(created))
                return created
            except MlflowException:
                experiment = self.client.get_experiment_by_name(name)  # made by another process since we looked
                if experiment is None:
                    raise
        if experiment.lifecycle_stage != "active":
            raise BadInput([Fault("study_name", name, "another name, or restore the deleted MLflow experiment of this name")])
        return str(experiment.experiment_id)

    def page(self, experiment: str) -> str:
        """Return the experiment's page in the UI, below the server's address: the runs table, best trial first."""
        return f"/{views.page(experiment)}"

    def study_run(self, experiment: str, name: str) -> Run:
        """Return the study's own run, the only one in its experiment, which is made if it is missing."""
        found = self.runs(KIND, OF_STUDY, experiment)
        if not found:
            self.client.create_run(experiment, run_name=f"study {name}"[:LONGEST_RUN_NAME], tags=origin() | {KIND: OF_STUDY})
            found = self.runs(KIND, OF_STUDY, experiment)
        # another process may have made one too, or the server two when its first answer got lost: all keep the same one
        run, *others = sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
        for other in others:
            self.drop(other.info.run_id)
        return run

    def log_study(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        texts: Mapping[str, str],
        files: Sequence[str],
    ) -> str:
        """Write the study's own run, the only one in its experiment, with the best trial's metrics; return its id."""
        run = self.study_run(experiment, name)
        note = {MLFLOW_RUN_NOTE: descriptions.of_study(name, experiment, tags, texts, files)}
        run_tags = [RunTag(key, schema.tag(text)) for key, text in (note | dict(tags)).items()]
        # a parameter never changes; runs of earlier versions have none
        run_params = [Param(key, text) for key, text in params.items() if key not in run.data.params]
        metrics = metrics_of(self.client.get_run(best)) if (best := tags.get("best")) else []
        self.client.log_batch(run.info.run_id, metrics, run_params, run_tags)
        self._describe(experiment, tags.get(schema.HEADLINE, ""))
        # all trials have the same data
        for trial in self.client.search_runs([experiment], f"tags.`{KIND}` = '{OF_TRIAL}'", max_results=1):
            self.client.log_inputs(run.info.run_id, trial.inputs.dataset_inputs if trial.inputs else [])
        for file, text in texts.items():
            self.client.log_text(run.info.run_id, text, file)
        for path in files:
            self.client.log_artifact(run.info.run_id, path)
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _describe(self, experiment: str, headline: str) -> None:
        """Let the experiment's description begin with the result, unless a person has written another one."""
        known = self.client.get_experiment(experiment).tags.get(MLFLOW_RUN_NOTE, "")
        if known.endswith(descriptions.of_experiment(experiment).partition("\n\n")[2]):
            self.client.set_experiment_tag(experiment, MLFLOW_RUN_NOTE, descriptions.of_experiment(experiment, headline))


def metrics_of(run: Run) -> list[Metric]:
    """Return the metrics of a trial's run for its study's, but for the curves; the same whenever they are sent."""
    time = run.info.end_time or run.info.start_time
    return [Metric(key, value, time, 0) for key, value in run.data.metrics.items() if key not in schema.CURVES]


def data_of(run: Run) -> Dataset | None:
    """Return the data that are an input of a run; None without."""
    return run.inputs.dataset_inputs[0].dataset if run.inputs and run.inputs.dataset_inputs else None


LONGEST_RUN_NAME = 250  # in MLflow's tables, which PostgreSQL enforces

EXPERIMENT_TAGS = {
    # without it the UI opens the experiment as one of traces and prompts
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": VAL_LOSS_MEAN,
}


def origin() -> dict[str, str]:
    """Return the tags of a run for who made it, and with what."""
    tags = {MLFLOW_SOURCE_NAME: "mlp-study", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}
    if known := commit.commit():
        tags |= {MLFLOW_GIT_COMMIT: known[0], MLFLOW_GIT_DIRTY: str(known[1]).lower()}
    return tags


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield all results of a search of MLflow's client, which returns them by pages."""
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def connect(uri: str) -> Store:
    """Open the store as `open_store` does. Raises Unreachable if a server doesn't answer within seconds."""
    locations.check(uri)
    return open_store(uri)


@cache
def open_store(uri: str, folder: Path | None = None) -> Store:
    """Open the store, which is created if it is a SQLite database that doesn't exist yet; wait for a server that is away.

    folder: of its artifacts, if they don't lie beside the database. Raises Unreachable, NotWritable or Corrupt.
    """
    sqlite.ensure(uri, _schema)
    relocation.relocate(uri, folder)
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # the database's own errors are not MLflow's here
        raise sqlite.fault(error, f"tracking.uri {uri}") from error
    return Store(client, uri)


def existing(uri: str) -> Store:
    """Open a store that has been written to: to be read alone, since of a database that can't be written it opens a copy.

    Raises BadInput if it is a database that doesn't exist.
    """
    path = sqlite.path_of(uri)
    if path and not path.exists():
        raise BadInput([Fault("tracking.uri", uri, f"a store that holds runs; there is no {path}")])
    served = served_at(uri)
    return connect(uri) if served == uri or not path else replace(open_store(served, path.parent), uri=uri)


def served_at(uri: str) -> str:
    """Return where MLflow can open the store of this URI: at a copy, until this process ends, if it can't be written."""
    path = sqlite.path_of(uri)
    return uri if path is None or sqlite.is_writable(path) else sqlite.url_of(sqlite.readable_copy(path))


def _schema(url: str) -> None:
    # the store itself and not a client, which would keep a connection to the file under its draft's name
    SqlAlchemyStore(url, "mlruns").engine.dispose()  # type: ignore[no-untyped-call]


def twice(call: Callable[[], Kept]) -> Kept:
    """Return the result of a call of MLflow's, made again where another driver's writer may have written the same meanwhile."""
    try:
        return call()
    except MlflowException:
        return call()
