"""Prediction intervals of a study's champion: their width by hand, their coverage on rows never seen, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException
from scipy import stats

import study
from study import locations
from study.data import loading, splits
from study.data.scaling import learn_scaling
from study.engine import export
from study.errors import BadInput
from study.records.champion import ERRORS
from study.results import out_of_fold, predictions
from study.settings.spec import TrialSpec
from study.statistics import conformal
from study.tracking import predicting
from study.tracking.predicting import Predictor
from tests.command import ran, run

SMALL = [
    "training.epochs=10",
    "model.units=[8]",
    "replicates.count=4",
    "replicates.vary=[init,order,data]",
    "replicates.per_split=2",
]
STUDY = ["--multirun", "data=diabetes", "optimizer=adam,sgd", "hydra.sweeper.study_name=tiny", "hydra.sweeper.decide=false", *SMALL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study on diabetes ran, and the rows of its test part lie as new.csv."""
    made = ran(tmp_path_factory.mktemp("interval"), *STUDY)
    rows, _, test = splits.tested_parts(study.compose(["data=diabetes"]))
    pd.DataFrame(rows.x[test], columns=list(rows.input_names)).to_csv(made / "new.csv", index=False)
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locations.tracking_uri(None))
    return folder


def table(content: Any, spec: TrialSpec) -> pd.DataFrame:
    return pd.DataFrame(content, columns=list(loading.rows(spec).input_names))


def test_the_interval_is_as_wide_as_errors_on_rows_not_trained_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, opened = study.compose(["data=diabetes", *SMALL]), study.open("tiny")
    rows, others, test = splits.tested_parts(spec)
    held_out: dict[int, list[float]] = {}
    for number in range(4):
        trained = splits.replicate_parts(spec, number)[1]
        new = np.setdiff1d(others, trained)
        for row, value in zip(new, opened.predict(table(rows.x[new], spec), member=number)["target"], strict=True):
            held_out.setdefault(row, []).append(value)
    errors = sorted(abs(np.mean(values) - rows.y[row, 0]) for row, values in held_out.items())
    assert len(errors) > 71, "one split alone has a fifth of 354 rows"
    width = errors[int(np.ceil((len(errors) + 1) * 0.8)) - 1]
    repeated = table(rows.x[test], spec).set_axis([7] * len(test))
    predicted = opened.predict(repeated, interval=0.8)
    assert predicted.columns.tolist() == ["target", "lower", "upper"] and predicted.index.tolist() == [7] * len(test)
    np.testing.assert_allclose(predicted["upper"] - predicted["target"], width, rtol=1e-4)
    np.testing.assert_allclose(predicted["target"] - predicted["lower"], width, rtol=1e-4)
    capsys.readouterr()
    assert run("predict", "tiny", "new.csv", "--interval", "0.8") == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert written.columns.tolist() == ["target", "lower", "upper", "SD over members"]
    pd.testing.assert_frame_equal(written[["lower", "upper"]], predicted[["lower", "upper"]].reset_index(drop=True))
    (saved,) = here.glob("mlruns/**/MLmodel")
    model = mlflow.pyfunc.load_model(str(saved.parent))
    by_mlflow = model.predict(repeated, params={"interval": 0.8})
    pd.testing.assert_frame_equal(by_mlflow[[*predicted]], predicted, check_dtype=False)
    assert model.predict(repeated).columns.tolist() == ["target", "SD over members"]
    with pytest.raises(MlflowException, match=r"interval: got 2\.0"):
        model.predict(repeated, params={"interval": 2.0})


def test_what_has_no_interval_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[str] = []
    monkeypatch.setattr("study.reporting.terminal.error", lambda text, *_: errors.append(text))
    for level, more, fault in [
        ("0", (), "--interval: got 0.0; valid: a number > 0 and < 1"),
        ("1", (), "--interval: got 1.0; valid: a number > 0 and < 1"),
        ("nan", (), "--interval: got nan; valid: a number > 0 and < 1"),
        ("0.9999", (), "--interval: got 0.9999; valid: a number > 0 and <= 0.99"),
        ("0.9", ("--member", "1"), "--interval: got 0.9; valid: no member"),
    ]:
        assert run("predict", "tiny", "new.csv", "--interval", level, *more) == 2
        assert fault in errors.pop()
    with changed_metadata(here, **{ERRORS: None}):
        assert run("predict", "tiny", "new.csv", "--interval", "0.9") == 2
        assert "data.split=time" in errors.pop()
        assert run("predict", "tiny", "new.csv") == 0


