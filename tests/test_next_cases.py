"""The tables of `next_cases`, run."""

from __future__ import annotations

import importlib
import io
import pkgutil
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


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in case.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in case.commands[:-1]:
        assert run(*command) == 0
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
