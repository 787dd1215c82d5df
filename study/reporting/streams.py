"""Standard output and standard error: the command's own for the life of its process, a Python program's as they are."""

from __future__ import annotations

import atexit
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.text import Text

from study.errors import NotWritable

if TYPE_CHECKING:
    from study.reporting.notebook import Cell

PIPED_WIDTH = 200  # wide when piped, where nothing needs to fit


class _Output(Console):
    """Standard output."""

    def print(self, *objects: Any, **options: Any) -> None:
        with writing_output():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Errors(Console):
    """Standard error, or a notebook's cell in its place."""

    cell: Cell | None = None

    def print(self, *objects: Any, **options: Any) -> None:
        if self.cell and isinstance(text := objects[0], Text):
            self.cell.line(text.plain, str(text.style))
        super().print(*objects, **options)


class _Messages(io.FileIO):
    """Standard error: what can't be written there, as on a closed terminal, is lost, and the work goes on."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


def _colours() -> Literal["auto"] | None:
    """Return Rich's choice of colours; with NO_COLOR, styles such as bold are left out too."""
    return None if os.environ.get("NO_COLOR") else "auto"


# a notebook's own output would show each line apart
out = _Output(highlight=False, emoji=False, force_jupyter=False, color_system=_colours())
err = _Errors(stderr=True, highlight=False, emoji=False, force_jupyter=False, color_system=_colours())
_lost: OSError | None = None


def settle() -> None:
    """Make the streams fit for a command, whose process they are for: called once, before a file is opened."""
    _open_streams()
    # an encoding that lacks a sign of ours is no reason to stop
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if not sys.stdout.isatty():
        out.width = PIPED_WIDTH
    err.file = messages = _own_messages()
    atexit.register(messages.close)


def _open_streams() -> None:
    """Open what a caller has closed: otherwise the next file, a database perhaps, would get its number, and the output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest free number
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w")


def _own_messages() -> io.TextIOWrapper:
    """Return standard error by a descriptor of its own: visible while TensorFlow's start-up chatter on descriptor 2 is muted."""
    return io.TextIOWrapper(io.BufferedWriter(_Messages(os.dup(2), "w")), errors="backslashreplace", line_buffering=True)


@contextmanager
def of_a_program(*, quiet: bool, cell: Cell | None = None) -> Iterator[None]:
    """Print only messages in the block, and none if `quiet`: results are for the Python program that asked for them.

    cell: where the messages go, in place of standard error.
    """
    before = out.quiet, err.quiet, err.cell
    out.quiet, err.quiet, err.cell = True, quiet or cell is not None, cell
    try:
        yield
    finally:
        out.quiet, err.quiet, err.cell = before


def moves() -> bool:
    """Return whether progress can move on standard error; FORCE_COLOR may colour a file, but nothing moves in one."""
    return not err.quiet and err.file.isatty() and not err.is_dumb_terminal


@contextmanager
def writing_output() -> Iterator[None]:
    """Keep an error of standard output for `check_output`: what it takes no more of is lost, and the work goes on."""
    global _lost
    try:
        yield
    except OSError as error:
        _lost = _lost or error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_output() -> None:
    """Raise BrokenPipeError if the reader has closed the pipe, as `head` does, and NotWritable for another error of the output."""
    with writing_output():
        sys.stdout.flush()
    if isinstance(_lost, BrokenPipeError):
        raise _lost
    if _lost:
        raise NotWritable(f"standard output: {_lost.strerror}") from _lost
