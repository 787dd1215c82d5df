"""What single choices are worth on real tables: eight networks of one setting, without a search.

Each way trains on the same rows with the same seeds, and its networks' mean prediction is judged on the fifth of the rows that was
kept back. Printed: normalised losses (see `tables`), and the ratio of each way's loss to that of the first one, as a geometric mean
over tables with its 95% interval. Results are kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import study
from benchmarks import tables
from benchmarks.table_sides import REGRESSION, TARGET

BEST_EPOCH, COSINE, ADAMW = "training.patience=100", "schedule=cosine", "optimizer=adamw"
RATE, SMALLER = "optimizer.learning_rate=0.01", "optimizer.learning_rate=0.003"
DECAY = "optimizer.weight_decay=0.1"
FOURIER, RARE = "data.fourier=true", "data.min_count=1"
ANEW, FOLDS = "replicates.per_split=2", ("data.resample=kfold", "data.folds=8")
FALLING = (*FOLDS, BEST_EPOCH, COSINE, ADAMW, SMALLER, DECAY)
WAYS: dict[str, tuple[str, ...]] = {
    "default setting, a split for each pair": (ANEW,),
    "best epoch": (ANEW, BEST_EPOCH),
    "best epoch, AdamW 0.01, cosine": (ANEW, BEST_EPOCH, COSINE, ADAMW, RATE, DECAY),
    "the same, eight folds": (*FOLDS, BEST_EPOCH, COSINE, ADAMW, RATE, DECAY),
    "the same, Fourier features": (*FOLDS, BEST_EPOCH, COSINE, ADAMW, RATE, DECAY, FOURIER),
    "the same, rare levels by themselves (+experiment=table)": (*FOLDS, BEST_EPOCH, COSINE, ADAMW, RATE, DECAY, FOURIER, RARE),
    "eight folds, best epoch": (*FOLDS, BEST_EPOCH),
    "eight folds, best epoch, cosine 0.003": (*FOLDS, BEST_EPOCH, COSINE, SMALLER),
    "eight folds, best epoch, cosine 0.01": (*FOLDS, BEST_EPOCH, COSINE, RATE),
    "AdamW 0.003": FALLING,
    "AdamW 0.003, dropout 0.1": (*FALLING, "model.dropout=0.1"),
    "AdamW 0.003, dropout 0.25": (*FALLING, "model.dropout=0.25"),
    "AdamW 0.003, three of 128, dropout 0.15": (*FALLING, "model.units=[128,128,128]", "model.dropout=0.15"),
    "AdamW 0.003, silu": (*FALLING, "model.activation=silu"),
    "AdamW 0.003, robust": (*FALLING, "data.normalise=robust"),
}
# the search for tables was chosen on these, and is judged on the others
CHOSEN_ON = (
    tables.Table("ISLR", "College", "Outstate", REGRESSION),
    tables.Table("MASS", "Boston", "medv", REGRESSION),
    tables.Table("Ecdat", "Computers", "price", REGRESSION),
    tables.Table("ISLR", "Auto", "mpg", REGRESSION, ("name",)),
    tables.Table("modeldata", "Sacramento", "price", REGRESSION, ("zip",)),
    tables.Table("ISLR", "OJ", "Purchase", tables.CLASSES),
    tables.Table("modeldata", "hpc_data", "class", tables.CLASSES),
    tables.Table("modeldata", "credit_data", "Status", tables.CLASSES),
)
CACHE = tables.CACHE.with_name("benchmark_table_settings.jsonl")


def loss(table: tables.Table, seed: int, rows: int, settings: tuple[str, ...], rare_too: bool = False) -> float:
    train, test = tables.halves(table, seed, rows, rare_too=rare_too)
    kind = "regression" if table.kind == REGRESSION else "classification"
    given = (f"data.task={kind}", "data.missing=median", f"seed={seed}", "replicates.vary=[init,order,data]", *settings)
    predicted = study.fit(train, TARGET, given).predict(test.drop(columns=TARGET)).to_numpy(float)
    return tables.judged(predicted[:, 0] if table.kind == REGRESSION else predicted, train[TARGET], test[TARGET], table.kind)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known_tables = [*tables.TABLES, *CHOSEN_ON]
    every = [table.name for table in known_tables]
    parser.add_argument("--tables", nargs="*", default=every[: len(tables.TABLES)], choices=every, metavar="TABLE")
    parser.add_argument("--chosen-on", action="store_true", help="the tables that the search for tables was chosen on, instead")
    parser.add_argument("--ways", nargs="*", default=list(WAYS)[:5], choices=list(WAYS), metavar="WAY", help="; ".join(WAYS))
    parser.add_argument("--rare-too", action="store_true", help="with rare levels as they are, and the columns of names and codes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1500, help="of a table at most (default 1500)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"default {CACHE}")
    given = parser.parse_args()
    names = [table.name for table in CHOSEN_ON] if given.chosen_on else given.tables
    given.cache.parent.mkdir(parents=True, exist_ok=True)
    lines = given.cache.read_text().splitlines() if given.cache.exists() else []
    known = {(line["table"], line["seed"], line["rows"], *line["settings"]): line["loss"] for line in map(json.loads, lines)}
    found = []
    for seed in range(given.seeds):
        for table in (table for table in known_tables if table.name in names):
            for way in given.ways:
                # as keys of --cache, tables with rare levels have names of their own
                name = f"{table.name}, rare levels too" if given.rare_too else table.name
                case = (name, seed, given.rows, *WAYS[way])
                if case not in known:
                    start = time.process_time()
                    known[case] = loss(table, seed, given.rows, WAYS[way], given.rare_too)
                    line = {"table": name, "seed": seed, "rows": given.rows, "settings": WAYS[way], "loss": known[case]}
                    with given.cache.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(
                        f"{table.name} {seed} {way}: {known[case]:.3f}, {time.process_time() - start:.1f} s of CPU", file=sys.stderr
                    )
                found.append({"table": table.name, "seed": seed, "way": way, "loss": known[case]})
    losses = pd.DataFrame(found).pivot(index=["table", "seed"], columns="way", values="loss")[given.ways]
    print(losses.groupby("table").mean().T.to_string(float_format="{:.3f}".format))
    for way in given.ways[1:]:
        print(f"{way}: {tables.paired(losses, way, given.ways[0])}")
    if not np.isfinite(losses.to_numpy()).all():
        print("a loss isn't finite: that way's ratio means nothing")


if __name__ == "__main__":
    main()
