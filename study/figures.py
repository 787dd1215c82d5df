"""Pictures, as PNG files. The only module that imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.factor import Effect, Means, Spread

COLOURS = ("#8da0cb", "#bdbdbd", "#d95f02")
WAYS = (
    "as written: another setting, another start",
    "restarted: the same setting, another start",
    "controlled: another setting, the same start",
)


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
    spread = np.linspace(-0.12, 0.12, found.losses.shape[1]) if found.losses.shape[1] > 1 else np.zeros(1)
    # a line joins what one replicate does under every level: the same start, the same batches
    axes.plot(places[:, None] + spread, found.losses, "o-", color="#8da0cb", markersize=4, linewidth=0.6, alpha=0.7)
    axes.plot(places, found.losses.mean(axis=1), "_", color="#d95f02", markersize=26, markeredgewidth=2.5, label="mean")
    axes.set_xticks(places, found.levels, rotation=20 if max(map(len, found.levels)) > 8 else 0)
    axes.set(xlabel=name, ylabel=quantity, title="Each line: one start under every setting")
    if found.losses.min() > 0 and found.losses.max() > 20 * found.losses.min():
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
