"""How often a label is right, on synthetic curves whose truth is known; the table is in `study/analysis/convergence.py`.

Losses are in units of the trivial predictor's, and 0.001 of improvement in another tail is what counts as material. The bounds
leave room for chance: of 200 curves at a true rate of 5 %, more than 10 % have a given label once in a thousand times.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import signal

from study.analysis import convergence
from study.analysis.convergence import DIVERGED, IMPROVING, LABELS, OSCILLATING, PLATEAUED, STUCK, UNDECIDED
from study.records.network import Network
from study.settings.model import Model

X = np.array([[1, 2], [-1, 1], [2, -1], [-2, -2]], np.float32)
EPOCHS = np.arange(100)
TAIL = 20  # of 100 epochs
RUNS = 200
LEVEL = 0.3


def network(bias: float = 0.0) -> Network:
    arrays = ([[1, -2, 3], [1, 1, -1]], [[1], [2], [3]]), ([bias] * 3, [0])
    kernels, biases = ([np.array(array, np.float32) for array in part] for part in arrays)
    return Network.of_layers(kernels, biases)


def label(curve: Any, net: Network | None = None) -> str:
    both = np.asarray(curve, np.float32)
    return convergence.label(both, 1.2, np.append(1.2, both), net or network(), X, 1.0, Model(activation="relu"))


def noise(autocorrelation: float, runs: int, epochs: int) -> Any:
    """AR(1) of SD 1, [runs, epochs]."""
    warm_up = 100
    shocks = np.random.default_rng(0).normal(size=(runs, warm_up + epochs)) * np.sqrt(1 - autocorrelation**2)
    return signal.lfilter([1], [1, -autocorrelation], shocks, axis=1)[:, warm_up:]


def rates(curve: Any, sd: float = 0.0, autocorrelation: float = 0.0, runs: int = RUNS) -> dict[str, float]:
    """The share of each label among noisy copies of a curve."""
    copies = curve + sd * noise(autocorrelation, runs if sd else 1, len(curve))
    found = Counter(label(np.maximum(copy, 1e-6)) for copy in copies)
    return {name: found[name] / len(copies) for name in LABELS}


def improving(material: float, epochs: int = 100) -> Any:
    """A straight fall to LEVEL that goes on: another tail improves by so many times what is material."""
    return LEVEL + material * 0.001 * np.arange(epochs, 0, -1) / max(TAIL, epochs // 5)


# -- a plateau ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "sd", "autocorrelation", "least"),
    [
        (100, 1e-4, 0.0, 0.98),
        (100, 2e-4, 0.0, 0.93),
        (100, 3e-4, 0.0, 0.75),
        (100, 1e-4, 0.5, 0.85),
        (100, 1e-4, 0.8, 0.85),
        (500, 5e-4, 0.0, 0.95),
        (500, 1e-3, 0.0, 0.50),
    ],
)
def test_a_plateau_with_little_noise_is_found(epochs: int, sd: float, autocorrelation: float, least: float) -> None:
    assert rates(np.full(epochs, LEVEL), sd, autocorrelation)[PLATEAUED] >= least


@pytest.mark.parametrize("sd", [3e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.5, 0.8])
def test_a_plateau_with_much_noise_is_undecided(sd: float, autocorrelation: float) -> None:
    found = rates(np.full(100, LEVEL), sd, autocorrelation)
    assert found[PLATEAUED] <= 0.01
    assert found[IMPROVING] <= (0.05 if autocorrelation == 0 else 0.10)


def test_a_noisy_plateau_has_rarely_diverged() -> None:
    # the lowest of 500 such epochs is about half the level, but no level
    assert rates(np.full(500, LEVEL), 0.05)[DIVERGED] <= 0.05


# -- an improvement ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [1e-4, 3e-4, 1e-3, 1e-2])
@pytest.mark.parametrize(("autocorrelation", "most"), [(0.0, 0.05), (0.5, 0.09), (0.8, 0.09)])
def test_an_improvement_that_is_barely_material_rarely_passes_for_a_plateau(sd: float, autocorrelation: float, most: float) -> None:
    assert rates(improving(1.0), sd, autocorrelation)[PLATEAUED] <= most


@pytest.mark.parametrize("sd", [3e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.5, 0.8])
def test_an_improvement_of_three_times_what_is_material_never_does(sd: float, autocorrelation: float) -> None:
    assert rates(improving(3.0), sd, autocorrelation)[PLATEAUED] <= 0.01


def test_long_curves_are_judged_as_strictly() -> None:
    for autocorrelation in (0.0, 0.8):
        assert rates(improving(1.0, 500), 3e-4, autocorrelation)[PLATEAUED] <= 0.09


@pytest.mark.parametrize(("material", "sd"), [(3, 1e-4), (3, 3e-4), (10, 1e-3), (100, 1e-2)])
def test_an_improvement_that_stands_out_is_found(material: float, sd: float) -> None:
    assert rates(improving(material), sd)[IMPROVING] >= 0.95


SLOW = {
    **{f"exponential, in {tau} epochs": LEVEL + 0.6 * np.exp(-EPOCHS / tau) for tau in (20, 50, 100, 300, 1000)},
    **{f"power {power}": 0.05 + 0.9 * (1 + EPOCHS / 3) ** -power for power in (0.25, 0.5, 1.0)},
}


@pytest.mark.parametrize("curve", SLOW.values(), ids=SLOW)
def test_a_slow_approach_is_still_improving(curve: Any) -> None:
    assert label(curve) == IMPROVING
    assert rates(curve, 1e-3, runs=50)[IMPROVING] >= 0.95
    for sd in (3e-3, 1e-2, 3e-2):
        assert rates(curve, sd, runs=50)[PLATEAUED] == 0


def test_an_approach_that_is_over_has_plateaued() -> None:
    for tau in (3, 5, 8):
        assert label(LEVEL + 0.6 * np.exp(-EPOCHS / tau)) == PLATEAUED


# -- a cycle -----------------------------------------------------------------------------------------------------------------


def cycle(period: int, shape: str, epochs: int = 100) -> Any:
    """Swings of size 1 about 0, [epochs]."""
    phase = np.arange(epochs) % period / period
    return np.sin(2 * np.pi * (phase + 0.5 / period)) if shape == "sine" else np.where(phase < 0.5, 1.0, -1.0)


@pytest.mark.parametrize("period", [2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("shape", ["sine", "square"])
def test_a_limit_cycle_is_oscillating(period: int, shape: str) -> None:
    for size in (0.3, 0.6):
        curve = LEVEL * (1 + size * cycle(period, shape))
        # whatever the epoch that it ends with
        assert {label(curve[: len(curve) - cut]) for cut in range(period)} == {OSCILLATING}
        assert rates(curve, 0.01, runs=50)[OSCILLATING] >= 0.95
    assert label(LEVEL * (1 + 0.3 * cycle(period, shape, 500))) == OSCILLATING


@pytest.mark.parametrize("period", [2, 4, 10])
@pytest.mark.parametrize("shape", ["sine", "square"])
def test_a_small_cycle_is_no_plateau(period: int, shape: str) -> None:
    assert label(LEVEL * (1 + 0.03 * cycle(period, shape))) == UNDECIDED


def test_a_cycle_that_falls_is_still_improving() -> None:
    for period in (2, 4):
        assert label(np.exp(-0.02 * EPOCHS) * (1 + 0.1 * cycle(period, "sine"))) == IMPROVING


# -- a rise ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 3, 5, 10])
def test_a_late_rise_has_diverged_or_is_undecided(last: int) -> None:
    for times, expected in ((1.2, UNDECIDED), (1.8, UNDECIDED), (2.5, DIVERGED), (3.5, DIVERGED)):
        curve = np.full(100, LEVEL)
        curve[-last:] *= times ** (np.arange(1, last + 1) / last)
        assert label(curve) == expected
        assert rates(curve, 1e-3, runs=20)[expected] == 1


def test_a_slow_rise_is_no_plateau() -> None:
    assert rates(LEVEL + 0.001 * EPOCHS, 1e-4)[UNDECIDED] == 1


# -- idle units --------------------------------------------------------------------------------------------------------------


def test_dead_units_are_stuck_whatever_the_curve() -> None:
    for curve in (np.full(100, LEVEL), improving(10.0), LEVEL * (1 + 0.3 * cycle(2, "sine"))):
        assert label(curve, network(bias=-99)) == STUCK
