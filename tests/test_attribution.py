"""Attribution: against numbers that a reader can check, and against simulated cohorts whose sources are known."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.errors import BadInput
from study.statistics import variance_components
from study.statistics.variance_components import attribute, attribute_distances

UNTIMED = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
TWO, THREE = {"init": 4, "order": 5}, {"init": 3, "order": 4, "data": 3}
INTERACTION = "init × order"


def variances(found: variance_components.Attribution) -> dict[str, float]:
    return {name: component.variance for name, component in found.components.items()}


def shares(found: variance_components.Attribution) -> dict[str, float]:
    return {name: component.share for name, component in found.components.items()}


def simulated(seed: int, design: dict[str, int], sizes: dict[tuple[int, ...], float], coordinates: int | None = None) -> Any:
    """Cells [levels, …] or [levels, …, coordinates] whose effects, by the axes that they vary along, have these SDs."""
    rng = np.random.default_rng(seed)
    levels = tuple(design.values())
    tail = () if coordinates is None else (coordinates,)
    values = np.zeros(levels + tail)
    for axes, size in sizes.items():
        shape = tuple(count if axis in axes else 1 for axis, count in enumerate(levels))
        values = values + size * rng.normal(size=shape + tail)
    return values


# -- by hand -----------------------------------------------------------------------------------------------------------------


def test_two_by_two_by_hand() -> None:
    # rows have means 1.5 and 5.5, columns 2 and 5: MS_init = 16, MS_order = 9, and of 29 in all 4 are left
    found = attribute([[1, 2], [3, 8]], {"init": 2, "order": 2})
    assert variances(found) == pytest.approx({"init": (16 - 4) / 2, "order": (9 - 4) / 2, INTERACTION: 4})
    assert shares(found) == pytest.approx({"init": 0.48, "order": 0.2, INTERACTION: 0.32})
    assert found.chaos.share == pytest.approx(0.32) and found.total_sd == pytest.approx(np.sqrt(12.5))


def test_three_by_two_by_hand() -> None:
    # rows have means 2, 4 and 6, columns 3 and 5: MS_init = 16 / 2, MS_order = 6 / 1, and of 26 in all 4 are left to two degrees
    found = attribute([[1, 3], [4, 4], [4, 8]], {"init": 3, "order": 2})
    assert variances(found) == pytest.approx({"init": (8 - 2) / 2, "order": (6 - 2) / 3, INTERACTION: 2})
    assert list(found.components) == ["init", "order", INTERACTION]


def test_a_negative_estimate_has_no_share() -> None:
    # no row and no column differs from another on average, so MS_init = MS_order = 0 and MS_interaction = 4
    found = attribute([[1, -1], [-1, 1]], {"init": 2, "order": 2})
    assert variances(found) == pytest.approx({"init": -2, "order": -2, INTERACTION: 4})
    assert shares(found) == {"init": 0, "order": 0, INTERACTION: 1}


def mean_squares(values: Any) -> dict[tuple[int, ...], float]:
    """The analysis of variance as textbooks have it: the mean square of each set of axes of [a, b, c]."""
    axes = range(values.ndim)
    found = {}
    for chosen in (subset for size in range(1, values.ndim + 1) for subset in itertools.combinations(axes, size)):
        effect = np.zeros_like(values)
        for kept in (subset for size in range(len(chosen) + 1) for subset in itertools.combinations(chosen, size)):
            mean = values.mean(axis=tuple(axis for axis in axes if axis not in kept), keepdims=True)
            effect = effect + (-1) ** (len(chosen) - len(kept)) * mean
        found[chosen] = float(np.sum(effect**2) / np.prod([values.shape[axis] - 1 for axis in chosen]))
    return found


def test_three_sources_are_those_of_the_expected_mean_squares() -> None:
    values = simulated(0, THREE, {(0,): 3, (0, 1): 2, (0, 1, 2): 1})
    a, b, c = values.shape
    ms = mean_squares(values)
    assert variances(attribute(values, THREE)) == pytest.approx(
        {
            "init": (ms[0,] - ms[0, 1] - ms[0, 2] + ms[0, 1, 2]) / (b * c),
            "order": (ms[1,] - ms[0, 1] - ms[1, 2] + ms[0, 1, 2]) / (a * c),
            "data": (ms[2,] - ms[0, 2] - ms[1, 2] + ms[0, 1, 2]) / (a * b),
            "init × order": (ms[0, 1] - ms[0, 1, 2]) / c,
            "init × data": (ms[0, 2] - ms[0, 1, 2]) / b,
            "order × data": (ms[1, 2] - ms[0, 1, 2]) / a,
            "init × order × data": ms[0, 1, 2],
        }
    )


def test_the_chaos_index_is_that_of_all_interactions() -> None:
    found = attribute(simulated(0, THREE, {(0, 1): 2, (1, 2): 2, (0, 1, 2): 1}), THREE)
    assert found.chaos.share == pytest.approx(sum(share for name, share in shares(found).items() if "×" in name))
    assert found.chaos.variance == pytest.approx(sum(size for name, size in variances(found).items() if "×" in name))


# -- one source alone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", [TWO, THREE], ids=["two sources", "three sources"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_source_that_alone_matters_has_the_whole_share(design: dict[str, int], axis: int) -> None:
    found = attribute(simulated(1, design, {(axis,): 2.0}, coordinates=3), design)
    source = list(design)[axis]
    assert shares(found)[source] == pytest.approx(1) and found.chaos.share == pytest.approx(0)
    assert (found.components[source].low, found.components[source].high) == pytest.approx((1, 1))
    assert found.chaos.high == pytest.approx(0)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_where_only_the_combination_matters_the_chaos_index_is_one(size: float) -> None:
    # each level's mean is the same, so no source has an effect of its own
    latin = size * np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    found = attribute(latin, {"init": 3, "order": 3})
    assert found.chaos.share == 1 and found.chaos.high == 1


def test_equal_cells_have_nothing_to_attribute() -> None:
    found = attribute(np.full((4, 5, 7), 0.1, np.float32), TWO)
    assert set(shares(found).values()) == {0} and found.total_sd == 0 and found.chaos == variance_components.Component(0, 0, 0, 0)


# -- simulated cohorts -------------------------------------------------------------------------------------------------------


def test_the_estimates_are_unbiased() -> None:
    truth = {(0,): 2.0, (1,): 0.5, (0, 1): 1.0}
    found = np.array([list(variances(attribute(simulated(s, TWO, truth, 20), TWO)).values()) for s in range(100)]) / 20
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - [4, 0.25, 1]) < 4 * error) and np.all(error < 0.1)


def test_three_sources_are_unbiased_too() -> None:
    truth = {(0,): 1.0, (2,): 0.5, (0, 2): 1.0, (0, 1, 2): 2.0}
    found = np.array([list(variances(attribute(simulated(s, THREE, truth, 20), THREE)).values()) for s in range(100)]) / 20
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - [1, 0, 0.25, 0, 1, 0, 4]) < 4 * error) and np.all(error < 0.1)


# -- what may not matter -----------------------------------------------------------------------------------------------------


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.floats(-100, 100), st.floats(1e-3, 1e3))
@UNTIMED
def test_a_constant_changes_nothing_and_a_factor_only_the_scale(seed: int, constant: float, factor: float) -> None:
    values = simulated(seed, TWO, {(0,): 1, (1,): 1, (0, 1): 1}, 2)
    before, after = attribute(values, TWO), attribute(factor * (values + constant), TWO)
    assert after.total_sd == pytest.approx(factor * before.total_sd)
    assert [size / factor**2 for size in variances(after).values()] == pytest.approx(list(variances(before).values()), abs=1e-9)
    for name, component in before.components.items():
        other = after.components[name]
        assert (other.share, other.low, other.high) == pytest.approx((component.share, component.low, component.high), abs=1e-6)


@given(SEEDS)
@UNTIMED
def test_the_names_of_levels_and_the_order_of_sources_dont_matter(seed: int) -> None:
    values = simulated(seed, TWO, {(0,): 1, (1,): 1, (0, 1): 1})
    rng = np.random.default_rng(seed)
    shuffled = values[rng.permutation(4)][:, rng.permutation(5)]
    before = attribute(values, TWO)
    assert variances(attribute(shuffled, TWO)) == pytest.approx(variances(before))
    turned = variances(attribute(values.T, {"order": 5, "init": 4}))
    assert (turned["init"], turned["order"]) == pytest.approx((variances(before)["init"], variances(before)["order"]))


@given(SEEDS)
@UNTIMED
def test_vectors_give_the_sum_over_their_coordinates(seed: int) -> None:
    values = simulated(seed, TWO, {(0,): 1, (1,): 1, (0, 1): 1}, 3)
    alone = [variances(attribute(values[..., i], TWO)) for i in range(3)]
    assert variances(attribute(values, TWO)) == pytest.approx({name: sum(each[name] for each in alone) for name in alone[0]})


def test_cells_may_lie_along_one_axis_or_several() -> None:
    values = simulated(0, TWO, {(0,): 1, (0, 1): 1}, 6)
    whole = attribute(values, TWO)
    assert attribute(values.reshape(20, 6), TWO) == whole == attribute(values.reshape(20, 2, 3), TWO)


def test_many_coordinates_are_taken_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = simulated(0, TWO, {(0,): 1, (0, 1): 1}, 30)
    whole = variances(attribute(values, TWO))
    monkeypatch.setattr(variance_components, "BLOCK", 140)  # 7 coordinates of 20 cells
    assert variances(attribute(values, TWO)) == pytest.approx(whole)


def test_distances_alone_tell_the_same() -> None:
    rows = simulated(0, TWO, {(0,): 1, (1,): 2, (0, 1): 1}, 6).reshape(20, 6)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    from_rows, from_distances = attribute(rows, TWO), attribute_distances(distances, TWO)
    assert variances(from_distances) == pytest.approx(variances(from_rows))
    assert shares(from_distances) == pytest.approx(shares(from_rows))


def test_an_attribution_is_the_same_each_time() -> None:
    values = simulated(0, TWO, {(0,): 1, (0, 1): 1})
    assert attribute(values, TWO) == attribute(values, TWO)


# -- what can't be attributed ------------------------------------------------------------------------------------------------

NAN = np.zeros((4, 5))
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    ("values", "design", "key", "words"),
    [
        pytest.param(np.zeros((4, 4)), TWO, "values", "4 init × 5 order", id="a level is missing"),
        pytest.param(np.zeros(19), TWO, "values", "20 cells", id="a cell is missing"),
        pytest.param(np.float64(1), TWO, "values", "20 cells", id="one number"),
        pytest.param(NAN, TWO, "values", "nan in cell 11", id="NaN"),
        pytest.param(np.full((4, 5), np.inf), TWO, "values", "inf in cell 0", id="infinite"),
        pytest.param(np.full((4, 5), "a"), TWO, "values", "real numbers", id="text"),
        pytest.param(np.zeros((4, 5, 0)), TWO, "values", "at least one number", id="vectors of no length"),
        pytest.param(np.zeros(4), {"init": 4}, "design", "two sources", id="one source"),
        pytest.param(np.zeros((4, 1)), {"init": 4, "order": 1}, "design.order", "at least 2", id="one level"),
        pytest.param(np.zeros((4, 5)), {"init": 4, "order": 5.0}, "design.order", "whole number", id="a level count that is none"),
    ],
)
def test_faults_are_told(values: Any, design: Any, key: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        attribute(values, design)
    [fault] = caught.value.faults
    assert fault.key == key and words in str(fault)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        pytest.param(np.zeros((3, 3)), "(4, 4)", id="too few cells"),
        pytest.param(np.triu(np.ones((4, 4)), 1), "both ways", id="not symmetric"),
        pytest.param(np.ones((4, 4)), "diagonal", id="a cell is far from itself"),
        pytest.param(np.eye(4) - 1, "at least 0", id="negative"),
        pytest.param(np.full((4, 4), np.nan), "finite", id="NaN"),
    ],
)
def test_faults_of_distances_are_told(matrix: Any, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        attribute_distances(matrix, {"init": 2, "order": 2})
    [fault] = caught.value.faults
    assert fault.key == "distances" and words in str(fault)
