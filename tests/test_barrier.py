"""The straight line between two networks: barriers that a reader can check, and what they must not depend on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from study.analysis import barrier, forward
from study.records.dataset import Dataset
from study.records.network import Network, parameter_shapes
from study.settings.loss import Huber
from study.settings.model import Model

RELU = Model()


def floats(*values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def same_rows(x: Any, y: Any, outputs: int = 1) -> Dataset:
    """Rows that are trained on and validated alike."""
    return Dataset(x, y, x, y, outputs)


def drawn(seed: int, sizes: tuple[int, ...], normalisation: str | None = None) -> Network:
    rng, shapes = np.random.default_rng(seed), parameter_shapes(sizes, normalisation)
    parameters = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Network({name: np.abs(array) if name.startswith("variance") else array for name, array in parameters.items()})


def rows(seed: int, count: int, inputs: int, classes: int | None = None) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, inputs)).astype(np.float32)
    return x, rng.integers(classes, size=count).astype(np.int32) if classes else rng.normal(size=(count, 1)).astype(np.float32)


def permuted(net: Network, seed: int) -> tuple[Network, Network]:
    """The same function with each hidden layer's units in another order, and that put back into the first order."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(bias)) for bias in net.biases[:-1]]
    other = reordered(net, orders)
    return other, reordered(other, [np.argsort(order) for order in orders])


def reordered(net: Network, orders: list[Any]) -> Network:
    kernels, biases = list(net.kernels), list(net.biases)
    for layer, order in enumerate(orders):
        kernels[layer], biases[layer] = kernels[layer][:, order], biases[layer][order]
        kernels[layer + 1] = kernels[layer + 1][order]
    return Network.of_layers(kernels, biases)


# -- by hand -----------------------------------------------------------------------------------------------------------------


def line(weight: float) -> Network:
    return Network.of_layers([floats([weight])], [floats(0)])


def test_a_convex_loss_has_no_barrier() -> None:
    # y = w x with w from 3 to 1 and targets 0: w² · mean(x²), which is below its chord by α (1 − α) (3 − 1)² · 5
    x = floats([1], [3], [-1], [-3])
    found = barrier.between([(line(1), line(3))], same_rows(x, 0 * x), RELU, alphas=5)
    assert found.loss.alphas.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.loss.values == pytest.approx(5 * np.array([[3, 2.5, 2, 1.5, 1]]) ** 2)
    assert found.loss.chord == pytest.approx(np.array([[45, 35, 25, 15, 5]]))
    assert found.loss.chord - found.loss.values == pytest.approx(5 * 4 * np.array([[0, 3 / 16, 1 / 4, 3 / 16, 0]]))
    assert found.loss.barrier.tolist() == [0.0]
    assert found.error.values.tolist() == found.loss.values.tolist()


# relu(x) and relu(−x), summed: |x|; then the same units in the other order. Half way both kernels are 0.
ABSOLUTE = Network.of_layers([floats([1, -1]), floats([1], [1])], [floats(0, 0), floats(0)])
SWAPPED = Network.of_layers([floats([-1, 1]), floats([1], [1])], [floats(0, 0), floats(0)])


def test_two_orders_of_the_same_units_have_a_barrier() -> None:
    # the output is |2α − 1| |x|, which should be 1: both ends are perfect, and the middle says 0
    found = barrier.between([(ABSOLUTE, SWAPPED), (ABSOLUTE, ABSOLUTE)], same_rows(floats([1], [-1]), floats([1], [1])), RELU)
    assert found.loss.values[0] == pytest.approx((1 - np.abs(2 * np.linspace(0, 1, 25) - 1)) ** 2)
    assert found.loss.barrier.tolist() == [1.0, 0.0]


def test_barriers_of_a_classification_by_hand() -> None:
    # the logits are 0 and |2α − 1| |x| − 1, so that half way no row is of class 1 any more
    def two_classes(net: Network) -> Network:
        return Network.of_layers([net.kernels[0], floats([0, 1], [0, 1])], [net.biases[0], floats(0, -1)])

    data = same_rows(floats([2], [-2], [0], [0]), np.array([1, 1, 0, 0], np.int32), 2)
    found = barrier.between([(two_classes(ABSOLUTE), two_classes(SWAPPED))], data, RELU)
    wrong = np.abs(2 * np.linspace(0, 1, 25) - 1) * 2 <= 1
    assert found.error.values.tolist() == [(wrong / 2).tolist()]
    assert found.error.barrier.tolist() == [0.5]
    # log(1 + e) for the half that is wrong by 1 instead of log(1 + 1/e): they differ by 1
    assert found.loss.barrier == pytest.approx([0.5], rel=1e-6)


