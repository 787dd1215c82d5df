"""How a long study holds up: what trial 2,000 costs beside trial 50, what the sampler takes of it, memory, and `show`.

One study of tiny trainings with a sampler that takes no time (random), through the real command; and beside it the time that TPE
takes to sample, alone, on a study of as many trials with made-up losses.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from study import sqlite
from study.records.outcome import Completed, Summary, TrialResult
from study.search import stored
from study.search import study as search_study
from study.search.space import Interval
from study.statistics.objectives import Objective

TINY = ["training.epochs=2", "replicates.count=2", "model.units=[4]", "data=iris"]
SPACE = ["optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "optimizer.beta_1=interval(0.5,0.99)"]
AROUND = 40


def megabytes(process: int) -> float:
    """Resident memory of a process and its children."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) * page for each in (str(process), *children))


def through_the_command(trials: int, folder: str) -> None:
    command = [sys.executable, "-m", "study", "--multirun", *SPACE, *TINY, "sampler=random", f"hydra.sweeper.n_trials={trials}"]
    ended: list[float] = []
    memory: list[float] = []
    with subprocess.Popen(
        [*command, "hydra.sweeper.study_name=long"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("["):
                ended.append(time.perf_counter())
                memory.append(megabytes(running.pid))
    costs = [later - earlier for earlier, later in itertools.pairwise(ended)]
    early, late = (1000 * statistics.median(part) for part in (costs[50 - AROUND // 2 : 50 + AROUND // 2], costs[-AROUND:]))
    print(f"trial 50: {early:.0f} ms, trial {trials}: {late:.0f} ms, {late / early:.2f} ×  (medians of {AROUND}, random sampler)")
    at_50, at_end = statistics.median(memory[30:70]), statistics.median(memory[-AROUND:])
    print(f"memory of driver and writer: {at_50:.0f} MB at trial 50, {at_end:.0f} MB at trial {trials}")
    for words in (["show", "long"], ["show", "long", "--json"]):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "study", *words], cwd=folder, capture_output=True, check=True)
        print(f"mlp-study {' '.join(words)}: {time.perf_counter() - start:.2f} s")


def of_the_sampler(trials: int, folder: str) -> None:
    space = {"rate": Interval("rate", 1e-4, 1e-1, log=True), "beta": Interval("beta", 0.5, 0.99)}
    study = search_study.Search(
        name="made up",
        storage=sqlite.url_of(Path(folder) / "sampler.db"),
        objectives=(Objective(),),
        space=space,
        sampler={"name": "tpe"},
        seed=0,
        n_trials=trials,
        identity={},
    )
    asks, tells = [], []
    for _ in range(trials):
        start = time.perf_counter()
        [asked] = study.ask(1)
        asks.append(time.perf_counter() - start)
        loss = sum(float(value) ** 2 for value in asked.params.values())  # type: ignore[arg-type]
        summary = Summary([loss] * 8, loss, 0.1, 0.1, loss, 1.0, 0.1, 8, {"plateaued": 8})
        start = time.perf_counter()
        result = TrialResult(Completed(summary))
        stored.keep(study.storage, study.name, asked.number, result)
        study.tell(asked.number, result)
        tells.append(time.perf_counter() - start)
    for name, costs in (("ask, TPE and its database", asks), ("keep and tell", tells)):
        early, late = (1000 * statistics.median(part) for part in (costs[50 - AROUND // 2 : 50 + AROUND // 2], costs[-AROUND:]))
        print(f"{name}: {early:.1f} ms at trial 50, {late:.1f} ms at trial {trials}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        of_the_sampler(trials, folder)
        through_the_command(trials, folder)


if __name__ == "__main__":
    main()
