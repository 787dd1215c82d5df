"""Label each network's convergence from its loss curve and its units.

Convergence is judged as an equivalence test: a run has *plateaued* when the improvement that its recent trend projects is shown
to be negligible beside the loss of the best constant predictor. A noisy curve can't pass for a converged one; it is *undecided*.

Error rates are percentages of synthetic curves labelled plateaued, 600 of 100 epochs (a tail of 20) and 300 of 500 epochs (a tail
of 100) each: a level of 0.3 of the trivial loss, flat or falling in a straight line, with white or autocorrelated (AR(1))
noise of the given standard deviation. `tests/test_calibration.py` tests these rates.

```text
                                       tail of 20 epochs       tail of 100 epochs
                               noise   white  0.5  0.8  0.9    white  0.5  0.8
flat (higher is better)       0.0001     100   94   96   99      100  100  100
                              0.0003      88   45   31   42      100  100   67
                              0.001        6    2    1    5       74   27    6
                              0.01         0    0    0    0        0    0    0
improves by 0.001 per tail    0.0001       2    4    4    6        1    1    1
  (nominal: at most 2.5)      0.001        1    1    1    3        1    1    1
                              0.01         0    0    0    0        0    0    0
improves by 0.003 per tail       any       0    0    0    0        0    0    0
```

A flat curve is labelled still improving in at most 2% of the cases under white noise, and in 4 to 5% under AR(1) of 0.8 and 0.9.
Cycles with a period of up to half the tail, sines and squares of 30% and 60%, are oscillating whichever epoch they end at; cycles
of 3% are undecided. A late rise to less than twice the level is undecided. Each look is a test of its own: of curves that improve
by 0.001 per tail and are looked at five times, 5% (white) to 18% (0.8) pass for plateaued once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy

from study.analysis import forward
from study.records.arrays import Doubles, Floats
from study.records.network import Network
from study.settings.model import Model

DIVERGED, STUCK, SLOW, OSCILLATING = "diverged", "stuck", "slow", "oscillating"
PLATEAUED, IMPROVING, UNDECIDED = "plateaued", "still improving", "undecided"
LABELS = (DIVERGED, STUCK, SLOW, OSCILLATING, PLATEAUED, IMPROVING, UNDECIDED)


@dataclass(frozen=True)
class ConvergenceThresholds:
    """Thresholds of the labels. Losses are measured in units of the trivial predictor's loss."""

    material: float = 0.001  # an improvement, or a rise, below this is negligible
    stuck: float = 0.98  # at or above this a network has learned nothing
    lasting: int = 10  # epochs that must all lie above the loss before training, if that has grown
    rise: float = 2.0  # a network whose final loss is more than this many times the lowest level has diverged
    spread: float = 0.10  # a curve oscillates if the SD of both halves of the tail over its median is above this …
    alternation: float = 0.60  # … and more than this share of the differences change sign,
    recurrence: float = 0.5  # or the curve's autocorrelation falls below minus this and later rises above it
    confidence: float = 0.95
    caution: float = 0.5  # standard errors added to the noise's estimated autocorrelation
    shortest: int = 5  # a shorter tail shows nothing, and a level lasts this many epochs
    points: int = 100  # a longer tail is averaged down to this many points


DEFAULT = ConvergenceThresholds()
EFFICIENCY = np.pi / 3  # the variance of a Theil–Sen slope over that of least squares, under normal noise (Sen 1968)


def label(
    curve: Floats,
    initial_loss: float,
    val_curve: Floats,
    net: Network,
    x: Floats,
    trivial: float,
    model: Model,
    limits: ConvergenceThresholds = DEFAULT,
) -> str:
    """Label one network.

    curve: its training loss, [epochs]; initial_loss: the same before the first step; val_curve: its validation loss, [1 + epochs],
    from before the first step on; trivial: the training loss of the best constant.
    """
    final = float(curve[-1])
    if not np.all(np.isfinite(curve)):
        return DIVERGED
    tail = tail_of(curve)
    low, high = projected_improvement(tail, trivial, limits)
    swings = low <= 0 <= high and _swings(tail, trivial, limits)
    lowest = _lowest(curve, limits)
    # A rise counts only if it is material: near zero the loss of a separable problem varies by factors. It must last, since an
    # epoch's loss is that of some rows alone, and fluctuates about the loss of a network that learns nothing.
    margin = (1 - limits.stuck) * trivial
    grown = np.all(curve[-limits.lasting :] > initial_loss + margin)
    if grown and np.median(val_curve[1:][-limits.shortest :]) >= val_curve[0]:
        return DIVERGED
    # the phase at which a cycle ends means nothing
    reached = float(np.min(tail)) if swings else final
    if reached > limits.rise * lowest and reached - lowest > limits.material * trivial:
        return DIVERGED
    if _has_idle_layer(net, x, model):
        return STUCK
    # far above the loss of a constant, a network that has come down may have far to go
    coming = np.all((trivial + margin < curve[-limits.shortest :]) & (curve[-limits.shortest :] < initial_loss - margin))
    improves = low > limits.material
    learning = improves or (coming and not _negligible(low, high, limits))
    if final >= limits.stuck * trivial and not learning:
        return STUCK

    if not np.isfinite(high):
        return UNDECIDED
    if swings:
        return OSCILLATING
    if _negligible(low, high, limits):
        return PLATEAUED
    return IMPROVING if improves else UNDECIDED


def has_plateaued(curve: Floats, trivial: float, limits: ConvergenceThresholds = DEFAULT) -> bool:
    """Return True if a training loss by epoch, [epochs], is finite and only a negligible improvement is left."""
    return bool(np.all(np.isfinite(curve))) and _negligible(*projected_improvement(tail_of(curve), trivial, limits), limits)


