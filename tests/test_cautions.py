"""Warnings about tables: each of them, and none for an ordinary table."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import study
from study.data import cautions, inputs

DRAW = random.Random(5)
NOISE = [round(DRAW.gauss(0, 1), 3) for _ in range(400)]


# a row of a table without anything to warn of: a number, a level, a target
def ordinary(n: int) -> str:
    return f"{NOISE[n]},{'uvw'[n % 3]},{round(NOISE[n] + NOISE[-n], 3)}"


@pytest.mark.parametrize(
    ("row", "more", "warned"),
    [
        (ordinary, [], []),
        (lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{2 * NOISE[n] + 7:.3f}", [], ["a alone predicts y almost exactly"]),
        (lambda n: f"{NOISE[n]},{'uvw'[n % 3]},c{n % 3}", [], ["b alone predicts the class almost exactly"]),
        (lambda n: ordinary(n % 150), [], ["validation rows and ", "are equal to a row to train on"]),
        (lambda n: f"{n},{'uvw'[n % 3]},{NOISE[n]}", [], ["inputs that number the rows, or identify them: a (data.drop"]),
        (
            lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{'rare' if n % 60 == 0 else 'pq'[NOISE[n] > NOISE[-n]]}",
            [],
            ["class of fewer than 10 rows outside the test part: rare (6)"],
        ),
        (ordinary, ["data.test_fraction=0.99", "training.batch_size=1"], ["inputs (4) than rows to train on (3)"]),
        (lambda n: f"{7 if n else 8},{'uvw'[n % 3]},{NOISE[n]}", [], ["nearly constant columns", "a (99."]),
        (
            lambda n: f"2024-{n % 12 + 1:02}-{n % 28 + 1:02},{'uvw'[n % 3]},{NOISE[n]}",
            [],
            ["rows in time (a) and a random split; if new rows come later, judge by the latest: data.split=time data.time=a"],
        ),
        (
            lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{'80000' if n == 399 else f'{150 + 50 * NOISE[-n]:.2f}'}",
            [],
            ["y has a number far from all others (80000 in the last row, all others between ", "if it is a total"],
        ),
        (
            lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{'-9' if n == 7 else f'{1 + NOISE[-n] / 9:.3f}'}",
            [],
            ["y has a number far from all others (-9 in row 8, "],
        ),
        (
            lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{math.exp(NOISE[n] + NOISE[-n]) if n else 900:.4f}",
            [],
            ["y is skewed: ", "% of its variance is in 1% of the rows; data.normalise_target=log predicts"],
        ),
        (lambda n: f"{NOISE[n]},{'uvw'[n % 3]},{math.exp(NOISE[n] + NOISE[-n]):.4f}", ["data.normalise_target=log"], []),
    ],
)
def test_a_table_is_warned_of_once(row: Callable[[int], str], more: list[str], warned: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *map(row, range(400))]) + "\n")
    spec = study.compose(["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "training.batch_size=4", *more])
    sentences = list(cautions.of_table(spec))
    text = "\n".join(sentences)
    assert len(sentences) == (1 if warned else 0) and [part for part in warned if part not in text] == []
    assert inputs.reading(spec, study.load_data(spec)).count("warning: ") == len(sentences)
