"""Test parts, groups and windows in time: which rows train, choose and test, and a trial's worth on the test rows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, root_mean_squared_error

import study
from study import seeds
from study.analysis import tested
from study.data import dataset, loading, splits
from study.data.rows import Rows
from study.errors import BadInput
from study.records import outcome
from study.records.network import Network
from study.reporting.on_test import better_baselines
from study.runner import launching
from study.runner.planning import Plan
from study.settings import spec as specs
from study.settings.data import UserTable
from study.settings.spec import TrialSpec
from study.tracking import schema
from tests.command import run

VARIED = "replicates.vary=[init,order,data]"
SEEDS = st.integers(0, 2**32 - 1)


def parts_of(spec: TrialSpec, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The row numbers of the training, validation and test part of a replicate."""
    rows, train, val = splits.replicate_parts(spec, number)
    return train, val, splits.test_part(spec.data, rows, loading.root_seed(spec))


# -- the test part ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings_of_data",
    [
        ["data=diabetes"],
        ["data=iris"],
        ["data=breast_cancer", "data.resample=bootstrap"],
        ["data=digits", "data.resample=kfold"],
        ["data=friedman1", "data.test_fraction=0.3"],
    ],
    ids=" ".join,
)
def test_all_replicates_and_trials_have_one_test_part_and_none_sees_it(settings_of_data: list[str]) -> None:
    first = study.compose([*settings_of_data, VARIED])
    other = study.compose(
        [*settings_of_data, VARIED, "optimizer.learning_rate=1", "data.validation_fraction=0.4", "replicates.first=9"]
    )
    rows, test = loading.rows(first), parts_of(first, 0)[2]
    assert len(test) == round(len(rows.x) * first.data.test_fraction)
    for spec in (first, other):
        for number in range(5):
            train, val, same = parts_of(spec, number)
            np.testing.assert_array_equal(same, test)
            assert not set(test) & {*train, *val} and not set(train) & set(val)
    if first.data.resample == "split":
        assert sorted([*train, *val, *test]) == list(range(len(rows.x)))
    assert set(parts_of(study.compose([*settings_of_data, "seed=1"]), 0)[2]) != set(test)


def test_each_class_has_its_share_of_every_part() -> None:
    spec = study.compose(["data=iris", VARIED])
    labels = loading.rows(spec).labels
    assert labels is not None
    for number in range(4):
        counts = [np.bincount(labels[part]).tolist() for part in parts_of(spec, number)]
        assert counts == [[32] * 3, [8] * 3, [10] * 3]


def test_a_test_part_leaves_two_rows() -> None:
    rows = Rows(np.zeros((4, 1)), np.zeros((4, 1)), (), ("y",))
    with pytest.raises(BadInput) as refused:
        splits.test_part(UserTable(path="t.csv", target="y", test_fraction=0.7), rows, 0)
    assert refused.value.faults[0].key == "data.test_fraction"


# -- groups and time ----------------------------------------------------------------------------------------------------------


def table(**more: Any) -> UserTable:
    return UserTable(path="t.csv", target="y", **more)


@given(st.lists(st.integers(1, 6), min_size=12, max_size=40), SEEDS, SEEDS)
@settings(deadline=None)
def test_no_group_is_in_two_parts_and_sizes_are_those_of_every_seed(sizes: list[int], root: int, seed: int) -> None:
    groups = np.random.default_rng(root).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    rows = Rows(np.zeros((len(groups), 1)), np.zeros((len(groups), 1)), (), ("y",), groups=groups)
    data = table(split="group", group="g")
    test = splits.test_part(data, rows, root)
    train, val = splits.parts(data, rows, root, seed, 0)
    of_parts = [set(groups[part]) for part in (train, val, test)]
    assert sum(map(len, of_parts)) == len(set.union(*of_parts)) and all(of_parts)
    assert len(set(train)) == len(train) and len(test) >= round(0.2 * len(groups))
    again = splits.parts(data, rows, root, seed + 1, 0)
    assert [len(part) for part in again] == [len(train), len(val)]


@given(st.lists(st.integers(1, 6), min_size=5, max_size=40), st.integers(2, 5), SEEDS)
@settings(deadline=None)
def test_folds_are_of_whole_groups_and_of_one_size(sizes: list[int], folds: int, root: int) -> None:
    groups = np.random.default_rng(root).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    rows = Rows(np.zeros((len(groups), 1)), np.zeros((len(groups), 1)), (), ("y",), groups=groups)
    data = table(split="group", group="g", resample="kfold", folds=folds, test_fraction=0.0)
    parts = [splits.parts(data, rows, root, root, fold) for fold in range(folds)]
    assert len({(len(train), len(val)) for train, val in parts}) == 1
    for train, val in parts:
        assert not set(groups[train]) & set(groups[val]) and len({*train, *val}) == len(train) + len(val)
    validated = np.concatenate([val for _, val in parts])
    assert len(set(validated)) == len(validated), "a row validates once"
    # dealt to the smallest fold each, folds differ by less than one group
    assert len(parts[0][1]) >= len(groups) // folds - max(sizes)
    more = dataclasses.replace(data, folds=len(sizes) + 1)
    with pytest.raises(BadInput, match="the number of groups"):
        splits.parts(more, rows, root, root, 0)


