"""The settings that a new study tries first: the default one, the user's, and those of another study."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import study
from study import sqlite
from study.analysis import tested
from study.errors import BadInput
from study.records.outcome import Completed, Summary, TrialResult
from study.reporting import on_test, study_results
from study.runner.planning import Plan
from study.search import reading, stored
from tests.command import forget, run
from tests.test_precedence import planned

pytestmark = pytest.mark.usefixtures("empty")
RATE, BATCH = "optimizer.learning_rate", "training.batch_size"
RATES, WIDE = "tag(log,interval(1e-4,1e-1))", "tag(log,interval(1e-5,1))"
MOMENTUM = "optimizer.momentum=tag(optimizer:sgd,interval(0,1))"
SEARCH, SGD = ["data=iris", f"{RATE}={RATES}"], {"optimizer": "sgd", RATE: 0.01}

FILE = """\
# @package _global_
hydra:
  sweeper:
    try:
      - optimizer: {learning_rate: 0.05}
      - {optimizer.learning_rate: 0.06}
"""


def trying(text: str, *lines: str) -> Plan:
    return planned([*SEARCH, *lines, f"hydra.sweeper.try={text}"])


def keep(plan: Plan, losses: Sequence[float]) -> None:
    """Run the planned study: its trials get these losses, in their order."""
    search = plan.search(plan.storage)
    for loss in losses:
        [asked] = search.ask(1)
        summary = Summary([loss] * 4, loss, 0.1, None, loss, 1.0, None, 4, {}, parameters=10)
        result = TrialResult(Completed(summary), f"run {asked.number}")
        stored.keep(search.storage, search.name, asked.number, result)
        search.tell(asked.number, result)
    forget()


# -- the default setting and the user's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "default"),
    [
        ([], {"optimizer": "adam", RATE: 0.001, BATCH: 32, "model.width": 64, "model.depth": 2}),
        ([f"{RATE}={RATES}", "model.units=[8],[64,64]"], {RATE: 0.001, "model.units": "[64,64]"}),
        ([f"{RATE}={RATES}", "training.patience=null,20"], {RATE: 0.001, "training.patience": None}),
        ([f"{RATE}={RATES}", "optimizer=adam,sgd", MOMENTUM], {RATE: 0.001, "optimizer": "adam"}),
        # sgd is the configuration's own here, with its own rate
        ([f"{RATE}={RATES}", "optimizer=sgd", "optimizer.momentum=interval(0,1)"], {RATE: 0.01, "optimizer.momentum": 0.0}),
        (["model.dropout=range(0,1,0.25)", "sampler=random", "hydra.sweeper.n_trials=2"], {"model.dropout": 0.0}),
        # of layers that differ, and outside the space, there is none
        ([f"{RATE}={RATES}", "model.depth=range(2,4)", "model.width=8"], {RATE: 0.001, "model.depth": 2}),
        ([f"{RATE}={RATES}", f"{BATCH}=8,16"], None),
        ([f"{RATE}=interval(0.01,0.1)"], None),
        ([f"{RATE}={RATES}", "optimizer=sgd,rmsprop"], None),
        (["training.patience=int(interval(5,50))", "hydra.sweeper.n_trials=4"], None),
    ],
    ids=str,
)  # fmt: skip
def test_the_default_setting_is_tried_first_if_the_space_has_it(lines: list[str], default: dict | None) -> None:
    plan = planned(["data=iris", *lines])
    assert plan.beginning.default == default
    assert [type(value) for value in (plan.beginning.default or {}).values()] == [type(value) for value in (default or {}).values()]
    [line] = plan.first
    assert line.startswith("the default setting is tried first" if default else "the default setting isn't tried first")
    search = plan.search(plan.storage)
    [asked] = search.ask(1)
    assert (asked.params == default) == (default is not None) and search.default == default


def test_a_grid_keeps_its_order_and_knows_its_default_setting() -> None:
    plan = planned(["data=iris", f"{RATE}=0.01,0.001"])
    assert plan.beginning.default == {RATE: 0.001} and not plan.first
    assert [asked.params[RATE] for asked in plan.search(plan.storage).ask(2)] == [0.01, 0.001]


def test_the_users_settings_come_next_and_lack_only_what_the_default_has() -> None:
    plan = trying(
        "[{optimizer: sgd}, {optimizer.learning_rate: 0.05}, {optimizer: {name: sgd, learning_rate: 1e-2}}]", "optimizer=adam,sgd"
    )
    assert plan.beginning.first == [SGD, {"optimizer": "adam", RATE: 0.05}, SGD]
    search = plan.search(plan.storage)
    tried = [asked.params for asked in search.ask(4)]
    assert tried[:3] == [plan.beginning.default, SGD, {"optimizer": "adam", RATE: 0.05}] and tried[3] not in tried[:3]
    assert search.n_trials == 24 and search.remaining() == 20
    # with layers as a list, and in a file
    assert trying("[{model.units: [8, 8]}]", "model.units=[64,64],[8,8]").beginning.first == [{RATE: 0.001, "model.units": "[8,8]"}]
    Path("experiment").mkdir()
    Path("experiment/mine.yaml").write_text(FILE)
    plan = planned([*SEARCH, "+experiment=mine", f"hydra.searchpath=[{Path.cwd()}]"])
    assert plan.beginning.first == [{RATE: 0.05}, {RATE: 0.06}]


def test_settings_to_try_are_part_of_the_study() -> None:
    names = {
        planned(SEARCH).name,
        trying("[{optimizer.learning_rate: 0.05}]").name,
        trying("[{optimizer.learning_rate: 0.06}]").name,
    }
    assert len(names) == 3 and trying("[]").name in names
    plan = trying("[{optimizer.learning_rate: 0.05}]", "hydra.sweeper.study_name=s")
    keep(plan, [0.5, 0.4])
    again = trying("[{optimizer.learning_rate: 0.05}]", "hydra.sweeper.study_name=s")
    assert not again.first and again.search(again.storage).ask(1)[0].params[RATE] not in (0.001, 0.05)
    other = trying("[{optimizer.learning_rate: 0.06}]", "hydra.sweeper.study_name=s")
    with pytest.raises(BadInput, match=r"hydra.sweeper.try: got .*0.06.*; valid: .*0.05.* in study 's'"):
        other.search(other.storage)


# -- another study's ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study is that found the default setting to be its fifth best."""
    folder = tmp_path_factory.mktemp("known")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = planned([*SEARCH, "optimizer=adam,sgd", "hydra.sweeper.study_name=known", "hydra.sweeper.n_trials=7"])
        keep(plan, [0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7])
    return folder


