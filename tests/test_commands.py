"""The commands that look at what was trained, or delete it, on two tiny studies."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from study import locations, processes
from study.config import overrides
from study.errors import NotWritable
from study.reporting import listings, terminal
from study.results import export
from study.search.reading import names
from study.tracking import runs, spool, store
from tests.command import DEAD, client, forget, ran, run

TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]
# a slash, quotes of both kinds, a space; the largest network is the best one
QUOTED = 'it\'s a/"study"'
SEARCH = ["--multirun", f"hydra.sweeper.study_name={overrides.encode(QUOTED)}", "hydra.sweeper.objective=size"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of two trials and a failed one ran, and a study of three widths."""
    there = tmp_path_factory.mktemp("commands")
    ran(there, "--multirun", "optimizer.learning_rate=0.01,0.1,1e30", "hydra.sweeper.study_name=tiny", *TINY, code=5)
    return ran(there, *SEARCH, "hydra.sweeper.direction=maximize", "model.width=2,6,3", "model.depth=1", "data=iris", *TINY[:2])


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records that a test may change; MLflow's artifacts stay where they are."""
    for name in ("mlflow.db", "optuna.db"):
        # with what is still in the write-ahead log
        with closing(sqlite3.connect(folder / name)) as source, closing(sqlite3.connect(tmp_path / name)) as target:
            source.backup(target)
    monkeypatch.chdir(tmp_path)
    forget()
    return tmp_path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]):
    """What a command prints, and its exit code; with --json what that is."""

    def of(*arguments: str, code: int = 0):
        capsys.readouterr()
        assert run(*arguments) == code
        shown = capsys.readouterr().out
        return json.loads(shown) if "--json" in arguments else shown

    return of


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors that are told."""
    lines: list[str] = []
    monkeypatch.setattr("study.reporting.terminal.error", lambda text, *_: lines.append(text))
    return lines


def files_of(study: str, number: int) -> Path:
    """The folder of a trial's artifacts."""
    experiment = client().get_experiment_by_name(study)
    [found] = client().search_runs([experiment.experiment_id], f"tags.`mlp_study.trial` = '{number}'")
    return Path(found.info.artifact_uri.removeprefix("file://"))


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


# -- list and show -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_list_tells_the_studies_here_the_newest_first(told) -> None:
    found = told("list", "--json")
    assert [each["study"] for each in found] == [QUOTED, "tiny"]
    assert [each["trials"] for each in found] == [{"complete": 3}, {"complete": 2, "failed": 1}]
    assert found[0]["objectives"] == [{"name": "size", "direction": "maximize"}]
    assert found[0]["best"] == {"trial": 1, "value": 4 * 6 + 6 + 6 * 3 + 3}
    assert [each["data"] for each in found] == ["iris", "diabetes"] and found[1]["replicates"] == "2"
    assert found[0]["ended"] > found[1]["ended"] > found[1]["started"]
    shown = told("list")
    assert re.search(r"tiny +2 complete, 1 failed +2 +0\.\d+ \(trial [01]\) +loss \(least\)", shown)


@pytest.mark.usefixtures("here")
def test_list_of_a_study_tells_its_trials_with_their_runs(told) -> None:
    found = told("list", "tiny", "--json")
    assert [each["state"] for each in found] == ["complete", "complete", "failed"]
    assert [[one["replicate"] for one in each["replicates"]] for each in found] == [[0, 1], [0, 1], []]
    assert all(client().get_run(each["run_id"]).info.run_name == f"trial {each['trial']}" for each in found)
    shown = told("list", "tiny")
    assert all(each["run_id"] in shown for each in found)


def test_where_there_are_no_studies_list_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("list") == 0 and errors == []
    assert run("list", "--storage", "sqlite:///other.db") == 2
    assert errors[0].startswith("--storage: got 'sqlite:///other.db'") and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("here")
