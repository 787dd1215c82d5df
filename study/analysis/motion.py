"""Judge networks on whether they come to rest along their training, in their weights and as functions.

The loss alone doesn't show it: at a constant learning rate the weights of a large network may drift in a straight line while its
function scatters around one point. All numbers are of the tail, the last fifth of the epochs (see `convergence.tail_of`). x is the
weights, or the predictions on the validation part; Δ its step from one epoch to the next, ρ the root mean square of its distance
from its mean.

Labels, the first that fits: *diverged* not finite; *unmoved* not 1% of the first weights' length away from them; *settled* two of
the tail's epochs differ by no more than the verdict's thresholds, and the weights' last move is small beside their way from the
start, or a function that drifts without slowing down ends within the threshold of where its tail begins; *slowing* the second
half's steps have a quarter of the first half's energy, or less; *oscillating* every step undoes the one before; *confined* around
a point; *drifting* along a line; *wandering* anything else. In few dimensions these look alike: *undecided*, unless the steps
undo one another. Settled and slowing are *held* where the learning rate has fallen to a tenth.

Percentages of 2,000 synthetic trajectories in 10 independent dimensions by label, in tails of 20 | 100 epochs; what is missing is
undecided (`tests/test_motion.py` holds them; OU: Ornstein–Uhlenbeck, with its relaxation time in tails):

```text
white noise, OU 0.02        confined 100 | 100
OU 0.1                      confined  91 |  97, wandering  4 |  3
OU 0.3                      confined  35 |  33, wandering 62 | 67
random walk                 wandering 92 |  98, drifting 4 | 0, confined 2 | 2
random walk + white noise   wandering 51 |  48, confined 41 | 52, drifting 4 | 0
line + as much white noise  drifting  66 |  49, wandering 30 | 46, confined 2 | 6
line; exponential; period 2 drifting; slowing; oscillating, all
period 8                    undecided, all
```

A replicate that stops early is judged up to its stop, and keeps the weights of an earlier epoch. Moving averages are followed in
place of the weights where the settings ask for them. Batch normalisation's running statistics are part of the function alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from study.analysis import blas
from study.analysis.convergence import DIVERGED as LOSS_DIVERGED
from study.analysis.convergence import IMPROVING, SLOW, STUCK, ConvergenceThresholds, tail_length
from study.analysis.convergence import OSCILLATING as LOSS_OSCILLATING
from study.analysis.convergence import UNDECIDED as LOSS_UNDECIDED
from study.analysis.forward import predicted_classes
from study.analysis.thresholds import VerdictThresholds
from study.records.arrays import Array, Doubles, Floats
from study.records.cohort import Cohort
from study.records.dataset import Dataset
from study.records.outcome import MotionSummary
from study.records.trajectory import Trajectory

DIVERGED, UNMOVED, SETTLED, SLOWING, OSCILLATING = "diverged", "unmoved", "settled", "slowing", "oscillating"
CONFINED, DRIFTING, WANDERING, UNDECIDED = "confined", "drifting", "wandering", "undecided"
LABELS = (DIVERGED, UNMOVED, SETTLED, SLOWING, OSCILLATING, CONFINED, DRIFTING, WANDERING, UNDECIDED)
NOT_FINITE, BOUNCING, GROWN = "not finite", "back and forth", "loss grew"
MOST_STEPS = 100  # whose directions are compared
ON_ITS_WAY = 0.9  # the correlation of successive steps
LEARNED, NEAR_ZERO = ConvergenceThresholds.stuck, 0.05  # of the trivial loss


@dataclass(frozen=True)
class MotionThresholds:
    unmoved: float = 0.01  # of the first weights' length
    arrived: float = 0.05  # last move over the way from the start
    slowing: float = 0.25
    oscillating: float = -0.75
    confined: float = 0.3
    drifting: float = 0.85  # of the trend's share without white scatter,
    trend: float = 0.5  # and of the trend's share
    dimensions: float = 8.0  # in fewer, a random walk may pass for confined,
    scatter: float = -0.35  # unless its steps undo one another
    shortest: int = 10  # epochs: a shorter tail shows nothing
    held: float = 0.1  # of the peak learning rate


DEFAULT = MotionThresholds()
SAME = VerdictThresholds()


@dataclass(frozen=True)
class Motion:
    """The motion of R networks over their tails; [R] each, NaN where it isn't known.

    wander: root mean square of the relative L2 distance between the weights of two epochs, as `distance` is between replicates.
    wobble: the same of functions, as `disagreement` is: NRMSE, or for classes the share of rows with another class (churn).
    gain: how much lower the mean squared error of the tail's mean prediction is than the tail's mean squared error, over the
    target's variance: the variance of the function over the tail, whatever the target. NaN for classes.
    trend: the share of ρ² that a straight line explains; drift: the same without white scatter. correlation: of successive steps,
    +1 straight on, 0 a random walk, −½ independent scatter, −1 back and forth. slowing: energy of the steps, second half over first
    half. exponent: of the growth of squared distance with the time between two epochs, 0 confined, 1 random walk, 2 drift; for
    display, since cycles mislead it. dimension: how many directions the steps have.
    travelled: from the first weights to the tail's mean, over the first weights' length. advance: the tail's move from its first to
    its last epoch, over the way travelled; 0.2 at a uniform speed. pace: trend's speed per unit of learning rate over that of the
    whole way: near 1 moves as ever, far below has arrived.
    held: bool, the learning rate has fallen. weights_labels, function_labels: R of LABELS.
    """

    wander: Doubles
    trend: Doubles
    drift: Doubles
    correlation: Doubles
    slowing: Doubles
    exponent: Doubles
    dimension: Doubles
    travelled: Doubles
    advance: Doubles
    pace: Doubles
    wobble: Doubles
    gain: Doubles
    function_trend: Doubles
    function_drift: Doubles
    function_correlation: Doubles
    function_slowing: Doubles
    function_exponent: Doubles
    function_dimension: Doubles
    held: npt.NDArray[np.bool_]
    weights_labels: tuple[str, ...]
    function_labels: tuple[str, ...]

    def summary(self) -> MotionSummary:
        """Return what a trial's summary keeps."""
        numbers = {
            each.name: [_rounded(value) for value in getattr(self, each.name).tolist()]
            for each in fields(self)
            if each.type == "Doubles"
        }
        return MotionSummary(list(self.weights_labels), list(self.function_labels), self.held.tolist(), numbers)

    @property
    def function_rests(self) -> npt.NDArray[np.bool_]:
        return np.array([rests(label, held) for label, held in zip(self.function_labels, self.held, strict=True)])

    @property
    def resting(self) -> npt.NDArray[np.bool_]:
        """Mark networks with weights and function at rest: each settled, confined, or slowing where the learning rate holds it."""
        both = zip(self.weights_labels, self.function_labels, self.held, strict=True)
        return np.array([rests(weights, held) and rests(function, held) for weights, function, held in both])


