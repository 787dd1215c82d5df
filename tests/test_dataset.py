"""Data: what is loaded, split, normalised, disturbed, and refused."""

import contextlib
import dataclasses
import gzip
import itertools
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import study
from study.config import decode
from study.data import dataset, encoding, inputs, loading, scaling, splits, tables
from study.data.encoding import TableColumn
from study.data.rows import Rows
from study.errors import BadInput, Fault
from study.records.dataset import Dataset
from study.settings import data as kinds
from study.settings import spec
from study.settings.data import Data, UserTable
from study.settings.spec import TrialSpec

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
RNG = np.random.default_rng(0)
N = 40
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(20, 60, N),
        "size": RNG.normal(size=N).round(3),
        "city": np.array(["Bergen", "Århus", "Oslo"])[np.arange(N) % 3],
        "member": np.arange(N) % 2 == 0,
        "price": RNG.normal(size=N).round(3),
        "grade": np.array(["good", "poor"])[np.arange(N) % 2],
        "stars": np.arange(N) % 4 + 1,
    }
)


def load(data: Data, number: int = 0, *vary: str, seed: int = 0) -> Dataset:
    replicates = dataclasses.replace(TrialSpec().replicates, vary=vary)
    return dataset.load_replicate(dataclasses.replace(TrialSpec(seed=seed, replicates=replicates), data=data, loss=_auto()), number)


def _auto() -> Any:
    return spec.KINDS["loss"]["auto"]()


def stored(folder: Path, frame: pd.DataFrame, **options: Any) -> str:
    path = folder / "table.csv"
    frame.to_csv(path, index=False, **options)
    return str(path)


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def faults_of(call: Any, *arguments: Any) -> list[Fault]:
    with pytest.raises(BadInput) as bad:
        call(*arguments)
    return list(bad.value.faults)


def bits(data: Dataset) -> list[bytes]:
    return [array.tobytes() for array in (data.x_train, data.y_train, data.x_val, data.y_val)]


# -- kinds -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rows", "inputs", "outputs"),
    [
        (kinds.Noise(), 1000, 10, 1),
        (kinds.Noise(rows=50, features=3, outputs=2), 50, 3, 2),
        (kinds.Teacher(rows=60, features=4, outputs=2, units=(8, 8), activation="relu"), 60, 4, 2),
        (kinds.Friedman1(rows=70), 70, 10, 1),
        (kinds.Diabetes(), 442, 10, 1),
        (kinds.Digits(), 1797, 64, 10),
        (kinds.BreastCancer(), 569, 30, 2),
        (kinds.Wine(), 178, 13, 3),
        (kinds.Iris(), 150, 4, 3),
    ],
)
def test_a_kind_has_its_rows_inputs_and_outputs(data: Data, rows: int, inputs: int, outputs: int) -> None:
    loaded = load(data)
    others = rows - round(data.test_fraction * rows)
    assert len(loaded.x_train) + len(loaded.x_val) == others and len(loaded.x_val) == round(0.2 * others)
    assert loaded.x_train.shape[1] == inputs == len(loaded.input_names)
    # a champion keeps them as YAML, which writes no text of NumPy's
    assert {type(name) for name in (*loaded.input_names, *loaded.target_names)} == {str}
    assert loaded.outputs == outputs == len(loaded.target_names)
    assert loaded.x_train.dtype == np.float32
    classification = data.task == kinds.CLASSIFICATION
    assert loaded.y_train.dtype == (np.int32 if classification else np.float32)
    assert loaded.y_train.ndim == (1 if classification else 2)


@pytest.mark.parametrize("name", kinds.KINDS)
def test_the_configuration_file_holds_every_setting_with_its_default(name: str) -> None:
    content = yaml.safe_load((Path(__file__).parent.parent / f"conf/data/{name}.yaml").read_text())
    expected = {each.name: each.default for each in dataclasses.fields(kinds.KINDS[name])}  # type: ignore[arg-type]
    if name == "table":
        expected |= {"task": "auto", "path": None, "target": None}
    assert content.pop("name") == name
    assert content == {key: list(value) if isinstance(value, tuple) else value for key, value in expected.items()}


def test_noise_is_uniform_and_not_normalised() -> None:
    loaded = load(kinds.Noise(rows=4000))
    for array in (loaded.x_train, loaded.y_train):
        assert array.min() >= 0 and array.max() < 1
        assert array.mean() == pytest.approx(0.5, abs=0.03)
    assert loaded.y_train.var() == pytest.approx(1 / 12, rel=0.05)


def test_the_root_seed_draws_the_rows() -> None:
    assert bits(load(kinds.Noise(), seed=1)) != bits(load(kinds.Noise(), seed=2))
    assert bits(load(kinds.Teacher(), seed=1)) == bits(load(kinds.Teacher(), seed=1))


