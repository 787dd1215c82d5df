"""A table of a trial's errors on its validation rows, as a text that viewers such as MLflow's show beside another trial's.

For classes it is the confusion matrix; for numbers, the residuals where the target is small, and where it is large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from study.analysis import decision_threshold, forward
from study.data import scaling
from study.errors import shortened
from study.records.arrays import Array, Doubles
from study.records.cohort import Cohort
from study.records.dataset import Dataset
from study.settings.data import CLASSIFICATION
from study.statistics.rounding import MISSING

MOST_CLASSES, LONGEST_NAME = 50, 16  # letters
GROUPS = 10  # of validation rows by their target
DIGITS = 4
OF_CLASSES = "% of each true class (line) predicted as each class (column)"
OF_NUMBERS = "Residuals (true − predicted) by the true value"


def as_text(trained: Cohort, datasets: Sequence[Dataset]) -> str:
    """Return the table, over all replicates, each on its own validation rows; "" for more than MOST_CLASSES classes."""
    names = [shortened(name, LONGEST_NAME) for name in datasets[0].target_names]
    if trained.spec.data.task != CLASSIFICATION:
        about, table = OF_NUMBERS, _residuals(trained, datasets, names)
    elif len(names) <= MOST_CLASSES:
        about, table = OF_CLASSES, _confusion(trained, datasets, names)
    else:
        return ""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
    of = f", {len(trained)} replicates" if len(trained) > 1 else ""
    return "\n".join([about, f"Validation rows{of}", "", *lines, ""])


def _confusion(trained: Cohort, datasets: Sequence[Dataset], names: Sequence[str]) -> list[list[str]]:
    counts = np.zeros((len(names), len(names)))
    for outputs, data in zip(trained.predictions[:, None], datasets, strict=True):
        decided = decision_threshold.of_replicate(outputs, data, trained.spec.data)
        np.add.at(counts, (data.y_val.astype(int), forward.predicted_classes(decided)[0].astype(int)), 1)
    rows = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(rows, 1)[:, None]
    # errors stand out among dashes
    lines = [
        [name, f"{count:.0f}", *(f"{share:.1f}" if share else MISSING for share in line)]
        for name, count, line in zip(names, rows, shares, strict=True)
    ]
    return [["", "rows", *names], *lines]


def _residuals(trained: Cohort, datasets: Sequence[Dataset], names: Sequence[str]) -> list[list[str]]:
    """Tabulate GROUPS groups of about as many rows each, by each target, in its own unit."""
    scales = scaling.by_replicate(trained.spec, trained.spec.replicates.numbers, scaling.targets_of)
    predicted, truth = (
        np.concatenate([scaling.in_units(scale, each.astype(np.float64)) for scale, each in zip(scales, of, strict=True)])
        for of in (trained.predictions, [data.y_val for data in datasets])
    )
    lines = [line for name, *of in zip(names, predicted.T, truth.T, strict=True) for line in _of_target(name, *of)]
    table = [["target", "from", "to", "rows", "mean residual", "RMSE"], *lines]
    return table if len(names) > 1 else [line[1:] for line in table]


def _of_target(name: str, predicted: Doubles, truth: Doubles) -> Iterator[list[str]]:
    """Yield the lines of a target; predicted, truth: [rows]. Rows with the same value are in one group."""
    ends = np.unique(np.quantile(truth, np.linspace(0, 1, GROUPS + 1)))
    group = np.clip(np.searchsorted(ends, truth, "right") - 1, 0, max(0, len(ends) - 2))
    for number in np.unique(group):
        own: Array = truth[group == number]
        residuals = own - predicted[group == number]
        mean, rmse = residuals.mean(), np.sqrt(np.square(residuals).mean())
        yield [name, _written(own.min()), _written(own.max()), str(len(own)), _written(mean), _written(rmse)]


def _written(value: float) -> str:
    """Return a number to DIGITS significant digits, without an exponent as long as it is short."""
    plain = np.format_float_positional(value, precision=DIGITS, unique=False, fractional=False, trim="-")
    return plain if len(plain) <= 2 * DIGITS else f"{value:.{DIGITS}g}"
