"""Colours, axes and legends that all charts share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from study.analysis import distance
from study.records.arrays import Doubles, Floats

# Okabe and Ito's palette, which colour-blind readers can distinguish, in tints that stand out on white and on black
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY = "#2a7fc1", "#d9641e", "#159a76", "#c2649c", "#b8920a", "#4aa8d8", "#8a8f98"
COLOURS = (ORANGE, BLUE, GREEN, PINK, YELLOW, SKY)
UNRELATED_TEXT = f"{distance.UNRELATED_TEXT}, whatever they compute"


# up to this factor between its ends, an axis has room for labels at 1, 2 and 5
FEW_DECADES = 30.0
# the key in a layout's `meta` of the texts of an axis on a narrow screen
NARROW = "narrow"


def escape(text: object) -> str:
    """Escape a user's setting or column for Plotly, which renders some HTML in its texts."""
    return html.escape(str(text), quote=False)


def new_figure(height: int, **layout: Any) -> go.Figure:
    margin = {"l": 8, "r": 8, "t": 8, "b": 8}
    axis = {"automargin": True, "zeroline": False, "tickformat": "~g"}
    return go.Figure(layout={"height": height, "margin": margin, "xaxis": axis, "yaxis": axis, "showlegend": False} | layout)


def legend_below(y: float = -0.22) -> dict[str, Any]:
    """Return a legend below the chart, where a narrow screen has room for it."""
    return {"orientation": "h", "x": 0, "y": y, "yanchor": "top"}


def name_rows(figure: go.Figure, names: Sequence[str], labels: Sequence[str]) -> None:
    """Name the rows of a chart from top to bottom; where the page is wide, by their labels."""
    rows = {"autorange": "reversed", "type": "category", "categoryarray": list(names), "categoryorder": "array"}
    figure.update_yaxes(**rows, tickvals=list(names), ticktext=[escape(label) for label in labels])
    figure.update_layout(meta={NARROW: {"yaxis": [escape(name) for name in names]}})


def axis_type(values: Sequence[float] | Doubles | Floats, factor: float = 20) -> dict[str, Any]:
    """Return an axis's type: logarithmic for positive values that span more than a factor, otherwise linear."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not known.size or known.min() <= 0 or known.max() <= factor * known.min():
        return {"type": "linear"}
    # labels at 1, 2 and 5, since all nine would overlap, or at decades alone
    return {"type": "log", "dtick": "D2" if known.max() <= FEW_DECADES * known.min() else 1}


def mark_unrelated(figure: go.Figure) -> None:
    """Draw a dotted line at the distance between the weights of unrelated networks."""
    figure.add_hline(y=distance.UNRELATED, line={"dash": "dot", "width": 1.5, "color": GREY})
    figure.add_annotation(
        x=1, xref="paper", y=distance.UNRELATED, yanchor="bottom", xanchor="right", text="unrelated networks", showarrow=False
    )
