"""The verdict on a cohort's networks, or on a pair: the same weights, the same function, or only the same loss.

The rules are tried in the order of VERDICTS, and the first that holds is the verdict. Every rule compares a number with a
threshold. Where the number is a mean over pairs, its interval decides: if it straddles the threshold, no later rule can be judged
either, and the verdict is *undecided*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.analysis.convergence import OSCILLATING, PLATEAUED
from study.analysis.convergence import UNDECIDED as UNCLEAR
from study.analysis.thresholds import VerdictThresholds
from study.statistics.intervals import MeanInterval

# a network with one of these labels counts as plateaued if its function is at rest
PLATEAUED_AT_REST = (UNCLEAR, OSCILLATING)

NOT_CONVERGED = "did not converge"
SAME_WEIGHTS = "same weights"
SAME_ROUNDING = "same up to rounding"
SAME_SYMMETRY = "same up to symmetry"
DIFFERENT_LOSS = "different loss"
SAME_FUNCTION = "same function, different weights"
WITHIN_WOBBLE = "same within wobble"
SAME_LOSS = "same loss, different function"
UNDECIDED = "undecided"
VERDICTS = (
    NOT_CONVERGED,
    SAME_WEIGHTS,
    SAME_ROUNDING,
    SAME_SYMMETRY,
    DIFFERENT_LOSS,
    SAME_FUNCTION,
    WITHIN_WOBBLE,
    SAME_LOSS,
    UNDECIDED,
)

SAME_BASIN, SAME_BASIN_ALIGNED, NO_PATH = "same basin", "same basin up to symmetry", "no linear path found"


DEFAULT = VerdictThresholds()


@dataclass(frozen=True)
class VerdictEvidence:
    """The evidence for a verdict. Means are over the pairs of networks; the largest values are over all pairs.

    labels: each network's convergence. distinct: the number of different fingerprints. relative_l2, aligned: the largest, None if
    not computed. output: the largest |f_a − f_b| over the outputs' SD. loss: mean |L_a − L_b| over the mean loss. function: mean
    churn over the mean error rate (`classes`) or NRMSE; None without common inputs. barrier, aligned_barrier: the largest over the
    pairs that were tried. wobble: how far two of the last epochs of one network are apart, as `function` is measured; None if not
    known. resting: whose function is at rest, empty if not known; held: how many networks' learning rate has fallen to
    a tenth.
    """

    labels: Sequence[str]
    distinct: int
    relative_l2: float | None
    aligned: float | None
    output: float | None
    loss: MeanInterval
    function: MeanInterval | None
    classes: bool
    barrier: float | None = None
    aligned_barrier: float | None = None
    wobble: float | None = None
    resting: Sequence[bool] = ()
    held: int = 0


@dataclass(frozen=True)
class Verdict:
    """name: one of VERDICTS; qualifier: the result of a path between the networks, if tried; reasons: texts with numbers."""

    name: str
    qualifier: str | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.qualifier})" if self.qualifier else self.name


def name_of(text: str) -> str | None:
    """Return the name in VERDICTS of a recorded verdict, which may have a qualifier; None if it has none."""
    return next((name for name in VERDICTS if text == name or text.startswith(f"{name} (")), None)


def verdict(evidence: VerdictEvidence, limits: VerdictThresholds = DEFAULT) -> Verdict:
    """Return the verdict on at least two networks."""
    reasons: list[str] = []

    def ended(name: str, qualified: bool = False) -> Verdict:
        qualifier, why = _path(evidence, limits) if qualified else (None, ())
        return Verdict(name, qualifier, (*reasons, *why))

    count = len(evidence.labels)
    resting = evidence.resting or [False] * count
    unsettled = [
        (number, label)
        for number, (label, rests) in enumerate(zip(evidence.labels, resting, strict=True))
        if label != PLATEAUED and not (rests and label in PLATEAUED_AT_REST)
    ]
    if unsettled:
        listed = ", ".join(f"{label} ({_numbers([n for n, other in unsettled if other == label])})" for label in _kinds(unsettled))
        reasons.append(f"{len(unsettled)} of {count} networks {_have(len(unsettled))} not plateaued: {listed}")
        if still := sum(label != PLATEAUED for label in evidence.labels) - len(unsettled):
            whose = "1 other counts as plateaued, since its" if still == 1 else f"{still} others count as plateaued, since their"
            reasons.append(f"{whose} function is at rest")
        return ended(NOT_CONVERGED)
    held = f", {evidence.held} of them held by the learning rate" if evidence.held else ""
    settled = "plateaued, or their function is at rest" if any(label != PLATEAUED for label in evidence.labels) else "plateaued"
    reasons.append(f"{'both' if count == 2 else f'all {count}'} networks have {settled}{held}")

    if evidence.distinct == 1:
        reasons.append("a single fingerprint: the weights are equal bit for bit")
        return ended(SAME_WEIGHTS)
    reasons.append(f"{evidence.distinct} different fingerprints")
    if evidence.relative_l2 is not None:
        reasons.append(_compared("largest relative L2 distance", evidence.relative_l2, limits.rounding))
        if evidence.relative_l2 <= limits.rounding:
            return ended(SAME_ROUNDING)
    if evidence.aligned is not None and evidence.output is not None:
        reasons.append(_compared("largest distance after alignment", evidence.aligned, limits.rounding))
        if evidence.aligned <= limits.rounding:
            reasons.append(_compared("largest difference of outputs, in their SDs", evidence.output, limits.output))
            if evidence.output <= limits.output:
                return ended(SAME_SYMMETRY)

    if evidence.function is None:
        reasons.append("neither losses nor functions can be compared: each network was validated on rows of its own")
        return ended(UNDECIDED)
    reasons.append(_compared("difference of two losses over their mean", evidence.loss, limits.loss))
    if evidence.loss.low > limits.loss:
        return ended(DIFFERENT_LOSS)
    if evidence.loss.high > limits.loss:
        return ended(UNDECIDED)
    name, limit = ("churn over the error rate", limits.churn) if evidence.classes else ("NRMSE between two functions", limits.nrmse)
    reasons.append(_compared(name, evidence.function, limit))
    if evidence.function.high <= limit:
        return ended(SAME_FUNCTION, qualified=True)
    if evidence.wobble is not None and evidence.wobble > 0:
        reasons.append(f"the same between the last epochs of one network: {evidence.wobble:.3g}")
        if evidence.function.low <= evidence.wobble:
            return ended(WITHIN_WOBBLE, qualified=True)
    return ended(SAME_LOSS, qualified=True) if evidence.function.low > limit else ended(UNDECIDED)


def _path(evidence: VerdictEvidence, limits: VerdictThresholds) -> tuple[str | None, tuple[str, ...]]:
    if evidence.barrier is None:
        return None, ()
    why = [_compared("loss barrier on the line between the weights", evidence.barrier, limits.barrier)]
    if evidence.barrier <= limits.barrier:
        return SAME_BASIN, tuple(why)
    if evidence.aligned_barrier is not None:
        why.append(_compared("the same after alignment", evidence.aligned_barrier, limits.barrier))
        if evidence.aligned_barrier <= limits.barrier:
            return SAME_BASIN_ALIGNED, tuple(why)
    return NO_PATH, tuple(why)  # this doesn't prove different basins: the alignment may have failed


def _compared(name: str, value: float | MeanInterval, limit: float) -> str:
    if isinstance(value, MeanInterval):
        return f"{name}: {value.mean:.3g} [{value.low:.3g}, {value.high:.3g}], threshold {limit:g}"
    return f"{name}: {value:.3g}, threshold {limit:g}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _kinds(unsettled: Sequence[tuple[int, str]]) -> list[str]:
    return list(dict.fromkeys(label for _, label in unsettled))


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, …" if len(numbers) > 8 else shown
