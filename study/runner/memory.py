"""The memory that training a trial takes, about, and what the system allows: without it the kernel ends a process in silence."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from study import processes
from study.data import batches
from study.engine.width import available_cores, width_of
from study.errors import BadInput, Fault
from study.records.dataset import Dataset
from study.records.network import parameter_count
from study.settings.optimizer import SGD
from study.settings.spec import TrialSpec

FLOAT = 4
# measured on TensorFlow 2.21 with `tests/test_memory.py`: a process with everything loaded that has trained a tiny network, in
# memory and in address space; and copies of a replicate's parameters besides the optimizer's own, and where networks are followed
LOADED, LOADED_ADDRESSES = 1.1e9, 3.3e9
# addresses that the C library reserves per byte in use, for each thread its own
RESERVED = 2.0
COPIES, MOTION_COPIES = 8.2, 10
GIGABYTE = 1e9


@dataclass(frozen=True)
class Limit:
    """An upper limit of this process's memory, in bytes.

    loaded: what is used before training; reason: who sets it; reserved: bytes that count towards it, per byte in use; shared: all
    processes together must stay below it.
    """

    most: float
    loaded: float
    reason: str
    reserved: float = 1.0
    shared: bool = True

    def total(self, need: float, processes: int = 1) -> float:
        """Return what counts towards the limit where training in each of these processes needs this many bytes."""
        return (processes if self.shared else 1) * (self.loaded + self.reserved * need)


def needed(spec: TrialSpec, data: Dataset) -> float:
    """Return about how many bytes training a trial takes, beside the loaded libraries.

    Every part keeps its parameters several times over; activations are there once per running part.
    """
    sizes = data.layer_sizes(spec)
    parameters = parameter_count(sizes, spec.model.normalisation)
    slots = 0 if isinstance(spec.optimizer, SGD) and not spec.optimizer.momentum else 2
    more = (spec.training.patience is not None) + (spec.optimizer.ema is not None) + MOTION_COPIES * spec.training.motion
    rows, batch = len(data.x_train), batches.batch_size(spec, len(data.x_train))
    width = width_of(sizes, batch)
    parts = math.ceil(spec.replicates.count / width)
    running = min(parts, available_cores()) * width * sum(sizes) * (3 * batch + 2 * len(data.x_val))
    orders = parts * width * min(spec.training.leg_epochs, spec.training.epochs) * rows
    tables = 3 + 2 * spec.own_data * spec.replicates.count / spec.per_dataset  # as loaded, for the networks, and TensorFlow's
    values = tables * (rows + len(data.x_val)) * (sizes[0] + 1)
    predictions = (4 + 4 * spec.training.motion) * spec.replicates.count * len(data.x_val) * sizes[-1]
    return FLOAT * (parts * width * parameters * (COPIES + slots + more) + running + orders + values + predictions)


def limits() -> Iterator[Limit]:
    """Yield what limits this process: its address space, its control groups, and the machine."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield Limit(soft, LOADED_ADDRESSES, "the limit of this process (ulimit -v)", RESERVED, shared=False)
    for free, reason in processes.memory_left():
        yield Limit(free + _resident(), LOADED, reason)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def check(spec: TrialSpec, data: Dataset, processes: int = 1) -> None:
    """Raise BadInput if a trial in each of so many processes of this machine needs more memory than there is."""
    need = needed(spec, data)
    short = [limit for limit in limits() if limit.total(need, processes) > limit.most]
    if short:
        limit = min(short, key=lambda limit: limit.most - limit.total(need, processes))
        total = limit.total(need, processes) / GIGABYTE
        workers = f" in each of {processes} processes (n_jobs)" if limit.shared and processes > 1 else ""
        raise BadInput(
            [
                Fault(
                    "model.units",
                    list(spec.model.units),
                    f"networks that fit into the memory: {spec.replicates.count} of these (replicates.count){workers} need about "
                    f"{total:.1f} GB, and {limit.reason} is {limit.most / GIGABYTE:.1f} GB",
                )
            ]
        )