def test_friedman1_is_its_formula() -> None:
    rows = loading.load(kinds.Friedman1(noise=0), 3, None)
    x = rows.x
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    np.testing.assert_allclose(rows.y[:, 0], y)


def test_a_teachers_answers_have_sd_1_beside_their_noise() -> None:
    quiet = loading.load(kinds.Teacher(rows=4000), 3, None)
    noisy = loading.load(kinds.Teacher(rows=4000, noise=0.5), 3, None)
    assert quiet.y.std() == pytest.approx(1, rel=1e-3)
    assert (noisy.y - quiet.y).std() == pytest.approx(0.5, rel=0.05)


# -- parts -------------------------------------------------------------------------------------------------------------------

PARTS = st.builds(
    kinds.Noise,
    rows=st.integers(10, 60),
    features=st.integers(1, 3),
    resample=st.sampled_from(["split", "kfold", "bootstrap"]),
    folds=st.integers(2, 6),
    validation_fraction=st.floats(0.1, 0.9),
)
SEEDS = st.integers(0, 2**32 - 1)


def _unlabelled(count: int) -> Rows:
    return Rows(np.zeros((count, 1)), np.zeros((count, 1)), (TableColumn("x"),), ("y",))


@given(PARTS, SEEDS, SEEDS, st.integers(0, 5))
@settings(UNTIMED)
def test_the_parts_are_apart_and_without_a_bootstrap_all_rows(data: kinds.Noise, root: int, seed: int, number: int) -> None:
    train, val = splits.parts(data, _unlabelled(data.rows), root, seed, number % data.folds)
    assert len(train) and len(val) and not set(train) & set(val)
    assert len(train) + len(val) == data.rows
    if data.resample != "bootstrap":
        assert sorted([*train, *val]) == list(range(data.rows))


@given(PARTS, SEEDS)
@settings(UNTIMED, max_examples=30)
def test_replicates_have_equal_shapes(data: kinds.Noise, root: int) -> None:
    shapes = {
        tuple(array.shape for array in (each.x_train, each.y_train, each.x_val, each.y_val))
        for each in (load(data, number, "data", seed=root) for number in range(4))
    }
    assert len(shapes) == 1


def test_the_folds_share_no_row_and_leave_out_less_than_one_each() -> None:
    data = kinds.Noise(rows=23, folds=5, resample="kfold")
    folds = [splits.parts(data, _unlabelled(23), 9, 9, fold)[1] for fold in range(5)]
    assert [len(fold) for fold in folds] == [4] * 5
    assert len(set(np.concatenate(folds))) == 20


@pytest.mark.parametrize("resample", ["split", "kfold", "bootstrap"])
def test_only_replicates_that_vary_the_data_see_different_data(resample: str) -> None:
    data = kinds.Iris(resample=resample)
    assert load(data, 1, "data") is not load(data, 0, "data")
    assert bits(load(data, 1, "data")) != bits(load(data, 0, "data"))
    assert load(data, 1) is load(data, 0) is load(data, 0, "data")
    assert load(data, 3, "data") is load(data, 3, "data", "init")


def test_replicates_of_one_fold_share_it_and_what_is_held_is_held_once() -> None:
    data = kinds.Iris(resample="kfold", folds=7)
    held = [load(data, number, "data") for number in range(7)]
    assert len({id(each) for each in held}) == 7
    assert [id(load(data, number, "data")) for number in range(7, 14)] == [id(each) for each in held]


def test_a_bootstrap_keeps_its_validation_part_and_repeats_training_rows() -> None:
    data = kinds.Noise(rows=100, resample="bootstrap")
    first, second = load(data, 0, "data"), load(data, 1, "data")
    assert first.x_val.tobytes() == second.x_val.tobytes()
    assert 40 < len(np.unique(first.x_train, axis=0)) < 65  # of 80; 1 − 1/e of them on average


def test_load_data_is_that_of_the_first_replicate_and_load_replicates_of_all() -> None:
    replicates = dataclasses.replace(TrialSpec().replicates, count=3, first=2)
    object.__setattr__(replicates, "vary", ("data",))
    wanted = TrialSpec(replicates=replicates)
    found = dataset.load_replicates(wanted)
    assert dataset.load_data(wanted) is found[0]
    assert len({id(each) for each in found}) == 3


def test_a_batch_larger_than_the_training_part_is_refused_and_none_is_all_rows() -> None:
    def of(batch_size: int | None) -> TrialSpec:
        training = TrialSpec().training
        object.__setattr__(training := dataclasses.replace(training), "batch_size", batch_size)
        return TrialSpec(training=training)

    assert len(dataset.load_data(of(283)).x_train) == 283 == len(dataset.load_data(of(None)).x_train)
    [fault] = faults_of(dataset.load_data, of(284))
    assert fault.key == "training.batch_size" and "283" in fault.valid


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (kinds.Noise(rows=2, validation_fraction=0.9), "data.validation_fraction"),
        (kinds.Noise(rows=4, validation_fraction=0.1), "data.validation_fraction"),
        (kinds.Noise(rows=4, resample="kfold"), "data.folds"),
    ],
)
def test_parts_without_rows_are_refused(data: Data, key: str) -> None:
    assert [fault.key for fault in faults_of(load, data)] == [key]


