"""The cost of following networks through training: the same cohorts with and without it, in turns.

Printed for each workload: seconds of training and of the first compilation without following, and the ratios with it to without
(median over the turns, smallest and largest).
"""

from __future__ import annotations

import argparse
import os
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


def seconds(settings: Sequence[str], followed: bool, replicates: int) -> tuple[float, float]:
    """Train a cohort in a program that is compiled anew; return the seconds of training and of compiling."""
    program.cache_clear()
    spec = study.compose([*settings, f"replicates.count={replicates}", f"training.motion={str(followed).lower()}"])
    clock = Clock()
    for _ in CohortTraining(spec, dataset.load_replicates(spec), clock).legs():
        pass
    return clock.seconds["train"], clock.seconds["compile"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--replicates", type=int, default=8)
    given = parser.parse_args()
    print(f"{'workload':<34} {'train, s':>9} {'ratio':>22} {'compile, s':>11} {'ratio':>22}")
    for name, settings in WORKLOADS.items():
        turns = np.array(
            [[seconds(settings, followed, given.replicates) for followed in (False, True)] for _ in range(given.turns)]
        )
        alone, followed = turns[:, 0], turns[:, 1]
        ratios = followed / alone
        cells = [f"{np.median(ratio):6.3f} [{ratio.min():.3f}, {ratio.max():.3f}]" for ratio in ratios.T]
        train, compiled = np.median(alone, axis=0)
        print(f"{name:<34} {train:9.3f} {cells[0]:>22} {compiled:11.2f} {cells[1]:>22}", flush=True)


if __name__ == "__main__":
    main()
