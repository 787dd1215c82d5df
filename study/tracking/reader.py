"""Tracked networks, read back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study import artifacts, searchable
from study.errors import BadInput, Corrupt, Fault
from study.records import TrackedNetwork, TrackedTrial
from study.searchable import Searchable
from study.tracking.names import CONVERGENCE, FINGERPRINT, KIND, REPLICATE, SEARCHABLE
from study.tracking.store import Store


def load_networks(store: Store, run_id: str) -> list[TrackedNetwork]:
    """The network of a replicate's run, or all the networks of a trial's run.

    Raises BadInput for a run that is absent or holds no networks, and Corrupt for damaged artifacts.
    """
    run = _run(store, run_id)
    kind = run.data.tags.get(KIND)
    if kind == "replicate":
        trial, wanted = _run(store, run.data.tags[MLFLOW_PARENT_RUN_ID]), [run]
    elif kind == "trial":
        found = store.client.search_runs(
            [run.info.experiment_id], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'", max_results=50_000
        )
        trial, wanted = run, sorted(found, key=_number)
    else:
        raise BadInput(
            [Fault("RUN", run_id, "the id of a trial's or a replicate's run, as `mlp-study show` and the MLflow UI list")]
        )
    if trial.info.status != "FINISHED":
        raise BadInput([Fault("RUN", run_id, f"a run whose trial is finished; this one is {trial.info.status}")])
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        folder = _artifacts(store, trial, name)
        networks = artifacts.read_networks(folder)
        predictions, targets = artifacts.read_predictions(folder)
        config = artifacts.read_config(folder)
    first = int(trial.data.params["replicates.first"])
    return [
        TrackedNetwork(
            run_id=child.info.run_id,
            name=child.info.run_name,
            config=config,
            settings=dict(trial.data.params),
            seeds={key: value for key, value in child.data.params.items() if key.startswith("seed.")},
            fingerprint=child.data.tags.get(FINGERPRINT, ""),
            label=child.data.tags.get(CONVERGENCE, ""),
            train_loss=child.data.metrics.get("train_loss", float("nan")),
            val_loss=child.data.metrics.get("val_loss", float("nan")),
            network=networks[_number(child) - first],
            predictions=predictions[_number(child) - first],
            target=targets[_number(child) - first],
        )
        for child in wanted
    ]


def load_searchable(store: Store, run_id: str) -> Searchable:
    """The searchable fingerprint of a replicate's run. Raises BadInput for a run without one."""
    text = _run(store, run_id).data.tags.get(SEARCHABLE)
    if text is None:
        raise BadInput([Fault("RUN", run_id, "the run of a replicate that has a searchable fingerprint (tag `searchable`)")])
    return searchable.decode(text)


def describe(store: Store, run_id: str) -> dict[str, str]:
    """What tells a replicate's run from others, in words."""
    run = _run(store, run_id)
    return {
        "run": run_id,
        "study": store.client.get_experiment(run.info.experiment_id).name,
        "name": run.info.run_name,
        "val loss": f"{run.data.metrics.get('val_loss', float('nan')):.4g}",
        "convergence": run.data.tags.get(CONVERGENCE, ""),
        "fingerprint": run.data.tags.get(FINGERPRINT, "")[:16],
    }


def load_trial(store: Store, run_id: str) -> TrackedTrial:
    """What the run of a finished trial keeps besides its networks. Raises BadInput for no run, Corrupt for damaged artifacts."""
    run = _run(store, run_id)
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        folder = _artifacts(store, run, name)
        curves = artifacts.read_curves(folder)
        _, targets = artifacts.read_predictions(folder)
        numbers = [int(number) for number in curves["replicate"]]
        return TrackedTrial(numbers, curves["train_loss"], curves["val_loss"], targets[0], artifacts.read_comparison(folder))


def _artifacts(store: Store, trial: Run, folder: str) -> Path:
    """A trial's artifacts in a local folder, checked."""
    try:
        found = Path(store.client.download_artifacts(trial.info.run_id, "", folder))
    except (MlflowException, OSError) as error:
        raise Corrupt(f"run {trial.info.run_id}: its artifacts can't be read: {error}") from error
    artifacts.check(found)
    return found


def _run(store: Store, run_id: str) -> Run:
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        raise BadInput([Fault("RUN", run_id, f"the id of a run in {store.uri}")]) from error
    if run.info.lifecycle_stage != "active":
        raise BadInput([Fault("RUN", run_id, "a run that isn't deleted")])
    return run


def _number(run: Run) -> int:
    return int(run.data.tags[REPLICATE])