@pytest.fixture
def known(made: Path, empty: Path) -> list[dict]:
    """The settings of that study, best first, which is here now."""
    shutil.copytree(made, empty, dirs_exist_ok=True)
    return [record.params for record in study_results.read(sqlite.url_of(empty / "optuna.db"), "known").ranked]


def continued(*lines: str) -> Plan:
    return planned(["data=iris", "hydra.sweeper.from=known", *lines])


def test_a_wider_study_tries_the_best_of_another_and_learns_from_all(known: list[dict]) -> None:
    plan = continued(f"{RATE}={WIDE}", "optimizer=rmsprop,sgd,adam", "model.activation=relu,tanh")
    assert known[4] == {"optimizer": "adam", RATE: 0.001}
    expected = [{**params, "model.activation": "relu"} for params in known]
    assert plan.beginning.first == expected[:4]
    assert [params for params, _ in plan.beginning.learned] == expected
    assert [values for _, values in plan.beginning.learned] == [[loss] for loss in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    stored.delete(plan.storage, "known")  # from here on the new study has all that it needs
    fresh = planned([*SEARCH, "hydra.sweeper.study_name=other"])
    assert fresh.beginning.learned == []
    search = plan.search(plan.storage)
    assert [asked.params for asked in search.ask(5)] == [plan.beginning.default, *expected[:4]]
    assert search.n_trials == 24 and search.remaining() == 19 and len(search.records()) == 5


def test_a_study_that_exists_needs_no_other(known: list[dict]) -> None:
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd")
    keep(plan, [0.5])
    assert set(reading.names(plan.storage)) == {"known", plan.name}
    stored.delete(plan.storage, "known")
    again = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd")
    assert again.name == plan.name and not again.first
    assert again.search(again.storage).ask(1)[0].params == known[0]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["training.epochs=200"], "training.epochs is 100 there and 200 here"),
        (["seed=1"], "seed is 0 there and 1 here"),
        (["hydra.sweeper.objective=accuracy"], "objective"),
    ],
)
def test_losses_that_are_not_comparable_teach_nothing(lines: list[str], reason: str, known: list[dict]) -> None:
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd", *lines)
    assert plan.beginning.first == known[:4] and plan.beginning.learned == []
    assert reason in plan.first[-1] and "aren't comparable" in plan.first[-1]


