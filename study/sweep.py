"""Runs a study: asks for trials, launches them, tells their results, until the total is reached."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

from study.clock import Clock
from study.errors import BadInput, StudyError
from study.records import Asked, Failed, TrialResult
from study.search import INTERRUPTED, Search

# runs a batch of trials to their ends: each gives its result, or the exception that ended it
Launch = Callable[[Sequence[Asked]], Sequence[TrialResult | BaseException]]


class Watcher(Protocol):
    """What is told of a study's progress; see `terminal.StudyProgress`."""

    def launched(self, asked: Sequence[Asked]) -> None: ...
    def finished(self, asked: Asked, result: TrialResult) -> None: ...


def run(search: Search, launch: Launch, watcher: Watcher, n_jobs: int, clock: Clock) -> None:
    """Runs the trials that remain, `n_jobs` at a time. The clock gets the trials' phases, and 'compose' for the rest of a launch.

    A trial that crashes is told as failed and the study goes on. An error of storage or tracking, which every further trial
    would meet too, ends it, and so does an interrupt; the trials in flight then don't count, and the same command resumes.
    """
    while remaining := search.remaining():
        with clock.phase("search"):
            batch = [search.ask() for _ in range(min(n_jobs, remaining))]
        watcher.launched(batch)
        start = time.perf_counter()
        try:
            results = launch(batch)
            fatal = next((r for r in results if isinstance(r, StudyError) and not isinstance(r, BadInput)), None)
            if fatal:
                raise fatal
        except BaseException:
            for asked in batch:
                search.tell_failed(asked.number, INTERRUPTED)
            raise
        launched = time.perf_counter() - start
        for asked, result in zip(batch, results, strict=True):
            told = result if isinstance(result, TrialResult) else TrialResult(Failed(_reason(result)))
            with clock.phase("search"):
                search.tell(asked.number, told)
            watcher.finished(asked, told)
            launched -= sum(told.seconds.values())
            for phase, seconds in told.seconds.items():
                clock.add(phase, seconds)
        # what is left is Hydra's: composing the job's config and preparing its folder
        clock.add("compose", max(0.0, launched))


def _reason(error: BaseException) -> str:
    if isinstance(error, BadInput):
        return f"bad input: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"crashed: {type(error).__name__}: {error}{where}"
