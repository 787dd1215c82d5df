"""The process that writes to MLflow: `python -m study.tracking.writer URI SPOOL`.

It reads messages, one JSON object a line, until its input ends, and answers on standard output. Each message is handled wholly
before the next; MLflow's own asynchronous logging isn't used, since it loses what is queued when the process is killed. All that
is sent carries its first time stamp, so that sending it again changes nothing. A run carries a key instead, by which it is found
again if it was made and the answer got lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from study import processes, redaction, sqlite
from study.errors import BadInput, NotWritable, StudyError, Unreachable
from study.tracking import descriptions, spool, store
from study.tracking.names import (
    CONVERGENCE,
    EPOCH,
    EVIDENCE,
    FINGERPRINT,
    KEY,
    KIND,
    OWNER,
    REASON,
    REPLICATE,
    SEARCHABLE,
    TRIAL,
    VERDICT,
    parameter,
)

METRICS_PER_CALL = 1000
TELL_AGAIN_SECONDS = 300.0
CLOCKS_SECONDS = 60.0  # by which machines may differ
COMPARED = ("aligned", "null", "barrier", "aligned_barrier", "cka", "finite_test")
NONE: Mapping[str, str] = MappingProxyType({})


class TrialRuns:
    """The runs of one trial: its own, and a child for each replicate."""

    def __init__(self, opened: store.Store, folder: Path, record: Mapping[str, Any], *, again: bool) -> None:
        """again: another writer may have made some of them, or all."""
        self._store, self._client, self._folder, self._record = opened, opened.client, folder, record
        self._experiment, self._key = opened.experiment(record["experiment"]), spool.key_of(folder)
        self._epochs_sent = 0
        # what a server has done is not known where its answer got lost
        self._doubtful = again or opened.remote
        made = {run.data.tags.get(REPLICATE): run.info.run_id for run in opened.runs(KEY, self._key)} if again else {}
        self.run_id, self._children = self._create(made)

    def _create(self, made: Mapping[str | None, str]) -> tuple[str, list[str]]:
        """Makes the runs, or takes those that are `made`: replicate (None: the trial) → run."""
        record, experiment = self._record, self._experiment
        number = {TRIAL: str(record["number"])} if record["number"] is not None else {}
        tags = store.origin() | {KIND: "trial", OWNER: processes.owner(), KEY: self._key} | number
        run = made.get(None) or self._client.create_run(experiment, tags=tags, run_name=record["name"]).info.run_id
        self._log(run, params=record["params"])
        if record.get("data"):
            self._log_data(run, record["data"])
        children = []
        for place, replicate in enumerate(record["replicates"]):
            tags = {KIND: "replicate", MLFLOW_PARENT_RUN_ID: run, REPLICATE: str(replicate), KEY: self._key}
            name = f"{record['name']}/{replicate}"
            child = made.get(str(replicate)) or self._client.create_run(experiment, tags=tags, run_name=name).info.run_id
            seeds = {f"seed.{source}": str(each[place]) for source, each in record["seeds"].items()}
            # the settings too, so that replicates of different trials can be compared in the UI
            self._log(child, params=record["params"] | {"replicate": str(replicate)} | seeds)
            children.append(child)
        return run, children

    def _log_data(self, run: str, data: Mapping[str, str]) -> None:
        """Logged twice, data stay one input."""
        used = DatasetInput(Dataset(**data), [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
        try:
            self._client.log_inputs(run, [used])
        except MlflowException:  # another writer has added the same data since they were looked for
            self._client.log_inputs(run, [used])

    def curves(self, legs: Sequence[Mapping[str, Any]]) -> None:
        """Sends what has not been sent of the curves: every epoch for the replicates, a point a leg for the trial's mean."""
        new = [leg for leg in legs if leg["epochs_done"] > self._epochs_sent]
        if not new:
            return
        for place, child in enumerate(self._children):
            self._log(child, [point for leg in new for key in ("train_loss", "val_loss") for point in _points(leg, key, place)])
        means = []
        for leg in new:
            current = [value for value in leg["current"] if value is not None]
            if len(current) == len(self._children):
                means.append(Metric("val_loss_mean", sum(current) / len(current), leg["time"], leg["epochs_done"]))
        self._log(self.run_id, means)
        self._epochs_sent = new[-1]["epochs_done"]

    def close(self, record: Mapping[str, Any]) -> None:
        """Sends the rest of a complete record and ends the runs."""
        legs = record["curves"]
        self.curves(legs)
        if "summary" in record:
            # what has one value is of step 0: the UI draws bars of it, and lines of what has a later step
            summary, last = record["summary"], legs[-1]
            scores = {f"val_{name}": values for name, values in summary["scores"].items()}
            found = zip(self._children, record["fingerprints"], record["labels"], record["epochs"], strict=True)
            for place, (child, mark, label, epoch) in enumerate(found):
                values = {key: each[place] for key, each in scores.items()} | _progress(summary, place)
                points = [Metric(key, value, last["time"], 0) for key, value in values.items()]
                note = descriptions.of_replicate(record, place, self._experiment, self.run_id, self._children)
                tags = {FINGERPRINT: mark, CONVERGENCE: label, EPOCH: str(epoch), MLFLOW_RUN_NOTE: note}
                if record.get("searchable"):
                    tags[SEARCHABLE] = record["searchable"][place]
                self._log(child, points, tags)
            keys = ("val_loss_std", "val_loss_halfwidth", "train_loss_mean", "distance", "disagreement", "distinct", *COMPARED)
            metrics = [Metric(key, summary[key], last["time"], 0) for key in keys if summary.get(key) is not None]
            metrics += [Metric(key, sum(values) / len(values), last["time"], 0) for key, values in scores.items()]
            labels = ", ".join(f"{count} {name}" for name, count in summary["labels"].items())
            tags = {CONVERGENCE: labels}
            if summary.get("verdict"):
                tags |= {VERDICT: summary["verdict"], EVIDENCE: "\n".join(summary["reasons"])}
            self._log(self.run_id, metrics, tags)
            self._client.log_artifacts(self.run_id, str(self._folder / spool.FILES))
        note = descriptions.of_trial(record, self._experiment, self.run_id, self._children)
        self._log(self.run_id, tags={MLFLOW_RUN_NOTE: note} | ({REASON: record["reason"]} if record["reason"] else {}))
        if self._doubtful:
            self._drop_duplicates()
        for run in (*self._children, self.run_id):
            self._client.set_terminated(run, record["status"])

    def _drop_duplicates(self) -> None:
        """Deletes runs that a server made twice, since it was asked again when its answer got lost."""
        for run in self._store.runs(KEY, self._key, self._experiment):
            if run.info.run_id not in (self.run_id, *self._children):
                self._store.drop(run.info.run_id)

    def _log(
        self, run: str, metrics: Sequence[Metric] = (), tags: Mapping[str, str] = NONE, params: Mapping[str, str] = NONE
    ) -> None:
        if metrics or tags or params:
            marks = [RunTag(key, text) for key, text in tags.items()]
            settings = [Param(key, parameter(text)) for key, text in params.items()]
            for start in range(0, max(1, len(metrics)), METRICS_PER_CALL):
                batch = metrics[start : start + METRICS_PER_CALL]
                self._client.log_batch(run, metrics=batch, tags=[] if start else marks, params=[] if start else settings)


