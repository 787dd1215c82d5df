"""Verdicts by their rules, and the interval that decides them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from study.analysis import verdict
from study.analysis.verdict import VerdictEvidence
from study.statistics import intervals
from study.statistics.intervals import MeanInterval


def sure(value: float) -> MeanInterval:
    return MeanInterval(value, 0.9 * value, 1.1 * value)


# networks that differ in everything but the loss
BASE = VerdictEvidence(["plateaued"] * 8, 8, 1.4, 0.9, 3.0, sure(0.01), sure(0.5), False, 0.8, 0.5)


@pytest.mark.parametrize(
    ("changed", "name", "qualifier"),
    [
        ({}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"labels": ["plateaued"] * 7 + ["oscillating"]}, verdict.NOT_CONVERGED, None),
        ({"labels": ["diverged"] * 8, "distinct": 1}, verdict.NOT_CONVERGED, None),
        ({"distinct": 1, "relative_l2": 0.0, "aligned": 0.0}, verdict.SAME_WEIGHTS, None),
        ({"relative_l2": 1e-3}, verdict.SAME_ROUNDING, None),
        ({"aligned": 1e-3, "output": 1e-4}, verdict.SAME_SYMMETRY, None),
        ({"aligned": 1e-3, "output": 1e-3}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"aligned": None}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"relative_l2": None, "aligned": None, "function": sure(0.01)}, verdict.SAME_FUNCTION, verdict.NO_PATH),
        ({"loss": sure(0.2)}, verdict.DIFFERENT_LOSS, None),
        ({"loss": MeanInterval(0.05, 0.03, 0.07)}, verdict.UNDECIDED, None),
        ({"function": sure(0.04)}, verdict.SAME_FUNCTION, verdict.NO_PATH),
        ({"function": sure(0.06)}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"function": MeanInterval(0.05, 0.04, 0.06)}, verdict.UNDECIDED, None),
        ({"function": sure(0.06), "classes": True}, verdict.SAME_FUNCTION, verdict.NO_PATH),
        ({"function": None}, verdict.UNDECIDED, None),
        ({"wobble": 0.5}, verdict.WITHIN_WOBBLE, verdict.NO_PATH),
        ({"wobble": 0.4}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"wobble": 0.0}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"wobble": 0.5, "function": sure(0.01)}, verdict.SAME_FUNCTION, verdict.NO_PATH),
        ({"labels": ["undecided"] * 8, "resting": [True] * 8}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"labels": ["undecided"] * 8, "resting": [True] * 7 + [False]}, verdict.NOT_CONVERGED, None),
        ({"labels": ["still improving"] * 8, "resting": [True] * 8}, verdict.NOT_CONVERGED, None),
        ({"barrier": 0.02}, verdict.SAME_LOSS, verdict.SAME_BASIN),
        ({"aligned_barrier": 0.02}, verdict.SAME_LOSS, verdict.SAME_BASIN_ALIGNED),
        ({"aligned_barrier": None}, verdict.SAME_LOSS, verdict.NO_PATH),
        ({"barrier": None, "aligned_barrier": None}, verdict.SAME_LOSS, None),
    ],
)
def test_the_first_rule_that_holds_is_the_verdict(changed: dict[str, Any], name: str, qualifier: str | None) -> None:
    found = verdict.verdict(dataclasses.replace(BASE, **changed))
    assert (found.name, found.qualifier) == (name, qualifier) and found.name in verdict.VERDICTS
    assert str(found) == (f"{name} ({qualifier})" if qualifier else name)


def test_the_evidence_names_who_has_not_converged_and_every_deciding_number() -> None:
    found = verdict.verdict(dataclasses.replace(BASE, labels=["plateaued", "stuck", "plateaued", "stuck", "undecided"]))
    assert found.reasons == ("3 of 5 networks have not plateaued: stuck (1, 3), undecided (4)",)
    resting = [True, True, True, False, True]
    for labels, others in (
        (["undecided", "plateaued", "oscillating", "stuck", "plateaued"], "2 others count as plateaued, since their"),
        (["undecided", "plateaued", "plateaued", "stuck", "plateaued"], "1 other counts as plateaued, since its"),
    ):
        found = verdict.verdict(dataclasses.replace(BASE, labels=labels, resting=resting))
        assert found.reasons == ("1 of 5 networks has not plateaued: stuck (3)", f"{others} function is at rest")
    assert "NRMSE between two functions: 0.5 [0.45, 0.55], threshold 0.05" in verdict.verdict(BASE).reasons


def test_every_verdict_of_the_list_can_be_reached() -> None:
    table = next(mark for mark in test_the_first_rule_that_holds_is_the_verdict.pytestmark if mark.name == "parametrize")
    assert {name for _, name, _ in table.args[1]} == set(verdict.VERDICTS)


def test_the_mean_of_pairs_by_hand() -> None:
    matrix = np.array([[0, 1, 2], [1, 0, 6], [2, 6, 0]], float)
    # without the first, second and third network: 6, 2 and 1
    error = np.sqrt(2 / 3 * np.sum((np.array([6, 2, 1]) - 3) ** 2))
    half = 4.302652729911275 * error
    found = intervals.mean_of_pairs(matrix)
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
    assert intervals.mean_of_pairs(matrix[:2, :2]) == MeanInterval(1, 1, 1)


def test_the_interval_of_a_mean_of_pairs_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = 2 / np.sqrt(np.pi)  # the mean distance of two standard normal values
    covered = 0
    for _ in range(1000):
        values = rng.normal(size=10)
        found = intervals.mean_of_pairs(np.abs(values[:, None] - values))
        covered += found.low <= truth <= found.high
    assert 0.9 < covered / 1000 < 0.98
