"""The label of a run, on curves and networks whose right label is plain."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from study.analysis import convergence
from study.analysis.convergence import DIVERGED, IMPROVING, OSCILLATING, PLATEAUED, STUCK, UNDECIDED
from study.records.dataset import Dataset
from study.records.network import Network
from study.settings.model import Model


def floats(*values: Any) -> Any:
    return np.array(values, dtype=np.float32)


# losses are in units of the trivial predictor's
X = floats([1, 2], [-1, 1], [2, -1], [-2, -2])
DATA = Dataset(X, floats([1], [-1], [1], [-1]), X, floats([1], [-1], [1], [-1]), outputs=1)
NET = Network.of_layers((floats([1, -2, 3], [1, 1, -1]), floats([1], [2], [3])), (floats(0, 0, 0), floats(0)))
EPOCHS = np.arange(100)


def label(curve: Any, *, val: Any = None, initial: float = 1.2, net: Network = NET, activation: str = "relu") -> str:
    train, validation = (np.asarray(each, dtype=np.float32) for each in (curve, curve if val is None else val))
    return convergence.label(train, initial, np.append(initial, validation), net, DATA.x_train, 1.0, Model(activation=activation))


def noise(seed: int, size: int = 100) -> Any:
    return np.random.default_rng(seed).normal(size=size)


CURVES = {
    "flat": (np.full(100, 0.3), {PLATEAUED}),
    "flat at zero": (np.zeros(100), {PLATEAUED}),
    "falls, then flat": (0.3 + 0.7 * np.exp(-EPOCHS / 5), {PLATEAUED}),
    "flat with noise of 0.01 %": (0.3 * (1 + 1e-4 * noise(0)), {PLATEAUED}),
    "flat with noise of 1 %": (0.3 * (1 + 1e-2 * noise(0)), {PLATEAUED, UNDECIDED}),
    "flat with noise of 5 %": (0.3 * (1 + 5e-2 * noise(1)), {PLATEAUED, UNDECIDED}),
    "falls by half every epoch, but is nothing beside the trivial loss": (0.5**EPOCHS, {PLATEAUED}),
    "falls slowly and exponentially": (np.exp(-0.01 * EPOCHS), {IMPROVING}),
    "falls slowly, with noise": (np.exp(-0.01 * EPOCHS) * (1 + 0.01 * noise(0)), {IMPROVING}),
    "falls as a power": (1 / np.sqrt(1 + EPOCHS), {IMPROVING}),
    "falls fast, five epochs": ([0.9, 0.7, 0.5, 0.4, 0.3], {IMPROVING}),
    "falls too slowly for its noise": (0.5 * np.exp(-0.001 * EPOCHS) * (1 + 0.05 * noise(0)), {UNDECIDED}),
    "swings between two values": (np.where(EPOCHS % 2, 0.3, 0.5), {OSCILLATING}),
    "swings with a period of three": (np.where(EPOCHS % 3, 0.5, 0.3), {OSCILLATING}),
    "swings, but falls": (np.exp(-0.02 * EPOCHS) * np.where(EPOCHS % 2, 0.8, 1.0), {IMPROVING}),
    "swings far below the trivial loss": (np.where(EPOCHS % 2, 1e-4, 2e-4), {PLATEAUED}),
    "rises above its start": (np.linspace(1.0, 1.5, 100), {DIVERGED}),
    "rises to more than twice its minimum": (np.concatenate([np.linspace(1, 0.2, 50), np.linspace(0.2, 0.5, 50)]), {DIVERGED}),
    "rises to ten minima, but is nothing beside the trivial loss": (np.where(EPOCHS == 50, 1e-5, 1e-4), {PLATEAUED}),
    "NaN at the end": ([0.9, 0.8, np.nan], {DIVERGED}),
    "NaN in the middle": ([0.9, np.nan, 0.8], {DIVERGED}),
    "infinite": ([0.9, np.inf, 0.8], {DIVERGED}),
    "nothing learned": (np.full(100, 1.0), {STUCK}),
    "nearly nothing learned": (np.full(100, 0.99), {STUCK}),
    "worse than a constant, and flat": (np.full(100, 1.1), {STUCK}),
    "worse than a constant, but falling": (1.1 - 0.001 * EPOCHS, {IMPROVING}),
    "one epoch": ([0.5], {UNDECIDED}),
    "three epochs": ([0.5, 0.4, 0.3], {UNDECIDED}),
    "three flat epochs": ([0.5, 0.5, 0.5], {UNDECIDED}),
    "four epochs": ([0.5, 0.4, 0.35, 0.3], {UNDECIDED}),
}


@pytest.mark.parametrize(("curve", "allowed"), CURVES.values(), ids=CURVES)
def test_a_curve_that(curve: Any, allowed: set[str]) -> None:
    assert label(curve) in allowed


@pytest.mark.parametrize("amount", [1e-5, 1e-4, 5e-4])
def test_a_noisy_plateau_is_never_still_improving(amount: float) -> None:
    found = Counter(label(0.3 * (1 + amount * noise(seed))) for seed in range(50))
    assert set(found) <= {PLATEAUED, UNDECIDED}


def test_a_plateau_with_much_noise_is_rarely_called_still_improving() -> None:
    found = Counter(label(0.3 * (1 + 0.05 * noise(seed, 20))) for seed in range(400))
    # the interval means 2.5 %; on its shortest tail, 20 points, it gives about 1 %
    assert found[IMPROVING] <= 0.03 * 400


@pytest.mark.parametrize(("decay", "amount"), [(0.001, 0.01), (0.001, 0.05), (0.01, 0.05)])
def test_noise_does_not_pass_for_convergence(decay: float, amount: float) -> None:
    """An improvement that is material stays so under noise: at most the interval's 2.5 % (5 of 100, by chance)."""
    found = Counter(label(0.8 * np.exp(-decay * EPOCHS) * (1 + amount * noise(seed))) for seed in range(100))
    assert found[PLATEAUED] <= 5


