"""The process that writes to MLflow: `python -m study.tracking.writer URI SPOOL LOCK`.

It reads messages, one per line, until its input ends, and answers on standard output. Each message is handled wholly before the
next; MLflow's own asynchronous logging isn't used, since it loses what is queued when the process is killed. All that is sent
carries its first time stamp, so that sending it again changes nothing. A run carries a key instead, by which it is found again if
it was made and the answer got lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mlflow.entities import Metric, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from study import collector, processes, redaction, sqlite
from study.errors import BadInput, Corrupt, NotWritable, StudyError, Unreachable
from study.tracking import descriptions, messages, reader, schema, spool, store
from study.tracking.messages import RacedTrial, TrialStart
from study.tracking.schema import KEY, KILLED, RACE_VAL_LOSS, REASON, TRIAL, WHOLE
from study.tracking.trial_runs import METRICS_PER_CALL, TrialRuns

WARN_AGAIN_SECONDS = 300.0
# HTTP: a login that is missing, a timeout, too many requests
TRY_AGAIN = (401, 403, 408, 429)
CLOCKS_SECONDS = 60.0  # by which machines may differ


class Server:
    """Handles the messages."""

    def __init__(self, opened: store.Store, folder: Path) -> None:
        self._store, self._folder, self._trials = opened, folder, dict[str, TrialRuns]()
        # folder → why MLflow doesn't take its trial
        self._refused: dict[str, str] = {}
        self._unwatched, self._kills = False, processes.memory_kills()
        self._take_over()

    def _take_over(self) -> None:
        for left in spool.take_over(self._folder):
            # BadInput: its study was deleted in MLflow, and may be restored
            with contextlib.suppress(BadInput), self._setting_aside(left):
                self._finish(left)

    @contextlib.contextmanager
    def _setting_aside(self, folder: Path) -> Iterator[None]:
        """A trial's record that is damaged, or that MLflow refuses for good, stands in no other trial's way."""
        try:
            yield
        except (Corrupt, MlflowException) as error:
            if isinstance(error, MlflowException) and not _for_good(error):
                raise
            self._trials.pop(str(folder), None)
            self._set_aside(folder, redaction.redact(str(error)))

    def _set_aside(self, folder: Path, reason: str) -> None:
        with contextlib.suppress(MlflowException):
            self._kill(self._store.runs(KEY, spool.key_of(folder)))
        if (folder / spool.RECORD).exists():
            aside = spool.set_aside(folder, reason)
            print(f"a trial's record can't be sent to MLflow: {reason}; it is kept in {aside}", file=sys.stderr, flush=True)
        else:  # its trainer has yet to complete it
            self._refused[str(folder)] = reason

    def handle(self, message: messages.Message) -> messages.Answered | None:
        """Do what a message asks; return the answer to a question."""
        match message:
            case messages.Prepare(unwatched):
                # a study trains in its driver's process too, and the driver's word comes first
                self._unwatched |= unwatched
                return None
            case messages.OpenTrial(key, folder, start):
                with self._setting_aside(Path(folder)):
                    return messages.Answered(key, self._open(Path(folder), start))
                return messages.Answered(key)
            case messages.SendCurves(folder, curves):
                if folder not in self._refused:
                    with self._setting_aside(Path(folder)):
                        self._trials[folder].curves(curves)
                return None
            case messages.CloseTrial(folder):
                if folder in self._refused:
                    self._set_aside(Path(folder), self._refused.pop(folder))
                else:
                    with self._setting_aside(Path(folder)):
                        self._close(Path(folder))
                return None
            case messages.OpenExperiment(key, name, columns):
                return messages.Answered(key, self._store.page(self._store.experiment(name, columns)))
            case messages.FindTrials(key, name):
                return messages.Answered(key, json.dumps([asdict(run) for run in self._store.trial_runs(name)]))
            case messages.KeepStudy(key, name, tags, params, texts, files):
                keep = partial(self._store.log_study, self._store.experiment(name), name, tags, params, texts, files)
                return messages.Answered(key, store.twice(keep))
            case messages.KeepFiles(key, run_id, files):
                for file in files:
                    self._store.client.log_artifact(run_id, file)
                return messages.Answered(key)
            case messages.Disown(name, started, wholes):
                self._disown(name, started)
                if wholes is not None:
                    self._disown_wholes(name, wholes)
                return None
            case messages.KeepRace(name, trials):
                for trial in trials:
                    self._keep_race(name, trial)
                return None
            case messages.Drain(key):
                self._take_over()  # what a worker of this study couldn't send; whatever came before has been handled
                return messages.Answered(key)

    def _open(self, folder: Path, start: TrialStart, *, again: bool = False) -> str:
        runs = TrialRuns(self._store, folder, start, again=again)
        self._trials[str(folder)] = runs
        return runs.run_id

    def _close(self, folder: Path) -> None:
        self._trials.pop(str(folder)).close(spool.read_record(folder))
        spool.discard(folder)

    def _finish(self, folder: Path) -> None:
        """Write a record whose trainer is gone, or end the runs of a trial that never will be complete."""
        if (folder / spool.RECORD).exists():
            self._open(folder, spool.read_record(folder).start, again=True)
            self._close(folder)
            return
        self._kill(self._store.runs(KEY, spool.key_of(folder)))
        spool.discard(folder)

    def _disown(self, name: str, started: Mapping[int, float]) -> None:
        """End the runs of attempts that don't count as killed, however far they came.

        Runs from before belong to an older study of this name.
        """
        experiment = self._store.experiment(name)
        for number, start in started.items():
            since = int(1000 * (start - CLOCKS_SECONDS))
            wanted = f"tags.`{TRIAL}` = '{number}' AND attributes.status != '{KILLED}' AND attributes.start_time > {since}"
            for trial in list(self._store.search(wanted, experiment)):
                self._kill([*self._store.runs(MLFLOW_PARENT_RUN_ID, trial.info.run_id, experiment), trial])

    def _disown_wholes(self, name: str, kept: Mapping[int, str | None]) -> None:
        """End the runs that hold all replicates of a trial as killed, where the study has kept another one, or none."""
        experiment = self._store.experiment(name)
        for run in list(self._store.search(f"tags.`{WHOLE}` LIKE '%' AND attributes.status = 'FINISHED'", experiment)):
            number, run_id = int(run.data.tags[WHOLE]), run.info.run_id
            if number not in kept or kept[number] not in (None, run_id):
                own = [*self._store.runs(MLFLOW_PARENT_RUN_ID, run_id, experiment), run]
                self._kill(own, f"another run holds all replicates of trial {number}")

    def _keep_race(self, name: str, trial: RacedTrial) -> None:
        """Send a trial's later replicates, unless its run has them."""
        run_id = trial.run_id or reader.run_of(self._store, name, trial.number)
        run = self._store.client.get_run(run_id) if run_id else None
        known = run.data.metrics if run else {}
        if run is None or ({**known, **trial.metrics} == known and (not trial.reason or run.data.tags.get(REASON) == trial.reason)):
            return
        # later than the first ones' own, at the same steps, and the same whenever it is sent: the table has the latest value
        time = (run.info.end_time or run.info.start_time) + len(trial.losses)
        steps = {metric.key: metric.step for metric in run.data._metric_objs}
        points = [Metric(key, value, time, steps.get(key, 0)) for key, value in trial.metrics.items()]
        points += [Metric(RACE_VAL_LOSS, loss, time, number) for number, loss in enumerate(trial.losses)]
        described = descriptions.with_later(run.data.tags.get(MLFLOW_RUN_NOTE, ""), trial)
        note = [RunTag(MLFLOW_RUN_NOTE, schema.tag(described))] if described else []
        # the mean last, by which it is known that the others are there
        for end in range(len(points), 0, -METRICS_PER_CALL):
            batch = points[max(0, end - METRICS_PER_CALL) : end]
            store.twice(partial(self._store.client.log_batch, run.info.run_id, metrics=batch, tags=note))
        if trial.reason:
            store.twice(partial(self._store.client.set_tag, run.info.run_id, REASON, schema.tag(trial.reason)))

    def _kill(self, runs: Sequence[Run], reason: str = processes.ABANDONED) -> None:
        for run in runs:
            self._store.end(run.info.run_id, KILLED, reason)

    def end(self) -> None:
        """Finish the trials of a trainer that is gone."""
        for folder in map(Path, list(self._trials)):
            if self._unwatched and not (folder / spool.RECORD).exists():
                reason = processes.cause_of_death(self._kills)
                print(f"{self._trials[str(folder)].name} ended without a result: {reason}", file=sys.stderr, flush=True)
            with self._setting_aside(folder):
                self._finish(folder)


