"""A start loads what it needs: the modules that quick commands and refused input do without; and when garbage is collected."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study import collector

HEAVY = ("tensorflow", "keras", "mlflow", "pandas", "sklearn", "scipy.stats", "scipy.optimize", "plotly", "matplotlib")
READS_STUDIES = {*HEAVY, "hydra", "omegaconf", "pyarrow"}
COMPOSES = {*HEAVY, "optuna", "sqlalchemy", "scipy.special"}
PRINTS = READS_STUDIES | COMPOSES | {"numpy"}
MULTIRUN = "--multirun tracking=none"

TINY = "model.units=[4] training.epochs=2 replicates.count=2 tracking=none hydra.sweeper.decide=false"
TINY = f"--multirun optimizer.learning_rate=0.01,0.1 {TINY} hydra.sweeper.study_name=tiny hydra.sweeper.baselines=false"

# runs the command and prints, last, which of the modules are loaded
PROGRAM = """
import atexit, sys
modules = sys.argv.pop(1).split(",")
atexit.register(lambda: print("\\nloaded:", *(name for name in modules if name in sys.modules)))
from study.cli import main
main()
"""


def loaded(folder: Path, modules: set[str], arguments: list[str], code: int) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, ",".join(sorted(modules)), *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    return ended.stdout.rpartition("loaded:")[2].split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("start")
    subprocess.run([sys.executable, "-m", "study", *TINY.split()], cwd=made, check=True, capture_output=True)
    return made


@pytest.mark.parametrize(
    ("arguments", "code", "absent"),
    [
        ("--version", 0, PRINTS),
        ("list --help", 0, PRINTS),
        ("nope", 2, PRINTS),
        ("--help", 0, COMPOSES | {"pyarrow"}),
        ("list", 0, READS_STUDIES),
        ("list tiny", 0, READS_STUDIES),
        ("show tiny", 0, READS_STUDIES),
        ("show tiny --json", 0, READS_STUDIES),
        ("optimizer=nope", 2, COMPOSES | {"pyarrow"}),
        ("training.epochs=-1", 2, COMPOSES | {"pyarrow"}),
        ("data=table data.path=missing.csv data.target=y", 2, COMPOSES),
        (f"{MULTIRUN} training.batch_size=16,-1", 2, COMPOSES | {"pyarrow"}),
        (f"{MULTIRUN} optimizer=adam,nope", 2, COMPOSES | {"pyarrow"}),
        (f"{MULTIRUN} optimizer.learning_rate=interval(1,0)", 2, COMPOSES | {"pyarrow"}),
        (f"{MULTIRUN} hydra.sweeper.n_trials=0", 2, COMPOSES | {"pyarrow"}),
    ],
)
def test_a_command_does_without(arguments: str, code: int, absent: set[str], folder: Path) -> None:
    assert loaded(folder, absent, arguments.split(), code) == []


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("of_a_command", [True, False])
def test_nothing_is_collected_while_held_and_a_command_never_looks_through_what_was_made(
    of_a_command: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_of_a_command", of_a_command)
    gc.unfreeze()
    with collector.held():
        assert not gc.isenabled()
        with collector.held():
            assert not gc.isenabled()
        assert not gc.isenabled() and not gc.get_freeze_count()
    assert gc.isenabled() and bool(gc.get_freeze_count()) == of_a_command


@pytest.mark.usefixtures("collecting")
def test_a_callers_own_setting_stays() -> None:
    gc.unfreeze()
    gc.disable()
    with collector.held():
        pass
    assert not gc.isenabled() and not gc.get_freeze_count()


@pytest.mark.usefixtures("collecting")
def test_collection_goes_on_after_a_failed_import() -> None:
    with pytest.raises(ModuleNotFoundError), collector.held():
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()