def test_two_epochs_are_undecided_without_a_warning() -> None:
    assert label([0.5, 0.3]) == UNDECIDED


def test_three_epochs_up_and_down_are_undecided() -> None:
    assert label([0.5, 0.3, 0.5]) == UNDECIDED


# One hidden layer each; the curve would otherwise have plateaued.
DEAD = Network.of_layers((floats([1, -2, 3], [1, 1, -1]), floats([1], [2], [3])), (floats(-99, -99, -99), floats(0)))
HALF_DEAD = Network.of_layers((floats([1, -2, 3], [1, 1, -1]), floats([1], [2], [3])), (floats(-99, -99, 0), floats(0)))
COPIES = Network.of_layers((floats([1, 1, 1], [2, 2, 2]), floats([1], [1], [1])), (floats(0.5, 0.5, 0.5), floats(0)))
COPIES_BUT_BIAS = Network.of_layers((floats([1, 1, 1], [2, 2, 2]), floats([1], [1], [1])), (floats(0.5, 0.5, 0.6), floats(0)))
LONE_UNIT = Network.of_layers((floats([1], [2]), floats([1])), (floats(0.5), floats(0)))
ZEROS = Network.of_layers((floats([0, 0, 0], [0, 0, 0]), floats([0], [0], [0])), (floats(0, 0, 0), floats(0.1)))
DEEP_COPIES = Network.of_layers(
    (floats([1, -2], [1, 1]), floats([1, 1], [2, 2]), floats([1], [1])), (floats(0, 0), floats(0, 0), floats(0))
)


@pytest.mark.parametrize(
    ("net", "activation", "expected"),
    [
        pytest.param(NET, "relu", PLATEAUED, id="sound"),
        pytest.param(DEAD, "relu", STUCK, id="all units dead"),
        pytest.param(DEAD, "tanh", PLATEAUED, id="saturated, which isn't dead"),
        pytest.param(HALF_DEAD, "relu", PLATEAUED, id="some units dead"),
        pytest.param(COPIES, "relu", STUCK, id="all units copies of one"),
        pytest.param(COPIES, "tanh", STUCK, id="all tanh units copies of one"),
        pytest.param(COPIES_BUT_BIAS, "relu", PLATEAUED, id="copies but for a bias"),
        pytest.param(LONE_UNIT, "relu", PLATEAUED, id="a layer of one unit, which has no copy"),
        pytest.param(ZEROS, "relu", STUCK, id="zeros"),
        pytest.param(ZEROS, "tanh", STUCK, id="zeros under tanh"),
        pytest.param(DEEP_COPIES, "relu", STUCK, id="copies in the second layer only"),
    ],
)
def test_a_network_whose_hidden_layer_is_idle_is_stuck_whatever_its_curve(net: Network, activation: str, expected: str) -> None:
    assert label(np.full(100, 0.3), net=net, activation=activation) == expected


