"""The blame for the spread of a crossed cohort: each source's share in it, with one ulp as the noise floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from study.analysis import alignment, distance
from study.records.arrays import Array
from study.records.cohort import Cohort
from study.records.dataset import Dataset, shared
from study.records.outcome import Blame
from study.statistics.variance_components import Attribution, attribute, attribute_distances

ULP_REPLICATES = 8
LOSS, PREDICTIONS, WEIGHTS, ALIGNED = "val loss", "predictions", "weights", "aligned weights"
ALIGNING_SECONDS = 30.0  # for all pairs of cells; the aligned weights are left out where they would take longer


def blame(cohort: Cohort, datasets: Sequence[Dataset], ulp: Cohort | None = None) -> list[Blame]:
    """Attribute the spread of a crossed cohort's losses, functions and weights to its sources.

    ulp: replicates of the first cell that differ in one unit in the last place of one weight. Their variance is due to that digit
    alone, so its share of the cohort's variance is the floor under all other shares.
    """
    assert cohort.spec.replicates.crossed is not None
    design = dict(zip(cohort.spec.replicates.vary, cohort.spec.replicates.crossed, strict=True))
    cohorts = [cohort, *([ulp] if ulp else [])]

    def of_values(name: str, values: Callable[[Cohort], Array]) -> Blame:
        crossed, *near = (values(one).astype(np.float64).reshape(len(one), -1) for one in cohorts)
        return _blame(name, attribute(crossed, design), *(float(np.var(rows, axis=0, ddof=1).sum()) for rows in near))

    blames = [of_values(LOSS, lambda one: one.final(one.val_loss))]
    if shared(datasets, "x_val"):
        blames.append(of_values(PREDICTIONS, lambda one: one.predictions))
    blames.append(of_values(WEIGHTS, lambda one: distance.vectors(one.networks())))
    model = cohort.spec.model
    if alignment.seconds_a_pair(cohort.network) * len(cohort) ** 2 / 2 <= ALIGNING_SECONDS:
        apart, *near = (
            alignment.matched_distances(one.network, model.activation, norm_epsilon=model.norm_epsilon) for one in cohorts
        )
        # half the mean squared distance of two replicates is their variance
        halves = (float(np.sum(matrix**2) / (2 * len(matrix) * (len(matrix) - 1))) for matrix in near)
        blames.append(_blame(ALIGNED, attribute_distances(apart, design), *halves))
    return blames


def _blame(name: str, attribution: Attribution, floor: float | None = None) -> Blame:
    total = attribution.total_sd**2
    return Blame(
        of=name,
        shares={source: (part.share, part.low, part.high) for source, part in attribution.components.items()},
        chaos=(attribution.chaos.share, attribution.chaos.low, attribution.chaos.high),
        total_sd=attribution.total_sd,
        ulp=floor / total if floor is not None and np.isfinite(floor) and total else None,
    )
