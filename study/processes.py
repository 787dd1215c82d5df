"""Owners: the process that has a trial, or a folder of the spool, in work, and whether it still runs.

An owner holds a lock on a file in the working directory, which the kernel releases when the process ends, however that happens: it
says so under another hostname too, in another container with the same folder, and after a restart. Where the file isn't there (an
owner from another folder, or of an earlier version), the process number decides on the same machine, and elsewhere nobody knows.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import getpass
import itertools
import math
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ABANDONED = "abandoned: its process ended"
ENDED = "ended"
FOLDER = Path(".mlp-study", "owners")
PARENT_SECONDS = 1.0
FORGOTTEN_SECONDS = 90 * 86400
# of both versions of control groups: the files with the limit and with what is used, and memory.stat's entry for cached files
CONTROL_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
CONTROL_GROUPS = Path("/sys/fs/cgroup")
LESS_MEMORY = "fewer replicates (replicates.count), smaller layers (model.units) or smaller batches (training.batch_size) need less"


@dataclass(frozen=True)
class Lock:
    """A file in FOLDER that this process has locked, together with others perhaps. handle: of the open file."""

    path: Path
    handle: int

    def release(self) -> None:
        os.close(self.handle)


def new_name() -> str:
    """Return a name for a lock."""
    return uuid.uuid4().hex[:12]


def lock(name: str) -> Lock | None:
    """Lock the file of this name, which is made if it isn't there; None where files can't be locked."""
    file = FOLDER.absolute() / name
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget(file.parent)
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            # shared with whoever holds it for the same owner; who asks whether it is locked wants it alone
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return Lock(file, handle)
        except OSError:
            os.close(handle)
    return None


def _forget(folder: Path) -> None:
    """Remove the files of owners that ended long ago."""
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > FORGOTTEN_SECONDS and _locked(file) is False:
                file.unlink()


def owner() -> str:
    """Return this process as host:number:start:machine:lock, the last of which it holds from now on."""
    return named(os.getpid(), _own_lock(os.getpid()))


def is_own(owner: str | None) -> bool:
    """Return whether an owner is this process. Unlike `owner`, it makes no lock, so that who only reads leaves nothing behind."""
    return (owner or "").rpartition(":")[0] == named(os.getpid(), "").rpartition(":")[0]


def named(number: int, name: str) -> str:
    """Return the owner that a process of this machine is. name: of its lock; empty for one without."""
    return ":".join((host(), str(number), _started(number), machine(), name))


def number_of(owner: str) -> str:
    """Return the process number of an `owner`."""
    return owner.split(":")[1]


def hold(name: str) -> None:
    """Make the lock of this name this process's own."""
    _names[os.getpid()] = name
    _own_lock(os.getpid())


# a forked process has a lock of its own
_names: dict[int, str] = {}


@cache
def _own_lock(number: int) -> str:
    name = _names.get(number) or new_name()
    held = lock(name)
    if held:
        atexit.register(held.path.unlink, missing_ok=True)
    return name if held else ""


def settle_user() -> None:
    """Give a user id without an account, as containers have, a name and a home folder for libraries that ask for them."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull  # in a folder of all users, others could leave files for us


@cache
def host() -> str:
    return socket.gethostname()


@cache
def machine() -> str:
    """Return what process numbers are unique in: this start of the system, and this container of it. Empty without /proc."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot[:8]}.{os.stat('/proc/self/ns/pid').st_ino}"
    return ""


def runs(owner: str | None) -> bool | None:
    """Return whether the process of an `owner` still runs; None where that isn't known."""
    if not owner:
        return False
    there, number, start, place, name = (owner.split(":") + [""] * 5)[:5]
    if name and (locked := _locked(FOLDER / name)) is not None:
        return locked
    if place != machine() if place else there != host():
        return None
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return start in ("", _started(int(number)))


def unknown_host(owner: str | None) -> str:
    """Return the host of an `owner` of which nobody knows whether it still runs; empty for any other."""
    return (owner or "").partition(":")[0] if runs(owner) is None else ""


def alive(owner: str | None) -> bool:
    """Return whether the process of an `owner` may still run."""
    return runs(owner) is not False


def _locked(file: Path) -> bool | None:
    """Return whether a process holds the lock of a file; None without such a file, or without locks."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    else:
        return False
    finally:
        os.close(handle)


@cache
def end_with_parent() -> None:
    """End this process, whatever it does, soon after the one that started it: a worker whose driver was killed is of no use."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def children() -> set[int]:
    """Return the numbers of this process's running children; none where the system has no /proc."""
    listed = {int(number) for file in Path("/proc/self/task").glob("*/children") for number in file.read_text().split()}
    return {number for number in listed if _started(number) != ENDED}


def control_groups() -> Iterator[Path]:
    """Yield the folders of the control groups, of either version, that this process's memory counts for, the nearest first."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "memory" in controllers.split(","):
                root = CONTROL_GROUPS / "memory" if controllers else CONTROL_GROUPS
                own = root / path.lstrip("/")
                yield from (own, *(folder for folder in own.parents if folder.is_relative_to(root)))


def free_memory() -> float:
    """Return how many more bytes this process may use, by its control groups and the machine; infinity where nothing says."""
    return min((free for free, _ in memory_left()), default=math.inf)


def memory_left() -> Iterator[tuple[float, str]]:
    """Yield how many more bytes this process may use, and who limits them: each of its control groups, and the machine."""
    for folder, (allowed, used, reclaimable) in itertools.product(control_groups(), CONTROL_FILES):
        with contextlib.suppress(OSError, ValueError, KeyError):
            most, now = (int((folder / name).read_text()) for name in (allowed, used))
            parts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # files that were read count as used until somebody needs the memory
            yield most - now + int(parts[reclaimable]), "the limit of this container"
    with contextlib.suppress(OSError, ValueError, IndexError):
        available = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]
        yield int(available) * 1024, "what this machine has free"


def memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory.

    They are those of this process's control group, or of the whole machine where it has none; 0 where the system has no count.
    """
    counts = (folder / name for folder in control_groups() for name in ("memory.events", "memory.oom_control"))
    for file in (*counts, Path("/proc/vmstat")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            return int(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])
    return 0


def cause_of_death(kills_before: int) -> str:
    """Return why a process may have ended without a word, and what to do. kills_before: `memory_kills` when it still ran."""
    if memory_kills() > kills_before:
        return f"out of memory: the kernel killed its process; {LESS_MEMORY}"
    return f"its process was killed (signal 9) or crashed, perhaps for lack of memory: {LESS_MEMORY}"


def _started(number: int) -> str:
    """Return when a process started, in the kernel's ticks; ENDED if only its parent hasn't noticed; empty without /proc."""
    try:
        # behind the name, which may hold anything in its brackets
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return ENDED if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
