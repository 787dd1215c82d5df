"""What a person sees in the terminal. The only module that imports Rich.

Results go to standard output; progress and messages to standard error, so that output can be piped.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Pruned, TrialResult
from study.records.trial import Asked
from study.redaction import redact
from study.reporting import narrative, report
from study.statistics.objectives import Objective

if TYPE_CHECKING:  # a start loads little
    from study.reporting.study_results import Findings

# wide when piped, where nothing needs to fit
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
# a descriptor of its own, so that progress stays visible while TensorFlow's start-up chatter on descriptor 2 is muted
err = Console(file=os.fdopen(os.dup(2), "w", buffering=1), highlight=False)
atexit.register(err.file.close)

# colours can be forced into a file (FORCE_COLOR); what moves can't
MOVES = err.file.isatty() and not err.is_dumb_terminal
ROWS = 40
PROSE, PROSE_WIDTH = {"convergence"}, len("8 still improving")
_verbose = False


def speak(*, quiet: bool = False, verbose: bool = False) -> None:
    """How much is said from here on. quiet: results and errors alone; verbose: what is said of errors and trials, in full."""
    global _verbose
    err.quiet, _verbose = quiet, verbose
    if verbose:
        warnings.simplefilter("default")
    elif quiet:
        warnings.simplefilter("ignore")


@contextmanager
def status(message: str) -> Iterator[None]:
    """A spinner while the block runs; nothing when standard error is no terminal."""
    with steps(message):
        yield


@contextmanager
def steps(message: str) -> Iterator[Callable[[str], None]]:
    """As `status`, for a message that the block changes by the function that it gets."""
    if not MOVES:
        yield lambda text: None
        return
    with err.status(message) as shown:
        yield lambda text: shown.update(escape(redact(text)))


def message(text: str, style: str = "") -> None:
    err.print(escape(redact(text)), style=style, soft_wrap=True)


def error(text: str, cause: BaseException | None = None) -> None:
    """An error as it is, without wrapping: a line for each fault. Verbose, with where it comes from. Even the quiet tell it."""
    quiet, err.quiet = err.quiet, False
    if _verbose and cause:
        err.print(Text(redact("".join(traceback.format_exception(cause))), style="dim"), soft_wrap=True)
    for line in redact(text).splitlines():
        err.print(Text(line, style="red"), soft_wrap=True)
    err.quiet = quiet


def show_table(content: report.Table, rows: int = ROWS) -> None:
    """A table that fits the terminal; beyond `rows` rows it says how many are left out.

    Headings wrap at their words, and labels where they must; the last columns are left out of a terminal too narrow for them.
    """
    widths = [_width(column, [row[index] for row in content.rows]) for index, column in enumerate(content.columns)]
    gap = 1 if sum(widths) + 2 * len(widths) <= out.width else 0
    shown = len(widths)
    while shown > 1 and sum(widths[:shown]) + (1 + gap) * shown > out.width:
        shown -= 1
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    spare = out.width - sum(widths[:shown]) - (1 + gap) * shown
    for index, column in enumerate(content.columns[:shown]):
        heading, cells = column.replace("_", " "), [row[index] for row in content.rows]
        wanted = max(map(len, [heading, *cells]))
        width = min(wanted, widths[index] + max(0, spare))
        spare -= width - widths[index]
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


def show_findings(findings: Findings) -> None:
    """A study's table, its answer, whether the win is real, and what settings and sources do."""
    show_table(report.table(findings.records, findings.objectives, findings.front))
    show_text(f"{findings.answer.headline}.", "bold")
    show_text(findings.answer.text)
    if findings.answer.command:
        show_text("To settle it, train longer:")
        show_line(f"  {findings.answer.command}")
    if findings.finals:
        show_table(report.table(findings.finals, [findings.objective]))
    if findings.win:
        show_text(findings.win)
    if findings.effects:
        show_table(narrative.effects_table(findings.effects, findings.objective))
        show_text(narrative.effects_foot(findings.objective), "dim")
    if findings.blamed:
        table, text = narrative.blame_tables(findings.blamed)
        show_table(table)
        show_text(text)


class _Left(ProgressColumn):
    """The time that is left until the moment in the field `ends`, if there is one."""

    def render(self, task: Task) -> Text:
        ends = task.fields["ends"]
        return Text(f"{duration(max(0.0, ends - time.monotonic()))} left" if ends else "")