@given(st.lists(st.integers(0, 50), min_size=30, max_size=200), SEEDS)
@settings(deadline=None)
def test_validation_comes_after_training_and_the_test_part_after_both(times: list[int], root: int) -> None:
    clock = np.array(times, np.int32)
    rows = Rows(np.zeros((len(clock), 1)), np.zeros((len(clock), 1)), (), ("y",), times=clock)
    data = table(split="time", time="t")
    test = splits.test_part(data, rows, root)
    windows = [splits.parts(data, rows, root, root, window) for window in range(splits.WINDOWS)]
    assert len({(len(train), len(val)) for train, val in windows}) == 1
    for train, val in windows:
        assert clock[train].max() <= clock[val].min() and clock[val].max() <= clock[test].min()
        assert not set(train) & set(val) and not {*train, *val} & set(test)
    assert len({tuple(val) for _, val in windows}) == splits.WINDOWS
    starts = [clock[val].min() for _, val in windows]
    assert starts == sorted(starts, reverse=True)


def test_a_replicates_window_is_that_of_its_split() -> None:
    data = table(split="time", time="t")
    assert [splits.split_seed(data, 7, 100 + level, level) for level in (0, 1, 5)] == [(7, 0), (7, 1), (7, 1)]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"split": "group"}, "group"),
        ({"split": "time"}, "time"),
        ({"group": "g"}, "group"),
        ({"split": "group", "group": "y"}, "group"),
        ({"split": "time", "time": "t", "drop": ("t",)}, "time"),
        ({"split": "time", "time": "t", "resample": "kfold"}, "resample"),
    ],
)
def test_a_split_needs_its_own_column(more: dict[str, Any], key: str) -> None:
    with pytest.raises(BadInput) as refused:
        table(**more)
    assert [fault.key for fault in refused.value.faults] == [key]


def grouped(folder: Path, *overrides: str) -> TrialSpec:
    lines = [f"{row % 7},2024-{1 + row % 12:02}-01,{row % 5},{row * row % 11}" for row in range(84)]
    (folder / "t.csv").write_text("\n".join(["who,when,a,y", *lines]))
    return study.compose(["data=table", f"data.path={folder / 't.csv'}", "data.target=y", VARIED, *overrides])


def test_a_column_of_groups_or_times_is_no_input(tmp_path: Path) -> None:
    by_group = loading.rows(grouped(tmp_path, "data.split=group", "data.group=who", "data.drop=[when]"))
    by_time = loading.rows(grouped(tmp_path, "data.split=time", "data.time=when", "data.drop=[who]"))
    assert by_group.input_names == by_time.input_names == ("a",)
    assert by_group.groups is not None and len(set(by_group.groups)) == 7
    assert by_time.times is not None and len(set(by_time.times)) == 12 and by_time.times[0] < by_time.times[1]


def test_times_in_several_notations_are_in_order(tmp_path: Path) -> None:
    days, path = ["2024-03-01", "28/02/2024", "2023-12-31", "01/03/2024"], tmp_path / "t.csv"
    path.write_text("\n".join(["when,a,y", *(f"{days[row % 4]},{row},{row}.5" for row in range(40))]))
    table = ["data=table", f"data.path={path}", "data.target=y", "data.split=time", "data.time=when", "training.batch_size=4"]
    times = loading.rows(study.compose(table)).times
    assert times is not None and times.tolist()[:4] == [3, 2, 1, 3]
    path.write_text(path.read_text().replace("28/02/2024", "02/02/2024"))
    with pytest.raises(BadInput, match=r"data\.time: got \"column 'when': '01/03/2024', which may mean two days"):
        loading.rows(study.compose(table))


# -- a test part of its own file ----------------------------------------------------------------------------------------------


def files(folder: Path, train: str, test: str, *overrides: str) -> TrialSpec:
    (folder / "train.csv").write_text(train)
    (folder / "test.csv").write_text(test)
    paths = [f"data.path={folder / 'train.csv'}", f"data.test_path={folder / 'test.csv'}"]
    return study.compose(["data=table", *paths, "data.target=y", "training.batch_size=2", *overrides])


