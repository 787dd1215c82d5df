"""Owners of running trials, and whether their processes still run."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

ABANDONED = "abandoned: its process ended"
ENDED = "ended"


def owner(number: int | None = None) -> str:
    """Identify this process, or another on this host, as host:number:start; the start distinguishes reused numbers."""
    number = number or os.getpid()
    return f"{host()}:{number}:{_started(number)}"


@cache
def host() -> str:
    return socket.gethostname()


def alive(owner: str | None) -> bool:
    """Return True if the process of an `owner` may still run; on another host that isn't known, so it may."""
    owner_host, _, rest = (owner or "").partition(":")
    number, _, start = rest.partition(":")
    if owner_host != host():
        return bool(owner)
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return start in ("", _started(int(number)))


def children() -> set[int]:
    """Return the numbers of this process's running children; none where the system has no /proc."""
    listed = {int(number) for file in Path("/proc/self/task").glob("*/children") for number in file.read_text().split()}
    return {number for number in listed if _started(number) != ENDED}


def _started(number: int) -> str:
    """Return when a process started, in kernel ticks; ENDED for a zombie; '' where there is no /proc."""
    try:
        # after the name, which may contain anything in its parentheses
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return ENDED if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
