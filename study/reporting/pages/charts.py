"""The report's charts, which a browser draws.

A chart says nothing of light or dark: the page gives axes and text their colours. Every text that names a user's setting or
column is escaped, since Plotly reads some HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from study.analysis.controlled_comparison import Effect, Means, Spread
from study.analysis.distance import classical_map
from study.records.arrays import Doubles, Floats, Scalar
from study.records.outcome import Blame
from study.statistics.setting_effects import SettingEffect

# Okabe and Ito's, which the colour-blind tell apart too, in tints that stand out on white and on black
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY = "#2a7fc1", "#d9641e", "#159a76", "#c2649c", "#b8920a", "#4aa8d8", "#8a8f98"
COLOURS = (ORANGE, BLUE, GREEN, PINK, YELLOW, SKY)
UNRELATED, UNRELATED_TEXT = float(np.sqrt(2)), "unrelated networks are about 1.41 apart, whatever they compute"
BEST_TO_WORST = [[0, ORANGE], [0.3, BLUE], [1, GREY]]
MOST_LINES, MOST_POINTS = 24, 400
MISSING = "–"
MOST_TICKS = 6  # values that have one each


def escaped(text: object) -> str:
    return html.escape(str(text), quote=False)


def _figure(height: int, **layout: Any) -> go.Figure:
    margin = {"l": 8, "r": 8, "t": 8, "b": 8}
    axis = {"automargin": True, "zeroline": False, "tickformat": "~g"}
    return go.Figure(layout={"height": height, "margin": margin, "xaxis": axis, "yaxis": axis, "showlegend": False} | layout)


def _below() -> dict[str, Any]:
    """A legend under the chart, where a narrow screen has room for it."""
    return {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"}


def _scale(values: Sequence[float] | Doubles | Floats, factor: float = 20) -> dict[str, Any]:
    """An axis' type: logarithmic for positive values that differ by more than a factor."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not known.size or known.min() <= 0 or known.max() <= factor * known.min():
        return {"type": "linear"}
    # labels at 1, 2 and 5 alone, since all nine would run into one another
    return {"type": "log"} | ({"dtick": "D2"} if known.max() > 8 * known.min() else {})


def rivals(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    halfwidths: Sequence[float | None],
    kinds: Sequence[str],
    hovers: Sequence[str],
    quantity: str,
) -> go.Figure:
    """Trials, best first: their replicates' values, and the mean with its interval. kinds: of each, 'best', 'tied' or 'worse'."""
    figure = _figure(90 + 26 * len(names))
    colours = {"best": ORANGE, "tied": BLUE, "worse": GREY}
    points = [(value, name) for name, each in zip(names, values, strict=True) for value in each]
    figure.add_scatter(
        x=[value for value, _ in points],
        y=[name for _, name in points],
        mode="markers",
        marker={"size": 5, "color": GREY, "opacity": 0.45},
        hovertemplate="a replicate: %{x:.4g}<extra></extra>",
    )
    for kind, colour in colours.items():
        places = [place for place, each in enumerate(kinds) if each == kind]
        figure.add_scatter(
            x=[float(np.mean(values[place])) for place in places],
            y=[names[place] for place in places],
            error_x={"array": [halfwidths[place] or 0 for place in places], "thickness": 2, "width": 4},
            mode="markers",
            marker={"size": 10, "color": colour, "symbol": "diamond" if kind == "best" else "circle"},
            customdata=[hovers[place] for place in places],
            hovertemplate="%{customdata}<extra></extra>",
        )
    known = [value for each in values for value in each]
    figure.update_xaxes(title=escaped(quantity), **_scale(known))
    figure.update_yaxes(autorange="reversed", type="category", categoryarray=list(names), categoryorder="array")
    return figure


