"""The words and the chart of a race: every sentence follows from the claims, and none contradicts another."""

from __future__ import annotations

import dataclasses
import html
import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from study.records import outcome
from study.reporting import decisions, on_test, study_cell
from study.reporting.pages import study_page
from study.reporting.pages.charts import races
from study.runner.dry_run import _race_text
from study.statistics import race
from study.statistics.objectives import MAXIMIZE, Objective
from study.statistics.race import Claim, Decision, Rules
from tests.pages import findings, networks, summary, trials

LOSS, ACCURACY = Objective(), Objective("accuracy", MAXIMIZE)
KINDS = (race.BETTER, race.EQUIVALENT, race.NOT_WORSE, race.UNDECIDED)


def decision(kinds: Sequence[str], reason: str = race.DECIDED, **more: object) -> Decision:
    """Trial 0 leads, and trials 1, 2, … follow."""
    claims = {
        number: Claim(kind, 0.1 * number, 0.01, 0.1 * number - 0.05, 0.1 * number + 0.05, 0.1, 8)
        for number, kind in enumerate(kinds, 1)
    }
    used = dict.fromkeys(range(len(kinds) + 1), 8)
    return dataclasses.replace(Decision(0, 0.02, 0.02, used, {}, reason, {}, claims, 0, 0.5), **more)  # type: ignore[arg-type]


def judged(*gaps: tuple[float, float, float]) -> outcome.Tested:
    scores = [outcome.TestScore(f"model{number}", (0.5, 0.4, 0.6), [], [], None, gap) for number, gap in enumerate(gaps)]
    return outcome.Tested(
        88, 8, 0.55, (0.05, 0.01, 0.09), [outcome.TestScore("ensemble", (0.5, 0.4, 0.6), [], [], None, None), *scores]
    )


@pytest.mark.parametrize("kinds", itertools.product(KINDS, repeat=2))
def test_the_text_makes_each_claim_of_its_own_trials_alone(kinds: tuple[str, str]) -> None:
    decided = race.UNDECIDED not in kinds
    state = decision(kinds, race.DECIDED if decided else race.CAPPED)
    text = decisions.text(state, trials(3), LOSS, Rules(), spread="seeds and splits")
    assert "1.0 SD of a setting's validation loss over seeds and splits" in text
    clauses = text.partition(" is ")[2].partition(". ")[0].split("; ")
    assert len(clauses) == len(set(kinds))
    for number, kind in enumerate(kinds, 1):
        [clause] = [clause for clause in clauses if clause.startswith(kind if kind != race.UNDECIDED else "not yet separated")]
        assert str(number) in clause
        assert ("trials" in clause) == (kinds.count(kind) == 2)
    headline = decisions.headline(state)
    assert headline.startswith("Decided" if decided else "Undecided")
    assert ("better than every other" in headline) == (set(kinds) == {race.BETTER})
    assert ("may" in text) == (not decided)


@pytest.mark.parametrize(("low", "kind"), [(0.01, race.NOT_WORSE), (-0.01, race.NOT_WORSE), (0.01, race.BETTER)])
def test_an_interval_without_zero_that_does_not_show_a_win_is_explained(low: float, kind: str) -> None:
    state = decision([kind])
    state = dataclasses.replace(state, claims={1: dataclasses.replace(state.claims[1], low=low)})
    explained = "that isn't enough to call the winner better" in decisions.text(state, trials(2), LOSS, Rules())
    assert explained == (low > 0 and kind != race.BETTER)


def test_a_leader_with_too_few_replicates_is_no_reason_to_suspect_a_rival() -> None:
    headline = decisions.headline(decision([race.NOT_WORSE], race.CAPPED))
    assert headline.startswith("Undecided") and "another trial" not in headline


