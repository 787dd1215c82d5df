"""The race between settings: the rivals' differences from the winner beside the margin, and the replicates that each took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from study.reporting.pages.charts.style import BLUE, GREEN, GREY, ORANGE, PINK, escape, legend_below, name_rows, new_figure
from study.statistics import race as rule

# each claim about the winner, as it is said of the rival
KINDS = {
    rule.EQUIVALENT: ("equivalent", GREEN),
    rule.NOT_WORSE: ("not better by more than the margin", BLUE),
    rule.UNDECIDED: ("undecided", PINK),
    rule.BETTER: ("worse", GREY),
}
NEAREST = 8  # rivals whose intervals the axis holds; the others may reach beyond it


@dataclass(frozen=True)
class Contender:
    """A rival's value minus the winner's, with the ends of its interval. kind: the claim; hover: lines of text.

    label: its name and more, where there is room for it.
    """

    name: str
    label: str
    difference: float
    low: float
    high: float
    kind: str
    replicates: int
    hover: Sequence[str]


def race(rivals: Sequence[Contender], best: tuple[str, str], replicates: int, margin: float, quantity: str) -> go.Figure:
    """Draw the winner and its rivals, nearest first: differences with intervals, and counts of replicates at the right.

    best: the winner's name and label.
    """
    winner = best[0]
    names = [winner, *(rival.name for rival in rivals)]
    figure = new_figure(130 + 24 * len(names), legend=legend_below(-70 / (24 * len(names) + 60)), showlegend=True)
    figure.add_vrect(x0=-margin, x1=margin, fillcolor=ORANGE, opacity=0.15, line_width=0)
    mark = {"mode": "markers", "hovertemplate": "%{customdata}<extra></extra>"}
    figure.add_scatter(
        x=[0], y=[winner], name=winner, marker={"size": 11, "color": ORANGE, "symbol": "diamond"}, customdata=[winner], **mark
    )
    for kind, (name, colour) in KINDS.items():
        chosen = [rival for rival in rivals if rival.kind == kind]
        if not chosen:
            continue
        figure.add_scatter(
            x=[rival.difference for rival in chosen],
            y=[rival.name for rival in chosen],
            error_x={
                "array": [rival.high - rival.difference for rival in chosen],
                "arrayminus": [rival.difference - rival.low for rival in chosen],
                "thickness": 2,
                "width": 4,
            },
            name=name,
            marker={"size": 9, "color": colour},
            customdata=["<br>".join(map(escape, [*rival.hover, f"difference {rival.difference:.3g}"])) for rival in chosen],
            **mark,
        )
    counts = [replicates, *(rival.replicates for rival in rivals)]
    figure.add_bar(
        x=counts,
        y=names,
        orientation="h",
        xaxis="x2",
        text=counts,
        textposition="outside",
        cliponaxis=False,
        showlegend=False,
        marker={"color": GREY, "opacity": 0.6},
        hovertemplate="%{y}: %{x} replicates<extra></extra>",
    )
    ends = [end for rival in rivals[:NEAREST] for end in (rival.low, rival.high) if math.isfinite(end)] + [-margin, margin]
    room = 0.05 * (max(ends) - min(ends)) or 1.0
    figure.update_layout(
        xaxis={"domain": [0, 0.74], "title": escape(quantity), "range": [min(ends) - room, max(ends) + room]},
        # at the top, where a narrow screen has room for its title
        xaxis2={
            "domain": [0.8, 1],
            "title": {"text": "replicates", "font": {"size": 11}},
            "side": "top",
            "range": [0, 1.35 * max(counts)],
            "showgrid": False,
            "showticklabels": False,
            "automargin": True,
        },
    )
    name_rows(figure, names, [best[1], *(rival.label for rival in rivals)])
    return figure
