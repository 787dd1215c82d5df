"""The commit that this program runs from."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 5.0


@cache
def commit() -> tuple[str, bool] | None:
    """Return the commit of this program's own repository, and whether files differ from it; None if it runs from elsewhere."""
    if not (ROOT / ".git").exists():  # another repository, which it is installed into, says nothing about it
        return None
    try:
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):  # no git, or one that doesn't trust the folder's owner
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout.strip()
