"""The errors a user can meet, each with the exit code that the command ends with.

Anything else that escapes is a bug. A trial that diverges is no error but a result: see `records.Failed`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One wrong setting: which key, what it got, and what would be valid."""

    key: str
    got: object
    valid: str

    def __str__(self) -> str:
        return f"{visible(self.key)}: got {self.got!r}; valid: {visible(self.valid)}"


def visible(text: str) -> str:
    """The text with its control characters escaped, as `repr` does it: a terminal would obey them."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class StudyError(Exception):
    """Base of every expected error. Its text may be of several lines, in which control characters are made visible.

    >>> try:
    ...     study.compose(["training.epochs=-1"])
    ... except study.StudyError as error:
    ...     print(error.exit_code)
    2
    """

    exit_code = 1

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(map(visible, text.split("\n"))))


class BadInput(StudyError):
    """The user's settings can't be run; all faults that were found are told at once.

    >>> study.compose(["training.epochs=-1", "optimizer.momentum=0.9"])
    Traceback (most recent call last):
    study.errors.BadInput: ...
    """

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


@contextmanager
def collecting(faults: list[Fault]) -> Iterator[None]:
    """Adds the block's faults to `faults` instead of raising them, so that others are told beside them."""
    try:
        yield
    except BadInput as bad:
        if not bad.faults:
            raise
        faults += bad.faults


# what the system calls it; FBIG is the limit of a user or of a file system
NOT_WRITABLE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def refused(error: OSError, place: str) -> NotWritable | None:
    """What the system says of a place that can't be written, which is `place` where it names no file; None for another error."""
    return NotWritable(f"{error.filename or place}: {error.strerror}") if error.errno in NOT_WRITABLE else None


@contextmanager
def writing(place: object) -> Iterator[None]:
    """What the system refuses in the block is raised as NotWritable, which names the place."""
    try:
        yield
    except OSError as error:
        raise NotWritable(f"{place}: {error.strerror or error}") from error


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end; whatever treats Ctrl-C as it should treats this so too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def check_writable(folder: Path) -> None:
    """Raises NotWritable if `folder`, which needn't exist, can't be made or written. Makes nothing."""
    with writing(folder):
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise NotWritable(f"{folder}: {there} is a file, not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise NotWritable(f"{folder}: {there} can't be written")


FAILED_TRIALS_EXIT_CODE = 5
EXIT_CODES: dict[int, type[StudyError]] = {each.exit_code: each for each in (BadInput, Unreachable, NotWritable, Corrupt)}
