"""A study's answer from its winner trained on until it rests, and the claims that a star of trials puts to the test."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import study
from study import sqlite
from study.analysis import motion, verdict
from study.analysis.convergence import DIVERGED, IMPROVING, OSCILLATING, PLATEAUED, SLOW, STUCK, UNDECIDED
from study.data import dataset
from study.records.arrays import Scalar
from study.records.outcome import MotionSummary, Onward, Standing, Summary
from study.records.trial import TrialRecord
from study.reporting import answers, claims, headlines, reference_values, star, study_results, terminal
from study.reporting.pages import motion_section, page, study_page
from study.runner import onward as onwards
from study.settings import spec as specs
from study.settings.values import Value
from study.statistics import rounds
from study.tracking import reader, store
from tests.command import forget, ran, run, runs_of
from tests.test_answers import FIXED, LOSS, summary

DRIFTS, STAYS, RESTS, SLOWS = motion.DRIFTING, motion.CONFINED, motion.SETTLED, motion.SLOWING
UNCLEAR = motion.UNDECIDED
NUMBERS = {"wander": 0.06, "wobble": 0.4, "trend": 0.95, "function_trend": 0.02, "correlation": -0.4, "function_correlation": -0.5}
NUMBERS |= {"advance": 0.23, "pace": 1.2}


def moved(weights: Sequence[str], function: Sequence[str], held: bool = False, **numbers: float) -> MotionSummary:
    lists: dict[str, list[float | None]] = {name: [value] * len(weights) for name, value in (NUMBERS | numbers).items()}
    return MotionSummary(list(weights), list(function), [held] * len(weights), lists)


def trained_on(moved_so: MotionSummary, name: str, labels: Mapping[str, int]) -> Onward:
    count = len(moved_so.weights)
    its = summary([0.5] * count, verdict=name, labels=dict(labels), motion=moved_so)
    return Onward(1_000, [700, *[1_000] * (count - 1)], [10] * count, 0.4, its)


# -- the headline --------------------------------------------------------------------------------------------------------------

HEADLINES = [
    (
        moved([DRIFTS] * 8, [STAYS] * 8),
        verdict.NOT_CONVERGED,
        {IMPROVING: 8},
        "No: the weights of all 8 networks keep moving, while",
    ),
    (
        moved([DRIFTS] * 8, [RESTS] * 8),
        verdict.SAME_FUNCTION,
        {PLATEAUED: 8},
        "come to rest, the same in all runs",
    ),
    (
        moved([DRIFTS] * 7 + [STAYS], [STAYS] * 8),
        verdict.SAME_LOSS,
        {UNDECIDED: 8},
        "7 of 8 networks keep moving, while the functions of all 8",
    ),
    (
        moved([RESTS] * 8, [RESTS] * 8),
        verdict.SAME_LOSS,
        {PLATEAUED: 8},
        "One loss, different functions",
    ),
    (
        moved([SLOWS] * 8, [RESTS] * 8, held=True),
        verdict.SAME_LOSS,
        {PLATEAUED: 8},
        "different functions, each run held by its learning rate",
    ),
    (
        moved([RESTS] * 8, [RESTS] * 8),
        verdict.SAME_WEIGHTS,
        {PLATEAUED: 8},
        "Yes, bit for bit",
    ),
    (
        moved([RESTS] * 6 + [DRIFTS] * 2, [RESTS] * 8),
        verdict.NOT_CONVERGED,
        {PLATEAUED: 6, IMPROVING: 2},
        "6 of 8 networks come to rest",
    ),
    (
        moved([RESTS] * 8, [RESTS] * 8),
        verdict.NOT_CONVERGED,
        {UNDECIDED: 7, IMPROVING: 1},
        "Not decided: all 8 networks come to rest, but by training loss not all have plateaued",
    ),
    (
        moved([DRIFTS] * 8, [DRIFTS] * 8),
        verdict.NOT_CONVERGED,
        {IMPROVING: 8},
        "No: weights and functions of all 8 networks still move after 1,000",
    ),
    (
        moved([motion.WANDERING] * 8, [UNCLEAR] * 5 + [STAYS] * 3),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "No: the weights of all 8 networks still move after 1,000 epochs; the functions of 5 show no clear motion",
    ),
    (
        moved([DRIFTS] * 8, [DRIFTS] * 5 + [STAYS] * 3),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "No: the weights of all 8 networks still move after 1,000 epochs; so do the functions of 5",
    ),
    (
        moved([RESTS] * 8, [DRIFTS] * 8),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "No: the functions of all 8 networks still move after 1,000 epochs",
    ),
    (
        moved([RESTS] * 8, [UNCLEAR] * 8),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "Not decided: the weights of all 8 networks rest; the motion of 8 functions is unclear",
    ),
    (
        moved([motion.UNMOVED] * 8, [RESTS] * 8),
        verdict.NOT_CONVERGED,
        {PLATEAUED: 8},
        "Not decided: the weights of 0 of 8 networks are seen to move after 1,000 epochs, those of 0 to rest",
    ),
    (
        moved([DRIFTS] * 8, [RESTS] * 8),
        verdict.NOT_CONVERGED,
        {IMPROVING: 8},
        "No: the weights of all 8 networks keep moving, while the functions of all 8 hardly change",
    ),
    (
        moved([DRIFTS] * 8, [UNCLEAR] + [STAYS] * 3 + [motion.UNMOVED] * 4),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "No: the weights of all 8 networks still move after 1,000 epochs; the functions of 5 show no clear motion",
    ),
    (
        moved([motion.OSCILLATING] * 8, [motion.OSCILLATING] * 8),
        verdict.NOT_CONVERGED,
        {OSCILLATING: 8},
        "No: training goes back and forth",
    ),
]


@pytest.mark.parametrize(("motions", "name", "labels", "expected"), HEADLINES)
def test_a_winner_trained_on_answers_the_title(motions: MotionSummary, name: str, labels: dict[str, int], expected: str) -> None:
    onward = trained_on(motions, name, labels)
    headline = headlines.of_onward(onward)
    assert expected in headline and "early" not in headline
    best = TrialRecord(3, "complete", {"optimizer.learning_rate": 0.1}, [0.5], summary([0.5] * 12, onward=onward), None, None, {})
    answer = answers.answer(
        [best], LOSS, FIXED, "mlp-study --multirun optimizer.learning_rate=0.1,0.2", ["optimizer.learning_rate"]
    )
    assert answer.headline == headline and answer.evidence and answer.evidence.replicates == 8
    assert answer.text.startswith("The first 8 of the 12 replicates of the best trial, trial 3 (learning_rate 0.100), which differ")
    assert "at most: for 700 to 1,000 epochs. They are" in answer.text
    assert "(at its lowest 0.400, after 10 epochs)" in answer.text
    each = zip(motions.weights, motions.function, motions.held, strict=True)
    resting = all(motion.rests(weights, held) and motion.rests(function, held) for weights, function, held in each)
    drift = sum(motion.moves(label, held) for label, held in zip(motions.weights, motions.held, strict=True)) > 4
    moving = not resting and (drift or not {IMPROVING, UNDECIDED}.isdisjoint(labels))
    assert bool(answer.command) == moving
    if moving:
        study.compose([word for word in answer.command.split()[1:] if word != "data=table"])


@pytest.mark.parametrize(
    ("schedule", "launch", "how"),
    [
        ("constant", "mlp-study", answers.LOWERS_RATE),
        ("constant", "mlp-study schedule.warmup=0.1", answers.TRAINS_LONGER),
        ("cosine", "mlp-study", answers.TRAINS_LONGER),
    ],
)
def test_weights_that_a_constant_rate_keeps_moving_need_a_falling_one(schedule: str, launch: str, how: str) -> None:
    onward = trained_on(moved([DRIFTS] * 8, [RESTS] * 8), verdict.NOT_CONVERGED, {IMPROVING: 8})
    best = TrialRecord(3, "complete", {}, [0.5], summary([0.5] * 12, onward=onward), None, None, {})
    answer = answers.answer([best], LOSS, FIXED | {"schedule": schedule}, launch)
    spec = study.compose(answer.command.split()[1:])
    assert f"To settle it, {how}: mlp-study" in str(answer)
    assert (spec.training.until, spec.training.epochs) == ("settled", 10_000)
    assert (spec.schedule.name == "reduce_on_plateau") == (how == answers.LOWERS_RATE)


@pytest.mark.parametrize(("motions", "name", "labels", "expected"), HEADLINES)
def test_a_trial_trained_until_it_rests_answers_as_a_winner_trained_on(
    motions: MotionSummary, name: str, labels: dict[str, int], expected: str
) -> None:
    count = len(motions.weights)
    its = summary([0.5] * count, verdict=name, labels=labels, motion=motions, until_rest=[700, *[1_000] * (count - 1)])
    assert headlines.headline(its) == headlines.of_onward(trained_on(motions, name, labels))
    found = answers.answer([TrialRecord(0, "complete", {}, [0.5], its, None, None, {})], LOSS, FIXED, "mlp-study")
    assert found.headline == headlines.headline(its)
    assert ("training.until=settled" in found.command) == bool(found.command)
    if name == verdict.NOT_CONVERGED:
        alone = dataclasses.replace(its, until_rest=[])
        assert headlines.headline(alone) != headlines.headline(its), "any other trial is judged by its loss"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ([RESTS] * 8, "Too early to say: the training loss still falls (3 of 8"),
        ([RESTS] * 7 + [DRIFTS], "Not decided: the training loss doesn't show yet whether it still falls (5 of 8"),
    ],
)
def test_the_headline_names_what_the_verdict_rests_on(function: list[str], expected: str) -> None:
    found = summary(
        [0.5] * 8, verdict=verdict.NOT_CONVERGED, labels={UNDECIDED: 5, IMPROVING: 3}, motion=moved([DRIFTS] * 8, function)
    )
    assert headlines.headline(found).startswith(expected)


@pytest.mark.parametrize(
    ("kinds", "text", "expected"),
    [
        ({motion.BOUNCING: 8}, "8 diverged (back and forth)", "No: training diverges, going back and forth from epoch to epoch"),
        ({motion.GROWN: 8}, "8 diverged (loss grew)", "No: training diverges, with a loss that has grown (8"),
        ({motion.NOT_FINITE: 8}, "8 diverged (not finite)", "No: training diverges, to numbers that aren't finite (8"),
        ({motion.BOUNCING: 5, motion.GROWN: 3}, "8 diverged (5 back and forth, 3 loss grew)", "No: training diverges (8"),
        ({}, "8 diverged", "No: training diverges (8"),
    ],
)
def test_how_networks_diverged_is_said(kinds: dict[str, int], text: str, expected: str) -> None:
    told = summary([9.0] * 8, verdict=verdict.NOT_CONVERGED, labels={DIVERGED: 8}, kinds={DIVERGED: kinds} if kinds else {})
    assert told.labels_text == text and headlines.headline(told).startswith(expected)
    assert Summary.of_plain(dataclasses.asdict(told)) == told
    assert rounds.joined([told, told]).kinds.get(DIVERGED, {}) == {kind: 2 * count for kind, count in kinds.items()}


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (
            Standing([1e-4] * 4, [-0.02] * 4, 1, 3, [1.98] * 4),
            "Of the 4 whose curvature was measured, 1 is at a stationary point, where the gradient is almost zero; 3 on a saddle, "
            "where it is too and the loss curves down. Medians over these 4: a step along the gradient would gain at least "
            "0.000100 of the trivial loss; the smallest curvature over the largest is -0.0200; the largest times the learning rate "
            "is 1.98 (2 is the edge of stability).",
        ),
        (
            Standing([1e-4] * 4, [0.0] * 4, 4, 0, None),
            "all 4 are at a stationary point, where the gradient is almost zero. Medians",
        ),
        (Standing([1e-4] * 2, [-0.1] * 2, 0, 2, None), "Of the 2 whose curvature was measured, both are on a saddle"),
        (
            Standing([0.06] * 4, [-0.137] * 4, 0, 0, None),
            "Of the 4 whose curvature was measured, none is at a stationary point or on a saddle. Medians over these 4: a "
            "step along the gradient would gain at least 0.0600",
        ),
        (Standing([0.06], [0.0], 1, 0, None), "The one whose curvature was measured is at a stationary point, where"),
    ],
)
def test_where_networks_end_is_said_with_the_edge_of_stability(standing: Standing, expected: str) -> None:
    onward = trained_on(moved([DRIFTS] * 4, [STAYS] * 4), verdict.SAME_LOSS, {UNDECIDED: 4})
    placed = dataclasses.replace(onward, standing=standing)
    assert onward.summary
    text = " ".join(headlines.moved_sentences(onward.summary, placed, classifies=False))
    assert expected in text and " 0 " not in text
    whole = summary([0.5] * 4, onward=placed)
    assert Summary.of_plain(dataclasses.asdict(whole)) == whole


def test_two_networks_are_both_and_one_is_singular() -> None:
    both = trained_on(moved([DRIFTS] * 2, [STAYS, UNCLEAR]), verdict.NOT_CONVERGED, {UNDECIDED: 2})
    assert headlines.of_onward(both) == (
        "No: the weights of both networks still move after 1,000 epochs; the function of 1 shows no clear motion"
    )
    one = trained_on(moved([DRIFTS] * 2, [STAYS, DRIFTS]), verdict.NOT_CONVERGED, {UNDECIDED: 2})
    assert headlines.of_onward(one).endswith("after 1,000 epochs; so does the function of 1")


def test_what_holds_the_runs_stands_beside_their_rest() -> None:
    held = trained_on(moved([SLOWS] * 2, [RESTS] * 2, held=True), verdict.UNDECIDED, {PLATEAUED: 2})
    assert headlines.of_onward(held) == (
        "Each run comes to rest, held by its learning rate; whether all of them do so at the same point isn't decided"
    )


def test_a_winner_that_diverges_when_it_goes_on_says_so() -> None:
    onward = Onward(1_000, [40] * 8, [10] * 8, 0.4, None, "diverged: 1 of 8 replicates, replicate 2 not finite in epoch 31")
    assert headlines.of_onward(onward).startswith("No: training diverges when it goes on (diverged: 1 of 8")


def test_records_of_networks_trained_on_survive_json() -> None:
    onward = trained_on(moved([DRIFTS] * 4, [STAYS] * 4), verdict.SAME_LOSS, {UNDECIDED: 4})
    whole = summary([0.5] * 4, onward=onward, motion=moved([RESTS] * 4, [RESTS] * 4))
    assert Summary.of_plain(dataclasses.asdict(whole)) == whole


# -- training on ---------------------------------------------------------------------------------------------------------------


def test_the_bound_is_of_work_and_not_of_time() -> None:
    small = study.compose(["data=diabetes", "training.patience=5", "replicates.count=12"])
    data = dataset.load_data(small)
    on = onwards.bounded(small, data)
    assert (on.training.epochs, on.training.until, on.training.patience, on.replicates.count) == (1_000, "settled", None, 8)
    wide = study.compose(["data=diabetes", "model.units=[2048,2048]", "replicates.count=4"])
    assert 100 <= onwards.bounded(wide, data).training.epochs < 1_000 and onwards.bounded(wide, data).replicates.count == 4


@pytest.mark.long
def test_a_study_trains_its_winner_on(tmp_path: Path) -> None:
    """Its first epochs are those of the winner, its files are kept, and nobody's early stopping counts there."""
    rates = "optimizer.learning_rate=0.02,0.1"
    settings = [
        "data=iris",
        "model.units=[4]",
        "training.epochs=15",
        "hydra.sweeper.study_name=tiny",
        "hydra.sweeper.baselines=false",
    ]
    ran(tmp_path, "--multirun", rates, *settings)
    forget()
    findings = study_results.read(sqlite.url_of(tmp_path / "optuna.db"), "tiny")
    best = findings.best
    assert best and best.summary and best.summary.onward and best.run_id
    onward = best.summary.onward
    assert onward.standing and len(onward.standing.gradient) == 4
    assert onward.most == 150 and max(onward.trained) <= 150 and onward.summary and onward.summary.motion
    assert findings.answer.headline == headlines.of_onward(onward)
    kept = reader.load_trial(store.existing(sqlite.url_of(tmp_path / "mlflow.db")), best.run_id, motion=True)
    assert kept.onward and kept.onward.trajectory and kept.onward.numbers == kept.numbers[: len(kept.onward.numbers)]
    assert kept.onward.trained == onward.trained
    for first, further in zip(kept.train_loss, kept.onward.train_loss, strict=False):
        epochs = int(np.isfinite(first).sum())
        assert np.array_equal(first[:epochs], further[:epochs])


