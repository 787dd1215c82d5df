"""Decide a study: train more replicates of the trials that may be the best, until the race between them has ended.

The decision is a function of the losses alone, and every replicate's bits of its settings and seeds. So several drivers, and one
that was killed and started again, train the same rounds and decide alike.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from study.clock import Clock
from study.errors import StudyError
from study.records.arrays import Scalar
from study.records.outcome import TrialResult
from study.records.trial import TrialRecord
from study.reporting import decisions
from study.statistics.race import Decision, Rules

if TYPE_CHECKING:  # it loads Optuna
    from study.search.study import Search


@dataclass(frozen=True)
class Round:
    """The replicates `first` … `first + count − 1` of a trial, and its settings."""

    number: int
    first: int
    count: int
    params: Mapping[str, Scalar] = field(compare=False)


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
    expect_winner: Callable[[TrialRecord], None] = lambda leader: None,
) -> Decision | None:
    """Run the race to its end, or until `time.perf_counter()` is `until`; return its decision, None without a completed trial.

    at_once: rounds that are trained together. show: takes a line on the progress. expect_winner: takes the leader of each round.
    Raises StudyError for faults of storage, and what a round raised twice, since it would hit the others too.
    """
    search.open_race(rules)
    lost: set[Round] = set()
    # drivers that share a race begin at different places of a round
    order = random.Random(os.getpid())
    trained, start = 0, time.perf_counter()
    while True:
        records = search.records()
        decision = decisions.decide(records, search.objectives[0], rules, per_split)
        if decision is None or not decision.next or time.perf_counter() > until:
            if decision and decision.winner is not None:
                search.tell_winner(decision.winner)
            return decision
        show(decisions.progress(decision, trained / (time.perf_counter() - start)))
        by_number = {record.number: record for record in records}
        if decision.winner is not None:
            expect_winner(by_number[decision.winner])
        missing = [_round(by_number[number], count) for number, count in decision.next.items()]
        order.shuffle(missing)
        wanted = missing[:at_once]
        trained += sum(part.count for part in wanted)
        for part, error in _train(search, wanted, train, clock).items():
            if part in lost or isinstance(error, StudyError):
                raise error if isinstance(error, StudyError) else RuntimeError(f"replicates of trial {part.number}: {error!r}")
            lost.add(part)


def _round(record: TrialRecord, count: int) -> Round:
    assert record.summary is not None
    first = len(record.summary.val_losses)
    return Round(record.number, first, count - first, record.params)


def _train(search: Search, wanted: Sequence[Round], train: Train, clock: Clock) -> dict[Round, BaseException]:
    """Train rounds and keep their results; return the errors of those that have none."""
    start = time.perf_counter()
    errors: dict[Round, BaseException] = {}
    results: Sequence[TrialResult | BaseException]
    try:
        results = train(wanted)
    except StudyError:
        raise
    except Exception as error:  # the launcher lost a worker
        results = [error] * len(wanted)
    clock.add_jobs(time.perf_counter() - start, [result.seconds for result in results if isinstance(result, TrialResult)])
    for part, result in zip(wanted, results, strict=True):
        if isinstance(result, BaseException):
            errors[part] = result
        else:
            search.tell_round(part.number, part.first, result)
    return errors
