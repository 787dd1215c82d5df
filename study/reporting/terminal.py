"""Print to the terminal. Results go to standard output, progress and messages to standard error, so output can be piped."""

from __future__ import annotations

import atexit
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from study.errors import NotWritable, visible, visible_lines
from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Pruned, TrialResult
from study.records.trial import Asked
from study.redaction import redact
from study.reporting import decisions, listings, narrative, report, star
from study.statistics.objectives import Objective

if TYPE_CHECKING:  # a start loads little
    from study.reporting.study_results import Findings


def _open_streams() -> None:
    """Open what a caller has closed: otherwise the next file, a database perhaps, would get its number, and the output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest free number
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w")


class _Output(Console):
    """Standard output."""

    def print(self, *objects: Any, **options: Any) -> None:
        with writing_output():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Messages(io.FileIO):
    """Standard error: what can't be written there, as on a closed terminal, is lost, and the work goes on."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


_lost: OSError | None = None


@contextmanager
def writing_output() -> Iterator[None]:
    """Keep an error of standard output for `check_output`: what it takes no more of is lost, and the work goes on."""
    global _lost
    try:
        yield
    except OSError as error:
        _lost = _lost or error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_file(write: Callable[[TextIO], object]) -> None:
    """Write to standard output: unchanged, but on a terminal, which would obey control characters, with these escaped."""
    with writing_output():
        if not sys.stdout.isatty():
            write(sys.stdout)
            return
        content = io.StringIO(newline="")
        write(content)
        sys.stdout.write(visible_lines(content.getvalue()))


def check_output() -> None:
    """Raise BrokenPipeError if the reader has closed the pipe, as `head` does, and NotWritable for another error of the output."""
    with writing_output():
        sys.stdout.flush()
    if isinstance(_lost, BrokenPipeError):
        raise _lost
    if _lost:
        raise NotWritable(f"standard output: {_lost.strerror}") from _lost


_open_streams()
# an encoding that lacks a sign of ours is no reason to stop
sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
# wide when piped, where nothing needs to fit
out = _Output(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)
# a descriptor of its own, so that progress stays visible while TensorFlow's start-up chatter on descriptor 2 is muted
_messages = io.TextIOWrapper(io.BufferedWriter(_Messages(os.dup(2), "w")), errors="backslashreplace", line_buffering=True)
err = Console(file=_messages, highlight=False, emoji=False)


atexit.register(_messages.close)

# FORCE_COLOR may colour a file, but progress never moves in one
MOVES = err.file.isatty() and not err.is_dumb_terminal
ROWS = 40
PROSE, PROSE_WIDTH = {"convergence", *star.LABELS[1:], listings.AT_THE_END}, len("8 still improving")
_verbose = False


