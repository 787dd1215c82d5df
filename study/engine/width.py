"""The width of compiled programs, and the cores that they share. Imports no TensorFlow, so that memory can be estimated first."""

from __future__ import annotations

import os

# `benchmarks.limits` on two cores, ms per network of the example workload in cohorts of 1, 4, 8 and 32 at width 1: 51, 25, 21, 18;
# 2: 47, 16, 13, 12; 4: 77, 21, 13, 10.5; 8: 173, 47, 23, 10. Four is near the best for eight replicates and more.
WIDTH = 4


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