def test_the_champion_of_an_earlier_version_names_the_command_that_makes_another(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []
    monkeypatch.setattr("study.reporting.terminal.error", lambda text, *_: errors.append(text))
    rows = pd.read_csv("new.csv")
    with changed_metadata(here):
        assert run("predict", "tiny", "new.csv", "--interval", "0.9") == 2
        [line] = errors.pop().splitlines()
        assert "launch the study again" in line and line.count("hydra.sweeper.study_name=tiny") == 1
        assert run("predict", "tiny", "new.csv") == 0
        with pytest.raises(BadInput, match="study_name=tiny"):
            study.open("tiny").predict(rows, interval=0.9)
        assert len(study.open("tiny").predict(rows)) == len(rows)


@contextmanager
def changed_metadata(folder: Path, **instead: Any) -> Iterator[None]:
    """Give the champion other errors for the block; without any, none, as earlier versions did."""
    (file,) = folder.glob("mlruns/**/MLmodel")
    text = file.read_text()
    content = yaml.safe_load(text)
    del content["metadata"][ERRORS]
    content["metadata"] |= instead
    try:
        file.write_text(yaml.safe_dump(content))
        yield
    finally:
        file.write_text(text)


def predictor(spec: TrialSpec) -> Predictor:
    """The champion that a study of this one setting would keep."""
    numbers = tuple(spec.replicates.numbers)
    model = export.predictor(spec, study.train(spec).networks(), [learn_scaling(spec, number) for number in numbers])
    errors, rows = out_of_fold.errors(spec, numbers, model), loading.rows(spec)
    by_member = predicting.networks(model)
    return Predictor(by_member, numbers, rows.columns, rows.target_names, rows.labels is not None, {}, True, errors)


def on_test_rows(spec: TrialSpec, level: float) -> tuple[pd.DataFrame, np.ndarray]:
    """The intervals for the rows of the test part, and what these rows' targets or class numbers are."""
    champion, (rows, _, test) = predictor(spec), splits.tested_parts(spec)
    mean, _ = champion.predict(predicting.columns(table(rows.x[test], spec)))
    widths = predictions.halfwidths(champion, level, None, lambda: "")
    return pd.DataFrame(champion.intervals(mean, widths)), rows.y[test]


@pytest.mark.parametrize(
    "data",
    [
        ["data=diabetes"],
        pytest.param(["data=friedman1", "data.test_fraction=0.3"], marks=pytest.mark.long),
        pytest.param(["data=diabetes", "data.resample=kfold"], marks=pytest.mark.long),
    ],
    ids=lambda data: data[-1],
)
def test_intervals_cover_rows_that_nothing_has_seen(data: list[str]) -> None:
    covered, count = 0, 0
    for seed in range(5):
        predicted, truth = on_test_rows(study.compose([*data, *SMALL, "training.epochs=40", f"seed={seed}"]), 0.8)
        covered += int(np.sum((predicted["lower"] <= truth[:, 0]) & (truth[:, 0] <= predicted["upper"])))
        count += len(predicted)
    # the rank is random as well as the rows: of 280 errors, a width that covers 80 % on average covers 80 ± 2.4 %
    fewest, most = stats.norm.interval(0.999, 0.8, np.sqrt(0.16 / count + 0.16 / (5 * 280)))
    assert fewest <= covered / count <= most + 0.03  # fewer networks predict a row out of fold, and err by more


@pytest.mark.long
@pytest.mark.parametrize(("data", "level"), [(["data=wine"], 0.9), (["data=breast_cancer", "loss=binary_crossentropy"], 0.99)])
def test_sets_of_classes_hold_the_likeliest_and_cover_rows_that_nothing_has_seen(data: list[str], level: float) -> None:
    covered, count, sizes = 0, 0, []
    for seed in range(5):
        spec = study.compose([*data, *SMALL, "training.epochs=12", f"seed={seed}"])
        predicted, truth = on_test_rows(spec, level)
        names = loading.rows(spec).target_names
        sets = [text.split(predicting.BETWEEN) for text in predicted["prediction set"]]
        covered += sum(names[label] in chosen for chosen, label in zip(sets, truth, strict=True))
        count, sizes = count + len(truth), [*sizes, *map(len, sets)]
    assert min(sizes) == 1 and max(sizes) > 1
    assert covered / count >= stats.binom.ppf(0.001, count, level) / count - 0.02
    assert np.mean(sizes) < len(names) - 0.2, "a set of all classes would always cover"


def test_a_set_is_by_hand_and_a_gap_has_none() -> None:
    champion = Predictor(None, (0,), (), ("a", "b", "c"), True, {}, True, np.array([[0.1], [0.3], [0.7]]))
    widths = predictions.halfwidths(champion, 0.75, None, lambda: "")
    assert widths.tolist() == [0.7]
    mean = np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.2, 0.4, 0.4], [np.nan] * 3])
    sets = pd.DataFrame(champion.intervals(mean, widths))["prediction set"]
    assert sets.fillna("nothing").tolist() == [
        "a | b",
        "a",
        "b | c",
        "nothing",
    ]
    none_is_that_likely = champion.intervals(np.array([[0.4, 0.3, 0.3]]), np.array([0.5]))
    assert none_is_that_likely["prediction set"].tolist() == ["a"]
    with pytest.raises(BadInput, match=r"<= 0\.75:"):
        predictions.halfwidths(champion, 0.76, None, lambda: "")


