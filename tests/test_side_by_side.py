"""Networks side by side: which of two trials is better, and numbers that a person reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

import study
from study.records.network import Network
from study.records.outcome import Blame, Summary
from study.records.tracked import TrackedNetwork
from study.records.trial import TrialRecord
from study.reporting import comparison_tables, two_trials
from study.reporting.study_results import Findings
from study.settings import spec
from study.settings.values import Value
from study.statistics import race
from study.statistics.objectives import MAXIMIZE, Objective
from study.statistics.race import Rules

TARGET = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
NOISE = [0.01, -0.02, 0.015, 0.0, -0.01, 0.02]


@cache
def settings(*overrides: str) -> dict[str, Any]:
    """Composed once: the table below has many trials with the same, and is made when the tests are collected."""
    return spec.as_mapping(study.compose(["model.units=[4]", *overrides]))


def trial(
    number: int, losses: Sequence[float], *overrides: str, target: np.ndarray = TARGET, error: float = 0.1, seed: int = 0
) -> list[TrackedNetwork]:
    """Replicates whose predictions are off by `error`, one more than the other."""
    config = settings(*overrides)
    net = Network.of_layers((np.ones((1, 1), np.float32),), (np.zeros(1, np.float32),))
    rate = config["optimizer"]["learning_rate"]
    return [
        TrackedNetwork(
            run_id=f"{number}{place}",
            name=f"trial {number}/{place}",
            config=config,
            settings={"optimizer.learning_rate": rate},
            seeds={"init": seed + place},
            fingerprint=f"{number}{place}",
            label="plateaued",
            train_loss=0.1,
            val_loss=loss,
            network=net,
            predictions=target + np.float32(error + place / 100),
            target=target,
            study="tiny",
            trial=f"trial {number}",
            trial_number=number,
            number=place,
        )
        for place, loss in enumerate(losses)
    ]


SPLIT = ["replicates.vary=[init,data]", "replicates.per_split=2"]
CROSSED = ["replicates.vary=[init,order]", "replicates.crossed=[2,3]"]
BASE = [0.5 + each for each in NOISE]
WORSE = [0.6 + each / 2 for each in NOISE]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (trial(1, BASE), trial(2, WORSE), "tiny/1 is better than tiny/2 (mean validation loss 0.5025 and 0.601"),
        (trial(1, WORSE), trial(2, BASE), "tiny/2 is better than tiny/1 (mean validation loss 0.601"),
        (trial(1, BASE[:3]), trial(2, WORSE[:3]), "Too few replicates to decide which of tiny/1 and tiny/2 is better"),
        (trial(1, BASE), trial(2, BASE[::-1]), "Neither of tiny/1 and tiny/2 is shown to be better"),
        (trial(1, BASE), trial(2, BASE), "they don't differ at all"),
        # losses of two kinds: the one with the smaller errors has the better R²
        (trial(1, WORSE, error=0.1), trial(2, BASE, "loss=huber", error=0.3), "tiny/1 is better than tiny/2 (mean R²"),
        (trial(1, BASE), trial(2, WORSE, target=TARGET[::-1].copy()), "judged on different rows"),
        (
            trial(1, BASE),
            trial(2, WORSE, "data=friedman1", target=TARGET[::-1].copy()),
            "tiny/1 and tiny/2 are judged on different data",
        ),
        (trial(1, BASE), trial(2, WORSE, seed=9), "no replicates with the same seeds"),
        # six replicates on three splits
        (trial(1, BASE, *SPLIT), trial(2, WORSE, *SPLIT), "Too few splits to decide which of tiny/1 and tiny/2 is better"),
        (trial(1, BASE, *CROSSED), trial(2, WORSE, *CROSSED), "Neither of tiny/1 and tiny/2 is called better: crossed replicates"),
        (
            trial(1, BASE, "replicates.vary=[init]"),
            trial(2, WORSE, "replicates.vary=[init]"),
            "better than tiny/2 with this order, which",
        ),
        (trial(1, BASE), trial(1, BASE), ""),
        ([dataclasses.replace(each, config={}) for each in trial(1, BASE)], trial(2, WORSE), ""),
    ],
)
def test_which_of_two_trials_is_better(first: list[TrackedNetwork], second: list[TrackedNetwork], expected: str) -> None:
    found = two_trials.better([*first, *second])
    assert expected in found.text if found else not expected


def test_three_trials_have_no_better_one() -> None:
    assert two_trials.better([*trial(1, BASE), *trial(2, WORSE), *trial(3, WORSE)]) is None


def test_trials_of_a_race_are_compared_by_all_its_replicates() -> None:
    """Their runs hold three networks each; the race trained three more, whose losses it kept."""
    first, second = (trial(number, losses[:3]) for number, losses in ((1, BASE), (2, WORSE)))
    assert "Too few" in text_of(first, second)
    raced = [
        [dataclasses.replace(network, race_losses=dict(enumerate(losses))) for network in networks]
        for networks, losses in ((first, BASE), (second, WORSE))
    ]
    assert "tiny/1 is better than tiny/2" in text_of(*raced)
    assert "over 6 paired replicates" in text_of(*raced)
    elsewhere = [dataclasses.replace(network, study="another") for network in raced[1]]
    assert "Too few" in text_of(raced[0], elsewhere)


def text_of(*trials: list[TrackedNetwork]) -> str:
    found = two_trials.better([network for networks in trials for network in networks])
    return found.text if found else ""


# -- two trials of one study ---------------------------------------------------------------------------------------------------

LOSS, ACCURACY = Objective(), Objective("accuracy", MAXIMIZE)


def record(number: int, losses: Sequence[float], accuracies: Sequence[float] = (), **more: Any) -> TrialRecord:
    mean = float(np.mean(losses))
    summary = Summary(list(losses), mean, 0.0, None, 0.1, 1.0, 0.0, len(losses), {}, scores={"accuracy": list(accuracies)}, **more)
    objective = ACCURACY if accuracies else LOSS
    return TrialRecord(number, "complete", {"model.width": number}, [objective.value(summary)], summary, None, None, {})


def of_study(*records: TrialRecord, objectives: Sequence[Objective] = (LOSS,), **more: Any) -> Findings:
    fixed: dict[str, Value] = {"replicates.vary": ["init", "order"]} | more.pop("settings", {})
    return Findings("tiny", tuple(objectives), fixed, {}, list(records), **more)


def in_study(findings: Findings, one: int, other: int) -> two_trials.Better:
    """Compare two trials whose runs hold the networks of the first four replicates."""
    losses = {each.number: each.summary.val_losses[:4] for each in findings.records if each.summary}
    found = two_trials.better([*trial(one, losses[one]), *trial(other, losses[other])], {"tiny": findings}.get)
    assert found
    return found


ACCURATE = [0.9 + each for each in NOISE]
EIGHT = [*NOISE, 0.005, -0.015]


def test_trials_of_a_study_are_compared_by_its_objective() -> None:
    """The trial with the lower loss has the lower accuracy."""
    findings = of_study(record(1, BASE, [each - 0.2 for each in ACCURATE]), record(2, WORSE, ACCURATE), objectives=[ACCURACY])
    assert in_study(findings, 1, 2).claim == "tiny/2 is better than tiny/1"
    assert "mean accuracy 0.7025 and 0.9025, difference" in in_study(findings, 1, 2).evidence
    several = dataclasses.replace(findings, objectives=(ACCURACY, LOSS))
    assert in_study(several, 1, 2).claim == "By accuracy alone, tiny/2 is better than tiny/1"
    size = of_study(record(1, BASE, parameters=9), record(2, WORSE, parameters=5), objectives=[Objective("size")])
    assert in_study(size, 1, 2).text.startswith("tiny/2 has a lower size than tiny/1 (9.000 and 5.000; a trial has one value of it")
    nothing = of_study(record(1, BASE, [float("nan")] * 6), record(2, WORSE, ACCURATE), objectives=[ACCURACY])
    assert "the accuracy of some replicates isn't known" in in_study(nothing, 1, 2).text


def test_a_pair_has_the_interval_that_its_study_gives_it() -> None:
    findings = of_study(
        *(record(number, [0.5 + gap + (1 + number) * each for each in NOISE]) for number, gap in enumerate((0, 0.01, 0.02)))
    )
    assert findings.choice and findings.comparisons == 3
    for rival, gap in findings.choice.differences.items():
        assert (
            f"difference {two_trials.interval_text(gap.mean, gap.halfwidth)}, 95% jointly" in in_study(findings, 0, rival).evidence
        )
    # by itself the second pair would have a narrower one
    assert "jointly" not in text_of(trial(1, BASE), trial(2, WORSE))


def test_replicates_of_a_study_that_share_splits_are_compared_by_splits() -> None:
    records = [record(number, [0.5 + 0.1 * number + each * (1 + number) for each in EIGHT]) for number in (1, 2)]
    alike = of_study(*records, settings={"replicates.vary": ["init", "data", "order"], "replicates.per_split": 2})
    assert in_study(alike, 1, 2).claim == "Too few splits to decide which of tiny/1 and tiny/2 is better"
    assert "over 8 paired replicates on 4 splits; at least 5 splits that differ" in in_study(alike, 1, 2).evidence
    assert in_study(of_study(*records), 1, 2).claim == "tiny/1 is better than tiny/2"


def test_a_study_that_names_no_winner_is_agreed_with() -> None:
    blame = [Blame("val loss", {"init": (1.0, 0.9, 1.0)}, (0.0, 0.0, 0.0), 1.0, None)]
    crossed = of_study(record(1, BASE, blame=blame), record(2, WORSE, blame=blame))
    assert crossed.win == "No winner is named: crossed replicates share seeds, and aren't independent."
    found = in_study(crossed, 1, 2)
    assert found.claim == "Neither of tiny/1 and tiny/2 is called better: crossed replicates share seeds, and aren't independent"
    assert found.evidence == "mean validation loss 0.5025 and 0.6012"
    other = of_study(record(1, BASE, judged_by={"rows": "1"}), record(2, WORSE, judged_by={"rows": "2"}))
    assert "trials are judged on different rows" in in_study(other, 1, 2).text and "0.5025" not in in_study(other, 1, 2).text
    counts = [dataclasses.replace(each, params={"replicates.count": 6 + n}) for n, each in enumerate(crossed.records)]
    assert "trials differ in replicates.count" in in_study(of_study(*counts), 1, 2).text


def raced(*gaps: float) -> Findings:
    """A race of trials that are worse than the first by so much; four replicates each, eight of the first two."""
    rng = np.random.default_rng(1)
    counts = [8, 8, *[4] * len(gaps)]
    losses = [0.5 + gap + 0.01 * rng.normal(size=count) for gap, count in zip((0.0, *gaps), counts, strict=False)]
    return of_study(*(record(number, each.tolist()) for number, each in enumerate(losses)), rules=Rules())


def test_where_a_race_has_decided_between_two_trials_its_claim_and_interval_are_told() -> None:
    """Also over four replicates, of which the intervals without a race would say nothing."""
    findings = raced(0.01, 0.5, 0.6)
    assert findings.decision and findings.decision.winner == 0
    worse, near = findings.decision.claims[2], findings.decision.claims[1]
    assert worse.kind == race.BETTER and worse.pairs == 4
    for order in ((0, 2), (2, 0)):
        found = in_study(findings, *order)
        assert found.claim == "tiny/0 is better than tiny/2"
        low, high = map(two_trials.number, (worse.low, worse.high))
        assert (
            f"the validation loss of tiny/2 minus that of tiny/0 is {two_trials.number(worse.difference)} [{low}, {high}]"
            in found.text
        )
    assert near.kind != race.BETTER and "is better" not in in_study(findings, 0, 1).claim
    # the interval is the study's own
    [sentence] = [each for each in findings.win.split(". ") if each.startswith("The nearest rival is trial 1")]
    assert sentence.partition(" is ")[2].partition("minus the winner's is ")[2] in in_study(findings, 1, 0).evidence


def test_two_rivals_of_a_race_are_compared_by_its_rule() -> None:
    findings = raced(0.01, 0.5, 0.6)
    found = in_study(findings, 3, 2)
    claim = findings.claim(2, 3)
    assert claim and claim.difference > 0 and claim.kind == race.BETTER
    assert found.claim == "tiny/2 is better than tiny/3" and two_trials.number(claim.low) in found.evidence
    back = findings.claim(3, 2)
    assert back and back.kind != race.BETTER and back.difference == pytest.approx(-claim.difference)
    assert (back.low, back.high) == pytest.approx((-claim.high, -claim.low))
    assert findings.decision and findings.claim(0, 1) == findings.decision.claims[1]


def test_another_study_of_the_same_name_decides_nothing() -> None:
    findings = of_study(record(1, WORSE), record(2, BASE))
    found = two_trials.better([*trial(1, BASE), *trial(2, WORSE)], {"tiny": findings}.get)
    assert found and found.claim == "tiny/1 is better than tiny/2"


def test_how_many_replicates_a_race_gave_a_trial_is_no_setting() -> None:
    first, second = (trial(number, BASE) for number in (1, 2))
    networks = [
        dataclasses.replace(each, settings=each.settings | {"replicates.count": count}, raced=raced)
        for trials, count, raced in ((first, 4, False), (second, 8, True))
        for each in trials
    ]
    assert "replicates.count" not in comparison_tables.differing(networks)
    apart = [dataclasses.replace(each, raced=False) for each in networks]
    assert "replicates.count" in comparison_tables.differing(apart)


def test_functions_are_compared_replicate_by_replicate() -> None:
    """Predictions are off by a constant, whose ratio to the target's SD is the NRMSE."""
    first, second = trial(1, BASE[:2], error=0.1), trial(2, BASE[:2], error=0.3)
    sd = float(TARGET.std())
    between, within = two_trials.number(0.2 / sd), two_trials.number(0.01 / sd)
    expected = f"differ by {between} (NRMSE, mean of 2 pairs); two replicates of one of them on the same rows, by {within}."
    assert expected in two_trials.functions_apart([*first, *second])
    assert two_trials.functions_apart(first) == ""
    assert two_trials.functions_apart([*first, *trial(2, BASE, seed=9)]) == ""


