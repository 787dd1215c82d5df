"""Run a study: ask for trials, launch them and report their results, until the total is reached."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from study import processes, redaction
from study.clock import Clock
from study.errors import BadInput, StudyError, refused
from study.records.outcome import Failed, TrialResult
from study.records.trial import Asked
from study.search.study import Search

# runs a batch of trials; returns for each its result, or the exception that ended it
Launch = Callable[[Sequence[Asked]], Sequence[TrialResult | BaseException]]
POLL_SECONDS = 1.0
# errors that may not recur: full memory, a broken connection, an unavailable file system
TRANSIENT = (OSError, MemoryError)
TRANSIENT_NAMES = {"ResourceExhaustedError", "UnavailableError", "AbortedError"}  # TensorFlow's

SIGKILL = "SIGKILL(-9)"  # in joblib's list of its workers' exit codes


class Watcher(Protocol):
    """Receives a study's progress, as `progress.StudyProgress` does."""

    def launched(self, asked: Sequence[Asked], ended: int) -> None: ...
    def finished(self, asked: Asked, result: TrialResult) -> None: ...
    def again(self, asked: Asked, reason: str) -> None: ...


def run(
    search: Search,
    launch: Launch,
    watcher: Watcher,
    n_jobs: int,
    most_failures: float,
    clock: Clock,
    until: float = math.inf,
    expect: Callable[[Sequence[Asked]], None] = lambda batch: None,
) -> str | None:
    """Run the remaining trials, `n_jobs` at a time, as long as `time.perf_counter()` is less than `until`.

    Return the reason for stopping because of failures, or None.

    A trial that crashes counts as failed, after a second attempt if that may help; the study continues until more than
    `most_failures` have failed. Errors of storage or tracking, which would hit every further trial, end the study, and so does an
    interrupt; running trials then don't count, and the same command resumes. expect: takes each batch before its launch. The clock
    gets the trials' phases, and 'compose' for the rest of a launch.
    """
    with search.signs_of_life():
        try:
            while time.perf_counter() < until and (batch := _ask(search, n_jobs, clock)):
                watcher.launched(batch, search.ended)
                expect(batch)
                failed = _run(search, batch, launch, watcher, clock)
                if failed and (failures := search.failures()) > most_failures:
                    return f"{failures} trials failed, more than hydra.sweeper.max_failure_rate allows"
        except BaseException:
            search.stop()
            raise
    return None


def others_left_trials(search: Search, show: Callable[[str], None], until: float) -> bool:
    """Wait until no other driver has a trial in work; return whether one has left trials to run again, and there is time."""
    if search.busy():
        show("waiting for another driver's trials")
    while search.busy() and time.perf_counter() < until:
        time.sleep(POLL_SECONDS)
    search.reap()
    return search.remaining() > 0 and time.perf_counter() < until


def _ask(search: Search, n_jobs: int, clock: Clock) -> list[Asked]:
    with clock.phase("search"):
        batch = search.ask(n_jobs)
        if not batch:  # another driver on this study may have died meanwhile
            search.reap()
            batch = search.ask(n_jobs)
        return batch


def _run(search: Search, batch: Sequence[Asked], launch: Launch, watcher: Watcher, clock: Clock) -> bool:
    """Run a batch; return True if a trial of it failed for good."""
    start = time.perf_counter()
    failed = False
    results = _results(launch, batch)
    launched = time.perf_counter() - start
    for asked, result in zip(batch, results, strict=True):
        if not isinstance(result, TrialResult):
            if isinstance(result, StudyError) and not isinstance(result, BadInput):
                raise result
            reason = _reason(result)
            if _may_help(result) and search.again(asked, reason):
                watcher.again(asked, reason)
                continue
            result = TrialResult(Failed(reason))
            with clock.phase("search"):
                search.tell_failed(asked.number, reason)
        else:
            with clock.phase("search"):
                search.tell(asked.number, result)
        failed = failed or isinstance(result.outcome, Failed)
        watcher.finished(asked, result)
    clock.add_jobs(launched, [result.seconds for result in results if isinstance(result, TrialResult)])
    return failed


def _results(launch: Launch, batch: Sequence[Asked]) -> Sequence[TrialResult | BaseException]:
    kills = processes.memory_kills()
    try:
        return launch(batch)
    except StudyError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (refusal := refused(error, f"the output folder in {Path.cwd()}")):
            raise refusal from error  # every further trial would need a folder too
        # the launcher's error: a worker was killed, by an unknown trial of the batch
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        killed = processes.memory_kills() > kills or SIGKILL in str(error)
        lost = WorkerLost(processes.cause_of_death(kills) if killed else reason)
        lost.__cause__ = error
        return [lost] * len(batch)


class WorkerLost(Exception):
    """The launcher lost a batch."""


def _may_help(error: BaseException) -> bool:
    return isinstance(error, (*TRANSIENT, WorkerLost)) or type(error).__name__ in TRANSIENT_NAMES


def _reason(error: BaseException) -> str:
    if isinstance(error, BadInput):
        return redaction.redact(f"bad input: {error}")
    if isinstance(error, WorkerLost):
        return redaction.redact(f"its worker was lost: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return redaction.redact(f"crashed: {type(error).__name__}: {error}{where}")
