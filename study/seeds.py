"""Derive every named stream of random numbers from a study's root seed by one rule.

A *source* of variation has one seed per replicate. A varying source gives each replicate its own seed; any other gives all
replicates the seed of replicate 0. The same root seed gives the same replicate seeds in every trial, so trials can be compared
replicate by replicate (common random numbers). Everything derives from `numpy.random.SeedSequence`, whose spawn keys make the
streams independent (https://numpy.org/doc/stable/reference/random/parallel.html).
"""

from __future__ import annotations

import numpy as np

# A source's position is part of its seeds: append, never reorder.
SOURCES = ("init", "order", "data", "noise", "dropout", "ulp")


def replicate_seed(root: int, source: str, replicate: int) -> int:
    """Return the seed of one replicate's source, an integer in [0, 2**32)."""
    sequence = np.random.SeedSequence(root, spawn_key=(SOURCES.index(source), replicate))
    return int(sequence.generate_state(1)[0])


def generator(seed: int, *path: int) -> np.random.Generator:
    """Return the stream of `seed` at `path`, such as the layer's number."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def child_seed(seed: int, *path: int) -> int:
    """Return a seed derived from `seed` at `path`, an integer in [0, 2**32)."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0])
