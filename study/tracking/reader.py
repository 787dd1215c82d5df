"""Reads tracked networks and trials back."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY, MLFLOW_PARENT_RUN_ID
from mlflow.utils.uri import is_local_uri

from study.analysis import fingerprints, similarity
from study.analysis.motion import Motion, measure
from study.analysis.similarity import Searchable
from study.errors import BadInput, Corrupt, Fault
from study.records.arrays import Array, Floats, Integers
from study.records.network import Network
from study.records.outcome import Failed, Pruned
from study.records.tracked import Circumstances, TrackedNetwork, TrackedTrial, kept, trained
from study.settings.spec import build, flat
from study.tracking import artifacts, schema
from study.tracking.schema import KIND, OF_REPLICATE, OF_TRIAL, STATUS, TRIAL, WHOLE, ReplicateTags, TrialTags
from study.tracking.store import Store, data_of

# trials whose files are kept when they were fetched: as many as a report shows
MOST_KEPT = 8


@dataclass(frozen=True)
class RecordedReplicate:
    """A replicate's number and fingerprint from its run, and its network from its trial's artifacts."""

    number: int
    run_id: str
    fingerprint: str
    network: Network


@dataclass(frozen=True)
class RecordedTrial:
    """The record that a run is trained again from.

    config: its trial's settings, as `spec.build` takes them; environment: of its training.
    """

    run_id: str
    config: dict[str, Any]
    environment: dict[str, str]
    replicates: list[RecordedReplicate]


def load_recorded(store: Store, run_id: str, named: str = "") -> RecordedTrial:
    """Return the record of a trial's run, or the part of it that is one replicate's. Raises as `load_networks` does."""
    trial, runs = _trial_and_replicates(store, run_id, named)
    with trial_files(store, trial) as folder:
        config, networks, _, _ = artifacts.read_trained(folder)
        environment = artifacts.read_environment(folder)
    if not runs:
        raise Corrupt(f"run {run_id}: its {len(networks)} replicates have no runs")
    replicates = [
        RecordedReplicate(tags.number, run.info.run_id, tags.fingerprint, networks[_index(run, tags.number, config)])
        for run, tags in ((run, ReplicateTags.from_tags(run.data.tags)) for run in runs)
    ]
    return RecordedTrial(run_id, config, environment, replicates)


def load_networks(store: Store, run_id: str, *, motion: bool = False, named: str = "") -> list[TrackedNetwork]:
    """Return the network of a replicate's run, or all the networks of a trial's run; motion: with what is known of theirs.

    named: what a person called the run, for errors. Raises BadInput for a run that is absent or holds no networks, and Corrupt for
    damaged artifacts.
    """
    trial, runs = _trial_and_replicates(store, run_id, named)
    with trial_files(store, trial) as folder:
        config, networks, predictions, targets = artifacts.read_trained(folder)
        # those of before 2026-11 have none that can be read
        curves = artifacts.read_curves(folder) if (folder / artifacts.CURVES).exists() else {}
        moved = motion_in(folder, curves, predictions, targets) if motion and curves else None
    study = store.client.get_experiment(trial.info.experiment_id).name
    settings, tags_of_trial = flat(build(config)), TrialTags.from_tags(trial.data.tags)
    race_losses = _race_losses(store, trial)
    tracked = []
    for run in runs:
        tags = ReplicateTags.from_tags(run.data.tags)
        index = _index(run, tags.number, config)
        its_curves = {name: curves[name][index] for name in schema.CURVES if curves}
        losses = run.data.metrics | kept(its_curves, tags.epoch)  # MLflow has those of the last epoch
        if tags.fingerprint != fingerprints.digest(networks[index]):
            raise Corrupt(f"run {run.info.run_id}: its weights aren't those that it has the fingerprint of")
        tracked.append(
            TrackedNetwork(
                run_id=run.info.run_id,
                name=run.info.run_name,
                config=config,
                settings=settings,
                seeds=schema.seeds(run.data.tags, run.data.params),
                fingerprint=tags.fingerprint,
                label=tags.label,
                train_loss=losses.get(schema.TRAIN_LOSS, float("nan")),
                val_loss=losses.get(schema.VAL_LOSS, float("nan")),
                network=networks[index],
                predictions=predictions[index],
                target=targets[index],
                curves=its_curves,
                study=study,
                trial=trial.info.run_name,
                trial_number=tags_of_trial.of_trial,
                number=tags.number,
                race_losses=race_losses,
                raced=bool(race_losses) or tags_of_trial.whole is not None,
                rests=None if moved is None else bool(moved.function_rests[index]),
                wobble=math.nan if moved is None else float(moved.wobble[index]),
                held=moved is not None and bool(moved.held[index]),
            )
        )
    return tracked


def motion_in(
    folder: Path, curves: Mapping[str, Array], predictions: Floats, targets: Sequence[Floats | Integers]
) -> Motion | None:
    """Return the motion of a trial's replicates, in their order, by its files; None without a trajectory.

    curves, predictions, targets: as `artifacts` reads them from the same folder.
    """
    path = artifacts.read_trajectory(folder)
    return measure(path, trained(curves["train_loss"]), curves["learning_rate"], predictions, targets) if path else None


def _race_losses(store: Store, trial: Run) -> dict[int, float]:
    if schema.RACE_VAL_LOSS not in trial.data.metrics:
        return {}
    points = store.client.get_metric_history(trial.info.run_id, schema.RACE_VAL_LOSS)
    return {point.step: point.value for point in points}


def _trial_and_replicates(store: Store, run_id: str, named: str) -> tuple[Run, list[Run]]:
    """Return the completed trial that a run is or belongs to, and the replicates' runs that it stands for."""
    run = load_run(store, run_id)
    kind = run.data.tags.get(KIND)
    if kind == OF_REPLICATE:
        trial, replicates = load_run(store, run.data.tags[MLFLOW_PARENT_RUN_ID]), [run]
    elif kind == OF_TRIAL:
        children = store.runs(MLFLOW_PARENT_RUN_ID, run_id, run.info.experiment_id)
        trial, replicates = run, sorted(children, key=lambda child: ReplicateTags.from_tags(child.data.tags).number)
    else:
        raise BadInput(
            [Fault("RUN", named or run_id, "the id of a trial's or a replicate's run, as `mlp-study show` and the MLflow UI list")]
        )
    if trial.info.status != "FINISHED":
        raise BadInput([Fault("RUN", named or run_id, f"a trial that completed; this one {_state_text(trial)}")])
    return trial, replicates


