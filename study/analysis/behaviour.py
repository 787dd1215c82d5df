"""Measures of what a model does with its columns, and where it errs: permutation importance, partial dependence, confusion.

A column is one of the table's. It may be several inputs, which are shuffled and set together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from study.records.arrays import Array, Doubles
from study.records.behaviour import LOG_LOSS, R2, Behaviour, Dependence, Importance
from study.sampling import evenly
from study.statistics import conformal

REPEATS = 5
# multiplications of all predictions, about two seconds of one core; rows for importance and dependence
BUDGET, MOST_ROWS, FEWEST_ROWS = 1e10, 1000, 50
AT_ONCE = 4096  # rows predicted in one call
MOST_DEPENDENCES, MOST_VALUES = 12, 20
MOST_RESIDUALS, MOST_CLASSES = 500, 50


class JudgedColumn(NamedTuple):
    """A table's column: the positions of its inputs, and the values at which dependence is measured, encoded: [values, inputs]."""

    at: Sequence[int]
    values: Sequence[float | str]
    encoded: Array


class JudgedModel(NamedTuple):
    """A model of R members on encoded rows, [n, inputs].

    predict: returns each member's prediction, [n, R, units], of classes probabilities, or the second's of two. cost: its
    multiplications for one row. outputs: the names of the targets or classes. threshold: the probability of the second of two
    classes above which it is predicted; None for the likelier class.
    """

    predict: Callable[[Array], Array]
    cost: float
    outputs: tuple[str, ...]
    classifies: bool
    threshold: float | None = None


def measure(
    model: JudgedModel,
    x: Array,
    truth: Array,
    unseen: npt.NDArray[np.bool_],
    columns: Mapping[str, JudgedColumn],
    draw: np.random.Generator,
    trial: int,
    part: str,
) -> Behaviour:
    """Measure a model on rows, [n, inputs]. Deterministic: `draw` shuffles, and rows are limited by a count of multiplications.

    truth: [n, targets], or class numbers [n]. unseen: the rows that each member wasn't trained on, [R, n]; a member is judged by
    these alone.
    """
    every = _of_outputs(model, model.predict(x))
    known = np.isfinite(every).all(axis=(1, 2)) & unseen.any(axis=0)
    x, truth, unseen, every = x[known], truth[known], unseen[:, known], every[known]
    mean = conformal.out_of_fold(np.moveaxis(every, 1, 0), ~unseen)
    few = evenly(len(x), _affordable(model, len(columns)))
    score = LOG_LOSS if model.classifies else R2
    importance: list[Importance] = []
    dependence: list[Dependence] = []
    if len(few) >= min(FEWEST_ROWS, len(x)) and len(few) > 1:
        positions = {name: column.at for name, column in columns.items()}
        shuffled = importances(model, x[few], truth[few], unseen[:, few], positions, draw)
        judged = unseen[:, few].any(axis=1)  # a member may have been trained on all of these
        importance = [Importance(name, tuple(map(float, values[judged]))) for name, values in shuffled.items()]
        importance.sort(key=lambda column: -float(np.mean(column.by_member)))
        if len(model.outputs) <= MOST_CLASSES:
            first = [each.column for each in importance if len(columns[each.column].values) > 1][:MOST_DEPENDENCES]
            dependence = [_dependence(model, x[few], name, columns[name]) for name in first]
    shown = evenly(len(x), MOST_RESIDUALS)
    return Behaviour(
        trial=trial,
        part=part,
        rows=len(x),
        measured=len(few) if importance else 0,
        score=score,
        repeats=REPEATS,
        columns=len(columns),
        outputs=model.outputs,
        importance=tuple(importance),
        dependence=tuple(dependence),
        residuals=() if model.classifies else _pairs(mean[shown], truth[shown]),
        confusion=_confusion(model, mean, truth) if model.classifies and len(model.outputs) <= MOST_CLASSES else (),
    )


def _affordable(model: JudgedModel, columns: int) -> int:
    """Return how many rows importance and dependence can have; 0 where they would be too few to measure anything."""
    passes = columns * REPEATS + min(columns, MOST_DEPENDENCES) * MOST_VALUES
    rows = int(BUDGET / (passes * model.cost))
    return min(MOST_ROWS, rows) if rows >= FEWEST_ROWS else 0


def importances(
    model: JudgedModel,
    x: Array,
    truth: Array,
    unseen: npt.NDArray[np.bool_],
    columns: Mapping[str, Sequence[int]],
    draw: np.random.Generator,
) -> dict[str, Doubles]:
    """Return how much each member's score worsens where a column's inputs are shuffled, [R], mean over REPEATS shuffles.

    columns: the positions of each one's inputs. Arguments as for `measure`.
    """
    [whole] = _predictions(model, [x])
    base = scores(whole, truth, unseen, classes=model.classifies)
    variants = (_with(x, at, x[draw.permutation(len(x))][:, at]) for at in columns.values() for _ in range(REPEATS))
    changed = (scores(each, truth, unseen, classes=model.classifies) for each in _predictions(model, variants))
    sign = 1 if model.classifies else -1
    return {name: sign * (np.mean(list(itertools.islice(changed, REPEATS)), axis=0) - base) for name in columns}


