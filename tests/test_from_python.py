"""Studies and networks from Python: rows in memory, spaces from Python's values, a caller whose process stays as it was."""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer
from packaging.version import Version

import study
from study.analysis import forward
from study.config import domains, overrides
from study.data import kept_rows
from study.data.encoding import NewInRows
from study.errors import BadInput
from study.records.network import Network
from study.reporting import notebook, streams, terminal
from study.reporting.cell_picture import Bar, svg
from study.results import new_rows
from study.runner import given_rows
from study.tracking import spool
from tests.command import ran

SHORT = ["training.epochs=2", "replicates.count=2", "model.units=[4]"]
RATES = {"optimizer.learning_rate": [0.01, 0.1]}


def frame(rows: int = 60) -> pd.DataFrame:
    """Rows of texts and numbers, with a price."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"area": draw.uniform(30, 200, rows), "district": draw.choice(["North", "South"], rows)})
    return table.assign(price=1000.0 * table.area + 20_000 * (table.district == "North"))


# -- spaces ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text", "domain"),
    [
        (["adam", "sgd"], "adam,sgd", "choice(adam, sgd)"),
        (("adam",), "choice(adam)", "choice(adam)"),
        ([None, 3], "null,3", "choice(None, 3)"),
        ([True, 0.5], "true,0.5", "choice(True, 0.5)"),
        ([[64], [64, 64]], "[64],[64,64]", "choice([64], [64,64])"),
        (["true", "it's", "a,b"], r"'true','it\'s','a,b'", r"choice('true', 'it\'s', 'a,b')"),
        (range(16, 65, 16), "range(16,65,16)", "whole numbers from 16 to 64 in steps of 16"),
        (study.choice("a", "b"), "a,b", "choice(a, b)"),
        (study.interval(0, 0.5), "interval(0,0.5)", "numbers from 0 to 0.5"),
        (study.interval(8, 128, whole=True), "int(interval(8,128))", "whole numbers from 8 to 128"),
        (study.log(1e-4, 1e-1), "tag(log,interval(0.0001,0.1))", "numbers from 0.0001 to 0.1, log"),
        (study.log(8, 128, whole=True), "tag(log,int(interval(8,128)))", "whole numbers from 8 to 128, log"),
        ("tag(log,interval(1e-4,1e-1))", "tag(log,interval(1e-4,1e-1))", "numbers from 0.0001 to 0.1, log"),
    ],
)
def test_a_space_is_written_in_the_grammar_of_the_command_line(value: object, text: str, domain: str) -> None:
    [line] = domains.overrides({"model.width": value})
    assert line == f"model.width={text}"
    space, fixed = overrides.split([line], {}, {})
    assert str(space["model.width"]) == domain and not fixed


def test_a_condition_and_a_single_value_are_those_of_the_command_line() -> None:
    momentum = study.interval(0.5, 0.9, when={"optimizer": ["sgd", "rmsprop"]})
    lines = domains.overrides({"optimizer": ["adam", "sgd", "rmsprop"], "optimizer.momentum": momentum, "training.epochs": 50})
    space, fixed = overrides.split(lines, {}, {})
    assert [str(condition) for condition in space["optimizer.momentum"].when] and fixed == ["training.epochs=50"]
    with pytest.raises(BadInput, match="space: got"):
        domains.overrides(["optimizer"])  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"model\.width: got .*; valid: at least one value\nmodel\.depth: got "):
        domains.overrides({"model.width": [], "optimizer": ["adam"], "model.depth": range(3, 1)})


# -- rows --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "target", "named", "columns"),
    [
        (frame(), "price", "price", ["area", "district", "price"]),
        (frame().drop(columns="price"), frame().price, "price", ["area", "district", "price"]),
        (frame().rename(columns={"price": "target"}), np.arange(60), "target_", ["area", "district", "target", "target_"]),
        (np.zeros((60, 2)), np.arange(60), "target", ["column_1", "column_2", "target"]),
        ({"a": [1, 2], "b": [3, 4]}, "b", "b", ["a", "b"]),
        (frame(), ["price", "area"], "['price','area']", ["area", "district", "price"]),
        (np.zeros((60, 2)), np.zeros((60, 2)), "['target_1','target_2']", ["column_1", "column_2", "target_1", "target_2"]),
        (frame(2), ["a", "b"], "target", ["area", "district", "price", "target"]),
    ],
    ids=["frame", "series", "name taken", "arrays", "mapping", "several names", "several columns", "texts"],
)
def test_rows_in_memory_become_a_table(rows: object, target: object, named: str, columns: list[str]) -> None:
    kept = []
    lines = given_rows.lines(rows, target, None, lambda table: kept.append(table) or Path("/kept.parquet"))  # type: ignore[func-returns-value]
    assert lines == ["data=table", "data.path=/kept.parquet", f"data.target={named}"]
    assert kept[0].column_names == columns


def test_rows_in_memory_are_called_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = kept_rows.keep_rows(frame())
    assert kept_rows.name(str(kept)) == f"table in memory of {len(frame())} × 3"
    kept.unlink()
    assert [kept_rows.name(path) for path in (str(kept), "/there/houses.csv")] == [kept.name, "houses.csv"]


@pytest.mark.parametrize(("rows", "target"), [(frame(), None), ("houses.csv", None), ("houses.csv", [1, 2]), (None, "price")])
def test_a_target_that_names_nothing_is_refused(rows: object, target: object) -> None:
    with pytest.raises(BadInput, match=r"^target: got"):
        given_rows.lines(rows, target, None, lambda table: Path("kept"))


def test_an_array_has_the_columns_of_training() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert new_rows.table(array, ["a", "b", "c"]).columns.tolist() == ["a", "b", "c"]
    # a column of the training rows that is no input may be there or not
    assert new_rows.table(array, ["column_1", "column_3"]).columns.tolist() == ["column_1", "column_2", "column_3"]
    assert new_rows.table(array[:, :2], ["column_1", "column_3"]).columns.tolist() == ["column_1", "column_3"]
    assert new_rows.table({"a": [1]}, ["a"]).a.tolist() == [1]
    for wrong in (array, array[0], np.zeros((2, 1))):
        with pytest.raises(BadInput, match="rows of 2 columns, a, b; or a frame with these names"):
            new_rows.table(wrong, ["a", "b"])


# -- networks ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> study.Fitted:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fit"))
        made = study.fit(frame(), "price", SHORT)
        assert os.listdir() == []
    return made


def test_what_is_fitted_predicts_what_its_networks_do(fitted: study.Fitted) -> None:
    rows = frame()
    x = np.column_stack([rows.area, rows.district == "North", rows.district == "South"])
    each = []
    plain = fitted.predictor.networks
    for network, scaling in zip(fitted.networks.unstack(), plain.scalings, strict=True):
        scaled = [(values - scale.centre) / scale.spread for values, scale in zip(x.T, scaling.inputs, strict=True)]
        seen, [price] = np.column_stack(scaled), scaling.targets
        outputs = forward.layer_outputs(Network.stack([network]), seen.astype(np.float32), fitted.spec.model)[-1][0]
        each.append(outputs * price.spread + price.centre)
    mean, std = fitted.predict(rows.drop(columns="price"), return_std=True)
    np.testing.assert_allclose(mean.price, np.mean(each, axis=0)[:, 0], rtol=1e-4)
    np.testing.assert_allclose(std.price, np.std(each, axis=0, ddof=1)[:, 0], rtol=1e-2)
    assert mean.index.equals(rows.index) and fitted.predict(rows, member=1).price.tolist() == pytest.approx(each[1][:, 0], rel=1e-4)


def test_what_is_fitted_is_plain(fitted: study.Fitted) -> None:
    rows = frame()
    assert pickle.loads(pickle.dumps(fitted)).predict(rows).equals(fitted.predict(rows))
    whole, part = fitted.predict(rows), fitted.predict(rows[:7])
    assert part.price.tolist() == whole.price[:7].tolist(), "a row's prediction depends on no other row"
    with pytest.warns(NewInRows, match="area: 60 rows have no value, though training had no gaps: filled as in training"):
        assert fitted.predict(rows.assign(area=np.nan)).price.notna().all()
    assert repr(fitted).startswith("Fitted(2 × 3-4-1, val loss ") and len(fitted.reading.splitlines()) == 3
    with pytest.raises(BadInput, match="member"):
        fitted.predict(rows, member=9)


# -- the caller's process ----------------------------------------------------------------------------------------------------


def test_a_programs_hydra_and_interpolations_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret")
    resolvers, kept = dict(BaseContainer._resolvers), dict(Singleton._instances)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # which a command that another test ran has set
    VersionBase.instance().version_base = theirs = Version("1.2")
    try:
        study.compose(["data=iris"])
        assert VersionBase.instance().version_base is theirs and not GlobalHydra.instance().is_initialized()
        assert BaseContainer._resolvers == resolvers and HydraConfig.instance().cfg is None
        assert OmegaConf.create({"a": "${oc.env:MY_TOKEN}"}).a == "secret"
        with pytest.raises(BadInput, match="a secret, by its name"):
            study.compose(["data=table", "data.path=${oc.env:MY_TOKEN}", "data.target=y"])
    finally:
        Singleton._instances.clear()
        Singleton._instances.update(kept)


def test_a_programs_streams_get_messages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.err, "file", messages := io.StringIO())
    monkeypatch.setattr(terminal.out, "_file", results := io.StringIO())
    with streams.of_a_program(quiet=False):
        terminal.message("a message")
        terminal.show_text("a result")
    with streams.of_a_program(quiet=True):
        terminal.message("silent")
    terminal.show_text("of a command")
    assert (messages.getvalue(), results.getvalue()) == ("a message\n", "of a command\n")


class Display:
    """IPython's, as far as a cell uses it."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.HTML = str

    def display(self, content: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        self.pages.append(content)
        return SimpleNamespace(update=self.pages.append)


def test_a_notebooks_cell_shows_the_plan_the_bar_and_at_its_end_no_more_than_these() -> None:
    display = Display()
    with notebook.Cell(display) as cell, streams.of_a_program(quiet=False, cell=cell):
        terminal.message("study <x>", "bold")
        terminal.message("lost & found", "red")
        terminal.message("details", "dim")
        cell.update(cell.add_task("trials", total=8, completed=0, note="", ends=None), completed=2, note="best 0.5")
        cell.stop()
        assert "width: 25%" in display.pages[-1] and "trials · 2/8 · best 0.5" in display.pages[-1]
    last = display.pages[-1]
    assert "study &lt;x&gt;" in last and "lost &amp; found" in last and "best 0.5" not in last
    assert last.index("details</pre>") > last.index("<details>") and "<script" not in last
    stopped = notebook.Cell(display)
    stopped.line("a plan", "bold")
    with pytest.raises(KeyboardInterrupt), stopped:
        raise KeyboardInterrupt
    assert "interrupted; the same call resumes" in display.pages[-1] and notebook.cell() is None


@pytest.mark.parametrize(
    ("bars", "ticks"),
    [
        ([Bar("a", 0.2, 0.05), Bar("b", 0.3, 9.0)], ["0.200", "0.300"]),
        ([Bar("a", 0.01), Bar("b", 10.0, 20.0)], ["0.0100", "0.100", "1.00", "10.0"]),
        ([Bar("<a>" * 40, 0.0)], ["0.00"]),
    ],
    ids=["linear", "logarithmic", "one"],
)
def test_a_picture_has_every_value_within_its_frame(bars: list[Bar], ticks: list[str]) -> None:
    drawn = svg(bars, "loss")
    xs = [float(x) for x in re.findall(r'(?:cx|x1|x2)="([\d.-]+)"', drawn)]
    assert drawn.count("<circle") == len(bars) and all(0 <= x <= 720 for x in xs) and "<a>" not in drawn
    assert set(ticks) <= set(re.findall(r">([\d.]+)</text>", drawn))


# -- whole studies -----------------------------------------------------------------------------------------------------------


# variables that TensorFlow and MLflow set, or read where the user hasn't
OF_LIBRARIES = ("TF", "XLA_", "KMP_", "TPU_", "HDF5_", "ENABLE_RUNTIME_", "MLFLOW_")


def state() -> dict[str, object]:
    """What a program shares with whatever runs in its process."""
    return {
        "folder": os.getcwd(),
        "environment": {key: value for key, value in os.environ.items() if not key.startswith(OF_LIBRARIES)},
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        # MLflow keeps its own for files
        "threads": {thread.name for thread in threading.enumerate() if not thread.daemon and not thread.name.startswith("Mlflow")},
        "logging": [(logger.level, list(logger.handlers)) for logger in (logging.getLogger(), logging.getLogger("optuna"))],
        "hydra": (GlobalHydra.instance().is_initialized(), HydraConfig.instance().cfg, VersionBase.instance().version_base),
        "resolvers": dict(BaseContainer._resolvers),
        "streams": (sys.stdout, sys.stderr, sys.excepthook, terminal.out.quiet, terminal.err.quiet, terminal.err.cell),
        "numbers": np.random.get_state()[1].tolist(),
    }


@pytest.mark.long
def test_a_study_from_python_is_that_of_the_command_line_and_leaves_the_process_as_it_was(empty: Path) -> None:
    before, children = state(), spool.writers()
    found = study.tune(frame(), "price", RATES, settings=SHORT, name="houses", progress=False)
    assert state() == before and spool.writers() <= children  # some of another test's may have ended meanwhile
    trials = found.trials
    assert trials.state.tolist() == ["complete", "complete"] and repr(found) == repr(study.open("houses"))
    new = frame(5).drop(columns="price")
    assert found.predict(new.to_numpy()).equals(found.predict(new))
    assert "<svg" in found._repr_html_() and not os.path.exists("outputs")
    # the same call, its command, and a command on it
    again = study.tune(frame(), "price", RATES, settings=SHORT, name="houses", progress=False)
    pd.testing.assert_frame_equal(again.trials, trials)
    command = found._findings.command
    assert command.startswith("mlp-study --multirun data=table data.path=")
    ran(empty, *shlex.split(command)[1:])
    ran(empty, "show", "houses")
    ran(empty, "reproduce", "houses/best")
    pd.testing.assert_frame_equal(study.open("houses").trials, trials)


@pytest.mark.long
def test_a_failed_trial_ends_no_program_and_bad_input_says_all(empty: Path) -> None:
    rates = {"optimizer.learning_rate": [0.01, 1e30]}
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(study.tune(space=rates, settings=SHORT, progress=False)))
    thread.start()
    thread.join()
    assert found[0].trials.state.tolist() == ["complete", "failed"]  # type: ignore[attr-defined]
    with pytest.raises(BadInput) as refused:
        study.tune(frame(), "prize", {"optimiser": ["adam", "sgd"]}, settings=["training.epochs=0"], progress=False)
    assert "did you mean optimizer?" in str(refused.value)
    with pytest.raises(BadInput, match="did you mean price"):
        study.tune(frame(), "prize", RATES, settings=SHORT, progress=False)


PROGRAM = """
import study
from tests.test_from_python import RATES, SHORT, frame
settings = ["training.epochs=4000", "training.leg_epochs=20", *SHORT[1:]]
found = study.tune(frame(), "price", RATES, settings=settings, name="killed")
print(found.trials[["state", "val_loss_mean"]].to_csv(index=False))  # an attempt that was cut off leaves a gap in the numbers
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_study_that_was_stopped_is_resumed_by_the_same_call(number: signal.Signals, empty: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent)])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stderr
        for line in driver.stderr:
            if "trial   0" in line:
                time.sleep(0.5)
                driver.send_signal(number)
                break
        driver.stderr.read()
    assert driver.returncode in (-number, 1)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "1 trial is already done" in done.stderr
    (empty / "whole").mkdir()
    whole = subprocess.run(command, cwd=empty / "whole", capture_output=True, text=True, env=environment, check=True)
    assert whole.stdout == done.stdout and done.stdout.count("complete") == 2
