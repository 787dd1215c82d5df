"""Reads the runs of trials and of their replicates as MLflow has them, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.analysis.motion import Motion
from study.errors import BadInput, Fault
from study.records import tracked
from study.records.arrays import Array
from study.tracking import artifacts, reader, schema
from study.tracking.schema import KIND, OF_REPLICATE, ReplicateTags, TrialTags
from study.tracking.store import Store


@dataclass(frozen=True)
class Replicate:
    """A replicate's run.

    trial_run: the run of its trial; epoch: the one whose weights are kept; seeds: by source; metrics: the last of each. Texts are
    empty where nothing is known.
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
    motion: str = ""


@dataclass(frozen=True)
class Trial:
    """A trial's run.

    number: in its study, None for a single trial; started: in ms since 1970; settings: as MLflow shows them; labels: how many
    replicates have which.
    """

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
    motion: str = ""


def load(store: Store, run_id: str) -> Trial | Replicate:
    """Return the trial or the replicate of a run. Raises BadInput for any other run."""
    run = reader.load_run(store, run_id)
    match run.data.tags.get(KIND):
        case schema.OF_TRIAL:
            return _trial(store, run)
        case schema.OF_REPLICATE:
            return _replicate(run)
    raise BadInput([Fault("RUN", run_id, "a trial's or a replicate's run")])


def replicates(store: Store, study: str) -> list[Replicate]:
    """Return all replicates of a study; none if MLflow has no such study."""
    experiment = store.experiments().get(study)
    return list(_replicates(store, f"tags.`{KIND}` = '{OF_REPLICATE}'", experiment)) if experiment else []


def curves(store: Store, run_id: str) -> dict[str, Array]:
    """Return a trial's curves as `artifacts.read_curves` does. Raises BadInput for no run, Corrupt for damaged artifacts."""
    with reader.trial_files(store, reader.load_run(store, run_id)) as folder:
        return artifacts.read_curves(folder)


def at_kept_epochs(trial: Trial, curves: Mapping[str, Array]) -> Trial:
    """Return a trial whose replicates have the losses of the weights that are kept; MLflow has those of the last epoch.

    curves: of the trial, as from `curves`.
    """
    rows = {int(number): index for index, number in enumerate(curves["replicate"])}
    replicates = []
    for replicate in trial.replicates:
        own = {name: curves[name][rows[replicate.number]] for name in schema.CURVES if replicate.number in rows}
        replicates.append(replace(replicate, metrics=replicate.metrics | tracked.kept(own, replicate.epoch)))
    return replace(trial, replicates=replicates)


def motion_of(store: Store, run_id: str) -> Motion | None:
    """Return the motion of a trial's replicates, in their order; None for a trial that keeps none. Raises as `curves` does."""
    with reader.trial_files(store, reader.load_run(store, run_id)) as folder:
        return reader.motion_in(folder, artifacts.read_curves(folder), *artifacts.read_predictions(folder))


def history(store: Store, run_id: str) -> dict[str, dict[int, float]]:
    """Return a replicate's logged losses by epoch, in their order. Trials that keep no files have them too."""
    losses = {}
    for key in schema.CURVES:
        points = sorted(store.client.get_metric_history(run_id, key), key=lambda point: point.step)
        losses[key] = {point.step: float(point.value) for point in points}
    return losses


def _trial(store: Store, run: Run) -> Trial:
    tags = TrialTags.from_tags(run.data.tags)
    wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.info.run_id}'"
    return Trial(
        run_id=run.info.run_id,
        study=store.client.get_experiment(run.info.experiment_id).name,
        number=tags.of_trial,
        name=run.info.run_name,
        status=run.info.status,
        started=run.info.start_time,
        settings=dict(run.data.params),
        metrics=dict(run.data.metrics),
        verdict=tags.verdict,
        evidence=list(tags.evidence),
        labels=tags.labels,
        reason=tags.reason,
        replicates=sorted(_replicates(store, wanted, run.info.experiment_id), key=lambda replicate: replicate.number),
        motion=tags.motion,
    )


def _replicates(store: Store, wanted: str, experiment: str) -> Iterator[Replicate]:
    return (_replicate(run) for run in store.search(wanted, experiment))


def _replicate(run: Run) -> Replicate:
    tags = ReplicateTags.from_tags(run.data.tags)
    return Replicate(
        run_id=run.info.run_id,
        trial_run=run.data.tags[MLFLOW_PARENT_RUN_ID],
        name=run.info.run_name,
        number=tags.number,
        status=run.info.status,
        label=tags.label,
        fingerprint=tags.fingerprint,
        epoch=tags.epoch,
        seeds=schema.seeds(run.data.tags, run.data.params),
        metrics=dict(run.data.metrics),
        motion=tags.motion,
    )
