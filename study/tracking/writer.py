"""The process that writes to MLflow: `python -m study.tracking.writer URI SPOOL`.

It reads messages, one JSON object a line, until its input ends, and answers on standard output. Each message is handled wholly
before the next; MLflow's own asynchronous logging isn't used, since it loses what is queued when the process is killed. All that
is sent carries its first time stamp, so that sending it again changes nothing.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from study import processes
from study.errors import StudyError, Unreachable
from study.tracking import spool, store
from study.tracking.names import (
    CONVERGENCE,
    EPOCH,
    EVIDENCE,
    FINGERPRINT,
    KIND,
    OWNER,
    REASON,
    REPLICATE,
    SEARCHABLE,
    TRIAL,
    VERDICT,
)

METRICS_PER_CALL = 1000
COMPARED = ("aligned", "null", "barrier", "aligned_barrier", "cka", "finite_test")
NONE: Mapping[str, str] = MappingProxyType({})


class TrialRuns:
    """The runs of one trial: its own, and a child for each replicate."""

    def __init__(self, client: MlflowClient, experiment: str, folder: Path, record: Mapping[str, Any]) -> None:
        self._client, self._folder, self._record = client, folder, record
        self._epochs_sent = 0
        runs = folder / spool.RUNS
        if runs.exists():  # an earlier writer made them
            made = json.loads(runs.read_text())
            self.run_id, self._children = made["run_id"], made["children"]
            return
        self.run_id, self._children = self._create(experiment)
        runs.write_text(json.dumps({"run_id": self.run_id, "children": self._children}))

    def _create(self, experiment: str) -> tuple[str, list[str]]:
        record = self._record
        number = {TRIAL: str(record["number"])} if record["number"] is not None else {}
        source = {MLFLOW_SOURCE_NAME: "mlp-study", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}
        tags = source | {KIND: "trial", OWNER: processes.owner()} | number
        run = self._client.create_run(experiment, tags=tags, run_name=record["name"]).info.run_id
        self._log(run, params=record["params"])
        children = []
        for place, replicate in enumerate(record["replicates"]):
            tags = {KIND: "replicate", MLFLOW_PARENT_RUN_ID: run, REPLICATE: str(replicate)}
            child = self._client.create_run(experiment, tags=tags, run_name=f"{record['name']}/{replicate}").info.run_id
            seeds = {f"seed.{source}": str(each[place]) for source, each in record["seeds"].items()}
            # the settings too, so that replicates of different trials can be compared in the UI
            self._log(child, params=record["params"] | {"replicate": str(replicate)} | seeds)
            children.append(child)
        return run, children

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
            summary, last = record["summary"], legs[-1]
            scores = {f"val_{name}": values for name, values in summary["scores"].items()}
            found = zip(self._children, record["fingerprints"], record["labels"], record["epochs"], strict=True)
            for place, (child, mark, label, epoch) in enumerate(found):
                values = {key: each[place] for key, each in scores.items()} | _progress(summary, place)
                points = [Metric(key, value, last["time"], epoch) for key, value in values.items()]
                tags = {FINGERPRINT: mark, CONVERGENCE: label, EPOCH: str(epoch)}
                if record.get("searchable"):
                    tags[SEARCHABLE] = record["searchable"][place]
                self._log(child, points, tags)
            keys = ("val_loss_std", "val_loss_halfwidth", "train_loss_mean", "distance", "disagreement", "distinct", *COMPARED)
            metrics = [Metric(key, summary[key], last["time"], last["epochs_done"]) for key in keys if summary.get(key) is not None]
            metrics += [Metric(k, sum(v) / len(v), last["time"], last["epochs_done"]) for k, v in scores.items()]
            labels = ", ".join(f"{count} {name}" for name, count in summary["labels"].items())
            tags = {CONVERGENCE: labels}
            if summary.get("verdict"):
                tags |= {VERDICT: summary["verdict"], EVIDENCE: "\n".join(summary["reasons"])}
            self._log(self.run_id, metrics, tags)
            self._client.log_artifacts(self.run_id, str(self._folder / spool.FILES))
        self._end(record["status"], record["reason"])

    def abandon(self) -> None:
        """Ends the runs of a trial whose process ended in the middle of it."""
        self._end("KILLED", processes.ABANDONED)

    def _end(self, status: str, reason: str | None) -> None:
        if reason:
            self._log(self.run_id, tags={REASON: reason})
        for run in (*self._children, self.run_id):
            self._client.set_terminated(run, status)

    def _log(
        self, run: str, metrics: Sequence[Metric] = (), tags: Mapping[str, str] = NONE, params: Mapping[str, str] = NONE
    ) -> None:
        if metrics or tags or params:
            marks = [RunTag(key, text) for key, text in tags.items()]
            settings = [Param(key, text) for key, text in params.items()]
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
        self._store, self._trials = opened, dict[str, TrialRuns]()
        for left in spool.take_over(folder):
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
            case "files":
                for file in message["files"]:
                    self._store.client.log_artifact(message["run_id"], file)
                return {}
            case "drain":
                return {}  # whatever came before has been handled
        return None

    def _open(self, folder: Path, record: Mapping[str, Any]) -> str:
        runs = TrialRuns(self._store.client, self._store.experiment(record["experiment"]), folder, record)
        self._trials[str(folder)] = runs
        return runs.run_id

    def _close(self, folder: Path) -> None:
        self._trials.pop(str(folder)).close(json.loads((folder / spool.RECORD).read_text()))
        spool.discard(folder)

    def _finish(self, folder: Path) -> None:
        """Writes a record whose trainer is gone, or ends the runs of a trial that never will be complete."""
        if (folder / spool.RECORD).exists():
            self._open(folder, json.loads((folder / spool.RECORD).read_text()))
            self._close(folder)
            return
        if (folder / spool.RUNS).exists():
            TrialRuns(self._store.client, "", folder, {}).abandon()
        spool.discard(folder)

    def end(self) -> None:
        """The trainer is gone, and with it the trials that it had in work."""
        for folder in list(self._trials):
            self._finish(Path(folder))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uri, folder = sys.argv[1:]
    # standard output is for answers alone: what a library prints goes to standard error
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        # the trainer may be gone; what it has handed over is written all the same
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(content) + "\n")

    server = None
    try:
        for line in sys.stdin:
            message = json.loads(line)
            server = server or Server(store.connect(uri), Path(folder))
            answered = server.handle(message)
            if answered is not None:
                answer(key=message["key"], **answered)
        if server:
            server.end()
    except StudyError as error:
        answer(error=str(error), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except MlflowException as error:
        answer(error=f"tracking.uri {uri}: {error}", exit_code=Unreachable.exit_code)
        sys.exit(Unreachable.exit_code)


if __name__ == "__main__":
    main()
