"""Inspects an MLflow store for `doctor`. Runs are read by pages, and one by one only where their files are read too."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study import processes, sqlite
from study.analysis import fingerprints
from study.errors import Corrupt
from study.records.arrays import Floats
from study.settings.training import ALL_EPOCHS
from study.tracking import artifacts, reader, schema, spool
from study.tracking.schema import CURVES, KIND, ReplicateTags, TrialTags
from study.tracking.store import PAGE, Store

OPEN = {"RUNNING", "SCHEDULED"}
NEEDED = {*artifacts.ALWAYS, artifacts.MANIFEST}


@dataclass(frozen=True)
class ReplicateRun:
    """A replicate's run.

    kept: the epoch whose weights are kept; last: the last epoch of each curve; ended: in ms since 1970, 0 if it hasn't.
    """

    run_id: str
    number: int
    status: str
    fingerprint: str
    kept: int
    last: Mapping[str, int]
    ended: int


@dataclass(frozen=True)
class TopRun:
    """A run without a parent: a trial's with those of its replicates, or a study's.

    trial: its number in the study, None for a single trial. key: of its folder in the spool. owner: the process that writes it.
    count: the replicates that it should have. epochs: how many each of them trains; None where they may stop earlier. uri: of its
    artifacts.
    """

    run_id: str
    name: str
    kind: str
    status: str
    trial: int | None
    key: str | None
    owner: str | None
    count: int
    epochs: int | None
    uri: str
    replicates: list[ReplicateRun] = field(default_factory=list)

    @property
    def statuses(self) -> set[str]:
        """The statuses of the run and of its replicates'."""
        return {self.status, *(replicate.status for replicate in self.replicates)}


@dataclass(frozen=True)
class Waiting:
    """A trial's folder in the spool.

    key: the tag of its runs; alive: whether its writer may be; elsewhere: the machine of a writer of which nothing is known, or
    nothing; complete: whether the record is.
    """

    folder: Path
    key: str
    alive: bool
    elsewhere: str
    complete: bool


@dataclass(frozen=True)
class Gap:
    """A logged curve that differs from the recorded one. wrong: the epochs that it has twice or with another value."""

    replicate: ReplicateRun
    key: str
    missing: list[Metric]
    wrong: list[int]


def waiting() -> list[Waiting]:
    """Return this folder's trials that are not all in MLflow yet."""
    if not spool.FOLDER.exists():
        return []
    return [
        Waiting(
            folder,
            spool.key_of(folder),
            alive=not spool.left_behind(folder),
            elsewhere=processes.unknown_host(spool.owner_of(folder)),
            complete=(folder / spool.RECORD).exists(),
        )
        for folder in sorted(spool.FOLDER.iterdir())
    ]


def set_aside() -> dict[Path, str]:
    """Return the folders of trials whose records can't be sent to MLflow, with the reasons."""
    return {file.parent: file.read_text().strip() for file in sorted(spool.ASIDE.glob(f"*/{spool.REASON}"))}


def runs(store: Store, experiment: str) -> list[TopRun]:
    """Return our runs in an experiment, those of replicates with their trials'."""
    tops: dict[str, TopRun] = {}
    children: list[tuple[str, ReplicateRun]] = []
    # the oldest first, so that runs that are made meanwhile don't move the pages
    for run in store.search(f"tags.`{KIND}` LIKE '%'", experiment, order=["attributes.start_time"]):
        tags = run.data.tags
        if tags[KIND] == schema.OF_REPLICATE and MLFLOW_PARENT_RUN_ID in tags:
            children.append((tags[MLFLOW_PARENT_RUN_ID], _replicate(run)))
        else:
            tops[run.info.run_id] = _top(run)
    for parent, child in children:
        if parent in tops:
            tops[parent].replicates.append(child)
    return list(tops.values())


def _top(run: Run) -> TopRun:
    tags, params = TrialTags.from_tags(run.data.tags), run.data.params
    count, epochs, until = (schema.setting(params, key) for key in ("replicates.count", "training.epochs", "training.until"))
    whole = until == ALL_EPOCHS and schema.setting(params, "training.patience") is None
    return TopRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        kind=run.data.tags[KIND],
        status=run.info.status,
        trial=tags.number,
        key=tags.key or None,
        owner=tags.owner or None,
        count=count if isinstance(count, int) else 0,
        epochs=epochs if whole and isinstance(epochs, int) else None,
        uri=run.info.artifact_uri,
    )


