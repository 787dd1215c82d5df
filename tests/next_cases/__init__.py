"""What the program prints in cases beside the reported ones: a row is a folder's files, some commands, and what they print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """commands: run one after the other in an empty folder that holds `files`; all but the last must exit with 0.

    shows, hides: what is in the last command's output (both streams, runs of white space as one blank), and what isn't.
    code: its exit code. long: another case, or a quicker test, shows much the same in the quick set.

    Cases with the same commands before the last share their folder, in which these have run once.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    shows: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    code: int = 0
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    long: bool = False
