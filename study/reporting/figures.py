"""Pictures, as PNG files. The only module that imports matplotlib."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.analysis.controlled_comparison import Effect, Means, Spread
from study.analysis.distance import Matrix, classical_map
from study.records.outcome import Blame
from study.records.tracked import Portrait

COLOURS = ("#8da0cb", "#bdbdbd", "#d95f02")
WAYS = (
    "as written: another setting, another start",
    "restarted: the same setting, another start",
    "controlled: another setting, the same start",
)

SOURCE_COLOURS = ("#8da0cb", "#d95f02", "#1b9e77", "#bdbdbd", "#e7298a", "#e6ab02", "#a6761d")


def factor(found: Effect, name: str, quantity: str, kind: str, file: Path) -> None:
    """Losses by level beside what levels and restarts do to weights or functions. kind: of the disagreement."""
    figure, left, right = _panels()
    _losses(left, found, name, quantity)
    compared = [pair.relative_l2 for pair in found.pairs]
    if all(compared):
        _bars(right, found, compared, "relative L2 distance of the weights")
        _unrelated(right)
    else:
        _bars(right, found, [pair.disagreement for pair in found.pairs], f"disagreement of the predictions ({kind})")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, dpi=130)


def sources(found: Sequence[Spread], kind: str, file: Path) -> None:
    """What each source of randomness does to weights and to functions."""
    figure, left, right = _panels()
    names = [spread.level for spread in found]
    left.bar(names, [spread.relative_l2 for spread in found], 0.6, color=COLOURS[0])
    left.set(title="relative L2 distance of the weights")
    _unrelated(left)
    right.bar(names, [spread.disagreement or np.nan for spread in found], 0.6, color=COLOURS[2])
    right.set(title=f"disagreement of the predictions ({kind})")
    for axes in (left, right):
        axes.set(xlabel="what differs between the replicates")
    figure.savefig(file, dpi=130)


def blame(trials: Mapping[str, Sequence[Blame]], file: Path) -> None:
    """Each source's share of the variance, a row of panels for the quantities and a bar for each trial."""
    by_quantity = [{each.of: each.shares for each in found} for found in trials.values()]
    quantities = list(dict.fromkeys(quantity for found in by_quantity for quantity in found))
    sources = list(dict.fromkeys(source for found in by_quantity for shares in found.values() for source in shares))
    figure = Figure(figsize=(3.2 * len(quantities), 1.6 + 0.5 * len(trials)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(quantities), sharey=True))
    colours = dict(zip(sources, SOURCE_COLOURS, strict=False))
    for quantity, axes in zip(quantities, panels, strict=True):
        left = np.zeros(len(trials))
        for source in sources:
            # trials that were crossed differently
            shares = np.array([found.get(quantity, {}).get(source, (0.0,))[0] for found in by_quantity])
            axes.barh(list(trials), shares, 0.6, left=left, color=colours.get(source, "0.5"), label=source)
            left += shares
        axes.set(title=quantity, xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "50 %", "100 %"))
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(sources), frameon=False)
    figure.savefig(file, dpi=130)


def front(values: Mapping[int, Sequence[float]], names: Sequence[str], numbers: Collection[int], file: Path) -> None:
    """Trials by each pair of their objectives; those of the Pareto front (`numbers`) stand out. values: trial → its objectives."""
    pairs = list(itertools.combinations(range(len(names)), 2))
    figure = Figure(figsize=(6 * len(pairs), 4.5), layout="constrained", dpi=130)
    for axes, (x, y) in zip(np.atleast_1d(figure.subplots(1, len(pairs))), pairs, strict=True):
        for number, each in values.items():
            best = number in numbers
            axes.plot(each[x], each[y], "o", color=COLOURS[2] if best else COLOURS[1], zorder=2 + best)
            if best:
                axes.annotate(str(number), (each[x], each[y]), xytext=(5, 4), textcoords="offset points", fontsize=8)
        for axis, scale, place in ((axes.xaxis, axes.set_xscale, x), (axes.yaxis, axes.set_yscale, y)):
            column = [each[place] for each in values.values()]
            if min(column) > 0 and max(column) > 30 * min(column):
                scale("log")
            axis.set_label_text(names[place])
    figure.suptitle("Pareto front: no trial beats these in every objective", fontsize=11)
    figure.savefig(file)


def portrait(found: Portrait, file: Path) -> None:
    """What the replicates of one trial are to one another, in six panels."""
    figure = Figure(figsize=(14, 8.4), layout="constrained")
    (curves, raw, aligned), (paths, functions, map_) = figure.subplots(2, 3)
    _fan(curves, found)
    top = max(np.sqrt(2), float(np.nanmax(found.relative_l2)))
    _heat(raw, found, found.relative_l2, top, "distance of the weights (relative L2)")
    _heat(aligned, found, found.aligned, top, f"the same after matching neurons (fresh networks: {found.null:.2f})")
    _paths(paths, found)
    if found.disagreement is None:
        functions.text(0.5, 0.5, "each was validated on rows of its own", ha="center", va="center")
        functions.set_axis_off()
    else:
        _heat(functions, found, found.disagreement, None, f"disagreement of the predictions ({found.kind})")
    _map(map_, found)
    figure.suptitle(found.title, x=0.01, ha="left")
    figure.savefig(file, dpi=110)


