"""Sections on the networks of trials: loss curves, and the replicates of one trial compared pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.analysis import disagreement, distance
from study.records.dataset import task_of
from study.records.outcome import Summary
from study.records.tracked import TrackedTrial
from study.reporting import report
from study.reporting.pages.charts import losses, networks
from study.reporting.pages.charts.style import UNRELATED_TEXT
from study.reporting.pages.page import Chart, Section
from study.settings.data import CLASSIFICATION


def loss_curves(names: Sequence[str], trials: Sequence[TrackedTrial], note: str = "") -> Section:
    """Return the loss curves of a few trials, the first one with its replicates; empty without trials.

    note: on how to read the names.
    """
    if not trials:
        return Section("Loss curves")
    numbers = [trial.numbers for trial in trials]
    parts = {"Training": [trial.train_loss for trial in trials], "Validation": [trial.val_loss for trial in trials]}
    axis = losses.shown_axis(list(parts.values()))
    caption = (
        f"A thick line is the median over a trial's replicates, a band their range; thin lines are the replicates of {names[0]}. "
        f"Both charts have one scale, which cuts off the first epochs.{note}"
    )
    charts = [
        Chart(
            f"{part} loss by epoch",
            losses.bands(names, numbers, of_part, axis),
            f"{part} loss by epoch of the replicates of {', '.join(names)}.",
            caption if part == "Validation" else "",
        )
        for part, of_part in parts.items()
    ]
    return Section("Loss curves", charts=charts)


def verdict(summary: Summary) -> str:
    """Return the verdict on a trial's replicates with its reasons; nothing for a trial of one replicate."""
    return f"Verdict: {summary.verdict}. {'; '.join(summary.reasons)}." if summary.verdict else ""


def compared(name: str, summary: Summary, trial: TrackedTrial, *texts: str, closed: bool = False) -> Section:
    """Compare the replicates of a trial pair by pair, below `texts`; empty for a trial of one replicate."""
    title, arrays = f"The networks of {name}", trial.comparison
    if not arrays:
        return Section(title)
    chosen = arrays["places"]
    numbers = [str(trial.numbers[index]) for index in chosen]
    few = f"{len(numbers)} of {len(trial.numbers)} replicates are compared." if len(numbers) < len(trial.numbers) else ""
    highest = max(distance.UNRELATED, float(np.nanmax(arrays["relative_l2"])))
    fresh = report.number(float(arrays["null"]))
    raw, aligned = report.number(summary.distance), report.aligned_text(summary)
    plane, share = networks.network_map(arrays["aligned"], numbers, np.array(summary.val_losses)[chosen])
    charts = [
        Chart(
            "Distance of the weights",
            networks.pair_matrix(arrays["relative_l2"], numbers, highest),
            f"Relative L2 distance of each pair of replicates; the mean is {raw}.",
            f"Relative L2, with the neurons as they lie. The mean is {raw}; {UNRELATED_TEXT}.",
        ),
        Chart(
            "The same after matching neurons",
            networks.pair_matrix(arrays["aligned"], numbers, highest),
            f"Distance of each pair after matching neurons; the mean is {aligned} of the distance between fresh networks.",
            f"Neurons permuted, rescaled or flipped as the activation allows. Fresh networks are {fresh} apart.",
        ),
        Chart(
            "Map of the networks",
            plane,
            "The networks as points in a plane, at distances as near as possible to the matched ones.",
            f"Networks that are alike after matching lie close together. The plane shows {share:.0%} of the distances.",
        ),
    ]
    classes = task_of(trial.targets[0]) == CLASSIFICATION
    path, quantity = ("error", "validation error") if classes else ("loss", "training loss")
    if "alphas" in arrays and f"raw_{path}" in arrays:
        barrier = f"{report.number(summary.barrier)} as they lie and {report.number(summary.aligned_barrier)} matched"
        unit = "error rate" if classes else "units of the loss of the best constant prediction"
        charts.append(
            Chart(
                "On the line between two networks",
                networks.lines_between(arrays["alphas"], arrays[f"raw_{path}"], arrays[f"aligned_{path}"], quantity),
                f"The {quantity} on straight lines between replicates. The highest barrier is {barrier}.",
                f"A hump is a barrier. The highest is {barrier}, in {unit}.",
            )
        )
    if "disagreement" in arrays:
        mean = report.number(summary.disagreement)
        charts.append(
            Chart(
                "Disagreement of the functions",
                networks.pair_matrix(arrays["disagreement"], numbers, None),
                f"Difference between the predictions of each pair on the validation part; the mean is {mean}.",
                f"Of the predictions on the validation part ({disagreement.kind(trial.targets[0])}). The mean is {mean}.",
            )
        )
    return Section(title, [text for text in (*texts, few) if text], charts, closed=closed)