def test_show_tells_a_trial_by_itself(told) -> None:
    found = told("show", "tiny/1", "--json")
    assert (found["study"], found["number"], found["status"]) == ("tiny", 1, "FINISHED")
    assert found["settings"]["optimizer.learning_rate"] == "0.1" and found["verdict"] == "did not converge"
    assert [each["number"] for each in found["replicates"]] == [0, 1]
    shown = told("show", "tiny/1")
    for part in (found["run_id"], "tiny/1: finished", "verdict: did not converge", *found["evidence"], "replicates.vary"):
        assert part in shown
    assert all(each["fingerprint"][:16] in shown and each["run_id"] in shown for each in found["replicates"])
    assert re.search(r"training.motion +true\n", shown) and re.search(r"training.patience +null\n", shown), "as they are typed"
    assert told("show", found["run_id"][:12], "--json") == found
    assert "why it has no result" in told("show", "tiny/2") and "diverged" in told("show", "tiny/2")


@pytest.mark.usefixtures("here")
def test_show_tells_a_replicate_by_itself(told) -> None:
    found = told("show", "tiny/1/1", "--json")
    assert (found["study"], found["trial"], found["number"]) == ("tiny", 1, 1)
    assert [curve["epochs"] for curve in found["curves"].values()] == [[1, 2, 3]] * 2 and len(found["fingerprint"]) == 64
    assert found["curves"]["val_loss"]["losses"][-1] == pytest.approx(found["metrics"]["val_loss"])
    shown = told("show", "tiny/1/1")
    assert found["fingerprint"] in shown and str(found["seeds"]["init"]) in shown
    assert re.search(rf"\d [{listings.BARS}]{{3}} \d", shown)


@pytest.mark.usefixtures("here")
def test_show_of_the_best_and_of_any_name(told, errors: list[str]) -> None:
    assert told("show", "best", "--json")["number"] == 1  # of the study that ran last, by its own objective
    assert told("show", f"{QUOTED}/2/0", "--json")["study"] == QUOTED
    assert len(told("show", QUOTED, "--json")["trials"]) == 3
    assert run("show", "tiny/9") == run("show", "absent") == run("show", "absent/3") == 2
    assert "a trial of study tiny, whose last is tiny/2" in errors[0]
    assert errors[1].startswith("STUDY: got 'absent'; valid: one of: ") and errors[2].startswith("RUN: got 'absent/3'; valid: ")


def test_a_replicates_losses_are_those_of_the_weights_that_are_kept() -> None:
    one = runs.Replicate("a", "t", "tiny/1/4", 4, "FINISHED", "", "", 2, {}, {"train_loss": 3.0, "val_loss": 9.0})
    trial = runs.Trial("t", "tiny", 1, "trial 1", "FINISHED", 0, {}, {}, "", [], "", "", [one, replace(one, number=6, epoch=None)])
    curves = {"train_loss": [[0.0] * 3, [5.0, 4.0, 3.0]], "val_loss": [[0.0] * 3, [8.0, 7.0, 9.0]], "replicate": [3, 4]}
    kept, unknown = runs.at_kept_epochs(trial, {name: np.array(values) for name, values in curves.items()}).replicates
    assert kept.metrics == {"train_loss": 4.0, "val_loss": 7.0}, "where the validation loss is lowest"
    assert unknown.metrics == one.metrics


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([1, 10, 100], "▁▅█"),  # by the logarithm
        ([3, 3], "▁▁"),
        ([0.0, float("nan"), 1.0], "▁ █"),
        ([float("nan")], " "),
        ([], ""),
    ],
)
def test_a_sparkline_shows_a_curve_in_text(values: list[float], expected: str) -> None:
    assert listings.sparkline(values) == expected


def test_a_long_curve_is_shown_by_means() -> None:
    assert listings.sparkline([1.0, 3.0] * 500, most=4) == "▁▁▁▁" and len(listings.sparkline(range(1, 1000))) == listings.MOST_BARS


