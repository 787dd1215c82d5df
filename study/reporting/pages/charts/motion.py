"""Motion at the end of training: networks' tails in the plane of their trend, and distance between epochs by lag."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from study.analysis.motion_paths import LagDistances, TailPath
from study.records.arrays import Doubles, Floats
from study.reporting.pages.charts.losses import MOST_LINES
from study.reporting.pages.charts.style import BLUE, GREY, ORANGE, PINK, legend_below, new_figure
from study.sampling import evenly

EARLY_TO_LATE = [[0, BLUE], [0.5, PINK], [1, ORANGE]]
LEAST_REACH = 2.2  # radii
FEW_DECADES = 1e3  # up to here, labels at 1, 2 and 5 have room
RELATIVE_L2 = "relative L2"


def tails(paths: Mapping[int, TailPath]) -> go.Figure:
    """Draw tails by their replicates' numbers, in panels of one scale, coloured from each one's first epoch to its last."""
    rows = -(-len(paths) // 2)
    columns = min(len(paths), 2)
    figure = new_figure(90 + 225 * rows)
    names = [f"replicate {number}" for number in paths]
    spacing = {"vertical_spacing": 0.16 / rows, "horizontal_spacing": 0.06}
    figure.set_subplots(rows, columns, shared_xaxes="all", shared_yaxes="all", subplot_titles=names, **spacing)
    reach = max(LEAST_REACH, 1.08 * max(float(np.abs([path.along, path.across]).max()) for path in paths.values()))
    for index, (number, path) in enumerate(paths.items()):
        figure.add_scatter(
            x=path.along.astype(np.float32),
            y=path.across.astype(np.float32),
            mode="lines+markers",
            line={"color": GREY, "width": 0.5},
            marker={"size": 5, "color": np.linspace(0, 1, len(path.epochs), dtype=np.float32), "coloraxis": "coloraxis"},
            customdata=path.epochs,
            hovertemplate=f"replicate {number}, epoch %{{customdata}}<extra></extra>",
            row=index // columns + 1,
            col=index % columns + 1,
        )
    ends = {(int(path.epochs[0]), int(path.epochs[-1])) for path in paths.values()}
    first, last = (f"epoch {epoch}" for epoch in ends.pop()) if len(ends) == 1 else ("first epoch", "last epoch")
    figure.update_xaxes(range=[-reach, reach], zeroline=False, nticks=5, constrain="domain")
    figure.update_yaxes(range=[-reach, reach], zeroline=False, nticks=5, constrain="domain")
    for axis in figure.select_yaxes():
        axis.scaleanchor = axis.anchor
    figure.update_annotations(font={"size": 12})
    bar = {"thickness": 12, "outlinewidth": 0, "tickvals": [0, 1], "ticktext": [first, last], "orientation": "h"}
    bar |= {"y": -0.1, "yanchor": "top", "len": 0.6}
    figure.update_layout(coloraxis={"colorscale": EARLY_TO_LATE, "cmin": 0, "cmax": 1, "colorbar": bar}, margin={"t": 26})
    return figure


def lags(distances: LagDistances, measure: str, apart: float | None, differ: float | None) -> go.Figure:
    """Draw distances by lag, of weights and of functions by `measure`.

    apart, differ: distance and disagreement between two replicates, drawn as levels; None without.
    """
    margin = {"l": 8, "r": 8, "t": 24, "b": 8}
    figure = new_figure(400, legend=legend_below(-0.3), showlegend=True, hovermode="closest", margin=margin)
    kinds = (
        (f"weights, {RELATIVE_L2}", distances.weights, BLUE, "distance between replicates", apart),
        (f"function, {measure}", distances.function, ORANGE, "disagreement between replicates", differ),
    )
    for name, lines, colour, level_name, level in kinds:
        shown = {"x": distances.lags, "legendgroup": name}
        for line in evenly(len(lines), MOST_LINES) if len(lines) > 1 else ():
            thin = {"mode": "lines", "line": {"width": 0.7, "color": colour}, "opacity": 0.4, "showlegend": False}
            figure.add_scatter(**shown, **thin, y=_positive(lines[line]), hoverinfo="skip")
        figure.add_scatter(
            **shown,
            y=_positive(medians(lines)),
            name=name,
            mode="lines+markers",
            line={"width": 2.5, "color": colour},
            hovertemplate=f"{name}, %{{x}} epochs apart: %{{y:.3g}}<extra></extra>",
        )
        if level:
            figure.add_scatter(
                x=distances.lags[[0, -1]],
                y=np.array([level, level]),
                mode="lines+text",
                text=["", level_name],
                # below where another level is just above
                textposition="bottom left" if level < max(apart or 0, differ or 0) < 2 * level else "top left",
                cliponaxis=False,
                showlegend=False,
                line={"width": 1.5, "color": colour, "dash": "dot"},
                hovertemplate=f"{level_name}: %{{y:.3g}}<extra></extra>",
            )
    start = medians(distances.weights)[0]
    for name, slope, dash in (("straight drift", 1.0, "dash"), ("random walk", 0.5, "dashdot")):
        if start > 0:
            figure.add_scatter(
                x=distances.lags,
                y=start * (distances.lags / distances.lags[0]) ** slope,
                name=name,
                mode="lines",
                line={"width": 1, "color": GREY, "dash": dash},
                hoverinfo="skip",
            )
    heights = np.concatenate([trace.y for trace in figure.data])
    few = np.nanmax(heights) < FEW_DECADES * np.nanmin(heights)
    figure.update_xaxes(title={"text": "epochs apart", "standoff": 8}, type="log", dtick="D2")
    figure.update_yaxes(title={"text": "distance", "standoff": 10}, type="log", dtick="D2" if few else 1)
    return figure


def medians(lines: Doubles) -> Doubles:
    """Return the medians over networks [R, lags], of those whose tails reach the lag, [lags]."""
    known = np.isfinite(lines).any(axis=0)
    middle = np.full(lines.shape[1], np.nan)
    middle[known] = np.nanmedian(lines[:, known], axis=0)
    return middle


def _positive(values: Doubles) -> Floats:
    """Leave out zeros, for which a logarithmic axis has no room."""
    return np.where(values > 0, values, np.nan).astype(np.float32)
