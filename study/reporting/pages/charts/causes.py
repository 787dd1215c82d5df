"""Causes of differences between networks: sources of randomness, and the levels of one setting beside a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from study.analysis.controlled_comparison import Effect, Means, Spread
from study.records.outcome import Blame
from study.reporting.pages.charts.losses import MOST_LINES
from study.reporting.pages.charts.style import (
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    SKY,
    axis_type,
    escape,
    legend_below,
    mark_unrelated,
    new_figure,
)

WAYS = {
    "as_written": ("as written: another setting, another start", SKY),
    "restarted": ("restarted: the same setting, another start", GREY),
    "controlled": ("controlled: another setting, the same start", ORANGE),
}


def shares(trials: Mapping[str, Sequence[Blame]]) -> go.Figure:
    """Draw each source's share of each quantity's variance, with its interval: one panel per quantity, one colour per trial."""
    quantities = list(dict.fromkeys(blame.of for blames in trials.values() for blame in blames))
    figure = new_figure(170 * len(quantities) + 60, legend=legend_below(-0.08), showlegend=len(trials) > 1)
    figure.set_subplots(len(quantities), 1, subplot_titles=quantities, vertical_spacing=0.16 / len(quantities) + 0.04)
    for index, (name, blames) in enumerate(trials.items()):
        for blame in blames:
            share, low, high = np.array(list(blame.shares.values())).T
            figure.add_bar(
                x=share,
                y=list(blame.shares),
                orientation="h",
                name=escape(name),
                legendgroup=name,
                showlegend=blame.of == quantities[0],
                marker={"color": COLOURS[index % len(COLOURS)]},
                error_x={
                    "array": np.maximum(0, high - share),
                    "arrayminus": np.maximum(0, share - low),
                    "thickness": 1.2,
                    "width": 3,
                    "color": GREY,
                },
                customdata=np.stack([low, high], axis=1),
                hovertemplate="%{y}: %{x:.0%} [%{customdata[0]:.0%}, %{customdata[1]:.0%}]<extra></extra>",
                row=quantities.index(blame.of) + 1,
                col=1,
            )
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(automargin=True, autorange="reversed")
    figure.update_layout(margin={"t": 28, "r": 24})  # room for the titles and the last label
    return figure


def levels(effect: Effect, name: str, quantity: str) -> go.Figure:
    """Draw the replicates' losses or scores by level of the setting `name`. One line joins one replicate's values."""
    figure = new_figure(340)
    names = [escape(level) for level in effect.levels]
    for replicate in range(min(effect.values.shape[1], MOST_LINES)):
        figure.add_scatter(
            x=names,
            y=effect.values[:, replicate],
            mode="lines+markers",
            line={"color": BLUE, "width": 0.8},
            opacity=0.5,
            hovertemplate=f"replicate {replicate} under %{{x}}: %{{y:.4g}}<extra></extra>",
        )
    figure.add_scatter(
        x=names,
        y=effect.values.mean(axis=1),
        mode="markers",
        marker={"symbol": "line-ew", "size": 26, "line": {"width": 3, "color": ORANGE}},
        hovertemplate="mean under %{x}: %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(type="category", title=escape(name))
    figure.update_yaxes(title=escape(quantity), **axis_type(effect.values))
    return figure


def differences(effect: Effect) -> tuple[go.Figure, str]:
    """Draw how far apart networks of each pair of levels are, as written, restarted and controlled. Also returns what is measured.

    That is the distance of the weights, or the disagreement of the predictions where the levels' networks differ in shape.
    """
    measured: list[Means | None] = [pair.relative_l2 for pair in effect.pairs]
    quantity, axis = "relative L2 distance of the weights", "relative L2"
    weights = all(measured)
    if not weights:
        measured, quantity, axis = [pair.disagreement for pair in effect.pairs], "disagreement of the predictions", "disagreement"
    figure = new_figure(340, legend=legend_below(-0.3), showlegend=True, barmode="group")
    names = [f"{escape(pair.first)} – {escape(pair.second)}" for pair in effect.pairs]
    for way, (text, colour) in WAYS.items():
        heights = [getattr(means, way) if means else None for means in measured]
        figure.add_bar(x=names, y=heights, name=text, marker={"color": colour}, hovertemplate="%{x}: %{y:.4g}<extra></extra>")
    if weights:
        mark_unrelated(figure)
    figure.update_yaxes(title=axis)
    return figure, quantity


def spreads(sources: Sequence[Spread], functions: bool) -> go.Figure:
    """Draw how far apart replicates are that differ in one source of randomness only, by their functions or by their weights."""
    figure = new_figure(300)
    heights = [source.disagreement if functions else source.relative_l2 for source in sources]
    names = [escape(source.level) for source in sources]
    colour = ORANGE if functions else BLUE
    figure.add_bar(x=names, y=heights, marker={"color": colour}, hovertemplate="%{x}: %{y:.4g}<extra></extra>")
    if not functions:
        mark_unrelated(figure)
    figure.update_xaxes(title="source that differs between replicates", type="category")
    figure.update_yaxes(title="disagreement" if functions else "relative L2")
    return figure
