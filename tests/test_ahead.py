"""Programs that are compiled ahead of their trials."""

from __future__ import annotations

import dataclasses

import pytest

import study
from study.engine.parts import Part
from study.runner import ahead
from study.runner.ahead import open_ahead
from study.settings.data import Diabetes
from study.settings.model import Model
from study.settings.spec import TrialSpec
from study.settings.training import Replicates, Training

SPEC = TrialSpec(model=Model((9,)), data=Diabetes(test_fraction=0.0), training=Training(2, batch_size=64), replicates=Replicates(5))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The layer sizes of programs in the order in which they were asked for."""
    sizes, original = [], Part.compiled

    def noted(part: Part, *arguments):  # type: ignore[no-untyped-def]
        sizes.append(part._signature.sizes)
        return original(part, *arguments)

    monkeypatch.setattr(Part, "compiled", noted)
    return sizes


def of_width(width: int) -> TrialSpec:
    return dataclasses.replace(SPEC, model=Model((width,)))


def test_a_program_is_compiled_ahead_once_and_not_for_a_trial_that_compiles_it_now(compiled: list[tuple[int, ...]]) -> None:
    with open_ahead() as programs:
        programs.expect([of_width(9), of_width(5), dataclasses.replace(of_width(5), seed=3)], now=[of_width(9)])
        for job in programs._waiting:
            job.result()
        programs.expect([of_width(5)])
    assert compiled == [(10, 5, 1)]


def test_a_trial_has_the_same_bits_whether_it_was_expected_or_not() -> None:
    alone = [study.fingerprint(study.train(SPEC), replicate) for replicate in range(5)]
    with open_ahead() as programs:
        programs.expect([SPEC])
        assert [study.fingerprint(study.train(SPEC), replicate) for replicate in range(5)] == alone


@pytest.mark.parametrize(("limit", "value"), [("LARGEST", 100), ("MOST_WAITING", 0)])
def test_neither_large_data_nor_many_trials_are_prepared(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch, compiled: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(ahead, limit, value)
    with open_ahead() as programs:
        programs.expect([of_width(4)])
    assert compiled == []


def test_an_expected_trial_that_cannot_be_trained_is_left_to_its_own_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Part, "compiled", fail)
    with open_ahead() as programs:
        programs.expect([of_width(3)])
        assert [job.result() for job in programs._waiting] == [None]
