"""The reliability curve of a classifier: how often it is right, against its probability for the class that it predicts."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from study.records.outcome import Calibration
from study.reporting.pages.charts.style import BLUE, GREY, ORANGE, legend_below, new_figure

LARGEST, SMALLEST = 14, 5  # markers, in pixels


def reliability(curves: Mapping[str, Calibration]) -> go.Figure:
    """Draw up to two reliability curves by their names, beside the diagonal of perfect calibration.

    A marker's area grows with its rows.
    """
    figure = new_figure(360, legend=legend_below(), showlegend=True)
    values = [value for curve in curves.values() for value in (*curve.confidence, *curve.accuracy)]
    low, high = min(values) - 0.03, 1.03
    figure.add_scatter(
        x=[low, 1], y=[low, 1], mode="lines", name="perfect", line={"dash": "dot", "width": 1.5, "color": GREY}, hoverinfo="skip"
    )
    for (name, curve), colour in zip(curves.items(), (ORANGE, BLUE), strict=False):
        largest = max(curve.rows)
        figure.add_scatter(
            x=curve.confidence,
            y=curve.accuracy,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 1.6},
            marker={"color": colour, "size": [max(SMALLEST, LARGEST * (rows / largest) ** 0.5) for rows in curve.rows]},
            customdata=curve.rows,
            hovertemplate=f"{name}: %{{y:.3g}} of %{{customdata}} predictions right at a probability of %{{x:.3g}}<extra></extra>",
        )
    figure.update_xaxes(title="mean probability of the predicted class", range=[low, high])
    figure.update_yaxes(title="share of right predictions", range=[low, high])
    return figure
