"""Milliseconds a network on the source document's workload (1,000 × 10 → 128 → 1, batch 32, 100 epochs): Keras `fit` and ours.

Data, model, loss and optimizer are the same on both sides; compiling is left out of ours and of Keras' (a first, short fit).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from study import spec
from study.clock import Clock
from study.cohort import WIDTH, Training, export
from study.records import Dataset


def workload() -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(1000, 10)).astype(np.float32), rng.uniform(size=(1000, 1)).astype(np.float32)
    return Dataset(x, y, x[:1], y[:1], 1, float(y.var()))


def settings(replicates: int, epochs: int) -> spec.TrialSpec:
    return spec.TrialSpec(
        model=spec.Model(units=(128,)),
        training=spec.Training(epochs=epochs),
        replicates=spec.Replicates(count=replicates),
    )


def timed(work: Callable[[], object], repeats: int) -> float:
    """The median of several runs, in seconds."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def ours(data: Dataset, replicates: int) -> None:
    for _ in Training(settings(replicates, 100), data, Clock()).legs():
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    data = workload()
    model = export.untrained(settings(1, 1), 10, 1)
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=1, verbose=0)
    fit = timed(lambda: model.fit(data.x_train, data.y_train, batch_size=32, epochs=100, verbose=0), repeats)
    print(f"{'Keras fit':<24} {1e3 * fit:8.1f} ms a network", flush=True)
    ours(data, WIDTH)
    for replicates in (1, 8, 32, 128):
        each = timed(lambda count=replicates: ours(data, count), repeats) / replicates  # type: ignore[misc]
        print(f"{f'mlp-study, R = {replicates}':<24} {1e3 * each:8.1f} ms a network, {fit / each:5.0f} × Keras fit", flush=True)


if __name__ == "__main__":
    main()
