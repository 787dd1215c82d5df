"""The page of one trial: its replicates, whichever of them can be compared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from study.records.tracked import TrackedTrial
from study.reporting.pages import page, trial_page
from tests.pages import Elements, shown, summary, trials

ALONE = shown(trials(1)[0], replicates=12)
MATRICES = ("relative_l2", "aligned", "disagreement")


def changed(**arrays: object) -> TrackedTrial:
    """The trial with other arrays, or without those that are None."""
    comparison = {name: array for name, array in {**ALONE.kept.comparison, **arrays}.items() if array is not None}
    return dataclasses.replace(ALONE.kept, comparison=comparison)  # type: ignore[arg-type]


def with_one_unknown(matrix: np.ndarray) -> np.ndarray:
    known = matrix.copy()
    known[1] = known[:, 1] = np.nan
    return known


TRIALS = {
    "many": ALONE.kept,
    "classes": dataclasses.replace(ALONE.kept, targets=[np.zeros(9, np.int64)] * 12),
    "one diverged": changed(**{name: with_one_unknown(ALONE.kept.comparison[name]) for name in MATRICES}),
    "equal": changed(**dict.fromkeys(MATRICES, np.zeros((12, 12)))),
    "a few compared": changed(places=np.array([0, 3, 9]), **{name: ALONE.kept.comparison[name][:3, :3] for name in MATRICES}),
    "data of their own, stopped early": dataclasses.replace(
        changed(disagreement=None, alphas=None, raw_loss=None, aligned_loss=None),
        val_loss=np.array([[1.0, 0.5, np.nan, np.nan]] * 12, np.float32),
    ),
}


@pytest.mark.parametrize("name", TRIALS)
def test_a_trials_page_shows_how_its_replicates_compare(name: str) -> None:
    content = trial_page.build("trial 0", "sgd on iris data", summary(0.5, 12), TRIALS[name])
    elements = Elements(page.render(content))
    assert elements.wrong == [] and elements.open == [] and "same loss only" in elements.words
    [_, curves], charts = (section.charts for section in content.sections)
    arrays, figures = TRIALS[name].comparison, {chart.title: chart.figure.data for chart in charts}
    numbers = [str(index) for index in arrays["places"]]
    assert len(curves.figure.data) == 2 + 12 + 1
    for title, matrix in zip(
        ("Distance of the weights", "The same after matching neurons", "Disagreement of the functions"), MATRICES, strict=True
    ):
        assert (title in figures) == (matrix in arrays)
        if matrix in arrays:
            np.testing.assert_array_equal(figures[title][0].z, arrays[matrix])
            assert list(figures[title][0].x) == numbers
    assert list(figures["Map of the networks"][0].text) == numbers
    assert ("On the line between two networks" in figures) == ("alphas" in arrays)
    if "alphas" in arrays:
        path = "raw_error" if name == "classes" else "raw_loss"
        np.testing.assert_array_equal(figures["On the line between two networks"][0].y, arrays[path][0])


def test_a_trial_of_one_network_has_nothing_to_compare() -> None:
    lone = dataclasses.replace(ALONE.kept, comparison={})
    assert [section.title for section in trial_page.build("trial 0", "", summary(0.5), lone).sections] == ["Loss curves"]
