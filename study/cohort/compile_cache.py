"""XLA's compiled programs, kept on disk between processes: a later process compiles in about a third of the time.

XLA's own key holds the program but neither the processor, the version nor the switches, so each of these has its own folder.
XLA neither creates the folder nor survives a torn file in it: the one is done here, the other mended by `clear`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path


def folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    switches = [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")]
    identity = "\n".join([version("tensorflow"), platform.machine(), processor(), *switches])
    return base / "mlp-study" / "xla" / hashlib.sha256(identity.encode()).hexdigest()[:16]


def processor() -> str:
    """The processor's model and instruction sets, as far as the system tells."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
        return f"{told.get('model name', '')} {told.get('flags', told.get('Features', ''))}"
    return platform.processor()


def enable() -> None:
    """Switches the cache on, where the folder can be made and the user has no XLA switches of their own. Before TensorFlow."""
    if "TF_XLA_FLAGS" in os.environ:
        return
    try:
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder(), os.W_OK):
        os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder()}"


def clear() -> None:
    """Removes this machine's programs; those in use stay loaded."""
    for file in folder().glob("*"):
        file.unlink(missing_ok=True)