def test_a_cheaper_equivalent_is_named_with_its_cost() -> None:
    records = trials(3)
    records[2] = dataclasses.replace(records[2], summary=summary(0.5, parameters=17))
    state = decision([race.BETTER, race.EQUIVALENT], cheapest=2)
    assert "trial 2" in decisions.headline(state) and "17 weights" in decisions.text(state, records, LOSS, Rules())


def test_an_equivalent_of_the_same_cost_is_not_called_cheaper() -> None:
    records = [
        dataclasses.replace(record, summary=summary(loss, 64)) for record, loss in zip(trials(2), (0.5, 0.4999), strict=True)
    ]
    state = decisions.decide(records, LOSS, Rules(), 2)
    assert state and state.claims[0].kind == race.EQUIVALENT and (state.winner, state.cheapest) == (1, 1)


def test_a_higher_score_is_better() -> None:
    value, low, high = decisions.difference(decision([race.BETTER]).claims[1], ACCURACY)
    assert (value, low, high) == (-0.1, pytest.approx(-0.15), pytest.approx(-0.05))
    rounding = dataclasses.replace(decision([race.EQUIVALENT]).claims[1], difference=7e-18)
    assert decisions.difference(rounding, ACCURACY)[0] == 0


@pytest.mark.parametrize(
    ("gaps", "better", "worse", "open_"),
    [
        ([(-0.1, -0.2, -0.01)], [0], [], []),
        ([(-0.1, -0.2, 0.01)], [], [], [0]),
        ([(0.1, 0.01, 0.2), (0.1, -0.01, 0.2), (0.2, 0.1, 0.3)], [], [0, 2], [1]),
        ([], [], [], []),
    ],
)
def test_a_baseline_is_called_what_its_interval_shows(
    gaps: list[tuple[float, float, float]], better: list[int], worse: list[int], open_: list[int]
) -> None:
    models = judged(*gaps)
    text = on_test.text(models, [], None)
    for numbers, standing in (
        (better, "better;"),
        (better, "better."),
        (worse, "worse"),
        (open_, "not shown to be better or worse"),
    ):
        verb = "is" if len(numbers) == 1 else "are"
        names = " and ".join(f"model{number}" for number in numbers)
        assert not numbers or f"{names} {verb} {standing.rstrip(';.')}" in text
    assert ("Of the baselines" in text) == bool(gaps)
    headline = decisions.headline(decision([race.BETTER]), models)
    assert headline.startswith("Model0 has a lower loss") == bool(better)


def test_each_figure_of_the_test_part_stands_in_one_table() -> None:
    """A score that is the loss itself is in the table of losses; one with an interval isn't printed without it again."""
    scores = {"mae": 43.8, "rmse": 53.8, "r2": 0.4, "mape": float("nan")}
    rmse, mae = (53.8, 47.2, 62.9), (43.8, 37.5, 51.5)
    numbers = outcome.TestScore("ensemble", (0.5, 0.4, 0.6), [rmse], [mae], None, None, scores)
    known = dataclasses.replace(judged(), scores=[numbers])
    assert "RMSE" not in on_test.losses_table(known).columns
    table = on_test.scores_table(known)
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "model": "mean of 8 networks",
        "RMSE": "53.8 [47.2, 62.9]",
        "MAE": "43.8 [37.5, 51.5]",
        "R²": "0.400",
    }
    several = dataclasses.replace(numbers, rmse=[rmse, (0.2, 0.1, 0.3)], mae=[mae, (0.1, 0.1, 0.2)])
    table = on_test.scores_table(dataclasses.replace(known, scores=[several]))
    assert (table.columns[1:], table.rows[0][1:]) == (("RMSE", "MAE", "R²"), ("53.8, 0.200", "43.8, 0.100", "0.400"))
    classes = {"accuracy": 0.9, "log_loss": 0.5000001, "brier": 0.2}
    sure = outcome.TestScore("ensemble", (0.5, 0.4, 0.6), [], [], (0.9, 0.8, 1.0), None, classes)
    table = on_test.scores_table(dataclasses.replace(known, scores=[sure]))
    assert (table.columns[1:], table.rows[0][1:]) == (("accuracy", "Brier score"), ("0.900 [0.800, 1.000]", "0.200"))


