"""Who is to blame for the spread of a crossed cohort: each source's share in what differs, with one ulp as the noise floor."""

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
ALIGNING_SECONDS = 30.0  # at most, for every two cells; else the aligned weights are left out


def blame(cohort: Cohort, datasets: Sequence[Dataset], ulp: Cohort | None = None) -> list[Blame]:
    """What each source of a crossed cohort does to the loss, the function and the weights.

    ulp: replicates of the first cell that differ in one unit of the last place of one weight. What they differ by is no more than
    the last digit's doing, and its share of the cohort's variance the floor under all others.
    """
    assert cohort.spec.replicates.crossed is not None
    design = dict(zip(cohort.spec.replicates.vary, cohort.spec.replicates.crossed, strict=True))
    cohorts = [cohort, *([ulp] if ulp else [])]

    def of_values(name: str, values: Callable[[Cohort], Array]) -> Blame:
        found, *near = (values(each).astype(np.float64).reshape(len(each), -1) for each in cohorts)
        return _plain(name, attribute(found, design), *(float(np.var(each, axis=0, ddof=1).sum()) for each in near))

    found = [of_values(LOSS, lambda each: each.final(each.val_loss))]
    if shared(datasets, "x_val"):
        found.append(of_values(PREDICTIONS, lambda each: each.predictions))
    found.append(of_values(WEIGHTS, lambda each: distance.vectors(each.networks())))
    model = cohort.spec.model
    if alignment.seconds_a_pair(cohort.network) * len(cohort) ** 2 / 2 <= ALIGNING_SECONDS:
        apart, *near = (
            alignment.matched_distances(each.network, model.activation, norm_epsilon=model.norm_epsilon) for each in cohorts
        )
        # half the mean squared distance of two replicates is their variance
        halves = (float(np.sum(matrix**2) / (2 * len(matrix) * (len(matrix) - 1))) for matrix in near)
        found.append(_plain(ALIGNED, attribute_distances(apart, design), *halves))
    return found


def _plain(name: str, found: Attribution, floor: float | None = None) -> Blame:
    total = found.total_sd**2
    return Blame(
        of=name,
        shares={source: (each.share, each.low, each.high) for source, each in found.components.items()},
        chaos=(found.chaos.share, found.chaos.low, found.chaos.high),
        total_sd=found.total_sd,
        ulp=floor / total if floor is not None and np.isfinite(floor) and total else None,
    )
