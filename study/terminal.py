"""What a person sees in the terminal. The only module that imports Rich.

Results go to standard output; progress and messages to standard error, so that output can be piped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from study import report
from study.records import Asked, Leg, TrialResult

# wide when piped, where nothing needs to fit
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
# a descriptor of its own, so that progress stays visible while TensorFlow's start-up chatter on descriptor 2 is muted
err = Console(file=os.fdopen(os.dup(2), "w", buffering=1), highlight=False)

ROWS = 40


def status(message: str) -> AbstractContextManager[object]:
    """A spinner while the block runs; nothing when standard error is no terminal."""
    return err.status(message)


def message(text: str, style: str = "") -> None:
    err.print(escape(text), style=style, soft_wrap=True)


def error(text: str) -> None:
    """An error as it is, without wrapping: a line for each fault."""
    for line in text.splitlines():
        err.print(Text(line, style="red"), soft_wrap=True)


def show_table(content: report.Table, rows: int = ROWS) -> None:
    """A table that fits the terminal; beyond `rows` rows it says how many are left out."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in content.columns:
        prose = column == "convergence"
        drawn.add_column(column.replace("_", " "), justify="left" if prose else "right", no_wrap=not prose, overflow="fold")
    for row in content.rows[:rows]:
        drawn.add_row(*map(escape, row))
    out.print(drawn)
    if len(content.rows) > rows:
        out.print(f"… and {len(content.rows) - rows} more")


def show_text(text: str, style: str = "") -> None:
    out.print(escape(text), style=style)


class _Left(ProgressColumn):
    """The time that is left at the pace so far."""

    def render(self, task: Task) -> Text:
        if not task.completed or task.total is None or task.elapsed is None:
            return Text("")
        left = task.elapsed / task.completed * (task.total - task.completed)
        return Text(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        _Left(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=err, transient=True)


class TrialProgress:
    """A single trial's progress, by epochs."""

    def __init__(self, epochs: int) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("training", total=epochs, note="")

    def __enter__(self) -> TrialProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, leg: Leg) -> None:
        self._bar.update(self._task, completed=leg.epochs_done, note=f"val loss {leg.val_loss[-1].mean():.4g}")


class StudyProgress:
    """A study's progress: a line for each trial that ends, and below them the count, the best so far and the time left."""

    def __init__(self, total: int, done: int, best: float | None, direction: str) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("trials", total=total, note="")
        self._total, self._done, self._before = total, done, done
        self._sign = 1 if direction == "minimize" else -1
        self._best, self._failed, self._started = best, 0, time.monotonic()

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def launched(self, asked: Sequence[Asked]) -> None:
        numbers = ", ".join(str(each.number) for each in asked)
        self._bar.update(self._task, description=f"trial {numbers}")

    def finished(self, asked: Asked, result: TrialResult) -> None:
        self._done += 1
        summary = result.summary
        if summary and (self._best is None or self._sign * summary.val_loss_mean < self._sign * self._best):
            self._best = summary.val_loss_mean
        if summary:
            found = f"val loss {report.loss_text(summary)}  {report.labels_text(summary)}"
        else:
            self._failed += 1
            found = getattr(result.outcome, "reason", "pruned")
        left = (time.monotonic() - self._started) / (self._done - self._before) * (self._total - self._done)
        counts = f"{self._done}/{self._total}"
        best = f"best {report.number(self._best)}" if self._best is not None else "no result yet"
        failed = f", {self._failed} failed" if self._failed else ""
        line = f"trial {asked.number:>3}  {report.settings_text(asked.params)}  →  {found}"
        if not err.is_terminal:
            line = f"[{counts}, {best}{failed}, {left:.0f} s left]  {line}"
        self._bar.console.print(Text(line, style="" if summary else "red"), soft_wrap=True)
        self._bar.update(self._task, completed=self._done, note=f"{best}{failed}")
