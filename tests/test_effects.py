"""What settings do to the loss, beside the seeds."""

from __future__ import annotations

import numpy as np
import pytest

from study.effects import effects
from study.records import Scalar, Summary, TrialRecord


def record(number: int, loss: float, noise: float, **params: Scalar) -> TrialRecord:
    summary = Summary([loss] * 4, loss, noise, None, loss, 0.0, None, 4, {})
    return TrialRecord(number, "complete", params, [loss], summary, None, None, {})


def test_an_effect_by_hand() -> None:
    """Two values of four trials each: means 2 and 5, mean squares 18 between and 2/3 within."""
    losses = {"a": (1, 2, 2, 3), "b": (4, 5, 5, 6)}
    records = [record(i, loss, 0.2, kind=kind) for i, (kind, loss) in enumerate((k, v) for k, vs in losses.items() for v in vs)]
    [found] = effects(records, {"kind": 0.75})
    assert (found.key, found.importance) == ("kind", 0.75)
    assert found.effect == pytest.approx(np.sqrt((18 - 2 / 3) / 4))
    assert found.noise == pytest.approx(np.sqrt(0.04 / 4)) and not found.below_noise


def test_a_setting_that_does_nothing_is_below_the_noise_and_one_that_rules_is_not() -> None:
    rng = np.random.default_rng(0)
    rates, widths = rng.uniform(size=30), rng.integers(1, 100, 30)
    noise = rng.normal(0, 0.01, 30)
    records = [
        record(i, float(rate + error), 0.02, rate=float(rate), width=int(width), fixed=1)
        for i, (rate, width, error) in enumerate(zip(rates, widths, noise, strict=True))
    ]
    found = {each.key: each for each in effects(records, {})}
    assert set(found) == {"rate", "width"}  # what has one value has no effect to tell
    assert found["rate"].effect == pytest.approx(np.std([1 / 6, 1 / 2, 5 / 6], ddof=1), rel=0.15)
    assert not found["rate"].below_noise and found["width"].effect < 0.15


@pytest.mark.parametrize("count", [0, 7])
def test_few_trials_tell_nothing(count: int) -> None:
    assert effects([record(i, i, 0.1, rate=i) for i in range(count)], {}) == []
