"""Studies that a race decides: the decision is the same however the race was run, and the records hold what it rests on."""

from __future__ import annotations

import io
import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

import study
from study import sqlite
from study.clock import Clock
from study.data import dataset
from study.errors import Corrupt
from study.records.outcome import Failed, Summary, TrialResult
from study.reporting import decisions, study_results, terminal
from study.reporting.study_results import Findings
from study.runner import launching, planning, trial
from study.runner.planning import Plan
from study.search import overview, reading
from study.settings.spec import TrialSpec
from study.statistics import race, rounds
from study.statistics.race import Decision, Rules
from study.tracking import spool
from study.tracking.schema import TRIAL, WHOLE
from tests.command import forget, ran, run
from tests.test_faults_study import JOBLIB, LOG, finish, kill, processes_in, start, wait_for, wait_until_alone

RULES = Rules()
RATES = (0.02, 0.1, 0.11, 0.12)
NETWORK = ["data=iris", "model.units=[4]", "training.epochs=5", "training.patience=null"]
RACE = [
    *NETWORK,
    f"optimizer.learning_rate={','.join(map(str, RATES))}",
    "hydra.sweeper.study_name=tiny",
    "hydra.sweeper.baselines=false",
    "hydra.sweeper.settle=false",
]
UNTRACKED = ["--multirun", *RACE, "tracking=none"]


def spec_of(rate: float, first: int, count: int) -> TrialSpec:
    replicates = [f"replicates.first={first}", f"replicates.count={count}", "replicates.vary=[init,order,data]"]
    return study.compose([*NETWORK, f"optimizer.learning_rate={rate}", *replicates, "replicates.per_split=2"])


def trained(rate: float, first: int, count: int) -> Summary:
    spec = spec_of(rate, first, count)
    summary = trial.measure(spec, dataset.load_replicates(spec), Clock()).summary
    assert summary is not None
    return summary


@pytest.fixture(scope="module")
def at_once() -> dict[int, Summary]:
    """64 replicates of each setting, trained together."""
    return {number: trained(rate, 0, 64) for number, rate in enumerate(RATES)}


