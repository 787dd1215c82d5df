"""Does training come to rest? The claims of the question this project grew from, each by a rule on how networks move.

Numbers are of the tail, the last fifth of the epochs (see `study.analysis.motion`), on uniform noise with 128 ReLU units and SGD.
Thresholds are those of the labels. "Before" are the values of a prototype; the rules were written with these known, and before
ours were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np

import study
from benchmarks.findings import ANY, Finding, Sizes, Values, labels, progress, ratio, trained
from study.analysis import convergence, disagreement, motion
from study.analysis.motion import Motion
from study.data import batches
from study.records.arrays import Integers
from study.records.cohort import Cohort
from study.statistics import intervals
from study.statistics.intervals import MeanInterval

NOISE = ("data=noise", "optimizer=sgd", "model.units=[128]")
LIMITS = motion.DEFAULT
ANYTHING = np.inf
RATES = (0.025, 0.05, 0.1)
EDGE = 4  # networks whose curvature is searched


def never_settles(sizes: Sizes) -> Iterator[Finding]:
    """At a constant rate, training never settles.

    Rule: in the last fifth of the epochs the weights go more than .05 of their whole way, and the second half's steps have more
    than a quarter of the first half's energy; after 100, 500 and 2,000 epochs.
    """
    for epochs, before in ((100, ".10"), (500, ".18"), (2_000, ".25")):
        moved, cohort = _moved(sizes, epochs)
        name = f"{cohort.spec.training.epochs} epochs"
        yield Finding(f"{name}: last move over the way", ANY, before, mean(moved.advance), (LIMITS.arrived, ANYTHING))
        yield Finding(f"{name}: energy of the steps", ANY, ANY, mean(moved.slowing), (LIMITS.slowing, ANYTHING), labels(cohort))


def oscillates(sizes: Sizes) -> Iterator[Finding]:
    """Weights oscillate around a minimum.

    Rule: a straight line explains less than .3 of their spread, of weights and of functions each.
    """
    moved, cohort = _moved(sizes)
    yield Finding("share of a line: weights", ANY, ".95", mean(moved.trend), (0, LIMITS.confined), labels(cohort))
    yield Finding("share of a line: function", ANY, "≈ 0", mean(moved.function_trend), (0, LIMITS.confined))


def rates(sizes: Sizes) -> Iterator[Finding]:
    """Too large a rate oscillates, too small a one gets stuck.

    Rule: at 1.0, and with whole batches of diabetes at .1, successive steps have a correlation below −.75, and there the largest
    curvature times the rate, which is 2 at the edge of stability, lies within 1.5 and 2.5. At .0001 the correlation is below .9.
    """
    large, cohort = _moved(sizes, 500, "optimizer.learning_rate=1.0")
    yield Finding("rate 1.0: correlation", ANY, "−1.00", mean(large.correlation), (-1.01, LIMITS.oscillating), labels(cohort))
    whole = ("data=diabetes", "optimizer=sgd", "optimizer.learning_rate=0.1", "training.batch_size=null")
    cohort = trained(*whole, f"replicates.count={sizes.floor}", f"training.epochs={10 * sizes.epochs}")
    correlation = mean(study.motion(cohort).correlation)
    yield Finding("whole batches: correlation", ANY, "−1.00", correlation, (-1.01, LIMITS.oscillating), labels(cohort))
    with progress("curvature"):
        edge = [0.1 * study.stationarity(cohort, index).largest for index in range(EDGE)]
    yield Finding("whole batches: λmax × rate", ANY, "≈ 2", mean(np.array(edge)), (1.5, 2.5))
    small, cohort = _moved(sizes, 500, "optimizer.learning_rate=0.0001")
    yield Finding("rate 0.0001: correlation", ANY, "1.00", mean(small.correlation), (-1.01, motion.ON_ITS_WAY), labels(cohort))


def schedules(sizes: Sizes) -> Iterator[Finding]:
    """Schedules that let the rate fall mitigate this.

    Rule: with a cosine, weights wander less than a tenth as far as at the constant rate, and per unit of learning rate at less than
    half the speed of their whole way; and reduce_on_plateau ends at no more than 1.1 times the constant rate's training loss.
    """
    (constant, at_rate), (cosine, cohort) = _moved(sizes), _moved(sizes, 500, "schedule=cosine")
    wanders = ratio(mean(cosine.wander), mean(constant.wander))
    yield Finding("wander: cosine ÷ constant", ANY, ".06", wanders, (0, 0.1), labels(cohort))
    yield Finding("cosine: speed per rate", ANY, "1.22", mean(cosine.pace), (0, 0.5))
    _, plateau = _moved(sizes, 500, "schedule=reduce_on_plateau")
    losses = [mean(each.final(each.train_loss).astype(np.float64)) for each in (plateau, at_rate)]
    yield Finding("train loss: plateau ÷ constant", ANY, "1.47", ratio(*losses), (0, 1.1), labels(plateau))


def radius(sizes: Sizes) -> Iterator[Finding]:
    """The radius within which networks stay grows with the square root of the rate, as for independent noise at every step.

    Rule: the slope of its logarithm by that of the rate, for the function and rates of .025, .05 and .1 over the same sum of rates,
    lies within .4 and .6, whether an epoch's batches are the shuffled rows or drawn with replacement. What averaging the function
    gains is the square of it. With replacement isn't a setting: here, another draw takes the place of the engine's.

    Added after a first look, since without weight decay the radius grows as training goes on, whatever the batches: the same with
    weight decay, which lets the function become stationary, and at a quarter of these rates; and the function's scatter, by its
    steps from epoch to epoch alone, which leaves out slow motion.
    """
    slower = [rate / 4 for rate in RATES]
    for setting, count, more, rates in (
        ("", sizes.many, (), RATES),
        ("l2 .001, rate ÷ 4, ", sizes.paired, ("model.l2=0.001",), slower),
    ):
        for name, draw, before in (("shuffled", batches.draw, ("1.00", "2.00")), ("replaced", _with_replacement, (".48", ".95"))):
            with mock.patch.object(batches, "draw", draw):
                found = [_radii(sizes, rate, count, more, name) for rate in rates]
            for index, (quantity, range_, earlier) in enumerate(
                (("radius", (0.4, 0.6), before[0]), ("scatter", (0.4, 0.6), ANY), ("gain", None, before[1]), ("wander", None, ANY))
            ):
                slopes = np.polyfit(np.log(rates), np.log([radii[index] for radii in found]), 1)[0]
                yield Finding(f"{setting}{name}: {quantity}", ANY, earlier, mean(slopes), range_)


def wobble(sizes: Sizes) -> Iterator[Finding]:
    """Replicates at the same loss are different functions.

    Rule: they differ at least twice as much as two of the last epochs of one of them.
    """
    for name, more, before in (("", (), ".69"), ("l2 0.001, ", ("model.l2=0.001",), "1.07")):
        moved, cohort = _moved(sizes, 500, *more)
        target = study.load_data(cohort.spec).y_val
        apart = intervals.mean_of_pairs(disagreement.between(cohort.predictions, target))
        share = ratio(mean(moved.wobble), apart)
        yield Finding(
            f"{name}wobble ÷ disagreement", ANY, before, share, (0, 0.5), f"disagreement {apart.mean:.3g}; {labels(cohort)}"
        )


def mean(values: Values) -> MeanInterval:
    """values: one per network."""
    middle, half = float(np.mean(values)), intervals.mean_halfwidth(values)
    half = np.nan if half is None else half
    return MeanInterval(middle, middle - half, middle + half)


def _moved(sizes: Sizes, epochs: int = 500, *more: str) -> tuple[Motion, Cohort]:
    """Networks at .1, or as `more` says; with fewer epochs where little is asked for."""
    given = max(20, epochs * sizes.epochs // 200)
    rate = () if any(word.startswith("optimizer.learning_rate") for word in more) else ("optimizer.learning_rate=0.1",)
    cohort = trained(*NOISE, *rate, f"replicates.count={sizes.many}", f"training.epochs={given}", *more)
    return study.motion(cohort), cohort


def _radii(sizes: Sizes, rate: float, count: int, more: tuple[str, ...], name: str) -> list[Values]:
    """Return the function's radius and scatter, the gain of averaging it, and the weights' wander, [R] each.

    name: of the draw of batches; not cached, since settings don't know it.
    """
    given = round(50 / rate) * sizes.epochs // 200
    settings = (*NOISE, f"optimizer.learning_rate={rate}", f"replicates.count={count}", f"training.epochs={given}", *more)
    with progress(f"training {count} networks at {rate} {' '.join(more)}, batches {name}"):
        cohort = study.train(study.compose(settings))
    moved = study.motion(cohort)
    assert cohort.trajectory
    last = convergence.tail_length(given)
    return [moved.wobble, np.sqrt(cohort.trajectory.function_step[:, -last:].mean(axis=1)), moved.gain, moved.wander]


def _with_replacement(rng: np.random.Generator, epochs: int, rows: int, batch_size: int, steps: int) -> Integers:
    return rng.integers(0, rows, (epochs, steps, batch_size), dtype=np.int32)


CLAIMS: tuple[Callable[[Sizes], Iterator[Finding]], ...] = (never_settles, oscillates, rates, schedules, radius, wobble)
