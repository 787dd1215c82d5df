"""The examples in the docstrings of the public names give what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import study
from tests.command import ran

FLAGS = doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study that the examples open ran."""
    settings = ["training.epochs=2", "replicates.count=2", "model.units=[4]", "data=iris"]
    command = ["--multirun", "optimizer.learning_rate=0.01,0.1", "hydra.sweeper.study_name=tiny", *settings]
    return ran(tmp_path_factory.mktemp("examples"), *command)


@pytest.mark.long
@pytest.mark.parametrize("name", ["study", *study.__all__])
def test_an_example_gives_what_it_says(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    told = study if name == "study" else getattr(study, name)
    example = doctest.DocTestParser().get_doctest(told.__doc__, {"study": study}, name, None, None)
    assert example.examples, "a public name shows how it is used"
    output: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=output.append)
    assert not failed, "".join(output)
