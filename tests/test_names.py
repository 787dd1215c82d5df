"""Odd names of columns, classes, targets and studies: each works in every command, or is refused before anything is written."""

from __future__ import annotations

import csv
import io
import json
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import study
from study.data import inputs, tables
from study.data.dataset import load_data
from study.data.loading import rows
from study.errors import BadInput
from study.locations import file_name
from study.reporting import terminal
from study.reporting.report import Table
from study.results import export
from study.settings import rules
from tests.command import forget, ran, run

ODD = {
    "newline": "a\nb",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape sequence": "\x1b[2Jx",
    "line separator": "a\u2028b",
    "emoji": "😀 é",
    "right to left": "a\u202eb",
    "quotes": 'it\'s "x"',
    "slash": "a/b",
    "parent folders": "../../up",
    "backslash": "a\\b",
    "last backslash": "a\\",
    "percent": "100%s %41",
    "hash": "a#b",
    "dollar": "$HOME",
    "interpolation": "${seed}",
    "resolver": "a${oc.env:HOME}",
    "open interpolation": "a${",
    "equals": "a=b",
    "comma": "a,b",
    "brackets": "[a]{b}(c)",
    "markup": "[red]x[/red] :smile:",
    "page": "<script>alert(1)</script>",
    "formula": "=1+1",
    "long": "n" * 10_000,
    "upper case": "CASE",
    "lower case": "case",
    "a metric": "val_loss",
    "an index": "replicate",
    "a step": "step",
    "a setting": "data.target",
    "not a number": "nan",
    "a truth": "True",
    "a number": "1e5",
    "nothing": "null",
}
RISKY = ("newline", "escape sequence", "quotes", "last backslash", "resolver", "open interpolation", "long", "nothing")
TRAINED = ["data=table", "training.batch_size=8", "training.epochs=2", "replicates.count=2", "model.units=[4]"]
COUNT = 60


def write(file: Path, names: list[str], lines: list[list[object]]) -> None:
    if file.suffix == ".parquet":
        columns = zip(*lines, strict=True)
        parquet.write_table(pa.table({name: list(column) for name, column in zip(names, columns, strict=True)}), file)
        return
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([names, *lines])


def number(row: int, column: int) -> float:
    return (row * (column + 3)) % 101 + 0.5


def override(name: str) -> str:
    """The name as an element of Hydra's grammar, as a message of ours writes it."""
    return tables.drop_hint([name]).removeprefix("'data.drop=[").removesuffix("]'").replace("'\"'\"'", "'")


@pytest.fixture(scope="module")
def odd_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with t.csv and t.parquet: the column x, one of each odd name, and y."""
    folder = tmp_path_factory.mktemp("tables")
    lines: list[list[object]] = [[number(row, column) for column in range(len(ODD) + 2)] for row in range(COUNT)]
    for suffix in ("csv", "parquet"):
        write(folder / f"t.{suffix}", ["x", *ODD.values(), "y"], lines)
    return folder


def of_file(file: Path) -> list[str]:
    return ["data=table", f"data.path={file}", "data.task=regression"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        pytest.param(name, suffix, id=f"{key}-{suffix}", marks=[] if key in RISKY and suffix == "csv" else pytest.mark.long)
        for key, name in ODD.items()
        for suffix in ("csv", "parquet")
    ],
)
def test_a_column_of_any_name_is_the_target_and_others_are_left_out(name: str, suffix: str, odd_tables: Path) -> None:
    others = ",".join(override(other) for other in [*ODD.values(), "y"] if other != name)
    target = "null" if name == "null" else override(name)
    spec = study.compose([*of_file(odd_tables / f"t.{suffix}"), f"data.target={target}", f"data.drop=[{others}]"])
    assert rows(spec).target_names == (name,) and list(rows(spec).input_names) == ["x"]
    lines = inputs.reading(spec, load_data(spec)).split("\n")
    assert all(line.isprintable() and len(line) < 1_000 for line in lines)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_of_all_names_are_inputs(suffix: str, odd_tables: Path) -> None:
    spec = study.compose([*of_file(odd_tables / f"t.{suffix}"), "data.target=y"])
    assert list(rows(spec).input_names) == ["x", *ODD.values()]
    assert all(line.isprintable() for line in inputs.reading(spec, load_data(spec)).split("\n"))


@pytest.mark.parametrize(("name", "suffix"), [("", "csv"), ("", "parquet"), ("a\0b", "csv")])
def test_a_target_that_cannot_be_named_is_refused(name: str, suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"t.{suffix}", ["x", name], [[number(row, 0), number(row, 1)] for row in range(COUNT)])
    with pytest.raises(BadInput):
        study.compose(["data=table", f"data.path={tmp_path}/t.{suffix}", f"data.target='{name}'"])


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "n" * 501, "Default", "0123456789abcdef" * 2, None, 1])
def test_a_studys_name_that_a_store_would_refuse_is_no_name(name: object) -> None:
    with pytest.raises(BadInput):
        rules.accepted("study", {"name": name}, {"name": rules.STUDY_NAME})


@pytest.mark.parametrize("setting", ["hydra.sweeper.study_name", "study.name"])
def test_such_a_name_is_refused_in_one_line_and_nothing_is_written(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal.err, "file", console := io.StringIO())
    study_of = ["--multirun", "optimizer=adam,sgd"] if "sweeper" in setting else []
    assert run(*study_of, "data=iris", f"{setting}={'n' * 501}") == 2
    [line] = console.getvalue().splitlines()
    assert line.startswith(f"{setting}: got ") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*ODD.values(), ".", "...", "-x", "語" * 200])
def test_a_file_named_after_a_study_is_safe(name: str) -> None:
    safe = file_name(name)
    assert safe.isprintable() and not set(safe) & set("/\\:*?\"<>|'$%# ") and len(f"{safe}.html".encode()) < 255
    assert safe not in (".", "..") and Path(safe).name == safe


def test_files_named_after_studies_that_differ_in_signs_are_different() -> None:
    names = ["a b", "a_b", "a/b", "a?b", "a\nb", "a_b."]
    assert len(set(map(file_name, names))) == len(names) and file_name("a_b") == "a_b"


@pytest.mark.parametrize(("on_terminal", "name"), [(True, "\\x1b[2J"), (False, "\x1b[2J")], ids=["terminal", "pipe"])
def test_a_table_on_a_terminal_alone_has_its_control_characters_escaped(
    on_terminal: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: on_terminal)
    monkeypatch.setattr(sys, "stdout", written)
    terminal.show_file(partial(export.write_csv, pd.DataFrame({"name": ["\x1b[2J", "語"]})))
    assert written.getvalue() == f"name\n{name}\n語\n"


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
def test_printed_names_stay_in_their_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_line(f"study {name}")
    terminal.show_text(f"study {name}")
    terminal.show_table(Table(("study", name), ((name, "1"),)))
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.split("\n"))
    assert printed.split("\n")[0] == f"study {terminal.visible(name)}"


def test_exported_names_are_read_back() -> None:
    names = [name for name in ODD.values() if not name.startswith("=")]
    written = io.StringIO()
    export.write_csv(pd.DataFrame([names, names], columns=names), written)
    assert list(csv.reader(io.StringIO(written.getvalue(), newline=""))) == [names] * 3


IN_STUDIES = ("newline", "escape sequence", "emoji", "quotes", "parent folders", "markup")


@pytest.mark.long
@pytest.mark.parametrize("name", [ODD[key] for key in IN_STUDIES], ids=IN_STUDIES)
def test_every_command_works_on_a_study_of_odd_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The study's name is odd, its target's, each of its inputs', and each of its classes'."""
    classes = [label for label in ODD.values() if label not in ("nan", "null", "True", "1e5")]
    names = [*ODD.values(), f"target {name}"]
    lines = [[*(number(row, column) for column in range(len(ODD))), classes[row // 4]] for row in range(4 * len(classes))]
    write(tmp_path / "t.csv", names, lines)
    of_table = ["data.path=t.csv", f"data.target={override(names[-1])}", f"data.drop=[{override('a=b')}]"]
    ran(tmp_path, *TRAINED, *of_table, "--multirun", "optimizer=adam,sgd", f"hydra.sweeper.study_name={override(name)}")
    monkeypatch.chdir(tmp_path)
    forget()
    monkeypatch.setattr(terminal.err, "file", console := io.StringIO())
    for arguments in (
        ["list", name],
        ["list"],
        ["show", name],
        ["show", f"{name}/0"],
        ["show", f"{name}/0/1"],
        ["report", name],
        ["compare", name, "--html", "compared.html"],
        ["similar", f"{name}/0/0"],
        ["export", name, "trials.csv"],
        ["predict", name, "t.csv", "predicted.csv"],
        ["reproduce", f"{name}/0"],
        ["doctor", name, "--thorough"],
        ["delete", name, "--yes"],
    ):
        assert run(*arguments) == 0, arguments
    printed = console.getvalue() + "".join(capfd.readouterr())
    assert all(line.isprintable() for line in printed.split("\n"))
    with Path("predicted.csv").open(newline="", encoding="utf-8") as stream:
        header = next(csv.reader(stream))
    assert {label.removeprefix("'") for label in header} >= set(classes) - {"=1+1"}
    for page in (f"{file_name(name)}.html", "compared.html"):
        assert "<script>alert(1)" not in Path(page).read_text() and "\x1b" not in Path(page).read_text()
    assert run("list", "--json") == 0 and json.loads(capfd.readouterr().out) == []
    assert {path.name for path in tmp_path.parent.iterdir() if path.name == "up"} == set()
