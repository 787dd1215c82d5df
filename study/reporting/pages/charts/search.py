"""Searched settings: their effects beside chance, all of them at once, and one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from study.records.arrays import Scalar
from study.reporting.pages.charts.style import BLUE, GREY, ORANGE, axis_type, escape, new_figure
from study.statistics.setting_effects import SettingEffect

BEST_TO_WORST = [[0, ORANGE], [0.3, BLUE], [1, GREY]]
EARLY_TO_LATE = [[0, "#9ccbe8"], [1, BLUE]]
MISSING = "–"
MOST_TICKS = 6  # an axis of more values has ticks at even steps


def effects(of_settings: Sequence[SettingEffect], quantity: str) -> go.Figure:
    """Draw each setting's effect, the SD between the means of its values, with the largest one that chance explains."""
    figure = new_figure(90 + 34 * len(of_settings))
    names = [escape(setting.key.rsplit(".", 1)[-1]) for setting in of_settings]
    figure.add_bar(
        x=[setting.effect for setting in of_settings],
        y=names,
        orientation="h",
        marker={"color": [ORANGE if setting.shown else GREY for setting in of_settings]},
        text=["" if setting.shown else "not shown" for setting in of_settings],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: SD %{x:.3g} between its values<extra></extra>",
    )
    figure.add_scatter(
        x=[setting.chance for setting in of_settings],
        y=names,
        mode="markers",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": BLUE}},
        hovertemplate="%{y}: chance explains up to %{x:.3g}<extra></extra>",
    )
    longest = max(max(setting.effect, setting.chance) for setting in of_settings)
    figure.update_xaxes(title=f"SD of the {escape(quantity)} between its values", range=[0, 1.25 * longest or 1])
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def parallel(settings: Mapping[str, Sequence[Scalar]], values: Sequence[float], quantity: str, less_is_better: bool) -> go.Figure:
    """Draw one line per completed trial through its settings to its value. settings: key → [trials], None where one has none."""
    axes = [setting_axis(key, column) for key, column in settings.items()]
    low, high = float(np.min(values)), float(np.max(values))
    axes.append({"label": escape(quantity), "values": list(values), "range": [low, high if high > low else low + 1]})
    figure = new_figure(400, margin={"l": 60, "r": 60, "t": 60, "b": 24})
    # the scale leaves out the few that are far worse, or all the others would have one colour
    far = float(np.quantile(values, 0.9 if less_is_better else 0.1))
    ends = {"cmin": low, "cmax": far} if less_is_better else {"cmin": far, "cmax": high}
    scale = {"colorscale": BEST_TO_WORST, "reversescale": not less_is_better, "showscale": False}
    figure.add_parcoords(dimensions=axes, line={"color": list(values), **scale, **(ends if ends["cmin"] < ends["cmax"] else {})})
    return figure


def setting_axis(key: str, values: Sequence[Scalar]) -> dict[str, Any]:
    """Return a setting's axis of parallel coordinates, with a tick below the numbers for trials without this setting.

    Numbers lie on a linear or a logarithmic axis, other values at even steps.
    """
    label = escape(key.rsplit(".", 1)[-1].replace("_", " "))
    known = [value for value in values if value is not None]
    if not all(map(_is_number, known)):
        names = [MISSING if value is None else str(value) for value in values]
        levels = sorted(set(names))
        ticks = {"tickvals": list(range(len(levels))), "ticktext": [escape(level) for level in levels]}
        return {"label": label, "values": [levels.index(name) for name in names], "range": [0, max(1, len(levels) - 1)], **ticks}
    logarithmic = axis_type(np.array(known, float))["type"] == "log"
    numbers = np.array([np.nan if value is None else value for value in values], float)
    positions = np.log10(numbers) if logarithmic else numbers
    low, high = float(np.nanmin(positions)), float(np.nanmax(positions))
    distinct = sorted(set(positions[np.isfinite(positions)].tolist()))
    ticks_at = distinct if len(distinct) <= MOST_TICKS else np.linspace(low, high, 5).tolist()
    texts = [f"{10**tick if logarithmic else tick:.3g}" for tick in ticks_at]
    if len(known) < len(values):
        below = low - 0.15 * ((high - low) or 1.0)
        positions, low = np.where(np.isnan(positions), below, positions), below
        ticks_at, texts = [below, *ticks_at], [MISSING, *texts]
    limits = [low, high if high > low else low + 1]
    return {"label": label, "values": positions, "range": limits, "tickvals": ticks_at, "ticktext": texts}


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def setting_slice(
    values: Sequence[Scalar], results: Sequence[float], numbers: Sequence[int], best: int, quantity: str
) -> go.Figure:
    """Draw one setting's values against the trials' results. The best trial stands out; later trials are darker."""
    figure = new_figure(260)
    figure.add_scatter(
        x=_shown(values),
        y=list(results),
        mode="markers",
        marker={
            "size": [13 if number == best else 7 for number in numbers],
            "color": list(numbers),
            "colorscale": EARLY_TO_LATE,
            "line": {"width": [3 if number == best else 0.5 for number in numbers], "color": ORANGE},
        },
        customdata=list(numbers),
        hovertemplate="trial %{customdata}: %{x} → %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(**_scale(values))
    figure.update_yaxes(title=escape(quantity), **axis_type(results))
    return figure


def pair(
    first: tuple[str, Sequence[Scalar]],
    second: tuple[str, Sequence[Scalar]],
    values: Sequence[float],
    numbers: Sequence[int],
    less_is_better: bool,
    best: int | None,
) -> go.Figure:
    """Draw trials by two of their settings, each a name and its values, coloured by the rank of the trial's value.

    best: the number of the best trial, which needn't have the best mean.
    """
    figure = new_figure(400)
    ranks = np.argsort(np.argsort(values if less_is_better else -np.asarray(values, float)))
    figure.add_scatter(
        x=_shown(first[1]),
        y=_shown(second[1]),
        mode="markers",
        marker={
            "size": [16 if number == best else 11 for number in numbers],
            "symbol": ["diamond" if number == best else "circle" for number in numbers],
            "color": 1 + ranks,
            "colorscale": BEST_TO_WORST,
            "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "rank", "side": "right"}, "tickformat": "d"},
            "line": {"width": 0.5, "color": GREY},
        },
        customdata=list(zip(numbers, values, strict=True)),
        hovertemplate="trial %{customdata[0]}: %{x}, %{y} → %{customdata[1]:.4g}<extra></extra>",
    )
    figure.update_xaxes(title=escape(first[0]), **_scale(first[1]))
    figure.update_yaxes(title=escape(second[0]), **_scale(second[1]))
    return figure


def _shown(values: Sequence[Scalar]) -> list[object]:
    return list(values) if all(map(_is_number, values)) else [escape(value) for value in values]


def _scale(values: Sequence[Scalar]) -> dict[str, Any]:
    """Return the axis of a setting's values: categories, or numbers with a tick at each of a few."""
    if not all(map(_is_number, values)):
        return {"type": "category"}
    few = {"tickvals": sorted({float(value) for value in values if value is not None})} if len(set(values)) <= MOST_TICKS else {}
    return axis_type(np.array(values, float)) | few