def _state_text(trial: Run) -> str:
    """Return how a trial that didn't complete stands, in the words of its study."""
    status, reason = trial.info.status, TrialTags.from_tags(trial.data.tags).reason
    if status not in STATUS.values():
        return "is still running"
    if status == STATUS[Failed.state]:
        return f"failed: {reason}" if reason else "failed"
    # an interrupted trial is killed too, without a reason or with that of its end
    return f"was {reason}" if reason.startswith(Pruned.state) else "was interrupted"


def load_searchable(store: Store, run_id: str) -> Searchable:
    """Return the searchable fingerprint of a replicate's run. Raises BadInput for a run without one."""
    text = load_run(store, run_id).data.tags.get(schema.SEARCHABLE)
    if text is None:
        raise BadInput([Fault("RUN", run_id, "the run of a replicate that has a searchable fingerprint (tag `searchable`)")])
    return similarity.decode(text)


def describe(store: Store, run_id: str) -> dict[str, str]:
    """Return the texts that distinguish a replicate's run from others."""
    run = load_run(store, run_id)
    tags = ReplicateTags.from_tags(run.data.tags)
    return {
        "run": run_id,
        "study": store.client.get_experiment(run.info.experiment_id).name,
        "name": run.info.run_name,
        "val loss": f"{run.data.metrics.get(schema.VAL_LOSS, float('nan')):.4g}",
        "convergence": tags.label,
        "fingerprint": tags.fingerprint[:16],
    }


def network_of(store: Store, run_id: str) -> tuple[str, int, int]:
    """Return what distinguishes a replicate from others: its experiment, and its numbers.

    The first replicates of a race's winner have two runs, one of them among all its replicates. A trial outside a study has no
    number: its run stands for it.
    """
    run = load_run(store, run_id)
    trial = load_run(store, run.data.tags[MLFLOW_PARENT_RUN_ID])
    number = TrialTags.from_tags(trial.data.tags).of_trial
    place = (run.info.experiment_id, number) if number is not None else (trial.info.run_id, 0)
    return *place, ReplicateTags.from_tags(run.data.tags).number


