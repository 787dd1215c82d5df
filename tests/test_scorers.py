"""Scores by functions of the user's own: allowed by name on the command line alone, since they run code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from study.analysis import own_scores
from study.cli import flags
from study.errors import BadInput
from study.settings import scorers
from study.statistics import objectives
from study.statistics.objectives import Objective
from study.tracking.schema import score_metric

MODULE = """
def gain(y, predicted, sample_weight=None):
    return float((predicted[:, 1] > 0.5).sum() + 10 * (sample_weight is not None))
def error(y, predicted):
    assert y.shape == predicted.shape == (3,)
    return abs(y - predicted).max()
number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory, of a name that no other test loads."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scorers, "_allowed", {})
    monkeypatch.setattr(scorers, "_loaded", {})
    monkeypatch.setenv(scorers.VARIABLE, "")
    return name


def test_a_function_is_refused_by_name_until_it_is_allowed(module: str) -> None:
    name = f"{module}:gain"
    with pytest.raises(BadInput, match=rf"objective: got '{name}'; valid: .*--allow-scorer={name}"):
        objectives.parse(name, "maximize", "classification")
    assert module not in sys.modules
    scorers.allow(name)
    assert objectives.parse(name, "maximize", "classification") == (Objective(name, "maximize"),)
    with pytest.raises(BadInput, match=r"direction: got None; valid: minimize or maximize"):
        objectives.parse(name, None, "classification")
    with pytest.raises(BadInput, match="allow-scorer"):  # another one of the same module
        objectives.parse(f"{module}:error", "minimize", "regression")
    assert os.environ[scorers.VARIABLE] == name and scorers.flags() == [f"--allow-scorer={name}"]
    assert score_metric(name) == f"val_{module}.gain" and os.getcwd() not in sys.path


def test_a_variable_that_is_set_later_allows_nothing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scorers.VARIABLE, f"{module}:gain")  # as hydra.job.env_set of a config does
    assert scorers.allowed() == {} and own_scores.scores(np.zeros((1, 3, 1)), np.zeros((3, 1)), None) == {}


def test_functions_get_targets_and_predictions_and_weights_if_there_are_some(module: str) -> None:
    logits, labels = np.array([[[-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]]), np.array([0, 1, 1], np.int32)
    scorers.allow(f"{module}:gain")
    assert own_scores.scores(logits, labels, None) == {f"{module}:gain": [2.0]}
    assert own_scores.scores(logits, labels, np.ones(3)) == {f"{module}:gain": [12.0]}


def test_a_single_target_is_a_plain_array(module: str) -> None:
    scorers.allow(f"{module}:error")
    found = own_scores.scores(np.array([[[1.0], [2.0], [5.0]], [[0.0], [0.0], [0.0]]]), np.array([[1.0], [2.0], [3.0]]), None)
    assert found[f"{module}:error"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text"), [("gain", "such as"), ("{}:none", "none"), ("no_such:f", "no_such"), ("{}:number", "a function")]
)
def test_what_is_no_function_is_refused(module: str, name: str, text: str) -> None:
    with pytest.raises(BadInput, match=rf"--allow-scorer: got .*{text}"):
        scorers.allow(name.format(module))


def test_the_flag_may_stand_anywhere_and_needs_a_name() -> None:
    given, rest = flags.taken(["-m", "--allow-scorer=a:f", "data=iris", "--allow-scorer=b:g"])
    assert given.scorers == ("a:f", "b:g") and rest == ["-m", "data=iris"]
    with pytest.raises(BadInput, match="--allow-scorer=MODULE:FUNCTION"):
        flags.taken(["--allow-scorer", "a:f"])