# -- networks side by side ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_compare_takes_studies_trials_and_replicates(told) -> None:
    found = told("compare", "tiny", QUOTED, "--json")
    assert [each["study"] for each in found["networks"]] == ["tiny"] * 2 + [QUOTED] * 2
    assert found["differing_shapes"] == "10-4-1; 4-6-3"  # the larger one is the best
    both = told("compare", "tiny/0", "tiny/1/1", "--json")
    assert [each["name"] for each in both["networks"]] == ["trial 0/0", "trial 0/1", "trial 1/1"]
    assert told("compare", *(each["run_id"] for each in both["networks"]), "--json") == both
    shown = told("compare", "tiny/0/0", "tiny/1/1")
    assert shown.startswith("tiny/0 and tiny/1 have no replicates with the same seeds: neither is called better.")
    assert re.search(r"settings that differ\n +tiny/0 +tiny/1\n─+\noptimizer.learning_rate +0.0100 +0.100", shown)
    assert re.search(r"networks\n +network +val loss .* seed.[a-z]+\n─+\n0 +tiny/0/0 .*\n1 +tiny/1/1 ", shown)


@pytest.mark.usefixtures("here")
def test_a_narrow_terminal_breaks_titles_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    monkeypatch.setattr(terminal, "out", Console(file=printed, force_terminal=True, width=60, color_system=None))
    assert run("compare", "tiny/0") == 0
    assert re.search(r"^relative L2 distance of the weights .*\n  \S.* apart\)$", printed.getvalue(), re.MULTILINE)
    assert max(map(len, printed.getvalue().splitlines())) <= 60


@pytest.mark.usefixtures("here")
def test_two_networks_at_least_are_compared(told) -> None:
    told("compare", "tiny/0/0", code=2)
    assert len(told("compare", "tiny/0/0", "tiny/0/0", "--json")["networks"]) == 2


def test_files_are_compared_without_a_store(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told) -> None:
    recorded = told("compare", "tiny/0", "tiny/1", "--json")
    folders = [str(files_of("tiny", number)) for number in (0, 1)]
    monkeypatch.chdir(tmp_path)
    found = told("compare", *(f"{folder}/weights.npz" for folder in folders), "--json")
    assert found["relative_l2"] == recorded["relative_l2"] and found["verdict"] is found["disagreement"] is None
    assert [each["fingerprint"] for each in found["networks"]] == [each["fingerprint"] for each in recorded["networks"]]
    assert found["networks"][0]["val_loss"] is None and "a file of weights tells only the weights" in found["conclusion"]
    assert found["aligned"] is None and "(--activation)" in found["conclusion"]
    matched = told("compare", *(f"{folder}/weights.npz" for folder in folders), "--activation", "relu", "--json")
    assert (matched["aligned"], matched["null"]) == (recorded["aligned"], recorded["null"])
    told("compare", folders[0], f"{folders[1]}/weights.npz", "--activation", "tanh", code=2)  # the folder's record tells relu
    whole = told("compare", *folders, "--json")
    assert whole["aligned"] == recorded["aligned"]
    assert whole["disagreement"] == recorded["disagreement"] and whole["differing_settings"] == ["optimizer.learning_rate"]
    assert " –" in told("compare", *folders)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("here")
def test_reproduce_and_similar_take_addresses_too(told) -> None:
    assert told("reproduce", "tiny/1/0", "--json")["identical"]
    found = told("similar", "tiny/best/0", "--json")
    assert client().get_run(found["run_id"]).info.run_name == "trial 1/0" and len(found["similar"]) >= 3


