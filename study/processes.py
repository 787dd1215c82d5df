"""Who owns a trial in work, and whether its owner is still there."""

from __future__ import annotations

import os
import socket

ABANDONED = "abandoned: its process ended"


def owner() -> str:
    """This process, as host:number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def runs(number: str) -> bool:
    """Whether a process of this number runs on this host."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
