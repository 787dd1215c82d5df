"""Networks compared in pairs: a matrix of numbers, a map of distances, and losses on the line between two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from study.analysis.distance import classical_map
from study.records.arrays import Array, Doubles
from study.reporting.pages.charts.style import BLUE, GREY, ORANGE, legend_below, new_figure

MOST_WRITTEN = 10  # networks whose cells have room for their numbers
COLOUR_BAR = {"thickness": 12, "outlinewidth": 0}


def pair_matrix(matrix: Doubles, names: Sequence[str], highest: float | None) -> go.Figure:
    """Draw one number for each pair of networks, [N, N]. highest: the end of the colour scale; None for the largest number."""
    figure = new_figure(360)
    figure.add_heatmap(
        z=matrix,
        x=list(names),
        y=list(names),
        zmin=0,
        zmax=highest,
        colorscale="Viridis",
        colorbar=COLOUR_BAR,
        texttemplate="%{z:.2g}" if len(matrix) <= MOST_WRITTEN else None,
        textfont={"size": 10},
        hovertemplate="%{y} and %{x}: %{z:.4g}<extra></extra>",
    )
    figure.update_xaxes(type="category", constrain="domain", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", scaleanchor="x", constrain="domain", showgrid=False)
    return figure


def network_map(distances: Doubles, names: Sequence[str], losses: Sequence[float] | Doubles) -> tuple[go.Figure, float]:
    """Draw networks as points whose distances come nearest to `distances`, [N, N], coloured by validation loss, [N].

    Also returns the share of the distances that the plane holds.
    """
    points, share = classical_map(distances)
    figure = new_figure(360)
    figure.add_scatter(
        x=points[:, 0],
        y=points[:, 1],
        mode="markers+text",
        text=list(names),
        textposition="top center",
        marker={
            "size": 12,
            "color": list(losses),
            "colorscale": "Plasma",
            "colorbar": COLOUR_BAR | {"title": {"text": "val loss", "side": "right"}},
            "line": {"width": 1, "color": GREY},
        },
        hovertemplate="%{text}: validation loss %{marker.color:.4g}<extra></extra>",
    )
    # room around the points for their labels, and the same scale on both axes
    reach = 1.25 * max(float(np.abs(points).max()), 1e-9)
    figure.update_xaxes(range=[-reach, reach])
    figure.update_yaxes(range=[-reach, reach], scaleanchor="x", constrain="domain")
    return figure, share


def lines_between(alphas: Array, raw: Array, aligned: Array, quantity: str) -> go.Figure:
    """Draw a loss or error on the line between two networks, [pairs, alphas], with their neurons as they lie and matched."""
    figure = new_figure(360, legend=legend_below(), showlegend=True)
    for values, name, colour in ((raw, "as they lie", ORANGE), (aligned, "matched", BLUE)):
        for pair, line in enumerate(values):
            figure.add_scatter(
                x=alphas,
                y=line,
                name=name,
                legendgroup=name,
                showlegend=pair == 0,
                mode="lines",
                line={"color": colour, "width": 1.6},
                hovertemplate=f"{name}, %{{x:.2f}} of the way: %{{y:.4g}}<extra></extra>",
            )
    figure.update_xaxes(title="from one network (0) to the other (1)")
    figure.update_yaxes(title=quantity)
    return figure
