"""Learning rates by step, computed before training: a schedule is an input of the compiled program, never part of it."""

from __future__ import annotations

import numpy as np

from study.records.arrays import Doubles, Floats
from study.settings.schedule import (
    ConstantRate,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    Piecewise,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    Step,
)


def learning_rates(schedule: Schedule, initial: float, epochs: int, steps_per_epoch: int) -> Floats:
    """Return the rate of every training step, float32 [epochs × steps]; for `ReduceOnPlateau`, before its factors.

    A duration is rounded to whole steps, at least one. A rate beyond single precision is infinite, and the training diverges.
    """
    total = epochs * steps_per_epoch
    warmup = min(round(schedule.warmup * steps_per_epoch), total)
    rising = initial * np.arange(1, warmup + 1) / max(warmup, 1)
    with np.errstate(over="ignore"):
        rates = np.concatenate([rising, _decayed(schedule, initial, total - warmup, steps_per_epoch)])
        return rates.astype(np.float32)


def _decayed(schedule: Schedule, initial: float, total: int, steps_per_epoch: int) -> Doubles:
    """Return the rates of `total` steps by Keras' formulas, in double precision."""
    step = np.arange(total, dtype=np.float64)

    def steps(duration: float | None) -> int:
        return max(1, total if duration is None else round(duration * steps_per_epoch))

    match schedule:
        case ConstantRate() | ReduceOnPlateau():
            return np.full(total, initial, dtype=np.float64)
        case Exponential():
            return initial * schedule.decay_rate ** _elapsed(step, steps(schedule.decay_epochs), schedule.staircase)
        case Step():
            return initial * schedule.factor ** _elapsed(step, steps(schedule.every), staircase=True)
        case InverseTime():
            return initial / (1 + schedule.decay_rate * _elapsed(step, steps(schedule.decay_epochs), schedule.staircase))
        case Polynomial(end_learning_rate=end, power=power):
            length = steps(schedule.decay_epochs)
            if schedule.cycle:
                progress = step / (length * np.maximum(1, np.ceil(step / length)))
            else:
                progress = np.minimum(step, length) / length
            return (initial - end) * (1 - progress) ** power + end
        case Piecewise(boundaries=boundaries, factors=factors):
            # at a boundary itself, Keras still uses the rate before it
            passed = np.searchsorted(np.rint(np.array(boundaries) * total), step, side="left")
            return initial * np.array((1.0, *factors))[passed]
        case Cosine(alpha=alpha):
            length = steps(schedule.decay_epochs)
            return initial * ((1 - alpha) * _half_cosine(np.minimum(step, length) / length) + alpha)
        case CosineRestarts(alpha=alpha):
            first = steps(schedule.first_epochs)
            lengths = first * schedule.t_mul ** np.arange(1 + total // first)
            starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
            # Keras computes the restart as a quotient of logarithms, which rounding can shift by a step
            restart = np.searchsorted(starts, step, side="right") - 1
            height = schedule.m_mul**restart * _half_cosine((step - starts[restart]) / lengths[restart])
            return initial * ((1 - alpha) * height + alpha)
    raise NotImplementedError(schedule)


def _elapsed(step: Doubles, duration: int, staircase: bool) -> Doubles:
    return np.floor(step / duration) if staircase else step / duration


def _half_cosine(progress: Doubles) -> Doubles:
    """Return 1 at progress 0, falling to 0 at progress 1."""
    return (1 + np.cos(np.pi * progress)) / 2
