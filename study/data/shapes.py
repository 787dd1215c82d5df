"""Curves that columns are bent by before they are centred: logarithm, Yeo and Johnson's power, and normal scores of the ranks.

Each curve is plain numbers, learned from one column of the training part, and is drawn by the operations of NumPy or of Keras,
whichever are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from study import collector
from study.records.arrays import Array, Doubles
from study.settings.data import LOG, POWER, QUANTILE

KNOTS = 128  # a power of two, for the search of `_between`
SAME = 1e-9  # of a column's range
FAR = 1e300  # stands for infinity, which JSON lacks
LARGEST_LOG = 85.0  # exp(85) is about the largest number of `settings.data.LARGEST`


class Shape(NamedTuple):
    """A curve of one of the kinds LOG, POWER and QUANTILE.

    power: the exponent. knots, scores: QUANTILE's curve is linear between these points, KNOTS of each. low, high: the range of the
    curve's values in training, which predictions of a target don't leave, except by LOG.
    """

    kind: str
    power: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    low: float = -FAR
    high: float = FAR


def learn(kind: str, column: Doubles, *, flag: bool) -> Shape | None:
    """Learn a curve of this kind from a column without gaps that isn't constant, [n]; None if the kind bends nothing.

    flag: the column holds 0 and 1, which stay as they are.
    """
    if kind == LOG:
        return Shape(LOG)
    if kind == POWER:
        power = 1.0 if flag else _power(column)
        bent = _yeo_johnson(np, column, power)
        return Shape(POWER, power, low=float(bent.min()), high=float(bent.max()))
    if kind == QUANTILE:
        knots, scores = (np.array([0.0, 1.0]),) * 2 if flag else _normal_scores(column)
        more = KNOTS - len(knots)
        return Shape(
            QUANTILE,
            knots=(*knots.tolist(), *[FAR] * more),
            scores=(*scores.tolist(), *[float(scores[-1])] * more),
            low=float(scores[0]),
            high=float(scores[-1]),
        )
    return None


def _power(column: Doubles) -> float:
    with collector.held():
        from sklearn.preprocessing import PowerTransformer  # a second, which other scales don't need

    with np.errstate(all="ignore"):
        (power,) = PowerTransformer(standardize=False).fit(column[:, None]).lambdas_
    return float(power) if np.isfinite(power) else 1.0


def _normal_scores(column: Doubles) -> tuple[Doubles, Doubles]:
    """Return the column's quantiles and their normal scores; those of equal quantiles are one, at the middle of their ranks."""
    from scipy.special import ndtri

    with collector.held():
        from sklearn.preprocessing import QuantileTransformer

    count = min(KNOTS, len(column))
    learned = QuantileTransformer(n_quantiles=count, subsample=None).fit(column[:, None])
    quantiles = learned.quantiles_[:, 0]
    # interpolation leaves equal values apart by a last digit, between which the curve would be a cliff
    first = np.r_[0, np.flatnonzero(np.diff(quantiles) > SAME * (quantiles[-1] - quantiles[0])) + 1]
    knots, last = quantiles[first], np.r_[first[1:], count] - 1
    ranks = (first + last) / 2 / max(1, count - 1)
    # the ends of n ranks, whose own scores are infinite
    return knots, ndtri(np.clip(ranks, 0.5 / len(column), 1 - 0.5 / len(column)))


def bend(shapes: Sequence[Sequence[Shape]], x: Any, ops: Any = np) -> Any:
    """Apply curves of one kind, [R][columns], to values, [n, R, columns]."""
    kind, fields = _stacked(shapes)
    if kind == LOG:
        return ops.log(x)
    if kind == POWER:
        return _yeo_johnson(ops, x, fields["power"])
    return _between(ops, x, fields["knots"], fields["scores"])


def unbend(shapes: Sequence[Sequence[Shape]], y: Any, ops: Any = np) -> Any:
    """Undo `bend`."""
    kind, fields = _stacked(shapes)
    if kind == LOG:
        return ops.exp(ops.clip(y, -LARGEST_LOG, LARGEST_LOG))
    y = ops.minimum(ops.maximum(y, fields["low"]), fields["high"])
    if kind == POWER:
        return _yeo_johnson(ops, y, fields["power"], back=True)
    knots = fields["knots"]
    last = np.where(knots == FAR, -FAR, knots).max(axis=-1, keepdims=True)
    return _between(ops, y, fields["scores"], np.minimum(knots, last))


def bent(shape: Shape, column: Doubles) -> Doubles:
    """Apply a curve to one column's values, of any dimensions."""
    return np.asarray(bend([[shape]], column.reshape(-1, 1, 1))).reshape(column.shape)


def unbent(shape: Shape, column: Doubles) -> Doubles:
    """Undo `bent`."""
    return np.asarray(unbend([[shape]], column.reshape(-1, 1, 1))).reshape(column.shape)


def softening(x: Any, limit: float, ops: Any = np) -> Any:
    """Return what values are divided by to keep them smoothly below a limit: √(1 + (x / limit)²)."""
    return ops.sqrt(1 + ops.square(x / limit))


def _stacked(shapes: Sequence[Sequence[Shape]]) -> tuple[str, dict[str, Array]]:
    """Return the kind, and each field as an array, [R, columns, ...]."""
    names = [name for name in Shape._fields if name != "kind"]
    fields = {name: np.array([[getattr(shape, name) for shape in of_one] for of_one in shapes]) for name in names}
    return shapes[0][0].kind, fields


def _yeo_johnson(ops: Any, x: Any, power: Any, *, back: bool = False) -> Any:
    """Yeo & Johnson (2000), doi:10.1093/biomet/87.4.954: a power of 1 + x, and of 1 − x below 0."""
    sizes = []
    for exponent, size in ((power, ops.maximum(x, 0.0)), (2 - power, ops.maximum(-x, 0.0))):
        exponent = np.where(np.abs(exponent) < 1e-12, 1e-12, exponent)  # the limit is a logarithm
        if back:
            sizes.append(ops.expm1(ops.log1p(ops.maximum(size * exponent, 1e-15 - 1)) / exponent))
        else:
            sizes.append(ops.expm1(ops.log1p(size) * exponent) / exponent)
    return sizes[0] - sizes[1]


def _between(ops: Any, x: Any, knots: Array, scores: Array) -> Any:
    """Interpolate linearly between knots, [..., columns, KNOTS], constant beyond them. x: [..., columns]."""
    first = np.arange(knots[..., 0].size).reshape(knots.shape[:-1]) * KNOTS
    knots, scores = knots.ravel(), scores.ravel()
    at = ops.zeros_like(x, dtype="int64") + first
    step = KNOTS // 2
    while step:
        further = at + step
        at = ops.where(x >= ops.take(knots, further), further, at)
        step //= 2
    after = ops.minimum(at + 1, first + KNOTS - 1)
    left, right = ops.take(knots, at), ops.take(knots, after)
    low, high = ops.take(scores, at), ops.take(scores, after)
    share = ops.clip((x - left) / ops.maximum(right - left, 1e-300), 0.0, 1.0)
    return low + share * (high - low)
