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
from study.records.tracked import TrackedNetwork
from study.reporting import comparison_tables, two_trials
from study.settings import spec
from study.settings.values import Value

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
        (trial(1, BASE), trial(2, WORSE, seed=9), "no replicates with the same seeds"),
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
