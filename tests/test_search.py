"""The study behind ask and tell, on a real database: what is sampled, counted, made again and pruned. Nothing is trained here."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna import cli

from study import processes, sqlite
from study.clock import Clock
from study.errors import BadInput, Unreachable
from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Pruned, Summary, TrialResult
from study.records.trial import Asked
from study.runner.sweep import run
from study.search import attributes, kinds, overview, pruning, reading, records, space, stored
from study.search.beginning import Beginning
from study.search.space import Choice, Condition, Domain, Interval
from study.search.study import Search
from study.search.trials import MOST_ATTEMPTS
from study.settings.values import Value
from study.statistics.objectives import Objective, parse
from tests.command import DEAD, forget

TWO_NUMBERS = {"x": Interval("x", 0.0, 1.0), "y": Interval("y", 1e-3, 1.0, log=True)}
CONDITIONAL = {
    "kind": Choice("kind", ("sgd", "adam")),
    "rate": Interval("rate", 1e-3, 1.0, log=True),
    "momentum": Interval("momentum", 0.5, 0.99, when=(Condition("kind", ("sgd",)),)),
    "nesterov": Choice("nesterov", (True, False), when=(Condition("kind", ("sgd",)),)),
}
LOSS = (Objective(),)


def settings_of(kind: str) -> dict[str, Any]:
    """Few start-up trials, so that a short study already uses what it has seen."""
    more: dict[str, dict[str, Any]] = {
        "tpe": {"n_startup_trials": 3},
        "nsgaii": {"population_size": 4},
        "gp": {"n_startup_trials": 3},
    }
    return {"name": kind, **more.get(kind, {})}


@pytest.fixture
def url(fresh_databases: Path, tmp_path: Path) -> Iterator[str]:
    shutil.copy(fresh_databases / "optuna.db", tmp_path / "optuna.db")
    yield sqlite.url_of(tmp_path / "optuna.db")
    forget()


def opened(url: str, n_trials: int | None = 12, **changed: Any) -> Search:
    given: dict[str, Any] = {
        "name": "s",
        "objectives": LOSS,
        "space": space.ordered(changed.pop("space", TWO_NUMBERS)),
        "sampler": settings_of("tpe"),
        "seed": 7,
        "identity": {},
    }
    return Search(storage=url, n_trials=n_trials, **(given | changed))


def summary(loss: float, **more: Any) -> Summary:
    losses = [loss - 0.01, loss + 0.01]
    return Summary(losses, loss, 0.01, 0.1, loss, 1.0, 0.1, 2, {"plateaued": 2}, parameters=10, **more)


def loss_of(asked: Asked) -> float:
    return sum((0.3 - value) ** 2 for value in asked.params.values() if isinstance(value, float))


def result_of(asked: Asked) -> TrialResult:
    return TrialResult(Completed(summary(loss_of(asked))), run_id=f"run {asked.number}")


def tell(study: Search, asked: Asked, result: TrialResult | None = None) -> None:
    result = result or result_of(asked)
    stored.keep(study.storage, study.name, asked.number, result)
    study.tell(asked.number, result)


def finish(study: Search, at_once: int = 1) -> None:
    while batch := study.ask(at_once):
        for asked in batch:
            tell(study, asked)


def params(study: Search) -> list[dict[str, Any]]:
    """What was sampled, in the study's order."""
    return [record.params for record in study.records()]


class Killed(Exception):
    pass


def kill(monkeypatch: pytest.MonkeyPatch, study: Search, steps: Callable[[Search], None]) -> None:
    """Runs the steps as another process, which then is gone."""
    with monkeypatch.context() as patch:
        patch.setattr(processes, "owner", lambda: DEAD)
        steps(study)
    forget()


