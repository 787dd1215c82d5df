"""Writes one trial's runs to MLflow: its own, and a child for each replicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from study import processes
from study.tracking import descriptions, schema, spool, store
from study.tracking.messages import LegCurves, SpoolRecord, Trained, TrialStart
from study.tracking.schema import KEY, REASON, REPLICATE, ReplicateTags, TrialTags

METRICS_PER_CALL = 1000
NONE: Mapping[str, str] = MappingProxyType({})


class TrialRuns:
    """The runs of one trial: its own, and a child for each replicate."""

    def __init__(self, opened: store.Store, folder: Path, start: TrialStart, *, again: bool) -> None:
        """again: another writer may have made some of them, or all."""
        self._store, self._client, self._folder, self._start = opened, opened.client, folder, start
        self._experiment, self._key = opened.experiment(start.experiment), spool.key_of(folder)
        self._epochs_sent, self.name = 0, start.name
        # what a server has done is not known where its answer got lost
        self._doubtful = again or opened.remote
        made = {run.data.tags.get(REPLICATE): run.info.run_id for run in opened.runs(KEY, self._key)} if again else {}
        self.run_id, self._children = self._create(made)

    def _create(self, made: Mapping[str | None, str]) -> tuple[str, list[str]]:
        """Make the runs, or take those that are `made`: replicate (None: the trial) → run."""
        start, experiment = self._start, self._experiment
        tags = store.origin() | TrialTags(self._key, processes.owner(), start.number, whole=start.whole).as_tags()
        run = made.get(None) or self._client.create_run(experiment, tags=tags, run_name=start.name).info.run_id
        self._log(run, params=schema.parameters(start.settings))
        if start.data:
            self._log_data(run, start.data)
        children = []
        for index, number in enumerate(start.replicates):
            tags = (
                {MLFLOW_PARENT_RUN_ID: run} | ReplicateTags(number, self._key).as_tags() | schema.seed_tags(start.seeds_of(index))
            )
            name = schema.run_name(start.name, number)
            child = made.get(str(number)) or self._client.create_run(experiment, tags=tags, run_name=name).info.run_id
            self._log(child, params=schema.parameters(start.settings))
            children.append(child)
        return run, children

    def _log_data(self, run: str, data: Mapping[str, str]) -> None:
        """Log the data as an input of the run; logged twice, they stay one."""
        used = DatasetInput(Dataset(**data), [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
        store.twice(partial(self._client.log_inputs, run, [used]))

    def curves(self, legs: Sequence[LegCurves]) -> None:
        """Send what has not been sent of the curves: the charted epochs of each replicate and of their mean.

        The mean of what is kept so far, by which trials are compared, has one point per leg.
        """
        new = [leg for leg in legs if leg.epochs_done > self._epochs_sent]
        if not new:
            return
        for index, child in enumerate(self._children):
            self._log(child, [point for leg in new for key in schema.CURVES for point in _points(leg, key, itemgetter(index))])
        means = [point for leg in new for key in schema.CURVES for point in _points(leg, key, _mean)]
        for leg in new:
            current = [value for value in leg.current if value is not None]
            if len(current) == len(self._children):
                means.append(Metric(schema.VAL_LOSS_MEAN, sum(current) / len(current), leg.time, leg.epochs_done))
        self._log(self.run_id, means)
        self._epochs_sent = new[-1].epochs_done

    def close(self, record: SpoolRecord) -> None:
        """Send the rest of a complete record and end the runs."""
        self.curves(record.curves)
        for index, child in enumerate(self._children):
            self._log(child, [point for key in schema.CURVES for point in _last_point(record.curves, key, index)])
        if record.trained:
            self._close_trained(record, record.trained)
        note = descriptions.of_trial(record, self._experiment, self.run_id, self._children)
        self._log(self.run_id, tags={MLFLOW_RUN_NOTE: note} | ({REASON: record.reason} if record.reason else {}))
        if self._doubtful:
            self._drop_duplicates()
        for run in (*self._children, self.run_id):
            self._client.set_terminated(run, record.status)

    def _close_trained(self, record: SpoolRecord, trained: Trained) -> None:
        # what has one value is of step 0: the UI draws bars of it, and lines of what has a later step
        time = record.curves[-1].time
        for index, child in enumerate(self._children):
            points = [Metric(key, value, time, 0) for key, value in schema.replicate_metrics(trained.summary, index).items()]
            note = descriptions.of_replicate(record, index, self._experiment, self.run_id, self._children)
            tags = ReplicateTags(
                record.start.replicates[index],
                self._key,
                trained.fingerprints[index],
                trained.labels[index],
                trained.epochs[index],
                trained.searchable[index] if trained.searchable else "",
                trained.summary.motion.label(index) if trained.summary.motion else "",
            )
            self._log(child, points, tags.as_tags() | {MLFLOW_RUN_NOTE: note})
        metrics = [Metric(key, value, time, 0) for key, value in schema.trial_metrics(trained.summary).items()]
        self._log(self.run_id, metrics, schema.trained_tags(trained.summary).as_tags())
        self._client.log_artifacts(self.run_id, str(self._folder / spool.FILES))

    def _drop_duplicates(self) -> None:
        """Delete runs that a server made twice, since it was asked again when its answer got lost."""
        for run in self._store.runs(KEY, self._key, self._experiment):
            if run.info.run_id not in (self.run_id, *self._children):
                self._store.drop(run.info.run_id)

    def _log(
        self, run: str, metrics: Sequence[Metric] = (), tags: Mapping[str, str] = NONE, params: Mapping[str, str] = NONE
    ) -> None:
        if metrics or tags or params:
            run_tags = [RunTag(key, schema.tag(text)) for key, text in tags.items()]
            run_params = [Param(key, schema.parameter(text)) for key, text in params.items()]
            for start in range(0, max(1, len(metrics)), METRICS_PER_CALL):
                batch = metrics[start : start + METRICS_PER_CALL]
                self._client.log_batch(run, metrics=batch, tags=[] if start else run_tags, params=[] if start else run_params)


def _points(leg: LegCurves, key: str, value: Callable[[Sequence[float | None]], float | None]) -> list[Metric]:
    """The charted losses; what was not finite is left out, since MLflow would keep infinity as 1.8e308."""
    charted = [(epoch, value(row)) for epoch, row in _rows(leg, key) if schema.charted(epoch)]
    return [Metric(key, loss, leg.time, epoch) for epoch, loss in charted if loss is not None]


def _mean(losses: Sequence[float | None]) -> float | None:
    """The mean, as long as all replicates train."""
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if len(known) == len(losses) else None


def _last_point(legs: Sequence[LegCurves], key: str, index: int) -> list[Metric]:
    """A replicate's last loss, unless it is charted anyway."""
    for leg in reversed(legs):
        for epoch, row in reversed(_rows(leg, key)):
            if (loss := row[index]) is not None:
                return [] if schema.charted(epoch) else [Metric(key, loss, leg.time, epoch)]
    return []


def _rows(leg: LegCurves, key: str) -> list[tuple[int, Sequence[float | None]]]:
    """Each epoch, from 1, with the replicates' losses, [R]."""
    rows = leg.train_loss if key == schema.TRAIN_LOSS else leg.val_loss
    return list(enumerate(rows, leg.epochs_done - len(rows) + 1))
