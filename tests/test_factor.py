"""What one setting does to networks: the numbers by hand, and the experiments that ask for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from study.analysis import controlled_comparison
from study.config import composition, overrides, source
from study.records.network import Network
from study.records.outcome import Summary
from study.records.tracked import TrackedNetwork
from study.records.trial import TrialRecord
from study.reporting import factor_tables, narrative
from study.runner import validation
from study.runner.validation import ComposedTrials
from study.statistics import ranking
from study.statistics.objectives import Objective
from study.tracking import reader

EXPERIMENTS = sorted(file.stem for file in (source.config_folder() / "experiment").glob("*.yaml"))


def tracked(weight, prediction=0.0, target=(0.0, 2.0)):
    """A network whose only weight is `weight`, and which predicts `prediction` everywhere."""
    net = Network.of_layers((np.full((1, 1), weight, np.float32),), (np.zeros(1, np.float32),))
    outputs = np.full((2, 1), prediction, np.float32)
    return TrackedNetwork("id", "name", {}, {}, {}, "", "", 0.0, 0.0, net, outputs, np.array(target, np.float32)[:, None])


def level(name, weights, losses, **more):
    return controlled_comparison.Level(name, [tracked(weight, **more) for weight in weights], losses)


def test_the_three_ways_of_comparing_by_hand():
    # starts at 1 and 5; the second setting moves each by 2
    found = controlled_comparison.effect([level("a", [1, 5], [1.0, 2.0]), level("b", [3, 7], [1.5, 2.5], prediction=1.0)])
    [pair] = found.pairs
    assert pair.summed == controlled_comparison.Means(as_written=(6 + 2) / 2, restarted=4, controlled=2)
    assert pair.disagreement == controlled_comparison.Means(1.0, 0.0, 1.0)  # the target's SD is 1
    assert pair.difference.mean == 0.5 and pair.difference.pairs == 2 and not pair.difference.shown
    assert found.values.tolist() == [[1.0, 2.0], [1.5, 2.5]]


WEIGHTS = [1, 5, 6, 2, 3, 4, 7, 9]
LOSSES = np.array([1.0, 2.0, 3.0, 2.0, 1.0, 2.5, 3.5, 0.5])
LOSS, R2 = Objective(), Objective("r2", "maximize")


def three_levels():
    """b is worse than a in every replicate, by about 1; c is as good."""
    gaps = 1 + 0.1 * np.cos(LOSSES)
    return [level("a", WEIGHTS, LOSSES), level("b", WEIGHTS, LOSSES + gaps), level("c", WEIGHTS, LOSSES + np.tile([0.1, -0.1], 4))]


def test_a_difference_is_shown_by_the_rule_of_the_win():
    levels = three_levels()
    found = controlled_comparison.effect(levels)
    choice = ranking.choose({number: each.values for number, each in enumerate(levels)}, comparisons=ranking.all_pairs(3))
    assert [pair.difference.shown for pair in found.pairs] == [True, False, True]
    # that pair's text and the win are of the same numbers
    assert found.pairs[0].difference == choice.differences[1] and found.pairs[1].difference == choice.differences[2]
    cells = [row[-1] for row in narrative.factor_table(found, "loss").rows]
    assert ["not shown" in cell for cell in cells] == [False, True, False]


def test_equal_settings_are_seldom_shown_to_differ_in_any_pair(monkeypatch):
    """The family-wise error over all pairs that are counted; corrected for those with the best alone it is 16%."""
    monkeypatch.setattr(controlled_comparison, "_disagreement", lambda networks: None)
    networks = [tracked(weight) for weight in range(6)]
    wrong = []
    for values in np.random.default_rng(0).normal(size=(300, 8, 6)):
        found = controlled_comparison.effect([controlled_comparison.Level("", networks, each) for each in values])
        wrong.append(any(pair.difference.shown for pair in found.pairs))
    assert np.mean(wrong) < 0.05 + 0.02


def test_replicates_that_share_splits_are_compared_by_splits():
    noise = [0.1, 0.1, -0.2, -0.2, 0.3, 0.3, 0.0, 0.0]
    levels = [level("a", WEIGHTS, LOSSES), level("b", WEIGHTS, LOSSES + 1 + noise)]
    found = controlled_comparison.effect(levels, per_split=2)
    text = narrative.factor_answer(found, "lr", LOSS, ["init", "order", "data"])
    assert "Too few replicates to compare their validation loss: 4 splits, where at least 5" in text
    assert "(replicates.count=16)" in text and not found.copies
    assert "copies" not in narrative.factor_answer(
        controlled_comparison.effect([level("a", [1, 5], [1.0, 2.0]), level("b", [3, 7], [1.5, 2.5])], per_split=2), "lr", LOSS, []
    )


def test_where_a_race_decides_the_table_has_no_interval_of_its_own():
    found = controlled_comparison.effect(three_levels())
    plain, raced = (narrative.factor_table(found, "loss", raced) for raced in (False, True))
    assert plain.columns[-1] == "difference in loss, 95% jointly" and raced.columns == plain.columns[:-1]
    assert [row[:-1] for row in plain.rows] == list(raced.rows)


def test_the_text_speaks_of_what_differed():
    found = controlled_comparison.effect(three_levels())
    both = narrative.factor_answer(found, "lr", LOSS, ["init", "order"])
    assert "where every model starts elsewhere" in both and "that differ in init and order end" in both
    assert "The lowest mean validation loss is that of a; 2 of 3 pairs of settings are shown to differ" in both
    ulp = narrative.factor_answer(found, "lr", LOSS, ["ulp"])
    assert "elsewhere" not in ulp and "With another ulp for every model" in ulp
    none = narrative.factor_answer(found, "lr", LOSS, [])
    assert "elsewhere" not in none and "differ in" not in none.replace("differ in validation", "")
    assert "The highest mean R² is that of b" in narrative.factor_answer(found, "lr", R2, ["init"])


def test_few_replicates_and_copies_are_said_to_be_too_few():
    few = controlled_comparison.effect([level("a", [1, 5], [1.0, 2.0]), level("b", [3, 7], [1.5, 2.5])])
    assert "Too few replicates to compare their validation loss: 2" in narrative.factor_answer(few, "lr", LOSS, ["init"])
    copies = [
        dataclasses.replace(each, networks=[dataclasses.replace(net, fingerprint="f") for net in each.networks])
        for each in three_levels()
    ]
    assert {pair.difference.pairs for pair in controlled_comparison.effect(copies).pairs} == {1}


def test_one_replicate_tells_the_controlled_difference_only():
    found = controlled_comparison.effect([level("a", [1], [1.0]), level("b", [4], [2.0])])
    assert found.pairs[0].summed == controlled_comparison.Means(None, None, 3.0) and found.pairs[0].difference.halfwidth is None
    assert "replicates.count" in narrative.factor_answer(found, "lr", LOSS, ["init"])


def test_what_cannot_be_compared_is_left_out():
    shape = Network.of_layers((np.ones((1, 2), np.float32),), (np.zeros(2, np.float32),))
    wide = dataclasses.replace(tracked(1), network=shape)
    found = controlled_comparison.effect([level("a", [1], [1.0]), controlled_comparison.Level("b", [wide], [2.0])])
    assert found.pairs[0].summed is None and found.pairs[0].disagreement is not None
    other = controlled_comparison.effect([level("a", [1], [1.0]), level("b", [2], [2.0], target=(0.0, 3.0))])
    assert other.pairs[0].summed is not None and other.pairs[0].disagreement is None
    text = narrative.factor_answer(found, "w", LOSS, ["init"])
    assert "so that only the functions and the validation loss can be compared" in text
    assert "so that only the functions can be compared" in narrative.factor_answer(found, "w", LOSS, ["init"], raced=True)
    neither = [level("a", [1], [1.0]), controlled_comparison.Level("b", [dataclasses.replace(wide, target=np.ones((2, 1)))], [2.0])]
    text = narrative.factor_answer(controlled_comparison.effect(neither), "w", LOSS, ["init"])
    assert "so that only the validation loss can be compared" in text
    assert "shapes" not in narrative.factor_answer(other, "w", LOSS, ["init"])


def test_a_race_between_networks_that_share_neither_shape_nor_rows_leaves_no_empty_table(monkeypatch):
    shape = Network.of_layers((np.ones((1, 2), np.float32),), (np.zeros(2, np.float32),))
    wide = dataclasses.replace(tracked(1), network=shape, target=np.ones((2, 1), np.float32))
    runs = {"0": [tracked(1)] * 2, "1": [wide] * 2}
    monkeypatch.setattr(reader, "load_networks", lambda store, run: runs[run])
    records = [dataclasses.replace(record(number, number), run_id=str(number)) for number in range(2)]

    def compared(raced):
        return factor_tables.compare(None, "lr", records, LOSS, {}, raced)

    assert compared(True) is None and compared(False) is not None
    runs["1"] = [tracked(2)] * 2
    assert compared(True) is not None


def test_the_spread_of_a_level_is_the_mean_of_its_pairs():
    found = controlled_comparison.spread(level("order", [1, 2, 4], [1.0, 1.0, 4.0]))
    assert found.summed == pytest.approx(2.0) and found.disagreement == 0.0
    assert found.value_sd == pytest.approx(np.sqrt(3))


def record(number, value, replicates=2, completed=True):
    losses = [1.0] * replicates
    summary = Summary(losses, 1.0, 0.0, None, 1.0, 0.0, 0.0, 1, {}) if completed else None
    return TrialRecord(number, "complete" if completed else "failed", {"lr": value}, [1.0], summary, None, "id", {})


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(0, 0.1), record(1, 0.2)], "lr"),
        ([record(0, 0.1), record(1, 0.2), record(2, 0.3, completed=False)], "lr"),
        ([record(0, 0.1)], None),
        ([record(0, 0.1), record(1, 0.1)], None),
        ([record(number, number / 10) for number in range(9)], None),
        ([record(0, 0.1), record(1, 0.2, replicates=3)], None),
    ],
    ids=["two", "one failed", "one", "the same twice", "too many", "other replicates"],
)
def test_a_factor_has_some_values_of_one_trial_each(records, expected):
    assert factor_tables.find_factor(["lr"], records, LOSS) == expected
    assert factor_tables.find_factor(["lr", "b"], records, LOSS) is None


def test_a_seed_is_no_factor_and_losses_of_unlike_kinds_are_none():
    def factor(key, values, objective):
        return factor_tables.find_factor(
            [key], [dataclasses.replace(record(n, v), params={key: v}) for n, v in enumerate(values)], objective
        )

    assert factor("seed", [0, 1], LOSS) is None and factor("replicates.first", [0, 8], LOSS) is None
    assert factor("loss", ["mse", "mae"], LOSS) is None and factor("loss", ["mse", "mae"], R2) == "loss"


QUICK = ("convergence", "order", "optimizers", "table")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in EXPERIMENTS])
def test_every_experiment_can_be_run(name, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "\n".join(f"{row},{row % 7}" for row in range(100)))
    lines = [f"+experiment={name}", *([f"data.path={tmp_path / 't.csv'}", "data.target=y"] if name == "table" else [])]
    with initialize_config_dir(str(source.config_folder()), version_base=source.VERSION_BASE):
        config = compose(source.CONFIG_NAME, lines, return_hydra_config=True)
    space, fixed = overrides.split(lines, OmegaConf.to_container(config.hydra.sweeper.params), {})
    validation.check_space(space, ComposedTrials(fixed, composition.compose_config, ""))
    several = {"optimizer.learning_rate", "model.depth"} if name == "table" else {"optimizer.learning_rate", "schedule"}
    assert len(space) == 1 or ((name == "table" or name.startswith("convergence")) and several < space.keys())
