"""Mini-batch orders, drawn explicitly: the same seed gives the same order whatever library trains (see `seeds`)."""

from __future__ import annotations

import numpy as np

from study import seeds
from study.records import Integers
from study.spec import TrialSpec


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Whole batches only: the trailing partial batch is dropped."""
    return rows // batch_size


def draw(rng: np.random.Generator, epochs: int, rows: int, batch_size: int) -> Integers:
    """The next `epochs` epochs of one replicate's stream: row numbers, [epochs, steps, batch]."""
    steps = steps_per_epoch(rows, batch_size)
    shuffled = rng.permuted(np.broadcast_to(np.arange(rows, dtype=np.int32), (epochs, rows)), axis=1)
    return shuffled[:, : steps * batch_size].reshape(epochs, steps, batch_size)


def replicate_seeds(spec: TrialSpec) -> dict[str, list[int]]:
    """The seed of every variable source and replicate: source → [R]."""
    numbers = range(spec.replicates.first, spec.replicates.first + spec.replicates.count)
    return {
        source: [seeds.replicate_seed(spec.seed, source, number if source in spec.replicates.vary else 0) for number in numbers]
        for source in ("init", "order")
    }


def batch_orders(spec: TrialSpec, rows: int) -> Integers:
    """The orders of a whole trial on `rows` training rows, [R, epochs, steps, batch]."""
    training = spec.training
    orders = replicate_seeds(spec)["order"]
    return np.stack([draw(seeds.generator(seed), training.epochs, rows, training.batch_size) for seed in orders])
