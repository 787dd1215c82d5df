"""Where the time of the default study goes: with no program on disk, again with all of them, and after another study's.

Printed: wall seconds (median of the turns), CPU seconds, the phases as the study reports them and, as a ruler for other machines,
the wall seconds of `import tensorflow`, measured between the others. "after another" runs the space of --other (another seed and a
smaller space by default) first, in its own folder; the study then finds the programs that the two have in common.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

STUDY = ("-m", "study", "--multirun")
OTHER = ("seed=1", "optimizer=sgd,adam", "optimizer.learning_rate=0.001,0.01,0.1", "model.width=16,32", "model.depth=1,2")
PHASES = re.compile(r"^study \S+: [\d.]+ s: (.*)$", re.MULTILINE)


def run(words: Sequence[str], folder: Path, cache: Path) -> tuple[float, float, str]:
    """Return wall and CPU seconds of a Python command and what it printed. Raises CalledProcessError."""
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"} | {"XDG_CACHE_HOME": str(cache)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout + done.stderr


def phases(printed: str) -> dict[str, float]:
    [line] = PHASES.findall(printed)
    return {name: float(seconds) for name, seconds in (part.rsplit(" ", 1) for part in line.split(" · "))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--other", nargs="*", default=OTHER)
    parser.add_argument("settings", nargs="*", help="of the study, in place of the default one")
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float, dict[str, float]]]] = defaultdict(list)
    rulers = []
    for _ in range(given.turns):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            for name, cache, place in (("cold", "cold", "a"), ("warm", "cold", "b"), ("after another", "other", "c")):
                rulers.append(run(["-c", "import tensorflow"], folder, folder)[0])
                if name == "after another":
                    run([*STUDY, *given.other], folder / "other", folder / cache)
                wall, cpu, printed = run([*STUDY, *given.settings], folder / place, folder / cache)
                found[name].append((wall, cpu, phases(printed)))
    ruler = statistics.median(rulers)
    print(f"import tensorflow: {ruler:.1f} s")
    for name, turns in found.items():
        wall, cpu = (statistics.median(turn[index] for turn in turns) for index in (0, 1))
        names = dict.fromkeys(phase for _, _, spent in turns for phase in spent)
        told = " · ".join(f"{phase} {statistics.median(turn[2].get(phase, 0.0) for turn in turns):.1f}" for phase in names)
        print(f"{name:<14} {wall:6.1f} s ({wall / ruler:.1f} × the ruler), {cpu:.1f} s of CPU: {told}", flush=True)


if __name__ == "__main__":
    main()
