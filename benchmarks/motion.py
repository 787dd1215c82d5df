"""The cost of following networks through training: the same cohorts with and without it, in turns.

Printed for each workload: CPU seconds of training and seconds of compiling without following, and the ratios with it to without
(median over the turns, smallest and largest).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

# every program is compiled: none comes from the disk
os.environ["TF_XLA_FLAGS"] = ""

import numpy as np

import study
from study.clock import Clock
from study.data import dataset
from study.engine.program import program
from study.engine.training import CohortTraining

WORKLOADS = {
    "diabetes 10-64-64-1, batch 32": ("data=diabetes", "training.epochs=400"),
    "diabetes 10-64-64-64-1, batch 64": (
        "data=diabetes",
        "model.units=[64,64,64]",
        "training.batch_size=64",
        "training.epochs=400",
    ),
    "diabetes 10-16-1, batch 16": ("data=diabetes", "model.units=[16]", "training.batch_size=16", "training.epochs=400"),
    "digits 64-512-512-10, batch 32": ("data=digits", "model.units=[512,512]", "training.epochs=20"),
}
# trials of the default search: every batch size, depth and kind of optimizer
DEFAULT_SEARCH = [
    ("data=diabetes", f"optimizer={optimizer}", f"training.batch_size={batch}", f"model.units=[{','.join([str(width)] * depth)}]")
    for optimizer, batch, width, depth in (
        ("adam", 16, 32, 2),
        ("sgd", 32, 64, 1),
        ("rmsprop", 64, 16, 3),
        ("sgd", 16, 64, 3),
        ("adam", 64, 64, 2),
        ("rmsprop", 32, 32, 1),
    )
]


def seconds(settings: Sequence[str], followed: bool, replicates: int) -> tuple[float, float]:
    """Train a cohort in a program that is compiled anew, and again; return the CPU seconds of the second and those of compiling."""
    program.cache_clear()
    spec = study.compose([*settings, f"replicates.count={replicates}", f"training.motion={str(followed).lower()}"])
    datasets = dataset.load_replicates(spec)
    compiling, training = Clock(), 0.0
    for clock in (compiling, Clock()):
        before = time.process_time()
        for _ in CohortTraining(spec, datasets, clock).legs():
            pass
        training = time.process_time() - before
    return training, compiling.seconds["compile"]


def in_turns(settings: Sequence[Sequence[str]], turns: int, replicates: int) -> np.ndarray:
    """Return seconds over all these trials, [turns, without and with following, training and compiling]."""
    return np.array(
        [
            [np.sum([seconds(one, followed, replicates) for one in settings], axis=0) for followed in (False, True)]
            for _ in range(turns)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--replicates", type=int, default=8)
    given = parser.parse_args()
    print(f"{'workload':<34} {'CPU s':>9} {'ratio':>22} {'compile, s':>11} {'ratio':>22}")
    workloads = {name: [settings] for name, settings in WORKLOADS.items()} | {"trials of the default search": DEFAULT_SEARCH}
    for name, settings in workloads.items():
        turns = in_turns(settings, given.turns, given.replicates)
        alone, followed = turns[:, 0], turns[:, 1]
        ratios = followed / alone
        cells = [f"{np.median(ratio):6.3f} [{ratio.min():.3f}, {ratio.max():.3f}]" for ratio in ratios.T]
        train, compiled = np.median(alone, axis=0)
        print(f"{name:<34} {train:9.3f} {cells[0]:>22} {compiled:11.2f} {cells[1]:>22}", flush=True)


if __name__ == "__main__":
    main()