def decided(summaries: dict[int, Summary], rules: Rules = RULES) -> Decision:
    losses = {number: np.array(summary.val_losses) for number, summary in summaries.items()}
    costs = {number: (summary.parameters, 0, number) for number, summary in summaries.items()}
    return race.decide(losses, costs, rules, [replicate // 2 for replicate in range(64)])


def findings(folder: Path) -> Findings:
    forget()
    return study_results.read(sqlite.url_of(folder / "optuna.db"), "tiny")


def decision(folder: Path) -> Decision:
    read = findings(folder).decision
    assert read is not None
    return read


def verified(folder: Path) -> Decision:
    """The decision of a study whose records are whole: one finished run per trial, and one with all the winner's replicates."""
    read = findings(folder)
    assert read.decision and read.best and read.best.summary and read.best.summary.tested
    assert list((folder / spool.FOLDER).iterdir()) == []
    client = MlflowClient(sqlite.url_of(folder / "mlflow.db"))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert {own.info.status for own in runs} <= {"FINISHED", "KILLED"}
    runs = [own for own in runs if own.info.status == "FINISHED"]
    trials = {int(own.data.tags[TRIAL]): own for own in runs if TRIAL in own.data.tags}
    assert len(trials) == sum(TRIAL in own.data.tags for own in runs) == len(read.records)
    for record in read.records:
        assert record.summary
        own, losses = trials[record.number], record.summary.val_losses
        assert own.data.metrics["val_loss_mean"] == record.summary.val_loss_mean
        later = client.get_metric_history(own.info.run_id, "race_val_loss")
        assert [(point.step, point.value) for point in later] == (list(enumerate(losses)) if len(losses) > RULES.first else [])
        note = own.data.tags["mlflow.note.content"]
        assert note.startswith(f"Over all {len(losses)} replicates" if len(losses) > RULES.first else "Validation loss")
    [whole] = [own for own in runs if WHOLE in own.data.tags]
    assert whole.data.tags[WHOLE] == str(read.decision.winner)
    # a run that is adopted from its record on disk isn't known by its id
    assert read.best.run_id in (None, whole.info.run_id)
    replicates = [own for own in runs if own.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
    assert len(replicates) == len(read.best.summary.val_losses)
    return read.decision


# -- replicates in rounds -----------------------------------------------------------------------------------------------------


def test_rounds_are_the_replicates_trained_together() -> None:
    together, joined = trained(0.1, 0, 12), rounds.joined([trained(0.1, first, 4) for first in (0, 4, 8)], 2)
    assert joined.val_losses == together.val_losses and joined.scores == together.scores
    assert (joined.val_loss_mean, joined.val_loss_std) == (together.val_loss_mean, together.val_loss_std)
    assert joined.val_loss_halfwidth == together.val_loss_halfwidth
    assert joined.labels == together.labels and joined.distinct == together.distinct == 12
    assert joined.improvements == together.improvements and joined.relative_losses == together.relative_losses


def test_two_replicates_share_a_split_and_nothing_else() -> None:
    replicates = spec_of(0.1, 2, 4).replicates
    levels = {source: [replicates.level(source, number) for number in replicates.numbers] for source in ("init", "order", "data")}
    assert levels == {"init": [2, 3, 4, 5], "order": [2, 3, 4, 5], "data": [1, 1, 2, 2]}
    first, second, third, fourth = dataset.load_replicates(spec_of(0.1, 2, 4))
    assert first is second and third is fourth and not np.array_equal(first.x_val, third.x_val)
    # a later round has the same rows as the first one would have had
    np.testing.assert_array_equal(dataset.load_replicates(spec_of(0.1, 4, 2))[0].x_val, third.x_val)


# -- a study with a race ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study ran that took several rounds to decide."""
    return ran(tmp_path_factory.mktemp("raced"), "--multirun", *RACE)


def damaged(value: Any) -> Iterator[Any]:
    """Values like this one, in each of which something is missing or of another kind."""
    yield from ({}, [], None, -1, "x")
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: kept for other, kept in value.items() if other != key}
            yield from ({**value, key: worse} for worse in damaged(part))
    elif isinstance(value, list) and value:
        yield value[1:]
        yield from ([worse, *value[1:]] for worse in damaged(value[0]))


@pytest.mark.long
def test_whatever_is_damaged_in_a_studys_records_is_told(raced: Path, tmp_path: Path) -> None:
    """Whatever value is of another kind, be it by a disk or by hand, it is read or refused as damage."""
    copy, refused, rng = tmp_path / "optuna.db", 0, random.Random(0)
    with closing(sqlite3.connect(raced / "optuna.db")) as original, closing(sqlite3.connect(copy, isolation_level=None)) as file:
        original.backup(file)
        for table in ("study_system_attributes", "trial_system_attributes"):
            kept = file.execute(
                f"SELECT min({table[:-1]}_id), key, value_json FROM {table} WHERE key LIKE 'mlp_study%' GROUP BY key"
            )
            for row, _, text in kept.fetchall():
                values = list(damaged(json.loads(text)))
                for value in rng.sample(values, min(len(values), 15)):
                    file.execute(f"UPDATE {table} SET value_json = ? WHERE {table[:-1]}_id = ?", (json.dumps(value), row))
                    try:
                        study_results.read(sqlite.url_of(copy), "tiny")
                    except Corrupt:
                        refused += 1
                    assert sum(map(len, overview.overviews(sqlite.url_of(copy)))) == 1
                file.execute(f"UPDATE {table} SET value_json = ? WHERE {table[:-1]}_id = ?", (text, row))
    assert refused > 30
    assert study_results.read(sqlite.url_of(copy), "tiny").records == findings(raced).records


@pytest.fixture
def here(raced: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(raced)
    return raced


@pytest.mark.long
def test_a_race_decides_as_64_replicates_trained_at_once(raced: Path, at_once: dict[int, Summary]) -> None:
    found = verified(raced)
    assert found == decided(at_once) and found.decided
    assert len(set(found.used.values())) > 1 and max(found.used.values()) > RULES.least, "some settings need several rounds"
    for record in findings(raced).records:
        assert record.summary and record.summary.val_losses == at_once[record.number].val_losses[: found.used[record.number]]


@pytest.mark.long
def test_the_commands_show_the_race(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    winner = decision(here).winner
    capsys.readouterr()
    assert run("show", "tiny", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["best"] == winner
    assert run("list", "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)
    best = findings(here).best
    assert best and best.number == winner and listed["best"] == {"trial": winner, "value": best.value}
    assert run("list") == 0
    used = decision(here).used.values()
    assert f" {min(used)} to {max(used)} " in capsys.readouterr().out
    assert run("compare", f"tiny/{winner}", "--json") == 0
    count = decision(here).used[winner or 0]
    assert len(json.loads(capsys.readouterr().out)["networks"]) == count
    assert run("compare", f"tiny/{winner}/{count - 1}", "tiny/best/0") == 0
    capsys.readouterr()
    assert run("similar", f"tiny/{winner}/0", "--count", "1000", "--json") == 0
    names = [network["name"].replace(", all replicates", "") for network in json.loads(capsys.readouterr().out)["similar"]]
    assert f"trial {winner}/0" not in names and f"trial {winner}/1" in names and len(set(names)) == len(names)
    assert run("report", "tiny") == 0
    assert run("doctor", "--thorough") == 0


@pytest.mark.long
def test_a_decided_study_trains_nothing_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = verified(here)

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(trial, "measure", never)
    monkeypatch.setattr(trial, "run_trial", never)
    ran(here, "--multirun", *RACE)
    assert verified(here) == before


@pytest.mark.long
def test_a_capped_race_continues_with_more_replicates(empty: Path, at_once: dict[int, Summary]) -> None:
    assert run(*UNTRACKED, "hydra.sweeper.max_replicates=8") == 0
    assert decision(empty) == decided(at_once, Rules(most=8)) and decision(empty).reason == race.CAPPED
    assert "hydra.sweeper.max_replicates=16" in findings(empty).win
    assert run(*UNTRACKED) == 0
    assert decision(empty) == decided(at_once)
    best = findings(empty).best
    assert best and best.summary and len(best.summary.val_losses) == decision(empty).used[best.number]


@pytest.mark.long
def test_networks_are_a_budget(empty: Path, at_once: dict[int, Summary]) -> None:
    assert run(*UNTRACKED, "hydra.sweeper.networks=30") == 0
    found = decision(empty)
    assert found == decided(at_once, Rules(networks=30)) and found.reason == race.BUDGET
    assert sum(found.used.values()) <= 30


@pytest.mark.long
def test_minutes_are_a_budget_and_the_same_command_goes_on(
    empty: Path, at_once: dict[int, Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.err, "file", told := io.StringIO())
    assert run(*UNTRACKED, "hydra.sweeper.minutes=0.000001") == 0
    assert findings(empty).records == [] and findings(empty).decision is None
    assert str(findings(empty).answer) == "No trial was begun, so there is no answer."
    assert "was over after 0 of 4 trials; a launch needs more to begin a trial" in " ".join(told.getvalue().split())
    assert run(*UNTRACKED) == 0
    assert decision(empty) == decided(at_once)


@pytest.mark.long
def test_a_setting_whose_later_replicate_diverges_is_out(
    empty: Path, at_once: dict[int, Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = decided(at_once).winner
    measure = trial.measure

    def diverging(spec: TrialSpec, *given: Any) -> TrialResult:
        if spec.optimizer.learning_rate == RATES[winner or 0] and spec.replicates.first == 4:
            return TrialResult(Failed("diverged: 1 of 4 replicates, replicate 2 not finite in epoch 1"))
        return measure(spec, *given)

    monkeypatch.setattr(trial, "measure", diverging)
    assert run(*UNTRACKED) == 0
    others = {number: summary for number, summary in at_once.items() if number != winner}
    assert decision(empty).winner == decided(others).winner
    assert {record.number: record.state for record in findings(empty).records}[winner or 0] == "failed"


@pytest.mark.long
def test_a_round_that_is_lost_once_is_trained_again(
    empty: Path, at_once: dict[int, Summary], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, lost = trial.measure, []

    def losing(spec: TrialSpec, *given: Any) -> TrialResult:
        if not lost:
            lost.append(spec)
            raise MemoryError
        return measure(spec, *given)

    monkeypatch.setattr(trial, "measure", losing)
    assert run(*UNTRACKED) == 0
    assert lost and decision(empty) == decided(at_once)


# -- with and without a race --------------------------------------------------------------------------------------------------

SEARCH = [*NETWORK, "optimizer.learning_rate=0.1,0.2"]


@pytest.fixture
def planned(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Returns the plan of a command."""
    plans: list[Plan] = []
    monkeypatch.setattr(launching.dry_run, "show_study", plans.append)

    def plan(*overrides: str) -> Plan:
        assert run("--multirun", "--dry-run", *overrides) == 0
        return plans[-1]

    return plan


PLANS = {
    "by default": ([*SEARCH], 4, True),
    "several objectives": ([*SEARCH, "hydra.sweeper.objective=[loss,size]"], 8, False),
    "an objective of no replicate": ([*SEARCH, "hydra.sweeper.objective=size"], 8, False),
    "a search of the data's settings": (["data=iris", "data.normalise=none,standard"], 8, False),
    "replicates are set": ([*SEARCH, "replicates.count=6"], 6, False),
    "replicates are set, and a race": ([*SEARCH, "replicates.count=6", "hydra.sweeper.decide=true"], 6, True),
    "decide=false": ([*SEARCH, "hydra.sweeper.decide=false"], 8, False),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_search_races_unless_it_cannot_or_must_not(name: str, planned: Callable[..., Plan]) -> None:
    overrides, count, races = PLANS[name]
    plan = planned(*overrides)
    assert plan.base.replicates.count == count
    assert (plan.rules is not None) == races
    assert plan.base.replicates.per_split == (2 if count == 4 else 1)


@pytest.mark.parametrize(("count", "more"), [(6, True), (8, False), (9, False)])
def test_the_launch_says_that_some_get_more_replicates_only_if_they_may(
    count: int, more: bool, planned: Callable[..., Plan]
) -> None:
    race = ["hydra.sweeper.decide=true", "hydra.sweeper.max_replicates=8"]
    line, *_ = planning.opening(planned(*SEARCH, *race, f"replicates.count={count}"), 2, True, 0)
    assert f"2 trials × {count} replicates = {2 * count} networks" in line
    assert ("then up to 8 replicates of those that may win" in line) == more


def test_a_large_validation_part_needs_no_other_split_and_the_launch_says_so(planned: Callable[..., Plan]) -> None:
    data = ["data=noise", "data.features=2", "optimizer.learning_rate=0.1,0.2"]
    few, many = (planned(*data, f"data.rows={rows}") for rows in (25_000, 25_010))
    assert few.base.replicates.vary == ("init", "order", "data") and many.base.replicates.vary == ("init", "order")
    assert many.rules and many.base.replicates.count == 4
    assert [any("one split" in line for line in planning.opening(plan, 2, True, 0)) for plan in (few, many)] == [False, True]


@pytest.mark.parametrize(
    "more",
    [
        ["hydra.sweeper.objective=[loss,size]"],
        ["hydra.sweeper.objective=size"],
        ["replicates.vary=[init,order]", "replicates.crossed=[2,2]"],
        ["replicates.vary=[init],[order]"],
        ["data.normalise=none,standard"],
        ["replicates.count=1"],
        ["replicates.first=4"],
    ],
    ids=" ".join,
)
def test_a_race_that_cannot_be_is_refused(more: list[str], empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.StringIO()
    monkeypatch.setattr(terminal.err, "file", console)
    assert run("--multirun", *SEARCH, "hydra.sweeper.decide=true", *more) == 2
    assert "hydra.sweeper.decide" in console.getvalue()
    assert list(empty.iterdir()) == []


# -- kills, several drivers, other launchers ----------------------------------------------------------------------------------

TRIALS, CLIENT = "study.search.trials:Trials.", "mlflow.tracking.client:MlflowClient."
POINTS = [
    f"{TRIALS}tell_round:1:before",
    f"{TRIALS}tell_round:2:after",
    # the run of all replicates has begun, its record is complete, and it is kept
    "study.runner.trial:run_trial:1:before",
    "study.tracking.artifacts:write_atomically:1:after",
    f"{TRIALS}tell_whole:1:after",
    "study.tracking.spool:Writer.keep_race:1:before",
    "study.tracking.writer:Server._keep_race:2:before",
]


@pytest.mark.fault
@pytest.mark.slow
def test_a_race_killed_at_its_turns_ends_with_the_same_decision(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    for point in POINTS:
        assert start(tmp_path, *RACE, CRASH=point).wait(600) in (-signal.SIGKILL, 3), point
        wait_until_alone(tmp_path)
    finish(tmp_path, *RACE)
    assert verified(tmp_path) == decided(at_once)


@pytest.mark.fault
def test_a_driver_killed_before_it_kept_the_run_of_all_replicates_leaves_one(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    """The writer has sent the run before the next launch, which trains another one."""
    assert start(tmp_path, *RACE, CRASH=f"{TRIALS}tell_whole:1:before").wait(600) == -signal.SIGKILL
    wait_until_alone(tmp_path)
    finish(tmp_path, *RACE)
    assert verified(tmp_path) == decided(at_once)


@pytest.mark.fault
@pytest.mark.slow  # twenty starts
def test_a_race_killed_again_and_again_ends_with_the_same_decision(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    random = np.random.default_rng(0)
    for kills in range(20):
        driver = start(tmp_path, *RACE)
        wait_for(lambda driver=driver: "study tiny" in (tmp_path / LOG).read_text() or driver.poll() is not None)
        time.sleep(random.uniform(0, 10))
        kill([driver.pid] if kills % 2 else processes_in(tmp_path))
        driver.wait()
    finish(tmp_path, *RACE)
    assert verified(tmp_path) == decided(at_once)


@pytest.mark.fault
def test_two_drivers_reach_one_decision(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    drivers = [start(tmp_path, *RACE) for _ in range(2)]
    assert [driver.wait(600) for driver in drivers] == [0, 0]
    wait_until_alone(tmp_path)
    assert verified(tmp_path) == decided(at_once)


@pytest.mark.fault
def test_a_dead_drivers_trial_is_run_before_the_race(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    """One driver dies with trial 0 in work while the other waits for it, and makes it again as trial 4."""
    slow = start(tmp_path, *RACE, SLOW="study.runner.trial:run_trial:600")
    while not (tmp_path / "optuna.db").exists() or not reading.run_ids(sqlite.url_of(tmp_path / "optuna.db"), "tiny"):
        forget()
        time.sleep(0.2)
    other = start(tmp_path, *RACE)
    time.sleep(15)
    kill([slow.pid])
    slow.wait()
    assert other.wait(600) == 0
    wait_until_alone(tmp_path)
    found, expected = verified(tmp_path), decided(at_once)
    used = {4 if number == 0 else number: count for number, count in expected.used.items()}
    assert (found.winner, found.reason, found.used) == (expected.winner, expected.reason, used) and used[4] == 4


@pytest.mark.fault
@pytest.mark.slow
def test_workers_of_another_launcher_run_the_rounds(tmp_path: Path, at_once: dict[int, Summary]) -> None:
    finish(tmp_path, *RACE, *JOBLIB)
    assert verified(tmp_path) == decided(at_once)


# -- texts ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_sentences_hold_what_was_decided(raced: Path) -> None:
    read = findings(raced)
    assert read.decision and read.rules
    text = decisions.text(read.decision, read.records, read.objective, read.rules)
    assert text in read.win
    for number in read.decision.used:
        assert str(number) in text
    assert f"{sum(read.decision.used.values())} networks" in text
    kinds = [claim.kind for claim in read.decision.claims.values()]
    assert ("equivalent" in text) == (race.EQUIVALENT in kinds)
    assert "ndecided" not in text and "more would decide" not in text


@pytest.mark.long
def test_a_better_baseline_comes_first(raced: Path) -> None:
    read = findings(raced)
    assert read.best and read.best.summary and read.best.summary.tested and read.decision and read.rules
    tested = read.best.summary.tested
    ensemble = tested.scores[0]
    worse, better = (
        replace(ensemble, name=name, gap=gap) for name, gap in (("forest", (0.1, 0.05, 0.2)), ("ridge", (-0.2, -0.3, -0.1)))
    )
    for scores, leads in (([ensemble, worse], False), ([ensemble, worse, better], True)):
        known = replace(read.best.summary, tested=replace(tested, scores=scores))
        records = [replace(record, summary=known) if record.number == read.best.number else record for record in read.records]
        first = replace(read, records=records).decided[0]
        assert ("Ridge has a lower loss" in first) == leads and "forest" not in first.lower()
