"""What a person sees in the terminal. The only module that imports Rich.

Results go to standard output; progress and messages to standard error, so that output can be piped.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from study import report
from study.objectives import Objective
from study.records import Asked, Completed, Failed, Leg, Pruned, TrialRecord, TrialResult
from study.redaction import redact

# wide when piped, where nothing needs to fit
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
# a descriptor of its own, so that progress stays visible while TensorFlow's start-up chatter on descriptor 2 is muted
err = Console(file=os.fdopen(os.dup(2), "w", buffering=1), highlight=False)
atexit.register(err.file.close)

ROWS = 40
PROSE, PROSE_WIDTH = {"convergence"}, len("8 still improving")


def status(message: str) -> AbstractContextManager[object]:
    """A spinner while the block runs; nothing when standard error is no terminal."""
    return err.status(message)


@contextmanager
def steps(message: str) -> Iterator[Callable[[str], None]]:
    """As `status`, for a message that the block changes by the function that it gets."""
    with err.status(message) as shown:
        yield lambda text: shown.update(escape(redact(text)))


def message(text: str, style: str = "") -> None:
    err.print(escape(redact(text)), style=style, soft_wrap=True)


def error(text: str) -> None:
    """An error as it is, without wrapping: a line for each fault."""
    for line in redact(text).splitlines():
        err.print(Text(line, style="red"), soft_wrap=True)


def show_table(content: report.Table, rows: int = ROWS) -> None:
    """A table that fits the terminal; beyond `rows` rows it says how many are left out.

    Headings wrap at their words, and labels where they must; the last columns are left out of a terminal too narrow for them.
    """
    widths = [_width(column, [row[place] for row in content.rows]) for place, column in enumerate(content.columns)]
    gap = 1 if sum(widths) + 2 * len(widths) <= out.width else 0
    shown = len(widths)
    while shown > 1 and sum(widths[:shown]) + (1 + gap) * shown > out.width:
        shown -= 1
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    spare = out.width - sum(widths[:shown]) - (1 + gap) * shown
    for place, column in enumerate(content.columns[:shown]):
        heading, cells = column.replace("_", " "), [row[place] for row in content.rows]
        wanted = max(map(len, [heading, *cells]))
        width = min(wanted, widths[place] + max(0, spare))
        spare -= width - widths[place]
        drawn.add_column(heading, justify="left" if column in PROSE else "right", width=width, overflow="fold")
    for row in content.rows[:rows]:
        drawn.add_row(*map(escape, row[:shown]))
    out.print(drawn)
    if shown < len(widths):
        out.print(f"(this terminal is too narrow for: {', '.join(content.columns[shown:])})")
    if len(content.rows) > rows:
        out.print(f"… and {len(content.rows) - rows} more")


def _width(column: str, cells: Sequence[str]) -> int:
    """The least width of a column: a label's, or its widest cell's, and its heading's longest word's."""
    words = max(map(len, column.replace("_", " ").split() or [""]))
    return max(words, PROSE_WIDTH if column in PROSE else max(map(len, cells), default=0))


def show_text(text: str, style: str = "") -> None:
    out.print(escape(redact(text)), style=style)


def show_line(text: str, style: str = "") -> None:
    """A text that stays on one line, however long."""
    out.print(Text(redact(text), style=style), soft_wrap=True)


def show_finals(finals: Sequence[TrialRecord], objective: Objective) -> str:
    """Shows what the finalists' fresh replicates gave, and returns what it says; nothing where none were trained."""
    text = report.finals_text(finals, objective)
    if text:
        show_table(report.table(finals, [objective]))
        show_text(text)
    return text


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
        self._bar.update(self._task, completed=leg.epochs_done, note=f"val loss {leg.current.mean():.4g}")


class StudyProgress:
    """A study's progress: a line for each trial that ends, and below them the count, the best so far and the time left."""

    def __init__(self, total: int, done: int, best: float | None, objective: Objective) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("trials", total=total, note="")
        self._total, self._done, self._before = total, done, done
        self._objective = objective
        self._best, self._started = best, time.monotonic()
        self._counts = {Pruned: 0, Failed: 0}

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def launched(self, asked: Sequence[Asked]) -> None:
        numbers = ", ".join(str(each.number) for each in asked)
        self._bar.update(self._task, description=f"trial {numbers}")

    def again(self, asked: Asked, reason: str) -> None:
        message(f"trial {asked.number} is run again: {reason}")

    def finished(self, asked: Asked, result: TrialResult) -> None:
        self._done += 1
        summary = result.summary
        value = self._objective.value(summary) if summary else None
        if value is not None and (self._best is None or self._objective.sign * (value - self._best) < 0):
            self._best = value
        if isinstance(result.outcome, Completed):
            found = f"val loss {report.loss_text(result.outcome.summary)}  {report.labels_text(result.outcome.summary)}"
        else:
            self._counts[type(result.outcome)] += 1
            found = result.outcome.reason
        left = (time.monotonic() - self._started) / (self._done - self._before) * (self._total - self._done)
        counts = f"{self._done}/{self._total}"
        best = f"best {report.number(self._best)}" if self._best is not None else "no result yet"
        others = "".join(f", {count} {kind.__name__.lower()}" for kind, count in self._counts.items() if count)
        line = f"trial {asked.number:>3}  {report.settings_text(asked.params)}  →  {redact(found)}"
        style = {Pruned: "dim", Failed: "red"}.get(type(result.outcome), "")
        if err.is_terminal:  # a line each, and the counts in the bar below
            self._bar.console.print(Text(line, style), no_wrap=True, overflow="ellipsis")
        else:
            err.print(Text(f"[{counts}, {best}{others}, {left:.0f} s left]  {line}"), soft_wrap=True)
        self._bar.update(self._task, completed=self._done, note=f"{best}{others}")
