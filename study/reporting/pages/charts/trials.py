"""Trials by their objectives: the best with their intervals, in the order of the search, and the Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from study.reporting.pages.charts.style import BLUE, GREY, ORANGE, axis_type, escape, legend_below, name_rows, new_figure

STANDINGS = {"best": ORANGE, "tied": BLUE, "worse": GREY}


@dataclass(frozen=True)
class Rival:
    """A trial's value for each replicate, and the half-width of their mean's interval, if it has one. hover: lines of text.

    label: its name and more, where there is room for it.
    """

    name: str
    label: str
    values: Sequence[float]
    halfwidth: float | None
    standing: Literal["best", "tied", "worse"]
    hover: Sequence[str]


def rivals(trials: Sequence[Rival], quantity: str) -> go.Figure:
    """Draw trials, best first: the value of each replicate, and their mean with its interval."""
    figure = new_figure(90 + 26 * len(trials))
    figure.add_scatter(
        x=[value for trial in trials for value in trial.values],
        y=[trial.name for trial in trials for _ in trial.values],
        mode="markers",
        marker={"size": 5, "color": GREY, "opacity": 0.45},
        hovertemplate="one replicate: %{x:.4g}<extra></extra>",
    )
    for standing, colour in STANDINGS.items():
        chosen = [trial for trial in trials if trial.standing == standing]
        figure.add_scatter(
            x=[float(np.mean(trial.values)) for trial in chosen],
            y=[trial.name for trial in chosen],
            error_x={"array": [trial.halfwidth or 0 for trial in chosen], "thickness": 2, "width": 4},
            mode="markers",
            marker={"size": 10, "color": colour, "symbol": "diamond" if standing == "best" else "circle"},
            customdata=["<br>".join(map(escape, trial.hover)) for trial in chosen],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_xaxes(title=escape(quantity), **axis_type([value for trial in trials for value in trial.values]))
    name_rows(figure, [trial.name for trial in trials], [trial.label for trial in trials])
    return figure


def history(
    numbers: Sequence[float], values: Sequence[float], less_is_better: bool, quantity: str, axis: str = "trial"
) -> go.Figure:
    """Draw each completed trial's value, and the best so far. numbers: of the trials, or the seconds at their ends; they grow."""
    figure = new_figure(260, legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}, showlegend=True)
    hover = f"{axis} %{{x:.0f}}: %{{y:.4g}}<extra></extra>"
    figure.add_scatter(
        x=list(numbers), y=list(values), mode="markers", name="trial", marker={"color": BLUE, "size": 6}, hovertemplate=hover
    )
    best = (np.minimum if less_is_better else np.maximum).accumulate(np.asarray(values, float))
    line = {"color": ORANGE, "shape": "hv", "width": 2}
    figure.add_scatter(x=list(numbers), y=best, mode="lines", name="best so far", line=line, hoverinfo="skip")
    figure.update_xaxes(title=axis)
    figure.update_yaxes(title=escape(quantity), **axis_type(values))
    return figure


def front(values: Mapping[int, Sequence[float]], x: int, y: int, names: Sequence[str], numbers: Collection[int]) -> go.Figure:
    """Draw trials by objectives `x` and `y`; those of the Pareto front (`numbers`) stand out. values: trial → its objectives."""
    figure = new_figure(360, legend=legend_below(), showlegend=True)
    for name, on_front, colour in (("other trials", False, GREY), ("front", True, ORANGE)):
        chosen = [number for number in values if (number in numbers) == on_front]
        figure.add_scatter(
            x=[values[number][x] for number in chosen],
            y=[values[number][y] for number in chosen],
            name=name,
            mode="markers+text" if on_front else "markers",
            text=[str(number) for number in chosen],
            textposition="top center",
            marker={"color": colour, "size": 9},
            hovertemplate="trial %{text}: %{x:.4g}, %{y:.4g}<extra></extra>",
        )
    figure.update_xaxes(title=escape(names[x]), **axis_type([objectives[x] for objectives in values.values()]))
    figure.update_yaxes(title=escape(names[y]), **axis_type([objectives[y] for objectives in values.values()]))
    return figure
