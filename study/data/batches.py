"""Mini-batch orders, drawn explicitly: a seed gives the same order whatever library trains (see `seeds`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study import seeds
from study.records.arrays import Integers
from study.settings.spec import TrialSpec
from study.settings.training import DROP, KEEP


def batch_size(spec: TrialSpec, rows: int) -> int:
    """Return the rows per step: all of them where the setting is None."""
    return spec.training.batch_size or rows


def steps_per_epoch(rows: int, batch_size: int, partial_batch: str = DROP) -> int:
    """Return the number of whole batches, plus one for the remaining rows if they are kept."""
    return rows // batch_size + (partial_batch == KEEP and rows % batch_size > 0)


def draw(rng: np.random.Generator, epochs: int, rows: int, batch_size: int, steps: int) -> Integers:
    """Draw the next `epochs` epochs from one replicate's stream: row numbers, [epochs, steps, batch]; -1 pads a smaller batch."""
    # NumPy shuffles pointer-sized numbers twice as fast as shorter ones
    shuffled = rng.permuted(np.broadcast_to(np.arange(rows, dtype=np.intp), (epochs, rows)), axis=1)
    used = np.full((epochs, steps * batch_size), -1, np.int32)
    used[:, :rows] = shuffled[:, : steps * batch_size]
    return used.reshape(epochs, steps, batch_size)


def source_seeds(spec: TrialSpec, source: str, numbers: Sequence[int]) -> list[int]:
    """Return the seeds that a source gives the replicates with these numbers; all equal unless the source varies."""
    levels = [spec.replicates.level(source, number) for number in numbers]
    drawn = {level: seeds.replicate_seed(spec.seed, source, level) for level in set(levels)}
    return [drawn[level] for level in levels]


def replicate_seeds(spec: TrialSpec) -> dict[str, list[int]]:
    """Return the seed of every source and replicate: source → [R]."""
    return {source: source_seeds(spec, source, spec.replicates.numbers) for source in seeds.SOURCES}


def batch_orders(spec: TrialSpec, rows: int) -> Integers:
    """Draw the orders of a whole trial with `rows` training rows, [R, epochs, steps, batch]."""
    training, size = spec.training, batch_size(spec, rows)
    steps = steps_per_epoch(rows, size, training.partial_batch)
    orders = source_seeds(spec, "order", spec.replicates.numbers)
    return np.stack([draw(seeds.generator(seed), training.epochs, rows, size, steps) for seed in orders])