def _for_good(error: MlflowException) -> bool:
    """Return whether MLflow refuses a request itself, and would do so again."""
    status = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return 400 <= status < 500 and status not in TRY_AGAIN


class AbsenceReport(logging.Handler):
    """Warns once that the server is away, in place of the HTTP library's line for each attempt."""

    def __init__(self, uri: str) -> None:
        super().__init__(logging.WARNING)
        self._uri, self._warned_at = uri, -WARN_AGAIN_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._warned_at >= WARN_AGAIN_SECONDS:
            self._warned_at = time.monotonic()
            print(f"tracking.uri {self._uri}: the MLflow server doesn't answer; waiting for it", file=sys.stderr, flush=True)


def main() -> None:
    sys.excepthook = redaction.excepthook
    collector.own()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uri, folder, lock = sys.argv[1:]
    http = logging.getLogger("urllib3.connectionpool")
    http.addHandler(AbsenceReport(uri))
    http.propagate = False
    # standard output is for answers alone: what a library prints goes to standard error
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(content: messages.Answer) -> None:
        # the trainer may be gone; what it has handed over is written all the same
        with contextlib.suppress(BrokenPipeError):
            answers.write(messages.encode(content))

    def fail(error: StudyError) -> None:
        answer(messages.Refused(redaction.redact(str(error)), error.exit_code))
        sys.exit(error.exit_code)

    server = None
    try:
        for line in sys.stdin:
            message = messages.decode(line)
            if not server:
                processes.hold(lock)
                server = Server(store.open_store(uri), Path(folder))
            if answered := server.handle(message):
                answer(answered)
        if server:
            server.end()
    except StudyError as error:
        fail(error)
    except MlflowException as error:
        fail(sqlite.fault(error, f"tracking.uri {uri}"))
    except OSError as error:  # of this machine, unless it has no number: then it is the HTTP library's
        reason = f"tracking.uri {uri}: {error.strerror or error}"
        fail(NotWritable(reason) if error.errno else Unreachable(reason))


if __name__ == "__main__":
    main()
