"""Put the claims of the question this project grew from to the test: does a network come to rest, and at what?

The trials form a star: each differs from one of them, the centre, in one setting. The centre has a constant learning rate; by what
differs, an arm has a larger or a smaller one, a falling one, whole batches, moving averages or weight decay.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from study.analysis import motion
from study.analysis.convergence import DIVERGED, SLOW, STUCK
from study.records.outcome import MotionSummary, Summary, counted
from study.records.trial import TrialRecord
from study.reporting.headlines import median
from study.reporting.report import Table, number, settings_text
from study.settings.schedule import ConstantRate, Cosine

RATE, SCHEDULE = "optimizer.learning_rate", "schedule"
FEWEST_ARMS = 3  # a star with fewer asks another question
UNIFORM = 0.2  # of its whole way, which weights at a uniform speed go in the last fifth of the epochs
AS_EVER = 0.5  # the pace, above which weights move as ever per unit of learning rate
STILL = 0.1  # a schedule mitigates if weights wander less than this share of a constant rate's
TOLERANCE = 0.1  # replicates reach the same loss if their SD is less than this share of it
POINT = 0.01  # and are one point if their weights are closer than this
HOLDS, FAILS, HALF = "holds", "fails", "holds in part"


@dataclass(frozen=True)
class JudgedClaim:
    """text: the claim; verdict: HOLDS, FAILS or HALF; why: a sentence with the number that says so."""

    text: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Star:
    """centre: the trial that every other differs from in one setting; arms: the others, by that setting."""

    centre: TrialRecord
    arms: Sequence[tuple[str, TrialRecord]]


def star(records: Sequence[TrialRecord]) -> Star | None:
    """Return the star that a study's trials form around a constant learning rate.

    None if they form none, search neither rates nor schedules, or weren't followed.
    """
    for centre in records:
        if RATE not in centre.params or centre.params.get(SCHEDULE) != ConstantRate.name:
            continue
        differing = [[key for key in record.params if record.params[key] != centre.params.get(key)] for record in records]
        arms = [(keys[0], record) for keys, record in zip(differing, records, strict=True) if len(keys) == 1]
        followed = centre.summary is not None and centre.summary.motion is not None
        if followed and len(arms) == len(records) - 1 and len({key for key, _ in arms}) >= FEWEST_ARMS:
            return Star(centre, arms)
    return None


def table(found: Star) -> Table:
    """Tabulate the motion of each trial's replicates, medians over these."""
    rows = []
    for key, record in [("", found.centre), *found.arms]:
        setting = settings_text(
            {key: record.params[key]} if key else {name: found.centre.params[name] for name in (RATE, SCHEDULE)}
        )
        summary = record.summary
        if summary is None or (moved := summary.motion) is None:
            rows.append((setting, record.state, *["–"] * 8))
            continue
        measured = [number(_median(moved, name)) for name in ("wander", "trend", "correlation", "wobble", "function_correlation")]
        labels = Counter(summary.labels).most_common()
        rows.append(
            (
                setting,
                ", ".join(f"{count} {label}" for label, count in labels),
                counted(moved.weights),
                counted(moved.function),
                *measured,
                number(summary.disagreement),
            )
        )
    columns = ("setting", "loss", "weights", "function", "wander", "trend", "correlation", "wobble", "of function", "disagreement")
    return Table(columns, tuple(rows))


def claims(found: Star) -> list[JudgedClaim]:
    """Return the claims that these trials put to the test."""
    centre = found.centre.summary
    assert centre and centre.motion
    told = [_settles(centre.motion), _oscillates(centre.motion)]
    rate = _rate(found.centre)
    rates = sorted(((_rate(record), record) for key, record in found.arms if key == RATE), key=lambda pair: pair[0])
    told += [_too_large(record) for value, record in rates[-1:] if value > rate]
    told += [_too_small(record) for value, record in rates[:1] if value < rate]
    falling = [record for key, record in found.arms if key == SCHEDULE and record.params[key] == Cosine.name]
    told += [_mitigates(centre.motion, record.summary.motion) for record in falling if record.summary and record.summary.motion]
    return [*told, _tolerance(centre)]


