"""What settings do to the objective, beside chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.records.arrays import Scalar
from study.records.outcome import Summary
from study.records.trial import TrialRecord
from study.statistics.objectives import MAXIMIZE, Objective
from study.statistics.setting_effects import effects

LOSS = Objective()


def record(number: int, value: float, **params: Scalar) -> TrialRecord:
    summary = Summary([value] * 4, value, 0.1, None, value, 0.0, None, 4, {})
    return TrialRecord(number, "complete", params, [value], summary, None, None, {})


def test_an_effect_by_hand() -> None:
    """Two values of four trials each: means 2 and 5, mean squares 18 between and 2/3 within."""
    losses = {"a": (1, 2, 2, 3), "b": (4, 5, 5, 6)}
    records = [record(i, loss, kind=kind) for i, (kind, loss) in enumerate((k, v) for k, vs in losses.items() for v in vs)]
    [found] = effects(records, LOSS)
    assert found.key == "kind" and found.shown
    assert found.effect == pytest.approx(np.sqrt(18 / 4)) == pytest.approx(np.std([2, 5], ddof=1))
    assert found.chance == pytest.approx(np.sqrt(stats.f.ppf(0.95, 1, 6) * 2 / 3 / 4))


@pytest.mark.parametrize("seed", range(5))
def test_one_setting_is_shown_where_fishers_test_says_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds, losses = rng.integers(3, size=20), rng.normal(size=20) + 0.8 * rng.integers(3, size=20)
    [found] = effects(
        [record(i, float(loss), kind=f"k{kind}") for i, (kind, loss) in enumerate(zip(kinds, losses, strict=True))], LOSS
    )
    assert found.shown == (stats.f_oneway(*(losses[kinds == each] for each in range(3))).pvalue < 0.05)


def test_a_setting_that_rules_is_shown_and_comes_first() -> None:
    rng = np.random.default_rng(0)
    rates, widths = rng.uniform(size=30), rng.integers(1, 100, 30)
    losses = rates + rng.normal(0, 0.01, 30)
    found = effects([record(i, float(losses[i]), width=int(widths[i]), rate=float(rates[i]), fixed=1) for i in range(30)], LOSS)
    assert [each.key for each in found] == ["rate", "width"]  # one value has no effect
    assert found[0].shown and not found[1].shown
    assert found[0].effect == pytest.approx(np.std([1 / 6, 1 / 2, 5 / 6], ddof=1), rel=0.15)


def test_settings_that_do_nothing_are_seldom_shown() -> None:
    rng, shown = np.random.default_rng(1), []
    for _ in range(400):
        settings = {name: rng.uniform(size=24) for name in ("a", "b", "c", "d")} | {"e": rng.integers(3, size=24)}
        records = [record(i, rng.normal(), **{name: float(values[i]) for name, values in settings.items()}) for i in range(24)]
        shown.append(any(each.shown for each in effects(records, LOSS)))
    assert np.mean(shown) < 0.05 + 0.022  # two standard errors of 400 studies


@pytest.mark.parametrize("count", [0, 7])
def test_few_trials_show_nothing(count: int) -> None:
    assert effects([record(i, i, rate=i) for i in range(count)], LOSS) == []


def test_trials_that_cannot_be_compared_show_nothing() -> None:
    records = [record(i, i, loss=["mse", "mae"][i % 2], width=i // 4) for i in range(12)]
    assert effects(records, LOSS) == [] and [each.key for each in effects(records, Objective("r2", MAXIMIZE))] == ["width", "loss"]