def duration(seconds: float) -> str:
    """In the unit that a person would use."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.{int(seconds < 597)}f} min"
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours < 71.5 else f"{hours / 24:.0f} days"


def _bar() -> Progress:
    note = TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), _Left(), note)
    return Progress(*columns, console=err, transient=True, disable=not MOVES)


class TrialProgress:
    """A single trial's progress, by epochs."""

    def __init__(self, epochs: int) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("loading", total=epochs, note="", ends=None)
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> TrialProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def __call__(self, leg: Leg) -> None:
        now, done = time.monotonic(), leg.epochs_done
        pace = ends = None
        if self._first is None:  # before it lies the loading, and the compiling
            self._first = now, done
        elif now > self._first[0]:
            pace = (done - self._first[1]) / (now - self._first[0])
            ends = now + ((self._bar.tasks[0].total or 0) - done) / pace
        networks = f"{len(leg.current)} networks × {report.number(pace)} epochs/s, " if pace else ""
        note = f"{networks}val loss {leg.current.mean():.4g}"
        self._bar.update(self._task, description="training", completed=done, note=note, ends=ends)


class StudyProgress:
    """A study's progress: a line for each trial that ends, and below them the count, the best so far, pace and time left.

    done: trials of earlier launches; replicates: of a trial, where the search doesn't vary it.
    """

    def __init__(self, total: int, done: int, best: float | None, objective: Objective, replicates: int) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("trials", total=total, completed=done, note="", ends=None)
        self._total, self._done, self._replicates = total, done, replicates
        self._objective = objective
        self._best = best
        self._counts = {Pruned: 0, Failed: 0}
        self._pace = Pace()

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def launched(self, asked: Sequence[Asked], ended: int) -> None:
        """ended: how many of the study's trials have ended by now, those of other drivers among them."""
        self._done = ended
        first, last = asked[0].number, asked[-1].number
        description = f"trial {first}" if first == last else f"trials {first} – {last}"
        self._bar.update(self._task, description=description, completed=ended)
        self._pace.launched(len(asked))

    def again(self, asked: Asked, reason: str) -> None:
        self._pace.lost()
        message(f"trial {asked.number} is run again: {reason}")

    def finished(self, asked: Asked, result: TrialResult) -> None:
        self._done += 1
        summary = result.summary
        self._pace.ended(len(summary.val_losses) if summary else int(asked.params.get("replicates.count") or self._replicates))
        value = self._objective.value(summary) if summary else None
        if value is not None and (self._best is None or self._objective.sign * (value - self._best) < 0):
            self._best = value
        if isinstance(result.outcome, Completed):
            outcome = f"val loss {report.loss_text(result.outcome.summary)}, {report.labels_text(result.outcome.summary)},"
        else:
            self._counts[type(result.outcome)] += 1
            outcome = result.outcome.reason
        left = self._pace.left(self._total - self._done)
        best = f"best {report.number(self._best)}" if self._best is not None else "no result yet"
        others = "".join(f", {count} {kind.__name__.lower()}" for kind, count in self._counts.items() if count)
        pace = f"{report.number(self._pace.networks_a_second())} networks/s"
        # the result first: a narrow terminal cuts the end off
        line = f"trial {asked.number:>3}  {redact(outcome)} with {report.settings_text(asked.params)}"
        style = {Pruned: "dim", Failed: "red"}.get(type(result.outcome), "")
        # in a terminal the counts are in the bar below
        counts = "" if MOVES else f"[{self._done}/{self._total}, {best}{others}, {pace}, {duration(left)} left]  "
        _print_line(f"{counts}{line}", style)
        if _verbose:
            took = report.seconds_text(result.seconds, sum(result.seconds.values()))
            _print_line(f"           {took}", "dim")
        self._bar.update(self._task, completed=self._done, note=f"{best}{others}, {pace}", ends=time.monotonic() + left)


def _print_line(text: str, style: str) -> None:
    """A message on one line: cut off at a terminal's edge, whole in a file."""
    err.print(Text(text, style), no_wrap=MOVES, overflow="ellipsis" if MOVES else "ignore", soft_wrap=not MOVES)


class Pace:
    """How fast a launch goes. Trials that were launched together are told together, when the last of them is done."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._launched = self._ended = self._networks = 0

    def launched(self, trials: int) -> None:
        self._launched += trials

    def lost(self) -> None:
        """An attempt ended, and its trial is still to be run."""
        self._launched -= 1

    def ended(self, networks: int) -> None:
        self._ended += 1
        self._networks += networks

    def networks_a_second(self) -> float:
        """Trained networks, those not yet told counted as the others."""
        return self._networks / self._ended * self._launched / (time.monotonic() - self._started)

    def left(self, trials: int) -> float:
        """Seconds that so many trials more will take, of which some are done and not yet told."""
        untold = self._launched - self._ended
        return (time.monotonic() - self._started) / self._launched * max(0, trials - untold)