def _lowest(curve: Floats, limits: ConvergenceThresholds) -> float:
    # a median of a few epochs: the lowest of many noisy ones lies below any level that lasted
    epochs = np.lib.stride_tricks.sliding_window_view(curve, min(len(curve), limits.shortest))
    return float(np.median(epochs, axis=1).min())


def tail_of(curve: Floats) -> Floats:
    """Return the last epochs, on which the trend is judged."""
    return curve[-tail_length(len(curve)) :]


def tail_length(epochs: int) -> int:
    """Return how many of the last epochs are the tail: a fifth, but 20 at least."""
    return max(20, epochs // 5)


def _negligible(low: float, high: float, limits: ConvergenceThresholds) -> bool:
    # an upward drift is no plateau either, and a far too wide interval may lie below the bound by chance
    return high < limits.material and (low + high) / 2 > -limits.material


def projected_improvement(tail: Floats, trivial: float, limits: ConvergenceThresholds = DEFAULT) -> tuple[float, float]:
    """Return the interval of (1 − e^(bH)) · L / L_trivial: the improvement over another tail as long, b being the slope of log L.

    b is the Theil–Sen slope. Its standard error assumes noise with as much autocorrelation as the residuals show, and its interval
    is Student's t with as many degrees of freedom as such noise leaves. A tail that is too short shows nothing: (−∞, ∞).
    """
    length = len(tail)
    if length < limits.shortest:
        return -np.inf, np.inf
    points = min(length, limits.points)
    starts = np.arange(points) * length // points
    sums = np.add.reduceat(np.log(np.maximum(tail, 1e-30)).astype(np.float64), starts)
    curve = sums / np.diff(starts, append=length)
    slope = _theil_sen(curve)
    residuals = curve - slope * np.arange(points)
    residuals -= residuals.mean()
    squares = float(residuals @ residuals)
    noise = _noise(points)
    correlation = float(residuals[1:] @ residuals[:-1]) / squares if squares > 0 else 0.0
    correlation += limits.caution / np.sqrt(points)
    error = np.sqrt(squares * float(np.interp(correlation, noise.correlation, noise.variance)))
    freedom = float(np.interp(correlation, noise.correlation, noise.freedom))
    margin = float(scipy.special.stdtrit(freedom, (1 + limits.confidence) / 2)) * error
    steep, shallow = slope - margin, slope + margin
    level = float(np.median(tail)) / trivial
    with np.errstate(over="ignore"):
        return float(-np.expm1(shallow * points) * level), float(-np.expm1(steep * points) * level)


def _theil_sen(curve: Doubles) -> float:
    """Return the median of all pairwise slopes of equidistant points, [points]."""
    early, late = np.triu_indices(len(curve), k=1)
    return float(np.median((curve[late] - curve[early]) / (late - early)))


@dataclass(frozen=True)
class _Noise:
    """Properties of a straight line's residuals, by the autoregression φ ∈ [0, 0.95] of the noise; each is [φ].

    correlation: the expected lag-one autocorrelation of the residuals, which lies below φ because the line follows the noise.
    variance: that of the slope, over the residuals' sum of squares. freedom: Satterthwaite's degrees of freedom of that sum.
    """

    correlation: Doubles
    variance: Doubles
    freedom: Doubles


@functools.cache
def _noise(points: int) -> _Noise:
    times = np.arange(points) - (points - 1) / 2
    spread = float(times @ times)
    residual = np.eye(points) - 1 / points - np.outer(times, times) / spread
    rows = []
    for phi in np.linspace(0, 0.95, 20):
        covariance = phi ** np.abs(np.subtract.outer(times, times))
        left = residual @ covariance @ residual
        squares = np.trace(left)
        variance = EFFICIENCY * times @ covariance @ times / spread**2 / squares
        rows.append((np.trace(left, offset=1) / squares, variance, squares**2 / np.sum(left**2)))
    return _Noise(*np.array(rows).T)


def _swings(tail: Floats, trivial: float, limits: ConvergenceThresholds) -> bool:
    if len(tail) < limits.shortest:
        return False
    # both halves must vary: a late rise or a single spike on a noisy plateau is no cycle
    spread = min(float(np.std(half)) for half in np.array_split(tail, 2))
    if spread <= limits.spread * float(np.median(tail)) or spread <= limits.material * trivial:
        return False
    signs = np.sign(np.diff(tail))
    return bool(np.mean(signs[1:] != signs[:-1]) > limits.alternation) or _recurs(tail, limits)


def _recurs(tail: Floats, limits: ConvergenceThresholds) -> bool:
    """Return True if the curve resembles itself some epochs later, and not in between: cycles of up to half the tail."""
    swing = tail.astype(np.float64) - tail.mean()
    longest = min(len(tail) // 2, limits.points)
    likeness = np.array([_likeness(swing[:-lag], swing[lag:]) for lag in range(1, longest + 1)])
    return bool(np.any(np.minimum(likeness, -np.minimum.accumulate(likeness)) > limits.recurrence))


def _likeness(a: Doubles, b: Doubles) -> float:
    size = float(a @ a + b @ b)
    return 2 * float(a @ b) / size if size > 0 else 0.0


def _has_idle_layer(net: Network, x: Floats, model: Model) -> bool:
    """Return True if a hidden layer's units are all dead on x, or (from a symmetric start) all copies of one unit."""
    hidden = forward.layer_outputs(Network.stack([net]), x, model)[:-1]
    for layer, output in enumerate(hidden):
        if model.activation == "relu" and not np.any(output > 0):
            return True
        of_units = [array for name, array in net.trainable.items() if name.endswith(f"_{layer}")]
        if output.shape[2] > 1 and all(np.all(array == array[..., :1]) for array in of_units):
            return True
    return False
