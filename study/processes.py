"""Who owns a trial in work, and whether its owner is still there."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

ABANDONED = "abandoned: its process ended"
ENDED = "ended"


def owner(number: int | None = None) -> str:
    """This process, or another of this host, as host:number:start; the start tells it from a later one of the same number."""
    number = number or os.getpid()
    return f"{host()}:{number}:{_started(number)}"


@cache
def host() -> str:
    return socket.gethostname()


def alive(owner: str | None) -> bool:
    """Whether the process of an `owner` may still run; of another host it is not known, and so it may."""
    there, _, rest = (owner or "").partition(":")
    number, _, start = rest.partition(":")
    if there != host():
        return bool(owner)
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return start in ("", _started(int(number)))


def children() -> set[int]:
    """The numbers of this process's running children; none where the system has no /proc."""
    listed = {int(number) for file in Path("/proc/self/task").glob("*/children") for number in file.read_text().split()}
    return {number for number in listed if _started(number) != ENDED}


def _started(number: int) -> str:
    """When a process started, in the kernel's ticks; ENDED if only its parent hasn't noticed; empty where there is no /proc."""
    try:
        # behind the name, which may hold anything in its brackets
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return ENDED if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
