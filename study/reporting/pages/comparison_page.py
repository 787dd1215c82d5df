"""The page of networks side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from study.analysis import distance
from study.analysis.comparison import Comparison
from study.records.tracked import TrackedNetwork, TrackedTrial
from study.reporting import comparison_tables, report, two_trials
from study.reporting.pages import network_sections, page
from study.reporting.pages.charts import losses
from study.reporting.pages.charts import networks as charts
from study.reporting.pages.charts.style import UNRELATED_TEXT
from study.reporting.pages.page import Chart, Listing, Page, Section
from study.reporting.two_trials import Better
from study.tracking.schema import TRAIN_LOSS, VAL_LOSS

MOST_CURVES, MOST_BANDS = 8, 6


def write(networks: Sequence[TrackedNetwork], comparison: Comparison, file: Path, lead: Better | None = None) -> None:
    """Write the page of networks and how they compare. lead: which of two trials is better. Raises NotWritable."""
    page.write(build(networks, comparison, lead), file)


def build(networks: Sequence[TrackedNetwork], comparison: Comparison, lead: Better | None = None) -> Page:
    described = [Listing(title, table) for title, table in comparison_tables.network_tables(networks, comparison)]
    pairs = [Listing(title, table) for title, table in comparison_tables.pair_tables(comparison)]
    sections = [
        Section("Settings that differ, and losses", tables=described),
        _loss_curves(networks),
        Section("Functions and weights", charts=list(_pair_charts(networks, comparison))),
        Section("In numbers", tables=pairs),
    ]
    verdict = comparison.verdict
    facts = [f"{report.capitalised(lead.evidence)}."] if lead and lead.evidence else []
    facts += filter(None, [two_trials.functions_apart(networks), comparison_tables.conclusion(networks, comparison)])
    counts = Counter(map(two_trials.trial_address, networks))
    return Page(
        title=f"{len(networks)} networks side by side",
        subtitle=", ".join(f"{trial} ({count} network{'s' * (count > 1)})" for trial, count in counts.items()),
        # which is better comes first, then how the networks differ
        headline=f"{lead.claim}." if lead else f"{verdict.name}." if verdict else f"{comparison.distinct} different fingerprints.",
        facts=facts,
        evidence={"networks": str(len(networks)), "different fingerprints": str(comparison.distinct)},
        sections=[section for section in sections if not section.empty],
    )


def _loss_curves(networks: Sequence[TrackedNetwork]) -> Section:
    recorded = [(index, network) for index, network in enumerate(networks) if network.curves]
    if not recorded:
        return Section("Loss curves")
    trials: dict[str, list[TrackedNetwork]] = {}
    for _, network in recorded:
        trials.setdefault(two_trials.trial_address(network), []).append(network)
    if len(recorded) > MOST_CURVES and len(trials) <= MOST_BANDS:
        return network_sections.loss_curves(list(trials), list(map(_as_trial, trials.values())))
    # numbered as in the tables
    chosen = recorded[:MOST_CURVES]
    names = [f"{index}: {two_trials.network_address(network)}" for index, network in chosen]
    curves = [network.curves for _, network in chosen]
    figure = losses.curves(names, [curve[VAL_LOSS] for curve in curves], [curve[TRAIN_LOSS] for curve in curves])
    alt = f"Validation and training loss by epoch of {len(names)} networks."
    caption = "Validation loss solid, training loss dotted. Click a name to show or hide it."
    return Section("Loss curves", charts=[Chart("Loss by epoch", figure, alt, caption, wide=True)])


def _as_trial(networks: Sequence[TrackedNetwork]) -> TrackedTrial:
    """Return a trial's networks with their curves as one record."""
    train, val = (np.stack([network.curves[name] for network in networks]) for name in (TRAIN_LOSS, VAL_LOSS))
    return TrackedTrial([network.number or 0 for network in networks], train, val, [network.target for network in networks], {})


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