def load_trial(store: Store, run_id: str, *, motion: bool = False) -> TrackedTrial:
    """Return what the run of a finished trial keeps besides its networks, with their trajectory if `motion` is asked for.

    Raises BadInput if there is no such run, Corrupt for damaged artifacts.
    """
    with trial_files(store, load_run(store, run_id)) as folder:
        curves = artifacts.read_curves(folder)
        _, targets = artifacts.read_predictions(folder)
        numbers, path = [int(number) for number in curves["replicate"]], artifacts.read_trajectory(folder) if motion else None
        comparison = artifacts.read_comparison(folder)
        onward = artifacts.read_onward(folder) if motion else None
        further = None
        if onward:
            losses, its_targets, its_path = onward
            own = numbers[: len(its_targets)]
            further = TrackedTrial(own, losses["train_loss"], losses["val_loss"], its_targets, {}, its_path)
        return TrackedTrial(numbers, curves["train_loss"], curves["val_loss"], targets, comparison, path, further)


def circumstances(store: Store, run_id: str) -> Circumstances:
    """Return how a finished trial's run came about. Raises as `load_trial` does."""
    run = load_run(store, run_id)
    with trial_files(store, run) as folder:
        environment = artifacts.read_environment(folder)
    used = data_of(run)
    return Circumstances(
        environment,
        data=used.name if used else "",
        digest=environment.get("data_sha256", ""),
        parts=json.loads(used.profile) if used and used.profile else {},
        commit=run.data.tags.get(MLFLOW_GIT_COMMIT, "") + "+" * (run.data.tags.get(MLFLOW_GIT_DIRTY) == "true"),
        ended=run.info.end_time / 1000 if run.info.end_time else None,
    )


def run_of(store: Store, study: str, number: int) -> str | None:
    """Return the id of the finished run of a study's trial, of the one with all replicates if there are two; None without one."""
    experiment = store.experiments().get(study)
    finished = f"tags.`{KIND}` = '{OF_TRIAL}' AND attributes.status = 'FINISHED'"
    for tag in (WHOLE, TRIAL) if experiment else ():
        for run in store.search(f"tags.`{tag}` = '{number}' AND {finished}", experiment):
            return str(run.info.run_id)
    return None


@contextmanager
def trial_files(store: Store, trial: Run, *, anew: bool = False) -> Iterator[Path]:
    """Give the folder with a trial's artifacts for the block: where they lie if that is on this machine, else a copy.

    They are fetched and checked once per process, or `anew`; files on this machine that changed since are checked again. Raises
    Corrupt. They are read in place, since MLflow's own copy of a folder follows every link in it, and from elsewhere only under the
    names of a trial's files.
    """
    run = trial.info.run_id
    try:
        if folder := local_folder(trial.info.artifact_uri):
            states = [(name, os.lstat(folder / name)) for name in sorted(artifacts.FILES) if os.path.lexists(folder / name)]
        else:
            copied = _Copy(store, run) if anew else _copied(store, run)
    except (MlflowException, OSError) as error:
        raise Corrupt(f"run {run}: its artifacts can't be read: {error}") from error
    if folder is None:
        yield copied.folder
    elif anew:
        artifacts.check(folder)
        yield folder
    else:
        _check(folder, tuple((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states))
        yield folder


class _Copy:
    """A trial's artifacts, copied from another machine and checked; the copy goes with this object."""

    def __init__(self, store: Store, run: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mlp-study-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        for file in store.client.list_artifacts(run):
            if file.path in artifacts.FILES and not file.is_dir:
                store.client.download_artifacts(run, file.path, str(self.folder))
        artifacts.check(self.folder)


_copied = lru_cache(MOST_KEPT)(_Copy)


@lru_cache(MOST_KEPT)
def _check(folder: Path, states: tuple[tuple[str, int, int, int], ...]) -> None:
    """Check a folder once for each state of its files: their names, sizes and times."""
    artifacts.check(folder)


def local_folder(uri: str) -> Path | None:
    """Return where a run's artifacts lie, by their address; None if that isn't on this machine."""
    if is_local_uri(uri, is_tracking_or_registry_uri=False):  # type: ignore[no-untyped-call]
        return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]
    return None


def load_run(store: Store, run_id: str) -> Run:
    """Return a run that isn't deleted. Raises BadInput if there is none."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        raise BadInput([Fault("RUN", run_id, f"the id of a run in {store.uri}")]) from error
    if run.info.lifecycle_stage != "active":
        raise BadInput([Fault("RUN", run_id, "a run that isn't deleted")])
    return run


def _index(run: Run, number: int, config: dict[str, Any]) -> int:
    """Return the index of a replicate's network among those of its trial, which has these settings."""
    numbers = build(config).replicates.numbers
    if number not in numbers:
        raise Corrupt(f"run {run.info.run_id}: its trial's artifacts have {len(numbers)} networks, and none is its own")
    return numbers.index(number)
