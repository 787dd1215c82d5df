"""Tracked networks, read back."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from mlflow.utils.uri import is_local_uri

from study.analysis import fingerprints, similarity
from study.analysis.similarity import Searchable
from study.errors import BadInput, Corrupt, Fault
from study.records.network import Network
from study.records.tracked import TrackedNetwork, TrackedTrial
from study.tracking import artifacts
from study.tracking.names import CONVERGENCE, FINGERPRINT, KIND, REPLICATE, SEARCHABLE, TRIAL
from study.tracking.store import Store


@dataclass(frozen=True)
class RecordedReplicate:
    """A replicate by its number, as its run and its trial's artifacts tell it."""

    number: int
    run_id: str
    fingerprint: str
    network: Network


@dataclass(frozen=True)
class RecordedTrial:
    """What trains a run again: its trial's settings, as `spec.build` takes them, and what it was trained with and gave."""

    run_id: str
    config: dict[str, Any]
    environment: dict[str, str]
    replicates: list[RecordedReplicate]


def load_recorded(store: Store, run_id: str) -> RecordedTrial:
    """The record of a trial's run, or what it tells of one replicate. Raises as `load_networks` does."""
    trial, wanted = _trial_and_replicates(store, run_id)
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        folder = trial_files(store, trial, name)
        config, networks, _, _ = artifacts.read_trained(folder)
        environment = artifacts.read_environment(folder)
    if not wanted:
        raise Corrupt(f"run {run_id}: its {len(networks)} replicates have no runs")
    replicates = [
        RecordedReplicate(
            number=_number(child),
            run_id=child.info.run_id,
            fingerprint=child.data.tags.get(FINGERPRINT, ""),
            network=networks[_place(trial, child, len(networks))],
        )
        for child in wanted
    ]
    return RecordedTrial(run_id, config, environment, replicates)


def load_networks(store: Store, run_id: str) -> list[TrackedNetwork]:
    """The network of a replicate's run, or all the networks of a trial's run.

    Raises BadInput for a run that is absent or holds no networks, and Corrupt for damaged artifacts.
    """
    trial, wanted = _trial_and_replicates(store, run_id)
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        folder = trial_files(store, trial, name)
        config, networks, predictions, targets = artifacts.read_trained(folder)
        # those of before 2026-11 have none that can be read
        curves = artifacts.read_curves(folder) if (folder / artifacts.CURVES).exists() else {}
    places = [_place(trial, child, len(networks)) for child in wanted]
    study = store.client.get_experiment(trial.info.experiment_id).name
    for child, place in zip(wanted, places, strict=True):
        if child.data.tags.get(FINGERPRINT) != fingerprints.digest(networks[place]):
            raise Corrupt(f"run {child.info.run_id}: its weights aren't those that it has the fingerprint of")
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
            network=networks[place],
            predictions=predictions[place],
            target=targets[place],
            curves={name: curves[name][place] for name in ("train_loss", "val_loss") if curves},
            study=study,
        )
        for child, place in zip(wanted, places, strict=True)
    ]


def _trial_and_replicates(store: Store, run_id: str) -> tuple[Run, list[Run]]:
    """The finished trial that a run is or belongs to, and the replicates' runs that it stands for."""
    run = load_run(store, run_id)
    kind = run.data.tags.get(KIND)
    if kind == "replicate":
        trial, wanted = load_run(store, run.data.tags[MLFLOW_PARENT_RUN_ID]), [run]
    elif kind == "trial":
        trial, wanted = run, sorted(store.runs(MLFLOW_PARENT_RUN_ID, run_id, run.info.experiment_id), key=_number)
    else:
        raise BadInput(
            [Fault("RUN", run_id, "the id of a trial's or a replicate's run, as `mlp-study show` and the MLflow UI list")]
        )
    if trial.info.status != "FINISHED":
        raise BadInput([Fault("RUN", run_id, f"a run whose trial is finished; this one is {trial.info.status}")])
    return trial, wanted


def load_searchable(store: Store, run_id: str) -> Searchable:
    """The searchable fingerprint of a replicate's run. Raises BadInput for a run without one."""
    text = load_run(store, run_id).data.tags.get(SEARCHABLE)
    if text is None:
        raise BadInput([Fault("RUN", run_id, "the run of a replicate that has a searchable fingerprint (tag `searchable`)")])
    return similarity.decode(text)


def describe(store: Store, run_id: str) -> dict[str, str]:
    """What tells a replicate's run from others, in words."""
    run = load_run(store, run_id)
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
    run = load_run(store, run_id)
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        folder = trial_files(store, run, name)
        curves = artifacts.read_curves(folder)
        _, targets = artifacts.read_predictions(folder)
        numbers = [int(number) for number in curves["replicate"]]
        return TrackedTrial(numbers, curves["train_loss"], curves["val_loss"], targets[0], artifacts.read_comparison(folder))


def run_of(store: Store, study: str, number: int) -> str | None:
    """The finished run of a study's trial; None if there is none."""
    experiment = store.experiments().get(study)
    wanted = f"tags.`{TRIAL}` = '{number}' AND tags.`{KIND}` = 'trial' AND attributes.status = 'FINISHED'"
    return next((str(run.info.run_id) for run in store.search(wanted, experiment)), None) if experiment else None


def trial_files(store: Store, trial: Run, folder: str) -> Path:
    """A trial's artifacts, checked: where they lie if that is on this machine, else copied into `folder`.

    In place, since MLflow's own copy of a folder follows every link in it; and from elsewhere only what a trial's files are called.
    """
    run, uri = trial.info.run_id, trial.info.artifact_uri
    found = Path(folder)
    try:
        if local := local_folder(uri):
            found = local
        else:
            for each in store.client.list_artifacts(run):
                if each.path in artifacts.FILES and not each.is_dir:
                    store.client.download_artifacts(run, each.path, folder)
    except (MlflowException, OSError) as error:
        raise Corrupt(f"run {run}: its artifacts can't be read: {error}") from error
    artifacts.check(found)
    return found


def local_folder(uri: str) -> Path | None:
    """Where a run's artifacts lie, by their address, if that is on this machine."""
    if is_local_uri(uri, is_tracking_or_registry_uri=False):  # type: ignore[no-untyped-call]
        return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]
    return None


def load_run(store: Store, run_id: str) -> Run:
    """A run that isn't deleted. Raises BadInput if there is none."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        raise BadInput([Fault("RUN", run_id, f"the id of a run in {store.uri}")]) from error
    if run.info.lifecycle_stage != "active":
        raise BadInput([Fault("RUN", run_id, "a run that isn't deleted")])
    return run


def _number(run: Run) -> int:
    return int(run.data.tags[REPLICATE])


def _place(trial: Run, child: Run, count: int) -> int:
    """Which of a trial's `count` networks a replicate's run is of."""
    place = _number(child) - int(trial.data.params["replicates.first"])
    if not 0 <= place < count:
        raise Corrupt(f"run {child.info.run_id}: its trial's artifacts have {count} networks, and none is its own")
    return place
