"""The record of one trial.

It is written by a thread of its own, so that it overlaps with training; `close` waits for it. MLflow's own asynchronous logging
isn't used: it loses what is queued when the process is killed.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study import artifacts, batches
from study.errors import Unreachable
from study.records import Cohort, Completed, Failed, Floats, Integers, Leg, Pruned, Summary
from study.spec import TrialSpec, flat
from study.tracking.names import CONVERGENCE, FINGERPRINT, KIND, OWNER, REASON, REPLICATE, TRIAL

FLUSH_SECONDS = 2.0
METRICS_PER_CALL = 1000
STATUS = {Completed: "FINISHED", Pruned: "KILLED", Failed: "FAILED"}


def describe_owner() -> str:
    """Host and process that a run belongs to while it is RUNNING."""
    return f"{socket.gethostname()}:{os.getpid()}"


class TrialRecorder:
    """Writes one trial's runs. Calls only queue the work; `close` waits for it, and raises what went wrong in it."""

    def __init__(self, client: MlflowClient, experiment: str, spec: TrialSpec, name: str, number: int | None) -> None:
        self.run_id: str | None = None
        self._client, self._experiment, self._spec, self._name = client, experiment, spec, name
        self._number = number
        self._children: list[str] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracking")
        self._work: list[Future[None]] = []
        self._legs: list[tuple[int, Leg]] = []
        self._flushed = time.monotonic()
        self._submit(self._create)

    def leg(self, leg: Leg) -> None:
        """Queues a leg's curves; they are sent every few seconds, and at the end."""
        self._legs.append((int(time.time() * 1000), leg))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def cohort(
        self,
        cohort: Cohort,
        summary: Summary,
        fingerprints: Sequence[str],
        target: Floats | Integers,
        environment: Mapping[str, str],
    ) -> None:
        """Queues the trained cohort: its summary, fingerprints, labels and files."""
        tags = [{FINGERPRINT: mark, CONVERGENCE: label} for mark, label in zip(fingerprints, cohort.labels, strict=True)]
        self._flush(tags)
        self._submit(lambda: self._send_summary(summary))
        self._submit(lambda: self._send_files(cohort, target, environment))

    def close(self, outcome: Completed | Pruned | Failed | None) -> None:
        """Ends the runs; returns when everything is written. None: the trial was interrupted."""
        self._flush()
        self._submit(lambda: self._end(outcome))
        try:
            for task in self._work:
                task.result()
        except MlflowException as error:
            raise Unreachable(f"tracking: {error}") from error
        finally:
            self._thread.shutdown()

    def _submit(self, task: Callable[[], None]) -> None:
        self._work.append(self._thread.submit(task))

    def _create(self) -> None:
        common = {OWNER: describe_owner()} | ({TRIAL: str(self._number)} if self._number is not None else {})
        run = self._client.create_run(self._experiment, tags={KIND: "trial", **common}, run_name=self._name)
        self.run_id = run.info.run_id
        self._client.log_batch(self.run_id, params=[Param(key, text) for key, text in flat(self._spec).items()])
        seeds = batches.replicate_seeds(self._spec)
        for place in range(self._spec.replicates.count):
            number = self._spec.replicates.first + place
            tags = {KIND: "replicate", MLFLOW_PARENT_RUN_ID: self.run_id, REPLICATE: str(number), **common}
            child = self._client.create_run(self._experiment, tags=tags, run_name=f"{self._name} / {number}")
            self._children.append(child.info.run_id)
            params = {"replicate": number} | {f"seed.{source}": each[place] for source, each in seeds.items()}
            self._client.log_batch(child.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def _flush(self, tags: Sequence[Mapping[str, str]] | None = None) -> None:
        legs, self._legs, self._flushed = self._legs, [], time.monotonic()
        self._submit(lambda: self._send_curves(legs, tags))

    def _send_curves(self, legs: Sequence[tuple[int, Leg]], tags: Sequence[Mapping[str, str]] | None) -> None:
        for place, run_id in enumerate(self._children):
            curves = [
                ("train_loss", lambda leg, r=place: leg.train_loss[:, r]),
                ("val_loss", lambda leg, r=place: leg.val_loss[:, r]),
            ]
            self._log(run_id, _points(legs, curves), tags[place] if tags else {})
        assert self.run_id
        self._log(self.run_id, _points(legs, [("val_loss_mean", lambda leg: leg.val_loss.mean(1))]), {})

    def _log(self, run_id: str, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        marks = [RunTag(key, text) for key, text in tags.items()]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL], tags=marks)
            marks = []
        if marks:
            self._client.log_batch(run_id, tags=marks)

    def _send_summary(self, summary: Summary) -> None:
        now, epoch = int(time.time() * 1000), self._spec.training.epochs
        values = {
            "val_loss_std": summary.val_loss_std,
            "val_loss_halfwidth": summary.val_loss_halfwidth,
            "train_loss_mean": summary.train_loss_mean,
            "distance": summary.distance,
            "disagreement": summary.disagreement,
            "distinct_fingerprints": summary.distinct,
        }
        metrics = [Metric(key, value, now, epoch) for key, value in values.items() if value is not None]
        labels = ", ".join(f"{count} {name}" for name, count in summary.labels.items())
        assert self.run_id
        self._log(self.run_id, metrics, {CONVERGENCE: labels})

    def _send_files(self, cohort: Cohort, target: Floats | Integers, environment: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory(prefix="mlp-study-") as name:
            artifacts.write(Path(name), cohort, target, environment)
            assert self.run_id
            self._client.log_artifacts(self.run_id, name)

    def _end(self, outcome: Completed | Pruned | Failed | None) -> None:
        status = STATUS[type(outcome)] if outcome else "KILLED"
        if isinstance(outcome, Failed) and self.run_id:
            self._client.set_tag(self.run_id, REASON, outcome.reason)
        for run_id in (*self._children, *filter(None, [self.run_id])):
            self._client.set_terminated(run_id, status)


def _points(legs: Sequence[tuple[int, Leg]], curves: Sequence[tuple[str, Callable[[Leg], Floats]]]) -> list[Metric]:
    """Curve values by epoch from 1. What is not finite is left out: MLflow would keep an infinity as 1.8e308."""
    points = []
    for time_, leg in legs:
        for key, curve in curves:
            values = curve(leg)
            first = leg.epochs_done - len(values) + 1
            points += [Metric(key, float(v), time_, first + i) for i, v in enumerate(values) if abs(v) < float("inf")]
    return points


class NoRecorder:
    """Keeps nothing: `tracking=none`."""

    run_id: str | None = None

    def leg(self, leg: Leg) -> None: ...
    def cohort(self, *_: object) -> None: ...
    def close(self, outcome: Completed | Pruned | Failed | None) -> None: ...
