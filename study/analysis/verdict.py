"""What the networks of a cohort, or of a pair, are to one another: the same weights, the same function, or only the same loss.

The rules are tried in the order of VERDICTS, and the first that holds is the verdict. Every rule compares a number with a
threshold. Where the number is a mean over pairs its interval decides: if it straddles the threshold, nothing that follows can be
said either, and the verdict is *undecided*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.analysis.convergence import PLATEAUED
from study.statistics.intervals import Interval

NOT_CONVERGED = "did not converge"
SAME_WEIGHTS = "same weights"
SAME_ROUNDING = "same up to rounding"
SAME_SYMMETRY = "same up to symmetry"
DIFFERENT_LOSS = "different loss"
SAME_FUNCTION = "same function, different weights"
SAME_LOSS = "same loss, different function"
UNDECIDED = "undecided"
VERDICTS = (NOT_CONVERGED, SAME_WEIGHTS, SAME_ROUNDING, SAME_SYMMETRY, DIFFERENT_LOSS, SAME_FUNCTION, SAME_LOSS, UNDECIDED)

SAME_BASIN, SAME_BASIN_ALIGNED, NO_PATH = "same basin", "same basin up to symmetry", "no linear path found"


@dataclass(frozen=True)
class Thresholds:
    rounding: float = 1e-3  # relative L2, raw or aligned
    output: float = 1e-4  # largest difference of outputs, in SDs of the outputs
    loss: float = 0.05  # difference of two losses over their mean
    churn: float = 0.1  # share of the error rate
    nrmse: float = 0.05
    barrier: float = 0.02  # in error rate, or in trivial losses


DEFAULT = Thresholds()


@dataclass(frozen=True)
class Evidence:
    """What a verdict is based on. Means are over the pairs of networks; the largest are over all pairs.

    labels: each network's convergence. relative_l2 and aligned: the largest, None where it wasn't computed. output: the largest
    |f_a − f_b| over the outputs' SD. loss: mean |L_a − L_b| over the mean loss. function: mean churn over the mean error rate
    (`classes`) or NRMSE; None without common inputs. barrier, aligned_barrier: the largest over the pairs that were tried.
    """

    labels: Sequence[str]
    distinct: int
    relative_l2: float | None
    aligned: float | None
    output: float | None
    loss: Interval
    function: Interval | None
    classes: bool
    barrier: float | None = None
    aligned_barrier: float | None = None


@dataclass(frozen=True)
class Verdict:
    """name: one of VERDICTS; qualifier: what a path between the networks says, if one was tried; reasons: the numbers, in words."""

    name: str
    qualifier: str | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.qualifier})" if self.qualifier else self.name


def name_of(text: str) -> str | None:
    """Which of VERDICTS a recorded verdict, with its qualifier, is; None if it is none."""
    return next((name for name in VERDICTS if text == name or text.startswith(f"{name} (")), None)


def verdict(found: Evidence, limits: Thresholds = DEFAULT) -> Verdict:
    """The verdict for at least two networks."""
    reasons: list[str] = []

    def ended(name: str, qualified: bool = False) -> Verdict:
        qualifier, why = _path(found, limits) if qualified else (None, ())
        return Verdict(name, qualifier, (*reasons, *why))

    count = len(found.labels)
    unsettled = [(number, label) for number, label in enumerate(found.labels) if label != PLATEAUED]
    if unsettled:
        told = ", ".join(f"{label} ({_numbers([n for n, other in unsettled if other == label])})" for label in _kinds(unsettled))
        reasons.append(f"{len(unsettled)} of {count} networks have not plateaued: {told}")
        return ended(NOT_CONVERGED)
    reasons.append(f"all {count} have plateaued")

    if found.distinct == 1:
        reasons.append("one fingerprint: the weights are equal bit for bit")
        return ended(SAME_WEIGHTS)
    reasons.append(f"{found.distinct} different fingerprints")
    if found.relative_l2 is not None:
        reasons.append(_told("largest relative L2 distance", found.relative_l2, limits.rounding))
        if found.relative_l2 <= limits.rounding:
            return ended(SAME_ROUNDING)
    if found.aligned is not None and found.output is not None:
        reasons.append(_told("largest distance after alignment", found.aligned, limits.rounding))
        if found.aligned <= limits.rounding:
            reasons.append(_told("largest difference of outputs, in their SDs", found.output, limits.output))
            if found.output <= limits.output:
                return ended(SAME_SYMMETRY)

    if found.function is None:
        reasons.append("neither losses nor functions can be compared: each was validated on rows of its own")
        return ended(UNDECIDED)
    reasons.append(_told("two losses differ, over their mean, by", found.loss, limits.loss))
    if found.loss.low > limits.loss:
        return ended(DIFFERENT_LOSS)
    if found.loss.high > limits.loss:
        return ended(UNDECIDED)
    name, limit = ("churn over the error rate", limits.churn) if found.classes else ("NRMSE between two functions", limits.nrmse)
    reasons.append(_told(name, found.function, limit))
    if found.function.high <= limit:
        return ended(SAME_FUNCTION, qualified=True)
    return ended(SAME_LOSS, qualified=True) if found.function.low > limit else ended(UNDECIDED)


def _path(found: Evidence, limits: Thresholds) -> tuple[str | None, tuple[str, ...]]:
    if found.barrier is None:
        return None, ()
    why = [_told("loss barrier on the line between the weights", found.barrier, limits.barrier)]
    if found.barrier <= limits.barrier:
        return SAME_BASIN, tuple(why)
    if found.aligned_barrier is not None:
        why.append(_told("the same after alignment", found.aligned_barrier, limits.barrier))
        if found.aligned_barrier <= limits.barrier:
            return SAME_BASIN_ALIGNED, tuple(why)
    return NO_PATH, tuple(why)  # which proves no other basin: the alignment may have failed


def _told(name: str, value: float | Interval, limit: float) -> str:
    if isinstance(value, Interval):
        return f"{name}: {value.mean:.3g} [{value.low:.3g}, {value.high:.3g}], threshold {limit:g}"
    return f"{name}: {value:.3g}, threshold {limit:g}"


def _kinds(unsettled: Sequence[tuple[int, str]]) -> list[str]:
    return list(dict.fromkeys(label for _, label in unsettled))


def _numbers(found: Sequence[int]) -> str:
    shown = ", ".join(map(str, found[:8]))
    return f"{shown}, …" if len(found) > 8 else shown
