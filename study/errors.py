"""The errors a user can meet, each with the exit code that the command ends with.

Anything else that escapes is a bug. A trial that diverges is no error but a result: see `records.Failed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One wrong setting: which key, what it got, and what would be valid."""

    key: str
    got: object
    valid: str

    def __str__(self) -> str:
        # repr makes control characters visible, and keeps a terminal safe from them
        return f"{self.key}: got {self.got!r}; valid: {self.valid}"


class StudyError(Exception):
    """Base of every expected error."""

    exit_code = 1


class BadInput(StudyError):
    """The user's settings can't be run; all faults that were found are told at once."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault] | str) -> None:
        self.faults = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "\n".join(map(str, self.faults)))


class Unreachable(StudyError):
    """The Optuna storage or the MLflow tracking server doesn't answer."""

    exit_code = 3


class NotWritable(StudyError):
    """No space is left, or a path can't be written."""

    exit_code = 4


class Corrupt(StudyError):
    """An artifact or a database is damaged, or isn't what it should be."""

    exit_code = 6


FAILED_TRIALS_EXIT_CODE = 5
EXIT_CODES: dict[int, type[StudyError]] = {each.exit_code: each for each in (BadInput, Unreachable, NotWritable, Corrupt)}
