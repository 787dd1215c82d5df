"""Milliseconds per network for Keras, KerasTuner, scikit-learn, PyTorch, JAX and ours, and the share of the machine's rate.

Fair means here: the same data, model, loss, Adam and number of steps for all (see `sides`); every side in a process of its own,
with its own default threads; compiling left out by a first run, except KerasTuner's, which compiles each model anew; initial
weights and batch orders drawn within the time; all sides in turn, repeat after repeat, so that drift hits all alike. The median
of the repeats counts, and the least and the most stand beside it. A library that isn't installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks import sides
from benchmarks.sides import Workload

SOURCE = Workload(sizes=(10, 128, 1), rows=1000, batch=32, epochs=100)
WORKLOADS = {
    "scripts'": SOURCE,
    "large": Workload(sizes=(64, 512, 512, 10), rows=2048, batch=256, epochs=5),
    "pictures": Workload(sizes=(784, 256, 256, 10), rows=60_000, batch=128, epochs=1),
    "rows": Workload(sizes=(50, 256, 256, 1), rows=1_000_000, batch=128, epochs=1),
}
ONE_BY_ONE, AT_ONCE = (1,), (1, 8, 32, 128)
# label, function in `sides`, package, and numbers of replicates: of the scripts' workload, the large one, and the two others
SIDES = (
    ("Keras fit, jit_compile=False", "keras_plain", "keras", ONE_BY_ONE, (), ()),
    ("Keras fit, jit_compile=True (its default)", "keras_jit", "keras", ONE_BY_ONE, ONE_BY_ONE, ONE_BY_ONE),
    ("Keras fit, one call an epoch", "keras_one_call", "keras", ONE_BY_ONE, (), ONE_BY_ONE),
    ("KerasTuner, two executions", "keras_tuner", "keras_tuner", (2,), (), ()),
    ("scikit-learn MLPRegressor", "scikit_learn", "sklearn", ONE_BY_ONE, (), ()),
    ("PyTorch eager, stacked", "torch_eager", "torch", AT_ONCE, (8,), ()),
    ("JAX vmap + scan", "jax_vmap", "jax", AT_ONCE, (8,), ONE_BY_ONE),
    ("JAX vmap + scan on two threads", "jax_two_threads", "jax", AT_ONCE[1:], (8,), (4,)),
    ("mlp-study", "mlp_study", "tensorflow", AT_ONCE, (1, 8), (1, 4)),
)
BASELINE, OURS = SIDES[1][0], SIDES[-1][0]
PACKAGES = ("keras", "tensorflow", "keras-tuner", "scikit-learn", "torch", "jax", "jaxlib", "numpy")


@dataclass(frozen=True)
class Case:
    label: str
    side: str
    work: Workload
    replicates: int


# -- in the processes of the sides -----------------------------------------------------------------------------------------------


@lru_cache
def prepared(case: Case) -> sides.Train:
    return getattr(sides, case.side)(case.work, case.replicates)


def seconds(case: Case) -> float:
    """Of one network."""
    train = prepared(case)
    start = time.perf_counter()
    train()
    return (time.perf_counter() - start) / case.replicates


def prepare(cases: list[Case]) -> None:
    for case in cases:
        prepared(case)


def sgemm(size: int = 2048, times: int = 5) -> float:
    """GFLOP/s of a float32 matrix product on all cores."""
    a = np.random.default_rng(0).uniform(size=(size, size)).astype(np.float32)
    a @ a
    start = time.perf_counter()
    for _ in range(times):
        a @ a
    return 2 * size**3 * times / (time.perf_counter() - start) / 1e9


def fresh_start(cache: str, work: Workload, replicates: int) -> dict[str, float]:
    """In a process that has done nothing yet: seconds to import the engine, to compile and to train, and the peak of memory."""
    os.environ["XDG_CACHE_HOME"] = cache
    start = time.perf_counter()
    import study.engine  # noqa: F401

    imported = time.perf_counter() - start
    spent = sides.trained_by_us(work, replicates)
    return {"import": imported, **spent, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


# -- in the process of the command -----------------------------------------------------------------------------------------------


def process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def measured(cases: list[Case], repeats: int) -> tuple[dict[Case, list[float]], list[float]]:
    """Return seconds per network of each case, and the rates of sgemm, by repeat."""
    times: dict[Case, list[float]] = {case: [] for case in cases}
    rates = []
    with contextlib.ExitStack() as stack:
        pools = {side: stack.enter_context(process()) for side in ["", *dict.fromkeys(case.side for case in cases)]}
        ready = [pools[side].submit(prepare, [case for case in cases if case.side == side]) for side in pools]
        for each in ready:
            each.result()
        for repeat in range(repeats):
            rates.append(pools[""].submit(sgemm).result())
            for case in cases:
                times[case].append(pools[case.side].submit(seconds, case).result())
            print(f"repeat {repeat + 1} of {repeats} done", file=sys.stderr, flush=True)
    return times, rates


def started(repeats: int) -> dict[str, dict[str, float]]:
    """Medians of `fresh_start` with an empty cache of compiled programs (cold), and again with what that left (warm)."""
    found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for starts in found.values():
                with process() as fresh:
                    starts.append(fresh.submit(fresh_start, cache, SOURCE, 32).result())
    return {name: {key: statistics.median(s[key] for s in starts) for key in starts[0]} for name, starts in found.items()}


def versions() -> str:
    told = []
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            told.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(told)


def table(title: str, times: dict[Case, list[float]], rate: float) -> None:
    print(f"\n{title}\n{'':<42} {'R':>4} {'ms per network':>15} {'least … most':>19} {'GFLOP/s':>8} {'of sgemm':>9} {'× Keras':>8}")
    medians = {case: statistics.median(spent) for case, spent in times.items()}
    fit = next((seconds for case, seconds in medians.items() if case.label == BASELINE), None)
    for case, each in medians.items():
        low, high = (f"{1e3 * end:.1f}" for end in (min(times[case]), max(times[case])))
        speed = case.work.flops / each / 1e9
        gain = f"{fit / each:8.1f}" if fit else ""
        span = f"{low} … {high}"
        print(f"{case.label:<42} {case.replicates:>4} {1e3 * each:15.1f} {span:>19} {speed:8.2f} {speed / rate:9.1%} {gain}")


def by_label(times: dict[Case, list[float]]) -> dict[str, list[Case]]:
    return {label: [case for case in times if case.label == label] for label in dict.fromkeys(case.label for case in times)}


def plot(times: dict[Case, list[float]], file: Path) -> None:
    """Plot milliseconds per network over the number of replicates; training one after another gives a level line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 5.6), layout="constrained")
    most = max(case.replicates for case in times)
    height = 0.0
    for label, cases in sorted(by_label(times).items(), key=lambda item: statistics.median(times[item[1][-1]])):
        levels = [1e3 * statistics.median(times[case]) for case in cases]
        color = "C3" if label == OURS else "0.4"
        if cases[-1].replicates > 2:
            axes.plot([case.replicates for case in cases], levels, "o-", color=color, linewidth=3 if label == OURS else 1.5)
        else:
            axes.hlines(levels, 1, most, color="0.6", linestyle="--", linewidth=1)
        height = max(levels[-1], height * 1.28)  # labels don't overlap
        text = f"{label}, {levels[-1]:,.{1 if levels[-1] < 100 else 0}f} ms"
        axes.annotate(text, (most, height), (8, 0), textcoords="offset points", va="center", color=color, annotation_clip=False)
    counts = sorted({case.replicates for case in times if case.label == OURS})
    axes.set(xscale="log", yscale="log", xlabel="replicates trained at once", ylabel="milliseconds per network")
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(next(iter(times)).work, loc="left")
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under a minute: one repeat, the scripts' workload with 20 epochs, at most 8 replicates",
    )
    parser.add_argument(
        "--workloads", nargs="*", default=list(WORKLOADS)[:2], choices=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS)
    )
    parser.add_argument("--plot", type=Path, default=Path("docs/engine.png"), metavar="FILE")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    quick, repeats = arguments.quick, 1 if arguments.quick else arguments.repeats
    works = {"scripts'": replace(SOURCE, epochs=20)} if quick else {name: WORKLOADS[name] for name in arguments.workloads}
    cases = [
        Case(label, side, work, count)
        for name, work in works.items()
        for label, side, package, *counts in SIDES
        if find_spec(package)
        for count in counts[min(list(WORKLOADS).index(name), 2)]
        if count <= 8 or not quick
    ]
    times, rates = measured(cases, repeats)

    rate = statistics.median(rates)
    print(
        f"{versions()}\n{os.cpu_count()} cores, sgemm {rate:.0f} GFLOP/s ({min(rates):.0f} … {max(rates):.0f}), repeats: {repeats}"
    )
    if max(rates) > 1.3 * min(rates):
        print("THE MACHINE WAS BUSY WITH SOMETHING ELSE: sgemm's rate should not vary so; measure again")
    for label, _, package, *_ in SIDES:
        if not find_spec(package):
            print(f"{label}: not installed")
    for name, work in works.items():
        title = f"The {name} workload: {work}, {work.flops / 1e6:,.0f} MFLOP per network"
        table(title, {case: spent for case, spent in times.items() if case.work == work}, rate)
    if "scripts'" not in works:
        return
    print("\nmlp-study in a fresh process, 32 networks of the scripts' workload")
    for name, spent in started(1 if quick else 3).items():
        phases = ", ".join(f"{phase} {spent[phase]:.2f} s" for phase in ("import", "compile", "train"))
        print(f"{name}: {phases}, peak {spent['MiB']:.0f} MiB")
    plot({case: spent for case, spent in times.items() if case.work == works["scripts'"]}, arguments.plot)
    print(f"plot: {arguments.plot}")


if __name__ == "__main__":
    main()
