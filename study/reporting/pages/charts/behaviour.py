"""Charts of a model's behaviour: importance of columns, partial dependence, errors against predictions, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from study.records.behaviour import Dependence
from study.reporting.pages.charts.style import BLUE, COLOURS, GREY, escape, legend_below, new_figure

MOST_OUTPUTS = len(COLOURS)


def importance(columns: Sequence[str], means: Sequence[float], halfwidths: Sequence[float | None], quantity: str) -> go.Figure:
    """Draw one bar per column, with intervals where there are some."""
    figure = new_figure(90 + 22 * len(columns))
    names = [escape(column) for column in columns]
    figure.add_bar(
        x=list(means),
        y=names,
        orientation="h",
        marker={"color": BLUE, "opacity": 0.75},
        error_x={"array": [half or 0.0 for half in halfwidths], "thickness": 1.6, "width": 3, "color": GREY},
        hovertemplate="%{y}: %{x:.3g}<extra></extra>",
    )
    figure.update_xaxes(title=quantity, zeroline=True)
    figure.update_yaxes(autorange="reversed", type="category", categoryarray=names, categoryorder="array")
    return figure


def dependence(found: Dependence, outputs: Sequence[int], names: Sequence[str], quantity: str) -> go.Figure:
    """Draw the mean prediction by a column's values, with a band of one SD over the members. outputs: the positions to draw."""
    several = len(outputs) > 1
    figure = new_figure(300, legend=legend_below(-0.3), showlegend=several)
    numbers = all(isinstance(value, float) for value in found.values)
    x = list(found.values) if numbers else [escape(value) for value in found.values]
    for at, colour in zip(outputs, COLOURS, strict=False):
        mean = np.array([row[at] for row in found.mean])
        known = [row[at] for row in found.sd]
        sd = np.array([0.0 if value is None else value for value in known])
        line = {"name": escape(names[at]), "legendgroup": str(at)}
        if numbers:
            figure.add_scatter(
                x=[*x, *reversed(x)],
                y=[*(mean + sd).tolist(), *reversed((mean - sd).tolist())],
                mode="lines",
                fill="toself",
                fillcolor=colour,
                opacity=0.18,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=str(at),
            )
        figure.add_scatter(
            x=x,
            y=mean.tolist(),
            mode="lines+markers" if numbers else "markers",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 5 if numbers else 9},
            error_y=None if numbers else {"array": sd.tolist(), "thickness": 1.6, "width": 3},
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
            **line,
        )
    figure.update_xaxes(title=escape(found.column), type=None if numbers else "category")
    figure.update_yaxes(title=escape(quantity))
    return figure


def residuals(predicted: Sequence[float], truth: Sequence[float], target: str) -> go.Figure:
    """Draw each row's error against its prediction."""
    figure = new_figure(320)
    figure.add_hline(y=0, line={"dash": "dot", "width": 1.5, "color": GREY})
    errors = [wanted - own for own, wanted in zip(predicted, truth, strict=True)]
    figure.add_scatter(
        x=list(predicted),
        y=errors,
        mode="markers",
        marker={"size": 5, "color": BLUE, "opacity": 0.55},
        hovertemplate="predicted %{x:.4g}, off by %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title=f"predicted {escape(target)}")
    figure.update_yaxes(title="true − predicted")
    return figure


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """Draw the share of each class's rows by the class predicted, with the counts of few classes."""
    names = [escape(name) for name in classes]
    rows = np.array(counts, float)
    shares = rows / np.maximum(1, rows.sum(axis=1, keepdims=True))
    figure = new_figure(max(260, 120 + 30 * len(names)))
    figure.add_heatmap(
        x=names,
        y=names,
        z=shares.tolist(),
        zmin=0,
        zmax=1,
        colorscale=[[0, "rgba(42,127,193,0.04)"], [1, "rgba(42,127,193,0.85)"]],
        text=[[str(count) for count in row] for row in counts] if len(names) <= 12 else None,
        texttemplate="%{text}" if len(names) <= 12 else None,
        customdata=[list(row) for row in counts],
        hovertemplate="%{customdata} rows of %{y} taken for %{x}: %{z:.1%} of them<extra></extra>",
        showscale=False,
    )
    figure.update_xaxes(title="predicted class", type="category", side="top")
    figure.update_yaxes(title="true class", type="category", autorange="reversed")
    return figure