# -- normalisation and noise -------------------------------------------------------------------------------------------------

VALUES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=6, max_size=20)


@given(VALUES, st.sampled_from(["none", "standard", "minmax", "robust"]), st.data())
@settings(UNTIMED)
def test_a_statistic_is_the_training_parts_only(values: list[float], scale: str, data: st.DataObject) -> None:
    column = np.array(values, np.float32)[:, None]
    train, val = np.arange(4), np.arange(4, len(values))
    changed = column.copy()
    changed[val] = data.draw(st.floats(-1e6, 1e6, width=32) | st.just(np.nan))
    before, _ = scaling.scaled(column, train, val, scale, "mean")
    after, judged = scaling.scaled(changed, train, val, scale, "mean")
    assert before.tobytes() == after.tobytes()
    assert np.isfinite(judged).all()


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("none", [0, 1, 2, 3, 8]),
        ("standard", [-1.341641, -0.447214, 0.447214, 1.341641, 5.813777]),
        ("minmax", [0, 1 / 3, 2 / 3, 1, 8 / 3]),
        ("robust", [-1, -1 / 3, 1 / 3, 1, 13 / 3]),
    ],
)
def test_each_scale_is_its_definition_and_a_constant_column_is_zero(scale: str, expected: list[float]) -> None:
    x = np.array([[0, 7], [1, 7], [2, 7], [3, 7], [8, 9]], float)
    train, val = scaling.scaled(x, np.arange(4), np.array([4]), scale, "mean")
    np.testing.assert_allclose([*train[:, 0], *val[:, 0]], expected, rtol=1e-5)
    assert not train[:, 1].any() and not val[:, 1].any()


@pytest.mark.parametrize(("missing", "expected"), [("mean", 3.25), ("median", 2), ("most_frequent", 2)])
def test_a_missing_number_is_filled_by_the_training_part(missing: str, expected: float) -> None:
    x = np.array([[2], [2], [np.nan], [1], [8], [np.nan], [100]], float)
    train, val = scaling.scaled(x, np.arange(5), np.arange(5, 7), "none", missing)
    assert train[2] == val[0] == expected


def test_noise_is_on_the_training_part_only_with_its_sd() -> None:
    quiet = load(kinds.Teacher(rows=5000))
    noisy = load(kinds.Teacher(rows=5000, feature_noise=0.5, target_noise=2))
    assert quiet.x_val.tobytes() == noisy.x_val.tobytes() and quiet.y_val.tobytes() == noisy.y_val.tobytes()
    assert (noisy.x_train - quiet.x_train).std() == pytest.approx(0.5, rel=0.02)
    assert (noisy.y_train - quiet.y_train).std() == pytest.approx(2, rel=0.05)
    assert noisy.y_train.var() == pytest.approx(5, rel=0.1)


def test_a_share_of_the_labels_becomes_another_class() -> None:
    quiet, noisy = load(kinds.Digits()), load(kinds.Digits(target_noise=0.25))
    assert np.mean(quiet.y_train != noisy.y_train) == pytest.approx(0.25, abs=1e-3)
    assert quiet.y_val.tobytes() == noisy.y_val.tobytes()
    assert set(load(kinds.BreastCancer(target_noise=1)).y_train + load(kinds.BreastCancer()).y_train) == {1}


def test_replicates_that_vary_the_noise_differ_in_nothing_else() -> None:
    data = kinds.Iris(feature_noise=0.1)
    first, second = load(data, 0, "noise"), load(data, 1, "noise")
    assert first.x_train.tobytes() != second.x_train.tobytes()
    assert bits(first)[1:] == bits(second)[1:]
    assert load(kinds.Iris(), 0, "noise") is load(kinds.Iris(), 1, "noise")


# -- tables ------------------------------------------------------------------------------------------------------------------


def rows_of(table: UserTable) -> Rows:
    return tables.read(table)


