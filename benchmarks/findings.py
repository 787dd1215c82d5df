"""What a benchmark of claims finds: numbers with intervals, judged by ranges, and the cohorts they are of."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import stats

import study
from study.analysis import convergence, disagreement, distance, metrics
from study.records.cohort import Cohort
from study.statistics import intervals
from study.statistics.intervals import MeanInterval

Values = npt.NDArray[np.float64]

# 0.3322 of 1,797 rows are 597
DIGITS = ("data=digits", "data.validation_fraction=0.3322")
ANY = ""
UNKNOWN = MeanInterval(*[np.nan] * 3)


@dataclass(frozen=True)
class Sizes:
    """replicates: of a cohort whose spread is measured; floor: of one that only says whether there is any; paired: networks of
    which every two are joined by a line; levels: of either source on the digits; many: on the small data."""

    epochs: int = 200
    replicates: int = 64
    floor: int = 16
    paired: int = 8
    levels: int = 8
    many: int = 16
    small_epochs: int = 100
    widths: tuple[int, ...] = (8, 32, 128, 512)


QUICK = Sizes(epochs=20, replicates=8, floor=4, paired=4, levels=4, many=4, small_epochs=20, widths=(8, 32))


@dataclass(frozen=True)
class Finding:
    """One line of the table; a number without a range is reported but not judged."""

    quantity: str
    published: str
    before: str
    ours: MeanInterval
    within: tuple[float, float] | None = None
    note: str = ""
    learned: bool = True

    @property
    def verdict(self) -> str:
        if self.within is None:
            return ""
        low, high = self.within
        if not self.learned:
            return "no test"
        if low <= self.ours.low and self.ours.high <= high:
            return "holds"
        return "fails" if self.ours.high < low or self.ours.low > high else "undecided"


# -- numbers with intervals ------------------------------------------------------------------------------------------------------


def jackknife(statistic: Callable[[Values], float], values: Values, axes: int = 1) -> MeanInterval:
    """A statistic of `values` with independent draws along each of the first `axes` axes, whose variances add up."""
    variance = 0.0
    for axis, count in enumerate(values.shape[:axes]):
        left_out = np.array([statistic(np.delete(values, place, axis)) for place in range(count)])
        variance += (count - 1) / count * float(np.sum((left_out - left_out.mean()) ** 2))
    half = float(stats.t.ppf(0.975, min(values.shape[:axes]) - 1) * np.sqrt(variance))
    value = statistic(values)
    return MeanInterval(value, value - half, value + half)


def ratio(a: MeanInterval, b: MeanInterval) -> MeanInterval:
    """a / b of independent estimates, by linear propagation of half the intervals' widths."""
    if not b.mean:
        return UNKNOWN
    value = a.mean / b.mean
    half = float(np.hypot(a.high - a.mean, value * (b.high - b.mean)) / b.mean)
    return MeanInterval(value, value - half, value + half)


def accuracy_sd(cohort: Cohort) -> MeanInterval:
    """Percentage points."""
    right = 100 * metrics.accuracy(cohort.predictions, study.load_data(cohort.spec).y_val)
    return jackknife(lambda each: float(np.std(each, ddof=1)), right)


def churn(cohort: Cohort) -> MeanInterval:
    """Per cent."""
    return intervals.mean_of_pairs(100 * disagreement.churn(cohort.predictions))


def weights_apart(cohort: Cohort) -> MeanInterval:
    return intervals.mean_of_pairs(distance.relative_l2(distance.vectors(cohort.networks())))


def labels(cohort: Cohort) -> str:
    return ", ".join(f"{cohort.labels.count(name)} {name}" for name in sorted(set(cohort.labels)))


def learned(cohort: Cohort) -> bool:
    """Whether more than half of the networks did."""
    return 2 * sum(name in (convergence.STUCK, convergence.DIVERGED) for name in cohort.labels) < len(cohort)


# -- training --------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Print what is being done, every five seconds while it lasts, and how long it took."""
    start, done = time.perf_counter(), threading.Event()

    def show(end: str) -> None:
        print(f"{what}: {time.perf_counter() - start:.0f} s{end}", file=sys.stderr, flush=True)

    def beat() -> None:
        while not done.wait(5):
            show(" …")

    print(what, file=sys.stderr, flush=True)
    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        show("")


@cache
def trained(*overrides: str) -> Cohort:
    spec = study.compose(overrides)
    with progress(f"training {spec.replicates.count} networks: {' '.join(overrides)}"):
        return study.train(spec)


def varying(sources: str, count: int, epochs: int, *overrides: str) -> Cohort:
    """On the digits."""
    return trained(*DIGITS, *overrides, f"replicates.vary=[{sources}]", f"replicates.count={count}", f"training.epochs={epochs}")


def crossed(sources: str, levels: int, epochs: int, *overrides: str) -> Cohort:
    across = f"replicates.crossed=[{levels},{levels}]"
    return trained(*overrides, f"replicates.vary=[{sources}]", across, f"training.epochs={epochs}")
