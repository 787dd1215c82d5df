"""The width of compiled programs, and the cores that they share. Imports no TensorFlow, so that memory can be estimated first."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

# `benchmarks.limits` on two cores, ms per network of the example workload in cohorts of 1, 4, 8 and 32 at width 1: 51, 25, 21, 18;
# 2: 47, 16, 13, 12; 4: 77, 21, 13, 10.5; 8: 173, 47, 23, 10. Four is near the best for eight replicates and more.
WIDTH = 4
# multiplications of a forward step from which one replicate fills a core: CPU time per network at width 1 over that at width 4, in
# cohorts of 1, 4 and 8, was .33, .93, 1.14 at 0.8 million, .34, .93, 1.02 at 2.6 and .24, .83, .77 at 9.4
FULL = 2_000_000


def width_of(sizes: Sequence[int], batch_size: int) -> int:
    """Return how many replicates a program trains; by the network and the batch alone, so that bits don't depend on the cohort.

    sizes: of the layers, inputs and outputs included.
    """
    return 1 if batch_size * sum(itertools.starmap(int.__mul__, itertools.pairwise(sizes))) >= FULL else WIDTH


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