SAMPLERS = [
    pytest.param(
        kind, marks=[pytest.mark.skipif(not importlib.util.find_spec(kinds.NEEDS[kind][0]), reason="its package is an extra")]
    )
    if kind in kinds.NEEDS
    else kind
    for kind in kinds.SAMPLERS
    if kind != "grid"
]


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(
    "searched", [pytest.param(TWO_NUMBERS, id="numbers", marks=pytest.mark.long), pytest.param(CONDITIONAL, id="conditional")]
)
def test_a_seeded_study_is_the_same_study_again_also_across_kills(
    kind: str, searched: space.Space, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(url, name="whole", space=searched, sampler=settings_of(kind))
    finish(study)
    whole = params(study)
    assert len({str(each) for each in whole}) == 12 or kind == "nsgaii"  # whose children may be like their parents
    forget()
    for done in (0, 1, 5, 6):

        def cut(study: Search, done: int = done) -> None:
            study.reap()
            while sum(record.state == "complete" for record in study.records()) < done:
                tell(study, study.ask(1)[0])
            study.ask(1)  # in work when the process ends

        kill(monkeypatch, opened(url, name="parts", space=searched, sampler=settings_of(kind)), cut)
        left = opened(url, name="parts", space=searched, sampler=settings_of(kind))
        left.reap()
        assert left.remaining() == 12 - done
    left = opened(url, name="parts", space=searched, sampler=settings_of(kind))
    left.reap()
    finish(left)
    assert params(left) == whole
    assert left.remaining() == 0 and len(left.interrupted()) == 4


@pytest.mark.parametrize("kind", ["random", "qmc", "tpe"])
def test_what_is_expected_comes_as_far_as_it_depends_on_no_result_and_changes_nothing(kind: str, url: str) -> None:
    study = opened(url, name="whole", sampler=settings_of(kind))
    finish(study)
    whole = params(study)
    study = opened(url, name="expecting", sampler=settings_of(kind))
    expected = []
    while batch := study.ask(1):
        expected.append(study.expected(3))
        for asked in batch:
            tell(study, asked)
    assert params(study) == whole
    certain = 3 if kind == "tpe" else len(whole)  # its random trials
    for place, guessed in enumerate(expected, 1):
        assert len(guessed) == min(3, len(whole) - place, max(1, certain - place))
        assert guessed[: max(0, certain - place)] == whole[place : min(place + 3, certain)]


def test_a_grid_expects_its_next_settings_and_a_slow_sampler_none(url: str) -> None:
    study = opened(url, space={"x": Choice("x", (1, 2, 3, 4))})
    study.ask(1)
    assert study.expected(2) == [{"x": 2}, {"x": 3}]
    assert opened(url, name="evolving", sampler=settings_of("nsgaii")).expected(2) == []


def test_another_seed_is_another_study(url: str) -> None:
    found = []
    for seed in (1, 2):
        study = opened(url, name=f"seed {seed}", seed=seed, n_trials=3)
        finish(study)
        found.append(params(study))
    assert found[0] != found[1]


@pytest.mark.parametrize("told", [0, 1, 2, 3])
def test_a_batch_that_is_cut_while_it_is_told_goes_on_with_the_same_settings(
    told: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(url, name="whole")
    finish(study, at_once=3)
    whole = params(study)
    forget()

    def cut(study: Search) -> None:
        for asked in study.ask(3):
            tell(study, asked)
        for asked in study.ask(3)[:told]:
            tell(study, asked)

    kill(monkeypatch, opened(url, name="parts"), cut)
    left = opened(url, name="parts")
    left.reap()
    again = left.ask(3)
    assert [asked.attempt for asked in again] == [2] * (3 - told) + [1] * told
    for asked in again:
        tell(left, asked)
    finish(left, at_once=3)
    assert params(left)[:6] == whole[:6] and left.remaining() == 0


def test_a_result_that_a_job_kept_before_its_driver_died_is_told_and_not_made_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(study: Search) -> None:
        done, pruned, failed, _ = study.ask(4)
        stored.keep(url, "s", done.number, result_of(done))
        stored.keep(url, "s", pruned.number, TrialResult(Pruned(3, 0.5)))
        stored.keep(url, "s", failed.number, TrialResult(Failed("diverged")))

    kill(monkeypatch, opened(url), cut)
    left = opened(url)
    left.reap()
    assert [record.state for record in left.records()] == ["complete", "pruned", "failed", "failed"]
    assert left.records()[0].run_id == "run 0" and left.records()[0].value is not None
    assert list(left.interrupted()) == [3] and left.failures() == 1
    [again] = left.ask(1)
    assert again.attempt == 2 and again.params == left.records()[3].params


@pytest.mark.filterwarnings("ignore:.*experimental CLI command")
def test_optunas_own_programs_show_names_runs_and_reasons_and_nothing_nested(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = opened(url, objectives=parse(["loss", "size"], None, "regression"), command="mlp-study -m data=iris")
    done, failed, pruned, _ = study.ask(4)
    tell(study, done)
    tell(study, failed, TrialResult(Failed("diverged"), run_id="run 1"))
    tell(study, pruned, TrialResult(Pruned(3, 0.5)))
    seen = optuna.load_study(study_name="s", storage=url)
    assert seen.metric_names == ["loss", "size"]
    assert seen.user_attrs == {"command": "mlp-study -m data=iris"}
    shown = [{"mlflow_run_id": "run 0"}, {"mlflow_run_id": "run 1", "reason": "diverged"}, {"reason": "pruned after 3 epochs"}, {}]
    assert [trial.user_attrs for trial in seen.trials] == shown
    monkeypatch.setattr("sys.argv", ["optuna", "--storage", url, "trials", "--study-name", "s", "-f", "json"])
    # to which the program adds one that writes to what is standard error now
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers[:])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    cli.main()
    told = json.loads(capsys.readouterr().out)
    assert [trial["user_attrs"] for trial in told] == shown
    assert set(told[0]["values"]) == {"loss", "size"}


def as_an_earlier_version_kept_it(url: str) -> None:
    """Turns what mlp-study keeps into user attributes, and removes what only this version writes."""
    with closing(sqlite3.connect(sqlite.path_of(url) or "")) as connection, connection:
        connection.execute("DELETE FROM trial_user_attributes")
        connection.execute("DELETE FROM study_system_attributes WHERE key = 'study:metric_names'")
        for of in ("trial", "study"):
            columns = f"{of}_id, key, value_json"
            connection.execute(
                f"INSERT INTO {of}_user_attributes ({columns}) SELECT {of}_id, substr(key, ?), value_json "
                f"FROM {of}_system_attributes WHERE key LIKE ?",
                (len(attributes.PREFIX) + 1, f"{attributes.PREFIX}%"),
            )
            connection.execute(f"DELETE FROM {of}_system_attributes WHERE key LIKE ?", (f"{attributes.PREFIX}%",))
        connection.execute("DELETE FROM study_user_attributes WHERE key = ?", (records.SETTINGS,))
    forget()


def test_a_study_of_an_earlier_version_opens_and_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed: dict[str, Value] = {"data": "iris", "model.units": [64, 64], "training.epochs": 100, "training.patience": None}
    whole = opened(url, name="whole", identity=fixed)
    finish(whole)

    def cut(study: Search) -> None:
        for asked in (first := study.ask(3)):
            tell(study, asked)
        kept, _ = study.ask(2)
        stored.keep(url, "s", kept.number, result_of(kept))
        final = {"number": 0, "params": first[0].params, "run_id": None, "value": 0.5, "summary": asdict(summary(0.5))}
        attributes.keep_with_study(study._study, f"{records.FINAL}0", final)  # no version writes these any more

    kill(monkeypatch, opened(url, identity=fixed), cut)
    before = reading.open_study(url, "s")
    as_an_earlier_version_kept_it(url)
    assert reading.open_study(url, "s") == before and len(before.finals) == 1
    assert overview.overviews(url)[0][0].settings == before.settings == fixed
    with pytest.raises(BadInput, match="data: got 'wine'; valid: iris in study 's'"):
        opened(url, identity=fixed | {"data": "wine"})
    left = opened(url, identity=fixed)
    left.reap()
    assert [record.state for record in left.records()] == ["complete"] * 4 + ["failed"]
    [again] = left.ask(1)
    assert again.attempt == 2
    tell(left, again)
    finish(left)
    assert len(params(left)) == 12 and params(left)[:3] == params(whole)[:3]
    assert optuna.load_study(study_name="s", storage=url).metric_names == ["loss"]


def test_a_result_that_was_recorded_and_not_kept_is_adopted_if_it_is_of_this_trial(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(monkeypatch, opened(url), lambda study: study.ask(3) and None)
    left, now = opened(url), time.time()
    left.adopt(0, TrialResult(Completed(summary(0.5)), "run"), now + 1)
    left.adopt(1, TrialResult(Completed(summary(0.5))), now - 3600)  # an older study's, of this name
    left.adopt(7, TrialResult(Completed(summary(0.5))), now + 1)
    left.reap()
    assert [record.state for record in left.records()] == ["complete", "failed", "failed"]
    assert left.records()[0].run_id == "run" and list(left.interrupted()) == [1, 2]


def test_a_trial_whose_process_dies_each_time_fails_in_the_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in range(1, MOST_ATTEMPTS + 1):
        study = opened(url, n_trials=2)
        study.reap()
        kill(monkeypatch, study, lambda study: study.ask(1) and None)
        assert len(opened(url, n_trials=2).records()) == 1, attempt
    left = opened(url, n_trials=2)
    left.reap()
    assert left.records()[0].reason == "its process ended in each of 5 attempts"
    assert left.failures() == 1 and left.remaining() == 1


def test_a_living_process_keeps_its_trials(url: str) -> None:
    study = opened(url)
    study.ask(1)
    forget()
    other = opened(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "is_own", lambda _: False)  # another driver; this process, the owner of the trial, lives
        other.reap()
    assert other.records()[0].state == "running" and other.remaining() == 11


def test_drivers_share_a_study_and_its_total(url: str) -> None:
    """Each looks anew: what one has claimed, no other gets, and none samples what another has."""
    drivers = []
    for _ in range(4):
        forget()
        drivers.append(opened(url, n_trials=10))
    asked = []
    for turn in range(12):
        driver = drivers[turn % 4]
        batch = driver.ask(1)
        assert driver.ended == min(turn, 10)  # the others' among them
        asked += batch
        for each in batch:
            tell(driver, each)
    assert sorted(each.number for each in asked) == list(range(10))
    assert len({str(each.params) for each in asked}) == 10


def test_a_grid_is_gone_through_in_order_and_needs_an_end(url: str) -> None:
    finite = {
        "kind": Choice("kind", ("sgd", "adam")),
        "momentum": Choice("momentum", (0.5, 0.9), when=(Condition("kind", ("sgd",)),)),
    }
    study = opened(url, n_trials=None, space=finite, sampler={"name": "grid"})
    finish(study)
    assert params(study) == [{"kind": "sgd", "momentum": 0.5}, {"kind": "sgd", "momentum": 0.9}, {"kind": "adam"}]
    part = opened(url, name="part", n_trials=2, space=finite, sampler={"name": "grid"})
    finish(part)
    assert params(part) == params(study)[:2]
    with pytest.raises(BadInput, match="grid with x, y"):
        kinds.check({"name": "grid"}, {"name": "none"}, TWO_NUMBERS, LOSS, 8)


def test_a_low_discrepancy_sequence_begins_with_the_first_trial_and_has_no_gaps(url: str) -> None:
    from scipy.stats import qmc

    study = opened(url, n_trials=8, sampler={"name": "qmc", "scramble": False}, space={"x": Interval("x", 0.0, 1.0)})
    finish(study)
    expected = qmc.Sobol(1, scramble=False).random(8)[:, 0]
    np.testing.assert_allclose([each["x"] for each in params(study)], expected)


def test_a_randomised_sequence_is_one_of_the_whole_study(url: str) -> None:
    """Each eighth of an interval, and each of four choices as often as another: also where a study is opened again halfway."""
    searched: dict[str, Domain] = {"x": Interval("x", 0.0, 1.0), "kind": Choice("kind", ("a", "b", "c", "d"))}
    for n_trials in (3, 8):
        study = opened(url, n_trials=n_trials, sampler={"name": "qmc", "scramble": True}, space=searched)
        finish(study)
    assert sorted(int(8 * each["x"]) for each in params(study)) == list(range(8))
    assert Counter(each["kind"] for each in params(study)) == dict.fromkeys("abcd", 2)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_conditional_setting_is_sampled_where_its_condition_holds_alone(kind: str, url: str) -> None:
    study = opened(url, space=CONDITIONAL, sampler=settings_of(kind))
    finish(study)
    for each in params(study):
        assert ({"momentum", "nesterov"} <= each.keys()) == (each["kind"] == "sgd")
    assert {each["kind"] for each in params(study)} == {"sgd", "adam"}


# -- what a study begins with ------------------------------------------------------------------------------------------------

FIRST = [{"x": 0.25, "y": 0.5}, {"x": 0.75, "y": 0.01}]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_study_tries_its_first_settings_once_whoever_asks(kind: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning = Beginning({"x": 0.5, "y": 0.1}, FIRST)
    whole = opened(url, name="whole", sampler=settings_of(kind), beginning=beginning)
    finish(whole)
    assert params(whole)[:3] == [{"x": 0.5, "y": 0.1}, *FIRST] and len({str(each) for each in params(whole)[2:]}) > 1
    forget()
    # killed after it was made, with its first trial in work, and with its second: another driver brings no beginning of its own
    kill(monkeypatch, opened(url, name="parts", sampler=settings_of(kind), beginning=beginning), lambda study: None)
    for _ in range(2):

        def cut(study: Search) -> None:
            study.reap()
            tell(study, study.ask(1)[0])
            study.ask(1)

        kill(monkeypatch, opened(url, name="parts", sampler=settings_of(kind)), cut)
    left = opened(url, name="parts", sampler=settings_of(kind))
    left.reap()
    finish(left)
    assert params(left) == params(whole)


def test_a_grid_begins_with_the_users_settings_and_repeats_none(url: str) -> None:
    finite = {"x": Choice("x", (1, 2, 3)), "y": Choice("y", (True, False))}
    study = opened(url, n_trials=None, space=finite, beginning=Beginning({"x": 2, "y": True}, [{"x": 3, "y": False}]))
    finish(study)
    assert params(study)[:3] == [{"x": 3, "y": False}, {"x": 1, "y": True}, {"x": 1, "y": False}]
    assert len({str(each) for each in params(study)}) == len(params(study)) == 6


def test_a_study_of_an_earlier_version_gets_no_first_settings(url: str) -> None:
    known = opened(url)
    before = opened(url, name="before")
    with closing(sqlite3.connect(sqlite.path_of(url) or "")) as connection, connection:
        connection.execute("DELETE FROM study_system_attributes WHERE key = ?", (attributes.PREFIX + records.BEGINNING,))
    forget()
    finish(known)
    left = opened(url, name="before", beginning=Beginning(FIRST[0], FIRST))
    finish(left)
    assert params(left) == params(known) and left.default is None and before.default is None


def test_a_sampler_learns_from_the_trials_of_another_study_which_are_not_counted(url: str) -> None:
    near = [({"x": x, "y": y}, [abs(x - 0.9) + abs(y - 0.9)]) for x in np.linspace(0, 1, 8).tolist() for y in (0.01, 0.9)]
    means = {}
    for name, learned in (("fresh", []), ("taught", near)):
        study = opened(url, name=name, beginning=Beginning(learned=learned), n_trials=6)
        while batch := study.ask(1):
            study.tell(batch[0].number, TrialResult(Failed("no value")))
            if len(study.records()) == 2:  # the next launch learns from them too
                forget()
                study = opened(url, name=name, n_trials=6)
        assert len(study.records()) == 6
        means[name] = np.mean([each["x"] for each in params(study)])
    assert means["taught"] > 0.7 > means["fresh"]


# -- failures ----------------------------------------------------------------------------------------------------------------


class Watcher:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.repeated: list[int] = []

    def launched(self, asked: Sequence[Asked], ended: int) -> None:
        self.batches.append([each.number for each in asked])

    def finished(self, asked: Asked, result: TrialResult) -> None: ...

    def again(self, asked: Asked, reason: str) -> None:
        self.repeated.append(asked.number)


def launching(study: Search, outcome: Callable[[Asked], TrialResult | BaseException]) -> Callable[[Sequence[Asked]], list]:
    def launch(batch: Sequence[Asked]) -> list:
        found = [outcome(asked) for asked in batch]
        for asked, result in zip(batch, found, strict=True):
            if isinstance(result, TrialResult):
                stored.keep(study.storage, study.name, asked.number, result)
        return found

    return launch


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (MemoryError("full"), 2),
        (OSError("the file system was away"), 2),
        (ValueError("a bug"), 1),
        (BadInput("settings that don't fit"), 1),
    ],
)
def test_a_trial_that_crashes_tells_why_and_is_made_again_once_where_that_may_help(
    error: Exception, attempts: int, url: str
) -> None:
    study, watcher = opened(url, n_trials=3), Watcher()
    first = {}

    def outcome(asked: Asked) -> TrialResult | BaseException:
        first.setdefault("params", asked.params)
        return error if asked.params == first["params"] else result_of(asked)

    assert run(study, launching(study, outcome), watcher, 1, 3, Clock()) is None
    assert [record.state for record in study.records()] == ["failed", "complete", "complete"]
    assert str(error) in str(study.records()[0].reason)
    assert len(watcher.batches) == 2 + attempts and len(watcher.repeated) == attempts - 1


def test_a_trial_that_fails_once_by_bad_luck_completes(url: str) -> None:
    study, failed = opened(url, n_trials=2), []

    def outcome(asked: Asked) -> TrialResult | BaseException:
        if not failed:
            failed.append(asked)
            return MemoryError()
        return result_of(asked)

    assert run(study, launching(study, outcome), Watcher(), 1, 0, Clock()) is None
    assert [record.state for record in study.records()] == ["complete", "complete"]
    assert study.records()[0].params == failed[0].params and study.failures() == 0


def test_the_trials_of_a_lost_worker_are_made_again_one_by_one_so_that_only_the_culprit_fails(url: str) -> None:
    study, watcher = opened(url, n_trials=4), Watcher()
    culprit = {}

    def launch(batch: Sequence[Asked]) -> list:
        culprit.setdefault("params", batch[1].params if len(batch) > 1 else None)
        if any(asked.params == culprit["params"] for asked in batch):
            raise RuntimeError("a worker was killed")
        return launching(study, result_of)(batch)

    assert run(study, launch, watcher, 3, 4, Clock()) is None
    assert [record.state for record in study.records()] == ["complete", "failed", "complete", "complete"]
    assert "its worker was lost: RuntimeError: a worker was killed" in str(study.records()[1].reason)
    assert [len(batch) for batch in watcher.batches] == [3, 1, 1, 1, 1]


def test_too_many_failures_end_the_study(url: str) -> None:
    study, watcher = opened(url, n_trials=12), Watcher()
    told = run(study, launching(study, lambda _: TrialResult(Failed("diverged"))), watcher, 1, 3.5, Clock())
    assert told == "4 trials failed, more than hydra.sweeper.max_failure_rate allows"
    assert study.failures() == len(watcher.batches) == 4 and study.remaining() == 8


@pytest.mark.parametrize("error", [Unreachable("no server"), KeyboardInterrupt()])
def test_what_ends_a_study_leaves_no_trial_in_work_and_none_counted(error: BaseException, url: str) -> None:
    study = opened(url, n_trials=3)

    def launch(batch: Sequence[Asked]) -> list:
        raise error

    with pytest.raises(type(error)):
        run(study, launch, Watcher(), 2, 3, Clock())
    assert [record.state for record in study.records()] == ["failed", "failed"]
    assert study.remaining() == 3 and study.failures() == 0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_never_the_best(loss: float, url: str) -> None:
    study = opened(url, n_trials=2)
    [asked] = study.ask(1)
    tell(study, asked, TrialResult(Completed(summary(loss))))
    [record] = study.records()
    assert (record.state, record.reason, record.value) == ("failed", "no finite loss", None)


# -- several objectives ------------------------------------------------------------------------------------------------------


def test_the_front_is_of_all_objectives_and_the_order_of_the_first(url: str) -> None:
    objectives = parse(["loss", "size"], None, "regression")
    study = opened(url, n_trials=3, objectives=objectives, sampler=settings_of("nsgaii"))
    for loss, size in ((0.3, 10), (0.2, 20), (0.4, 30)):
        [asked] = study.ask(1)
        told = Summary([loss], loss, 0.0, None, loss, 0.0, None, 1, {}, parameters=size)
        tell(study, asked, TrialResult(Completed(told)))
    assert study.front() == [0, 1]
    kept = reading.open_study(url, "s")
    assert kept.front == [0, 1] and kept.objectives == objectives
    assert [record.values for record in kept.records] == [[0.3, 10], [0.2, 20], [0.4, 30]]


@pytest.mark.parametrize(
    ("names", "directions", "task", "expected"),
    [
        ("loss", None, "regression", [("loss", "minimize")]),
        ("accuracy", None, "classification", [("accuracy", "maximize")]),
        (["loss", "spread", "time"], None, "regression", [("loss", "minimize"), ("spread", "minimize"), ("time", "minimize")]),
        (["r2", "size"], ["minimize", None], "regression", [("r2", "minimize"), ("size", "minimize")]),
    ],
)
def test_objectives_know_which_way_is_better(names: object, directions: object, task: str, expected: list) -> None:
    assert [(each.name, each.direction) for each in parse(names, directions, task)] == expected


@pytest.mark.parametrize(
    ("names", "directions", "told"),
    [
        ("los", None, "did you mean loss"),
        ("accuracy", None, "loss, spread, size, time, r2, mae"),
        (["loss", "loss"], None, "each once"),
        ([], None, "one or more"),
        ("loss", "up", "minimize, maximize"),
        (["loss", "size"], "minimize", "for each of 2"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(names: object, directions: object, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse(names, directions, "regression")


# -- pruning -----------------------------------------------------------------------------------------------------------------

EPOCHS = (10, 20, 30, 40)


def leg(epoch: int, losses: Sequence[float]) -> Leg:
    values = np.array(losses)
    return Leg(
        epochs_done=epoch,
        train_loss=values[None],
        val_loss=values[None],
        learning_rate=values[None],
        finite=np.isfinite(values),
        current=values,
    )


def train(study: Search, asked: Asked, pruner: dict[str, Any], level: float) -> int:
    """The epochs that a trial of 8 replicates around `level`, which slowly get worse, gets."""
    stop = pruning.pruner(study.storage, study.name, asked.number, pruner)
    losses = level + np.linspace(-0.01, 0.01, 8)
    for epoch in EPOCHS:
        if stop(leg(epoch, losses + epoch * 1e-4)):
            tell(study, asked, TrialResult(Pruned(epoch, level)))
            return epoch
    tell(study, asked, TrialResult(Completed(summary(level))))
    return EPOCHS[-1]


PRUNERS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 3},
    "percentile": {"percentile": 25.0, "n_startup_trials": 3},
    "successive_halving": {"min_resource": 10, "reduction_factor": 2},
    "hyperband": {"min_resource": 10, "max_resource": 40, "reduction_factor": 2},
    "patient": {"wrapped": {"name": "median", "n_startup_trials": 3}, "patience": 1},
    "threshold": {"upper": 2.0},
    "wilcoxon": {"p_threshold": 0.05},
}


def levels_and_epochs(study: Search, kind: str, levels: Sequence[float]) -> list[int]:
    return [train(study, study.ask(1)[0], {"name": kind, **PRUNERS[kind]}, level) for level in levels]


@pytest.mark.parametrize("kind", [kind for kind in kinds.PRUNERS if kind != "none"])
def test_a_pruner_stops_a_bad_trial_and_lets_a_good_one_run(kind: str, url: str) -> None:
    study = opened(url, n_trials=20)
    epochs = levels_and_epochs(study, kind, [1.0, 1.1, 1.2, 1.3, 0.5, *np.linspace(3, 4, 12)])
    assert epochs[4] == EPOCHS[-1], "the best of all runs to its end"
    assert min(epochs[5:]) < EPOCHS[-1], "one of the worst is stopped"
    states = {record.state for record in study.records()}
    assert states == {"complete", "pruned"}
    pruned = next(record for record in study.records() if record.state == "pruned")
    assert pruned.reason == f"pruned after {epochs[study.records().index(pruned)]} epochs"


@pytest.mark.parametrize(
    "kind", ["successive_halving", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("hyperband", "median")), "wilcoxon"]
)
def test_what_a_cut_off_attempt_reported_decides_nothing(kind: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = [1.0, 1.1, 1.2, 0.9, 3.0, 0.8, 2.0, 1.05]
    whole = levels_and_epochs(opened(url, name="whole"), kind, levels)
    forget()

    def cut(study: Search) -> None:
        levels_and_epochs(study, kind, levels[:4])
        stop = pruning.pruner(url, "parts", study.ask(1)[0].number, {"name": kind, **PRUNERS[kind]})
        stop(leg(10, np.full(8, 0.001)))  # it would have been the best

    kill(monkeypatch, opened(url, name="parts"), cut)
    left = opened(url, name="parts")
    left.reap()
    assert levels_and_epochs(left, kind, levels[4:]) == whole[4:]


def test_the_wilcoxon_pruner_needs_evidence_over_the_replicates(url: str) -> None:
    study, settings = opened(url), {"name": "wilcoxon"}
    assert train(study, study.ask(1)[0], settings, 1.0) == 40
    noisy = pruning.pruner(url, "s", study.ask(1)[0].number, settings)
    better_and_worse = 1.0 + np.array([0.3, -0.2, 0.25, -0.25, 0.3, -0.3, 0.2, -0.15])
    assert not noisy(leg(10, better_and_worse)), "a worse mean alone is no evidence"
    sure = pruning.pruner(url, "s", study.ask(1)[0].number, settings)
    assert sure(leg(10, 1.02 + np.linspace(-0.01, 0.01, 8))), "a little worse in each replicate is"


@pytest.mark.parametrize(
    ("sampler", "pruner", "objectives", "told"),
    [
        ({"name": "tpee"}, {"name": "none"}, LOSS, "sampler: got 'tpee'; valid: did you mean tpe"),
        ({"name": "tpe"}, {"name": "medain"}, LOSS, "pruner: got 'medain'; valid: did you mean median"),
        ({"name": "tpe", "n_startup": 3}, {"name": "none"}, LOSS, "settings that Optuna's tpe takes"),
        ({"name": "tpe"}, {"name": "wilcoxon", "p_threshold": 2}, LOSS, "p_threshold is between 0 and 1"),
        ({"name": "tpe"}, {"name": "patient", "wrapped": {"name": "no"}}, LOSS, "pruner: got 'no'"),
        ({"name": "tpe"}, {"name": "median"}, (Objective(), Objective("size")), "pruners judge by the loss"),
        ({"name": "tpe"}, {"name": "wilcoxon"}, LOSS, "wilcoxon over 4 replicates'; valid: replicates.count=5"),
        ({"name": "cmaes"}, {"name": "none"}, LOSS, "cmaes"),
        ({"name": "gp"}, {"name": "none"}, LOSS, None),
    ],
)
def test_what_does_not_fit_is_refused(sampler: dict, pruner: dict, objectives: tuple, told: str | None) -> None:
    categories = {"kind": Choice("kind", ("a", "b"))}
    if told is None:
        if importlib.util.find_spec("torch"):
            kinds.check(sampler, pruner, categories, objectives, 4)
            return
        told = r"pip install 'mlp-study\[gp\]' first"
    with pytest.raises(BadInput, match=told):
        kinds.check(sampler, pruner, categories, objectives, 4)
