"""Show a study's progress in a notebook: one block of HTML below the cell, drawn anew as the study goes on.

It needs no widgets, so a saved notebook, and a page made of one, show the last state.
"""

from __future__ import annotations

import html
import sys
import time
from types import TracebackType
from typing import Any

from study.reporting import report

DRAWN_SECONDS = 0.2  # between two drawings
STYLE = "font: 14px/1.5 system-ui, sans-serif; max-width: 60em; padding: 2px 0"
TRACK = "background: rgba(128,128,128,.25); border-radius: 3px; height: 6px; margin: 6px 0 4px; max-width: 30em"
FILLED = "background: #2a7fc1; border-radius: 3px; height: 100%"
LINES = "margin: 4px 0 0; max-height: 16em; overflow: auto; font-size: 12px; white-space: pre-wrap"
# of the styles that messages have on a terminal
STYLES = {"bold": "font-weight: 600", "red": "color: #c62828", "dim": "opacity: .7"}


# what an exception means to a study
ENDED: dict[type[BaseException], str] = {KeyboardInterrupt: "interrupted; the same call resumes"}


def in_notebook() -> bool:
    """Return whether this process is a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class Cell:
    """Shows what goes to standard error elsewhere: a launch's plan, its progress, and its other lines folded together.

    It stands in for a bar of Rich's too: `start`, `stop`, `add_task`, `update`.
    """

    def __init__(self, display: Any) -> None:
        """display: IPython's."""
        self._display = display
        self._shown: Any = None
        self._drawn = 0.0
        self._plan: list[str] = []
        self._lines: list[str] = []
        self._loud: list[str] = []
        self._note = "starting"
        self._task: dict[str, Any] = {}

    def __enter__(self) -> Cell:
        self._draw()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        # what is refused before the study has a plan is said by the error alone
        self._note = "" if kind is None or not self._plan else ENDED.get(kind, "stopped by an error")
        self._draw()

    def line(self, text: str, style: str) -> None:
        """Show a line: a bold one above the bar, a red one below, and others folded together."""
        {"bold": self._plan, "red": self._loud}.get(style, self._lines).append(text)
        self._draw_now_and_then()

    def note(self, text: str) -> None:
        """Show what is being done now."""
        self._note = text
        self._draw_now_and_then()

    def start(self) -> None: ...

    def stop(self) -> None:
        self._draw()

    def add_task(self, description: str, **fields: Any) -> int:
        self.update(0, description=description, **fields)
        return 0

    def update(self, task: int, **fields: Any) -> None:
        self._task |= fields
        ends = self._task.get("ends")
        left = f"{report.duration(max(0.0, ends - time.monotonic()))} left" if ends else ""
        done = f"{self._task.get('completed', 0)}/{self._task.get('total', 0)}"
        self.note(" · ".join(part for part in (self._task.get("description"), done, left, self._task.get("note")) if part))

    def _draw_now_and_then(self) -> None:
        if time.monotonic() - self._drawn > DRAWN_SECONDS:
            self._draw()

    def _draw(self) -> None:
        content = self._display.HTML(self.html())
        if self._shown is None:
            self._shown = self._display.display(content, display_id=True)
        else:
            self._shown.update(content)
        self._drawn = time.monotonic()

    def html(self) -> str:
        """Return the block."""
        first, *others = self._plan or [""]
        parts = [f'<div style="{STYLES["bold"]}">{html.escape(first)}</div>' if first else ""]
        parts += [f'<div style="white-space: pre-wrap">{html.escape(line)}</div>' for line in others]
        if total := self._task.get("total"):
            done = f"{100 * min(1.0, self._task.get('completed', 0) / total):.0f}%"
            parts.append(f'<div style="{TRACK}"><div style="{FILLED}; width: {done}"></div></div>')
        parts += [f'<div style="{STYLES["red"]}">{html.escape(line)}</div>' for line in self._loud]
        if self._note:
            parts.append(f'<div style="{STYLES["dim"]}">{html.escape(self._note)}</div>')
        if self._lines:
            lines = "\n".join(map(html.escape, self._lines))
            summary = f'<summary style="{STYLES["dim"]}">all messages</summary>'
            parts.append(f'<details>{summary}<pre style="{LINES}">{lines}</pre></details>')
        return f'<div style="{STYLE}">{"".join(parts)}</div>'


def cell() -> Cell | None:
    """Return a cell to show progress in; None outside a notebook."""
    return Cell(sys.modules["IPython"].display) if in_notebook() else None
