"""Warnings about a table that can be trained on, but may not mean what it seems to: each is a sentence, and none is an error."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
import scipy

from study import seeds
from study.data import hints, loading, splits
from study.data.encoding import DATE, LEVELS, NUMBER, TableColumn
from study.data.roles import is_identifier
from study.data.rows import Rows
from study.errors import visible
from study.records.arrays import Array, Doubles
from study.settings.data import RANDOM, SPLIT, STANDARD, UserTable
from study.settings.spec import TrialSpec

# the rows looked at, and the fewest that show anything
MOST_ROWS, LEAST_ROWS = 20_000, 50
FEW = 10  # rows of a class
# a column of which this share of the rows holds one value is nearly constant
NEARLY = 0.99
# the share of a target's variance, or of its changes of class, that neighbours by one column still show if that column predicts it
LEFT_BY_A_LEAK = 0.002
# a target's number is far from all others if it lies this many times their range beyond it; skewed from this skewness on
FAR, SKEWED = 3.0, 2.0
REPEATED = 0.05  # share of a part's rows
SHUFFLE = 5  # position in the stream of the `data` seed, after those of `splits`
MOST_TEXT = 200


def of_table(spec: TrialSpec) -> Iterator[str]:
    """Yield the warnings about a trial's table; nothing for other data. Raises BadInput if the data can't be loaded."""
    if not isinstance(spec.data, UserTable):
        return
    rows, train, val = splits.replicate_parts(spec, spec.replicates.first)
    _, others, test = splits.tested_parts(spec)
    sample = seeds.generator(loading.root_seed(spec), SHUFFLE).permutation(others)[:MOST_ROWS]
    yield from _far_targets(rows)
    yield from _skewed_targets(rows, sample, spec.data)
    yield from _leaks(rows, sample)
    yield from _duplicates(rows, train, {"validation": val, "test": test})
    yield from _identifiers(rows)
    yield from _few(rows, others)
    width = rows.x.shape[1]
    if width > len(train):
        yield f"more columns of inputs ({width:,}) than rows to train on ({len(train):,})"
    yield from _constants(rows, sample)
    dates = [column.name for column in rows.columns if column.role == DATE]
    if dates and spec.data.split == RANDOM:
        by_time = hints.time_hint(dates[0], [] if spec.data.resample == SPLIT else [f"data.resample={SPLIT}"])
        yield f"rows in time ({_listed(dates)}) and a random split; if new rows come later, judge by the latest: {by_time}"


def _columns(rows: Rows, sample: Array) -> Iterator[tuple[TableColumn, Doubles]]:
    """Yield each column with its values, [n], a level's number in place of the level; the main part of a date is its days."""
    for column, at in rows.placed:
        part = rows.x[sample, at]
        if column.role == LEVELS:
            yield column, part.argmax(axis=1).astype(np.float64)
        else:
            yield column, part[:, len(column.parts) - 1 if column.parts else 0].astype(np.float64)


def _leaks(rows: Rows, sample: Array) -> Iterator[str]:
    """Report columns that alone predict the target: rows sorted by one have neighbours of almost the same target."""
    if len(sample) < LEAST_ROWS:
        return
    # ranks, since a few far targets would count for all
    targets = [(name, of, scipy.stats.rankdata(of) if rows.labels is None else of) for name, of in _targets(rows, sample)]
    for column, values in _columns(rows, sample):
        # equal values stay in random order, as `sample` is
        order = np.argsort(values, kind="stable")
        known = order[~np.isnan(values[order])]
        if len(known) < LEAST_ROWS:
            continue
        for name, target, ranks in targets:
            if rows.labels is None:
                own = ranks[known] if len(known) == len(order) else scipy.stats.rankdata(target[known])
                left = np.mean(np.square(np.diff(own))) / max(2 * own.var(), 1e-300)
            else:
                shares = np.bincount(target[known].astype(int)) / len(known)
                changes = np.count_nonzero(np.diff(target[known])) - (np.count_nonzero(shares) - 1)
                left = changes / len(known) / max(1 - np.sum(np.square(shares)), 1e-300)
            if left < LEFT_BY_A_LEAK:
                yield f"{_shown(column.name)} alone predicts {name} almost exactly: known beforehand? else leave it out (data.drop)"
                break


