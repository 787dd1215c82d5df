"""What a launch leaves behind: pages and tables in its folder and in MLflow, and the answers that they hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from study import locations
from study.errors import NotWritable
from study.records.outcome import Blame, Summary
from study.records.trial import TrialRecord
from study.reporting import answers, narrative, outputs, report, trials_table, wins
from study.reporting.study_results import Findings, Networks
from study.statistics.objectives import Objective
from study.tracking import reader, store
from tests.command import client, ran, run, runs_of
from tests.pages import Elements

TINY = ["training.epochs=12", "model.units=[4]", "data=iris", "replicates.crossed=[2,2]"]
COMMAND = ["--multirun", "optimizer.learning_rate=0.01,0.1", "hydra.sweeper.study_name=tiny", *TINY]
COMPARED = {"aligned", "barrier", "aligned_barrier", "cka"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a crossed study of one setting ran."""
    return ran(tmp_path_factory.mktemp("outputs"), *COMMAND)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def best() -> str:
    [study_run] = runs_of("study")
    return study_run.data.tags["best"]


def files_of(run_id: str) -> set[str]:
    return {file.path for file in client().list_artifacts(run_id)}


def test_the_report_is_in_the_folder_of_the_launch_and_in_mlflow_and_is_made_again(here: Path) -> None:
    [page] = here.glob("multirun/*/*/report.html")
    [study_run] = runs_of("study")
    assert "report.html" in files_of(study_run.info.run_id)
    assert run("report", "tiny") == 0 and run("report", "tiny", "--output", "other.html") == 0
    assert page.read_text() == (here / "tiny.html").read_text() == (here / "other.html").read_text()
    assert "mlp-study --multirun optimizer.learning_rate=0.01,0.1" in page.read_text()


def test_two_networks_are_compared_on_a_page(here: Path) -> None:
    assert run("compare", "tiny/0/0", "tiny/1/0", "--html", "two.html") == 0
    text = (here / "two.html").read_text()
    assert all(title in text for title in ("Loss by epoch", "The same after matching neurons", "On the line between two networks"))
    assert run("compare", "tiny/0/0", "tiny/1/0", "--html", "nowhere/two.html") == NotWritable.exit_code


def test_the_page_of_the_best_trial_is_in_the_folder_of_the_launch_and_with_its_run(here: Path) -> None:
    [page] = here.glob("multirun/*/*/portrait.html")
    assert page.read_text() == Path(client().download_artifacts(best(), "portrait.html")).read_text()
    [winner] = [each for each in runs_of("trial") if each.info.run_id == best()]
    elements = Elements(page.read_text())
    assert f"{winner.info.run_name.capitalize()} of study tiny" in elements.words and "did not converge" in elements.words
    assert sum("data-chart" in each for each in elements.of("div")) == 11  # losses, motion, blame, and how the networks compare
    [other] = [each.info.run_id for each in runs_of("trial") if each.info.run_id != best()]
    assert "portrait.html" not in files_of(other)


@pytest.mark.usefixtures("here")
def test_the_tables_of_a_crossed_study_are_kept_with_it() -> None:
    [study_run] = runs_of("study")
    text = Path(client().download_artifacts(study_run.info.run_id, "blame.md")).read_text()
    assert study_run.data.tags["blame"] in text and "init × order" in text
    # cells that share a source are no restarts of one another
    assert "factor" not in study_run.data.tags


@pytest.mark.usefixtures("here")
def test_a_trials_run_tells_its_verdict_and_what_it_rests_on() -> None:
    for trial in runs_of("trial"):
        assert trial.data.tags["verdict"] == "did not converge"
        assert trial.data.tags["evidence"].startswith("4 of 4 networks have not plateaued")
        assert trial.data.metrics.keys() >= COMPARED
        kept = reader.load_trial(store.existing(locations.tracking_uri(None)), trial.info.run_id)
        apart = kept.comparison["aligned"][np.triu_indices(4, k=1)]
        assert trial.data.metrics["aligned"] == pytest.approx(apart.mean())
        assert trial.data.metrics["aligned_barrier"] == pytest.approx(kept.comparison["aligned_barriers"].max())
        for name in ("train_loss", "val_loss"):
            assert getattr(kept, name).shape == (4, 12)
        assert kept.targets[0].dtype.kind == "i"


