"""A study as tables and arrays: what `study.open` gives is what was trained and recorded."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from study.results.study_handle import Study
from tests.command import client, forget, ran

RATES = [0.01, 0.1, 1e30]
TINY = ["training.epochs=3", "replicates.first=5", "replicates.count=2", "model.units=[4]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of three trials ran, one of which diverges; its replicates are 5 and 6."""
    rates = f"optimizer.learning_rate={','.join(map(str, RATES))}"
    return ran(tmp_path_factory.mktemp("opened"), "--multirun", rates, "hydra.sweeper.study_name=tiny", *TINY, code=5)


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(folder)
    return study.open("tiny")


@pytest.fixture(scope="module")
def trained() -> study.Cohort:
    """What trial 1 trains."""
    return study.train(study.compose(["optimizer.learning_rate=0.1", *TINY]))


def test_trials_are_a_row_each_with_what_they_are_judged_by(opened: Study, trained: study.Cohort) -> None:
    table = opened.trials
    assert table.index.tolist() == [0, 1, 2] and table.index.name == "trial"
    assert table["state"].tolist() == ["complete", "complete", "failed"]
    assert table["optimizer.learning_rate"].tolist() == RATES
    assert table["value"].equals(table["val_loss_mean"]) and np.isnan(table.loc[2, "value"])
    assert table.loc[1, "val_loss_mean"] == pytest.approx(trained.val_loss[:, -1].mean(), rel=1e-6)
    assert opened.best == table["value"].idxmin()
    assert table["replicates"].dtype == "Int64" and table["replicates"].tolist()[:2] == [2, 2]
    assert table.loc[2, "reason"].startswith("diverged: 2 of 2") and table["reason"].isna().tolist() == [True, True, False]
    assert table["verdict"].tolist()[:2] == ["did not converge"] * 2
    for number, run_id in table["run_id"].items():
        assert client().get_run(run_id).data.tags["mlp_study.trial"] == str(number)


def test_replicates_are_a_row_each_by_trial_and_number(opened: Study, trained: study.Cohort) -> None:
    table = opened.replicates
    assert table.index.tolist() == [(0, 5), (0, 6), (1, 5), (1, 6)] and table.index.names == ["trial", "replicate"]
    np.testing.assert_allclose(table.loc[1, "val_loss"], trained.val_loss[:, -1], rtol=1e-6)
    np.testing.assert_allclose(table.loc[1, "train_loss"], trained.train_loss[:, -1], rtol=1e-6)
    assert table.loc[1, "fingerprint"].tolist() == [study.fingerprint(trained, place) for place in (0, 1)]
    assert table.loc[1, "seed.init"].tolist() == trained.seeds["init"] and table["seed.init"].dtype == np.int64
    assert table.loc[1, "label"].tolist() == list(trained.labels) and table["epoch"].tolist() == [3] * 4
    means = table.groupby("trial")[["val_loss", "val_r2"]].mean()
    np.testing.assert_allclose(means["val_loss"], opened.trials["val_loss_mean"].dropna())
    np.testing.assert_allclose(means["val_r2"], opened.trials["val_r2"].dropna())


def test_curves_are_tidy(opened: Study, trained: study.Cohort) -> None:
    table = opened.curves(1)
    assert table.columns.tolist() == ["replicate", "epoch", "train_loss", "val_loss", "learning_rate"]
    assert table[["replicate", "epoch"]].values.tolist() == [[r, e] for r in (5, 6) for e in (1, 2, 3)]
    for key in ("train_loss", "val_loss", "learning_rate"):
        np.testing.assert_array_equal(table[key].to_numpy().reshape(2, 3), getattr(trained, key))
    whole = opened.curves()
    assert whole.columns.tolist() == ["trial", *table.columns] and whole["trial"].unique().tolist() == [0, 1]
    pd.testing.assert_frame_equal(whole[whole["trial"] == 1].drop(columns="trial").reset_index(drop=True), table)


