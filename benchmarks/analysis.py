"""CPU seconds of the analysis of a trial: by one BLAS thread, as ever, and by as many as there are cores, in turns.

Training and compiling are printed beside them. The parts are those of a trial in a study: labels of convergence; the comparison of
all pairs of replicates, with the null distance of a first trial of its architecture; the summary; searchable fingerprints. The last
column is what `compare --json` adds, the distances to the mean of the matched networks.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

import study
from study.analysis import alignment, blas, fingerprints, pairwise, summaries
from study.clock import Clock
from study.data import dataset
from study.engine.training import CohortTraining
from study.runner import trial

WORKLOADS = {
    "diabetes 10-32-32-1": ("data=diabetes", "model.units=[32,32]"),
    "diabetes 10-32-32-1, one split": ("data=diabetes", "model.units=[32,32]", "replicates.vary=[init,order]"),
    "digits 64-128-128-10, one split": ("data=digits", "model.units=[128,128]", "replicates.vary=[init,order]"),
    "digits 64-256-256-10, one split": ("data=digits", "model.units=[256,256]", "replicates.vary=[init,order]"),
}
OWN_SPLITS = "replicates.vary=[init,order,data]"


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds of CPU that an action takes in all threads."""
    start = time.process_time()
    action()
    return time.process_time() - start


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Call every product large, so that its threads aren't limited."""
    large, blas.LARGE = blas.LARGE, 0
    try:
        yield
    finally:
        blas.LARGE = large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=4)
    given = parser.parse_args()
    print(f"{'median, s of CPU':<32} {'training':>9} {'one thread':>11} {'all cores':>10} {'centre':>8}")
    for name, settings in WORKLOADS.items():
        spec = study.compose([OWN_SPLITS, *settings, f"replicates.count={given.replicates}"])
        datasets = dataset.load_replicates(spec)
        training = CohortTraining(spec, datasets, Clock())
        legs: list[trial.Leg] = []
        trained = seconds(lambda training=training, legs=legs: legs.extend(training.legs()))

        def analyse(spec=spec, datasets=datasets, training=training, legs=legs) -> None:
            alignment._null_distance.cache_clear()
            cohort, moved = trial.finish(spec, datasets, training, legs)
            marks = [fingerprints.digest(network) for network in cohort.networks()]
            summaries.summarise(cohort, datasets, marks, pairwise.examine(cohort, datasets, moved), moved)
            summaries.searchable_texts(cohort, datasets)

        turns = []
        for _ in range(given.turns):
            alone = seconds(analyse)
            with all_cores():
                spread = seconds(analyse)
            network, activation = training.weights().network, spec.model.activation
            turns.append((alone, spread, seconds(lambda network=network, name=activation: alignment.centre(network, name))))
        one, many, centre = np.median(turns, axis=0)
        print(f"{name:<32} {trained:9.2f} {one:11.2f} {many:10.2f} {centre:8.2f}", flush=True)


if __name__ == "__main__":
    main()
