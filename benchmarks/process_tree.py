"""Seconds of a command with all processes that it starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Spent(NamedTuple):
    """wall: until the command itself ended. cpu: user and system time of the command and its descendants."""

    wall: float
    cpu: float


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[Spent, str]:
    """Run a command in `folder`, wait for all that it started, and return what it took and its output. Raises CalledProcessError.

    A process that outlives its parent becomes a child of this one (prctl(2)), so that its time counts too.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    before, start = _used(), time.perf_counter()
    with (folder / "output").open("w+b") as output:
        code = subprocess.Popen(words, cwd=folder, env=dict(environment), stdout=output, stderr=subprocess.STDOUT).wait()
        wall = time.perf_counter() - start
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code:
        raise subprocess.CalledProcessError(code, list(words), text)
    return Spent(wall, _used() - before), text


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