def test_weights_are_those_that_were_trained(opened: Study, trained: study.Cohort) -> None:
    both = opened.weights(1)
    assert [kernel.shape for kernel in both.kernels] == [(2, 10, 4), (2, 4, 1)]
    one = opened.weights(1, 6)
    for name, expected in trained.network.parameters.items():
        assert both.parameters[name].tobytes() == expected.tobytes()
        assert one.parameters[name].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda each: each.weights(9), "trial: got 9; valid: a trial of study tiny: 0 to 2"),
        (lambda each: each.weights(2), "trial: got 2; valid: a complete trial; this one is failed: diverged"),
        (lambda each: each.curves(2), "trial: got 2; valid: a complete trial; this one is failed: diverged"),
        (lambda each: each.weights(1, 0), "replicate: got 0; valid: one of trial 1: 5 to 6"),
        (lambda each: study.open("absent"), "STUDY: got 'absent'; valid: one of: tiny"),
        (lambda each: study.open("tiny", storage="nonsense"), "hydra.sweeper.storage: got 'nonsense'"),
        (lambda each: study.open("tiny", tracking_uri="nonsense"), "tracking.uri: got 'nonsense'"),
    ],
)
def test_what_is_not_there_is_told(ask, told: str, opened: Study) -> None:
    with pytest.raises(study.BadInput) as error:
        ask(opened)
    assert str(error.value).startswith(told)


def test_answer_and_best_are_those_that_show_tells(opened: Study) -> None:
    assert opened.name == "tiny" and "has plateaued" in opened.answer and "Too few replicates" in opened.win
    assert f"trial {opened.best} " in opened.answer


def test_the_reports_charts_are_there_by_their_titles(opened: Study, tmp_path: Path) -> None:
    assert {
        "Validation loss by epoch",
        "The networks of trial 0: Distance of the weights",
        "learning rate",
    } <= opened.figures.keys()
    assert repr(opened.figures).splitlines() == list(opened.figures)
    trials = opened.figures["learning rate"].data[0].customdata
    assert list(trials) == [0, 1]
    page = opened.report(tmp_path / "page.html")
    assert "The 2 replicates of the best trial" in opened.answer and "The 2 replicates of the best trial" in page.read_text()


def test_a_notebook_shows_the_answer_and_the_best_trials(opened: Study) -> None:
    assert repr(opened).startswith("Study('tiny'): 3 trials (2 complete, 1 failed); best: trial ")
    page = opened._repr_html_()
    assert html.escape(opened.answer) in page and page.count("<tr>") == 3 and "<th>val loss</th>" in page


def test_what_a_notebook_shows_is_escaped(folder: Path, monkeypatch: pytest.MonkeyPatch, opened: Study) -> None:
    opened.name = "<script>alert(1)</script>"
    assert "<script>" not in opened._repr_html_() and "&lt;script&gt;" in opened._repr_html_()


def test_without_mlflow_the_trials_and_losses_are_there_and_the_rest_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forget()
    bare = study.open("tiny", storage=f"sqlite:///{folder / 'optuna.db'}")
    assert bare.trials["state"].tolist() == ["complete", "complete", "failed"]
    assert bare.replicates["val_loss"].notna().all() and bare.replicates["fingerprint"].isna().all()
    with pytest.raises(study.BadInput, match=r"tracking.uri: got .*a store that holds runs"):
        bare.curves(1)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            lambda cohort: cohort.spec,
            "TrialSpec(model.units=[4], optimizer.learning_rate=0.1, training.epochs=3, replicates.count=2",
        ),
        (lambda cohort: cohort, "Cohort(2 × 10-4-1, 3 epochs, val loss 0."),
        (lambda cohort: cohort.network, "Network(2 × 10-4-1)"),
        (lambda cohort: study.load_data(cohort.spec), "Dataset(283 rows to train on and 71 to validate on, 10 inputs, 1 outputs)"),
        (lambda cohort: study.compare(cohort.networks()), "Comparison(2 networks, 2 different fingerprints, relative L2 1."),
    ],
)
def test_records_are_shown_in_a_line(value, expected: str, trained: study.Cohort) -> None:
    shown = repr(value(trained))
    assert shown.startswith(expected) and len(shown) < 200
