"""What must hold of a study's records when its command has ended, whatever happened to its processes on the way."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from study import sqlite
from study.search import attributes, records
from study.search.mirror import place_of
from study.tracking import artifacts, spool
from study.tracking.schema import KIND, REPLICATE, TRIAL

PARENT = "mlflow.parentRunId"
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
PAGE = 1_000


@dataclass(frozen=True)
class Verified:
    """params: of the counted trials, in the order of their places; values: how many points their curves have."""

    params: list[dict[str, Any]]
    values: int


def verify(folder: Path, study: str, n: int) -> Verified:
    """Fails unless the folder's databases hold exactly `n` ended trials of the study, each with its runs, curves and files."""
    for name in ("optuna.db", "mlflow.db"):
        with closing(sqlite3.connect(folder / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), name
    assert list((folder / spool.FOLDER).iterdir()) == [], "a trial waits in the spool"

    found = optuna.load_study(study_name=study, storage=sqlite.url_of(folder / "optuna.db")).get_trials()
    assert [trial.number for trial in found if not trial.state.is_finished()] == []
    counted = sorted((trial for trial in found if _counts(trial)), key=place_of)
    assert [place_of(trial) for trial in counted] == list(range(n))

    client = MlflowClient(sqlite.url_of(folder / "mlflow.db"))
    runs = _runs(client, study)
    assert [run.info.run_name for run in runs if run.info.status == "RUNNING"] == []
    values, whole = 0, set()
    for trial in counted:
        run_id, status = trial.user_attrs.get(attributes.RUN_ID), STATUS[trial.state]
        its = [each for each in runs if each.data.tags.get(TRIAL) == str(trial.number) and each.info.status == status]
        if run_id is None and trial.state == TrialState.FAIL and not its:  # it failed before it had a run
            continue
        [run] = its
        # the study doesn't know the run of a trial whose writer ended before it had made it
        assert run_id in (None, run.info.run_id)
        children = [each for each in runs if each.data.tags.get(PARENT) == run.info.run_id]
        first, count = (int(run.data.params[f"replicates.{key}"]) for key in ("first", "count"))
        assert sorted(int(each.data.tags[REPLICATE]) for each in children) == list(range(first, first + count))
        assert {each.info.status for each in children} == {status}
        if trial.state == TrialState.COMPLETE:
            whole |= {run.info.run_id, *(each.info.run_id for each in children)}
            epochs = list(range(1, int(run.data.params["training.epochs"]) + 1))
            values += sum(_curve_points(client, each, epochs) for each in children)
            artifacts.check(Path(unquote(urlsplit(run.info.artifact_uri).path)))
    finished = {each.info.run_id for each in runs if each.info.status == "FINISHED" and each.data.tags.get(KIND) != "study"}
    assert finished == whole, "a finished run is none of a counted trial's"
    assert Counter(each.data.tags.get(KIND) for each in runs)["study"] <= 1
    return Verified([trial.params for trial in counted], values)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.FAIL or not trial.user_attrs[attributes.REASON].startswith(records.UNCOUNTED)


def _runs(client: MlflowClient, study: str) -> list[Run]:
    experiment, found, token = client.get_experiment_by_name(study), [], None
    assert experiment
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _curve_points(client: MlflowClient, run: Run, epochs: list[int]) -> int:
    """Fails unless both curves have each epoch once; returns how many points they have."""
    for key in ("train_loss", "val_loss"):
        steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
        assert sorted(steps) == epochs, f"{run.info.run_name}: {key}"
    return 2 * len(epochs)