def test_the_page_begins_with_the_decision_and_the_test_rows() -> None:
    records = [
        dataclasses.replace(record, summary=dataclasses.replace(record.summary, tested=judged((0.1, 0.05, 0.2))))
        if record.summary
        else record
        for record in trials(6)
    ]
    study = findings(records, rules=Rules(most=4))
    content = study_page.build(study, networks(study))
    assert study.tested and html.escape(on_test.brief(study.tested)) in study_cell.page("", study)
    assert study.decision and content.headline == f"{decisions.brief(study.decision, study.tested)}."
    first, _, second = content.sections[:3]
    assert [row[0] for row in first.tables[0].table.rows] == ["mean of 8 networks", "one network, on average", "model0"]
    assert second.charts[0].title.startswith("Rivals")
    [everything] = [section for section in content.sections if section.title == "All trials"]
    assert everything.tables[0].table.rows[0][0] == str(study.decision.winner)


def test_the_page_shows_how_often_the_winner_is_right_beside_its_probabilities() -> None:
    curve = outcome.Calibration([0.6, 0.9], [0.7, 0.8], [10, 40], 0.1, 0.2)
    tested = dataclasses.replace(judged(), calibration=curve, single_calibration=dataclasses.replace(curve, ece=0.345))
    records = [
        dataclasses.replace(record, summary=dataclasses.replace(record.summary, tested=tested)) if record.summary else record
        for record in trials(6)
    ]
    study = findings(records, rules=Rules(most=4))
    second = study_page.build(study, networks(study)).sections[1]
    perfect, ensemble, single = second.charts[0].figure.data
    assert list(perfect.x) == list(perfect.y)
    assert (list(ensemble.x), list(ensemble.y), list(ensemble.customdata)) == ([0.6, 0.9], [0.7, 0.8], [10, 40])
    assert list(single.y) == [0.7, 0.8]
    np.testing.assert_allclose(np.square(ensemble.marker.size) / np.square(ensemble.marker.size[1]), [0.25, 1])
    assert [row[2] for row in second.tables[0].table.rows] == ["10", "40"]
    text = on_test.text(tested, [], None)
    assert all(figure in text for figure in ("0.100", "0.345", "0.200", "2 bins"))
    assert "ECE" not in on_test.text(judged(), [], None)


def test_the_chart_of_the_race_holds_the_differences_the_margin_and_the_replicates() -> None:
    rivals = [
        races.Contender("trial 1", "1", 0.1, 0.05, 0.15, race.BETTER, 8, ["a"]),
        races.Contender("trial 2", "2", 0.2, 0.0, 0.4, race.NOT_WORSE, 12, ["<b>"]),
    ]
    winner, not_worse, better, bars = races.race(rivals, ("trial 0", "0"), 16, 0.02, "loss").data
    assert list(winner.x) == [0] and list(not_worse.x) == [0.2] and list(better.x) == [0.1]
    np.testing.assert_allclose(not_worse.error_x.array, [0.2])
    assert list(bars.x) == [16, 8, 12] and "<b>" not in not_worse.customdata[0]
    figure = races.race(rivals, ("trial 0", "0"), 16, 0.02, "loss")
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-0.02, 0.02)


@pytest.mark.parametrize(("rules", "most"), [(Rules(), 24 * 60 + 64), (Rules(networks=200), 104 + 64), (Rules(first=8, most=8), 8)])
def test_a_dry_run_counts_the_networks_of_a_race(rules: Rules, most: int) -> None:
    assert f"at most {most:,} networks" in _race_text(rules, 24)


def test_a_winner_is_named_as_the_default_setting() -> None:
    records, state = trials(3), decision([race.BETTER] * 2)
    named = [decisions.text(state, records, LOSS, Rules(), default) for default in (records[0].params, records[1].params, None)]
    assert ["the default setting" in text for text in named] == [True, False, False]


