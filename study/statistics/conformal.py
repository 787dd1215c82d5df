"""Prediction intervals by conformal prediction: as wide as the errors on rows that no judging network was trained on.

Where rows are exchangeable, an interval from the errors of n other rows covers a new row with at least the probability asked for,
and with at most 1 / (n + 1) more (Lei and others 2018). Here the errors are those of each row's out-of-fold prediction, so that no
rows need to be set aside. Fewer networks make that prediction than make the ensemble's, so it errs by more and the intervals are
rather too wide; proven is less, as for the CV+ of Barber and others (2021), so the tests measure the coverage. Widths are the same
for all rows: the SD over an ensemble's members isn't comparable between a row that most of them were trained on and a new one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a champion carries this module alone
    from study.records.arrays import Array, Doubles

MOST_KEPT, OF_MANY = 999, 99  # errors of each target column, which allow a coverage of 99.9 and 99%
MANY = 10  # columns


def out_of_fold(predictions: Array, trained: npt.NDArray[np.bool_]) -> Doubles:
    """Return the mean prediction over the networks that weren't trained on a row, [n, ...]; NaN for a row that all were trained on.

    predictions: [R, n, ...], in a unit that all share, such as the target's own, or probabilities of classes. trained: [R, n].
    """
    held_out = ~trained.reshape(trained.shape + (1,) * (predictions.ndim - 2))
    sums = predictions.sum(axis=0, dtype=np.float64, where=held_out)
    counts = held_out.sum(axis=0).astype(np.float64)
    return sums / np.where(counts > 0, counts, np.nan)


def kept(errors: Doubles) -> Doubles:
    """Return the sizes of errors that `halfwidths` needs, [m, outputs], sorted by column; of many rows, m of them.

    errors: [n, outputs]; rows that are NaN count for nothing. Every (n + 1) / (m + 1)-th size is kept, rounded up: widths by these
    are rather too wide, by less than one step.
    """
    sizes = np.sort(np.abs(errors[~np.isnan(errors).any(axis=1)]), axis=0)
    most = MOST_KEPT if sizes.shape[1] <= MANY else OF_MANY
    if len(sizes) <= most:
        return sizes
    ranks = np.arange(1, most + 1) * (len(sizes) + 1)
    return sizes[-(-ranks // (most + 1)) - 1]


def highest_coverage(errors: Doubles) -> float:
    """Return the highest coverage for which these errors, [n, outputs], give an interval that isn't infinite."""
    return len(errors) / (len(errors) + 1)


def halfwidths(errors: Doubles, coverage: float) -> Doubles:
    """Return half the width of each target column's prediction interval, [outputs]; infinite for too few rows.

    errors: of out-of-fold predictions, [n, outputs]; rows that are NaN count for nothing. coverage: between 0 and 1.
    """
    sizes = np.sort(np.abs(errors[~np.isnan(errors).any(axis=1)]), axis=0)
    rank = math.ceil((len(sizes) + 1) * coverage - 1e-9)  # less what the product rounds up
    return sizes[rank - 1] if rank <= len(sizes) else np.full(errors.shape[1], np.inf)