def expected_inputs(frame: pd.DataFrame) -> npt.NDArray[Any]:
    cities = [frame["city"] == city for city in ("Bergen", "Oslo", "Århus")]
    return np.column_stack([frame["age"], frame["size"], *cities, frame["member"]]).astype(np.float32)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "named"),
    itertools.product(["utf-8", "utf-8-sig", "utf-16", "cp1252"], [",", ";", "\t", "|"], [False, True]),
)
def test_an_encoding_and_a_delimiter_are_found_or_given(tmp_path: Path, encoding: str, delimiter: str, named: bool) -> None:
    path = stored(tmp_path, FRAME, sep=delimiter, encoding=encoding)
    given = {"encoding": encoding, "delimiter": delimiter} if named else {}
    rows = rows_of(UserTable(path=path, target="price", drop=("grade", "stars"), **given))
    np.testing.assert_array_equal(rows.x, expected_inputs(FRAME))
    np.testing.assert_array_equal(rows.y[:, 0], FRAME["price"].to_numpy(np.float32))
    assert rows.input_names == ("age", "size", "city=Bergen", "city=Oslo", "city=Århus", "member=True")


@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "categories", "no suffix"])
def test_other_files_are_the_same_table(tmp_path: Path, kind: str) -> None:
    path = tmp_path / {"csv.gz": "t.csv.gz", "no suffix": "t"}.get(kind, "t.parquet")
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))
    else:
        (FRAME.astype({"city": "category"}) if kind == "categories" else FRAME).to_parquet(path)
    rows = rows_of(UserTable(path=str(path), target="grade", task="classification", drop=("price", "stars")))
    np.testing.assert_array_equal(rows.x, expected_inputs(FRAME))
    np.testing.assert_array_equal(rows.y, np.arange(N) % 2)
    assert rows.target_names == ("good", "poor")


@pytest.mark.parametrize(("delimiter", "quote"), [(";", ""), (",", '"')])
def test_decimal_commas_are_read_where_they_are_asked_for(tmp_path: Path, delimiter: str, quote: str) -> None:
    (tmp_path / "t.csv").write_text("a;y\n#1,5#;#-1e3#\n2;#0,25#\n".replace(";", delimiter).replace("#", quote))
    x, y, *_ = tables.read(UserTable(path=str(tmp_path / "t.csv"), target="y", decimal=","))
    assert x.tolist() == [[1.5], [2.0]] and y.tolist() == [[-1000.0], [0.25]]


def test_blanks_around_a_text_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\nu ,1, s\n u, 2,t\nv,3,s \n ,4,t\n")
    settings = UserTable(path=str(tmp_path / "t.csv"), target="y", task="classification", missing="mean")
    x, y, columns, classes, *_ = tables.read(settings)
    assert [(column.name, column.levels, column.gaps) for column in columns] == [("a", ("u", "v"), True), ("b", (), False)]
    assert classes == ("s", "t") and y.tolist() == [0, 1, 0, 1]
    assert x.tolist() == [[1, 0, 1], [1, 0, 2], [0, 1, 3], [0, 0, 4]]
    rows = {"a": np.array(["u ", " v", "  "], object), "b": np.array([1, 2, 3], object)}
    assert encoding.encode(columns, rows).tolist() == [[1, 0, 1], [0, 1, 2], [0, 0, 3]]


@pytest.mark.parametrize(("decimal", "number"), [(".", "2.5"), (",", "2,5")])
def test_a_blank_among_numbers_is_nothing(tmp_path: Path, decimal: str, number: str) -> None:
    (tmp_path / "t.csv").write_text(f"a;b;y\n1;5;{number}\n  ;6;3\n{number}; ;4\n")
    settings = UserTable(path=str(tmp_path / "t.csv"), target="y", missing="mean", decimal=decimal)
    x, y, columns, *_ = tables.read(settings)
    assert [column.name for column in columns] == ["a", "b"] and y[:, 0].tolist() == [2.5, 3, 4]
    np.testing.assert_array_equal(x, [[1, 5], [np.nan, 6], [2.5, np.nan]])
    assert tables.resolve_task(settings) == "regression"


def test_one_hint_names_all_that_may_be_missing(tmp_path: Path) -> None:
    texts = ["abc", "it's no", "", "xyz"]
    lines = [f"{row},{texts[row % 3] if row % 9 < 2 else row},{texts[3] if row == 5 else row % 7},{row}.5" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    given = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "training.batch_size=4", "data.missing=mean"]
    with pytest.raises(BadInput) as refused:
        loading.rows(study.compose(given))
    last = str(refused.value.faults[-1])
    asked, _, rest = last.partition("if 'abc', \"it's no\" and 'xyz' stand for missing values: ")
    hint, _, drop = rest.partition(", or leave them out: ")
    assert asked and shlex.split(drop) == ["data.drop=[b,c]"]
    assert loading.rows(study.compose([*given, *shlex.split(hint)])).input_names[:3] == ("a", "b", "c")


