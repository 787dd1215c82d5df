"""Seconds spent by phase."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

STARTED = time.perf_counter()
_launched: ContextVar[float] = ContextVar("launched", default=STARTED)


def since_launch() -> float:
    """Return the seconds since the launch: a command's begins with its process."""
    return time.perf_counter() - _launched.get()


@contextmanager
def launch() -> Iterator[None]:
    """Begin a launch of a Python program's, whose process may have run for long."""
    token = _launched.set(time.perf_counter())
    try:
        yield
    finally:
        _launched.reset(token)


@dataclass
class Clock:
    """Seconds by phase, such as compile, train, analyse and track."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time inside the block to phase `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def add_jobs(self, seconds: float, jobs: Iterable[Mapping[str, float]]) -> None:
        """Add the phases of jobs that took so many seconds; the rest is Hydra's, which composes their configs: 'compose'.

        Jobs that ran at once share the time in proportion.
        """
        spent = [(name, value) for phases in jobs for name, value in phases.items()]
        total = sum(value for _, value in spent)
        for name, value in spent:
            self.add(name, value * min(1.0, seconds / total) if total else 0.0)
        self.add("compose", max(0.0, seconds - total))