def test_what_diverged_is_not_also_called_stuck() -> None:
    assert label([1.0, 2.0, np.nan], net=ZEROS) == DIVERGED


def test_a_network_that_cannot_learn_is_stuck_and_not_diverged() -> None:
    # init=zeros on diabetes, as seen: the loss at the start is 1, that of the last epoch 1.0004
    assert label(1.0 + 0.0004 * np.cos(EPOCHS), initial=1.0, net=ZEROS) == STUCK


# the rate 0.0001 on noise, as seen: each epoch's loss is that of 32 of 48 rows, in units of 0.09
UNMOVED = np.array([1.438, 1.33, 1.403, 1.523, 1.303, 1.114, 1.415, 1.279, 1.414, 1.511, 1.301, 1.451, 1.448, 1.504, 1.334, 1.31])
UNMOVED = np.concatenate([UNMOVED, [1.452, 1.393, 1.215, 1.414]]) / 0.09


def test_the_noise_of_batches_is_no_growth_of_the_loss() -> None:
    assert label(UNMOVED, initial=1.370 / 0.09) == STUCK
    labels = Counter(label(1.2 * (1 + 0.1 * noise(seed, 20))) for seed in range(200))
    assert labels[DIVERGED] <= 1, "ten epochs in a row, by chance"


def test_a_loss_above_its_start_is_no_divergence_while_the_validation_loss_falls() -> None:
    assert label(np.full(20, 1.5), val=np.linspace(1.1, 1.0, 20)) == STUCK
    assert label(np.full(20, 1.5), val=np.linspace(1.5, 1.6, 20)) == DIVERGED


def test_a_network_that_comes_down_from_far_above_a_constant_is_not_stuck() -> None:
    # on diabetes, as seen, after ten epochs
    assert label(np.linspace(5.790, 3.123, 10), initial=6.0) == IMPROVING
    assert label(np.linspace(5.790, 3.123, 10) + 0.5 * noise(0, 10), initial=7.5) in (IMPROVING, UNDECIDED)
    assert label([5.8, 4.9, 4.0], initial=6.0) == UNDECIDED
    assert label(np.linspace(5.790, 3.123, 10), initial=6.0, net=ZEROS) == STUCK


def test_the_tail_is_the_last_fifth_but_at_least_twenty_epochs() -> None:
    assert [len(convergence.tail_of(np.ones(epochs))) for epochs in (3, 20, 50, 100, 500)] == [3, 20, 20, 20, 100]


@pytest.mark.parametrize("rate", [-0.001, -0.01, 0.0, 0.02])
def test_the_projection_of_an_exact_exponential_is_its_definition(rate: float) -> None:
    tail = 0.5 * np.exp(rate * np.arange(20))
    expected = (1 - np.exp(rate * 20)) * np.median(tail) / 2.0
    assert convergence.projected_improvement(tail, trivial=2.0) == pytest.approx((expected, expected))


def test_the_projection_of_a_long_tail_is_that_of_all_its_epochs() -> None:
    tail = 0.5 * np.exp(-0.001 * np.arange(1000))
    expected = (1 - np.exp(-1)) * np.median(tail)
    assert convergence.projected_improvement(tail, trivial=1.0) == pytest.approx((expected, expected))


def test_fewer_than_five_epochs_project_anything() -> None:
    assert convergence.projected_improvement(np.ones(4), trivial=1.0) == (-np.inf, np.inf)


def test_a_label_is_the_same_each_time() -> None:
    curve = 0.3 * (1 + 0.01 * noise(3))
    assert len({label(curve) for _ in range(5)}) == 1
    assert convergence.projected_improvement(curve, 1.0) == convergence.projected_improvement(curve, 1.0)