def rests(label: str, held: bool) -> bool:
    """Return whether weights or a function of this label are at rest: settled, confined, or slowing down with the learning rate."""
    return label in (SETTLED, CONFINED) or (label == SLOWING and held)


def moves(label: str, held: bool) -> bool:
    """Return whether weights or a function of this label move on. Not all others rest: some motion is undecided."""
    return label in (SLOWING, OSCILLATING, DRIFTING, WANDERING) and not rests(label, held)


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


@dataclass(frozen=True)
class _Tail:
    """One network's tail. points: [n, k], sketches; times: [n], their epochs; step, dot: [H], of the epochs after the first one."""

    points: Doubles
    times: Doubles
    step: Doubles
    dot: Doubles


def refined(labels: Sequence[str], moved: Motion, losses: Sequence[float]) -> tuple[str, ...]:
    """Return the labels of the losses with what the motion adds to them. losses: the last of training, over the trivial loss.

    A network that has learned nothing but is still on its way in a straight line is *slow*, even near its start if its function
    drifts on. One whose loss has risen to twice its lowest level isn't *diverged* where it has learned and its function rests, or
    where next to nothing is left to learn: near zero a loss *oscillates* by factors. Nor is one whose weights haven't moved: only
    the batches differ there.
    """
    kept = []
    straight = moved.correlation >= ON_ITS_WAY
    each = zip(labels, moved.weights_labels, straight, moved.function_labels, moved.function_rests, losses, strict=True)
    for label, weights, on_its_way, function, rest, loss in each:
        tiny = loss < NEAR_ZERO and function not in (OSCILLATING, DIVERGED)
        learns_nothing = label == STUCK or (label in (IMPROVING, LOSS_UNDECIDED) and loss >= LEARNED)
        if learns_nothing and on_its_way and (weights != UNMOVED or function == DRIFTING):
            kept.append(SLOW)
        elif label == LOSS_DIVERGED and weights == UNMOVED and function != DIVERGED:
            kept.append(STUCK if loss >= LEARNED else LOSS_UNDECIDED)
        elif label == LOSS_DIVERGED and (tiny or (rest and loss < LEARNED)):
            kept.append(LOSS_OSCILLATING)
        else:
            kept.append(label)
    return tuple(kept)


