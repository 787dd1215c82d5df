"""Search spaces: how many settings they have, which, and what is no space."""

import math
from typing import Any

import pytest

from study.errors import BadInput
from study.search import space
from study.search.space import Choice, Domain, Interval

AB = Choice("letter", ("a", "b"))
ONE_TO_THREE = Interval("count", 1, 3, whole=True)
HALVES = Interval("share", 0.0, 1.0, step=0.5)
REAL = Interval("rate", 0.1, 0.2)


@pytest.mark.parametrize(
    ("domains", "size"),
    [
        ([], 1),
        ([AB], 2),
        ([ONE_TO_THREE], 3),
        ([Interval("x", 1, 7, whole=True, step=2)], 4),
        ([Interval("x", 1, 128, whole=True, log=True)], 128),
        ([HALVES], 3),
        ([Interval("x", 0.1, 0.4, step=0.1)], 4),
        ([Interval("x", 0.0, 1.0, step=0.1)], 11),
        ([REAL], None),
        ([AB, ONE_TO_THREE], 6),
        ([AB, ONE_TO_THREE, HALVES], 18),
        ([AB, REAL], None),
    ],
)
def test_the_size_is_the_number_of_settings(domains: list[Domain], size: int | None) -> None:
    assert space.size({domain.key: domain for domain in domains}) == size


@pytest.mark.parametrize("domains", [[], [AB], [AB, ONE_TO_THREE], [HALVES, AB, ONE_TO_THREE]])
def test_the_combinations_are_distinct_and_as_many_as_the_size(domains: list[Domain]) -> None:
    whole = {domain.key: domain for domain in domains}
    found = list(space.combinations(whole))
    assert len(found) == len(set(map(str, found))) == space.size(whole)
    assert all(list(each) == list(whole) for each in found)


def test_the_last_key_varies_fastest() -> None:
    assert list(space.combinations({"letter": AB, "count": ONE_TO_THREE})) == [
        {"letter": "a", "count": 1},
        {"letter": "a", "count": 2},
        {"letter": "a", "count": 3},
        {"letter": "b", "count": 1},
        {"letter": "b", "count": 2},
        {"letter": "b", "count": 3},
    ]


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Choice("x", (2, "2", None, True)), [2, "2", None, True]),
        (Interval("x", 1, 7, whole=True, step=3), [1, 4, 7]),
        (Interval("x", 0.0, 1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_a_finite_domain_has_these_values(domain: Domain, values: list[Any]) -> None:
    found = [each["x"] for each in space.combinations({"x": domain})]
    assert list(map(repr, found)) == list(map(repr, values))


def test_no_value_lies_beyond_the_ends() -> None:
    found = [each["x"] for each in space.combinations({"x": Interval("x", 0.3, 0.9, step=0.1)})]
    assert found == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert min(found) == 0.3 and max(found) == 0.9


@pytest.mark.parametrize(
    ("domain", "samples", "text"),
    [
        (AB, ("a", "b"), "choice(a, b)"),
        (ONE_TO_THREE, (1, 3), "whole numbers from 1 to 3"),
        (REAL, (0.1, 0.2), "numbers from 0.1 to 0.2"),
        (HALVES, (0.0, 1.0), "numbers from 0 to 1 in steps of 0.5"),
        (Interval("x", 1e-5, 0.1, log=True), (1e-5, 0.1), "numbers from 1e-05 to 0.1, log"),
    ],
)
def test_a_domain_shows_its_ends_and_tells_itself(domain: Domain, samples: tuple[Any, ...], text: str) -> None:
    assert domain.samples() == samples
    assert str(domain) == text


@pytest.mark.parametrize("values", [(), ("a", "a"), (1, 2, 1), (None, None), (math.nan, math.nan)])
def test_no_choice_or_the_same_choice_twice_is_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(BadInput) as bad:
        Choice("x", values)
    assert [fault.key for fault in bad.value.faults] == ["x"]


@pytest.mark.parametrize("values", [(1, 1.0), (True, 1), (0, False)])
def test_equal_choices_of_different_types_are_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(BadInput):
        Choice("x", values)


BOUNDS, LOG, WHOLE = "finite bounds with low < high", "bounds above 0 on a log scale", "whole bounds for whole numbers"


@pytest.mark.parametrize(
    ("low", "high", "more", "valid"),
    [
        (2, 1, {}, [BOUNDS]),
        (1, 1, {}, [BOUNDS]),
        (math.nan, 1, {}, [BOUNDS]),
        (0, math.nan, {}, [BOUNDS]),
        (0, math.inf, {}, [BOUNDS]),
        (-math.inf, 0, {}, [BOUNDS]),
        (0, 1, {"log": True}, [LOG]),
        (-1, 1, {"log": True}, [LOG]),
        (0.5, 3, {"whole": True}, [WHOLE]),
        (1, 2.5, {"whole": True}, [WHOLE]),
        (0, 1, {"step": 0}, ["a step above 0"]),
        (0, 1, {"step": -0.1}, ["a step above 0"]),
        (0, 1, {"step": math.nan}, ["a step above 0"]),
        (1, 2, {"log": True, "step": 0.5}, ["no step on a log scale"]),
        (2, 0.5, {"log": True, "whole": True, "step": -1}, [BOUNDS, WHOLE, "a step above 0", "no step on a log scale"]),
        (-1, -2, {"log": True}, [BOUNDS, LOG]),
    ],
)
def test_an_interval_that_is_none_tells_all_its_faults(low: float, high: float, more: dict[str, Any], valid: list[str]) -> None:
    with pytest.raises(BadInput) as bad:
        Interval("x", low, high, **more)
    assert [(fault.key, fault.valid) for fault in bad.value.faults] == [("x", each) for each in valid]


@pytest.mark.parametrize(
    ("low", "high", "more"),
    [
        pytest.param(math.nan, 1, {"whole": True}, id="nan among whole numbers (ValueError)"),
        pytest.param(1, math.inf, {"whole": True}, id="inf among whole numbers (OverflowError)"),
        pytest.param(0, 1, {"step": math.inf}, id="an infinite step"),
        pytest.param(0, 1, {"step": 0.3}, id="a step that doesn't divide"),
        pytest.param(1, 3, {"whole": True, "step": 0.5}, id="half a step among whole numbers"),
    ],
)
def test_these_are_no_intervals_either(low: float, high: float, more: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Interval("x", low, high, **more)


@pytest.mark.parametrize("more", [{"log": True}, {"whole": True}, {"whole": True, "log": True, "step": 1}, {"step": 1}])
def test_these_are_intervals(more: dict[str, Any]) -> None:
    assert Interval("x", 1, 3, **more).low == 1
