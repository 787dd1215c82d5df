"""Limits of the engine on the scripts' workload: microseconds per network and step, from the bare products to the whole cohort.

The rows build on one another: what the products of a step would take at the machine's sgemm rate; what XLA takes for the same
products at the shapes that the program has; the compiled program alone, called again and again from one thread and from several;
and a whole cohort, with its initial weights, batch orders and calls. The differences are where the time goes. The second
table shows why a program has the width that it has.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks import sides
from benchmarks.engine import SOURCE, sgemm

COHORT = 32
WIDTHS, COUNTS = (1, 2, 4, 8), (1, 4, 8, 32)


def median(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def one_core_sgemm() -> float:
    """GFLOP/s of a float32 matrix product on one core."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return sgemm(1024)


def products(width: int, steps: int) -> Callable[[], object]:
    """A compiled loop of nothing but a step's matrix products, each on the last one's result so that none is left out."""
    import tensorflow as tf

    inputs, units, _ = SOURCE.sizes
    rng = np.random.default_rng(0)
    x, kernel, out = (
        tf.constant(rng.uniform(-0.1, 0.1, (width, *shape)).astype(np.float32))
        for shape in ((SOURCE.batch, inputs), (inputs, units), (units, 1))
    )

    def step(index, kernel, out):  # type: ignore[no-untyped-def]
        hidden = tf.matmul(x, kernel)
        predicted = tf.matmul(hidden, out)
        back = tf.matmul(predicted, out, transpose_b=True)
        return index + 1, tf.matmul(x, back, transpose_a=True), tf.matmul(hidden, predicted, transpose_a=True)

    def loop(kernel, out):  # type: ignore[no-untyped-def]
        return tf.while_loop(lambda index, *_: index < steps, step, (0, kernel, out))

    compiled = tf.function(loop, jit_compile=True, autograph=False).get_concrete_function(kernel, out)
    return lambda: compiled(kernel, out)


def program_call() -> tuple[Callable[[], object], int]:
    """One leg of the compiled program, as the engine calls it, and its steps."""
    from study.engine.parts import Part
    from study.engine.width import WIDTH

    caught: dict[str, Any] = {}
    compiled = Part.compiled

    def watched(part: Any, *inputs: Any) -> Any:
        traced = compiled(part, *inputs)

        def call(*arguments: Any) -> Any:
            caught["call"] = lambda: traced(*arguments).curves.numpy()
            return traced(*arguments)

        return call

    Part.compiled = watched  # type: ignore[method-assign]
    sides.trained_by_us(SOURCE, WIDTH)
    Part.compiled = compiled  # type: ignore[method-assign]
    return caught["call"], 20 * SOURCE.steps


def by_width(repeats: int) -> dict[int, list[float]]:
    """Width → milliseconds a network in cohorts of COUNTS."""
    from study.engine import program, training

    found = {}
    chosen = training.width_of
    for width in WIDTHS:
        training.width_of = lambda sizes, batch_size, width=width: width  # type: ignore[misc]
        program.program.cache_clear()
        sides.trained_by_us(SOURCE, 1)
        runs = [(count, median(partial(sides.trained_by_us, SOURCE, count), repeats)) for count in COUNTS]
        found[width] = [1e3 * seconds / count for count, seconds in runs]
    training.width_of = chosen  # type: ignore[misc]
    program.program.cache_clear()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    from study.engine.width import WIDTH, available_cores

    cores, steps = available_cores(), SOURCE.steps * SOURCE.epochs
    flops = SOURCE.flops / steps
    rate = statistics.median(one_core_sgemm() for _ in range(repeats))
    bare = products(WIDTH, 2000)
    call, of_leg = program_call()
    bare(), call()

    def together(callers: int) -> float:
        """Microseconds of one core, with several callers at once."""
        with ThreadPoolExecutor(callers) as threads:
            seconds = median(lambda: list(threads.map(lambda _: call(), range(callers))), repeats)
        return 1e6 * seconds / (WIDTH * of_leg * callers) * min(cores, callers)

    sides.trained_by_us(SOURCE, COHORT)
    rows = {
        f"the step's products at sgemm's rate ({rate:.0f} GFLOP/s on one core)": flops / rate / 1e3,
        "the same products in XLA, at the program's shapes": 1e6 * median(bare, repeats) / (WIDTH * 2000),
        "the program, called from one thread": together(1),
        f"the program, called from {2 * cores} threads": together(2 * cores),
        f"a cohort of {COHORT}": 1e6 * median(lambda: sides.trained_by_us(SOURCE, COHORT), repeats) / (COHORT * steps) * cores,
    }
    print(f"{SOURCE}, width {WIDTH}, {cores} cores; medians of {repeats}")
    print(f"{'':<66} {'µs of a core':>12} {'ms per network':>15} {'of sgemm':>9}")
    for name, each in rows.items():
        print(f"{name:<66} {each:12.2f} {each * steps / cores / 1e3:15.1f} {flops / rate / 1e3 / each:9.0%}")
    print("\nmilliseconds per network in cohorts of" + "".join(f"{count:8}" for count in COUNTS))
    for width, times in by_width(max(3, repeats // 3)).items():
        print(f"{f'width {width}':>35}" + "".join(f"{each:8.1f}" for each in times))


if __name__ == "__main__":
    main()
