"""Put the claims of the question this project grew from to the test: does a network come to rest, and at what?

They are judged by a star of trials around a constant learning rate, with arms of a larger or a smaller one, a falling one, whole
batches, moving averages or weight decay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from study.analysis import motion
from study.analysis.convergence import DIVERGED, OSCILLATING, SLOW, STUCK
from study.records.outcome import MotionSummary, Summary
from study.records.trial import TrialRecord
from study.reporting.headlines import at_rest, share
from study.reporting.reference_values import RATE, SCHEDULE
from study.reporting.report import capitalised, median, number
from study.reporting.star import Star
from study.settings.schedule import Cosine, ReduceOnPlateau

UNIFORM = 0.2  # of its whole way, which weights at a uniform speed go in the last fifth of the epochs
AS_EVER = 0.5  # the pace, above which weights move as ever per unit of learning rate
STILL = 0.1  # a schedule mitigates if weights wander less than this share of a constant rate's
TOLERANCE = 0.1  # replicates reach the same loss if their SD is less than this share of it
POINT = 0.01  # and are one point if their weights are closer than this
HOLDS, FAILS, HALF, UNDECIDED = "holds", "fails", "half true", "not decided"


@dataclass(frozen=True)
class JudgedClaim:
    """text: the claim; verdict: HOLDS, FAILS, HALF or UNDECIDED; why: a clause with the number that says so."""

    text: str
    verdict: str
    why: str


def claims(found: Star) -> list[JudgedClaim]:
    """Return the claims that these trials put to the test."""
    centre = found.summary
    assert centre.motion
    judged_claims = [_settles(centre.motion), _oscillates(centre.motion)]
    rate = _rate(found.centre)
    rates = sorted(found.varying(RATE), key=_rate)
    judged_claims += [judged for record in rates[-1:] if _rate(record) > rate and (judged := _too_large(record))]
    judged_claims += [judged for record in rates[:1] if _rate(record) < rate and (judged := _too_small(record))]
    schedules = {record.params[SCHEDULE]: record.summary for record in found.varying(SCHEDULE)}
    if cosine := schedules.get(Cosine.name):
        judged_claims += _mitigate(centre, cosine, schedules.get(ReduceOnPlateau.name))
    return [*judged_claims, _tolerance(centre)]


def text(judged_claims: Sequence[JudgedClaim]) -> str:
    """Return a line for each claim."""
    return "\n".join(f"“{claim.text}”: {claim.verdict}. {capitalised(claim.why)}." for claim in judged_claims)


def _rate(record: TrialRecord) -> float:
    value = record.params.get(RATE)
    return value if isinstance(value, int | float) else math.nan


def _median(moved: MotionSummary, name: str) -> float | None:
    return median(moved.numbers[name])


def _settles(moved: MotionSummary) -> JudgedClaim:
    each = list(zip(moved.weights, moved.held, strict=True))
    moving, resting = (sum(of(label, held) for label, held in each) for of in (motion.moves, motion.rests))
    why = (
        f"the weights of {share(moving, len(each))} networks still move, and in the last epochs go "
        f"{number(_median(moved, 'advance'))} of their whole way ({UNIFORM} is a uniform speed)"
    )
    return JudgedClaim("At a constant rate, training never settles", _by_most(moving, resting, len(each)), why)


def _by_most(holding: int, failing: int, count: int) -> str:
    return HOLDS if holding > count / 2 else FAILS if failing > count / 2 else UNDECIDED


def _oscillates(moved: MotionSummary) -> JudgedClaim:
    around = (motion.CONFINED, motion.OSCILLATING, motion.SETTLED)
    weights, function = (sum(label in around for label in labels) for labels in (moved.weights, moved.function))
    half, count = len(moved.weights) / 2, len(moved.weights)
    verdict = HOLDS if weights > half and function > half else FAILS if max(weights, function) <= half else HALF
    why = (
        f"{weights} of {count} networks stay around a point in their weights (a line explains "
        f"{number(_median(moved, 'trend'))} of their spread), {function} of {count} as functions "
        f"({number(_median(moved, 'function_trend'))})"
    )
    if unclear := moved.function.count(motion.UNDECIDED):
        why += f"; {unclear} {'function shows' if unclear == 1 else 'functions show'} no clear motion"
    return JudgedClaim("Weights oscillate around a minimum", verdict, why)


def _too_large(record: TrialRecord) -> JudgedClaim | None:
    text, summary, rate = "Too large a rate diverges or oscillates", record.summary, number(_rate(record))
    if summary is None or summary.motion is None:
        reason = record.reason or ""  # a trial that ended otherwise shows nothing
        return JudgedClaim(text, HOLDS, f"at {rate}, it {reason}") if reason.startswith(DIVERGED) else None
    moved, count = summary.motion, len(summary.val_losses)
    diverged, swinging = (summary.labels.get(label, 0) for label in (DIVERGED, OSCILLATING))
    bouncing = moved.weights.count(motion.OSCILLATING)
    steps = number(_median(moved, "correlation"))
    oscillates = f", the loss of {swinging} oscillates" if swinging else ""
    why = (
        f"at {rate}, {share(diverged, count)} networks {'diverges' if diverged == 1 else 'diverge'}{oscillates}, the weights of "
        f"{bouncing} go back and forth (successive steps have a correlation of {steps}; −1 is exactly so)"
    )
    return JudgedClaim(text, HOLDS if max(diverged + swinging, bouncing) > count / 2 else FAILS, why)


def _too_small(record: TrialRecord) -> JudgedClaim | None:
    summary = record.summary
    if summary is None or summary.motion is None:
        return None
    count, stuck, slow = len(summary.val_losses), summary.labels.get(STUCK, 0), summary.labels.get(SLOW, 0)
    others = f" ({summary.labels_text})" if stuck + slow < count else ""
    its_slow = f" and {slow} slow" if slow else ""
    why = (
        f"at {number(_rate(record))}, {share(stuck, count)} networks {'is' if stuck == 1 else 'are'} stuck{its_slow}{others}; "
        f"successive steps have a correlation of {number(_median(summary.motion, 'correlation'))} (+1 is straight on)"
    )
    return JudgedClaim("Too small a rate gets stuck", HOLDS if stuck > count / 2 else FAILS, why)


def _mitigate(constant: Summary, cosine: Summary, plateau: Summary | None) -> Iterator[JudgedClaim]:
    if not (constant.motion and cosine.motion):
        return
    before, after = (_median(summary.motion, "wander") for summary in (constant, cosine) if summary.motion)
    pace = _median(cosine.motion, "pace")
    quiet = before is not None and after is not None and after < STILL * before
    as_ever = pace is not None and pace > AS_EVER
    why = (
        f"with a cosine, two of the last epochs are {number(after)} apart in weights in place of {number(before)}; per unit of "
        f"learning rate, the weights move at {number(pace)} times the speed of their whole way"
    )
    if plateau and (loss := median(plateau.relative_losses)) is not None:
        why += (
            f". With reduce_on_plateau, {share(resting := at_rest(plateau), len(plateau.val_losses))} networks "
            f"{'comes' if resting == 1 else 'come'} to rest; the training loss "
            f"ends at {number(loss)} of the trivial one, at the constant rate at {number(median(constant.relative_losses))}"
        )
    yield JudgedClaim("Schedules mitigate", FAILS if not quiet else HALF if as_ever else HOLDS, why)


def _tolerance(summary: Summary) -> JudgedClaim:
    text = "Training finds a solution within a tolerance, not a point"
    loss = median(summary.relative_losses)
    if loss is not None and loss >= motion.LEARNED:
        why = f"the networks have found none, since their training loss ends at {number(loss)} of the trivial one"
        return JudgedClaim(text, UNDECIDED, why)
    spread = summary.val_loss_std / summary.val_loss_mean if summary.val_loss_mean else 0.0
    verdict = FAILS if summary.distance < POINT else HOLDS if spread < TOLERANCE else HALF
    functions = f" and their functions {number(summary.disagreement)}" if summary.disagreement is not None else ""
    why = (
        f"the networks' validation losses have an SD of {spread:.1%} of their mean (the tolerance is {TOLERANCE:.0%}), and their "
        f"weights are {number(summary.distance)}{functions} apart"
    )
    return JudgedClaim(text, verdict, why)
