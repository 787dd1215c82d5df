"""The help on a group of settings: its keys with their comments, as conf/ has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from study.config.source import config_folder
from study.errors import BadInput
from study.settings.rules import suggestion

# a key at a file's top level, its value, and its comment
LINE = re.compile(r"(\w+): (.*?)(?:\s+# (.*))?$")


def text(group: str) -> str:
    """Return each choice of a group, such as `training`, with its keys as overrides. Raises BadInput if there is no such group."""
    folder = config_folder() / group
    groups = sorted(path.name for path in config_folder().iterdir() if path.is_dir() and path.name != "hydra")
    if group not in groups:
        raise BadInput(f"--help {group}: {suggestion(group, groups)}groups of settings: {', '.join(groups)}")
    return "".join(f"{line}\n" for file in sorted(folder.glob("*.yaml")) for line in _choice(group, file))


def _choice(group: str, file: Path) -> Iterator[str]:
    lines = file.read_text("utf-8").splitlines()
    about = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# ") and "@package" not in line)
    yield f"{group}={file.stem}" + (f"  # {about}" if about else "")
    matches = [match for line in lines if (match := LINE.match(line)) and match[1] not in ("defaults", "name")]
    settings = [f"  {group}.{match[1]}={match[2]}" for match in matches]
    width = max(map(len, settings), default=0)
    for setting, match in zip(settings, matches, strict=True):
        yield f"{setting:{width}}  # {match[3]}" if match[3] else setting