def test_numbers_with_another_mark_are_slips(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b;y\n1,5;1.5;2,5\n2,5;2.5;3,5\nabc;1.5;1,25\n")
    faults = faults_of(tables.read, UserTable(path=str(tmp_path / "t.csv"), target="y", decimal=","))
    assert ["'abc' among numbers, row 3\"; valid" in str(fault) for fault in faults] == [True, False]
    assert "'1.5' among numbers" in str(faults[1]) and "decimal commas" in str(faults[1])
    (tmp_path / "t.csv").write_text("a;y\n1,234;2\n12,000;3\n950;4\n")
    assert tables.read(UserTable(path=str(tmp_path / "t.csv"), target="y")).x.tolist() == [[1234], [12000], [950]]  # thousands


def test_quoted_fields_hold_delimiters_and_line_ends(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b,y\n"one, two",1,1\n"three\nfour",2,2\n"one, two",3,5\n')
    assert rows_of(UserTable(path=path, target="y")).input_names == ("a=one, two", "a=three\nfour", "b")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_ends_and_blank_lines_will_do(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, end.join(["größe,y", "1,2", "", "3,4", "", ""]).encode("cp1252"))
    rows = rows_of(UserTable(path=path, target="y"))
    assert rows.input_names == ("größe",) and rows.x.tolist() == [[1], [3]] and rows.y.tolist() == [[2], [4]]


def test_a_type_that_only_later_lines_show_is_found(tmp_path: Path) -> None:
    n = 300_000  # several of Arrow's blocks
    frame = pd.DataFrame({"a": np.arange(n), "b": ["1"] * (n - 1) + ["2.5"], "c": [""] * (n - 1) + ["7"], "y": np.arange(n) % 7})
    rows = rows_of(UserTable(path=stored(tmp_path, frame), target="y", missing="mean", drop=("c",)))
    assert rows.x[-1].tolist() == [n - 1, 2.5]


@given(st.lists(st.sampled_from(["a", "b", "ü", "d e"]), min_size=4, max_size=12).filter(lambda texts: len(set(texts)) > 1))
@settings(UNTIMED, max_examples=30)
def test_one_hot_columns_tell_the_text_again(tmp_path: Path, texts: list[str]) -> None:
    path = stored(tmp_path, pd.DataFrame({"t": texts, "y": range(len(texts))}))
    rows = rows_of(UserTable(path=path, target="y"))
    assert rows.input_names == tuple(f"t={level}" for level in sorted(set(texts)))
    assert [rows.input_names[at].removeprefix("t=") for at in rows.x.argmax(axis=1)] == texts
    assert (rows.x.sum(axis=1) == 1).all()


def test_a_level_that_the_training_part_lacks_is_zero_everywhere(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": ["a", "b"] * 10 + ["rare"], "y": range(21)})
    path = stored(tmp_path, frame)
    for normalise in ("none", "standard"):
        replicates = [load(UserTable(path=path, target="y", normalise=normalise), number, "data") for number in range(30)]
        unseen = [each for each in replicates if not each.x_train[:, 2].any()]
        assert unseen and not any(each.x_val[:, 2].any() for each in unseen)


def test_a_missing_text_is_none_of_the_levels_and_a_missing_number_is_filled(tmp_path: Path) -> None:
    path = written(tmp_path, "t,a,y\nu,1,1\n,2,2\nv,,3\nu,3,4\nv,5,5\n")
    rows = rows_of(UserTable(path=path, target="y", missing="median"))
    assert rows.x[1].tolist() == [0, 0, 2] and np.isnan(rows.x[2, 2])
    loaded = load(UserTable(path=path, target="y", missing="median"))
    assert np.isfinite(loaded.x_train).all() and np.isfinite(loaded.x_val).all()


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ("grade", "classification"),
        ("member", "classification"),
        ("stars", "classification"),
        ("age", "regression"),
        ("price", "regression"),
    ],
)
def test_auto_is_resolved_by_the_target_and_the_loss_by_it(tmp_path: Path, target: str, task: str) -> None:
    table = {"name": "table", "path": stored(tmp_path, FRAME), "target": target, "task": "auto"}
    built = decode.trial_spec(OmegaConf.create({"data": table, "loss": {"name": "auto"}}))
    assert built.data.task == task == spec.as_mapping(built)["data"]["task"]
    assert built.loss.name == ("mse" if task == "regression" else "sparse_categorical_crossentropy")
    assert spec.build(spec.as_mapping(built)) == built
    assert dataset.load_data(built).outputs == {"grade": 2, "member": 2, "stars": 4}.get(target, 1)


@pytest.mark.parametrize(
    ("counts", "task"),
    [
        ((40, 4), "classification"),
        ((30, 9, 5), "classification"),
        ((30, 9, 4), "regression"),
        ((3,) * 20, "regression"),
        ((9,) * 20, "classification"),
        ((9,) * 21, "regression"),
    ],
)
def test_whole_numbers_are_classes_where_each_has_rows_enough(counts: tuple[int, ...], task: str, tmp_path: Path) -> None:
    values = [value for value, count in enumerate(counts) for _ in range(count)]
    lines = [f"{row % 7}.5,{value}" for row, value in enumerate(values)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *lines]) + "\n")
    built = study.compose(["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "training.batch_size=4"])
    assert built.data.task == task
    told = "(data.task=classification treats its numbers as classes)" in inputs.reading(built, dataset.load_data(built))
    assert told == (task == "regression" and len(counts) <= 20)


def test_a_tables_faults_are_told_beside_the_others(tmp_path: Path) -> None:
    table = {"name": "table", "path": stored(tmp_path, FRAME), "target": "prize", "task": "auto"}
    config = OmegaConf.create({"data": table, "seed": -1, "model": {"units": [0]}})
    assert {fault.key for fault in faults_of(decode.trial_spec, config)} == {"data.target", "seed", "model.units"}
    config = OmegaConf.create({"data": table | {"folds": 0, "path": None}})
    assert {fault.key for fault in faults_of(decode.trial_spec, config)} == {"data.folds", "data.path"}


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert UserTable(path="t.csv", target="y").path == str(tmp_path / "t.csv")


def test_a_digest_is_that_of_the_rows(tmp_path: Path) -> None:
    def of(**changed: Any) -> str:
        return loading.digest(TrialSpec(data=UserTable(path=path, target="price", **changed)))

    path = stored(tmp_path, FRAME)
    first = of()
    assert len(first) == 64
    assert first == of(normalise="minmax", validation_fraction=0.5, resample="kfold")
    assert first != of(drop=("size",))
    path = stored(tmp_path, FRAME.assign(size=FRAME["size"] + 1), sep=";")
    assert first != of()
    path = stored(tmp_path, FRAME, sep="|")
    assert first == of()
    assert loading.digest(TrialSpec(data=kinds.Noise())) != loading.digest(TrialSpec(data=kinds.Noise(), seed=1))


BASE = "a,b,y\n1,2,3\n2,3,5\n4,4,6\n5,6,9\n8,7,1\n"
MANY = "".join(f"{i},name{i},{i}\n" for i in range(60))

# content, settings, key, and what the fault's text says
BAD_TABLES: list[Any] = [
    pytest.param("", {}, "data.path", ["empty"], id="an empty file"),
    pytest.param(b"\n\n", {}, "data.path", ["names in its first line"], id="blank lines"),
    pytest.param("a,y\n", {}, "data.path", ["0 rows"], id="a header alone"),
    pytest.param("a,y\n1,2\n", {}, "data.path", ["1 rows"], id="one row"),
    pytest.param(BASE + "1,2\n", {}, "data.path", ["row 6", "3 fields", "has 2"], id="a short row"),
    pytest.param(BASE + "1,2,3,4\n", {}, "data.path", ["row 6", "has 4"], id="a long row"),
    pytest.param(BASE, {"target": "Y"}, "data.target", ["a, b, y"], id="an unknown target"),
    pytest.param("price,size\n1,2\n2,3\n", {"target": "prize"}, "data.target", ["did you mean price?"], id="nearly a target"),
    pytest.param(BASE, {"drop": ["c"]}, "data.drop", ["a, b, y"], id="an unknown column to drop"),
    pytest.param("a,y\n1,\n2,3\n5,\n", {}, "data.target", ["in 1 rows"], id="a single target"),
    pytest.param(BASE, {"target": ["a", "c"]}, "data.target", ["a, b, y"], id="an unknown second target"),
    pytest.param(BASE, {"weight": "w"}, "data.weight", ["a, b, y"], id="an unknown weight"),
    pytest.param(BASE, {"weight": "y"}, "weight", ["of its own"], id="the target as weight"),
    pytest.param("w,a,y\n1,2,3\n-1,3,4\n", {"weight": "w"}, "data.weight", ["negative number in row 2"], id="a negative weight"),
    pytest.param("w,a,y\n1,2,3\n,3,4\n", {"weight": "w"}, "data.weight", ["no value in row 2"], id="a missing weight"),
    pytest.param("w,a,y\nu,2,3\nv,3,4\n", {"weight": "w"}, "data.weight", ["texts"], id="weights that are texts"),
    pytest.param(BASE, {"class_weight": "balanced"}, "class_weight", ["regression"], id="class weights of a regression"),
    pytest.param(BASE, {"target": ["a", "y"], "task": "classification"}, "target", ["one column"], id="several columns of classes"),
    pytest.param(BASE, {"drop": ["y"]}, "drop", ["other than the target"], id="the target dropped"),
    pytest.param(BASE, {"drop": ["a", "b"]}, "data.path", ["no column"], id="nothing left"),
    pytest.param(BASE.replace("b", "a"), {}, "data.path", ["'a'", "several columns"], id="one name twice"),
    pytest.param(
        BASE + "1,,3\n9,,4\n", {"missing": "refuse"}, "data.missing", ["'b'", "row 6 (first of 2)", "drop=[b]"], id="missing"
    ),
    pytest.param(BASE + "inf,2,3\n-inf,3,4\n", {}, "data.path", ["'a'", "row 6 (first of 2)"], id="infinite"),
    pytest.param(BASE + "1,2e37,3\n", {}, "data.path", ["'b'", "2e+37 in row 6"], id="beyond 1e37"),
    pytest.param(BASE + "1,2,-3e38\n", {}, "data.path", ["'y'", "-3e+38 in row 6"], id="a target beyond 1e37"),
    pytest.param(BASE + "1,two,3\n", {}, "data.path", ["'b'", "'two' among numbers", "row 6"], id="text among numbers"),
    pytest.param(BASE + "1,2,three\n", {}, "data.path", ["'y'", "'three' among numbers", "row 6"], id="text in the target"),
    pytest.param("a;y\n1,5;1\n2,5;2\n", {}, "data.path", ["'1,5' among numbers", "data.decimal="], id="decimal commas"),
    pytest.param("b,y\n2,3\n2,4\n", {}, "data.path", ["b (always 2)", "at least one input"], id="a constant column alone"),
    pytest.param("a,b,y\nu,,3\nu,,4\n", {}, "data.path", ["a (always 'u'); b (empty)"], id="nothing that varies"),
    pytest.param("a,y\n1,3\n2,3\n", {}, "data.target", ["'y'", "the same"], id="a constant target"),
    pytest.param("a,b,y\n1,u,3\n2,v,4\n", {"columns": ["b: date"]}, "data.path", ["'b'", "'u', no date"], id="no date"),
    pytest.param("a,b,y\n1,u,3\n2,v,4\n", {"columns": ["b: number"]}, "data.path", ["'b'", "'u', no number"], id="no number"),
    pytest.param(BASE, {"columns": ["b: boolean"]}, "data.path", ["'b'", "5 different values"], id="no boolean"),
    pytest.param(BASE, {"columns": ["c: drop"]}, "data.columns", ["a, b, y"], id="a role of an unknown column"),
    pytest.param("a,b,y\n1,u,s\n2,v,t\n3,u,t\n4,v,s\n", {}, "data.task", ["classification"], id="a regression on text"),
    pytest.param(
        "a,b,y\n" + MANY, {"target": "b", "task": "classification"}, "data.target", ["60 classes in 60"], id="id as class"
    ),
    pytest.param("a,y\n1,1700000001\n3,1700000002\n", {}, "data.path", ["'y'", "single precision"], id="too fine"),
    pytest.param("name,y\nå,1\nb,2\n".encode("cp1252"), {"encoding": "utf-8"}, "data.encoding", ["cp1252"], id="encoding"),
    pytest.param(b"name,y\n\x00\x81,1\nb,2\n", {}, "data.encoding", ["utf-8"], id="no text"),
    pytest.param(b"PAR1 and no more", {}, "data.path", ["Parquet"], id="half a Parquet file"),
    pytest.param(b"\x1f\x8b and no more", {}, "data.path", ["can be read"], id="half a gzip file"),
    pytest.param(gzip.compress(BASE.encode())[:-20] + bytes(20), {}, "data.path", ["can be read"], id="a damaged gzip file"),
    pytest.param("\x1b[2J,y\n1,2\n3,4\n", {"target": "z"}, "data.target", ["\\x1b"], id="control characters"),
]


@pytest.mark.parametrize(("content", "changed", "key", "texts"), BAD_TABLES)
def test_a_bad_table_is_told_by_column_and_row(
    tmp_path: Path, content: str | bytes, changed: dict[str, Any], key: str, texts: list[str]
) -> None:
    path = written(tmp_path, content)
    [fault] = faults_of(lambda: rows_of(UserTable(**{"path": path, "target": "y"} | changed)))
    assert fault.key == key
    assert [text for text in texts if text not in str(fault)] == []
    assert "\x1b" not in str(fault)


PIECES = st.sampled_from(["a", "y", "1", "2.5", "-", "é", "nan", "true", "2020-01-02", ",", ";", "\t", '"', "\n", "\r", " ", "\0"])


@given(st.lists(PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode()) | st.binary(max_size=30), st.booleans())
@settings(UNTIMED, max_examples=300)
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes, named: bool) -> None:
    path = written(tmp_path, b"a,y\n1,2\n" + content if named else content)
    for task in ("regression", "classification"):
        with contextlib.suppress(BadInput):
            rows = rows_of(UserTable(path=path, target="y", task=task, missing="mean"))
            assert len(rows.x) == len(rows.y) > 1 and np.isfinite(rows.y).all()


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pd.array([None] * 4, "str"), "(empty)"),
        ([np.nan] * 4, "(empty)"),
        ([[1], [2], [3], [4]], "(list<element: int64>, which can't become numbers)"),
        ([b"\xff", b"b", b"c", b"d"], "(binary, which can't become numbers)"),
    ],
)
def test_a_parquet_column_that_is_no_input_is_left_out(tmp_path: Path, column: Any, text: str) -> None:
    pd.DataFrame({"a, b": column, "n": [1, 2, 3, 5], "y": [1.5, 2, 3, 4]}).to_parquet(path := tmp_path / "t.parquet")
    rows = rows_of(UserTable(path=str(path), target="y"))
    assert rows.x.tolist() == [[1], [2], [3], [5]] and rows.block[-1].endswith(f"a, b {text}; data.columns changes roles")


