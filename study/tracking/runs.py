"""The runs of trials and of their replicates as MLflow has them, finished or not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.tracking import artifacts, reader
from study.tracking.inspection import CURVES
from study.tracking.names import CONVERGENCE, EPOCH, EVIDENCE, FINGERPRINT, KIND, REASON, REPLICATE, TRIAL, VERDICT
from study.tracking.store import Store

SEED = "seed."


@dataclass(frozen=True)
class Replicate:
    """A replicate's run. trial_run: its trial's; epoch: the kept one; seeds: by source; metrics: the last of each.

    Texts are empty where nothing is known.
    """

    run_id: str
    trial_run: str
    name: str
    number: int
    status: str
    label: str
    fingerprint: str
    epoch: int | None
    seeds: dict[str, int]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A trial's run. number: in its study, None for a single trial; labels: of its replicates; started: in ms since 1970."""

    run_id: str
    study: str
    number: int | None
    name: str
    status: str
    started: int
    settings: dict[str, str]
    metrics: dict[str, float]
    verdict: str
    evidence: list[str]
    labels: str
    reason: str
    replicates: list[Replicate]


def load(store: Store, run_id: str) -> Trial | Replicate:
    """The trial or the replicate that a run is of. Raises BadInput for any other run."""
    run = reader.load_run(store, run_id)
    match run.data.tags.get(KIND):
        case "trial":
            return _trial(store, run)
        case "replicate":
            return _replicate(run)
    raise BadInput([Fault("RUN", run_id, "a trial's or a replicate's run")])


def replicates(store: Store, study: str) -> list[Replicate]:
    """All replicates of a study; none if MLflow has no such study."""
    experiment = store.experiments().get(study)
    return list(_replicates(store, f"tags.`{KIND}` = 'replicate'", experiment)) if experiment else []


def curves(store: Store, run_id: str) -> dict[str, Array]:
    """A trial's curves, as `artifacts.read_curves` gives them. Raises BadInput for no run, Corrupt for damaged artifacts."""
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
        return artifacts.read_curves(reader.trial_files(store, reader.load_run(store, run_id), name))


def history(store: Store, run_id: str) -> dict[str, list[float]]:
    """What is logged of a replicate's losses, in the order of the epochs: of trials too that keep no files."""
    found = {}
    for key in CURVES:
        points = sorted(store.client.get_metric_history(run_id, key), key=lambda point: point.step)
        found[key] = [float(point.value) for point in points]
    return found


def _trial(store: Store, run: Run) -> Trial:
    tags = run.data.tags
    wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.info.run_id}'"
    return Trial(
        run_id=run.info.run_id,
        study=store.client.get_experiment(run.info.experiment_id).name,
        number=int(tags[TRIAL]) if TRIAL in tags else None,
        name=run.info.run_name,
        status=run.info.status,
        started=run.info.start_time,
        settings=dict(run.data.params),
        metrics=dict(run.data.metrics),
        verdict=tags.get(VERDICT, ""),
        evidence=tags.get(EVIDENCE, "").splitlines(),
        labels=tags.get(CONVERGENCE, ""),
        reason=tags.get(REASON, ""),
        replicates=sorted(_replicates(store, wanted, run.info.experiment_id), key=lambda each: each.number),
    )


def _replicates(store: Store, wanted: str, experiment: str) -> Iterator[Replicate]:
    return (_replicate(run) for run in store.search(wanted, experiment))


def _replicate(run: Run) -> Replicate:
    tags: dict[str, Any] = run.data.tags
    return Replicate(
        run_id=run.info.run_id,
        trial_run=tags[MLFLOW_PARENT_RUN_ID],
        name=run.info.run_name,
        number=int(tags[REPLICATE]),
        status=run.info.status,
        label=tags.get(CONVERGENCE, ""),
        fingerprint=tags.get(FINGERPRINT, ""),
        epoch=int(tags[EPOCH]) if EPOCH in tags else None,
        seeds={key.removeprefix(SEED): int(value) for key, value in run.data.params.items() if key.startswith(SEED)},
        metrics=dict(run.data.metrics),
    )
