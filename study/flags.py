"""The flags that are none of Hydra's, and may stand anywhere; --dry-run is training's alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.errors import BadInput

DRY_RUN, QUIET, VERBOSE = "dry run", "quiet", "verbose"
NAMES = {"--dry-run": DRY_RUN, "--quiet": QUIET, "-q": QUIET, "--verbose": VERBOSE, "-v": VERBOSE}
HELP = {
    DRY_RUN: "what would be trained, and about how long and how much it would take; trains and writes nothing",
    QUIET: "results and errors alone",
    VERBOSE: "each trial's phases, the libraries' warnings, and where an error comes from",
}


@dataclass(frozen=True)
class Flags:
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False


def taken(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags among the arguments, up to a `--`, and the other arguments. Raises BadInput for flags that contradict."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    given = {NAMES[each] for each in arguments[:end] if each in NAMES}
    if {QUIET, VERBOSE} <= given:
        raise BadInput("either --quiet or --verbose")
    rest = [each for each in arguments[:end] if each not in NAMES]
    return Flags(DRY_RUN in given, QUIET in given, VERBOSE in given), [*rest, *arguments[end:]]
