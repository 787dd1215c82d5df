"""The errors that users can meet, each with the exit code of the command.

Any other escaping exception is a bug. A trial that diverges is a result and not an error: see `records.outcome.Failed`.
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
    """One wrong setting: its key, the value received, and the valid values."""

    key: str
    got: object
    valid: str

    def __str__(self) -> str:
        return f"{visible(self.key)}: got {self.got!r}; valid: {visible(self.valid)}"


def visible(text: str) -> str:
    """Escape the text's control characters as `repr` does: a terminal would obey them."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def shortened(text: str, most: int) -> str:
    """Return the text, or its beginning and an ellipsis: at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible_lines(text: str) -> str:
    """Escape the text's control characters other than its line ends."""
    return "\n".join(map(visible, text.split("\n")))


class StudyError(Exception):
    """Base of every expected error. Its text may have several lines; their control characters are escaped.

    >>> try:
    ...     study.compose(["training.epochs=-1"])
    ... except study.StudyError as error:
    ...     print(error.exit_code)
    2
    """

    exit_code = 1

    def __init__(self, text: str) -> None:
        super().__init__(visible_lines(text))


class BadInput(StudyError):
    """The user's settings can't be run. The text reports all faults at once.

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
    """An artifact or a database is damaged, or has unexpected content."""

    exit_code = 6


@contextmanager
def collecting(faults: list[Fault]) -> Iterator[None]:
    """Add the block's faults to `faults` instead of raising them, to report them together with others."""
    try:
        yield
    except BadInput as bad:
        if not bad.faults:
            raise
        faults += bad.faults


# the system's codes; FBIG is the limit of a user or of a file system
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


def refused(error: OSError, path: str) -> NotWritable | None:
    """Return the error for a path that can't be written, by default `path`; None if the system reports another problem."""
    return NotWritable(f"{error.filename or path}: {error.strerror}") if error.errno in NOT_WRITABLE else None


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Raise what the system refuses in the block as NotWritable, which names `path`."""
    try:
        yield
    except OSError as error:
        raise NotWritable(f"{path}: {error.strerror or error}") from error


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end; code that handles Ctrl-C handles this too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def check_writable(folder: Path) -> None:
    """Raise NotWritable if `folder`, which needn't exist, can't be made or written. Creates nothing."""
    with writing(folder):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise NotWritable(f"{folder}: {existing} is a file, not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise NotWritable(f"{folder}: {existing} can't be written")


FAILED_TRIALS_EXIT_CODE = 5
EXIT_CODES: dict[int, type[StudyError]] = {kind.exit_code: kind for kind in (BadInput, Unreachable, NotWritable, Corrupt)}