def dependence(model: JudgedModel, x: Array, column: JudgedColumn) -> tuple[Doubles, Doubles]:
    """Return the mean prediction over the rows with each of the column's values in all of them: mean and SD over the members.

    Both [values, outputs].
    """
    variants = (_with(x, column.at, encoded) for encoded in column.encoded)
    means = np.array([each.mean(axis=0, dtype=np.float64) for each in _predictions(model, variants)])  # [values, R, outputs]
    several = means.shape[1] > 1
    return means.mean(axis=1), means.std(axis=1, ddof=1) if several else np.full(means[:, 0].shape, math.nan)


def _dependence(model: JudgedModel, x: Array, name: str, column: JudgedColumn) -> Dependence:
    mean, sd = dependence(model, x, column)
    known = [tuple(None if math.isnan(value) else float(value) for value in row) for row in sd]
    return Dependence(name, tuple(column.values), tuple(tuple(map(float, row)) for row in mean), tuple(known))


def scores(predicted: Array, truth: Array, unseen: npt.NDArray[np.bool_], *, classes: bool) -> Doubles:
    """Return each member's score on its own unseen rows, [R]: R², averaged over the targets that vary, or the log loss.

    predicted: [n, R, outputs]; truth, unseen: as for `measure`.
    """
    own = unseen.T  # [n, R]
    if classes:
        smallest = np.finfo(predicted.dtype).eps
        probability = np.clip(predicted[np.arange(len(truth)), :, truth], smallest, 1 - smallest).astype(np.float64)
        return -np.log(probability).sum(axis=0, where=own) / np.maximum(1, own.sum(axis=0))
    wanted = np.broadcast_to(truth[:, None, :].astype(np.float64), predicted.shape)
    own = np.broadcast_to(own[..., None], predicted.shape)
    residual = np.square(predicted - wanted).sum(axis=0, where=own)
    mean = wanted.sum(axis=0, where=own) / np.maximum(1, own.sum(axis=0))
    total = np.square(wanted - mean).sum(axis=0, where=own)
    share = np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), 0.0)
    return share.sum(axis=1) / np.maximum(1, (total > 0).sum(axis=1))


def _with(x: Array, at: Sequence[int], values: Array) -> Array:
    changed = x.copy()
    changed[:, at] = values
    return changed


def _predictions(model: JudgedModel, variants: Iterable[Array]) -> Iterator[Array]:
    """Return the members' predictions of each variant of the same rows, [n, R, outputs], several of them at once."""
    remaining = iter(variants)
    for first in remaining:
        group = [first, *itertools.islice(remaining, max(0, AT_ONCE // len(first) - 1))]
        yield from np.split(_of_outputs(model, model.predict(np.concatenate(group))), len(group))


def _of_outputs(model: JudgedModel, predicted: Array) -> Array:
    """Return one prediction for each output: of two classes, a single one is the probability of the second."""
    return np.concatenate([1 - predicted, predicted], axis=-1) if predicted.shape[-1] < len(model.outputs) else predicted


def _pairs(predicted: Doubles, truth: Array) -> tuple[tuple[tuple[float, float], ...], ...]:
    pairs = np.stack([predicted, truth], axis=-1).astype(float)  # [n, targets, 2]
    return tuple(tuple((own, wanted) for own, wanted in target) for target in pairs.swapaxes(0, 1).tolist())


def _confusion(model: JudgedModel, mean: Doubles, truth: Array) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros((mean.shape[1], mean.shape[1]), np.int64)
    predicted = mean.argmax(axis=1) if model.threshold is None else (mean[:, 1] > model.threshold).astype(int)
    np.add.at(counts, (truth, predicted), 1)
    return tuple(tuple(map(int, row)) for row in counts)


def values_of(encoded: Array, by: int | None) -> Array:
    """Return the values of a column at which its dependence is measured, of its encoded rows, [n, inputs]: at most MOST_VALUES.

    by: the input whose quantiles they are, from 2.5 to 97.5%; None takes the most frequent values. Rows with a gap don't count.
    """
    whole = encoded[np.isfinite(encoded).all(axis=1)]
    if not len(whole):
        return whole
    if by is not None:
        whole = whole[np.argsort(whole[:, by], kind="stable")]
        cut = len(whole) // 40
        inner = whole[cut : len(whole) - cut]
        return _unique(inner[evenly(len(inner), MOST_VALUES)])[0]
    different, counts = _unique(whole)
    return different[np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])]


def _unique(rows: Array) -> tuple[Array, Array]:
    """Return different rows in the order of their first ones, and their counts."""
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return rows[first[order]], counts[order]
