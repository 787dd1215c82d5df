"""The tables of `next_cases`, run."""

from __future__ import annotations

import importlib
import io
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

from study.reporting import terminal
from tests import next_cases
from tests.command import run
from tests.next_cases import Case

CASES = [
    case
    for module in pkgutil.iter_modules(next_cases.__path__)
    for case in importlib.import_module(f"{next_cases.__name__}.{module.name}").CASES
]


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """Gives the folder in which a case's last command can run."""
    folders: dict[tuple[tuple[str, ...], ...], Path] = {}

    def prepared(case: Case) -> Path:
        before = case.commands[:-1]
        folder = folders.get(before) or tmp_path_factory.mktemp("case")
        for name, content in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if before and before not in folders:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                assert [run(*command) for command in before] == [0] * len(before)
            folders[before] = folder
        return folder

    return prepared


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=[pytest.mark.long] * case.long) for case in CASES])
def test_case(
    case: Case, prepare: Callable[[Case], Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(prepare(case))
    capfd.readouterr()
    console = io.StringIO()  # errors go to a descriptor of their own
    monkeypatch.setattr(terminal.err, "file", console)
    code = run(*case.commands[-1])
    output = " ".join((console.getvalue() + "".join(capfd.readouterr())).split())
    assert code == case.code, output
    assert [text for text in case.shows if text not in output] == [], output
    assert [text for text in case.hides if text in output] == [], output


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
