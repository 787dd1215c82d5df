"""A picture of a few values with their intervals as SVG, for a notebook's cell: no script, and the page's own colours."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from study.errors import shortened
from study.reporting.axes import Axis
from study.reporting.report import number

WIDTH, LINE, LEFT, FOOT, GAP = 720, 24, 330, 40, 14
ACCENT = "#d9641e"
LOG_FROM = 20  # times the least value, from which on the axis is logarithmic
LONGEST = 46  # letters of a label


@dataclass(frozen=True)
class Bar:
    """A line of the picture. halfwidth: of the value's interval, None without one."""

    label: str
    value: float
    halfwidth: float | None = None


def svg(bars: Sequence[Bar], axis: str) -> str:
    """Return a picture of the bars from top to bottom, the first one marked. axis: its title."""
    ends = [(bar.value - (bar.halfwidth or 0), bar.value + (bar.halfwidth or 0)) for bar in bars]
    low, high = min(bar.value for bar in bars), max(bar.value for bar in bars)
    is_log = low > 0 and high / low > LOG_FROM
    if is_log:
        ends = [(max(start, low / 2), end) for start, end in ends]
    else:
        # a wide interval may be cut off, but no value
        room = max(high - low, max(bar.halfwidth or 0 for bar in bars[:1]), abs(high) * 1e-3) or 1.0
        ends = [(max(start, low - room), min(end, high + room)) for start, end in ends]
    first, last = min(start for start, _ in ends), max(end for _, end in ends)
    across = Axis(first, last, LEFT + GAP, WIDTH - GAP, is_log)
    height = len(bars) * LINE + FOOT
    bottom = len(bars) * LINE + 4
    parts = [f'<line x1="{LEFT}" x2="{WIDTH}" y1="{bottom}" y2="{bottom}" stroke="currentColor" stroke-opacity=".35"/>']
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom + 4}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" opacity=".7">{number(tick)}</text>')
    title = html.escape(axis)
    parts.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{height - 3}" text-anchor="middle" opacity=".7">{title}</text>')
    for at, (bar, (start, end)) in enumerate(zip(bars, ends, strict=True)):
        y, colour = at * LINE + LINE / 2, ACCENT if at == 0 else "currentColor"
        label, weight = html.escape(shortened(bar.label, LONGEST)), ' font-weight="600"' if at == 0 else ""
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end"{weight}>{label}</text>')
        if bar.halfwidth:
            ends_at = f'x1="{across.place(start):.1f}" x2="{across.place(end):.1f}" y1="{y:.0f}" y2="{y:.0f}"'
            parts.append(f'<line {ends_at} stroke="{colour}" stroke-opacity=".6" stroke-width="2.5" stroke-linecap="round"/>')
        parts.append(f'<circle cx="{across.place(bar.value):.1f}" cy="{y:.0f}" r="4.5" fill="{colour}"/>')
    style = "max-width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor"
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="{style}">'
    return f"{opening}<title>{title}</title>{''.join(parts)}</svg>"