def test_a_target_of_numbers_as_texts_is_read_for_a_regression(tmp_path: Path) -> None:
    prices = [f"${1000 + 7 * row:,}" for row in range(30)]
    pd.DataFrame({"a": range(0, 60, 2), "y": prices}).to_parquet(path := tmp_path / "t.parquet")
    assert tables.read(UserTable(path=str(path), target="y", task="regression")).y[:2, 0].tolist() == [1000, 1007]
    [fault] = faults_of(tables.read, UserTable(path=str(path), target="y", task="classification"))
    assert fault.valid.endswith("'$1,000' is a text here: data.task=regression reads it as a number")


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_texts_of_a_typed_file_are_numbers_where_that_is_said(tmp_path: Path, kind: str) -> None:
    """They stay texts otherwise, since a program that wrote them as such meant to, and the note says what may have been meant."""
    sizes = [f"${1000 + 7 * row:,}" for row in range(28)]
    frame = pd.DataFrame({"a": range(30), "size": [*sizes, None, None], "zip": ["01234", "56789"] * 15, "y": np.arange(30.0)})
    path = str(tmp_path / f"t.{kind}")
    frame.to_parquet(path) if kind == "parquet" else frame.to_feather(path)
    found = rows_of(UserTable(path=path, target="y"))
    assert [column.name for column in found.columns] == ["a", "zip"] and found.x.shape == (30, 3)
    hint = "texts, although they look like numbers: size ('$1,000'), zip ('01234'); as numbers: 'data.columns=[\"size: number\"]'"
    assert hint in found.notes
    said = rows_of(UserTable(path=path, target="y", columns=("size: number", "zip: category")))
    assert [column.name for column in said.columns] == ["a", "size", "zip"]
    assert said.x[:2, 1].tolist() == [1000, 1007] and np.isnan(said.x[28:, 1]).all()
    assert not any("look like numbers" in note for note in said.notes)