def test_similar_lists_each_trial_outside_studies_though_their_names_are_equal(
    told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epochs in (2, 3):
        ran(tmp_path, *TINY, f"training.epochs={epochs}")
    monkeypatch.chdir(tmp_path)
    runs = client().search_runs(["1"], "tags.`mlp_study.kind` = 'replicate'")
    assert len(runs) > len({run.info.run_name for run in runs})
    found = told("similar", runs[0].info.run_id, "--json")["similar"]
    assert {network["run"] for network in found} == {run.info.run_id for run in runs[1:]}


# -- export ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("what", "layout", "rows", "columns"),
    [
        ("trials", "wide", 3, ["trial", "state", "value", "optimizer.learning_rate", "replicates", "val_loss_mean"]),
        ("trials", "long", None, ["trial", "key", "value", "text"]),
        ("replicates", "wide", 4, ["trial", "replicate", "val_loss", "val_r2"]),
        ("replicates", "long", None, ["trial", "replicate", "key", "value", "text"]),
        ("curves", "wide", 3, ["epoch", "0/0 learning_rate", "0/0 train_loss", "0/0 val_loss"]),
        ("curves", "long", 12, ["trial", "replicate", "epoch", "train_loss", "val_loss", "learning_rate"]),
    ],
)
def test_a_study_is_exported(
    suffix: str, what: str, layout: str, rows: int | None, columns: list[str], tmp_path: Path, told
) -> None:
    file = tmp_path / f"table{suffix}"
    told("export", "tiny", str(file), "--what", what, "--layout", layout)
    found = pd.read_csv(file) if suffix == ".csv" else pd.read_parquet(file)
    assert list(found.columns[: len(columns)]) == columns
    assert rows is None or len(found) == rows
    if layout == "long" and what != "curves":
        one = found[(found["trial"] == 1) & (found["key"] == "val_r2")]
        assert one["value"].notna().all() and one["text"].isna().all()
        assert set(found.loc[found["key"].isin(["state", "label"]), "text"]) <= {"complete", "failed", "undecided", "stuck"}
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@pytest.mark.usefixtures("here")
def test_numbers_stay_numbers_and_whole_ones_whole(tmp_path: Path, told) -> None:
    told("export", "tiny", str(tmp_path / "t.csv"))
    rows = rows_of(tmp_path / "t.csv")
    assert [row["optimizer.learning_rate"] for row in rows] == ["0.01", "0.1", "1e+30"]
    assert [row["distinct"] for row in rows] == ["2", "2", ""]
    kept = {each["trial"]: each["value"] for each in told("list", "tiny", "--json")}
    assert [float(row["value"]) for row in rows[:2]] == [kept[0], kept[1]] and rows[2]["value"] == ""


@pytest.mark.usefixtures("here")
def test_a_file_that_is_there_is_only_written_over_by_force(tmp_path: Path, told, errors: list[str]) -> None:
    file = tmp_path / "t.csv"
    file.write_text("mine")
    assert run("export", "tiny", str(file)) == 2 and file.read_text() == "mine"
    assert "--force" in errors[0]
    told("export", "tiny", str(file), "--force")
    assert file.read_text().startswith("trial,state,")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("t.xlsx", 2, ".csv or .parquet"), ("t", 2, ".csv or .parquet"), ("absent/t.csv", 4, "absent"), ("folder.csv", 2, "--force")],
)
def test_a_file_that_cannot_be_written_is_told(name: str, code: int, words: str, tmp_path: Path, errors: list[str]) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert run("export", "tiny", str(tmp_path / name), "--force") == code
    assert words in errors[0] and [each.name for each in tmp_path.iterdir()] == ["folder.csv"]


def test_texts_that_a_spreadsheet_would_run_are_made_harmless_in_csv_alone(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "plain", "a=b", "1e5"]
    table = pd.DataFrame({"text": texts, "number": [-1.5, 2, 3, 4, 5, 6, 7, -8]})
    export.write(table, tmp_path / "t.csv")
    rows = rows_of(tmp_path / "t.csv")
    assert [row["text"] for row in rows] == [f"'{text}" for text in texts[:5]] + texts[5:]
    assert [float(row["number"]) for row in rows] == table["number"].tolist()
    export.write(table, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["text"].tolist() == texts


def test_a_column_of_several_kinds_is_text_in_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"mixed": pd.Series([1, "a", None, True], dtype=object)})
    export.write(table, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["mixed"].tolist()[:2] == ["1", "a"]


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        (tmp_path / ".t.csv.new").write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "t.csv").write_text("old")
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(NotWritable, match="No space left"):
        export.write(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("t.csv", "old")]


