"""What a study answers, by its verdict, and whether its win is real: every sentence from records made by hand."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import study
from study.analysis import verdict
from study.analysis.convergence import DIVERGED, IMPROVING, OSCILLATING, PLATEAUED, STUCK, UNDECIDED
from study.records.arrays import Scalar
from study.records.outcome import Blame, Summary
from study.records.trial import TrialRecord
from study.reporting import answers, headlines, study_results, terminal, wins
from study.settings.values import Value
from study.statistics.objectives import MAXIMIZE, Objective
from tests.command import run

LOSS, R2 = Objective(), Objective("r2", MAXIMIZE)
FIXED: dict[str, Value] = {"replicates.vary": ["init", "order"], "training.epochs": 100, "training.patience": None}
JUDGED = {"loss": "mse", "target": "standard", "rows": "aa"}


def summary(losses: list[float], **more: object) -> Summary:
    count = len(losses)
    plain = Summary(
        val_losses=losses,
        val_loss_mean=float(np.mean(losses)),
        val_loss_std=float(np.std(losses)),
        val_loss_halfwidth=0.01,
        train_loss_mean=0.5,
        distance=1.41,
        disagreement=0.1,
        distinct=count,
        labels={PLATEAUED: count},
        verdict=verdict.SAME_LOSS,
        judged_by=JUDGED,
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def record(number: int, losses: list[float], params: dict[str, Scalar] | None = None, **more: object) -> TrialRecord:
    told = summary(losses, **more)
    return TrialRecord(number, "complete", params or {}, [told.val_loss_mean], told, None, None, {})


# -- the headline ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "distinct", "labels", "expected"),
    [
        (verdict.SAME_WEIGHTS, 1, {PLATEAUED: 8}, "Yes, bit for bit"),
        (verdict.SAME_ROUNDING, 8, {PLATEAUED: 8}, "Yes, up to rounding"),
        (verdict.SAME_SYMMETRY, 8, {PLATEAUED: 8}, "Yes, up to the symmetry of its neurons"),
        (verdict.SAME_FUNCTION, 8, {PLATEAUED: 8}, "One function, different weights"),
        (f"{verdict.SAME_FUNCTION} ({verdict.SAME_BASIN})", 8, {PLATEAUED: 8}, "One function, different weights"),
        (verdict.SAME_LOSS, 8, {PLATEAUED: 8}, "One loss, different functions"),
        (f"{verdict.SAME_LOSS} ({verdict.NO_PATH})", 8, {PLATEAUED: 8}, "One loss, different functions"),
        (verdict.DIFFERENT_LOSS, 8, {PLATEAUED: 8}, "No: different losses"),
        (verdict.UNDECIDED, 8, {PLATEAUED: 8}, "Not decided"),
        (verdict.NOT_CONVERGED, 8, {IMPROVING: 8}, "Too early to say: the training loss still falls (8 of 8 replicates)"),
        (
            verdict.NOT_CONVERGED,
            8,
            {PLATEAUED: 4, IMPROVING: 2, OSCILLATING: 2},
            "Too early to say: the training loss still falls (2 of 8 replicates)",
        ),
        # equal weights are no end either, while the loss still falls
        (verdict.NOT_CONVERGED, 1, {IMPROVING: 8}, "Too early to say: the training loss still falls (8 of 8 replicates)"),
        (
            verdict.NOT_CONVERGED,
            8,
            {OSCILLATING: 4, IMPROVING: 1, DIVERGED: 3},
            "No: the training loss oscillates (4 of 8 replicates)",
        ),
        (verdict.NOT_CONVERGED, 8, {OSCILLATING: 3, PLATEAUED: 5}, "No: the training loss oscillates (3 of 8 replicates)"),
        (
            verdict.NOT_CONVERGED,
            8,
            {STUCK: 8},
            "Too early to say: by training loss, nothing has been learned yet (8 of 8 replicates)",
        ),
        (verdict.NOT_CONVERGED, 8, {DIVERGED: 1, PLATEAUED: 7}, "No: training diverges (1 of 8 replicates)"),
        (
            verdict.NOT_CONVERGED,
            8,
            {UNDECIDED: 6, PLATEAUED: 2},
            "Not decided: the training loss doesn't show yet whether it still falls (6 of 8 replicates)",
        ),
        (None, 8, {PLATEAUED: 8}, "Not decided: no verdict was recorded"),
        (None, 1, {PLATEAUED: 1}, "Not decided: one network can't show it"),
    ],
)
def test_one_headline_for_each_verdict(name: str | None, distinct: int, labels: dict[str, int], expected: str) -> None:
    found = summary([0.5] * sum(labels.values()), verdict=name, labels=labels, distinct=distinct)
    assert headlines.headline(found) == expected


def test_every_verdict_has_a_headline() -> None:
    assert {*headlines.HEADLINES, verdict.NOT_CONVERGED} == set(verdict.VERDICTS)
    assert {verdict.name_of(f"{name} (same basin)") for name in verdict.VERDICTS} == set(verdict.VERDICTS)
    assert verdict.name_of("") is None


@pytest.mark.parametrize("name", verdict.VERDICTS)
@pytest.mark.parametrize("distinct", [1, 8])
def test_the_headline_and_the_text_agree(name: str, distinct: int) -> None:
    labels = {IMPROVING if name == verdict.NOT_CONVERGED else PLATEAUED: 8}
    found = answers.answer([record(0, [0.5] * 8, verdict=name, distinct=distinct, labels=labels)], LOSS, FIXED)
    assert ("the same final weights, bit for bit" in found.text) == (distinct == 1)
    assert f"Verdict: {name}." in found.text and str(found).startswith(f"{found.headline}. ")


# -- the text -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({PLATEAUED: 8}, "all have plateaued."),
        ({IMPROVING: 8}, "none has plateaued (8 still improving)."),
        ({PLATEAUED: 3, STUCK: 5}, "not all have plateaued (5 stuck, 3 plateaued)."),
    ],
)
def test_how_many_have_plateaued(labels: dict[str, int], expected: str) -> None:
    assert expected in answers.answer([record(0, [0.5] * 8, labels=labels)], LOSS, FIXED).text


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "trial 0, which"),
        ({"seed": 0}, "trial 0 (seed 0)"),
        ({"optimizer": "adam", "optimizer.learning_rate": 0.01}, "trial 0 (adam, learning_rate 0.0100)"),
        ({"model.width": 8, "training.patience": None}, "trial 0 (width 8, patience null)"),
    ],
)
def test_a_trial_by_its_settings(params: dict[str, Scalar], expected: str) -> None:
    assert expected in answers.answer([record(0, [0.5] * 8, params)], LOSS, FIXED).text


@pytest.mark.parametrize(
    ("vary", "sampled", "expected"),
    [
        (["init", "order"], "[init,order]", "differ in init and order,"),
        ([], "[]", "differ in nothing,"),
        (["ulp"], "['ulp']", "differ in ulp,"),
    ],
)
def test_what_the_replicates_differ_in(vary: list[str], sampled: str, expected: str) -> None:
    assert expected in answers.answer([record(0, [0.5] * 8)], LOSS, FIXED | {"replicates.vary": vary}).text
    assert expected in answers.answer([record(0, [0.5] * 8, {"replicates.vary": sampled})], LOSS, FIXED).text


def test_no_trial_and_one_network() -> None:
    assert "No trial completed" in answers.answer([], LOSS, FIXED).headline
    assert "replicates.count=8" in answers.answer([record(0, [0.5], verdict=None)], LOSS, FIXED).text


# -- what would settle it -------------------------------------------------------------------------------------------------------

LAUNCH = (
    "mlp-study --multirun data=iris replicates.count=2 training.epochs=3 optimizer=sgd,adam ++model.width=4,8 model.depth=1 "
    "hydra.sweeper.study_name=tiny hydra/launcher=basic hydra.sweep.dir=there hydra.searchpath=[file:///there]"
)
WINNER: dict[str, Scalar] = {"optimizer": "sgd", "model.width": 4}


@pytest.mark.parametrize("label", [IMPROVING, UNDECIDED])
def test_the_command_that_would_settle_it_trains_the_same_setting_longer(label: str) -> None:
    trial = record(0, [0.5] * 2, WINNER, labels={label: 2}, verdict=verdict.NOT_CONVERGED)
    found = answers.answer([trial], LOSS, FIXED | {"training.epochs": 3}, LAUNCH)
    program, *words = shlex.split(found.command)
    assert program == "mlp-study" and words.pop(words.index("hydra.searchpath=[file:///there]"))
    spec = study.compose([*words, "replicates.count=2"])
    assert (spec.optimizer.name, spec.model.units, spec.data.name) == ("sgd", (4,), "iris")
    assert (spec.training.until, spec.training.epochs) == ("plateaued", 300)


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("mlp-study data=iris 'model.units=[4, 2]'", "study.train(study.compose(['data=iris', 'model.units=[4, 2]'])).labels"),
        ("mlp-study training.until=settled", "study.motion(study.train(study.compose(['training.until=settled'])))"),
        ("mlp-study hydra.searchpath=[x] seed=1", "mlp-study hydra.searchpath=[x] seed=1"),  # compose has no such path
    ],
)
def test_in_python_a_call_settles_it(command: str, call: str) -> None:
    assert answers.Answer("Not decided", command=command).in_python.endswith(f"To settle it, train longer: {call}")
    assert "To settle it" not in answers.Answer("Yes, bit for bit").in_python


@pytest.mark.parametrize(
    "more",
    [
        {"labels": {PLATEAUED: 8}},
        {"labels": {OSCILLATING: 8}, "verdict": verdict.NOT_CONVERGED},
        {"labels": {STUCK: 8}, "verdict": verdict.NOT_CONVERGED},
    ],
)
def test_where_training_longer_settles_nothing_there_is_no_command(more: dict) -> None:
    assert answers.answer([record(0, [0.5] * 8, **more)], LOSS, FIXED, LAUNCH).command == ""


@pytest.mark.parametrize("motion", [True, False])
def test_where_training_longer_was_tried_at_a_constant_rate_the_rate_falls(motion: bool) -> None:
    trial = record(0, [0.5] * 2, labels={IMPROVING: 2}, verdict=verdict.NOT_CONVERGED)
    settings = FIXED | {"training.epochs": 300, "training.until": "plateaued", "training.motion": motion, "schedule": "constant"}
    launch = f"mlp-study data=iris training.until=plateaued training.epochs=300 training.motion={str(motion).lower()}"
    found = answers.answer([trial], LOSS, settings, launch)
    spec = study.compose(shlex.split(found.command)[1:])
    assert found.how == answers.LOWERS_RATE and spec.schedule.name == "reduce_on_plateau"
    assert (spec.training.until, spec.training.epochs) == ("settled", 3000)


def test_one_class_is_said_once() -> None:
    for count, expected in ((1, "1 of 8 networks predicts one class only."), (8, "All 8 networks predict one class only.")):
        text = answers.answer([record(0, [0.5] * 8, labels={IMPROVING: 8}, one_class=count)], LOSS, FIXED).text
        assert expected in text and text.count("one class only") == 1


def test_no_command_beside_early_stopping_or_without_a_launch() -> None:
    trials = [record(0, [0.5] * 8, labels={IMPROVING: 8}, verdict=verdict.NOT_CONVERGED)]
    assert answers.answer(trials, LOSS, FIXED | {"training.patience": 5}, LAUNCH).command == ""
    assert answers.answer(trials, LOSS, FIXED, "").command == ""


@pytest.mark.long
def test_the_command_runs_and_settles_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = [
        "data=iris",
        "data.test_fraction=0",
        "model.units=[4]",
        "replicates.count=2",
        "training.epochs=20",
        "optimizer.learning_rate=0.01,0.02",
    ]
    assert run("--multirun", *tiny, "hydra.sweeper.study_name=tiny") == 0
    capsys.readouterr()
    assert run("show", "tiny", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["headline"] == "Too early to say: the training loss still falls (2 of 2 replicates)"
    assert run(*shlex.split(shown["command"])[1:]) == 0
    assert "Too early to say" not in capsys.readouterr().out


def test_a_single_trial_prints_the_command_that_would_settle_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal.out, "_width", 400)
    words = ["data=iris", "model.units=[4]", "replicates.count=2", "training.epochs=10", "optimizer.learning_rate=0.01"]
    for until, schedule in (("plateaued", "constant"), ("settled", "reduce_on_plateau")):
        assert run(*words, "training.motion=true", "tracking=none") == 0
        printed = capsys.readouterr().out
        [command] = [line for line in printed.splitlines() if line.startswith("  mlp-study data=iris")]
        words = shlex.split(command)[1:]
        words.remove("tracking=none")
        spec = study.compose(words)
        assert (spec.training.until, spec.schedule.name) == (until, schedule)
        # as far as a launch that didn't settle it
        words = [word if not word.startswith("training.epochs") else "training.epochs=10" for word in words]


# -- is the win real? -----------------------------------------------------------------------------------------------------------

NOISE = [0.0, 0.02, -0.01, 0.01, -0.02, 0.015, 0.0, -0.005]


def trials(*gaps: float, replicates: int = 8, **more: object) -> list[TrialRecord]:
    """Trial n is worse than trial 0 by the n-th gap, give or take a little."""
    base = np.array(NOISE[:replicates]) + 0.7
    return [
        record(number, (base + gap + number * 0.01 * np.roll(NOISE[:replicates], number)).tolist(), {"x": number}, **more)
        for number, gap in enumerate((0.0, *gaps))
    ]


def win(found: list[TrialRecord], objective: Objective = LOSS) -> str:
    return wins.win_text(found, wins.choice(found, objective), objective, FIXED)


def test_a_real_win_is_said_with_its_difference() -> None:
    assert win(trials(0.06, 0.1)).startswith(
        "The win is real: trial 0 is better than every other trial. The nearest one is trial 1: its validation loss minus that of "
        "trial 0 is 0.06"
    )
    assert "every other trial. Trial 1: its validation loss minus that of trial 0 is 0.06" in win(trials(0.06))
    assert "over 8 paired replicates that differ in init and order" in win(trials(0.06))


@pytest.mark.parametrize("replicates", [2, 3, 4])
def test_too_few_replicates_are_said_to_be_too_few(replicates: int) -> None:
    # 0.70057519 ± 0.00000005 against 0.75811233 ± 0.00000012
    text = win(trials(0.05753714, replicates=replicates))
    assert text.startswith(f"Too few replicates to decide whether trial 0 wins: {replicates} replicates, where at least 5")
    assert "better" not in text and "needed to tell" not in text


def test_a_study_of_one_setting_wins_by_the_comparisons_that_its_table_has() -> None:
    """Of one setting, all pairs are tabulated, and the intervals hold for all of them; of several settings, those with the best."""
    one, two = (
        [dataclasses.replace(each, params=each.params | more) for each in trials(0.05, 0.1, 0.15)] for more in ({}, {"y": 1})
    )
    for found, comparisons in ((one, 6), (two, 3)):
        choice = study_results.Findings("s", (LOSS,), FIXED, {}, found).choice
        assert choice == wins.choice(found, LOSS, comparisons=comparisons)


def test_a_study_without_a_race_counts_splits() -> None:
    choice = study_results.Findings("s", (LOSS,), FIXED | {"replicates.per_split": 2}, {}, trials(0.06)).choice
    text = wins.choice_text(choice, LOSS, ["init", "data"])
    assert text.startswith("Too few replicates to decide whether trial 0 wins: 4 splits, where at least 5")
    choice = wins.choice(trials(0.06, replicates=8), LOSS, per_split=1)
    assert "over 8 paired replicates that" in wins.choice_text(choice, LOSS, ["init"])


@pytest.mark.parametrize(("vary", "same"), [(["ulp"], "init and order"), (["order"], "init"), (["init", "data"], "order")])
def test_a_win_over_some_sources_alone_is_no_more_than_that(vary: list[str], same: str) -> None:
    found = trials(0.06)
    text = wins.win_text(found, wins.choice(found, LOSS), LOSS, FIXED | {"replicates.vary": vary})
    assert text.startswith(f"Trial 0 is better than every other trial with this {same}, which all replicates share")
    assert "real" not in text and "replicates.vary=[init,order]" in text


def test_near_ties_are_named_with_what_would_show_them() -> None:
    found = trials(0.00001, 0.1, 0.00002)
    text = win(found)
    assert text.startswith(
        "No winner yet: trial 0 has the best mean, but trials 1 and 3 may be as good. The nearest of these is trial 1"
    )
    choice = wins.choice(found, LOSS)
    assert choice and f"about {choice.differences[1].needed:,} replicates would show a difference of that size" in text


def test_equal_trials_do_not_differ_at_all() -> None:
    found = [record(number, [value + 0.7 for value in NOISE], {"x": number}) for number in range(2)]
    assert win(found).endswith("they don't differ at all.")


def test_copies_show_nothing() -> None:
    text = win(trials(0.06, distinct=1))
    assert text.startswith("Nothing can be said of a winner: the replicates are copies of one network") and "0.06" not in text
    assert "copies" in wins.finals_text(trials(0.06, distinct=1), LOSS)


@pytest.mark.parametrize(
    ("key", "values"),
    [("replicates.count", [5, 6]), ("replicates.first", [0, 8]), ("replicates.vary", ["[init]", "[order]"])],
)
def test_replicates_that_are_no_pairs_have_no_winner(key: str, values: list[Scalar]) -> None:
    found = [dataclasses.replace(each, params={key: value}) for each, value in zip(trials(0.06), values, strict=True)]
    assert wins.choice(found, LOSS) is None
    assert win(found) == f"No winner is named: trials differ in {key}, so that their replicates are no pairs."


def test_trials_that_did_not_complete_are_not_claimed_to_be_worse() -> None:
    pruned = TrialRecord(2, "pruned", {"x": 2}, [], None, "pruned after 10 epochs", None, {})
    assert "better than every other completed trial." in win([*trials(0.06), pruned])
    assert "better than every other trial." in win(trials(0.06))


def test_crossed_replicates_name_no_winner_and_say_why() -> None:
    blame = Blame("val loss", {"init": (1.0, 0.9, 1.0)}, (0.0, 0.0, 0.0), 1.0, None)
    assert win(trials(0.06, blame=[blame])) == "No winner is named: crossed replicates share seeds, and aren't independent."


@pytest.mark.parametrize(
    ("r2", "expected"),
    [
        ([-0.1] * 8, "On average no better than predicting the mean: R² is -0.100."),
        ([0.4] * 7 + [-9.0], "and above 0 in 7 of 8 replicates."),
        ([0.4] * 8, ""),
    ],
)
def test_no_better_than_the_mean(r2: list[float], expected: str) -> None:
    text = answers.answer([record(0, [0.5] * 8, scores={"r2": r2})], LOSS, FIXED).text
    assert expected in text and ("On average" in text) == bool(expected)


def test_what_is_searched_leaves_the_command_that_would_settle_it() -> None:
    launch = f"{LAUNCH} sampler=qmc pruner=median pruner.n_warmup_steps=5 'optimizer.momentum=tag(optimizer:sgd,choice(0.9))'"
    trial = record(0, [0.5] * 2, {"optimizer": "adam"}, labels={IMPROVING: 2}, verdict=verdict.NOT_CONVERGED)
    found = answers.answer([trial], LOSS, FIXED, launch, ("optimizer", "model.width", "optimizer.momentum"))
    assert "momentum" not in found.command and "optimizer=adam" in found.command
    assert "sampler" not in found.command and "pruner" not in found.command


@pytest.mark.parametrize(
    ("part", "objective", "expected"),
    [
        ("rows", LOSS, "No winner is named: trials are judged on different rows"),
        ("rows", R2, "No winner is named: trials are judged on different rows"),
        ("loss", LOSS, "No winner is named: the trials have no validation loss in common"),
        ("target", LOSS, "No winner is named: the trials have no validation loss in common"),
    ],
)
def test_trials_that_cannot_be_compared_have_no_winner(part: str, objective: Objective, expected: str) -> None:
    first, second = trials(0.06, scores={"r2": [0.5] * 8})
    assert second.summary
    other = dataclasses.replace(second, summary=dataclasses.replace(second.summary, judged_by=JUDGED | {part: "another"}))
    assert wins.choice([first, other], objective) is None and win([first, other], objective).startswith(expected)
    assert "best trial" not in answers.answer([first, other], objective, FIXED).text
    if part != "rows":
        assert wins.choice([first, other], R2) is not None


@pytest.mark.parametrize("key", ["loss", "seed", "data", "data.target", "data.normalise_target", "data.validation_fraction"])
def test_records_of_earlier_versions_are_compared_by_their_settings(key: str) -> None:
    old = [dataclasses.replace(each, params={key: n}) for n, each in enumerate(trials(0.06, judged_by={}))]
    assert wins.choice(old, LOSS) is None
    assert wins.choice([dataclasses.replace(each, params={"model.width": n}) for n, each in enumerate(old)], LOSS)