@pytest.mark.parametrize("count", [7, 8])
def test_beyond_twelve_networks_the_pairs_are_summed_up_without_the_diagonal(count: int) -> None:
    networks = []
    for number in (1, 2):
        for place, each in enumerate(trial(number, [0.5] * count)):
            weights = Network.of_layers((np.full((1, 1), 10.0 * number + place, np.float32),), (np.zeros(1, np.float32),))
            networks.append(dataclasses.replace(each, network=weights, config={}))
    tables = dict(comparison_tables.tables(networks, comparison_tables.compared(networks)))
    [sums] = [table for title, table in tables.items() if title.startswith("summed")]
    assert sums.columns == ("mean of the pairs", "least", "most")
    assert float(sums.rows[0][1]) == 1 and float(sums.rows[0][2]) == 10 + count - 1


def test_the_distances_to_the_mean_are_for_readers_of_json_alone() -> None:
    networks = trial(1, BASE)
    with_centre, without = (comparison_tables.compared(networks, centred=centred) for centred in (True, False))
    full, short = (comparison_tables.as_json(networks, comparison) for comparison in (with_centre, without))
    assert full.keys() - short.keys() == {"centre"} and len(full["centre"]) == len(networks)
    assert [*comparison_tables.tables(networks, with_centre)] == [*comparison_tables.tables(networks, without)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0006253774085588485, 0.1, "–"], ["0.000625", "0.100", "–"]),
        ([32, -3, "adam", [64, 64], None], ["32", "-3", "adam", "[64, 64]", "null"]),
        ([0.0123451, 0.0123452], ["0.0123451", "0.0123452"]),
        ([0.3333333333333333, 0.3333333333333333, 0.3334], ["0.3333", "0.3333", "0.3334"]),
        ([1.0, 1.0000000000000002], ["1.0", "1.0000000000000002"]),
    ],
)
def test_settings_are_rounded_for_people_where_they_stay_different(values: list[Value], expected: list[str]) -> None:
    assert comparison_tables._rounded(values) == expected


