"""The page of networks side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from study.analysis import distance
from study.analysis.comparison import Comparison
from study.records.tracked import TrackedNetwork
from study.reporting import comparison_tables, report
from study.reporting.pages import page
from study.reporting.pages.charts import losses
from study.reporting.pages.charts import networks as charts
from study.reporting.pages.charts.style import UNRELATED_TEXT
from study.reporting.pages.page import Chart, Listing, Page, Section

MOST_CURVES = 24


def write(networks: Sequence[TrackedNetwork], comparison: Comparison, file: Path) -> None:
    """Write the page of networks and how they compare. Raises NotWritable."""
    page.write(build(networks, comparison), file)


def build(networks: Sequence[TrackedNetwork], comparison: Comparison) -> Page:
    answer = comparison_tables.conclusion(networks, comparison)
    described = [Listing(title, table) for title, table in comparison_tables.network_tables(networks, comparison)]
    pairs = [Listing(title, table) for title, table in comparison_tables.pair_tables(comparison)]
    sections = [
        Section("Settings that differ, and losses", tables=described),
        _loss_curves(networks),
        Section("Functions and weights", charts=list(_pair_charts(networks, comparison))),
        Section("In numbers", tables=pairs),
    ]
    lead, verdict = comparison_tables.better(networks), comparison.verdict
    return Page(
        title=f"{len(networks)} networks side by side",
        subtitle=", ".join(dict.fromkeys(network.name for network in networks if network.name)),
        # which is better comes first, then how the networks differ
        headline=lead or (f"{verdict.name}." if verdict else f"{comparison.distinct} different fingerprints."),
        facts=[answer],
        evidence={"networks": str(len(networks)), "different fingerprints": str(comparison.distinct)},
        sections=[section for section in sections if not section.empty],
    )


def _loss_curves(networks: Sequence[TrackedNetwork]) -> Section:
    # numbered as in the tables
    recorded = [(f"{index}: {network.name}", network.curves) for index, network in enumerate(networks) if network.curves]
    if not recorded:
        return Section("Loss curves")
    names, curves = zip(*recorded[:MOST_CURVES], strict=True)
    figure = losses.curves(names, [curve["val_loss"] for curve in curves], [curve["train_loss"] for curve in curves])
    alt = f"Validation and training loss by epoch of {len(names)} networks."
    caption = "Validation loss solid, training loss dotted. Click a name to show or hide it."
    return Section("Loss curves", charts=[Chart("Loss by epoch", figure, alt, caption, wide=True)])


def _pair_charts(networks: Sequence[TrackedNetwork], comparison: Comparison) -> Iterator[Chart]:
    numbers = [str(index) for index in range(len(networks))]
    chosen = numbers if comparison.places is None else [numbers[index] for index in comparison.places]
    raw, examined = comparison.relative_l2, comparison.examined
    highest = None if raw is None else max(distance.UNRELATED, float(np.nanmax(raw)))
    fresh = f"Neurons permuted, rescaled or flipped. Fresh networks are {report.number(comparison.null)} apart."
    functions = f"On the validation part ({comparison.disagreement_kind})."
    matrices = [
        ("Disagreement of the functions", comparison.disagreement, numbers, None, functions),
        ("Distance of the weights", raw, numbers, highest, f"Relative L2, with the neurons as they lie; {UNRELATED_TEXT}."),
        ("The same after matching neurons", comparison.aligned, chosen, highest, fresh),
    ]
    if examined:
        cka = "Debiased CKA: 1 is the same up to rotation and scale."
        matrices.append(("Similarity of the last hidden layer", examined.cka, chosen, 1.0, cka))
    for title, matrix, names, top, caption in matrices:
        if matrix is not None:
            yield Chart(title, charts.pair_matrix(matrix, names, top), f"{title} of each pair of networks. {caption}", caption)
    if examined and len(chosen) > 2:
        figure, share = charts.network_map(examined.aligned, chosen, [networks[index].val_loss for index in examined.places])
        caption = f"Networks that are alike after matching lie close together. The plane shows {share:.0%} of the distances."
        yield Chart("Map of the networks", figure, f"The networks as points in a plane. {caption}", caption)
    if examined and examined.raw_paths and examined.aligned_paths:
        paths, matched = examined.raw_paths.loss, examined.aligned_paths.loss
        figure = charts.lines_between(paths.alphas, paths.values, matched.values, "training loss")
        caption = "A hump is a barrier. Matched: the second network's neurons in the order of the first's."
        yield Chart("On the line between two networks", figure, f"Training loss on straight lines. {caption}", caption)
