"""What tracking costs: the default study with MLflow and without, in turn, each in a fresh folder and a fresh process."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time


def seconds(*overrides: str) -> tuple[float, str]:
    """The wall time of a whole command, from the shell's view, and what it says of its phases."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "study", "--multirun", *overrides]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        phases = next(line for line in done.stderr.splitlines() if line.startswith("study ") and " s: " in line)
        return time.perf_counter() - start, phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    seconds()  # fills XLA's cache of compiled programs, for both sides alike
    shares = []
    for _ in range(pairs):
        (tracked, phases), (bare, _) = seconds("tracking=mlflow"), seconds("tracking=none")
        shares.append((tracked - bare) / tracked)
        print(f"with MLflow {tracked:.1f} s, without {bare:.1f} s: {shares[-1]:.1%} of the wall time   ({phases})", flush=True)
    print(f"tracking costs {statistics.median(shares):.1%} of the study's wall time (median of {pairs} pairs)")


if __name__ == "__main__":
    main()
