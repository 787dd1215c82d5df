"""Bad input through the real command: what is told, the exit code, no traceback, and nothing written. A row is a bad input."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from study.reporting import terminal
from tests.command import client, run, runs_of

TINY = ["training.epochs=1", "replicates.count=2", "hydra.sweeper.study_name=tiny"]
RATE, UNITS, BATCH, SEED = "optimizer.learning_rate", "model.units", "training.batch_size", "seed"
POSITIVE = "valid: a finite number > 0"
LISTED = "valid: a list in [ ] that isn't empty, of: a whole number from 1 to 65536"
SIZES, EPOCHS = "valid: a whole number from 1 to 1000000000, or null", "valid: a whole number from 1 to 1000000"
SEEDS = "valid: a whole number from 0 to 4294967295"
INTERVAL = f"{RATE}=interval(0.1,1)"
TABLE = ["data=table", "data.path=t.csv", "data.target=y", "training.batch_size=4"]
SINGLE: list[str] = []
MULTIRUN, SEARCH = ["--multirun", "init=choice(zeros)"], ["--multirun"]
BOTH = (SINGLE, MULTIRUN)


@dataclass(frozen=True)
class Row:
    """told: how each line on standard error begins and, after ` … `, goes on; files: what is in the folder before."""

    arguments: list[str]
    told: tuple[str, ...]
    code: int = 2
    modes: tuple[list[str], ...] = BOTH
    files: Mapping[str, str | bytes] = field(default_factory=dict)


def row(arguments: str | list[str], *told: str, code: int = 2, modes: tuple[list[str], ...] = BOTH) -> Row:
    return Row([arguments] if isinstance(arguments, str) else arguments, told, code, modes)


def searched(arguments: str | list[str], *told: str, code: int = 2) -> Row:
    """A row of what only a search has."""
    return row(arguments, *told, code=code, modes=(SEARCH,))


def table(content: str | bytes | Callable[[int], str], *told: str, rows: int = 20, more: tuple[str, ...] = ()) -> Row:
    """A row of a table of two columns; a function gives its lines."""
    if callable(content):
        content = "x,y\n" + "".join(f"{content(number)}\n" for number in range(rows))
    return Row([*TABLE, *more], told, files={"t.csv": content})


def at(value: str) -> Callable[[int], str]:
    """Numbers, but for two rows of x, of which the first is row 4."""
    return lambda number: f"{value if number in (3, 5) else number},{number * 1.5}"


def target_at(value: str) -> Callable[[int], str]:
    return lambda number: f"{number},{value if number in (3, 5) else number * 1.5}"


ROWS = [
    # numbers
    row(f"{RATE}=-1", f"{RATE}: got -1; {POSITIVE}"),
    row(f"{RATE}=0", f"{RATE}: got 0; {POSITIVE}"),
    row(f"{RATE}=nan", f"{RATE}: got nan; {POSITIVE}"),
    row(f"{RATE}=inf", f"{RATE}: got inf; {POSITIVE}"),
    row(f"{RATE}='abc'", f"{RATE}: got 'abc'; {POSITIVE}"),
    row(f"{RATE}=true", f"{RATE}: got True; {POSITIVE}"),
    row(f"{UNITS}=[0]", f"{UNITS}: got [0]; {LISTED}"),
    row(f"{UNITS}=[2.5]", f"{UNITS}: got [2.5]; {LISTED}"),
    row(f"{UNITS}=[1e9]", f"{UNITS}: got [1000000000.0]; {LISTED}"),
    row(f"{UNITS}=[1000000000]", f"{UNITS}: got [1000000000]; {LISTED}"),
    row([f"{UNITS}=[8]", "model.width=4"], f"{UNITS}: got '{UNITS}=[8] beside model.width=4'; valid: either {UNITS},"),
    row([f"++{UNITS}=[8]", "model={depth: 2}"], f"{UNITS}: got '{UNITS}=[8] beside model.depth=2'; valid: either"),
    row(f'{UNITS}="[8]"', f"{UNITS}: got '\"[8]\"'; valid: lists without quotes: '{UNITS}=[8]'"),
    row("model.width=0", "model.width: got 0; valid: a whole number from 1 to 65536"),
    row(f"{BATCH}=0", f"{BATCH}: got 0; {SIZES}"),
    row(f"{BATCH}=2.5", f"{BATCH}: got 2.5; {SIZES}"),
    row(f"{BATCH}=5000", f"{BATCH}: got 5000; valid: a whole number from 1 to 283, the rows in the training part"),
    row("training.epochs=0", f"training.epochs: got 0; {EPOCHS}"),
    row("training.epochs=-1", f"training.epochs: got -1; {EPOCHS}"),
    row("training.epochs=1.5", f"training.epochs: got 1.5; {EPOCHS}"),
    row(["optimizer=sgd", "optimizer.momentum=2"], "optimizer.momentum: got 2; valid: a finite number >= 0 and <= 1"),
    row("model.dropout=1.5", "model.dropout: got 1.5; valid: a finite number >= 0 and < 1"),
    row("replicates.count=0", "replicates.count: got 0; valid: a whole number from 1 to 100000"),
    row(f"{SEED}=1.5", f"{SEED}: got 1.5; {SEEDS}"),
    row(f"{SEED}=-1", f"{SEED}: got -1; {SEEDS}"),
    row(f"{SEED}=4294967296", f"{SEED}: got 4294967296; {SEEDS}"),
    # names
    row("optimizer=adm", "optimizer: got 'adm'; valid: did you mean adam? adadelta, adagrad, adam,"),
    row("model.activation=rellu", "model.activation: got 'rellu'; valid: did you mean relu? relu, leaky_relu,"),
    row("loss=mze", "loss: got 'mze'; valid: did you mean mse?"),
    row("init=he_norml", "init: got 'he_norml'; valid: did you mean he_normal?"),
    row("schedule=cosin", "schedule: got 'cosin'; valid: did you mean cosine?"),
    row("sampler=tpee", "sampler: got 'tpee'; valid: did you mean tpe?"),
    row("pruner=medain", "pruner: got 'medain'; valid: did you mean median?"),
    row("optimizer=null", "optimizer: got None; valid: adadelta, adagrad, adam,"),
    row("loss=sparse_categorical_crossentropy", "loss: got 'sparse_categorical_crossentropy'; valid: auto, mse,"),
    row("replicates.vary=[weather]", "replicates.vary: got ['weather']; valid: a list in [ ], of: init, order,"),
    row("tracking.name=mlfow", "tracking.name: got 'mlfow'; valid: did you mean mlflow?"),
    # keys
    row("lrr=3", "lrr: got 3; valid: did you mean optimizer.learning_rate? a setting of data, model, optimizer,"),
    row("optimizer.lrr=3", "optimizer.lrr: got 3; valid: did you mean optimizer.learning_rate?"),
    row(
        ["optimizer=sgd", "optimizer.momentun=0.9"],
        "optimizer.momentun: got 0.9; valid: did you mean optimizer.momentum?",
    ),
    row("hydra.sweeper.ntrials=5", "hydra.sweeper.ntrials: got 5; valid: did you mean hydra.sweeper.n_trials?"),
    row("hydra.sweeper.n_trials=1.5", "hydra.sweeper.n_trials: got 1.5; valid: a whole number"),
    row("~optimizer.lrr", "optimizer.lrr: got '~optimizer.lrr'; valid: did you mean optimizer.learning_rate?"),
    row("~tracking", "tracking: got '~tracking'; valid: tracking=none"),
    row("~pruner", "pruner: got '~pruner'; valid: pruner=none"),
    row("~sampler", "sampler: got '~sampler'; valid: sampler=random"),
    row("~optimizer", "optimizer: got '~optimizer'; valid: optimizer=NAME"),
    row("~model", "model: got '~model'; valid: … model.SETTING=VALUE"),
    row("~model.width", "model.width: got '~model.width'; valid: … null"),
    row("optimizer.name=sgd", "optimizer.name: got 'sgd'; valid: optimizer=sgd"),
    row("optimizer={name: sgd, momentum: 0.9}", "optimizer: got '{name: … valid: optimizer=sgd optimizer.momentum=0.9"),
    row("optimizer.momentum=0.9", "optimizer.momentum: got 0.9; valid: … optimizer=sgd or rmsprop"),
    row("hydra/sweeper=basic", "hydra/sweeper: got 'basic'; valid: study"),
    row("init.same_as=abc", "init.same_as: got 'abc'; valid: a store that holds runs; there is no /"),
    # grammar
    row("x==", "x: got 'x=='; valid: key=value"),
    row(f"{UNITS}=[1", f"{UNITS}: got '{UNITS}=[1'; valid: key=value"),
    row(RATE, f"{RATE}: got '{RATE}'; valid: key=value"),
    row("=3", "an override: got '=3'; valid: key=value"),
    row("--multirn", "unrecognized arguments: --multirn"),
    row(f"{RATE}=0.1,0.2", f"{RATE}: got '0.1,0.2'; valid: one value; to search several, add --multirun", modes=(SINGLE,)),
    row(f"{RATE}=interval(0,1)", f"{RATE}: got 'interval(0,1)'; valid: one value; to search", modes=(SINGLE,)),
    # control characters
    row(f"{RATE}='\x1b[2J'", rf"{RATE}: got '\x1b[2J'; {POSITIVE}"),
    row("optimizer='\x1b[2J'", r"optimizer: got '\x1b[2J'; valid: adadelta,"),
    row("\x1b[2J=3", r"\x1b[2J: got '\x1b[2J=3'; valid: key=value"),
    row(f"{RATE}=\x1b[31m", rf"{RATE}: got '{RATE}=\x1b[31m'; valid: key=value"),
    row("--no\x1b[2J", r"unrecognized arguments: --no\x1b[2J"),
    row(["show", "\x1b[2J"], r"STUDY: got '\x1b[2J'; valid: a study in sqlite:///", modes=(SINGLE,)),
    # all at once
    row(
        ["lrr=3", "optimizer=adm", "training.epochs=0", f"{UNITS}=[1", f"{SEED}=-1", "data=digitz", "data.rows=3", "loss=mze"],
        f"{UNITS}: got '{UNITS}=[1'; valid: key=value",
        "lrr: got 3;",
        "optimizer: got 'adm';",
        "data: got 'digitz'; valid: did you mean digits?",
        "training.epochs: got 0;",
        f"{SEED}: got -1;",
    ),
    # search spaces
    searched(f"{RATE}=interval(1,0)", f"{RATE}: got 'numbers from 1 to 0'; valid: finite bounds with low < high"),
    searched(f"{RATE}=tag(log,interval(0,1))", f"{RATE}: got 'numbers from 0 to 1, log'; valid: bounds above 0 on a log scale"),
    searched(f"{RATE}=tag(log,interval(-1,1))", f"{RATE}: got 'numbers from -1 to 1, log'; valid: bounds above 0"),
    searched(f"{RATE}=interval(nan,1)", f"{RATE}: got 'numbers from nan to 1'; valid: finite bounds"),
    searched(f"{RATE}=interval(0.1,inf)", f"{RATE}: got 'numbers from 0.1 to inf'; valid: finite bounds"),
    searched(f"{BATCH}=int(interval(0.5,3))", f"{BATCH}: got 'interval(0.5,3)'; valid: whole bounds for whole numbers"),
    searched(f"{BATCH}=range(1,9,0)", f"{BATCH}: got '{BATCH}=range(1,9,0)'; valid: range(start,stop,step)"),
    searched(f"{RATE}=choice()", f"{RATE}: got '{RATE}=choice()'; valid: key=value"),
    searched(f"{RATE}=0.1,0.1", f"{RATE}: got '0.1,0.1'; valid: one or more choices, each once"),
    searched(f"{RATE}=choice(0.1,0.1)", f"{RATE}: got '0.1,0.1'; valid: one or more choices, each once"),
    searched(f"{RATE}=choice(0.1,[0.2,0.3])", f"{RATE}: got [0.2, 0.3]; {POSITIVE}"),
    searched(f"{RATE}=choice(0.1,choice(0.2,0.3))", f"{RATE}: got '{RATE}=choice(0.1,choice(0.2,0.3))'; valid: choices"),
    searched("optimizer=adam,null", "search space: got 'optimizer=null'; valid: Config group override must be a string or a list"),
    searched(f"{RATE}=choice(0.1,-1)", f"{RATE}: got -1; {POSITIVE}"),
    searched(f"{BATCH}=choice(16,5000)", f"{BATCH}: got 5000; valid: a whole number from 1 to 283"),
    searched("optimizer=adam,adm", "optimizer: got 'adm'; valid: did you mean adam?"),
    searched("lrr=choice(1,2)", "lrr: got 'choice(1, 2)'; valid: did you mean optimizer.learning_rate?"),
    searched(
        ["lrr=choice(1,2)", "optimiser=choice(adam,sgd)", "training.epochs=choice(0,1)"],
        "lrr: got 'choice(1, 2)'; valid: did you mean",
        "optimiser: got 'choice(adam, sgd)'; valid: did you mean optimizer?",
        "training.epochs: got 0; valid:",
    ),
    searched([f"{RATE}=0.1", f"{RATE}=choice(0.1,0.2)"], f"{RATE}: got '{RATE}=choice(0.1,0.2)'; valid: … once"),
    searched(f"{RATE}=interval(nan,inf)", f"{RATE}: got 'numbers from nan to inf'; valid: finite bounds"),
    searched(f"{BATCH}=tag(log,range(1,9,2))", f"{BATCH}: got ' … in steps of 2, log'; valid: no step on a log scale"),
    searched(
        ["init=zeros,orthogonal", "optimizer=sgd", "optimizer.momentum=tag(optimizr:sgd,interval(0,1))"],
        "optimizer.momentum: got 'a condition on optimizr'; valid: one on a setting searched by its values (init)",
    ),
    searched([INTERVAL, "hydra.sweeper.objective=[]"], "hydra.sweeper.objective: got []; valid: one or more of loss,"),
    searched([INTERVAL, "hydra.sweeper.objective=5"], "hydra.sweeper.objective: got 5; valid: loss, spread,"),
    searched([INTERVAL, "hydra.sweeper.objective=los"], "hydra.sweeper.objective: got 'los'; valid: did you mean loss?"),
    searched(
        [INTERVAL, "hydra.sweeper.objective=[loss,size]", "pruner=median"],
        "pruner: got 'median with objective loss, size'; valid: objective=loss: pruners judge by the loss",
    ),
    searched(["init=zeros,orthogonal", "sampler=cmaes"], "sampler: got 'cmaes'; valid: a space with at least two intervals"),
    searched([INTERVAL, "sampler=grid"], f"sampler: got 'grid with {RATE}'; valid: settings with values or steps"),
    searched(
        [INTERVAL, "hydra.sweeper.max_failure_rate=2"],
        "hydra.sweeper.max_failure_rate: got 2.0; valid: a finite number",
    ),
    searched("hydra.sweeper.n_trials=0", f"hydra.sweeper.n_trials: got 0; {EPOCHS}"),
    searched("hydra.sweeper.finalists=29", "hydra.sweeper.finalists: got 29; valid: null: … hydra.sweeper.decide=true"),
    searched("hydra.sweeper.try=3", "hydra.sweeper.try: got 3; valid: a list of mappings"),
    searched([INTERVAL, f"hydra.sweeper.try=[{{{RATE}: 5}}]"], f"hydra.sweeper.try[0] {RATE}: got 5; valid: numbers from"),
    searched(
        [INTERVAL, f"hydra.sweeper.try=[{{{BATCH}: 5}}]"],
        f"hydra.sweeper.try[0] {BATCH}: got 5; valid: {RATE}",
        f"hydra.sweeper.try[0] {RATE}: got '0.001 by default'; valid: numbers from",
    ),
    searched([INTERVAL, "hydra.sweeper.from=x"], "hydra.sweeper.from: got 'x'; valid: a study in"),
    searched("hydra.sweeper.direction=up", "hydra.sweeper.direction: got 'up'; valid: minimize, maximize"),
    searched(
        [f"{RATE}=interval(1,0)", f"{BATCH}=16,16"],
        f"{RATE}: got 'numbers from 1 to 0';",
        f"{BATCH}: got '16,16';",
    ),
    # what is given twice, or decides the same thing
    searched(
        [f"{UNITS}=[8,8],[16]", "model.depth=1,2"], f"{UNITS}: got '{UNITS}=[8,8],[16] beside model.depth=1,2'; valid: either"
    ),
    searched([f"{UNITS}=[8]", "model.width=16,32"], f"{UNITS}: got '{UNITS}=[8] beside model.width=16,32'; valid: either"),
    searched(["++model.width=4,8", "model.width=16,32"], "model.width: got 'model.width=16,32'; valid: … once"),
    searched(["model.width=4,8", "++model.width=16"], "model.width: got '++model.width=16'; valid: … once"),
    searched([f"{UNITS}=[0]"], f"{UNITS}: got [0]; {LISTED}"),
    searched(
        ["optimizer=sgd", f"{RATE}=0.1", f"{BATCH}=32", f"{UNITS}=[8]"],
        "--multirun: got 'nothing to search'; valid: several values … ; or, to train this one setting: mlp-study optimizer=sgd",
    ),
    # what only some of the searched kinds have
    searched(
        ["optimizer=adam,sgd", "optimizer.beta_1=0.8"],
        "optimizer.beta_1: got 0.8; valid: … 'optimizer.beta_1=tag(optimizer:adam,choice(0.8))'",
    ),
    searched(["optimizer=adam,sgd", "optimizer.beta_1=5"], "optimizer.beta_1: got 5; valid: a finite number"),
    searched("optimizer.initial_accumulator_value=0.2", "optimizer.initial_accumulator_value: got 0.2; valid: … optimizer=adagrad"),
    searched(
        f'{UNITS}=choice("[8]","[8, 8]")',
        f"{UNITS}: got 'choice( … valid: lists without quotes: '{UNITS}=choice([8],[8,8])'",
    ),
    # stores
    row("tracking.uri=nonsense", "tracking.uri: got 'nonsense'; valid: sqlite:///FILE or http"),
    row("tracking.uri='http://'", "tracking.uri: got 'http://'; valid: sqlite:///FILE or http"),
    row("tracking.uri='http://[::1'", "tracking.uri: got 'http://[::1'; valid: sqlite:///FILE or http"),
    row("tracking.uri='ftp://host'", "tracking.uri: got 'ftp://host'; valid: sqlite:///FILE or http"),
    row("tracking.uri=sqlite:/x.db", "tracking.uri: got 'sqlite:/x.db'; valid: sqlite:///FILE or http"),
    row("tracking.uri=3", "tracking.uri: got 3; valid: a text"),
    row("tracking.uri=http://user:secret@127.0.0.1:1", "tracking.uri: got 'http:// … :***@127.0.0.1:1'; valid: a URL without"),
    row("tracking.uri=http://127.0.0.1:1", "tracking.uri http://127.0.0.1:1: no MLflow server answers", code=3),
    searched("hydra.sweeper.storage=nonsense", "hydra.sweeper.storage: got 'nonsense'; valid: sqlite:///FILE or postgresql"),
    searched("hydra.sweeper.storage=sqlite:/x.db", "hydra.sweeper.storage: got 'sqlite:/x.db'; valid: sqlite:///FILE"),
    searched(
        "hydra.sweeper.storage='postgresql://user:secret@127.0.0.1/studies'",
        "hydra.sweeper.storage: got … :***@127.0.0.1/studies'\"; valid: a URL without",
    ),
    # tables
    row([*TABLE, "data.path=nowhere.csv"], "data.path: got '/ … /nowhere.csv'; valid: a file (no such file)"),
    row([*TABLE, "data.path=."], "data.path: got '/ … '; valid: a file (a directory)"),
    row("data=table", "data.path: got None; valid: the path of a file (CSV, ", "data.target: got None; valid: the name"),
    table("", "data.path: got '/ … /t.csv'; valid: a table (the file is empty)"),
    table(
        at("nan"),
        "data.missing: got \"column 'x': no value in row 4 (first of 2)\"; valid: no missing values",
        more=("data.missing=refuse",),
    ),
    table(
        lambda number: f"{number},", "data.target: got \"a column 'y' with a value in 0 rows\"; valid: a value in 2 or more rows"
    ),
    table(at("inf"), "data.path: got \"column 'x': inf in row 4 (first of 2)\"; valid: numbers from -1e+37 to 1e+37, or leave it"),
    table(target_at("-inf"), "data.path: got \"column 'y': -inf in row 4 (first of 2)\"; valid: numbers from -1e+37 to 1e+37"),
    table(at("abc"), "data.path: got \"column 'x': 'abc' among numbers, row 4 (first of 2)\"; valid: numbers only"),
    table(target_at("abc"), "data.path: got \"column 'y': 'abc' among numbers, row 4 (first of 2)\"; valid: numbers only"),
    table(lambda number: f"{number},{number}", "data.path: got 'a table of 1 rows'; valid: 2 or more rows", rows=1),
    table(lambda number: f"{number},{number}", "data.validation_fraction: got 0.2; valid: a fraction that leaves", rows=2),
    table(lambda number: f"{number},7", "data.target: got \"column 'y': all values the same\"; valid: a column that varies"),
    table(lambda number: f"{number}e38,{number}", "data.path: got \"column 'x': 1e+38 in row 2 (first of 19)\"; valid: numbers"),
    table(lambda number: f"{number},{number}e38", "data.path: got \"column 'y': 1e+38 in row 2 (first of 19)\"; valid: numbers"),
    table(lambda number: f"{number},{number}" + ",3" * (number == 4), "data.path: got '/ … fields in each row (row 5 has 3)"),
    table(
        "x,y\n1,é\n2,ü\n".encode("latin-1"), "data.encoding: got 'utf-8'; valid: the file's encoding", more=("data.encoding=utf-8",)
    ),
    table(lambda number: f"{number},{number}", "data.target: got 'ÿ'; valid: x, y", more=("data.target='ÿ'",)),
    table("x\x1b[2J,y\n1,2\n", r"data.target: got 'z'; valid: x\x1b[2J, y", more=("data.target=z",)),
    # what isn't there to be looked at
    row(["show", "absent"], "STUDY: got 'absent'; valid: a study in sqlite:///", modes=(SINGLE,)),
    row(["compare", "absent"], "tracking.uri: got 'sqlite:///", modes=(SINGLE,)),
    row(["similar", "absent"], "tracking.uri: got 'sqlite:///", modes=(SINGLE,)),
    row(["compare"], "Usage: mlp-study compare", "Try", "Error: Missing argument", modes=(SINGLE,)),
    row(["similar", "absent", "--count", "0"], "Usage: mlp-study similar", "Try", "Error: Invalid value", modes=(SINGLE,)),
]


@dataclass(frozen=True)
class Told:
    code: int
    lines: list[str]
    raw: str


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Runs the command; what it tells on standard error, by the console's own descriptor and by descriptor 2, as lines."""

    def call(*arguments: str) -> Told:
        console = io.StringIO()
        capfd.readouterr()
        monkeypatch.setattr(terminal.err, "file", console)
        code = run(*arguments)
        raw = console.getvalue() + capfd.readouterr().err
        assert "Traceback" not in raw
        return Told(code, [line for line in raw.splitlines() if line.strip()], raw)

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture
def empty(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One empty folder for all rows: they share the process that would write to its store."""
    monkeypatch.chdir(place)
    yield place
    for each in place.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None for each in folder.rglob("*")}


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def cases() -> Iterator[object]:
    seen: set[str] = set()
    for number, each in enumerate(ROWS):
        key = each.arguments[-1].partition("=")[0]
        for mode in each.modes:
            kind = "single" if mode is SINGLE else "multirun"
            shown = " ".join(each.arguments[-2:]).encode("unicode_escape").decode()
            # a study refuses a setting as a launch does: its other wrong values are tried there too, in more time
            marks = [pytest.mark.long] if each.modes is BOTH and mode is MULTIRUN and key in seen else []
            yield pytest.param(each, mode, id=f"{number} {kind} {shown}", marks=marks)
        seen.add(key)


@pytest.mark.parametrize(("bad", "mode"), cases())
def test_bad_input_is_told_and_nothing_is_written(bad: Row, mode: list[str], empty: Path, command: Callable[..., Told]) -> None:
    write(empty, bad.files)
    before = listing(empty)
    told = command(*mode, *bad.arguments)
    assert told.code == bad.code, told.lines
    assert len(told.lines) == len(bad.told), told.lines
    for line, expected in zip(told.lines, bad.told, strict=True):
        begins, _, goes_on = expected.partition(" … ")
        assert line.startswith(begins) and goes_on in line
    assert not any(character != "\n" and not character.isprintable() for character in told.raw)
    assert listing(empty) == before


# -- places that can't be written, and files that are no databases -----------------------------------------------------------


NO_DATABASE, A_FILE = "this is not a SQLite database, and is left as it is", "is a file, not a folder"
NOTES = {"notes": "of mine"}
OCCUPIED = [
    Row([], ("/ … /mlflow.db: " + NO_DATABASE,), 6, files={"mlflow.db": "notes"}),
    Row([], ("/ … /mlflow.db: " + NO_DATABASE,), 6, files={"mlflow.db": ""}),
    Row([], ("/ … /optuna.db: " + NO_DATABASE,), 6, (MULTIRUN,), {"optuna.db": "notes"}),
    Row([], (".mlp-study/spool: … " + A_FILE,), 4, files={".mlp-study": "notes"}),
    Row([], ("/ … " + A_FILE,), 4, files={"mlruns": "notes"}),
    Row([], ("outputs … Not a directory",), 4, (SINGLE,), {"outputs": "notes"}),
    Row(["hydra.run.dir=notes/x"], ("notes/x: Not a directory",), 4, (SINGLE,), NOTES),
    Row(["tracking.uri=sqlite:///notes/x.db"], ("/ … " + A_FILE,), 4, files=NOTES),
    Row(["hydra.sweeper.storage=sqlite:///notes/x.db"], ("/ … " + A_FILE,), 4, (MULTIRUN,), NOTES),
]


@pytest.mark.parametrize(
    ("bad", "mode"),
    [pytest.param(each, mode, id=f"{n} {' '.join(mode)}") for n, each in enumerate(OCCUPIED) for mode in each.modes],
)
def test_what_is_in_the_way_is_told_and_left_as_it_is(
    bad: Row, mode: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Told]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, bad.files)
    before = listing(tmp_path)
    told = command(*mode, *bad.arguments)
    [expected], [line] = bad.told, told.lines
    begins, _, goes_on = expected.partition(" … ")
    assert told.code == bad.code and line.startswith(begins) and goes_on in line
    after = listing(tmp_path)
    assert after.items() >= before.items()
    # folders and locks hold nothing
    assert [name for name in after if name not in before and after[name]] == []


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_sampler_without_its_package_is_told(empty: Path, command: Callable[..., Told]) -> None:
    told = command("--multirun", INTERVAL, "sampler=gp")
    [line] = told.lines
    assert told.code == 2 and line.startswith("sampler: got 'gp'; valid: pip install ") and line.endswith("package torch")
    assert listing(empty) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", BOTH, ids=["single", "multirun"])
def test_a_folder_that_may_not_be_written_is_told(
    mode: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Told]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    told = command(*mode)
    assert told.code == 4 and "can't be written" in told.raw and listing(tmp_path) == {}


# -- beside a study ----------------------------------------------------------------------------------------------------------


WIDTHS = "model.width=2,3,4,5"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four trials; the replicates' runs of the third are deleted, and the fourth's weights are damaged."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("--multirun", WIDTHS, *TINY) == 0
        trials = runs_of("trial")
        client().delete_run(trials[2].info.run_id)
        [weights] = (folder / "mlruns").glob(f"**/{trials[3].info.run_id}/**/weights.npz")
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    return folder


@pytest.fixture
def here(studied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(studied)
    return studied


def counts() -> list[int]:
    return [len(runs_of(kind)) for kind in ("trial", "replicate", "study")]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            [WIDTHS.replace("2,", "7,"), *TINY],
            "space: model.width: got 'choice(7, 3, 4, 5)'; valid: choice(2, 3, 4, 5) in study 'tiny'",
        ),
        ([WIDTHS, *TINY, "seed=1"], "seed: got '1'; valid: 0 in study 'tiny'"),
        ([WIDTHS, *TINY, "training.epochs=2"], "training.epochs: got '2'; valid: 1 in study 'tiny'"),
        ([WIDTHS, *TINY, "hydra.sweeper.direction=maximize"], "direction: got 'maximize'; valid: minimize in study 'tiny'"),
        ([WIDTHS, *TINY, "data=friedman1"], "data: got 'friedman1'; valid: diabetes in study 'tiny'"),
    ],
    ids=["space", "seed", "setting", "direction", "data"],
)
def test_another_study_of_the_same_name_is_refused_with_the_difference(
    other: list[str], told: str, here: Path, command: Callable[..., Told]
) -> None:
    before = counts()
    found = command("--multirun", *other)
    assert found.code == 2 and any(told in line for line in found.lines), found.lines
    assert counts() == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["compare", "similar"])
@pytest.mark.parametrize("run_id", ["0" * 32, "no/such run", "\x1b[2J"], ids=["absent", "malformed", "control characters"])
def test_a_run_that_is_not_there_is_told(name: str, run_id: str, command: Callable[..., Told]) -> None:
    told = command(name, run_id)
    assert told.code == 2
    assert told.lines[0].startswith(f"RUN: got {run_id!r}; valid: the id of a run in sqlite:///")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["compare", "similar"])
def test_a_deleted_run_is_told(name: str, command: Callable[..., Told]) -> None:
    experiment = client().get_experiment_by_name("tiny")
    assert experiment
    [deleted] = client().search_runs([experiment.experiment_id], run_view_type=2)
    told = command(name, deleted.info.run_id)
    assert told.code == 2 and told.lines == [f"RUN: got '{deleted.info.run_id}'; valid: a run that isn't deleted"]


@pytest.mark.usefixtures("here")
def test_damaged_weights_are_told(command: Callable[..., Told]) -> None:
    told = command("compare", runs_of("trial")[-1].info.run_id)
    assert told.code == 6 and "weights.npz" in told.lines[0]


@pytest.mark.usefixtures("here")
def test_a_study_that_is_not_there_is_told_with_those_that_are(command: Callable[..., Told]) -> None:
    told = command("show", "absent")
    assert told.code == 2 and told.lines == ["STUDY: got 'absent'; valid: one of: tiny"]


@pytest.mark.usefixtures("here")
def test_networks_of_different_architectures_are_compared_by_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (each.info.run_id for each in runs_of("trial")[:2])
    capsys.readouterr()
    assert run("compare", first, second, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differing_shapes"] == "10-2-2-1; 10-3-3-1" and found["relative_l2"] is None
    assert len(found["disagreement"]) == 4 and found["disagreement"][0][2] > 0
    assert all(each["val_loss"] > 0 for each in found["networks"])
    assert "since the shapes differ: 10-2-2-1; 10-3-3-1" in found["conclusion"]


@pytest.mark.parametrize("mode", [[], ["--multirun", "seed=2,3"]], ids=["single", "multirun"])
def test_an_override_of_three_hundred_characters_works(mode: list[str], here: Path, command: Callable[..., Told]) -> None:
    (here / "t.csv").write_text("x,y\n" + "".join(f"{number},{number**2}\n" for number in range(20)))
    path = f"data.path={'./' * 150}t.csv"
    arguments = [*TABLE, path, "training.epochs=1", "replicates.count=2", "model.units=[2]", "tracking=none"]
    assert len(path) > 300 and command(*mode, *arguments).code == 0
