"""Which setting is better: paired differences by hand, and how often what is said of them is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.statistics import ranking
from study.statistics.ranking import Ranking, difference

UNTIMED = settings(deadline=None)
Draw = Any  # a function of a generator and a shape


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(size=shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Losses with outliers such as a replicate that nearly diverged: Student's t with 2 degrees of freedom has no variance."""
    return np.abs(rng.standard_t(2, size=shape))


def studies(draw: Draw, trials: int, replicates: int, count: int, better: float = 0.0) -> Any:
    """Values [count, trials, R] of settings that are equal but for trial 0, which is better by so many SDs; paired by what they
    share."""
    rng = np.random.default_rng(trials * 1000 + replicates)
    found = 3 * draw(rng, (count, 1, replicates)) + draw(rng, (count, trials, replicates))
    found[:, 0] -= better
    return found


# -- two settings --------------------------------------------------------------------------------------------------------------


def test_a_difference_by_hand() -> None:
    found = difference([1.0, 2.0, 4.0], [2.0, 4.0, 7.0])
    # gaps of 1, 2 and 3: SD 1
    assert (found.mean, found.pairs) == (2.0, 3)
    assert found.halfwidth == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert (found.low, found.high) == pytest.approx((2 - 4.302652729911275 / math.sqrt(3), 2 + 4.302652729911275 / math.sqrt(3)))
    assert not found.shown


@pytest.mark.parametrize(
    ("gaps", "shown"),
    [
        ([1, 1.1, 0.9, 1], False),  # four pairs, however clear
        ([1, 1.1, 0.9, 1, 1], True),
        ([-1, -1.1, -0.9, -1, -1], True),
        ([1, -1, 1, -1, 1], False),
        ([0, 0, 0, 0, 0], False),
        ([1, 1, 1, 1, 1], True),
        ([1], False),
        ([5.753824e-2 + place * 1e-8 for place in range(8)], True),
    ],
)
def test_what_is_shown(gaps: list[float], shown: bool) -> None:
    assert difference([0.0] * len(gaps), gaps).shown is shown


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=12))
@UNTIMED
def test_the_other_way_round_is_the_opposite_and_what_pairs_share_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    there, back, moved = difference(a, b), difference(b, a), difference(a + 5, b + 5)
    assert (back.mean, back.halfwidth) == pytest.approx((-there.mean, there.halfwidth), abs=1e-9)
    assert (moved.mean, moved.halfwidth) == pytest.approx((there.mean, there.halfwidth), abs=1e-9)


def test_replicates_of_a_split_count_as_one() -> None:
    # the gaps of the splits are 1, 2 and 3, as in the test by hand
    found = difference([0.0] * 6, [0.5, 1.5, 2.5, 1.5, 3.0, 3.0], splits=[0, 0, 1, 1, 2, 2])
    assert (found.mean, found.pairs, found.replicates) == (2.0, 3, 6)
    assert found.halfwidth == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert found.needed == 2 * ranking.needed_pairs(2.0, 1.0)  # type: ignore[operator]
    alone = difference([0.0] * 4, [1.0, 1.0, 2.0, 2.0], splits=[0, 0, 1, 1])
    assert alone.pairs == 2 and alone.halfwidth is None and not alone.shown
    # the settings' responses to a split, alike in both of its replicates, aren't shown by counting them twice
    gaps = np.repeat([1.0, 1.2, 0.1, 0.4, -0.2], 2)
    assert difference(np.zeros(10), gaps).shown and not difference(np.zeros(10), gaps, splits=np.arange(10) // 2).shown
    chosen = ranking.choose({0: np.zeros(10), 1: gaps}, per_split=2)
    assert not chosen.decided and chosen.fewest.pairs == 5


def test_a_loss_that_is_no_number_shows_nothing() -> None:
    assert not difference([0.0] * 6, [1.0, 1.0, math.nan, 1.0, 1.0, 1.0]).shown


@pytest.mark.parametrize("count", [5, 8, 29])
def test_the_test_is_students(count: int) -> None:
    for values in np.random.default_rng(count).normal(size=(50, 2, count)):
        assert difference(*values).shown == (stats.ttest_rel(*values).pvalue < 0.05)


def test_replicates_without_partners_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="got 0 and 0"):
        difference([], [])


