"""Show the progress of a trial and of a study on standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Pruned, TrialResult
from study.records.trial import Asked
from study.redaction import redact
from study.reporting import report, streams, terminal
from study.reporting.streams import moves
from study.statistics.objectives import Objective

LEAST_SECONDS = 0.5  # less would be shown as 0 s


class _Left(ProgressColumn):
    """The time left until the field `ends`, if set."""

    def render(self, task: Task) -> Text:
        ends = task.fields["ends"]
        return Text(_left(ends - time.monotonic()) if ends else "")


def _left(seconds: float) -> str:
    """Return the time left; an estimate that has run out says nothing but that."""
    return f"{report.duration(seconds)} left" if seconds >= LEAST_SECONDS else "nearly done"


def _bar() -> Any:
    """Return a bar of Rich's, or the notebook's cell, which can as much as is used here."""
    if streams.err.cell:
        return streams.err.cell
    return bar(streams.err, disable=not moves())


def bar(console: Console, *, disable: bool = False) -> Progress:
    """Return a bar of Rich's that takes one line, of which a narrow terminal cuts off the note alone."""
    note = TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), _Left(), note)
    return Progress(*columns, console=console, transient=True, disable=disable, expand=True)


class TrialProgress:
    """A single trial's progress, by epochs."""

    def __init__(self, epochs: int) -> None:
        self._bar, self._epochs = _bar(), epochs
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
            ends = now + (self._epochs - done) / pace
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
        terminal.message(f"trial {asked.number} runs again: {reason}")

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
        # a bar shows the counts
        counts = ""
        if not (moves() or streams.err.cell):
            remaining = f", {_left(left)}" if self._done < self._total else ""
            counts = f"[{self._done}/{self._total}, {best}{others}, {pace}{remaining}]  "
        terminal.message_line(f"{counts}{line}", style)
        if terminal.is_verbose():
            took = report.seconds_text(result.seconds, sum(result.seconds.values()))
            terminal.message_line(f"           {took}", "dim")
        self._bar.update(self._task, completed=self._done, note=f"{best}{others}, {pace}", ends=time.monotonic() + left)


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