def test_a_network_whose_function_rests_counts_as_plateaued_in_a_comparison() -> None:
    networks = [dataclasses.replace(network, label="undecided", rests=True, wobble=0.1) for network in trial(1, BASE[:3])]
    networks[1] = dataclasses.replace(networks[1], rests=False)
    assert "1 of 3 networks has not plateaued: undecided (1); 2 others count as plateaued" in comparison_tables.conclusion(
        networks, comparison_tables.compared(networks)
    )
    networks[2] = dataclasses.replace(networks[2], rests=None)
    assert "3 of 3 networks have not plateaued: undecided (0, 1, 2)." in comparison_tables.conclusion(
        networks, comparison_tables.compared(networks)
    )


@pytest.mark.parametrize(("raced", "told"), [(12, True), (8, False), (0, False)])
def test_a_comparison_says_that_a_race_gave_a_trial_more_replicates_than_are_kept(raced: int, told: bool) -> None:
    losses = dict(enumerate([0.5] * raced))
    networks = [dataclasses.replace(network, race_losses=losses) for network in trial(1, [0.5] * 8, "replicates.count=8")]
    text = comparison_tables.conclusion(networks, comparison_tables.compared(networks))
    assert ("; of the 12 replicates of tiny/1, the networks of the first 8 are kept" in text) == told