# -- how many replicates a difference needs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "replicates"),
    # of an SD of 1, two-sided at 5 % with a power of 80 %: Cohen (1988), table 2.4.1, has 34 for 0.5, and 199 for 0.2
    [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (10.0, 5)],
)
def test_the_books_sample_sizes(mean: float, replicates: int) -> None:
    assert ranking.needed_pairs(mean, 1.0) == pytest.approx(replicates, abs=1)
    assert ranking.needed_pairs(-3 * mean, 3.0) == ranking.needed_pairs(mean, 1.0)


def test_no_number_shows_what_is_not_there() -> None:
    assert ranking.needed_pairs(0.0, 1.0) is None and ranking.needed_pairs(1e-9, 1.0) is None
    assert ranking.needed_pairs(math.nan, 1.0) is None
    assert ranking.needed_pairs(1e-9, 0.0) == ranking.FEWEST


@pytest.mark.parametrize("mean", [0.3, 0.5, 1.0])
def test_so_many_show_it_as_often_as_is_said(mean: float) -> None:
    count = ranking.needed_pairs(mean, 1.0, confidence=1 - 0.05 / 23)
    assert count
    values = np.random.default_rng(0).normal(mean, 1, size=(2000, count))
    shown = [difference(np.zeros(count), each, confidence=1 - 0.05 / 23).shown for each in values]
    assert np.mean(shown) == pytest.approx(ranking.POWER, abs=0.03)


# -- the error on all rows there could be ------------------------------------------------------------------------------------


def test_error_spreads_by_hand() -> None:
    # all rows fail together: nothing is due to the rows
    together = ranking.error_spread(np.array([[0, 0], [1, 1]]))
    assert together == ranking.ErrorSpread(math.sqrt(0.5), math.sqrt(0.5)) and together.finite_test == 0
    # one row fails in one run: that is what a single row does
    single = ranking.error_spread(np.array([[1, 0], [0, 0]]))
    assert single == ranking.ErrorSpread(math.sqrt(0.125), 0) and single.finite_test == 1
    # as many failures in each run: less variance than independent rows would have
    opposed = ranking.error_spread(np.array([[0, 1], [1, 0]]))
    assert opposed == ranking.ErrorSpread(0, 0) and math.isnan(opposed.finite_test)


def test_too_little_has_no_error_spread() -> None:
    assert ranking.error_spread(np.zeros((1, 5))) is None and ranking.error_spread(np.zeros((5, 1))) is None


def test_it_is_the_mean_covariance_of_different_rows() -> None:
    errors = np.random.default_rng(0).integers(2, size=(6, 9)) + np.arange(6)[:, None]
    covariances = np.cov(errors.T)
    found = ranking.error_spread(errors)
    assert found and found.distribution_wise**2 == pytest.approx(covariances[~np.eye(9, dtype=bool)].mean())
    assert found.observed**2 == pytest.approx(covariances.mean())


def test_runs_that_differ_only_in_which_rows_they_fail_are_found_equal() -> None:
    rng = np.random.default_rng(1)
    difficulty = rng.beta(0.3, 2, size=400)
    squares = []
    for _ in range(200):
        found = ranking.error_spread(rng.random((20, 400)) < difficulty)
        assert found
        squares.append([found.observed**2, found.distribution_wise**2])
    observed, estimated = np.mean(squares, axis=0)
    # what clipping leaves is half of a spread around zero of √(2 / 19) of the observed
    assert estimated < 0.2 * observed