TRAIN = "a,b,y\n" + "\n".join(f"{row},{'xz'[row % 2]},{row}.5" for row in range(20))


def test_the_rows_of_a_test_file_are_the_test_part(tmp_path: Path) -> None:
    spec = files(tmp_path, TRAIN, "y,b,a\n1.25,x,0.5\n2,z,7\n", VARIED)
    rows = loading.rows(spec)
    train, val, test = parts_of(spec, 1)
    assert test.tolist() == [20, 21] and sorted([*train, *val]) == list(range(20))
    assert rows.input_names == ("a", "b=x", "b=z")
    # by name, whatever their order, and with decimals where the other file has whole numbers
    assert rows.x[test].tolist() == [[0.5, 1, 0], [7, 0, 1]] and rows.y[test].tolist() == [[1.25], [2]]


def test_a_level_that_only_the_test_file_has_is_a_level(tmp_path: Path) -> None:
    spec = files(tmp_path, TRAIN, "a,b,y\n1,w,3\n")
    rows = loading.rows(spec)
    assert rows.input_names == ("a", "b=w", "b=x", "b=z")
    assert not rows.x[:20, 1].any() and rows.x[20].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("test", ["a,y\n1,2\n", "a,b,y\nmany,x,2\n", "a,b,y\n"], ids=["a column less", "a text", "no row"])