# -- delete ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("copy")
def test_a_deleted_study_leaves_its_name_free_and_its_runs_to_mlflow(told, errors: list[str]) -> None:
    before = client().get_experiment_by_name("tiny")
    query = told("show", "tiny/1/0", "--json")["run_id"]
    shown = told("delete", "tiny", "--yes")
    assert re.search(r"3 trials in sqlite:///.* and 10 runs with [\d.]+ [kM]B of artifacts in sqlite:///", shown)
    assert names(locations.storage(None)) == [QUOTED] and client().get_experiment_by_name("tiny") is None
    assert run("show", "tiny") == run("compare", "tiny") == run("delete", "tiny", "--yes") == 2
    assert run("similar", query) == 2 and "isn't deleted" in errors[-1]
    for command in ("experiments restore", "gc"):
        assert re.search(rf": +MLFLOW_TRACKING_URI=\S+ mlflow {command} .* {before.experiment_id}$", shown, re.MULTILINE)
    # MLflow keeps the names of what is deleted
    assert store.connect(locations.tracking_uri(None)).experiment("tiny") != before.experiment_id
    client().restore_experiment(before.experiment_id)
    kept = client().get_experiment(before.experiment_id).name
    assert re.fullmatch(r"tiny \(deleted [\d-]+ [\d:]+\)", kept)
    assert told("show", f"{kept}/1", "--json")["number"] == 1


@pytest.mark.usefixtures("copy")
@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 0, 2), ("y\n", 0, 1)])
def test_a_terminal_is_asked_first(typed: str, code: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: typed.strip())
    assert run("delete", QUOTED) == code
    assert len(names(locations.storage(None))) == left


def test_a_study_of_another_storage_is_not_taken_for_a_run_or_deleted_by_half(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told, errors: list[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert run("show", "tiny") == 2 and "give --storage" in errors[-1]
    assert run("delete", "tiny", "--yes") == 2 and "--storage: got" in errors[-1]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MLP_STUDY_STORAGE", f"sqlite:///{here}/optuna.db")
    assert told("show", "tiny", "--json")["study"] == "tiny"


@pytest.mark.usefixtures("copy")
def test_where_nobody_can_be_asked_nothing_is_deleted(monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y"))
    assert run("delete", "tiny") == 2 and "--yes" in errors[0]
    assert run("delete", "tinny", "--yes") == 2 and "valid: did you mean tiny? one of: " in errors[1]
    assert len(names(locations.storage(None))) == 2


@pytest.mark.usefixtures("copy")
def test_a_study_in_work_is_not_deleted(told, errors: list[str]) -> None:
    experiment = client().get_experiment_by_name("tiny").experiment_id
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tags = {"mlp_study.kind": "trial", "mlp_study.trial": "3", "mlp_study.owner": processes.named(sleeper.pid, "")}
    running = client().create_run(experiment, tags=tags, run_name="trial 3").info.run_id
    assert run("delete", "tiny", "--yes") == 2
    assert "trial 3" in errors[0]
    sleeper.communicate(b"\n")
    client().set_tag(running, "mlp_study.owner", DEAD)
    told("delete", "tiny", "--yes")  # of a process that is gone


@pytest.mark.usefixtures("copy")
def test_a_study_whose_records_are_on_their_way_is_not_deleted(monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    waiting = [spool.Recorded("tiny", 0, False, None, 0.0)]  # type: ignore[arg-type]
    monkeypatch.setattr(spool, "recorded", lambda: waiting)
    assert run("delete", "tiny", "--yes") == 2 and "doctor --repair" in errors[0]


# -- ui ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_ui_starts_mlflow_for_this_folder_and_tells_the_newest_studys_page(monkeypatch: pytest.MonkeyPatch, told) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = told("ui", "--port", str(port))
    experiment = client().get_experiment_by_name(QUOTED)
    assert shown.startswith(f"http://127.0.0.1:{port}/#/experiments/{experiment.experiment_id}/runs?")
    [(program, *options)] = started
    assert options[9:] == ["--uvicorn-opts", "--log-level warning", "--workers", "2"]
    assert program == sys.executable and options[:3] == ["-m", "mlflow", "ui"]
    assert options[3:9] == ["--backend-store-uri", locations.tracking_uri(None), "--host", "127.0.0.1", "--port", str(port)]


@pytest.mark.usefixtures("here")
def test_ui_refuses_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    monkeypatch.setattr(os, "execv", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("ui", "--port", str(port)) == 2
    assert errors[0].startswith(f"--port: got {port}; valid: ")


def test_ui_refuses_a_folder_without_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("ui") == 2 and errors[0].startswith("tracking.uri: got 'sqlite:///") and not list(tmp_path.iterdir())
