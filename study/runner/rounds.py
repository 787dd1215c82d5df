"""Train rounds of a race in this process, several at once: a round of few replicates keeps one core busy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from study.clock import Clock
from study.data import dataset
from study.engine.width import available_cores
from study.errors import BadInput
from study.records.outcome import TrialResult
from study.runner import memory
from study.runner.race import Round
from study.runner.validation import ComposedTrials
from study.search.space import Space
from study.settings.spec import TrialSpec
from study.tracking import warm_start


def train(rounds: Sequence[Round], trials: ComposedTrials, space: Space) -> list[TrialResult | BaseException]:
    """Return each round's result, or the exception that ended it. Their settings are trials', so nothing is checked again.

    Large networks keep all cores busy in any case (`width_of`). An interrupt ends every round after the leg that it is in.
    """
    specs = [_of(trials.spec(part.params, space), part) for part in rounds]
    interrupted = threading.Event()
    pool = ThreadPoolExecutor(available_cores() if _fit(specs) else 1)
    try:
        running = [pool.submit(_train, spec, trials.uri, interrupted) for spec in specs]
        return [future.exception() or future.result() for future in running]
    finally:
        interrupted.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _of(spec: TrialSpec, part: Round) -> TrialSpec:
    return replace(spec, replicates=replace(spec.replicates, first=part.first, count=part.count))


def _fit(specs: Sequence[TrialSpec]) -> bool:
    """Return whether there is memory for as many rounds at once as there are cores."""
    try:
        for spec in specs:
            together = replace(spec, replicates=replace(spec.replicates, count=spec.replicates.count * available_cores()))
            memory.check(together, dataset.load_data(spec))
    except BadInput:
        return False
    return True


def _train(spec: TrialSpec, uri: str, interrupted: threading.Event) -> TrialResult:
    from study.runner import trial

    datasets = dataset.load_replicates(spec)
    return trial.measure(spec, datasets, Clock(), warm_start.load(spec, datasets[0], uri), interrupted.is_set)