@pytest.mark.usefixtures("here")
def test_show_and_compare_tell_of_the_trials(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "tiny", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert "after matching neurons" in shown["answer"] and "Verdict: did not converge" in shown["answer"]
    summaries = [trial["summary"] for trial in shown["trials"]]
    assert [[each["of"] for each in found["blame"]] for found in summaries] == [
        ["val loss", "predictions", "weights", "aligned weights"]
    ] * 2
    # replicates that share seeds have no interval as of independent ones
    assert [found["val_loss_halfwidth"] for found in summaries] == [None] * 2
    # the page that was added to the best trial's files does not make them corrupt
    assert run("compare", best(), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["networks"]) == 4


def test_the_same_command_again_draws_the_same_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, files = best(), files_of(best())
    assert run(*COMMAND) == 0
    assert "share of the variance" in capsys.readouterr().out
    assert len(list(here.glob("multirun/*/*/portrait.html"))) == 2
    assert best() == before and files_of(before) == files and len(runs_of("trial")) == 2


# By hand


def blamed(
    of: str, init: float, order: float, both: float, *, ulp: float | None = 1e-9, total_sd: float = 2.0, sure: bool = False
) -> Blame:
    def share(value: float) -> tuple[float, float, float]:
        return (value, value, value) if sure else (value, 0.0, 1.0)

    return Blame(of, {"init": share(init), "order": share(order), "init × order": share(both)}, share(both), total_sd, ulp)


def record(number: int, blame: list[Blame], params: dict | None = None) -> TrialRecord:
    summary = Summary([1.0, 1.0], 1.0, 0.0, None, 1.0, 0.0, 0.0, 1, {}, blame=blame)
    return TrialRecord(number, "complete", params or {}, [float(number)], summary, None, None, {})


def test_the_table_of_blame_has_a_row_for_each_source_and_the_noise_floor() -> None:
    table = narrative.blame_table([blamed("val loss", 0.75, 0.25, 0.0), blamed("weights", 0.5, 0.0, 0.5, ulp=0.125)])
    assert table.columns == ("share of the variance", "val loss", "weights")
    assert [row[0] for row in table.rows] == ["init", "order", "init × order", "one ulp (noise floor)", "SD of all together"]
    assert table.rows[0][1:] == ("75% [0%, 100%]", "50% [0%, 100%]")
    assert table.rows[3][1:] == ("1.0e-09", "12%") and table.rows[4][1:] == ("2.00", "2.00")


def test_the_answer_names_who_is_to_blame_for_what() -> None:
    told = narrative.blame_answer([blamed("val loss", 0.75, 0.25, 0.0, sure=True), blamed("predictions", 0.1, 0.0, 0.9, sure=True)])
    assert "val loss, init is to blame for 75%" in told and "init and order in interaction are to blame for 90%" in told
    assert "none of this is rounding" in told
    unsure = narrative.blame_answer([blamed("val loss", 0.75, 0.25, 0.0)])
    assert "the largest share is that of init, 75% [0%, 100%], but order may have as much" in unsure
    loud = [
        blamed("val loss", 0.0, 0.0, 1.0, ulp=0.9),
        blamed("weights", 0.0, 0.0, 1.0, ulp=3.0),
        blamed("predictions", 0.0, 0.0, 1.0),
    ]
    assert "a spread of 90% of that of the val loss, more than all of that of the weights: there" in narrative.blame_answer(loud)
    assert "don't differ" in narrative.blame_answer([blamed("val loss", 0.0, 0.0, 0.0, ulp=None, total_sd=0.0)])


def test_crossed_replicates_have_no_interval_and_win_nothing() -> None:
    trials = [record(0, [blamed("val loss", 0.75, 0.25, 0.0)]), record(1, [])]
    assert wins.choice([trials[0]] * 2, Objective()) is None and wins.choice([trials[1], record(2, [])], Objective())
    lone = dataclasses.replace(trials[1].summary, val_loss_halfwidth=0.1)
    assert report.loss_text(lone) == "1.00 ± 0.10" and report.loss_text(trials[0].summary) == "1.000"


def test_the_table_has_the_first_score_unless_the_search_goes_by_it() -> None:
    scored = dataclasses.replace(record(0, []).summary, scores={"accuracy": [0.5, 0.75], "auc": [0.6, 0.6]})
    trials = [dataclasses.replace(record(0, []), summary=scored), record(1, [])]
    table = trials_table.table(trials, [Objective()])
    place = table.columns.index("accuracy")
    assert table.columns[:2] == ("trial", "val loss") and [row[place] for row in table.rows] == ["0.625", "–"]
    assert trials_table.table(trials, [Objective("accuracy", "maximize")]).columns.count("accuracy") == 1


def test_a_crossed_summary_of_an_earlier_version_loses_its_interval() -> None:
    old = dataclasses.asdict(dataclasses.replace(record(0, [blamed("val loss", 0.75, 0.25, 0.0)]).summary, val_loss_halfwidth=0.1))
    assert Summary.of_plain(old).val_loss_halfwidth is None
    assert Summary.of_plain(old | {"blame": []}).val_loss_halfwidth == 0.1


def test_a_winner_that_learned_nothing_is_told() -> None:
    summary = dataclasses.replace(record(0, []).summary, scores={"r2": [-0.1, 0.05]})
    found = answers.answer([dataclasses.replace(record(0, []), summary=dataclasses.replace(summary, distinct=2))], Objective(), {})
    assert "no better than predicting the mean: R² is -0.025" in found.text


def tables(trials: list[TrialRecord]) -> list[outputs.AnsweredTable]:
    """The tables of a study whose networks are not there."""
    return outputs.tables(Findings("tiny", (Objective(),), {}, {}, trials), Networks())


def test_a_study_without_networks_has_a_page_and_no_portrait(tmp_path: Path) -> None:
    found = Findings("tiny", (Objective(),), {}, {}, [record(0, [])])
    assert outputs.write_report(found, Networks(), tmp_path / "new") == tmp_path / "new" / "report.html"
    assert outputs.write_best_portrait(found, Networks(), tmp_path / "new") is None
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.html"]


def test_a_study_without_records_in_mlflow_is_blamed_by_its_summaries() -> None:
    found = [blamed("val loss", 0.75, 0.25, 0.0), blamed("weights", 0.5, 0.0, 0.5)]
    trials = [record(0, found), record(1, found, {"optimizer.learning_rate": 0.1}), record(2, [])]
    [blame] = tables(trials)
    assert (blame.file, blame.tag) == ("blame.md", "blame")
    assert [row[0] for row in blame.table.rows] == [
        "trial 0",
        "",
        "",
        "",
        "",
        "1: learning_rate 0.100",
        "",
        "",
        "",
        "",
    ]
    assert [line.partition(":")[0] for line in blame.answer.splitlines()] == ["trial 0", "1"]
    assert tables([record(2, [])]) == []


def test_trials_that_crossed_different_sources_are_blamed_side_by_side() -> None:
    other = Blame("weights", {"init": (0.5, 0, 1), "data": (0.25, 0, 1), "init × data": (0.25, 0, 1)}, (0.25, 0, 1), 2.0, None)
    trials = [record(0, [blamed("val loss", 1.0, 0.0, 0.0), blamed("weights", 0.5, 0.0, 0.5)]), record(1, [other])]
    [blame] = tables(trials)
    assert {"init", "order", "init × order", "data", "init × data"} <= {row[1] for row in blame.table.rows}
    assert all(len(row) == len(blame.table.columns) for row in blame.table.rows)
