"""Keep XLA's compiled programs on disk between processes: a process that repeats another compiles in a third of the time.

XLA's own key holds the program's text, which `stored_programs` makes the same in any process. It holds neither the processor, the
version nor the switches, so each combination has its own folder. XLA neither
creates the folder nor empties it, and it fails on a torn file: this module takes care of all three.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from study import locations

FLAG = "--tf_xla_persistent_cache_directory="
MOST_FILES = 1000  # two per program, together about 300 MB
ROOM = 8_000_000  # bytes, for a few programs


def folder() -> Path:
    switches = [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")]
    identity = "\n".join([version("tensorflow"), platform.machine(), processor(), *switches])
    return locations.cache("xla") / hashlib.sha256(identity.encode()).hexdigest()[:16]


def processor() -> str:
    """Return the processor's model and instruction sets, as far as the system reports them."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        entries = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
        return f"{entries.get('model name', '')} {entries.get('flags', entries.get('Features', ''))}"
    return platform.processor()


def enable() -> None:
    """Switch the cache on if there is room for it and the user has set no XLA switches. Call it before importing TensorFlow.

    A program that can't be written ends the training, and TensorFlow can't switch the cache off later.
    """
    if "TF_XLA_FLAGS" in os.environ:
        return
    try:
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder(), buffering=0) as probe:
            if probe.write(bytes(ROOM)) < ROOM:
                return
    except OSError:
        return
    os.environ["TF_XLA_FLAGS"] = f"{FLAG}{folder()}"
    shorten()


def used_folder() -> Path | None:
    """Return the folder in use, if it is one of ours."""
    used = Path(os.environ.get("TF_XLA_FLAGS", "").removeprefix(FLAG))
    return used if used.parent.parts[-2:] == locations.cache("xla").parts[-2:] else None


def shorten() -> None:
    """Remove the files that were longest unused where there are too many of them."""
    if (used := used_folder()) is None:
        return
    with contextlib.suppress(OSError), os.scandir(used) as entries:  # another process may be removing them too
        files = [(max(found.st_atime, found.st_mtime), entry.path) for entry in entries if (found := entry.stat())]
        for _, path in sorted(files)[: len(files) - MOST_FILES // 2] if len(files) > MOST_FILES else []:
            os.unlink(path)


def clear() -> None:
    """Remove all programs of the folder in use; running ones stay loaded."""
    used = used_folder()
    for file in used.iterdir() if used else ():
        file.unlink(missing_ok=True)