def test_progress_counts_what_was_trained_and_what_the_round_still_wants() -> None:
    state = decision([race.UNDECIDED] * 3, race.RACING, next={0: 12, 2: 12}, out={3: race.WORSE, 9: race.DIVERGED})
    assert decisions.progress(state, 0) == "4 trials · 3 in the race · 32 networks · 8 more"
    assert decisions.progress(state, 0.5) == f"{decisions.progress(state, 0)}, at most 16 s"
    assert decisions.progress(state, 1e6).endswith("at most 1 s"), "what is still to be trained takes time"


@pytest.mark.parametrize(
    ("gap", "standing"), [((0.2, 0.1, 0.3), "worse"), ((-0.2, -0.3, -0.1), "better"), ((0.1, -0.1, 0.3), "not shown to be")]
)
def test_the_default_setting_is_no_baseline(gap: tuple[float, float, float], standing: str) -> None:
    known = judged((0.1, 0.05, 0.2))
    scores = [known.scores[0], dataclasses.replace(known.scores[1], name=outcome.DEFAULT, gap=gap), known.scores[1]]
    with_default = dataclasses.replace(known, scores=scores)
    assert f"The default setting is {standing}" in on_test.text(with_default, [], None)
    assert "Of the baselines, model0 is worse." in on_test.text(with_default, [], None)
    assert on_test.better_baselines(with_default) == []
    first = decisions.headline(decision([race.BETTER]), with_default)
    assert first.startswith("The default setting has a lower loss on the test rows than the winner") == (standing == "better")
    assert "efault setting" not in on_test.text(known, [], None)


def test_the_only_searched_setting_and_the_default_are_named() -> None:
    records = [dataclasses.replace(record, params={"optimizer": name}) for record, name in zip(trials(2), "ab", strict=True)]
    known = judged((-0.2, -0.3, -0.1))
    tested = dataclasses.replace(known, scores=[known.scores[0], dataclasses.replace(known.scores[1], name=outcome.DEFAULT)])
    told = decisions.headline(decision([race.BETTER]), tested, records, {"optimizer": "b"})
    first = "The default setting, trial 1, has a lower loss on the test rows than the winner."
    assert told == f"{first} Decided: trial 0 (a) is better than every other"
    assert "The default setting, trial 1, is better, though not on" in on_test.text(tested, records, {"optimizer": "b"})


@pytest.mark.parametrize(("objective", "word"), [(LOSS, "lower"), (ACCURACY, "higher")])
def test_a_rival_with_the_better_mean_over_other_replicates_is_explained(objective: Objective, word: str) -> None:
    # on the four replicates that both have, the winner's mean is better
    of = {0: [0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.5], 1: [0.2, 0.2, 0.2, 0.2]}
    values = {number: (np.array(losses) * objective.sign).tolist() for number, losses in of.items()}
    records = []
    for record in trials(2):
        its = dataclasses.replace(summary(0.5), val_losses=values[record.number], scores={"accuracy": values[record.number]})
        records.append(dataclasses.replace(record, summary=its))
    state = decision([race.NOT_WORSE])
    claim = dataclasses.replace(state.claims[1], pairs=4)
    text = decisions.text(dataclasses.replace(state, claims={1: claim}), records, objective, Rules())
    first, second = (f"{objective.sign * value:.3f}" for value in (0.2, 0.1))
    assert f"trial 1 is {word}, but over other replicates: over the 4 that both have, it is {first}, and" in text
    assert f"the winner's {second}." in text
    assert "at least 0.98" in text
    alike = dataclasses.replace(records[0], summary=dataclasses.replace(summary(0.5), val_losses=values[0][:4]))
    if objective is LOSS:
        assert "other replicates" not in decisions.text(state, [alike, records[1]], objective, Rules())