def _fan(axes: Axes, found: Portrait) -> None:
    epochs = np.arange(1, found.train_loss.shape[1] + 1)
    for values, name, colour in ((found.train_loss, "training", COLOURS[0]), (found.val_loss, "validation", COLOURS[2])):
        axes.plot(epochs, values.T, color=colour, linewidth=0.7, alpha=0.6)
        with warnings.catch_warnings():  # epochs that no replicate has reached
            warnings.simplefilter("ignore", RuntimeWarning)
            axes.plot(epochs, np.nanmedian(values, axis=0), color=colour, linewidth=2, label=name)
    known = np.concatenate([found.train_loss.ravel(), found.val_loss.ravel()])
    known = known[np.isfinite(known)]
    if known.size and known.min() > 0 and known.max() > 20 * known.min():
        axes.set_yscale("log")
    axes.set(title="loss by epoch: each replicate, and the median", xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _heat(axes: Axes, found: Portrait, matrix: Matrix, top: float | None, title: str) -> None:
    image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top)
    places = range(0, len(matrix), 1 if len(matrix) <= 10 else 2)
    names = [found.numbers[place] for place in places]
    axes.set(
        title=title, xlabel="replicate", ylabel="replicate", xticks=places, yticks=places, xticklabels=names, yticklabels=names
    )
    if len(matrix) <= 10:
        limit = (top or float(np.nanmax(matrix)) or 1.0) / 2
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value < limit else "black"
            axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=7, color=colour)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def _paths(axes: Axes, found: Portrait) -> None:
    if found.alphas is None or found.raw_path is None or found.aligned_path is None:
        axes.text(0.5, 0.5, "each has data of its own", ha="center", va="center")
        axes.set_axis_off()
        return
    for values, name, colour in ((found.raw_path, "as they lie", COLOURS[2]), (found.aligned_path, "matched", COLOURS[0])):
        axes.plot(found.alphas, values.T, color=colour, linewidth=1.2)
        axes.plot([], [], color=colour, label=name)
    axes.set(title=f"{found.path_of} on the line between two replicates", xlabel="from one network (0) to the other (1)")
    axes.legend(frameon=False)


def _map(axes: Axes, found: Portrait) -> None:
    places, share = classical_map(found.aligned)
    points = axes.scatter(places[:, 0], places[:, 1], c=found.final_loss, cmap="plasma", s=60)
    for number, (x, y) in zip(found.numbers, places, strict=True):
        axes.annotate(number, (x, y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(title=f"map of the matched distances ({share:.0%} of them shown)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.figure.colorbar(points, ax=axes, shrink=0.8, label="validation loss")


def _panels() -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    return figure, left, right


def _unrelated(axes: Axes) -> None:
    axes.axhline(np.sqrt(2), color="black", linewidth=0.8, linestyle=":")
    at = (0.995, np.sqrt(2))
    axes.annotate("unrelated networks", at, xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)


def _losses(axes: Axes, found: Effect, name: str, quantity: str) -> None:
    places = np.arange(len(found.levels))
    spread = np.linspace(-0.12, 0.12, found.values.shape[1]) if found.values.shape[1] > 1 else np.zeros(1)
    # a line joins what one replicate does under every level: the same start, the same batches
    axes.plot(places[:, None] + spread, found.values, "o-", color="#8da0cb", markersize=4, linewidth=0.6, alpha=0.7)
    axes.plot(places, found.values.mean(axis=1), "_", color="#d95f02", markersize=26, markeredgewidth=2.5, label="mean")
    axes.set_xticks(places, found.levels, rotation=20 if max(map(len, found.levels)) > 8 else 0)
    axes.set(xlabel=name, ylabel=quantity, title="Each line: one start under every setting")
    if found.values.min() > 0 and found.values.max() > 20 * found.values.min():
        axes.set_yscale("log")
    axes.legend(frameon=False)


def _bars(axes: Axes, found: Effect, compared: list[Means | None], title: str) -> None:
    places = np.arange(len(found.pairs))
    for number, (label, colour) in enumerate(zip(WAYS, COLOURS, strict=True)):
        means = [(each.as_written, each.restarted, each.controlled)[number] if each else None for each in compared]
        heights = [np.nan if height is None else height for height in means]
        axes.bar(places + 0.27 * (number - 1), heights, 0.25, label=label, color=colour)
    names = [f"{pair.first}\n{pair.second}" for pair in found.pairs]
    axes.set_xticks(places, names, fontsize=8, rotation=0 if len(names) < 7 else 60)
    axes.set(title=title)
    axes.margins(y=0.12)
