"""Print to the terminal. Results go to standard output, progress and messages to standard error, so output can be piped."""

from __future__ import annotations

import io
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from study.errors import visible, visible_lines
from study.redaction import redact
from study.reporting.streams import err, moves, out, writing_output

if TYPE_CHECKING:  # a start loads little
    from study.reporting import report
    from study.reporting.study_results import Findings

ROWS = 40
PROSE_WIDTH = len("8 still improving")
WIDEST_WORD = 40  # of a label, such as a path in the reason of a failure; longer ones are broken
WIDEST_PROSE = 100
LABEL = re.compile(r" {2,}[\w,]+(?: [\w,]+)*  +(?=\S)")  # at the start of a line in columns
PIECES = re.compile(r"\s*(?:\(?'data\.[^']*'|\"data\.[^\"]*\"|\S)\S*\s*")  # words, and settings quoted for a shell
_verbose = False


def speak(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set how much to print. quiet: only results and errors; verbose: full details of errors and trials."""
    global _verbose
    err.quiet, _verbose = quiet, verbose
    if verbose:
        warnings.simplefilter("default")
    elif quiet:
        warnings.simplefilter("ignore")


def is_verbose() -> bool:
    return _verbose


@contextmanager
def status(message: str) -> Iterator[None]:
    """Show a spinner while the block runs, if standard error is a terminal."""
    with steps(message):
        yield


@contextmanager
def steps(message: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner as `status` does, with a message that the block changes by calling the yielded function."""
    if err.cell:
        err.cell.note(message)
        yield err.cell.note
        return
    if not moves():
        yield lambda text: None
        return
    with err.status(message) as shown:
        yield lambda text: shown.update(escape(visible(redact(text))))


def message(text: str, style: str = "", *, fold: bool = False) -> None:
    """Print a message on one line, however long. fold: a terminal shows a longer one on several lines, see `folded`."""
    line = visible(redact(text))
    err.print(Text(folded(line, err.width) if fold and moves() else line, style), soft_wrap=True)


def error(text: str, cause: BaseException | None = None) -> None:
    """Print an error, even when quiet: one line per fault, unwrapped, with a traceback when verbose."""
    quiet, err.quiet = err.quiet, False
    if _verbose and cause:
        err.print(Text(visible_lines(redact("".join(traceback.format_exception(cause)))), style="dim"), soft_wrap=True)
    for line in redact(text).splitlines():
        err.print(Text(line, style="red"), soft_wrap=True)
    err.quiet = quiet


def message_line(text: str, style: str) -> None:
    """Print a message on one line, cut off at a terminal's edge but complete in a file."""
    err.print(Text(visible(text), style), no_wrap=(cut := moves()), overflow="ellipsis" if cut else "ignore", soft_wrap=not cut)


@cache
def _prose() -> set[str]:
    """Return the columns that are words, to be wrapped."""
    from study.reporting import listings, star

    return {"convergence", *star.LABELS[1:], listings.AT_THE_END}


def show_table(content: report.Table, rows: int = ROWS) -> None:
    """Print a table that fits the terminal, at most `rows` rows, with a note on what is left out.

    Headings and labels wrap at words; a narrow terminal loses the last columns, and a column whose cells would wrap has its brief
    ones.
    """
    more = len(content.rows) - rows
    rows_shown = tuple(tuple(map(visible, row)) for row in content.rows[:rows])
    brief = {column: tuple(map(visible, cells[:rows])) for column, cells in content.brief.items()}
    content = replace(content, columns=tuple(map(visible, content.columns)), rows=rows_shown, brief=brief)
    widths = [
        _width(column, [row[index] for row in content.rows], content.brief.get(column, ()))
        for index, column in enumerate(content.columns)
    ]
    gap = 1 if sum(widths) + 2 * len(widths) <= out.width else 0
    shown = len(widths)
    while shown > 1 and sum(widths[:shown]) + (1 + gap) * shown > out.width:
        shown -= 1
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    spare = out.width - sum(widths[:shown]) - (1 + gap) * shown
    drawn_cells: list[Sequence[str]] = []
    for index, column in enumerate(content.columns[:shown]):
        heading, cells = column.replace("_", " "), [row[index] for row in content.rows]
        wanted = max(map(cell_len, [heading, *cells]))
        width = min(wanted, widths[index] + max(0, spare))
        if width < wanted and column in content.brief:
            width = widths[index]  # brief cells have no use for more
        spare -= width - widths[index]
        drawn.add_column(escape(heading), justify="left" if column in _prose() else "right", width=width, overflow="fold")
        drawn_cells.append(content.brief.get(column, cells) if width < wanted else cells)
    for row in zip(*drawn_cells, strict=True):
        drawn.add_row(*map(escape, row))
    out.print(drawn)
    if shown < len(widths):
        out.print(f"(this terminal is too narrow for: {escape(', '.join(content.columns[shown:]))})")
    if more > 0:
        out.print(f"… and {more} more")


def _width(column: str, cells: Sequence[str], brief: Sequence[str]) -> int:
    """Return the minimum width of a column: its widest cell (or brief one, or label) or the longest word of its heading."""
    words = max(map(cell_len, column.replace("_", " ").split() or [""]))
    if column not in _prose():
        return max(words, max(map(cell_len, cells), default=0))
    longest = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
    return max(words, min(longest, WIDEST_WORD), PROSE_WIDTH, *map(cell_len, brief))


def show_file(write: Callable[[TextIO], object]) -> None:
    """Write to standard output: unchanged, but on a terminal, which would obey control characters, with these escaped."""
    with writing_output():
        if not sys.stdout.isatty():
            write(sys.stdout)
            return
        content = io.StringIO(newline="")
        write(content)
        sys.stdout.write(visible_lines(content.getvalue()))


def show_text(text: str, style: str = "") -> None:
    """Print sentences, which a wide terminal wraps where they can still be read."""
    width = min(out.width, WIDEST_PROSE) if out.is_terminal else None
    out.print(escape(visible_lines(redact(text))), style=style, width=width)


def show_line(text: str, style: str = "", *, fold: bool = False) -> None:
    """Print a text on one line, however long. fold: as for `message`."""
    line = visible(redact(text))
    out.print(Text(folded(line, out.width) if fold and out.is_terminal else line, style=style), soft_wrap=True)


def folded(line: str, width: int) -> str:
    """Return a line broken between words, each part below the first one; a quoted setting, which may be pasted, stays whole."""
    label = LABEL.match(line)
    indent = " " * (label.end() if label else len(line) - len(line.lstrip()) + 2)
    parts, column = [line[: len(indent)]] if label else [], len(indent) if label else 0
    for piece in PIECES.findall(line[column:]):
        if parts and column + cell_len(piece.rstrip()) > width and column > len(indent):
            parts[-1] = parts[-1].rstrip()
            parts.append(f"\n{indent}{piece.lstrip()}")
            column = len(indent) + cell_len(piece.lstrip())
        else:
            parts.append(piece)
            column += cell_len(piece)
    return "".join(parts)


def show_next_step(command: str, how: str) -> None:
    """Print the command that would settle an answer, and how; nothing for no command."""
    if command:
        show_text(f"To settle it, {how}:")
        show_line(f"  {command}")


def show_findings(findings: Findings) -> None:
    """Print a study's decision, its table, whether training converges, and the effects of settings and sources."""
    from study.reporting import narrative, on_test, star, trials_table

    headline, text = findings.decided
    if headline:
        show_text(headline, "bold")
    if text:
        show_text(text)
    if findings.tested:
        show_table(on_test.losses_table(findings.tested))
        show_table(on_test.scores_table(findings.tested))
        show_text(on_test.text(findings.tested, findings.records, findings.default))
    if findings.star and findings.claims:
        show_text(f"{findings.answer.headline}.", "bold")
        show_text(findings.answer.beside, "bold")
        for part in star.compact(findings.star, findings.settings):
            show_table(part)
        show_text(findings.claims[1])
        show_text(findings.answer.text)
        show_table(findings.table)
    else:
        show_table(findings.table)
        show_text(f"{findings.answer.headline}.", "bold")
        show_text(findings.answer.text)
    show_next_step(findings.answer.command, findings.answer.how)
    if findings.finals:
        show_table(trials_table.table(findings.finals, [findings.objective]))
    if findings.win and not headline:
        show_text(findings.win)
    if findings.effects:
        show_table(narrative.effects_table(findings.effects, findings.objective))
        show_text(narrative.effects_foot(findings.objective), "dim")
    if findings.blamed:
        table, text = narrative.blame_tables(findings.blamed)
        show_table(table)
        show_text(text)