@pytest.mark.long
def test_only_what_lies_in_the_new_space_is_taken(known: list[dict]) -> None:
    of_adam = [{RATE: params[RATE]} for params in known if params["optimizer"] == "adam"]
    plan = continued(f"{RATE}={WIDE}")
    assert plan.beginning.first == [params for params in of_adam if params != plan.beginning.default][:4]
    assert [params for params, _ in plan.beginning.learned] == of_adam
    small = [params for params in known if params[RATE] < 0.005]
    plan = continued(f"{RATE}=interval(1e-5,0.005)", "optimizer=adam,sgd")
    assert 0 < len(small) < len(known) and [params for params, _ in plan.beginning.learned] == small
    # what the other study fixed has the value that it had there
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd", "model.width=32,64", "model.depth=range(1,4)")
    assert plan.beginning.first[0] == {**known[0], "model.width": 64, "model.depth": 2}
    assert len(plan.beginning.learned) == 7
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd", "model.width=16,32")
    assert plan.beginning.first == [] and plan.beginning.learned == [] and "0 of its 7 trials" in plan.first[-1]


@pytest.mark.long
def test_a_kinds_own_default_is_known_or_the_trial_is_left_out() -> None:
    plan = planned(["data=iris", "optimizer=adam,sgd,rmsprop", "hydra.sweeper.study_name=known"])
    keep(plan, [0.1, 0.2, 0.3])
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd,rmsprop", MOMENTUM)
    # whether adam's rate was given, and sgd had it too, nobody knows
    assert plan.beginning.first == [{"optimizer": "rmsprop", RATE: 0.001}]
    plan = continued(f"{BATCH}=int(interval(8,64))", "optimizer=adam,sgd,rmsprop", MOMENTUM)
    first = [{BATCH: 32, "optimizer": "sgd", "optimizer.momentum": 0.0}, {BATCH: 32, "optimizer": "rmsprop"}]
    assert plan.beginning.first == first


def test_a_sampler_that_cannot_learn_from_other_trials_is_not_said_to(known: list[dict]) -> None:
    plan = continued(f"{RATE}={WIDE}", "optimizer=adam,sgd", "sampler=nsgaii")
    assert plan.beginning.first == known[:4] and plan.beginning.learned == [] and "learns" not in plan.first[-1]


def test_another_study_that_is_not_there_is_refused_with_those_that_are(known: list[dict]) -> None:
    with pytest.raises(BadInput, match=r"hydra.sweeper.from: got 'knwn'; valid: did you mean known\? one of: known"):
        planned([*SEARCH, "hydra.sweeper.from=knwn"])


# -- the default setting at the end -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_default_setting_is_judged_on_the_winners_test_rows(empty: Path) -> None:
    network = ["data=iris", "model.units=[4]", "training.epochs=5"]
    lines = [f"{RATE}={RATES}", "hydra.sweeper.n_trials=2", "hydra.sweeper.try=[{optimizer.learning_rate: 0.1}]"]
    more = ["hydra.sweeper.study_name=tiny", "hydra.sweeper.baselines=false", "tracking=none"]
    assert run("--multirun", *network, *lines, *more) == 0
    forget()
    found = study_results.read(sqlite.url_of(empty / "optuna.db"), "tiny")
    assert found.best and found.best.params == {RATE: 0.1} and found.tested and found.best.summary
    ensemble, default = found.tested.scores
    splits = [
        "replicates.vary=[init,order,data]",
        "replicates.per_split=2",
        f"replicates.count={len(found.best.summary.val_losses)}",
    ]
    alone = tested.judge(study.train(study.compose([*network, *splits])), with_baselines=False)
    assert alone and default.loss == alone.scores[0].loss and default.accuracy == alone.scores[0].accuracy
    assert default.gap and default.gap[0] == pytest.approx(default.loss[0] - ensemble.loss[0])
    # paired: far narrower than the difference of the two intervals
    assert np.ptp(default.gap[1:]) < np.ptp(default.loss[1:]) + np.ptp(ensemble.loss[1:])
    assert [row[0] for row in on_test.losses_table(found.tested).rows][-1] == "default setting"
    assert "The default setting is worse." in on_test.text(found.tested, [], None)
