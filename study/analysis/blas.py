"""One thread for products of small matrices.

OpenBLAS spreads a product over all cores from a size at which it takes a fraction of a millisecond, and its threads spin while they
wait for the next one. Where small products alternate with Python, that is most of the CPU time: four networks 64-256-256-10 were
compared in 29.8 s of CPU on two busy cores, and in 4.7 s by one thread. One thread also gives the same bits on any number of cores.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from study.records.network import Network

_alone = threading.RLock()  # the limit is the process's: rounds of a race that run at once would undo one another's
LARGE = 2**30  # multiplications in a pass through a network, about 30 ms of one core: from here on threads are worth their waits


@contextmanager
def one_thread(multiplications: int = 0) -> Iterator[None]:
    """Limit BLAS to one thread within the block, or function, but not where a pass through a network has LARGE multiplications.

    Other threads of this process wait for its end.
    """
    with _alone:
        if multiplications >= LARGE:
            yield
            return
        # for BLAS alone: TensorFlow's threads are its own, and those of OpenMP are limited where scikit-learn needs them
        with _libraries().limit(limits=1, user_api="blas"):
            yield


def multiplications(networks: Network, rows: int) -> int:
    """Return how many multiplications a pass of so many rows through one network takes."""
    return rows * sum(kernel.shape[-2] * kernel.shape[-1] for kernel in networks.kernels)


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries that are loaded; to look for them takes 5 ms."""
    return ThreadpoolController()