def test_an_infinite_number_in_a_parquet_file_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a, b": [0, 1, 2, np.inf], "y": [1.5, 2, 3, 4]}).to_parquet(path := tmp_path / "t.parquet")
    [fault] = faults_of(tables.read, UserTable(path=str(path), target="y"))
    assert "row 4" in str(fault) and """'data.drop=["a, b"]'""" in fault.valid


@pytest.mark.parametrize(("name", "text"), [("", "a directory"), ("none.csv", "no such file"), ("x" * 300, "can be read")])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    table = UserTable(path=str(tmp_path / name), target="y")
    for call in (tables.read, tables.resolve_task, load):
        [fault] = faults_of(call, table)
        assert fault.key == "data.path" and text in fault.valid


def test_all_columns_faults_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,c,d,y\n1,inf,7,,3\n2,2,1e38,1,5\n3,2,7,2,4\n")
    faults = faults_of(tables.read, UserTable(path=path, target="y", missing="refuse"))
    assert [fault.key for fault in faults] == ["data.path", "data.path", "data.missing"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": None}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"target": None}, "target"),
        ({"task": "auto"}, "task"),
        ({"drop": "id"}, "drop"),
        ({"drop": [3]}, "drop"),
        ({"missing": "zero"}, "missing"),
        ({"delimiter": ",,,,"}, "delimiter"),
        ({"delimiter": "a"}, "delimiter"),
        ({"encoding": "utf-9"}, "encoding"),
        ({"max_levels": 1}, "max_levels"),
        ({"task": "classification", "target_noise": 1.5}, "target_noise"),
        ({"normalise": "max"}, "normalise"),
        ({"resample": "jackknife"}, "resample"),
        ({"folds": 1}, "folds"),
        ({"feature_noise": -1}, "feature_noise"),
    ],
)
def test_a_bad_setting_of_a_table_is_told_under_its_key(settings: dict[str, Any], key: str) -> None:
    assert [fault.key for fault in faults_of(lambda: UserTable(**{"path": "t.csv", "target": "y"} | settings))] == [key]


@pytest.mark.parametrize("delimiter", ["tab", "\\t", "\t"])
def test_a_tab_can_be_written_in_three_ways(delimiter: str) -> None:
    assert UserTable(path="t.csv", target="y", delimiter=delimiter).delimiter == "\t"
