"""Did a training run converge? A label for each network, from its loss curve and its units.

Convergence is judged as an equivalence test: a run has *plateaued* when the improvement that its recent trend projects is shown
to be negligible beside the loss of the best constant predictor. A noisy curve can't pass for a converged one; it is *undecided*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from study import network, seeds
from study.records import Floats, Network
from study.settings.model import Model

DIVERGED, STUCK, OSCILLATING = "diverged", "stuck", "oscillating"
PLATEAUED, IMPROVING, UNDECIDED = "plateaued", "still improving", "undecided"
LABELS = (DIVERGED, STUCK, OSCILLATING, PLATEAUED, IMPROVING, UNDECIDED)


@dataclass(frozen=True)
class Thresholds:
    """Losses are measured in units of the trivial predictor's loss."""

    material: float = 0.001  # an improvement, or a rise, below this is negligible
    stuck: float = 0.98  # at or above this a network has learned nothing
    rise: float = 2.0  # a final loss of more than this many minima has diverged
    spread: float = 0.10  # the tail's SD over its median that counts as oscillation …
    alternation: float = 0.60  # … where more than this share of the differences change sign
    confidence: float = 0.95
    resamples: int = 200
    shortest: int = 5  # a shorter tail tells nothing
    points: int = 100  # a longer tail is averaged down to this many points


DEFAULT = Thresholds()


def label(
    curve: Floats, initial_loss: float, net: Network, x: Floats, trivial: float, model: Model, limits: Thresholds = DEFAULT
) -> str:
    """The label of one network. curve: its training loss by epoch, [epochs]; initial_loss: before the first step."""
    final = float(curve[-1])
    if not np.all(np.isfinite(curve)):
        return DIVERGED
    lowest = float(np.min(curve))
    # A rise counts only if it is material: an epoch's mean over batches wobbles about the loss of a network that learns nothing,
    # and near zero the loss of a separable problem wanders by factors.
    if final - initial_loss > (1 - limits.stuck) * trivial:
        return DIVERGED
    if final > limits.rise * lowest and final - lowest > limits.material * trivial:
        return DIVERGED
    if final >= limits.stuck * trivial or _has_idle_layer(net, x, model):
        return STUCK

    tail = tail_of(curve)
    low, high = projected_improvement(tail, trivial, limits)
    if not np.isfinite(high):
        return UNDECIDED
    flat = low <= 0 <= high
    if flat and _alternates(tail, trivial, limits):
        return OSCILLATING
    if high < limits.material:
        return PLATEAUED
    return IMPROVING if low > limits.material else UNDECIDED


def has_plateaued(curve: Floats, trivial: float, limits: Thresholds = DEFAULT) -> bool:
    """Whether a training loss by epoch, [epochs], has finite numbers and nothing left to improve but the negligible."""
    return bool(np.all(np.isfinite(curve))) and projected_improvement(tail_of(curve), trivial, limits)[1] < limits.material


def tail_of(curve: Floats) -> Floats:
    """The last max(20, 20 %) epochs, on which the trend is judged."""
    return curve[-max(20, len(curve) // 5) :]


def projected_improvement(tail: Floats, trivial: float, limits: Thresholds = DEFAULT) -> tuple[float, float]:
    """The interval of (1 − e^(bH)) · L / L_trivial: what another tail as long would improve, b being the slope of log L.

    b is the Theil–Sen slope. Its standard error is that of a moving-block bootstrap of the residuals, and its interval Student's t,
    since percentiles of so few points are too narrow. A tail that is too short tells nothing: (−∞, ∞).
    """
    length = len(tail)
    if length < limits.shortest:
        return -np.inf, np.inf
    points = min(length, limits.points)
    curve = np.array([part.mean() for part in np.array_split(np.log(np.maximum(tail, 1e-30)).astype(np.float64), points)])
    times = np.arange(points, dtype=np.float64) * (length / points)
    slope = _theil_sen(curve[None], times)[0]
    residuals = curve - slope * times
    residuals -= residuals.mean()

    rng = seeds.generator(0)
    block = max(1, min(round(points ** (1 / 3)), (points - 1) // 2))
    starts = rng.integers(0, points - block + 1, size=(limits.resamples, -(-points // block)))
    rows = (starts[:, :, None] + np.arange(block)).reshape(limits.resamples, -1)[:, :points]
    # a slope and a level are fitted, by blocks: resampled residuals vary that much less than the noise did
    freedom = points - 2 * block
    error = float(np.std(_theil_sen(residuals[rows], times), ddof=1)) * np.sqrt(points / freedom)
    margin = float(stats.t.ppf((1 + limits.confidence) / 2, freedom)) * error
    steep, shallow = slope - margin, slope + margin
    level = float(np.median(tail)) / trivial
    with np.errstate(over="ignore"):
        return float(-np.expm1(shallow * length) * level), float(-np.expm1(steep * length) * level)


def _theil_sen(curves: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median of all pairwise slopes, [curves]."""
    early, late = np.triu_indices(len(times), k=1)
    return np.median((curves[:, late] - curves[:, early]) / (times[late] - times[early]), axis=1)


def _alternates(tail: Floats, trivial: float, limits: Thresholds) -> bool:
    spread = float(np.std(tail))
    if spread <= limits.spread * float(np.median(tail)) or spread <= limits.material * trivial:
        return False
    signs = np.sign(np.diff(tail))
    return bool(np.mean(signs[1:] != signs[:-1]) > limits.alternation)


def _has_idle_layer(net: Network, x: Floats, model: Model) -> bool:
    """Whether a hidden layer's units are all dead on x, or (from a symmetric start) all copies of one unit."""
    hidden = network.layer_outputs(Network.stack([net]), x, model)[:-1]
    for layer, output in enumerate(hidden):
        if model.activation == "relu" and not np.any(output > 0):
            return True
        of_units = [array for name, array in net.trainable.items() if name.endswith(f"_{layer}")]
        if output.shape[2] > 1 and all(np.all(array == array[..., :1]) for array in of_units):
            return True
    return False