def test_a_test_file_that_is_another_table_is_refused(test: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        loading.rows(files(tmp_path, TRAIN, test))
    assert "data.test_path" in {fault.key for fault in refused.value.faults}


def test_another_test_file_is_another_data_set(tmp_path: Path) -> None:
    first = loading.digest(files(tmp_path, TRAIN, "a,b,y\n1,x,3\n"))
    assert loading.digest(files(tmp_path, TRAIN, "a,b,y\n1,x,4\n")) != first


# -- earlier versions ----------------------------------------------------------------------------------------------------------

# sha256 of the row numbers of replicates 0 and 3, as 0.2 drew them
EARLIER = {
    "data=diabetes": "88a9c4044b922e2e",
    "data=iris": "844295c455fe7a16",
    "data=digits data.resample=kfold": "75e96abd27df937f",
    "data=breast_cancer data.resample=bootstrap": "1e94cf44d5099870",
    "data=noise data.rows=101 seed=7": "88b36deb9f26eebb",
}


@pytest.mark.parametrize("overrides", EARLIER)
def test_without_a_test_part_the_parts_are_those_of_earlier_versions(overrides: str) -> None:
    spec = study.compose([*overrides.split(), "data.test_fraction=0", "replicates.vary=[init,data]"])
    drawn = [part.astype(np.int64).tobytes() for number in (0, 3) for part in parts_of(spec, number)[:2]]
    assert hashlib.sha256(b"".join(drawn)).hexdigest()[:16] == EARLIER[overrides]


def test_without_a_test_part_a_split_is_a_permutation_cut_in_two() -> None:
    spec = study.compose(["data=diabetes", "data.test_fraction=0"])
    train, val, test = parts_of(spec, 0)
    order = seeds.generator(seeds.replicate_seed(0, "data", 0)).permutation(442)
    assert [val.tolist(), train.tolist(), test.tolist()] == [order[:88].tolist(), order[88:].tolist(), []]


def test_a_record_without_the_keys_acts_as_it_did() -> None:
    old = specs.build({"data": {"name": "iris"}, "replicates": {"count": 8, "vary": ["init", "order"]}})
    assert (old.data.test_fraction, old.replicates.per_split) == (0.0, 1)
    assert study.compose(["data=iris"]).data.test_fraction == 0.2
    known = specs.identifying(old)
    assert not {"data.test_fraction", "data.test_path", "data.split", "replicates.per_split"} & set(known)
    assert "data.test_fraction" in specs.identifying(study.compose(["data=iris"]))
    assert specs.build(specs.as_mapping(old)) == old


def test_an_earlier_studys_settings_give_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plans: list[Plan] = []
    monkeypatch.setattr(launching.dry_run, "show_study", plans.append)
    as_before = ["data.test_fraction=0", "replicates.count=8"]
    assert run("--multirun", "--dry-run", "data=iris", "optimizer.learning_rate=0.1,0.2", *as_before) == 0
    assert plans[0].name == "iris-b2a965" and plans[0].rules is None


# -- the last look -------------------------------------------------------------------------------------------------------------


def outputs_by_hand(network: Network, x: np.ndarray) -> np.ndarray:
    for layer, (kernel, bias) in enumerate(zip(network.kernels, network.biases, strict=True)):
        x = x @ kernel.astype(np.float64) + bias
        x = np.maximum(x, 0) if layer < network.depth - 1 else x
    return x


def scaled_by_hand(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (values - by.mean(axis=0)) / by.std(axis=0)


SMALL = ["model.units=[8]", "model.activation=relu", "training.epochs=5", "replicates.count=4", VARIED, "replicates.per_split=2"]


def test_the_ensemble_of_a_regression_is_judged_in_the_targets_unit() -> None:
    spec = study.compose(["data=diabetes", *SMALL])
    cohort, rows = study.train(spec), loading.rows(spec)
    predictions = []
    for number, network in enumerate(cohort.networks()):
        train, _, test = parts_of(spec, number)
        outputs = outputs_by_hand(network, scaled_by_hand(rows.x[test], rows.x[train]))
        predictions.append(outputs * rows.y[train].std() + rows.y[train].mean())
    mean, truth = np.mean(predictions, axis=0), rows.y[test]
    found = tested.judge(cohort, with_baselines=True)
    assert found is not None and (found.rows, found.networks, found.calibration) == (88, 4, None)
    ensemble, *baselines = found.scores
    spread = np.delete(rows.y, test).std()
    np.testing.assert_allclose(ensemble.rmse[0][0], root_mean_squared_error(truth, mean), rtol=1e-4)
    np.testing.assert_allclose(ensemble.mae[0][0], mean_absolute_error(truth, mean), rtol=1e-4)
    np.testing.assert_allclose(ensemble.loss[0], np.mean(((truth - mean) / spread) ** 2), rtol=1e-4)
    single = np.mean([np.mean(((truth - own) / spread) ** 2) for own in predictions])
    np.testing.assert_allclose((found.single, found.gain[0]), (single, single - ensemble.loss[0]), rtol=1e-3)
    assert ensemble.rmse[0][1] < ensemble.rmse[0][0] < ensemble.rmse[0][2]
    by_name = {score.name: score for score in baselines}
    np.testing.assert_allclose(
        by_name["mean"].rmse[0][0], np.sqrt(np.mean((truth - np.delete(rows.y, test).mean()) ** 2)), rtol=1e-5
    )
    for score in baselines:
        assert score.gap is not None
        np.testing.assert_allclose(score.gap[0], score.loss[0] - ensemble.loss[0], rtol=1e-6)
        assert (score.name in better_baselines(found)) == (score.gap[2] < 0)


def test_the_ensemble_of_a_classification_is_judged_by_its_mean_probabilities() -> None:
    spec = study.compose(["data=iris", *SMALL])
    cohort, rows = study.train(spec), loading.rows(spec)
    probabilities = []
    for number, network in enumerate(cohort.networks()):
        train, _, test = parts_of(spec, number)
        probabilities.append(special.softmax(outputs_by_hand(network, scaled_by_hand(rows.x[test], rows.x[train])), axis=1))
    mean, truth = np.mean(probabilities, axis=0), rows.y[test]
    found = tested.judge(cohort, with_baselines=False)
    assert found is not None and found.rows == 30 and len(found.scores) == 1
    [ensemble] = found.scores
    assert ensemble.accuracy is not None and ensemble.rmse == []
    np.testing.assert_allclose(ensemble.accuracy[0], accuracy_score(truth, mean.argmax(axis=1)))
    np.testing.assert_allclose(ensemble.loss[0], log_loss(truth, mean), rtol=1e-4)
    np.testing.assert_allclose(found.single, np.mean([log_loss(truth, own) for own in probabilities]), rtol=1e-4)
    together, one = found.calibration, found.single_calibration
    assert together is not None and one is not None and (sum(together.rows), sum(one.rows)) == (30, 120)
    right = np.equal(mean.argmax(axis=1), truth)
    bins = np.array_split(np.argsort(mean.max(axis=1), kind="stable"), 3)
    np.testing.assert_allclose(together.confidence, [mean.max(axis=1)[rows].mean() for rows in bins], rtol=1e-4)
    np.testing.assert_allclose(together.accuracy, [right[rows].mean() for rows in bins])
    off = [abs(mean.max(axis=1)[rows].mean() - right[rows].mean()) for rows in bins]
    np.testing.assert_allclose(together.ece, np.mean(off), rtol=1e-4)
    assert outcome.Tested.of_plain(json.loads(json.dumps(dataclasses.asdict(found)))) == found
    summary = outcome.Summary([1.0], 1.0, 0.0, None, 1.0, 0.0, None, 1, {}, tested=found)
    assert schema.trial_metrics(summary)["test_ece"] == together.ece


def test_there_is_no_last_look_without_a_test_part() -> None:
    spec = study.compose(["data=diabetes", "data.test_fraction=0", *SMALL])
    assert dataset.load_tested(spec) is None
    assert tested.judge(study.train(spec), with_baselines=False) is None
