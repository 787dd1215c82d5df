"""A whole search: 24 settings of the default space by us and by others, and what each delivers on rows that none of them saw.

A fifth of diabetes, digits or friedman1 is kept back before any side sees the rows. Peers get the others standardised, as files,
and run in processes of their own (`searches`); ours is the real command on a CSV file, which splits and scales them itself. With
one and with eight replicates, each network is trained for 100 epochs and a setting is chosen by the mean loss on a fifth of the
rows; "race" is our default, which trains four of each setting and then those that may win. Seconds are of the process with all
that it starts, with no compiled program on disk; CPU seconds are user and system time. Results are kept in --cache and not measured
again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks import process_tree, searches
from benchmarks.table_sides import REGRESSION, ROOT, TARGET, ours, read
from benchmarks.tables import CLASSES, judged

DATA = ("diabetes", "friedman1", "digits")
RACE = "race"
OURS, HALVING = "mlp-study", "scikit-learn halving MLP"
# package and function of `searches`
PEERS = {
    "Optuna + Keras fit": ("keras", "optuna_keras"),
    "KerasTuner": ("keras_tuner", "keras_tuner"),
    "Ray Tune + Keras fit": ("ray", "ray_tune"),
    HALVING: ("sklearn", "halving"),
}
SIDES = [OURS, *PEERS]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlp-study" / "benchmark_search.jsonl"


def parts(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of the rows that sides see, and of those kept back."""
    if name == "friedman1":
        x, y = datasets.make_friedman1(1000, noise=1.0, random_state=0)
    else:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    classes = y if name == "digits" else None
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=classes)
    return x, y, x_test, y_test


def side(given: argparse.Namespace) -> np.ndarray:
    """Run one side in the folder of its files."""
    if given.side == OURS:
        replicates = () if given.replicates == RACE else (f"replicates.count={given.replicates}",)
        return ours(f"hydra.sweeper.n_trials={given.settings}", *replicates)(read(given.kind, given.seed))
    rows = np.load("rows.npz")
    outputs = 1 if given.kind == REGRESSION else int(rows["y"].max()) + 1
    problem = searches.Problem(rows["x"], rows["y"], rows["x_test"], outputs, given.seed)
    return getattr(searches, PEERS[given.side][1])(problem, given.settings, int(given.replicates))


def measure(name: str, side: str, replicates: str, settings: int, seed: int) -> dict[str, object]:
    x, y, x_test, y_test = parts(name, seed)
    kind = CLASSES if name == "digits" else REGRESSION
    found: dict[str, object] = {"data": name, "side": side, "replicates": replicates, "settings": settings, "seed": seed}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        scaler = StandardScaler().fit(x)
        scaled, scaled_test = (scaler.transform(part).astype(np.float32) for part in (x, x_test))
        np.savez(folder / "rows.npz", x=scaled, y=y, x_test=scaled_test)
        names = [f"x{number}" for number in range(x.shape[1])]
        pd.DataFrame(x, columns=names).loc[:, x.std(axis=0) > 0].assign(**{TARGET: y}).to_csv(folder / "train.csv", index=False)
        pd.DataFrame(x_test, columns=names).to_csv(folder / "test.csv", index=False)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        words = ["--one", side, kind, replicates, str(settings), str(seed)]
        try:
            spent, _ = process_tree.run([sys.executable, "-m", "benchmarks.search", *words], folder, environment)
        except subprocess.CalledProcessError as error:
            return found | {"failed": error.output.strip().splitlines()[-3:]}
        loss, score = judged(np.load(folder / "predictions.npy"), pd.Series(y), pd.Series(y_test), kind)
        return found | {"loss": loss, "score": score, "wall": spent.wall, "cpu": spent.cpu}


def table(results: list[dict[str, object]]) -> str:
    shown = pd.DataFrame(results, columns=["data", "side", "replicates", "wall", "cpu", "loss", "score", "failed"])
    shown["failed"] = shown["failed"].map(lambda lines: " ".join(lines) if isinstance(lines, list) else "")
    means = shown.groupby(["data", "replicates", "side"], sort=False).mean(numeric_only=True).reset_index()
    ours = means[means["side"] == OURS].set_index(["data", "replicates"])["cpu"]
    means["× our CPU"] = [row["cpu"] / ours.get((row["data"], row["replicates"]), np.nan) for _, row in means.iterrows()]
    failures = [f"failed: {row['side']} on {row['data']}: {row['failed']}" for _, row in shown.iterrows() if row["failed"]]
    return "\n".join([means.sort_values(["data", "replicates"]).to_string(index=False, float_format="{:.3g}".format), *failures])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=DATA)
    parser.add_argument("--replicates", nargs="*", default=["1", "8"], choices=["1", "8"])
    parser.add_argument("--sides", nargs="*", default=SIDES, choices=SIDES, metavar="SIDE", help="; ".join(SIDES))
    parser.add_argument("--settings", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=120, help="start nothing new after these (default 120)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"default {CACHE}")
    parser.add_argument("--one", nargs=5, metavar=("SIDE", "KIND", "REPLICATES", "SETTINGS", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, kind, replicates, settings, seed = given.one
        one = argparse.Namespace(side=name, kind=kind, replicates=replicates, settings=int(settings), seed=int(seed))
        np.save("predictions.npy", side(one))
        return
    for name, (package, _) in PEERS.items():
        if name in given.sides and not find_spec(package):
            print(f"{name}: {package} is not installed")
    cases = [
        (data, name, replicates, given.settings, seed)
        for seed in range(given.seeds)
        for data in given.data
        for name in given.sides
        if name == OURS or find_spec(PEERS[name][0])
        # halving has folds in place of replicates
        for replicates in (["1"] if name == HALVING else [*given.replicates, *([RACE] if name == OURS else [])])
    ]
    given.cache.parent.mkdir(parents=True, exist_ok=True)
    results = [json.loads(line) for line in given.cache.read_text().splitlines()] if given.cache.exists() else []
    known = {tuple(result[key] for key in ("data", "side", "replicates", "settings", "seed")): result for result in results}
    end = time.monotonic() + 60 * given.minutes
    for case in cases:
        if case not in known and time.monotonic() < end:
            known[case] = measure(*case)
            with given.cache.open("a") as file:
                file.write(json.dumps(known[case]) + "\n")
            print(json.dumps(known[case]), file=sys.stderr, flush=True)
    if missing := sum(case not in known for case in cases):
        print(f"{missing} of {len(cases)} results are missing after {given.minutes:g} minutes: run it again")
    print(table([known[case] for case in cases if case in known]))


if __name__ == "__main__":
    main()
