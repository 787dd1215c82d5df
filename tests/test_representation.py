"""CKA against published numbers, its definition, and the invariances that it is chosen for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.analysis import cka, forward
from study.records.network import Network, parameter_shapes
from study.settings.model import Model


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def rotation(seed: int, size: int) -> Any:
    return np.linalg.qr(normal(seed, size, size))[0]


def by_definition(x: Any, y: Any, debiased: bool) -> float:
    """From whole Gram matrices: of those without their diagonals, Song et al.'s unbiased HSIC (JMLR 13, 2012)."""

    def hsic(k: Any, m: Any) -> float:
        n = len(k)
        if not debiased:
            centring = np.eye(n) - 1 / n
            return float(np.sum((centring @ k @ centring) * m))
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        return float(np.sum(k * m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def test_the_reference_values() -> None:
    rng = np.random.RandomState(1337)
    x = rng.randn(100, 10)
    y = rng.randn(100, 10) + x
    assert cka.cka([x, y], debiased=False)[0, 1] == pytest.approx(0.55761, abs=5e-6)
    assert cka.cka([x, y])[0, 1] == pytest.approx(0.51346, abs=5e-6)


def test_by_hand() -> None:
    # centred already, with no common direction, or one of two
    x, y, z = np.array([[1.0], [-1], [0], [0]]), np.array([[0.0], [0], [1], [-1]]), np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    expected = [[1, 0, np.sqrt(0.5)], [0, 1, np.sqrt(0.5)], [np.sqrt(0.5), np.sqrt(0.5), 1]]
    assert cka.cka([x, y, z], debiased=False) == pytest.approx(np.array(expected))


@given(st.integers(4, 30), st.lists(st.integers(1, 40), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_it_is_its_definition_whatever_is_cheaper_and_fits(rows: int, units: list[int], debiased: bool, seed: int) -> None:
    shared = normal(seed, rows, 3)
    each = [shared @ normal(seed + i, 3, size) + normal(seed + i + 9, rows, size) for i, size in enumerate(units)]
    expected = np.array([[by_definition(x, y, debiased) for y in each] for x in each])
    found = cka.cka(each, debiased)
    assert found == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(found, found.T)
    assert cka.cka(each, debiased, memory=1) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(("rows", "units"), [(200, 5), (20, 60)])
@pytest.mark.parametrize("debiased", [True, False])
def test_rotations_shifts_and_scales_change_nothing(rows: int, units: int, debiased: bool) -> None:
    x = normal(0, rows, units)
    y = x + normal(1, rows, units)
    moved = 1e6 * y @ rotation(2, units) + 3
    found = cka.cka([x, y, moved], debiased)
    assert found[0, 1] == pytest.approx(found[0, 2], abs=1e-9)
    assert np.diag(found) == pytest.approx(np.ones(3)) and found[1, 2] == pytest.approx(1)
    squeezed = cka.cka([y, y * np.linspace(0.1, 3, units)], debiased)[0, 1]
    assert squeezed < 0.99, "a linear map that is no rotation does change it"


def test_huge_and_tiny_representations_neither_overflow_nor_vanish() -> None:
    x = normal(0, 50, 4)
    found = cka.cka([x, (1e30 * x).astype(np.float32), (1e-30 * x).astype(np.float32), 1e150 * x])
    assert found == pytest.approx(np.ones((4, 4)), abs=1e-6)


def test_unrelated_representations_are_near_zero_only_if_debiased() -> None:
    each = [normal(seed, 200, 100) for seed in range(12)]
    pairs = np.triu_indices(12, k=1)
    assert np.abs(cka.cka(each)[pairs]).max() < 0.03
    assert cka.cka(each, debiased=False)[pairs].min() > 0.3


def test_what_has_no_similarity_is_nan_and_leaves_the_others_alone() -> None:
    x = normal(0, 10, 3)
    lost, infinite = x.copy(), x.copy()
    lost[2, 1], infinite[2, 1] = np.nan, np.inf
    for others in ([np.full((10, 2), 0.1, np.float32)], [np.full((10, 7), 0.1)], [lost], [infinite]):
        for debiased in (True, False):
            found = cka.cka([x, *others, 2 * x], debiased)
            assert np.isnan(found).tolist() == [[False, True, False], [True, True, True], [False, True, False]]
            assert found[0, 2] == pytest.approx(1)


def test_equidistant_rows_and_few_of_them_have_no_debiased_value() -> None:
    assert np.isnan(cka.cka([np.eye(6), normal(0, 6, 2)])).tolist() == [[True, True], [True, False]]
    for few in (1, 2, 3):
        assert np.isnan(cka.cka([normal(0, few, 4), normal(1, few, 4)])).all()


def test_representations_of_different_rows_are_refused() -> None:
    for units in (1, 50):
        with pytest.raises(ValueError, match=r"dimension|shape|broadcast"):
            cka.cka([normal(0, 10, units), normal(0, 9, units)])


# -- of networks -------------------------------------------------------------------------------------------------------------


def stack(sizes: tuple[int, ...], normalisation: str | None = None) -> Network:
    shapes = parameter_shapes(sizes, normalisation)
    return Network({name: np.abs(normal(len(name), 3, *shape)).astype(np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize("normalisation", [None, "batch", "layer"])
def test_the_penultimate_layer_is_what_the_output_layer_sees(normalisation: Any) -> None:
    networks, x, model = stack((4, 6, 5, 2), normalisation), normal(0, 8, 4).astype(np.float32), Model(activation="tanh")
    found = cka.penultimate(networks, x, model)
    assert found.shape == (3, 8, 5)
    assert found @ networks.kernels[-1] + networks.biases[-1][:, None] == pytest.approx(
        forward.layer_outputs(networks, x, model)[-1], rel=1e-5
    )


def test_a_network_of_one_layer_sees_the_inputs() -> None:
    x = normal(0, 8, 4).astype(np.float32)
    assert np.array_equal(cka.penultimate(stack((4, 2)), x, Model()), [x, x, x])


def test_networks_of_different_widths_are_compared() -> None:
    x, model = normal(0, 60, 4).astype(np.float32), Model()
    narrow, wide = (cka.penultimate(stack((4, units, 1)), x, model) for units in (5, 50))
    found = cka.cka([*narrow, *wide])
    assert found.shape == (6, 6) and np.diag(found) == pytest.approx(np.ones(6))
    assert found[:3, :3] == pytest.approx(cka.cka(narrow))


def test_the_order_of_units_does_not_matter() -> None:
    networks, x = stack((4, 9, 1)), normal(0, 60, 4).astype(np.float32)
    outputs = cka.penultimate(networks, x, Model())
    shuffled = outputs[..., np.random.default_rng(0).permutation(9)]
    assert cka.cka([outputs[0], shuffled[0]])[0, 1] == pytest.approx(1)
