"""Rounds of a race that are trained at once in one process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from study.clock import Clock
from study.data import dataset
from study.runner import memory, rounds, trial
from study.runner.race import Round
from study.settings.data import Diabetes
from study.settings.model import Model
from study.settings.spec import TrialSpec
from study.settings.training import Replicates, Training

SPEC = TrialSpec(
    model=Model((6,)),
    data=Diabetes(),
    training=Training(4, batch_size=64, leg_epochs=2),
    replicates=Replicates(4, vary=("init", "order", "data"), per_split=2),
)


@dataclass(frozen=True)
class Trials:
    """What `ComposedTrials` is here: a trial with so many units."""

    uri: str = ""

    def spec(self, params: dict[str, Any], space: object) -> TrialSpec:
        return dataclasses.replace(SPEC, model=Model((params["units"],)))


ROUNDS = [Round(number, 4, 4, {"units": units}) for number, units in enumerate((6, 7, 6, 8))]


def trained() -> list[Any]:
    return rounds.train(ROUNDS, Trials(), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("cores", [pytest.param(1, marks=pytest.mark.long), 3])
def test_rounds_at_once_end_as_one_by_one(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "available_cores", lambda: cores)
    losses = []
    for part in ROUNDS:
        spec = Trials().spec(dict(part.params), {})
        spec = dataclasses.replace(spec, replicates=dataclasses.replace(spec.replicates, first=4))
        summary = trial.measure(spec, dataset.load_replicates(spec), Clock()).summary
        assert summary
        losses.append(summary.val_losses)
    assert [result.summary.val_losses for result in trained()] == losses
    assert losses[0] == losses[2] != losses[1]


def test_a_round_that_fails_is_a_value_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = trial.measure

    def failing(spec: TrialSpec, *more: Any) -> Any:
        if spec.model.units == (7,):
            raise MemoryError("full")
        return measure(spec, *more)

    monkeypatch.setattr(trial, "measure", failing)
    results = trained()
    assert [isinstance(result, MemoryError) for result in results] == [False, True, False, False]


def test_an_interrupt_ends_a_round_after_its_leg() -> None:
    asked = []

    def interrupted() -> bool:
        asked.append(len(asked))
        return True

    with pytest.raises(KeyboardInterrupt):
        trial.measure(SPEC, dataset.load_replicates(SPEC), Clock(), None, interrupted)
    assert len(asked) == 1


def test_rounds_wait_for_one_another_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [SPEC]
    assert rounds._fit(specs)
    limit = memory.Limit(most=1.0, loaded=0.0, reason="a test")
    monkeypatch.setattr(memory, "limits", lambda: iter([limit]))
    assert not rounds._fit(specs)


def test_jobs_at_once_share_the_time_that_they_took() -> None:
    clock = Clock()
    clock.add_jobs(3.0, [{"train": 2.0}, {"train": 2.0, "analyse": 2.0}])
    assert clock.seconds == pytest.approx({"train": 2.0, "analyse": 1.0, "compose": 0.0})
    clock.add_jobs(4.0, [{"train": 1.0}])
    assert clock.seconds == pytest.approx({"train": 3.0, "analyse": 1.0, "compose": 3.0})