def test_the_spread_of_quality_is_recovered_from_few_rows() -> None:
    rng, squares = np.random.default_rng(2), []
    for _ in range(200):
        quality = 0.05 * rng.normal(size=(30, 1))  # its SD is what is looked for; the rows' noise adds 0.5² / 50 = 0.07²
        found = ranking.error_spread(0.3 + quality + 0.5 * rng.normal(size=(30, 50)))
        assert found
        squares.append(found.distribution_wise**2)
    assert math.sqrt(np.mean(squares)) == pytest.approx(0.05, rel=0.1)


# -- many trials -------------------------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).normal(size=12)
TRIALS = {7: NOISE + 1.0, 3: NOISE, 5: NOISE + np.tile([0.1, -0.09], 6), 9: NOISE + 0.001}


def test_the_best_and_what_may_be_as_good() -> None:
    # trial 9 is worse by little, but in every replicate; trial 5 in every other
    found = ranking.choose(TRIALS)
    assert (found.best, found.tied, found.fewest.pairs, found.decided) == (3, (3, 5), 12, False)
    assert list(found.differences) == [9, 5, 7]
    assert found.differences[9].mean == pytest.approx(0.001) and found.differences[5].mean == pytest.approx(0.005)
    upside_down = ranking.choose({number: -values for number, values in TRIALS.items()}, sign=-1)
    assert upside_down.tied == (3, 5) and upside_down.differences[7].mean == pytest.approx(-1)


def test_a_decision() -> None:
    found = ranking.choose({1: NOISE, 2: NOISE + 1 + 0.01 * NOISE})
    assert found.decided and found.best == 1 and not found.too_few
    few = ranking.choose({1: NOISE[:4], 2: NOISE[:4] + 1})
    assert few.too_few and not few.decided and few.tied == (1, 2)


def test_copies_of_one_network_are_worth_one() -> None:
    values = {1: [0.5] * 8, 2: [0.6] * 8}
    assert ranking.choose(values).decided
    copies = ranking.choose(values, copies=[1, 2])
    assert copies.too_few and copies.fewest.pairs == 1
    # where one setting's replicates differ, the pairs do
    assert ranking.choose(values, copies=[1]).fewest.pairs == 8


def test_of_equal_trials_the_first_is_named() -> None:
    found = ranking.choose({2: [1.0] * 9, 1: [1.0] * 9})
    assert (found.best, found.tied) == (1, (1, 2)) and found.differences[2].needed is None


@pytest.mark.parametrize("draw", [normal, heavy])
@pytest.mark.parametrize("replicates", [5, 8, 29])
@pytest.mark.parametrize("trials", [2, 6, pytest.param(24, marks=pytest.mark.long)])
def test_a_win_is_seldom_called_real_where_all_are_equal(trials: int, replicates: int, draw: Draw) -> None:
    """Of studies of equal settings, at most 5 % (and what 600 of them scatter) end with a real win or leave a given trial out."""
    found = [ranking.choose(dict(enumerate(each))) for each in studies(draw, trials, replicates, 600)]
    assert np.mean([each.decided for each in found]) < 0.05 + 0.018
    assert np.mean([0 not in each.tied for each in found]) < 0.05 + 0.018


@pytest.mark.parametrize("better", [0.2, 1.0, 3.0])
def test_the_best_is_seldom_left_out(better: float) -> None:
    found = [ranking.choose(dict(enumerate(each))) for each in studies(normal, 12, 8, 400, better)]
    assert np.mean([0 not in each.tied for each in found]) < 0.03
    real = [each.best == 0 for each in found if each.decided]
    assert sum(not each for each in real) <= 0.05 * 400
    assert better < 3 or np.mean([each.decided for each in found]) > 0.5


@given(st.dictionaries(st.integers(0, 99), st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=2, max_size=6))
@UNTIMED
def test_the_best_is_always_among_those_that_may_be(losses: dict[int, list[float]]) -> None:
    found: Ranking = ranking.choose(losses)
    assert found.tied[0] == found.best and set(found.tied) <= set(losses)
    assert np.mean(losses[found.best]) == min(np.mean(values) for values in losses.values())
