"""Compile the programs of trials to come, while the present one trains, is analysed and recorded.

Nothing but time depends on it: a trial that finds no program compiles its own, and an expected trial that never comes has cost some
of a core that was idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from study.settings.spec import TrialSpec

if TYPE_CHECKING:
    from study.engine.program import Signature

MOST_WAITING = 3
LARGEST = 50e6  # bytes of a trial's rows: a training that is prepared holds them once more


class Ahead:
    """A thread that compiles programs, each once."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._known: set[Signature] = set()
        self._waiting: list[Future[None]] = []

    def expect(self, specs: Iterable[TrialSpec], *, now: Iterable[TrialSpec] = ()) -> None:
        """Compile the programs of these trials, nearest first. now: trials that are about to compile their own."""
        from study.data import dataset
        from study.engine.training import signature_of

        self._known |= {signature_of(spec, dataset.load_data(spec)) for spec in now}
        self._waiting = [job for job in self._waiting if not job.done()]
        for spec in specs:
            data = dataset.load_data(spec)
            if (signature := signature_of(spec, data)) in self._known or len(self._waiting) >= MOST_WAITING:
                continue
            if sum(array.nbytes for array in (data.x_train, data.y_train, data.x_val, data.y_val)) <= LARGEST:
                self._known.add(signature)
                self._waiting.append(self._pool.submit(_compile, spec))


def _compile(spec: TrialSpec) -> None:
    from study.clock import Clock
    from study.data import dataset
    from study.engine.training import CohortTraining
    from study.engine.width import WIDTH

    with suppress(Exception):  # the trial itself will meet it
        # a part alone has the same program
        spec = replace(spec, replicates=replace(spec.replicates, count=min(WIDTH, spec.replicates.count)))
        CohortTraining(spec, dataset.load_replicates(spec), Clock()).compile()


@contextmanager
def open_ahead() -> Iterator[Ahead]:
    pool = ThreadPoolExecutor(1)
    try:
        yield Ahead(pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