def speak(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set how much to print. quiet: only results and errors; verbose: full details of errors and trials."""
    global _verbose
    err.quiet, _verbose = quiet, verbose
    if verbose:
        warnings.simplefilter("default")
    elif quiet:
        warnings.simplefilter("ignore")


@contextmanager
def status(message: str) -> Iterator[None]:
    """Show a spinner while the block runs, if standard error is a terminal."""
    with steps(message):
        yield


@contextmanager
def steps(message: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner as `status` does, with a message that the block changes by calling the yielded function."""
    if not MOVES:
        yield lambda text: None
        return
    with err.status(message) as shown:
        yield lambda text: shown.update(escape(visible(redact(text))))


def message(text: str, style: str = "") -> None:
    """Print a message on one line, however long."""
    err.print(Text(visible(redact(text)), style), soft_wrap=True)


def error(text: str, cause: BaseException | None = None) -> None:
    """Print an error, even when quiet: one line per fault, unwrapped, with a traceback when verbose."""
    quiet, err.quiet = err.quiet, False
    if _verbose and cause:
        err.print(Text(visible_lines(redact("".join(traceback.format_exception(cause)))), style="dim"), soft_wrap=True)
    for line in redact(text).splitlines():
        err.print(Text(line, style="red"), soft_wrap=True)
    err.quiet = quiet


def show_table(content: report.Table, rows: int = ROWS) -> None:
    """Print a table that fits the terminal, at most `rows` rows, with a note on what is left out.

    Headings wrap at words, labels anywhere; a narrow terminal loses the last columns.
    """
    content = report.Table(tuple(map(visible, content.columns)), tuple(tuple(map(visible, row)) for row in content.rows))
    widths = [_width(column, [row[index] for row in content.rows]) for index, column in enumerate(content.columns)]
    gap = 1 if sum(widths) + 2 * len(widths) <= out.width else 0
    shown = len(widths)
    while shown > 1 and sum(widths[:shown]) + (1 + gap) * shown > out.width:
        shown -= 1
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    spare = out.width - sum(widths[:shown]) - (1 + gap) * shown
    for index, column in enumerate(content.columns[:shown]):
        heading, cells = column.replace("_", " "), [row[index] for row in content.rows]
        wanted = max(map(cell_len, [heading, *cells]))
        width = min(wanted, widths[index] + max(0, spare))
        spare -= width - widths[index]
        drawn.add_column(escape(heading), justify="left" if column in PROSE else "right", width=width, overflow="fold")
    for row in content.rows[:rows]:
        drawn.add_row(*map(escape, row[:shown]))
    out.print(drawn)
    if shown < len(widths):
        out.print(f"(this terminal is too narrow for: {escape(', '.join(content.columns[shown:]))})")
    if len(content.rows) > rows:
        out.print(f"… and {len(content.rows) - rows} more")


def _width(column: str, cells: Sequence[str]) -> int:
    """Return the minimum width of a column: its widest cell (or a label) or the longest word of its heading."""
    words = max(map(cell_len, column.replace("_", " ").split() or [""]))
    return max(words, PROSE_WIDTH if column in PROSE else max(map(cell_len, cells), default=0))


def show_text(text: str, style: str = "") -> None:
    out.print(escape(visible_lines(redact(text))), style=style)


def show_line(text: str, style: str = "") -> None:
    """Print a text on one line, however long."""
    out.print(Text(visible(redact(text)), style=style), soft_wrap=True)


def show_findings(findings: Findings) -> None:
    """Print a study's decision, its table, whether training converges, and the effects of settings and sources."""
    headline, text = findings.decided
    if headline:
        show_text(headline, "bold")
    if text:
        show_text(text)
    if findings.tested:
        show_table(decisions.tested_table(findings.tested))
        show_text(decisions.tested_text(findings.tested))
    if findings.star and findings.claims:
        show_text(f"{findings.answer.headline}.", "bold")
        for part in star.compact(findings.star, findings.settings):
            show_table(part)
        show_text(findings.claims[1])
        show_text(findings.answer.text)
        show_table(findings.table)
    else:
        show_table(findings.table)
        show_text(f"{findings.answer.headline}.", "bold")
        show_text(findings.answer.text)
    if findings.answer.command:
        show_text("To settle it, train longer:")
        show_line(f"  {findings.answer.command}")
    if findings.finals:
        show_table(report.table(findings.finals, [findings.objective]))
    if findings.win and not headline:
        show_text(findings.win)
    if findings.effects:
        show_table(narrative.effects_table(findings.effects, findings.objective))
        show_text(narrative.effects_foot(findings.objective), "dim")
    if findings.blamed:
        table, text = narrative.blame_tables(findings.blamed)
        show_table(table)
        show_text(text)


class _Left(ProgressColumn):
    """The time left until the field `ends`, if set."""

    def render(self, task: Task) -> Text:
        ends = task.fields["ends"]
        return Text(f"{report.duration(max(0.0, ends - time.monotonic()))} left" if ends else "")


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
        if self._first is None:  # after loading and compiling
            self._first = now, done
        elif now > self._first[0]:
            pace = (done - self._first[1]) / (now - self._first[0])
            ends = now + ((self._bar.tasks[0].total or 0) - done) / pace
        networks = f"{len(leg.current)} networks × {report.number(pace)} epochs/s, " if pace else ""
        note = f"{networks}val loss {leg.current.mean():.4g}"
        self._bar.update(self._task, description="training", completed=done, note=note, ends=ends)


class StudyProgress:
    """A study's progress: one line per finished trial, and below them the count, the best value, the pace and the time left.

    done: trials of earlier launches; replicates: per trial, unless searched.
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
        """Record a launch. ended: the study's finished trials so far, including those of other drivers."""
        self._done = ended
        first, last = asked[0].number, asked[-1].number
        description = f"trial {first}" if first == last else f"trials {first} – {last}"
        self._bar.update(self._task, description=description, completed=ended)
        self._pace.launched(len(asked))

    def again(self, asked: Asked, reason: str) -> None:
        self._pace.lost()
        message(f"trial {asked.number} runs again: {reason}")

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
        pace = f"{report.number(self._pace.networks_per_second())} networks/s"
        # the result first, since a narrow terminal cuts off the end
        line = f"trial {asked.number:>3}  {redact(outcome)} with {report.settings_text(asked.params)}"
        style = {Pruned: "dim", Failed: "red"}.get(type(result.outcome), "")
        # a terminal shows the counts in the bar below
        counts = "" if MOVES else f"[{self._done}/{self._total}, {best}{others}, {pace}, {report.duration(left)} left]  "
        _print_line(f"{counts}{line}", style)
        if _verbose:
            took = report.seconds_text(result.seconds, sum(result.seconds.values()))
            _print_line(f"           {took}", "dim")
        self._bar.update(self._task, completed=self._done, note=f"{best}{others}, {pace}", ends=time.monotonic() + left)


def _print_line(text: str, style: str) -> None:
    """Print a message on one line, cut off at a terminal's edge but complete in a file."""
    err.print(Text(visible(text), style), no_wrap=MOVES, overflow="ellipsis" if MOVES else "ignore", soft_wrap=not MOVES)


class Pace:
    """The pace of a launch. Trials launched together are reported together, when the last of them is done."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._launched = self._ended = self._networks = 0

    def launched(self, trials: int) -> None:
        self._launched += trials

    def lost(self) -> None:
        """Record an attempt whose trial must run again."""
        self._launched -= 1

    def ended(self, networks: int) -> None:
        self._ended += 1
        self._networks += networks

    def networks_per_second(self) -> float:
        """Return trained networks per second, assuming average trials for those not yet reported."""
        return self._networks / self._ended * self._launched / (time.monotonic() - self._started)

    def left(self, trials: int) -> float:
        """Return the seconds that so many more trials will take, of which some are done but not yet reported."""
        unreported = self._launched - self._ended
        return (time.monotonic() - self._started) / self._launched * max(0, trials - unreported)