def _replicate(run: Run) -> ReplicateRun:
    tags = ReplicateTags.from_tags(run.data.tags)
    return ReplicateRun(
        run_id=run.info.run_id,
        number=tags.number,
        status=run.info.status,
        fingerprint=tags.fingerprint,
        kept=tags.epoch or 0,
        last={metric.key: metric.step for metric in run.data._metric_objs if metric.key in CURVES},
        ended=run.info.end_time or 0,
    )


def absent_files(store: Store, run: TopRun) -> list[str]:
    """Return the names of the files that a finished trial lacks."""
    folder = reader.local_folder(run.uri)
    if folder is None:
        names = {file.path for file in store.client.list_artifacts(run.run_id)}
    else:
        names = set(os.listdir(folder)) if folder.is_dir() else set()
    return sorted(NEEDED - names)


def ends_early(run: TopRun, replicate: ReplicateRun) -> bool:
    """Return whether a curve's last points are missing; where replicates may stop early, both curves must stop together."""
    ends = [replicate.last.get(key, 0) for key in CURVES]
    return min(ends) < (run.epochs or max(*ends, replicate.kept))


def read_whole(store: Store, run: TopRun) -> tuple[list[ReplicateRun], list[Gap]]:
    """Read all files and curves of a finished trial; return the replicates whose fingerprint isn't that of their weights, and gaps.

    Raises Corrupt for damaged files.
    """
    with reader.trial_files(store, store.client.get_run(run.run_id), anew=True) as folder:
        _, networks, _, _ = artifacts.read_trained(folder)
        curves = artifacts.read_curves(folder)
        artifacts.read_comparison(folder)
        artifacts.read_environment(folder)
    numbers = curves["replicate"].tolist()
    if len(numbers) != len(networks) or any(replicate.number not in numbers for replicate in run.replicates):
        raise Corrupt(f"{artifacts.CURVES} has other replicates than the run")
    other: list[ReplicateRun] = []
    gaps: list[Gap] = []
    for replicate in run.replicates:
        index = numbers.index(replicate.number)
        if fingerprints.digest(networks[index]) != replicate.fingerprint:
            other.append(replicate)
        for key in CURVES:
            history = store.client.get_metric_history(replicate.run_id, key)
            gap = _gap(replicate, key, history, curves[key][index])
            if gap.missing or gap.wrong:
                gaps.append(gap)
    return other, gaps


def _gap(replicate: ReplicateRun, key: str, history: Sequence[Metric], curve: Floats) -> Gap:
    """Compare the points of a history with a curve, [epochs], which is NaN after a replicate's stop."""
    logged: dict[int, list[float]] = {}
    for point in history:
        logged.setdefault(point.step, []).append(point.value)
    # as the writer sends it: what isn't finite is left out
    recorded = {epoch: value for epoch, value in enumerate(curve.tolist(), 1) if math.isfinite(value)}

    def time_of(epoch: int) -> int:
        """The time of the nearest point, which is most likely of the same leg."""
        return min(history, key=lambda point: abs(point.step - epoch)).timestamp if history else replicate.ended

    last = max(recorded, default=0)
    expected = {epoch: value for epoch, value in recorded.items() if schema.charted(epoch) or epoch == last}
    missing = [Metric(key, value, time_of(epoch), epoch) for epoch, value in expected.items() if epoch not in logged]
    return Gap(replicate, key, missing, [epoch for epoch, values in logged.items() if values != [recorded.get(epoch)]])


def send_missing(store: Store, run: TopRun) -> None:
    """Send the points that a trial's curves lack."""
    _, gaps = read_whole(store, run)
    for gap in gaps:
        for start in range(0, len(gap.missing), PAGE):
            store.client.log_batch(gap.replicate.run_id, metrics=gap.missing[start : start + PAGE])


def end(store: Store, run: TopRun, unfit: Set[str], status: str, reason: str | None) -> None:
    """End those of a run and its replicates' that have an unfit status, with another one."""
    statuses = {replicate.run_id: replicate.status for replicate in run.replicates} | {run.run_id: run.status}
    for run_id, current in statuses.items():
        if current in unfit:
            store.end(run_id, status, reason)


def send_waiting(uri: str) -> None:
    """Send what writers that are gone have left: the next one takes it over."""
    sender = spool.Writer(uri)
    sender.prepare()
    sender.drain()
    sender.close()


def take_over(waiting: Waiting, uri: str) -> None:
    """Send what a writer on another machine has left. That it is gone is for the caller to know."""
    spool.abandon(waiting.folder)
    send_waiting(uri)


@contextmanager
def errors(uri: str) -> Iterator[None]:
    """Raise MLflow's refusals in the block as errors that a user can act on."""
    try:
        yield
    except MlflowException as error:
        raise sqlite.fault(error, f"tracking.uri {uri}") from error