def _far_targets(rows: Rows) -> Iterator[str]:
    """Report targets of which one number is as far from all others as a row of totals is."""
    if rows.labels is not None or len(rows.y) < LEAST_ROWS:
        return
    for name, column in zip(rows.target_names, rows.y.T.astype(np.float64), strict=True):
        order = np.argsort(column)
        for far, others in ((order[-1], order[:-1]), (order[0], order[1:])):
            least, most = column[others[0]], column[others[-1]]
            # the largest of a skewed target is near the others by its logarithm
            in_line = column[far] > most > least > 0 and column[far] / most < most / least
            if max(column[far] - most, least - column[far]) > FAR * (most - least) > 0 and not in_line:
                where = "the last row" if far == len(column) - 1 else f"row {far + 1:,}"
                told = f"{column[far]:.6g} in {where}, all others between {least:.6g} and {most:.6g}"
                yield f"{_shown(name)} has a number far from all others ({told}): if it is a total or an error, correct the file"


def _skewed_targets(rows: Rows, sample: Array, settings: UserTable) -> Iterator[str]:
    """Report positive targets whose variance is that of a few rows, and whose logarithm is spread evenly."""
    if rows.labels is not None or len(sample) < LEAST_ROWS or settings.normalise_target != STANDARD:
        return
    for name, target in _targets(rows, sample):
        if target.min() > 0 and scipy.stats.skew(target) > SKEWED > 2 * abs(scipy.stats.skew(np.log(target))):
            squares = np.sort(np.square(target - target.mean()))[::-1]
            share = squares[: max(1, len(squares) // 100)].sum() / squares.sum()
            why = f"{share:.0%} of its variance is in 1% of the rows; data.normalise_target=log predicts its logarithm"
            yield f"{_shown(name)} is skewed: {why}, and judges errors in proportion"


def _targets(rows: Rows, sample: Array) -> Iterator[tuple[str, Array]]:
    if rows.labels is not None:
        yield "the class", rows.labels[sample]
    else:
        yield from zip(map(_shown, rows.target_names), rows.y[sample].T.astype(np.float64), strict=True)


def _duplicates(rows: Rows, train: Array, parts: dict[str, Array]) -> Iterator[str]:
    """Report rows of the other parts that are equal to a row to train on."""
    if len(rows.x) > MOST_ROWS * 10:
        return
    table = np.hstack([rows.x, rows.y.reshape(len(rows.y), -1)], dtype=np.float32, casting="same_kind")
    known = {table[row].tobytes() for row in train}
    found = {name: sum(table[row].tobytes() in known for row in part) for name, part in parts.items()}
    if any(count > REPEATED * len(parts[name]) for name, count in found.items()):
        listed = " and ".join(f"{count:,} of {len(parts[name]):,} {name} rows" for name, count in found.items() if count)
        yield f"{listed} are equal to a row to train on: they judge what is remembered (data.split, data.group)"


def _identifiers(rows: Rows) -> Iterator[str]:
    """Report columns of numbers that number the rows, or are all different and named like identifiers."""
    named = [
        _shown(column.name)
        for column, at in rows.placed
        if column.role == NUMBER and len(rows.x) >= LEAST_ROWS and _names_rows(column.name, rows.x[:, at.start].astype(np.float64))
    ]
    if named:
        yield f"inputs that number the rows, or identify them: {_listed(named)} (data.drop leaves them out)"


def _names_rows(name: str, values: Doubles) -> bool:
    steps = np.diff(values)
    return bool((steps == 1).all()) or (is_identifier(name) and len(np.unique(values)) == len(values) and not (values % 1).any())


def _few(rows: Rows, others: Array) -> Iterator[str]:
    if rows.labels is None:
        return
    counts = np.bincount(rows.labels[others], minlength=len(rows.target_names))
    few = [f"{_shown(rows.target_names[number])} ({counts[number]})" for number in np.flatnonzero(counts < FEW)]
    if few:
        yield f"class{'es' * (len(few) > 1)} of fewer than {FEW} rows outside the test part: {_listed(few)}"


def _constants(rows: Rows, sample: Array) -> Iterator[str]:
    if len(sample) < LEAST_ROWS:
        return
    nearly = []
    for column, values in _columns(rows, sample):
        known = values[~np.isnan(values)]
        most = np.unique(known, return_counts=True)[1].max(initial=0)
        if NEARLY * len(values) <= most < len(values):
            nearly.append(f"{_shown(column.name)} ({most / len(values):.1%})")
    if nearly:
        yield f"nearly constant columns, by the share of their most frequent value: {_listed(nearly)}"


def _listed(names: list[str]) -> str:
    return textwrap.shorten(", ".join(names), MOST_TEXT, placeholder=f" … ({len(names)})")


def _shown(name: str) -> str:
    return textwrap.shorten(visible(name), 60) or "''"