def _progress(summary: Mapping[str, Any], place: int) -> dict[str, float]:
    """A replicate's training loss and its projected improvement, in trivial losses; nothing in an older program's record."""
    if "improvements" not in summary:
        return {}
    low_high = summary["improvements"][place] or ()
    return {"loss_over_trivial": summary["relative_losses"][place]} | dict(
        zip(("improvement_low", "improvement_high"), low_high, strict=False)
    )


def _points(leg: Mapping[str, Any], key: str, place: int) -> list[Metric]:
    """A replicate's losses by epoch, from 1; what was not finite is left out, since MLflow would keep infinity as 1.8e308."""
    first = leg["epochs_done"] - len(leg[key]) + 1
    return [Metric(key, row[place], leg["time"], first + i) for i, row in enumerate(leg[key]) if row[place] is not None]


class Server:
    """Handles the messages."""

    def __init__(self, opened: store.Store, folder: Path) -> None:
        self._store, self._folder, self._trials = opened, folder, dict[str, TrialRuns]()
        self._take_over()

    def _take_over(self) -> None:
        for left in spool.take_over(self._folder):
            with contextlib.suppress(BadInput):  # of a study that was deleted in MLflow; it may be restored
                self._finish(left)

    def handle(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        match message["op"]:
            case "open":
                return {"run_id": self._open(Path(message["folder"]), message["record"])}
            case "curves":
                self._trials[message["folder"]].curves(message["curves"])
            case "close":
                self._close(Path(message["folder"]))
            case "experiment":
                experiment = self._store.experiment(message["name"], message["columns"])
                return {"page": self._store.page(experiment)}
            case "study":
                experiment = self._store.experiment(message["name"])
                return {
                    "run_id": self._store.log_study(
                        experiment, message["name"], message["tags"], message["texts"], message["files"]
                    )
                }
            case "disown":
                self._disown(message["name"], message["trials"])
            case "files":
                for file in message["files"]:
                    self._store.client.log_artifact(message["run_id"], file)
                return {}
            case "drain":
                self._take_over()  # what a worker of this study couldn't send; whatever came before has been handled
                return {}
        return None

    def _open(self, folder: Path, record: Mapping[str, Any], *, again: bool = False) -> str:
        runs = TrialRuns(self._store, folder, record, again=again)
        self._trials[str(folder)] = runs
        return runs.run_id

    def _close(self, folder: Path) -> None:
        self._trials.pop(str(folder)).close(json.loads((folder / spool.RECORD).read_text()))
        spool.discard(folder)

    def _finish(self, folder: Path) -> None:
        """Writes a record whose trainer is gone, or ends the runs of a trial that never will be complete."""
        if (folder / spool.RECORD).exists():
            self._open(folder, json.loads((folder / spool.RECORD).read_text()), again=True)
            self._close(folder)
            return
        self._kill(self._store.runs(KEY, spool.key_of(folder)))
        spool.discard(folder)

    def _disown(self, name: str, trials: Mapping[str, float]) -> None:
        """Ends the runs of attempts that don't count as killed, however far they came. trials: number → start, in seconds.

        Runs from before belong to an older study of this name.
        """
        experiment = self._store.experiment(name)
        for number, start in trials.items():
            since = int(1000 * (start - CLOCKS_SECONDS))
            wanted = f"tags.`{TRIAL}` = '{number}' AND attributes.status != 'KILLED' AND attributes.start_time > {since}"
            for trial in list(self._store.search(wanted, experiment)):
                self._kill([*self._store.runs(MLFLOW_PARENT_RUN_ID, trial.info.run_id, experiment), trial])

    def _kill(self, runs: Sequence[Run]) -> None:
        for run in runs:
            self._store.end(run.info.run_id, "KILLED", processes.ABANDONED)

    def end(self) -> None:
        """The trainer is gone, and with it the trials that it had in work."""
        for folder in list(self._trials):
            self._finish(Path(folder))


class AbsenceReport(logging.Handler):
    """Tells once that the server is away, in place of the HTTP library's line for each attempt."""

    def __init__(self, uri: str) -> None:
        super().__init__(logging.WARNING)
        self._uri, self._told_at = uri, -TELL_AGAIN_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._told_at >= TELL_AGAIN_SECONDS:
            self._told_at = time.monotonic()
            print(f"tracking.uri {self._uri}: the MLflow server doesn't answer; waiting for it", file=sys.stderr, flush=True)


def main() -> None:
    sys.excepthook = redaction.excepthook
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uri, folder = sys.argv[1:]
    http = logging.getLogger("urllib3.connectionpool")
    http.addHandler(AbsenceReport(uri))
    http.propagate = False
    # standard output is for answers alone: what a library prints goes to standard error
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        # the trainer may be gone; what it has handed over is written all the same
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(content) + "\n")

    def fail(error: StudyError) -> None:
        answer(error=redaction.redact(str(error)), exit_code=error.exit_code)
        sys.exit(error.exit_code)

    server = None
    try:
        for line in sys.stdin:
            message = json.loads(line)
            server = server or Server(store.open_store(uri), Path(folder))
            answered = server.handle(message)
            if answered is not None:
                answer(key=message["key"], **answered)
        if server:
            server.end()
    except StudyError as error:
        fail(error)
    except MlflowException as error:
        fail(sqlite.fault(error, f"tracking.uri {uri}"))
    except OSError as error:  # of this machine, unless it has no number: then it is the HTTP library's
        told = f"tracking.uri {uri}: {error.strerror or error}"
        fail(NotWritable(told) if error.errno else Unreachable(told))


if __name__ == "__main__":
    main()
