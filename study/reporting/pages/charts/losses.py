"""Losses by epoch: of a trial's replicates as a band, and of single networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from study.records.arrays import Doubles, Floats
from study.reporting.pages.charts.style import COLOURS, axis_type, escape, legend_below, new_figure
from study.sampling import evenly

MOST_LINES, MOST_POINTS = 24, 400
MOST_VISIBLE = 3  # further trials are drawn when the reader clicks their names


@dataclass(frozen=True)
class Band:
    """Losses of one trial's replicates: lines [R, E] at the epochs [E], and by epoch the lowest, median and highest, [E].

    These are over the replicates that reached the epoch, and NaN where none did.
    """

    epochs: Doubles
    lines: Doubles
    lowest: Doubles
    median: Doubles
    highest: Doubles


def band(losses: Floats) -> Band:
    """Summarise losses [R, epochs] at no more than MOST_POINTS epochs, among them the first and the last."""
    count = losses.shape[1]
    chosen = evenly(count, MOST_POINTS)
    lines = losses[:, chosen].astype(np.float64)
    quantiles = np.full((3, len(chosen)), np.nan)
    reached = np.isfinite(lines).any(axis=0)
    quantiles[:, reached] = np.nanquantile(lines[:, reached], (0.0, 0.5, 1.0), axis=0)
    return Band((chosen + 1).astype(np.float64), lines, *quantiles)


def bands(names: Sequence[str], numbers: Sequence[Sequence[int]], val_losses: Sequence[Floats], train_loss: Floats) -> go.Figure:
    """Draw each trial's validation loss [R, epochs] as its range over the replicates and their median, in a colour of its own.

    The first trial also has its replicates' curves and the median of its training loss [R, epochs]. numbers: of the replicates.
    """
    figure = new_figure(420, legend=legend_below(), showlegend=True, hovermode="closest")
    for index, (name, replicates, losses) in enumerate(zip(names, numbers, val_losses, strict=True)):
        colour, visible = COLOURS[index % len(COLOURS)], True if index < MOST_VISIBLE else "legendonly"
        trial = band(losses)
        common = {"legendgroup": name, "visible": visible, "x": trial.epochs, "mode": "lines"}
        edge = {"line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(**common, **edge, y=trial.highest)
        figure.add_scatter(**common, **edge, y=trial.lowest, fill="tonexty", fillcolor=_faint(colour))
        for line in evenly(len(trial.lines), MOST_LINES) if index == 0 else ():
            figure.add_scatter(
                **common,
                y=trial.lines[line],
                line={"width": 0.8, "color": colour},
                opacity=0.45,
                showlegend=False,
                hovertemplate=f"replicate {replicates[line]}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
        hover = f"{escape(name)}, median, epoch %{{x}}: %{{y:.4g}}<extra></extra>"
        figure.add_scatter(**common, y=trial.median, name=escape(name), line={"width": 2.5, "color": colour}, hovertemplate=hover)
    training = band(train_loss)
    figure.add_scatter(
        x=training.epochs,
        y=training.median,
        name=f"{escape(names[0])}, training",
        mode="lines",
        line={"width": 2, "color": COLOURS[0], "dash": "dot"},
        hovertemplate="training, median, epoch %{x}: %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="loss", **axis_type(np.concatenate([losses.ravel() for losses in (*val_losses, train_loss)]), 4))
    return figure


def curves(names: Sequence[str], val_losses: Sequence[Floats], train_losses: Sequence[Floats]) -> go.Figure:
    """Draw the losses [epochs] of single networks: validation solid, training dotted."""
    figure = new_figure(420, legend=legend_below(), showlegend=True, hovermode="closest")
    for index, (name, validation, training) in enumerate(zip(names, val_losses, train_losses, strict=True)):
        for losses, dash, part in ((validation, "solid", "validation"), (training, "dot", "training")):
            network = band(losses[None])
            figure.add_scatter(
                x=network.epochs,
                y=network.lines[0],
                name=escape(name),
                legendgroup=str(index),
                showlegend=dash == "solid",
                mode="lines",
                line={"width": 1.8, "color": COLOURS[index % len(COLOURS)], "dash": dash},
                hovertemplate=f"{escape(name)}, {part}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="loss", **axis_type(np.concatenate([*val_losses, *train_losses]), 4))
    return figure


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