def text(told: Sequence[JudgedClaim]) -> str:
    """Return a sentence for each claim."""
    return "\n".join(f"“{claim.text}” {claim.verdict}: {claim.why}." for claim in told)


def _rate(record: TrialRecord) -> float:
    value = record.params.get(RATE)
    return value if isinstance(value, int | float) else math.nan


def _median(moved: MotionSummary, name: str) -> float | None:
    return median(moved.numbers[name])


def _settles(moved: MotionSummary) -> JudgedClaim:
    moving = [not motion.rests(label, held) for label, held in zip(moved.weights, moved.held, strict=True)]
    why = (
        f"the weights of {sum(moving)} of {len(moving)} networks still move, and in the last fifth of the epochs go "
        f"{number(_median(moved, 'advance'))} of their whole way ({UNIFORM} is a uniform speed)"
    )
    return JudgedClaim("At a constant rate, training never settles", HOLDS if sum(moving) > len(moving) / 2 else FAILS, why)


def _oscillates(moved: MotionSummary) -> JudgedClaim:
    around = (motion.CONFINED, motion.OSCILLATING, motion.SETTLED)
    weights, function = (sum(label in around for label in labels) for labels in (moved.weights, moved.function))
    half, count = len(moved.weights) / 2, len(moved.weights)
    verdict = HOLDS if weights > half and function > half else FAILS if max(weights, function) <= half else HALF
    why = (
        f"{weights} of {count} networks stay around a point with their weights (a line explains "
        f"{number(_median(moved, 'trend'))} of their spread), and {function} of {count} as functions "
        f"({number(_median(moved, 'function_trend'))})"
    )
    return JudgedClaim("Weights oscillate around a minimum", verdict, why)


def _too_large(record: TrialRecord) -> JudgedClaim:
    text, summary = "Too large a rate diverges or oscillates", record.summary
    if summary is None or summary.motion is None:
        return JudgedClaim(text, HOLDS, record.reason or record.state)
    moved, count = summary.motion, len(summary.val_losses)
    wrong = max(summary.labels.get(DIVERGED, 0), moved.weights.count(motion.OSCILLATING))
    why = (
        f"{summary.labels.get(DIVERGED, 0)} of {count} networks diverge, and successive steps have a correlation of "
        f"{number(_median(moved, 'correlation'))} (−1 is back and forth)"
    )
    return JudgedClaim(text, HOLDS if wrong > count / 2 else FAILS, why)


def _too_small(record: TrialRecord) -> JudgedClaim:
    text, summary = "Too small a rate gets stuck", record.summary
    if summary is None or summary.motion is None:
        return JudgedClaim(text, FAILS, record.reason or record.state)
    count, stuck = len(summary.val_losses), summary.labels.get(STUCK, 0)
    why = (
        f"{stuck} of {count} networks are stuck and {summary.labels.get(SLOW, 0)} slow; successive steps have a correlation of "
        f"{number(_median(summary.motion, 'correlation'))} (+1 is straight on)"
    )
    return JudgedClaim(text, HOLDS if stuck > count / 2 else FAILS, why)


def _mitigates(constant: MotionSummary, falling: MotionSummary) -> JudgedClaim:
    before, after, pace = _median(constant, "wander"), _median(falling, "wander"), _median(falling, "pace")
    quiet = before is not None and after is not None and after < STILL * before
    verdict = FAILS if not quiet else HALF if pace is not None and pace > AS_EVER else HOLDS
    why = (
        f"with a cosine, two of the last epochs are {number(after)} apart in weights in place of {number(before)}, but per unit of "
        f"learning rate the weights move at {number(pace)} times the speed of the whole way"
    )
    return JudgedClaim("Schedules mitigate", verdict, why)


def _tolerance(summary: Summary) -> JudgedClaim:
    spread = summary.val_loss_std / summary.val_loss_mean if summary.val_loss_mean else 0.0
    verdict = FAILS if summary.distance < POINT else HOLDS if spread < TOLERANCE else HALF
    why = (
        f"the networks' validation losses have an SD of {spread:.1%} of their mean, their weights are {number(summary.distance)} "
        "apart" + (f" and their functions {number(summary.disagreement)}" if summary.disagreement is not None else "")
    )
    return JudgedClaim("Training finds a solution within a tolerance, not a point", verdict, why)
