"""Does stopping early pay in a search? Settings of the default search space, trained for all epochs and with patience.

Printed for each way: the loss on a test part, which no training and no choice has seen, of the setting with the lowest mean
validation loss (mean over its replicates) and the mean of half of all settings, the better one.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks import loss_tables
from benchmarks.loss_tables import TASKS, LossTable

WAYS = {
    "100 epochs": (),
    "100 epochs, patience 10": ("training.patience=10",),
    "100 epochs, patience 20": ("training.patience=20",),
    "300 epochs, patience 20": ("training.epochs=300", "training.patience=20"),
}


def line(name: str, trained: LossTable, repetitions: int = 2000) -> None:
    """Print a way's losses; each repetition draws half of the splits, and chooses by these."""
    rng = np.random.default_rng(0)
    splits = np.unique(trained.splits)
    chosen, half = [], []
    for _ in range(repetitions):
        drawn = np.isin(trained.splits, rng.choice(splits, len(splits) // 2, replace=False))
        order = np.argsort(trained.validation[:, drawn].mean(axis=1))
        on_test = trained.test[:, drawn].mean(axis=1)[order]
        chosen.append(on_test[0])
        half.append(on_test[: len(order) // 2].mean())
    print(f"{name:<28} {np.mean(chosen):12.4f} {np.mean(half):12.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=16)
    parser.add_argument("--splits", type=int, default=8)
    given = parser.parse_args()
    for task in TASKS:
        print(f"{task:<28} {'chosen':>12} {'better half':>12}")
        for name, more in WAYS.items():
            line(name, loss_tables.table(task, given.settings, np.repeat(np.arange(given.splits), 2).tolist(), more))


if __name__ == "__main__":
    main()
