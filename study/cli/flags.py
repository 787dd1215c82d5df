"""Flags that aren't Hydra's and may stand anywhere on the command line; --dry-run applies to training only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.errors import BadInput
from study.settings.scorers import FLAG as SCORER

DRY_RUN, QUIET, VERBOSE = "dry run", "quiet", "verbose"
ALLOW_SCORER = f"{SCORER}=MODULE:FUNCTION"
NAMES = {"--dry-run": DRY_RUN, "--quiet": QUIET, "-q": QUIET, "--verbose": VERBOSE, "-v": VERBOSE}
HELP = {
    DRY_RUN: "show what would be trained, how long it will take and how much disk it needs; train and write nothing",
    QUIET: "print results and errors only",
    ALLOW_SCORER: "allow this Python function as a score, which runs its code; several times for several (see data.md)",
    VERBOSE: "print each trial's phases, the libraries' warnings, and the origin of an error",
}


@dataclass(frozen=True)
class Flags:
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    scorers: tuple[str, ...] = ()


def taken(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Split the arguments, up to a `--`, into flags and other arguments. Raises BadInput for flags that contradict each other."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    given = {NAMES[argument] for argument in arguments[:end] if argument in NAMES}
    if {QUIET, VERBOSE} <= given:
        raise BadInput("either --quiet or --verbose")
    if SCORER in arguments[:end]:
        raise BadInput(f"{SCORER}: a name belongs to it: {ALLOW_SCORER}")
    named = [argument for argument in arguments[:end] if argument.startswith(f"{SCORER}=")]
    rest = [argument for argument in arguments[:end] if argument not in NAMES and argument not in named]
    functions = tuple(argument.partition("=")[2] for argument in named)
    return Flags(DRY_RUN in given, QUIET in given, VERBOSE in given, functions), [*rest, *arguments[end:]]
