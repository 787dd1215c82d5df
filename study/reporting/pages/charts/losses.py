"""Losses by epoch: of a trial's replicates as a band, and of single networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from study.records.arrays import Doubles, Floats
from study.reporting.pages.charts.style import COLOURS, axis_type, escape, legend_below, new_figure
from study.sampling import evenly

MOST_LINES, MOST_POINTS = 24, 400
DASHES = ("solid", "dash", "dot")
EARLY = 20  # the first of so many parts of training is cut off above
CLIPPED = 3.0  # times the usual highest loss


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


def bands(names: Sequence[str], numbers: Sequence[Sequence[int]], losses: Sequence[Floats], axis: Mapping[str, Any]) -> go.Figure:
    """Draw each trial's losses [R, epochs] as their range over the replicates and their median, in a colour and a dash of its own.

    The first trial also has its replicates' curves. numbers: of the replicates; axis: of the losses, from `shown_axis`.
    """
    figure = new_figure(400, legend=legend_below(-0.3) | {"orientation": "v"}, showlegend=True, hovermode="closest")
    for index, (name, replicates, of_trial) in enumerate(zip(names, numbers, losses, strict=True)):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
        trial = band(of_trial)
        common = {"legendgroup": name, "x": trial.epochs, "mode": "lines"}
        edge = {"line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(**common, **edge, y=trial.highest)
        figure.add_scatter(**common, **edge, y=trial.lowest, fill="tonexty", fillcolor=_faint(colour))
        for line in evenly(len(trial.lines), MOST_LINES) if index == 0 else ():
            figure.add_scatter(
                **common,
                y=trial.lines[line],
                line={"width": 0.6, "color": colour},
                opacity=0.35,
                showlegend=False,
                hovertemplate=f"replicate {replicates[line]}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
        hover = f"{escape(name)}, median, epoch %{{x}}: %{{y:.4g}}<extra></extra>"
        line = {"width": 2.5, "color": colour, "dash": dash}
        figure.add_scatter(**common, y=trial.median, name=escape(name), line=line, hovertemplate=hover)
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="loss", **axis)
    return figure


def shown_axis(parts: Sequence[Sequence[Floats]]) -> dict[str, Any]:
    """Return the axis of several panels of trials' losses [R, epochs]: from the lowest loss to where training has begun to work.

    What lies higher, the first epochs and the networks that diverge, is cut off.
    """
    drawn = [band(losses) for part in parts for losses in part]
    begun = [trial.highest[len(trial.epochs) // EARLY :] for trial in drawn]
    lows = [float(np.nanmin(trial.lowest)) for trial in drawn if np.isfinite(trial.lowest).any()]
    highs = [float(np.nanmax(highest)) for highest in begun if np.isfinite(highest).any()]
    if not lows or not highs:
        return {"type": "linear"}
    low, high = min(lows), min(max(highs), CLIPPED * float(np.median(highs)))
    kind = axis_type([low, high], 4)
    if kind["type"] == "log":
        return kind | {"range": [math.log10(0.95 * low), math.log10(1.05 * high)]}
    return kind | {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}


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