def test_several_targets_have_an_interval_each() -> None:
    champion = Predictor(None, (0,), (), ("y", "z"), False, {}, True, np.array([[1.0, 10.0]]))
    predicted = pd.DataFrame(champion.intervals(np.array([[5.0, 50.0]]), predictions.halfwidths(champion, 0.5, None, lambda: "")))
    assert predicted.to_dict("records") == [{"lower, y": 4, "upper, y": 6, "lower, z": 40, "upper, z": 60}]


@pytest.mark.parametrize(("count", "columns", "kept"), [(998, 1, 998), (5000, 1, 999), (5000, 11, 99)])
def test_kept_errors_give_nearly_the_widths_of_all(count: int, columns: int, kept: int) -> None:
    errors = np.random.default_rng(0).normal(size=(count, columns))
    some = conformal.kept(np.vstack([errors, np.full((1, columns), np.nan)]))
    assert some.shape == (kept, columns)
    for coverage in (0.5, 0.9, 0.95):
        whole, fewer = (np.sum(np.abs(errors) <= conformal.halfwidths(by, coverage), axis=0) for by in (errors, some))
        assert (whole <= fewer).all() and (fewer - whole <= (count + 1) / (kept + 1)).all()


def test_rows_of_a_group_that_was_trained_on_count_as_trained_on_and_rows_in_time_have_no_errors(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    content = pd.DataFrame({"x": draw.normal(size=90), "y": draw.normal(size=90), "who": [f"p{row // 6}" for row in range(90)]})
    content.to_csv(file := tmp_path / "t.csv", index=False)
    own = ["data=table", f"data.path={file}", "data.target=y", "training.batch_size=8", *SMALL]
    spec = study.compose([*own, "data.split=group", "data.group=who"])
    rows, _, _ = splits.tested_parts(spec)
    for number, trained in enumerate(splits.trained_on(spec, range(4))):
        train = splits.replicate_parts(spec, number)[1]
        assert len(train) < trained.sum() < 90, "a few rows of its groups are left out of the training part"
        assert {rows.groups[row] for row in train} == set(rows.groups[trained])
        assert not set(rows.groups[trained]) & set(rows.groups[~trained])
    timed = study.compose([*own, "data.split=time", "data.time=x", "data.drop=[who]"])
    assert out_of_fold.errors(timed, range(4), None) is None