def divergence(label: str, moved: MotionSummary | None, index: int, limits: MotionThresholds = DEFAULT) -> str:
    """Return how a network diverged whose label of the losses says so: NOT_FINITE, BOUNCING, or else GROWN; "" for another one."""
    if label != LOSS_DIVERGED or moved is None:
        return ""
    if moved.weights[index] == DIVERGED:
        return NOT_FINITE
    correlations = [moved.numbers[name][index] for name in ("correlation", "function_correlation")]
    return BOUNCING if any(value is not None and value <= limits.oscillating for value in correlations) else GROWN


def of_cohort(cohort: Cohort, datasets: Sequence[Dataset]) -> Motion | None:
    """Measure and label a cohort's networks; None where they weren't followed. datasets: one per replicate."""
    if cohort.trajectory is None:
        return None
    targets = [data.y_val for data in datasets]
    return measure(cohort.trajectory, cohort.trained.tolist(), cohort.learning_rate, cohort.predictions, targets)


@blas.one_thread()
def measure(
    path: Trajectory,
    trained: Sequence[int],
    rates: Floats,
    predictions: Floats,
    targets: Sequence[Array],
    limits: MotionThresholds = DEFAULT,
) -> Motion:
    """Measure and label R networks. rates: [R, epochs]; predictions: [R, n_val, outputs], at the end; targets: R of the part's."""
    rows: list[dict[str, Any]] = []
    for index, (epochs, target) in enumerate(zip(trained, targets, strict=True)):
        rows.append(_measured(path, index, int(epochs), rates[index], predictions[index], target, limits))
    columns: dict[str, Any] = {each.name: [row[each.name] for row in rows] for each in fields(Motion)}
    return Motion(**{name: tuple(values) if name.endswith("labels") else np.array(values) for name, values in columns.items()})  # type: ignore[arg-type]


def functions_apart(squared: Any, path: Trajectory, target: Array) -> Any:
    """Return the measure of `disagreement.between`, by the mean squared distance of the path's votes, or of its function."""
    if path.votes is not None:
        return squared / len(target)
    return np.sqrt(squared / target.size) / (float(np.std(target)) or 1.0)


def squared_at(points: Doubles, lag: int) -> Any:
    """Return the mean squared distance between points, [n, k], that are `lag` apart."""
    return np.mean(np.sum((points[lag:] - points[:-lag]) ** 2, axis=1))


def radius(points: Doubles) -> Any:
    """Return the root mean square of the distance of points, [n, k], from their mean."""
    return np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))


def _squared_apart(points: Doubles) -> Any:
    """Return the mean squared distance between two different points of [n, k]."""
    return radius(points) ** 2 * 2 * len(points) / (len(points) - 1)