def test_the_loss_is_the_one_that_is_given() -> None:
    x = floats([1], [3])
    found = barrier.between([(line(1), line(3))], same_rows(x, 0 * x), RELU, Huber(), alphas=2)
    assert found.loss.values == pytest.approx(np.array([[(2.5 + 8.5) / 2, (0.5 + 2.5) / 2]]))


VALUES = arrays.arrays(np.float64, (3, 7), elements=st.floats(-1e6, 1e6))


@given(VALUES)
@settings(deadline=None)
def test_a_barrier_is_never_negative_and_the_chord_meets_both_ends(values: Any) -> None:
    curves = barrier.Curves(np.linspace(0, 1, 7), values)
    assert np.array_equal(curves.chord[:, [0, -1]], values[:, [0, -1]])
    assert np.all(curves.barrier >= 0)
    straight = barrier.Curves(curves.alphas, curves.chord)
    assert straight.barrier == pytest.approx(np.zeros(3), abs=1e-9)


# -- properties --------------------------------------------------------------------------------------------------------------

SIZES = (4, 9, 7, 3)
CASES = [pytest.param(None, 3, id="plain"), pytest.param("batch", 3, id="batch"), pytest.param("layer", None, id="layer")]


def some(normalisation: str | None, classes: int | None, count: int = 3) -> tuple[list[Network], Dataset]:
    sizes = SIZES if classes else (*SIZES[:-1], 1)
    x, y = rows(1, 60, 4, classes)
    x_val, y_val = rows(2, 40, 4, classes)
    return [drawn(seed, sizes, normalisation) for seed in range(count)], Dataset(x, y, x_val, y_val, classes or 1)


@pytest.mark.parametrize(("normalisation", "classes"), CASES)
def test_a_network_has_no_barrier_to_itself(normalisation: Any, classes: Any) -> None:
    nets, data = some(normalisation, classes)
    found = barrier.between([(net, net) for net in nets], data, RELU)
    assert found.loss.barrier.tolist() == found.error.barrier.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("normalisation", "classes"), CASES)
def test_the_pairs_order_does_not_matter(normalisation: Any, classes: Any) -> None:
    (a, b, _), data = some(normalisation, classes)
    there, back = barrier.between([(a, b)], data, RELU), barrier.between([(b, a)], data, RELU)
    assert there.loss.values == pytest.approx(back.loss.values[:, ::-1], rel=1e-5)
    assert there.loss.barrier == pytest.approx(back.loss.barrier, rel=1e-5)
    assert there.error.barrier == pytest.approx(back.error.barrier, rel=1e-5)


@pytest.mark.parametrize(("normalisation", "classes"), CASES)
def test_neither_the_pairs_beside_nor_the_parts_change_a_result(normalisation: Any, classes: Any) -> None:
    nets, data = some(normalisation, classes)
    pairs = list(itertools.combinations(nets, 2))
    whole, in_parts = barrier.between(pairs, data, RELU), barrier.between(pairs, data, RELU, memory=1)
    alone = [barrier.between([pair], data, RELU, memory=20_000) for pair in pairs]
    for measure in ("loss", "error"):
        expected = getattr(whole, measure).values
        assert np.array_equal(getattr(in_parts, measure).values, expected)
        assert np.array_equal(np.concatenate([getattr(each, measure).values for each in alone]), expected)
        assert np.all(np.isfinite(expected)) and len({*expected.ravel()}) > 5


def test_a_permuted_copy_has_a_barrier_until_its_units_are_put_back() -> None:
    net = drawn(0, (4, 16, 16, 3))
    other, restored = permuted(net, 1)
    x, _ = rows(1, 200, 4)
    y = forward.layer_outputs(Network.stack([net]), x, RELU)[-1][0].argmax(axis=1).astype(np.int32)
    found = barrier.between([(net, other), (net, restored)], same_rows(x, y, 3), RELU)
    assert found.error.values[:, [0, -1]].tolist() == [[0, 0], [0, 0]]
    assert found.loss.barrier[0] > 0.1 and found.error.barrier[0] > 0.1
    assert found.loss.barrier[1] == found.error.barrier[1] == 0