@pytest.mark.long
def test_what_is_slow_and_not_stuck_is_so_wherever_it_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["data=diabetes", "optimizer=sgd", "model.units=[8]", "training.epochs=60", "replicates.count=2"]
    assert study.train(study.compose([*settings, "optimizer.learning_rate=3e-5"])).labels == (SLOW, SLOW)
    own = ["hydra.sweeper.study_name=tiny", "hydra.sweeper.decide=false"]
    folder = ran(tmp_path, "--multirun", "optimizer.learning_rate=3e-5,6e-5", *settings, *own)
    printed = capsys.readouterr().out
    assert "2 slow" in printed and "stuck" not in printed
    assert "Too early to say: the weights are on their way in a straight line" in printed
    forget()
    storage, uri = (sqlite.url_of(folder / name) for name in ("optuna.db", "mlflow.db"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        opened = study.open("tiny")
        assert opened.trials["labels"].tolist() == ["2 slow"] * 2 and set(opened.replicates["label"]) == {SLOW}
        trials, replicates = (runs_of(kind) for kind in ("trial", "replicate"))
        assert {run.data.tags["convergence"] for run in trials} == {"2 slow"}
        assert {run.data.tags["convergence"] for run in replicates} == {SLOW}
        assert run("show", "tiny/0/1") == 0 and run("show", "tiny/0") == 0
    shown = capsys.readouterr().out
    assert "tiny/0/1: slow" in shown and "2 slow" in shown and "stuck" not in shown
    findings = study_results.read(storage, "tiny")
    content = page.render(study_page.build(findings, study_results.networks(findings, uri)))
    assert "2 slow" in content and "stuck" not in content.replace(dict(study_page.GLOSSARY)["convergence"], "")


# -- claims --------------------------------------------------------------------------------------------------------------------


def trial(number: int, motions: MotionSummary | None, labels: Mapping[str, int], **params: Scalar) -> TrialRecord:
    settings: dict[str, Scalar] = {"optimizer.learning_rate": 0.1, "schedule": "constant", "model.l2": 0.0}
    settings |= {"training.batch_size": 32} | {key.replace("__", "."): value for key, value in params.items()}
    its = summary([0.5] * 8, labels=dict(labels), motion=motions)
    return TrialRecord(number, "complete", settings, [0.5], its, None, None, {})


CENTRE = trial(0, moved([DRIFTS] * 8, [STAYS] * 8), {IMPROVING: 8})
LARGE = trial(
    1, moved([motion.OSCILLATING] * 8, [motion.OSCILLATING] * 8, correlation=-1.0), {"diverged": 8}, optimizer__learning_rate=1.0
)
SMALL = trial(2, moved([DRIFTS] * 8, [RESTS] * 8, correlation=1.0), {SLOW: 8}, optimizer__learning_rate=1e-4)
FALLING = trial(3, moved([SLOWS] * 8, [RESTS] * 8, held=True, wander=0.004), {IMPROVING: 8}, schedule="cosine")
DECAYED = trial(4, moved([DRIFTS] * 8, [STAYS] * 8), {IMPROVING: 8}, model__l2=0.001)


BATCHES = trial(6, moved([DRIFTS] * 8, [STAYS] * 8), {IMPROVING: 8}, training__batch_size=64)


def replace_params(record: TrialRecord, schedule: str | None) -> TrialRecord:
    """A trial with this schedule, or in a study that searches none."""
    others = {key: value for key, value in record.params.items() if key != "schedule"}
    return dataclasses.replace(record, params=others | ({"schedule": schedule} if schedule else {}))


def test_claims_of_a_star() -> None:
    found = star.star([CENTRE, LARGE, SMALL, FALLING, DECAYED])
    assert found and found.centre is CENTRE
    told = {claim.text.split()[0]: claim.verdict for claim in claims.claims(found)}
    assert [claim.verdict for claim in claims.claims(found)] == [
        "holds",
        "half true",
        "holds",
        "fails",
        "half true",
        "holds",
    ], told
    assert len(star.table(found, {}).rows) == 5
    assert star.at_rest_text(found) == (
        "Weights and function come to rest with cosine (8 of 8 networks, held by a learning rate that has fallen)."
    )
    assert "With none of the other settings" in star.at_rest_text(star.Star(CENTRE, [("model.l2", DECAYED)]))


@pytest.mark.parametrize(
    ("labels", "weights", "expected"),
    [
        ({"diverged": 5, OSCILLATING: 0, PLATEAUED: 3}, [DRIFTS] * 8, "holds"),
        ({"diverged": 3, OSCILLATING: 3, PLATEAUED: 2}, [DRIFTS] * 8, "holds"),
        ({"diverged": 2, OSCILLATING: 2, PLATEAUED: 4}, [DRIFTS] * 8, "fails"),
        ({IMPROVING: 8}, [motion.OSCILLATING] * 8, "holds"),
    ],
)
def test_too_large_a_rate_may_show_in_the_loss_or_in_the_weights(labels: dict[str, int], weights: list[str], expected: str) -> None:
    large = trial(1, moved(weights, [STAYS] * 8), labels, optimizer__learning_rate=1.0)
    found = star.star([CENTRE, large, SMALL, FALLING, DECAYED])
    assert found
    [claim] = [claim for claim in claims.claims(found) if claim.text.startswith("Too large")]
    assert claim.verdict == expected


def test_claims_count_in_words() -> None:
    few = dict.fromkeys(("weights", "function"), [DRIFTS] * 2)
    centre = trial(0, moved(few["weights"], [UNCLEAR, DRIFTS]), {IMPROVING: 2})
    large = trial(1, moved(**few), {DIVERGED: 1, OSCILLATING: 1}, optimizer__learning_rate=1.0)
    small = trial(2, moved(**few), {STUCK: 1, IMPROVING: 1}, optimizer__learning_rate=1e-4)
    plateau = trial(7, moved([RESTS, DRIFTS], [RESTS] * 2), {PLATEAUED: 2}, schedule="reduce_on_plateau")
    records = [centre, large, small, FALLING, plateau, DECAYED]
    for index, record in enumerate(records):
        assert record.summary
        two = dataclasses.replace(record.summary, val_losses=[0.5] * 2, relative_losses=[0.5] * 2)
        records[index] = dataclasses.replace(record, summary=two)
    found = star.star(records)
    assert found
    text = claims.text(claims.claims(found))
    assert "; 1 function shows no clear motion" in text
    assert "1 of 2 networks diverges, the loss of 1 oscillates, the weights of 0 go back and forth" in text
    assert "1 of 2 networks is stuck (1 stuck, 1 still improving); successive" in text
    assert "1 of 2 networks comes to rest; the training loss ends" in text


def test_networks_that_learned_nothing_have_found_no_solution() -> None:
    assert CENTRE.summary
    for loss, expected in ((1.2, "not decided"), (0.5, "holds")):
        centre = dataclasses.replace(CENTRE, summary=dataclasses.replace(CENTRE.summary, relative_losses=[loss] * 8))
        found = star.star([centre, LARGE, SMALL, FALLING, DECAYED])
        assert found
        claim = claims.claims(found)[-1]
        assert claim.verdict == expected and ("have found none" in claim.why) == (loss > 1)


def test_a_trial_that_ended_otherwise_than_by_diverging_tests_no_claim() -> None:
    other = dataclasses.replace(LARGE, state="failed", values=None, summary=None)
    for reason, count in (("diverged: 8 of 8 replicates, replicate 0 not finite in epoch 1", 1), ("out of memory", 0), (None, 0)):
        found = star.star([CENTRE, dataclasses.replace(other, reason=reason), SMALL, FALLING, DECAYED])
        assert found
        assert sum(claim.text.startswith("Too large") for claim in claims.claims(found)) == count


# the fixed settings of `+experiment=convergence`
FIXED_NOISE: dict[str, Value] = {**reference_values.COMMON, **reference_values.NOISE}


def test_references_stand_below_the_trials_whose_setting_they_are_of() -> None:
    found = star.star([CENTRE, LARGE, SMALL, FALLING, DECAYED, BATCHES])
    assert found
    rows = star.table(found, FIXED_NOISE).rows
    with_reference = [row[0] for row, following in itertools.pairwise([*rows, ("",)]) if following[0] == star.REFERENCE]
    assert with_reference == ["constant rate 0.1", "rate 1", "rate 0.0001", "cosine", "l2 0.00100"]
    assert rows[1] == (
        star.REFERENCE,
        "16 still improving",
        "16 drifting",
        "16 confined",
        *["0.0630", "0.950", "-0.410", "0.418", "-0.510", "0.603"],
    )
    other = FIXED_NOISE | {"training.epochs": 400}
    assert star.REFERENCE not in [row[0] for row in star.table(found, other).rows]


@pytest.mark.parametrize("task", ["", "_diabetes", "_digits"])
def test_each_experiment_has_its_reference(task: str) -> None:
    settings = specs.flat(study.compose([f"+experiment=convergence{task}"]))
    known = [reference_values.of({**settings, "schedule": schedule}) for schedule in ("constant", "cosine")]
    assert [bool(reference) for reference in known] == {"": [True, True], "_diabetes": [False, True], "_digits": [True, False]}[
        task
    ]


def test_a_star_answers_by_its_centre_before_its_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "_width", 80)
    records = [CENTRE, LARGE, SMALL, dataclasses.replace(FALLING, values=[0.1]), DECAYED]
    found = study_results.Findings("s", (LOSS,), FIXED | FIXED_NOISE, {"schedule": "choice(constant, cosine)"}, records)
    assert found.best is not CENTRE and found.answer.evidence and found.answer.evidence.trial == 0
    terminal.show_findings(found)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(line.strip() for line in lines[:2]) == (
        "No: the weights of all 8 networks keep moving, while the functions of all 8 stay around one point, another one in each "
        "run (constant learning rate 0.1)."
    )
    order = [
        next(index for index, line in enumerate(lines) if text in line) for text in ("loss label", "wander", "“At a", "val loss")
    ]
    assert order == sorted(order) and "early" not in "".join(lines)
    assert "Weights and function come to rest with cosine (8 of 8 networks" in lines[2]
    assert not any("too narrow" in line for line in lines[: order[-1]]), "the star fits 80 columns"


@pytest.mark.long
def test_a_study_of_motion_answers_alike_wherever_it_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data.rows=80", "model.units=[8]", "training.epochs=24", "replicates.count=6", "hydra.sweeper.study_name=tiny"]
    # the centre isn't among the trials that are drawn, so that its motion must be read besides
    with pytest.MonkeyPatch.context() as there:
        there.setattr(study_results, "MOST_SHOWN", 1)
        folder = ran(tmp_path, "--multirun", "+experiment=convergence", *small)
        forget()
        storage, uri = (sqlite.url_of(folder / name) for name in ("optuna.db", "mlflow.db"))
        findings = study_results.read(storage, "tiny")
        networks = study_results.networks(findings, uri)
        there.chdir(folder)
        capsys.readouterr()
        assert run("show", "tiny") == 0
        lines = capsys.readouterr().out
        assert run("show", "tiny", "--json") == 0
        plain = json.loads(capsys.readouterr().out)
        answer = study.open("tiny").answer
        [of_study] = runs_of("study")
    assert findings.star and findings.answer.headline.endswith("(constant learning rate 0.1)")
    assert lines.startswith(findings.answer.headline) and plain["headline"] == findings.answer.headline
    assert answer == str(findings.answer) == of_study.data.tags["answer"]
    assert [claim["verdict"] for claim in plain["claims"]] == [claim.verdict for claim in claims.claims(findings.star)]
    assert networks.centre and networks.centre.record.number == 0 and networks.centre.kept.trajectory
    built = study_page.build(findings, networks)
    [moving] = [section for section in built.sections if section.title == "Motion at the end of training"]
    assert findings.star.summary.motion and motion_section.sentence(findings.star.summary.motion) in moving.texts
    assert built.sections[0].title == "Does a network come to rest?" and built.headline == f"{findings.answer.headline}."


def test_claims_follow_the_numbers() -> None:
    still = trial(0, moved([RESTS] * 8, [RESTS] * 8), {PLATEAUED: 8})
    stuck = trial(2, moved([motion.UNMOVED] * 8, [RESTS] * 8), {"stuck": 8}, optimizer__learning_rate=1e-4)
    tame = trial(1, moved([STAYS] * 8, [STAYS] * 8), {PLATEAUED: 8}, optimizer__learning_rate=1.0)
    arrived = trial(3, moved([RESTS] * 8, [RESTS] * 8, wander=1e-4, pace=0.1), {PLATEAUED: 8}, schedule="cosine")
    found = star.star([still, tame, stuck, arrived, DECAYED])
    assert found
    assert [claim.verdict for claim in claims.claims(found)] == ["fails", "holds", "fails", "holds", "holds", "holds"]


@pytest.mark.parametrize(
    "records",
    [
        [CENTRE, LARGE, SMALL],  # one setting differs: no star
        [CENTRE, LARGE, FALLING, trial(5, moved([DRIFTS] * 8, [STAYS] * 8), {}, schedule="cosine", model__l2=0.1)],
        [trial(0, None, {PLATEAUED: 8}), LARGE, SMALL, FALLING, DECAYED],
        [],
        [replace_params(record, schedule="cosine") for record in (CENTRE, LARGE, DECAYED, BATCHES)],
        [replace_params(record, schedule=None) for record in (CENTRE, LARGE, DECAYED, BATCHES)],
    ],
    ids=["one setting", "two differ", "not followed", "nothing", "a falling rate", "no schedules"],
)
def test_other_trials_are_no_star(records: Sequence[TrialRecord]) -> None:
    assert star.star(records) is None
