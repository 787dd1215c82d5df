"""Which setting is better: verdicts by hand, and how often they are wrong."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study import ranking
from study.ranking import BETTER, NOT_MEANINGFUL, NOT_SIGNIFICANT

UNTIMED = settings(deadline=None)


@cache
def won(wins: int, count: int, ties: int = 0) -> ranking.Superiority:
    """Of so many pairs A wins some, ties some, and loses the rest."""
    a = np.repeat([0.0, 1.0, 2.0], [wins, ties, count - wins - ties])
    return ranking.superiority(a, np.ones(count))


def simulated(probability: float, count: int, pairs: int, seed: int) -> Any:
    """Numbers of wins, [pairs], of normal values that are paired by what they share and lower in A with this probability."""
    rng = np.random.default_rng(seed)
    shared = 3 * rng.normal(size=(pairs, count))
    a, b = (shared + rng.normal(size=(pairs, count)) for _ in range(2))
    return np.sum(a - math.sqrt(2) * stats.norm.ppf(probability) < b, axis=1)


# -- P(A > B) ----------------------------------------------------------------------------------------------------------------


def test_the_estimate_by_hand() -> None:
    a, b = [1, 2, 3, 4], [2, 2, 4, 3]  # won, tied, won, lost
    assert ranking.superiority(a, b).estimate == 2.5 / 4
    assert ranking.superiority(a, b, "maximize").estimate == 1.5 / 4
    assert ranking.superiority(b, a).estimate == 1.5 / 4


def test_the_interval_by_hand() -> None:
    # one win and one defeat: resamples have 0, 1 or 2 wins with 1/4, 1/2, 1/4
    found = ranking.superiority([0, 2], [1, 1], confidence=0.6)
    assert (found.low, found.high) == (0, 1)
    found = ranking.superiority([0, 2], [1, 1], confidence=0.4)
    assert (found.low, found.high) == (0.5, 0.5)


@pytest.mark.parametrize(("wins", "ties", "count"), [(8, 0, 10), (20, 3, 29), (5, 10, 20), (0, 4, 9), (60, 1, 100)])
def test_the_interval_is_what_resamples_tend_to(wins: int, ties: int, count: int) -> None:
    shares = np.array([wins, ties, count - wins - ties]) / count
    resamples = np.random.default_rng(0).multinomial(count, shares, size=100_000) @ [1, 0.5, 0] / count
    found = won(wins, count, ties)
    # the quantile of a discrete distribution may be one step away
    assert (found.low, found.high) == pytest.approx(np.quantile(resamples, [0.025, 0.975]), abs=0.5 / count + 1e-9)


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(PAIRS)
@UNTIMED
def test_the_other_way_round_is_the_complement(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    there, back = ranking.superiority(a, b), ranking.superiority(b, a)
    assert (back.estimate, back.low, back.high) == pytest.approx((1 - there.estimate, 1 - there.high, 1 - there.low))
    assert ranking.superiority(-a, -b, "maximize") == there
    assert there.low <= there.estimate <= there.high
    assert there.verdict == NOT_SIGNIFICANT or back.verdict == NOT_SIGNIFICANT


@given(PAIRS)
@UNTIMED
def test_only_who_wins_matters_and_not_by_how_much(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assert ranking.superiority(np.exp(a), np.exp(b)) == ranking.superiority(a, b)


@pytest.mark.parametrize(
    ("wins", "count", "verdict"),
    [
        (19, 29, NOT_SIGNIFICANT),
        (20, 29, BETTER),
        (29, 29, BETTER),
        (0, 29, NOT_SIGNIFICANT),
        (520, 1000, NOT_SIGNIFICANT),
        (600, 1000, NOT_MEANINGFUL),
        (740, 1000, BETTER),
        (4, 4, NOT_SIGNIFICANT),
        (5, 5, BETTER),
        (4, 5, NOT_SIGNIFICANT),
        (1, 1, NOT_SIGNIFICANT),
    ],
)
def test_verdicts(wins: int, count: int, verdict: str) -> None:
    assert won(wins, count).verdict == verdict


def test_a_diverged_replicate_loses() -> None:
    nan, inf = math.nan, math.inf
    assert ranking.superiority([1, nan, nan, inf], [nan, 1, nan, nan]).estimate == (1 + 0 + 0.5 + 0.5) / 4
    assert ranking.superiority([1, nan], [nan, 1e30], "maximize").estimate == 0.5


def test_replicates_without_partners_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        ranking.superiority([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="got 0 and 0"):
        ranking.superiority([], [])


# -- how often it is wrong -----------------------------------------------------------------------------------------------------


def rate(probability: float, count: int, verdict: str = BETTER) -> float:
    """How often the verdict is given, exactly: the number of wins is binomial."""
    return sum(stats.binom.pmf(wins, count, probability) for wins in range(count + 1) if won(wins, count).verdict == verdict)


def test_equal_settings_are_seldom_called_different() -> None:
    rates = {count: rate(0.5, count) for count in (2, 4, 5, 8, 10, 16, 29, 64)}
    assert max(rates.values()) < 0.05, rates
    assert rates[2] == rates[4] == 0 and rates[5] == 1 / 32
    assert max(rate(0.5, count) for count in range(5, 40)) < 0.07


def test_the_simulated_rates_are_those() -> None:
    false = np.mean([won(wins, 29).verdict == BETTER for wins in simulated(0.5, 29, 4000, seed=0).tolist()])
    assert false == pytest.approx(rate(0.5, 29), abs=0.01) and false < 0.05
    found = np.mean([won(wins, 29).verdict == BETTER for wins in simulated(0.75, 29, 4000, seed=1).tolist()])
    assert found == pytest.approx(rate(0.75, 29), abs=0.02)


def test_the_power_where_a_difference_begins_to_matter() -> None:
    assert rate(0.75, 29) == pytest.approx(0.83, abs=0.03)
    assert rate(0.9, 29) > 0.99
    # counting paired wins takes half as many replicates again as Noether's number for the 95 % that it is made for
    assert rate(0.75, math.ceil(1.5 * 29)) == pytest.approx(0.94, abs=0.02)


@pytest.mark.parametrize("probability", [0.5, 0.75, 0.9])
def test_the_interval_covers(probability: float) -> None:
    wins = simulated(probability, 29, 3000, seed=2).tolist()
    assert np.mean([won(k, 29).low <= probability <= won(k, 29).high for k in wins]) == pytest.approx(0.94, abs=0.03)


# -- Noether's sample sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gamma", "replicates"), [(0.6, 181), (0.7, 46), (0.75, 29), (0.8, 21)])
def test_the_papers_sample_sizes(gamma: float, replicates: int) -> None:
    assert ranking.needed_replicates(gamma) == replicates


def test_they_are_those_of_the_mann_whitney_test() -> None:
    rng = np.random.default_rng(0)
    shift = math.sqrt(2) * stats.norm.ppf(0.75)
    a, b = rng.normal(size=(29, 2000)), rng.normal(size=(29, 2000)) + shift
    power = np.mean(stats.mannwhitneyu(a, b, alternative="less").pvalue < 0.05)
    assert power == pytest.approx(0.95, abs=0.02)


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


def test_the_best_and_what_cannot_be_told_from_it() -> None:
    # trial 9 is worse by little, but in every replicate; trial 5 in every other
    assert ranking.indistinguishable(TRIALS, best=3) == [3, 5]
    assert ranking.indistinguishable(TRIALS, best=7) == [7, 3, 5, 9]
    assert ranking.choose(TRIALS) == ranking.Choice(best=3, tied=(3, 5), replicates=12, needed=29)
    assert ranking.choose({number: -values for number, values in TRIALS.items()}, "maximize").tied == (3, 5)


def test_a_decision() -> None:
    choice = ranking.choose({1: NOISE, 2: NOISE + 1})
    assert choice.decided and choice.best == 1
    assert not ranking.choose({1: NOISE[:4], 2: NOISE[:4] + 1}).decided, "four replicates decide nothing"
    assert ranking.choose({4: [0.5]}) == ranking.Choice(4, (4,), 1, 29)


def test_of_equal_trials_the_first_is_named_and_a_diverged_one_comes_last() -> None:
    choice = ranking.choose({2: [1.0] * 9, 1: [1.0] * 9, 0: [0.5] * 8 + [math.nan]})
    assert (choice.best, choice.tied) == (1, (1, 2, 0))


def test_the_best_of_many_equal_trials_is_flattered_unless_the_confidence_allows_for_them() -> None:
    values = np.random.default_rng(0).normal(size=(40, 24, 29))
    for confidence, low, high in ((0.95, 0.1, 0.25), (1 - 0.05 / 23, 0, 0.05)):
        kept = [len(ranking.choose(dict(enumerate(study)), confidence=confidence).tied) - 1 for study in values]
        assert low <= 1 - np.mean(kept) / 23 < high


@given(st.dictionaries(st.integers(0, 99), st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=6))
@UNTIMED
def test_the_best_is_always_among_those_that_may_be(losses: dict[int, list[float]]) -> None:
    choice = ranking.choose(losses)
    assert choice.tied[0] == choice.best and set(choice.tied) <= set(losses)
    assert np.mean(losses[choice.best]) == min(np.mean(values) for values in losses.values())