def fans(names: Sequence[str], numbers: Sequence[Sequence[int]], val_losses: Sequence[Floats], train_loss: Floats) -> go.Figure:
    """Validation loss by epoch, a colour a trial: [R, epochs] each, and the first one's training loss.

    Of each trial the range over its replicates, their median, and of the first each replicate; the third and later ones wait to be
    switched on.
    """
    figure = _figure(420, legend=_below(), showlegend=True, hovermode="closest")
    for place, (name, replicates, losses) in enumerate(zip(names, numbers, val_losses, strict=True)):
        colour, shown = COLOURS[place % len(COLOURS)], True if place < 3 else "legendonly"
        epochs, curves = _thinned(losses)
        low, middle, high = (_by_epoch(curves, share) for share in (0.0, 0.5, 1.0))
        common = {"legendgroup": name, "visible": shown, "x": epochs}
        figure.add_scatter(**common, y=high, mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)
        band = {"fill": "tonexty", "fillcolor": _faint(colour), "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(**common, y=low, mode="lines", line={"width": 0}, **band)
        for line in _some(len(curves)) if place == 0 else ():
            figure.add_scatter(
                **common,
                y=curves[line],
                mode="lines",
                line={"width": 0.8, "color": colour},
                opacity=0.45,
                showlegend=False,
                hovertemplate=f"replicate {replicates[line]}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
        hover = f"{escaped(name)}, median, epoch %{{x}}: %{{y:.4g}}<extra></extra>"
        figure.add_scatter(
            **common, y=middle, name=escaped(name), mode="lines", line={"width": 2.5, "color": colour}, hovertemplate=hover
        )
    epochs, curves = _thinned(train_loss)
    figure.add_scatter(
        x=epochs,
        y=_by_epoch(curves, 0.5),
        name=f"{escaped(names[0])}, training",
        mode="lines",
        line={"width": 2, "color": COLOURS[0], "dash": "dot"},
        hovertemplate="training, median, epoch %{x}: %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="loss", **_scale(np.concatenate([each.ravel() for each in (*val_losses, train_loss)]), 4))
    return figure


def curves(names: Sequence[str], val_losses: Sequence[Floats], train_losses: Sequence[Floats]) -> go.Figure:
    """Losses by epoch of lone networks, [epochs] each: of validation, and of training dotted."""
    figure = _figure(420, legend=_below(), showlegend=True, hovermode="closest")
    for place, (name, validation, training) in enumerate(zip(names, val_losses, train_losses, strict=True)):
        for losses, dash, what in ((validation, "solid", "validation"), (training, "dot", "training")):
            epochs, values = _thinned(losses[None])
            figure.add_scatter(
                x=epochs,
                y=values[0],
                name=escaped(name),
                legendgroup=str(place),
                showlegend=dash == "solid",
                mode="lines",
                line={"width": 1.8, "color": COLOURS[place % len(COLOURS)], "dash": dash},
                hovertemplate=f"{escaped(name)}, {what}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="loss", **_scale(np.concatenate([*val_losses, *train_losses]), 4))
    return figure


def _some(replicates: int) -> list[int]:
    """The places of at most so many replicates, evenly spread."""
    return sorted(set(np.linspace(0, replicates - 1, min(MOST_LINES, replicates)).astype(int).tolist()))


def _thinned(losses: Floats) -> tuple[Doubles, Doubles]:
    """Epochs, at most so many, with the first and the last, and the losses [R, …] there."""
    count = losses.shape[1]
    places = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    return places + 1.0, losses[:, places].astype(np.float64)


def _by_epoch(curves: Doubles, share: float) -> Doubles:
    """A quantile over the replicates that have reached an epoch; NaN where none has."""
    reached = np.isfinite(curves).any(axis=0)
    found = np.full(curves.shape[1], np.nan)
    found[reached] = np.nanquantile(curves[:, reached], share, axis=0)
    return found


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def blame(trials: Mapping[str, Sequence[Blame]]) -> go.Figure:
    """Each source's share of the variance of each quantity, with its interval; a colour a trial."""
    quantities = list(dict.fromkeys(each.of for found in trials.values() for each in found))
    figure = _figure(170 * len(quantities) + 60, legend=_below() | {"y": -0.08}, showlegend=len(trials) > 1)
    figure.set_subplots(len(quantities), 1, subplot_titles=quantities, vertical_spacing=0.16 / len(quantities) + 0.04)
    for place, (name, found) in enumerate(trials.items()):
        for each in found:
            sources = list(each.shares)
            shares = np.array([each.shares[source] for source in sources])
            figure.add_bar(
                x=shares[:, 0],
                y=sources,
                orientation="h",
                name=escaped(name),
                legendgroup=name,
                showlegend=each.of == quantities[0],
                marker={"color": COLOURS[place % len(COLOURS)]},
                error_x={
                    "array": np.maximum(0, shares[:, 2] - shares[:, 0]),
                    "arrayminus": np.maximum(0, shares[:, 0] - shares[:, 1]),
                    "thickness": 1.2,
                    "width": 3,
                    "color": GREY,
                },
                customdata=shares[:, 1:],
                hovertemplate="%{y}: %{x:.0%} [%{customdata[0]:.0%}, %{customdata[1]:.0%}]<extra></extra>",
                row=quantities.index(each.of) + 1,
                col=1,
            )
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(automargin=True, autorange="reversed")
    figure.update_layout(margin={"t": 28})
    return figure


def heat(matrix: Doubles, numbers: Sequence[str], top: float | None) -> go.Figure:
    """A number for each pair of networks, [N, N]."""
    figure = _figure(360)
    cells = len(matrix) <= 10
    figure.add_heatmap(
        z=matrix,
        x=list(numbers),
        y=list(numbers),
        zmin=0,
        zmax=top,
        colorscale="Viridis",
        colorbar={"thickness": 12, "outlinewidth": 0},
        texttemplate="%{z:.2g}" if cells else None,
        textfont={"size": 10},
        hovertemplate="%{y} and %{x}: %{z:.4g}<extra></extra>",
    )
    figure.update_xaxes(type="category", constrain="domain", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", scaleanchor="x", constrain="domain", showgrid=False)
    return figure


def network_map(aligned: Doubles, names: Sequence[str], losses: Sequence[float] | Doubles) -> tuple[go.Figure, float]:
    """Networks as points whose distances are nearest to `aligned`, [N, N], coloured by loss; and the share that these show."""
    places, share = classical_map(aligned)
    figure = _figure(360)
    figure.add_scatter(
        x=places[:, 0],
        y=places[:, 1],
        mode="markers+text",
        text=list(names),
        textposition="top center",
        marker={
            "size": 12,
            "color": list(losses),
            "colorscale": "Plasma",
            "colorbar": {"thickness": 12, "title": {"text": "val loss", "side": "right"}, "outlinewidth": 0},
            "line": {"width": 1, "color": GREY},
        },
        hovertemplate="%{text}: validation loss %{marker.color:.4g}<extra></extra>",
    )
    # all around the points, so that their labels have room, and the same scale both ways
    reach = 1.25 * max(float(np.abs(places).max()), 1e-9)
    figure.update_xaxes(range=[-reach, reach])
    figure.update_yaxes(range=[-reach, reach], scaleanchor="x", constrain="domain")
    return figure, share


def paths(alphas: Doubles, raw: Doubles, aligned: Doubles, quantity: str) -> go.Figure:
    """Loss or error on the line from one network to another: [pairs, alphas], as they lie and matched."""
    figure = _figure(360, legend=_below(), showlegend=True)
    for values, name, colour in ((raw, "as they lie", ORANGE), (aligned, "matched", BLUE)):
        for place, line in enumerate(values):
            figure.add_scatter(
                x=alphas,
                y=line,
                name=name,
                legendgroup=name,
                showlegend=place == 0,
                mode="lines",
                line={"color": colour, "width": 1.6},
                hovertemplate=f"{name}, %{{x:.2f}} of the way: %{{y:.4g}}<extra></extra>",
            )
    figure.update_xaxes(title="from one network (0) to the other (1)")
    figure.update_yaxes(title=quantity)
    return figure


def parallel(settings: Mapping[str, Sequence[Scalar]], values: Sequence[float], quantity: str, less_is_better: bool) -> go.Figure:
    """A line for each completed trial through its settings to its value. settings: key → [trials], None for none."""
    axes = [_axis(key, list(found)) for key, found in settings.items()]
    low, high = float(np.min(values)), float(np.max(values))
    axes.append({"label": escaped(quantity), "values": list(values), "range": [low, high if high > low else low + 1]})
    figure = _figure(400, margin={"l": 60, "r": 60, "t": 60, "b": 24})
    # without the few that are far worse, or all the others would have one colour
    far = float(np.quantile(values, 0.9 if less_is_better else 0.1))
    ends = {"cmin": low, "cmax": far} if less_is_better else {"cmin": far, "cmax": high}
    scale = {"colorscale": BEST_TO_WORST, "reversescale": not less_is_better, "showscale": False}
    figure.add_parcoords(dimensions=axes, line={"color": list(values), **scale, **(ends if ends["cmin"] < ends["cmax"] else {})})
    return figure


def _axis(key: str, values: Sequence[Scalar]) -> dict[str, Any]:
    """A setting's axis: numbers as they are or by their logarithm, with a place below them for none; other values one by one."""
    label = escaped(key.rsplit(".", 1)[-1].replace("_", " "))
    known = [value for value in values if value is not None]
    if not all(map(_is_number, known)):
        names = [MISSING if value is None else str(value) for value in values]
        levels = sorted(set(names))
        ticks = {"tickvals": list(range(len(levels))), "ticktext": [escaped(level) for level in levels]}
        return {"label": label, "values": [levels.index(name) for name in names], "range": [0, max(1, len(levels) - 1)], **ticks}
    logarithmic = _scale(np.array(known, float))["type"] == "log"
    numbers = np.array([np.nan if value is None else value for value in values], float)
    places = np.log10(numbers) if logarithmic else numbers
    low, high = float(np.nanmin(places)), float(np.nanmax(places))
    distinct = sorted(set(places[np.isfinite(places)].tolist()))
    at = distinct if len(distinct) <= MOST_TICKS else np.linspace(low, high, 5).tolist()
    texts = [f"{10**tick if logarithmic else tick:.3g}" for tick in at]
    if len(known) < len(values):
        below = low - 0.15 * ((high - low) or 1.0)
        places, low, at, texts = np.where(np.isnan(places), below, places), below, [below, *at], [MISSING, *texts]
    return {"label": label, "values": places, "range": [low, high if high > low else low + 1], "tickvals": at, "ticktext": texts}


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def slice_of(values: Sequence[Scalar], results: Sequence[float], numbers: Sequence[int], best: int, quantity: str) -> go.Figure:
    """A setting's values against the trials' results; the best trial stands out, and later trials are darker."""
    numeric = all(map(_is_number, values))
    figure = _figure(260)
    figure.add_scatter(
        x=list(values) if numeric else [escaped(value) for value in values],
        y=list(results),
        mode="markers",
        marker={
            "size": [13 if number == best else 7 for number in numbers],
            "color": list(numbers),
            "colorscale": [[0, SKY], [1, "#1c4f7c"]],
            "line": {"width": [3 if number == best else 0.5 for number in numbers], "color": ORANGE},
        },
        customdata=list(numbers),
        hovertemplate="trial %{customdata}: %{x} → %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(**_scale(np.array(values, float)) if numeric else {"type": "category"})
    if numeric and len(set(values)) <= MOST_TICKS:
        figure.update_xaxes(tickvals=sorted({float(value) for value in values if value is not None}))
    figure.update_yaxes(title=escaped(quantity), **_scale(results))
    return figure


def effects(found: Sequence[SettingEffect], quantity: str) -> go.Figure:
    """What each setting does, as the SD between its values' means, the largest first, beside what chance makes of it at most."""
    figure = _figure(90 + 34 * len(found))
    names = [escaped(each.key.rsplit(".", 1)[-1]) for each in found]
    figure.add_bar(
        x=[each.effect for each in found],
        y=names,
        orientation="h",
        marker={"color": [ORANGE if each.shown else GREY for each in found]},
        text=["" if each.shown else "not shown" for each in found],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: SD %{x:.3g} between its values<extra></extra>",
    )
    figure.add_scatter(
        x=[each.chance for each in found],
        y=names,
        mode="markers",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": BLUE}},
        hovertemplate="%{y}: chance makes %{x:.3g} at most<extra></extra>",
    )
    longest = max(max(each.effect, each.chance) for each in found)
    figure.update_xaxes(title=f"SD of the {escaped(quantity)} between its values", range=[0, 1.25 * longest or 1])
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def history(numbers: Sequence[int], values: Sequence[float], less_is_better: bool, quantity: str) -> go.Figure:
    """Each completed trial's value in the order of the trials, and the best so far."""
    figure = _figure(260, legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}, showlegend=True)
    hover = "trial %{x}: %{y:.4g}<extra></extra>"
    figure.add_scatter(
        x=list(numbers), y=list(values), mode="markers", name="a trial", marker={"color": BLUE, "size": 6}, hovertemplate=hover
    )
    so_far = (np.minimum if less_is_better else np.maximum).accumulate(np.asarray(values, float))
    line = {"color": ORANGE, "shape": "hv", "width": 2}
    figure.add_scatter(x=list(numbers), y=so_far, mode="lines", name="the best so far", line=line, hoverinfo="skip")
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title=escaped(quantity), **_scale(values))
    return figure


def front(values: Mapping[int, Sequence[float]], x: int, y: int, names: Sequence[str], numbers: Sequence[int]) -> go.Figure:
    """Trials by two of their objectives; those of the Pareto front (`numbers`) stand out. values: trial → its objectives."""
    figure = _figure(360, legend=_below(), showlegend=True)
    for name, chosen, colour in (
        ("another trial", [n for n in values if n not in numbers], GREY),
        ("front", [n for n in values if n in numbers], ORANGE),
    ):
        figure.add_scatter(
            x=[values[number][x] for number in chosen],
            y=[values[number][y] for number in chosen],
            name=name,
            mode="markers+text" if colour == ORANGE else "markers",
            text=[str(number) for number in chosen],
            textposition="top center",
            marker={"color": colour, "size": 9},
            hovertemplate="trial %{text}: %{x:.4g}, %{y:.4g}<extra></extra>",
        )
    figure.update_xaxes(title=escaped(names[x]), **_scale([each[x] for each in values.values()]))
    figure.update_yaxes(title=escaped(names[y]), **_scale([each[y] for each in values.values()]))
    return figure


def levels(found: Effect, name: str, quantity: str) -> go.Figure:
    """Losses by level of one setting: a line joins what one replicate does under every level."""
    figure = _figure(340)
    names = [escaped(level) for level in found.levels]
    for replicate in range(min(found.values.shape[1], MOST_LINES)):
        figure.add_scatter(
            x=names,
            y=found.values[:, replicate],
            mode="lines+markers",
            line={"color": BLUE, "width": 0.8},
            opacity=0.5,
            hovertemplate=f"replicate {replicate} under %{{x}}: %{{y:.4g}}<extra></extra>",
        )
    figure.add_scatter(
        x=names,
        y=found.values.mean(axis=1),
        mode="markers",
        marker={"symbol": "line-ew", "size": 26, "line": {"width": 3, "color": ORANGE}},
        hovertemplate="mean under %{x}: %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(type="category", title=escaped(name))
    figure.update_yaxes(title=escaped(quantity), **_scale(found.values))
    return figure


WAYS = {
    "as_written": ("as written: another setting, another start", SKY),
    "restarted": ("restarted: the same setting, another start", GREY),
    "controlled": ("controlled: another setting, the same start", ORANGE),
}


def causes(found: Effect) -> tuple[go.Figure, str]:
    """For every pair of levels, what of their networks' difference is the levels' and what the restart's; and what is measured."""
    compared: list[Means | None] = [pair.relative_l2 for pair in found.pairs]
    quantity = "relative L2 distance of the weights"
    unrelated = all(compared)
    if not unrelated:
        compared, quantity = [pair.disagreement for pair in found.pairs], "disagreement of the predictions"
    figure = _figure(340, legend=_below() | {"y": -0.3}, showlegend=True, barmode="group")
    names = [f"{escaped(pair.first)} – {escaped(pair.second)}" for pair in found.pairs]
    for way, (text, colour) in WAYS.items():
        heights = [getattr(each, way) if each else None for each in compared]
        figure.add_bar(x=names, y=heights, name=text, marker={"color": colour}, hovertemplate="%{x}: %{y:.4g}<extra></extra>")
    if unrelated:
        _unrelated(figure)
    figure.update_yaxes(title=quantity.partition(" of ")[0].removesuffix(" distance"))
    return figure, quantity


def spreads(found: Sequence[Spread], functions: bool) -> go.Figure:
    """How far replicates end apart where only one source of randomness differs: as weights, or as functions."""
    figure = _figure(300)
    heights = [each.disagreement if functions else each.relative_l2 for each in found]
    names = [escaped(each.level) for each in found]
    colour = ORANGE if functions else BLUE
    figure.add_bar(x=names, y=heights, marker={"color": colour}, hovertemplate="%{x}: %{y:.4g}<extra></extra>")
    if not functions:
        _unrelated(figure)
    figure.update_xaxes(title="what differs between the replicates", type="category")
    figure.update_yaxes(title="disagreement" if functions else "relative L2")
    return figure


def _unrelated(figure: go.Figure) -> None:
    figure.add_hline(y=UNRELATED, line={"dash": "dot", "width": 1.5, "color": GREY})
    figure.add_annotation(
        x=1, xref="paper", y=UNRELATED, yanchor="bottom", xanchor="right", text="unrelated networks", showarrow=False
    )
