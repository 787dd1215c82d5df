"""Decide a study: train more replicates of the trials that may be the best, until the race between them has ended.

The decision is a function of the losses alone, and every replicate's bits of its settings and seeds. So several drivers, and one
that was killed and started again, train the same rounds and decide alike.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from study.clock import Clock
from study.errors import StudyError
from study.records.outcome import TrialResult
from study.records.trial import TrialRecord
from study.reporting import decisions
from study.search.study import Search
from study.statistics.race import Decision, Rules

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Round:
    """The replicates `first` … `first + count − 1` of a trial."""

    record: TrialRecord
    first: int
    count: int


# trains rounds; returns for each its result, or the exception that ended it
Train = Callable[[Sequence[Round]], Sequence[TrialResult | BaseException]]


def run(
    search: Search,
    rules: Rules,
    per_split: int,
    train: Train,
    at_once: int,
    show: Callable[[str], None],
    clock: Clock,
    until: float = math.inf,
) -> Decision | None:
    """Run the race to its end, or until `time.perf_counter()` is `until`; return its decision, None without a completed trial.

    at_once: rounds that are trained together. show: takes a line on the progress. Raises StudyError for faults of storage, and what
    a round raised that isn't the settings' fault.
    """
    search.open_race(rules)
    with clock.phase("search"):
        while search.busy():
            show("waiting for another driver's trials")
            time.sleep(POLL_SECONDS)
    # drivers that share a race begin at different places of a round
    order = random.Random(os.getpid())
    while True:
        records = search.records()
        decision = decisions.decide(records, search.objectives[0], rules, per_split)
        if decision is None or not decision.next or time.perf_counter() > until:
            return decision
        show(decisions.progress(decision))
        by_number = {record.number: record for record in records}
        missing = [_round(by_number[number], count) for number, count in decision.next.items()]
        order.shuffle(missing)
        _train(search, missing[:at_once], train, clock)


def _round(record: TrialRecord, count: int) -> Round:
    assert record.summary is not None
    first = len(record.summary.val_losses)
    return Round(record, first, count - first)


def _train(search: Search, wanted: Sequence[Round], train: Train, clock: Clock) -> None:
    started = time.perf_counter()
    for part, result in zip(wanted, train(wanted), strict=True):
        if isinstance(result, BaseException):
            # what hits one round would hit the others
            raise (
                result if isinstance(result, StudyError) else RuntimeError(f"replicates of trial {part.record.number}: {result!r}")
            )
        search.tell_round(part.record.number, part.first, result)
        for phase, seconds in result.seconds.items():
            clock.add(phase, seconds)
            started += seconds
    clock.add("compose", max(0.0, time.perf_counter() - started))