def test_the_ends_are_the_networks_to_the_bit() -> None:
    a, b = drawn(0, SIZES, "batch"), drawn(1, SIZES, "batch")
    ends = barrier.interpolated(a, b, np.array([1.0, 0.0])).unstack()
    for end, net in zip(ends, (a, b), strict=True):
        assert all(np.array_equal(end.parameters[name], array) for name, array in net.parameters.items())
    [middle] = barrier.interpolated(a, b, np.array([0.5])).unstack()
    assert middle.parameters["scale_1"] == pytest.approx((a.parameters["scale_1"] + b.parameters["scale_1"]) / 2)


# -- batch normalisation -----------------------------------------------------------------------------------------------------


def test_running_statistics_are_those_of_the_training_rows() -> None:
    (a, b, _), data = some("batch", 3)
    stack = barrier.interpolated(a, b, np.linspace(0, 1, 5))
    by_rows = forward.layer_outputs(stack, data.x_train, RELU, training=True)[-1]
    ready = barrier.recalibrated(stack, data.x_train, RELU)
    assert forward.layer_outputs(ready, data.x_train, RELU)[-1] == pytest.approx(by_rows, rel=1e-4, abs=1e-4)
    found = barrier.between([(a, b)], data, RELU, alphas=5)
    assert found.loss.values[0] == pytest.approx(forward.losses(by_rows, data.y_train), rel=1e-5)
    # the validation rows are not normalised by themselves
    expected = np.mean(forward.layer_outputs(ready, data.x_val, RELU)[-1].argmax(axis=-1) != data.y_val, axis=1)
    assert found.error.values[0] == pytest.approx(expected)


def test_what_the_running_statistics_were_does_not_matter() -> None:
    (a, b, _), data = some("batch", 3)
    forgot = Network({name: 7 * array if name.startswith(("mean", "variance")) else array for name, array in b.parameters.items()})
    found = barrier.between([(a, b), (a, forgot)], data, RELU)
    assert np.array_equal(*found.loss.values) and np.array_equal(*found.error.values)


# -- rows, and what can't be ---------------------------------------------------------------------------------------------------


def test_of_many_rows_a_sample_is_used_that_the_seed_decides() -> None:
    (a, b, c), data = some(None, 3)

    def ends(seed: int, used: int, measure: str = "loss") -> Any:
        return getattr(barrier.between([(a, b), (a, c)], data, RELU, alphas=2, rows=used, seed=seed), measure).values

    assert np.array_equal(ends(0, 20), ends(0, 20))
    assert not np.array_equal(ends(0, 20), ends(1, 20))
    assert not np.array_equal(ends(0, 20, "error"), ends(1, 20, "error"))
    assert ends(0, 20)[0, 1] == ends(0, 20)[1, 1], "every pair is judged by the same rows"
    assert np.array_equal(ends(0, 60), ends(1, 10**6))
    means = np.mean([ends(seed, 20) for seed in range(300)], axis=0)
    assert means == pytest.approx(ends(0, 60), rel=0.03)


def test_networks_of_different_architectures_have_no_line() -> None:
    x, y = rows(0, 5, 4)
    with pytest.raises(ValueError, match="4-1-1 and 4-3-1"):
        barrier.between([(drawn(0, (4, 1, 1)), drawn(0, (4, 3, 1)))], same_rows(x, y), RELU)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
@pytest.mark.parametrize("normalisation", [None, "batch"])
def test_a_diverged_network_has_no_barrier_to_speak_of(lost: float, normalisation: Any) -> None:
    (a, b, c), data = some(normalisation, 3)
    diverged = Network(b.parameters | {"kernel_1": np.full_like(b.parameters["kernel_1"], lost)})
    found = barrier.between([(a, diverged), (a, c)], data, RELU)
    assert np.isnan(found.loss.barrier).tolist() == np.isnan(found.error.barrier).tolist() == [True, False]