def tail(path: Trajectory, trained: int) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return a network's tail: its length in epochs, and which of the path's sketches lie in it, [n]."""
    length = min(tail_length(trained), trained - 1)
    return length, (path.epochs >= trained - length) & (path.epochs <= trained)


def _measured(
    path: Trajectory, index: int, epochs: int, rates: Floats, predictions: Floats, target: Array, limits: MotionThresholds
) -> dict[str, Any]:
    length, inside = tail(path, epochs)
    held = epochs > 0 and bool(rates[epochs - max(length, 1) : epochs].mean() <= limits.held * rates[:epochs].max())
    if length < limits.shortest or np.sum(inside) <= limits.shortest:
        label = DIVERGED if epochs in path.epochs and not np.isfinite(path.weights_norm[index, epochs - 1]) else UNDECIDED
        nothing = dict.fromkeys((each.name for each in fields(Motion)), np.nan)
        return nothing | {"held": held, "weights_labels": label, "function_labels": label}

    last = slice(epochs - length, epochs)

    def tail_with(points: Floats, step: Floats, dot: Floats) -> _Tail:
        return _Tail(
            *(
                array.astype(np.float64)
                for array in (points[index, inside], path.epochs[inside], step[index, last], dot[index, last])
            )
        )

    weights = tail_with(path.weights, path.weights_step, path.weights_dot)
    function = tail_with(path.function, path.function_step, path.function_dot)
    with np.errstate(all="ignore"):  # of what stands still or has diverged, most numbers aren't known
        start = path.start[index].astype(np.float64)
        way = np.linalg.norm(weights.points.mean(axis=0) - start)
        numbers, its_numbers = _numbers(weights), _numbers(function)
        wander = float(np.sqrt(_squared_apart(weights.points) / path.weights_norm[index, last].mean()))
        travelled, advance = float(way / np.linalg.norm(start)), float(np.linalg.norm(weights.points[-1] - weights.points[0]) / way)
        pace = float(np.sqrt(12 * numbers["trend"]) * radius(weights.points) / way * rates[:epochs].sum() / rates[last].sum())
        seen = function.points if path.votes is None else path.votes[index, inside].astype(np.float64)
        wobble = float(functions_apart(_squared_apart(seen), path, target))
        gain = float(radius(seen) ** 2 / target.size / (np.var(target) or 1.0)) if path.votes is None else np.nan
        same = SAME.nrmse if path.votes is None else SAME.churn * float(np.mean(predicted_classes(predictions) != target))
        # two epochs of a line are 0.4 of its length apart on average
        moved = float(functions_apart(np.sum((seen[-1] - seen[0]) ** 2), path, target))
        moved -= 0 if path.votes is None else 1 / len(target)  # one row of another class is no drift
        leaves = _drifts(its_numbers, limits) and its_numbers["slowing"] > limits.slowing and moved > same
        weights_label = _label(numbers, wander, wander <= SAME.rounding and advance <= limits.arrived, travelled, limits)
        function_label = _label(its_numbers, wobble, wobble <= same and not leaves, np.inf, limits)
    return {
        **numbers,
        **{f"function_{name}": value for name, value in its_numbers.items()},
        "wander": wander,
        "wobble": wobble,
        "gain": gain,
        "travelled": travelled,
        "advance": advance,
        "pace": pace,
        "held": held,
        "weights_labels": weights_label,
        "function_labels": function_label,
    }


def _numbers(tail: _Tail) -> dict[str, float]:
    squared, centred = radius(tail.points) ** 2, tail.points - tail.points.mean(axis=0)
    times = tail.times - tail.times.mean()
    slope = times @ centred / (times @ times)
    trend = times @ times * (slope @ slope) / (len(times) * squared)
    scatter = np.mean(tail.step) / (2 * squared)
    half = len(tail.step) // 2
    return {
        "trend": float(trend),
        # where the scatter is all there is, nothing is left to have a trend
        "drift": float(min(trend / (1 - scatter), 1.0) if scatter < 0.9 else trend),
        "correlation": float(tail.dot[1:].sum() / np.sqrt(tail.step[1:].sum() * tail.step[:-1].sum())),
        "slowing": float(tail.step[half:].mean() / tail.step[:half].mean()),
        "exponent": float(np.log2(squared_at(tail.points, len(times) // 2) / squared_at(tail.points, len(times) // 4))),
        "dimension": _dimension(tail.points),
    }


def _dimension(points: Doubles) -> float:
    """Return 1 / mean cos² between two steps: how many directions they have. Neighbours share a point and are left out."""
    steps = np.diff(points, axis=0)
    steps = steps[:: -(-len(steps) // MOST_STEPS)]
    products = steps @ steps.T
    lengths = np.diag(products)
    first, second = np.triu_indices(len(steps), 2)
    return float(np.sum(lengths[first] * lengths[second]) / np.sum(products[first, second] ** 2))


def _drifts(numbers: dict[str, float], limits: MotionThresholds) -> bool:
    return numbers["drift"] >= limits.drifting and numbers["trend"] >= limits.trend


def _label(numbers: dict[str, float], size: float, settled: bool, travelled: float, limits: MotionThresholds) -> str:
    if not np.isfinite(size):
        return DIVERGED
    if travelled < limits.unmoved:
        return UNMOVED
    if settled:
        return SETTLED
    if numbers["slowing"] <= limits.slowing:
        return SLOWING
    if numbers["correlation"] <= limits.oscillating:
        return OSCILLATING
    if _drifts(numbers, limits):
        return DRIFTING
    confined = numbers["trend"] <= limits.confined
    if numbers["dimension"] < limits.dimensions and not (confined and numbers["correlation"] <= limits.scatter):
        return UNDECIDED
    return CONFINED if confined else WANDERING
