"""Networks side by side, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.analysis.comparison import Comparison
from study.analysis.distance import Matrix
from study.records.tracked import TrackedNetwork
from study.reporting import comparison_tables, report
from study.reporting.pages import charts, page
from study.reporting.pages.page import Chart, Listing, Page, Section

MOST_CURVES = 24


def write(networks: Sequence[TrackedNetwork], found: Comparison, file: Path) -> None:
    """Raises NotWritable."""
    page.write(of(networks, found), file)


def of(networks: Sequence[TrackedNetwork], found: Comparison) -> Page:
    answer = comparison_tables.conclusion(networks, found)
    listings = [Listing(title, table) for title, table in comparison_tables.tables(networks, found)]
    sections = [
        Section("The networks", tables=listings[:1]),
        _curves(networks),
        Section("Weights and functions", charts=_matrices(networks, found)),
        Section("In numbers", tables=listings[1:]),
    ]
    return Page(
        title=f"{len(networks)} networks side by side",
        subtitle=", ".join(dict.fromkeys(each.name for each in networks if each.name)),
        headline=f"{found.verdict.name}." if found.verdict else f"{found.distinct} different fingerprints.",
        answer=[*filter(None, [comparison_tables.better(networks)]), answer],
        facts={"networks": str(len(networks)), "different fingerprints": str(found.distinct)},
        sections=[each for each in sections if not each.empty],
    )


def _marks(networks: Sequence[TrackedNetwork]) -> list[str]:
    """What the tables call each network."""
    return [str(place) for place in range(len(networks))]


def _curves(networks: Sequence[TrackedNetwork]) -> Section:
    known = [(mark, each) for mark, each in zip(_marks(networks), networks, strict=True) if each.curves][:MOST_CURVES]
    if not known:
        return Section("Loss curves")
    names = [f"{mark}: {each.name}" for mark, each in known]
    figure = charts.curves(names, [each.curves["val_loss"] for _, each in known], [each.curves["train_loss"] for _, each in known])
    alt = f"Validation and training loss by epoch of {len(known)} networks."
    caption = "Validation loss, and training loss dotted. Click a name to show or hide it."
    return Section("Loss curves", charts=[Chart("Loss by epoch", figure, alt, caption, wide=True)])


def _matrices(networks: Sequence[TrackedNetwork], found: Comparison) -> list[Chart]:
    marks, drawn = _marks(networks), []

    def heat(title: str, matrix: Matrix | None, names: Sequence[str], top: float | None, caption: str) -> None:
        if matrix is not None:
            drawn.append(Chart(title, charts.heat(matrix, names, top), f"{title} of each pair of networks. {caption}", caption))

    top = None if found.relative_l2 is None else max(charts.UNRELATED, float(np.nanmax(found.relative_l2)))
    heat("Distance of the weights", found.relative_l2, marks, top, f"Relative L2, as the weights lie; {charts.UNRELATED_TEXT}.")
    examined = found.examined
    names = marks if found.places is None else [marks[place] for place in found.places]
    if found.aligned is not None:
        fresh = f"Neurons permuted, rescaled or flipped. Fresh networks are {report.number(found.null)} apart."
        heat("The same after matching neurons", found.aligned, names, top, fresh)
    heat("Disagreement of the functions", found.disagreement, marks, None, f"On the validation part ({found.disagreement_kind}).")
    if examined:
        heat(
            "Similarity of the last hidden layer", examined.cka, names, 1.0, "Debiased CKA: 1 is the same up to rotation and scale."
        )
        if len(names) > 2:
            figure, share = charts.network_map(examined.aligned, names, [networks[place].val_loss for place in examined.places])
            caption = f"Near means alike after matching; {share:.0%} of the distances can be shown in a plane."
            drawn.append(Chart("Map of the networks", figure, f"The networks as points in a plane. {caption}", caption))
        if examined.raw_paths and examined.aligned_paths:
            raw, aligned = examined.raw_paths.loss, examined.aligned_paths.loss
            figure = charts.paths(raw.alphas, raw.values, aligned.values, "training loss")
            caption = "A hump is a barrier; matched: the second network's neurons in the order of the first's."
            drawn.append(Chart("On the line between two networks", figure, f"Loss on straight lines. {caption}", caption))
    return drawn
