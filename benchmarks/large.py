"""Large cases, each once through the real command in a process of its own: seconds, disk, and peak memory beside the estimate.

The peak is the kernel's VmHWM, asked for while the process runs: `ru_maxrss` would be no less than that of the process that
started it. The estimate is the one by which training that doesn't fit is refused (`study.runner.memory`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

ESTIMATE = """
import sys, study
from study.runner import memory
spec = study.compose(sys.argv[1:])
print(memory.LOADED + memory.needed(spec, study.load_data(spec)))
"""
TINY = ["data=noise", "data.rows=100", "model.units=[8]"]
MEGABYTE = 1e6
EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Case:
    """Settings of a run, and of a study besides. write: makes the table `table.csv` or `table.parquet` that they name."""

    name: str
    settings: list[str]
    study: tuple[str, ...] = ()
    write: Callable[[Path], None] | None = None


def table(rows: int, columns: int, classes: int = 0) -> pa.Table:
    rng = np.random.default_rng(0)
    inputs = {f"x{number}": rng.standard_normal(rows) for number in range(columns)}
    target = (
        np.char.add("class ", rng.integers(classes, size=rows).astype(str))
        if classes
        else sum(inputs.values()) + rng.standard_normal(rows)
    )
    return pa.table({**inputs, "y": target})


def csv(rows: int, columns: int, classes: int = 0) -> Callable[[Path], None]:
    return lambda folder: pa.csv.write_csv(table(rows, columns, classes), folder / "table.csv")


def parquet(rows: int, columns: int) -> Callable[[Path], None]:
    return lambda folder: pa.parquet.write_table(table(rows, columns), folder / "table.parquet")


def compressed(rows: int, columns: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with pa.CompressedOutputStream(str(folder / "table.csv.zst"), "zstd") as stream:
            pa.csv.write_csv(table(rows, columns), stream)

    return write


def database(rows: int, columns: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made = table(rows, columns)
        names = ",".join(made.column_names)
        with contextlib.closing(sqlite3.connect(folder / "table.db")) as connection:
            connection.execute(f"CREATE TABLE houses ({names})")
            for batch in made.to_batches(20_000):
                values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                connection.executemany(f"INSERT INTO houses VALUES ({','.join('?' * made.num_columns)})", values)
            connection.commit()

    return write


def of_file(name: str, *more: str) -> list[str]:
    return ["data=table", f"data.path={name}", "data.target=y", *more]


LARGE_BATCHES = ["training.batch_size=4096", "training.epochs=2", "replicates.count=4"]
WIDE = ["model.units=[256,256]", "replicates.count=2"]
EPOCHS_OF_128 = ["training.batch_size=128", "training.epochs=2"]
QUERY = "data.sql=SELECT * FROM houses"
CASES = [
    Case("1,000 classes, 20,000 × 20", of_file("table.csv", "training.epochs=5"), write=csv(20_000, 20, 1000)),
    Case("2,000,000 × 20, CSV", of_file("table.csv", *LARGE_BATCHES), write=csv(2_000_000, 20)),
    Case("2,000,000 × 20, Parquet", of_file("table.parquet", *LARGE_BATCHES), write=parquet(2_000_000, 20)),
    Case("2,000,000 × 20, CSV as .zst", of_file("table.csv.zst", *LARGE_BATCHES), write=compressed(2_000_000, 20)),
    Case(
        "2,000,000 × 20, SQLite",
        of_file("table.db", QUERY, *LARGE_BATCHES),
        write=database(2_000_000, 20),
    ),
    Case("1,000,000 × 50, [256,256]", of_file("table.parquet", *WIDE, *EPOCHS_OF_128), write=parquet(1_000_000, 50)),
    Case("60,000 × 784, 10 classes", of_file("table.csv", *WIDE, *EPOCHS_OF_128), write=csv(60_000, 784, 10)),
    Case("5,000 columns, 2,000 rows", of_file("table.csv", "training.epochs=10"), write=csv(2000, 5000)),
    Case("1,000 replicates", [*TINY, "training.epochs=20", "replicates.count=1000"]),
    Case("100,000 epochs", [*TINY, "training.epochs=100000", "training.leg_epochs=1000", "replicates.count=4"]),
    Case(
        "500 trials",
        [*TINY, "training.epochs=2", "replicates.count=2"],
        ("optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "sampler=random", "hydra.sweeper.n_trials=500"),
    ),
]


def peak(process: int) -> float:
    """Return the largest resident memory that a process has had, in bytes; 0 once it has ended."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return 0.0


def children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def run(case: Case, folder: Path) -> str:
    if case.write:
        case.write(folder)
    estimate = subprocess.run(
        [sys.executable, "-c", ESTIMATE, *case.settings], cwd=folder, capture_output=True, text=True, check=True
    )
    launch = [sys.executable, "-m", "study", *(["--multirun"] * bool(case.study)), *case.study, *case.settings]
    start = time.perf_counter()
    trainer, writer = 0.0, 0.0
    with (folder / "errors").open("w") as errors:
        running = subprocess.Popen(launch, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        while (ended := os.wait4(running.pid, os.WNOHANG))[0] == 0:
            trainer = max(trainer, peak(running.pid))
            writer = max([writer, *map(peak, children(running.pid))])
            time.sleep(EVERY_SECONDS)
    running.returncode = os.waitstatus_to_exitcode(ended[1])
    text = (folder / "errors").read_text()
    assert running.returncode == 0, text
    phases = re.findall(r"[\d.]+ s: (.*)", text)[-1]
    seconds, used = time.perf_counter() - start, ended[2].ru_utime + ended[2].ru_stime
    # what the run leaves behind, without the table that was there before
    left = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.name.startswith("table."))
    sizes = tuple(size / MEGABYTE for size in (float(estimate.stdout), trainer, writer, left))
    return f"{case.name:28} {seconds:8.0f} {used:8.0f}" + "".join(f"{size:10.0f}" for size in sizes) + f"   {phases}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose names contain this text")
    only = parser.parse_args().only
    print(f"{'':28} {'seconds':>8} {'of CPU':>8}{'estimated':>10}{'measured':>10}{'writer':>10}{'disk':>10}   MB; seconds by phase")
    for case in CASES:
        if only in case.name:
            with tempfile.TemporaryDirectory() as folder:
                print(run(case, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
