"""Trials a minute with one worker, in the driver's process, and with joblib's two, for tiny trainings and for the default's.

A worker process imports TensorFlow and compiles by itself, which takes its time once; the pace is that past the first trials.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

TRAININGS = {
    "tiny (2 × 2 epochs)": ["training.epochs=2", "replicates.count=2", "model.units=[4]"],
    "default (8 × 100 epochs)": ["training.epochs=100", "replicates.count=8", "model.units=[64]"],
}
LAUNCHERS = {
    "one, in the driver's process": [],
    "joblib, 2 workers": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"],
    "joblib, 2 workers, batches of 8": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=8"],
}
TRIALS, WARM_UP = 48, 16


def trials_a_minute(overrides: list[str]) -> float:
    """Past the warm-up, counted by batches' ends: joblib gives the trials of a batch back together."""
    searched = ["optimizer.learning_rate=tag(log,interval(1e-4,1e-2))", "sampler=random", f"hydra.sweeper.n_trials={TRIALS}"]
    ended: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "study", "--multirun", *searched, *overrides]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr
            ended = [time.perf_counter() for line in running.stderr if line.startswith("[")]
    return 60 * (TRIALS - WARM_UP) / (ended[-1] - ended[WARM_UP - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    repeats = parser.parse_args().repeats
    print(f"{'':28}" + "".join(f"{name:>34}" for name in LAUNCHERS))
    for training, settings in TRAININGS.items():
        paces = [statistics.median(trials_a_minute([*settings, *more]) for _ in range(repeats)) for more in LAUNCHERS.values()]
        print(f"{training:28}" + "".join(f"{pace:>26.0f} a minute" for pace in paces), flush=True)


if __name__ == "__main__":
    main()
