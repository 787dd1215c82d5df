"""Match hidden units: permute them, and flip them where the activation is odd, to lie nearest to another network's.

Weight matching (Git Re-Basin, arXiv:2209.04836, Algorithm 1), for many pairs at once. With one hidden layer the match is optimal.
With more it is a local optimum, the best of several starts, and may depend on the order in which the units came: a large distance
never proves that no better matching exists. SciPy's assignments, which are cubic in the width, take most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from study import seeds
from study.analysis.rescaling import TOLERANCE, Order, Weights, hidden_layers, rescale, rows_of, scaled_by_factor
from study.records.arrays import Array, Doubles

CHUNK_BYTES = 2**26


def match(a: Weights, b: Weights, odd: bool, restarts: int, seed: int) -> Weights:
    """Permute the hidden units of each of M networks b, and flip them if `odd`, for the largest inner product with its a.

    The first start looks only at a layer's incoming weights, from the first layer on, the second only at its outgoing ones, from
    the last layer on. These two don't depend on the order in which b's units came, and they find a permuted copy at any depth,
    which the paper's start, b as it is, seldom does. The other starts are random permutations. b as it is comes last, where it is
    at least half as good as the best of the others: so networks with a common start aren't torn apart, matching never increases a
    distance, and unrelated networks waste no start. With a single hidden layer every start leads to the optimum.
    """
    hidden = hidden_layers(a)
    best = with_orders(b)
    unmatched = inner_products(a, b)
    product = np.full(len(unmatched), -np.inf)
    for start in range(restarts if hidden > 1 else 0):
        pairs, generator = _Pairs(a, with_orders(b), odd), seeds.generator(seed, start)
        pairs.begin(start, generator)
        pairs.improve(generator)
        pairs.keep_better(best, product, np.arange(len(product)))
    if (near := np.flatnonzero(unmatched >= np.minimum(product, product / 2))).size:
        pairs = _Pairs(rows_of(a, near), with_orders(rows_of(b, near)), odd)
        pairs.improve(seeds.generator(seed))
        pairs.keep_better(best, product, near)
    return best


@dataclass(frozen=True)
class _Similarity:
    """The contribution of each pair of a layer's units to the inner product of m pairs of networks.

    value: [m, units of a, units of b], with the better sign where the activation is odd; signs: these signs, or None. current: [m],
    the contribution of the units in the order in which they stand.
    """

    value: Array
    signs: Array | None
    current: Array

    def assignment(self) -> Order:
        """Return for each of a's units the unit of b, [m, units], such that the sum of their values is the largest."""
        order = np.empty(self.value.shape[:2], np.intp)
        for columns, matrix in zip(order, self.value, strict=True):
            columns[:] = linear_sum_assignment(matrix, maximize=True)[1]
        return order


@dataclass(frozen=True)
class _Pairs:
    """M pairs of networks. Hidden units of `weights` are permuted, and flipped if `odd`, in place to match those of `targets`."""

    targets: Weights
    weights: Weights
    odd: bool

    def begin(self, start: int, generator: np.random.Generator) -> None:
        """Take start number `start` of those that `match` describes."""
        hidden = hidden_layers(self.targets)
        rows = np.arange(len(self.targets["bias_0"]))
        for layer in reversed(range(hidden)) if start == 1 else range(hidden):
            if start == 0:
                similarity = self._similarity(*self._incoming(rows, layer))
            elif start == 1:
                similarity = self._similarity(None, self._outgoing(rows, layer))
            else:
                units = self.targets[f"bias_{layer}"].shape[1]
                self._reorder(rows, layer, np.tile(generator.permutation(units), (len(rows), 1)), None)
                continue
            self._reorder(rows, layer, similarity.assignment(), similarity.signs)

    def improve(self, generator: np.random.Generator) -> None:
        """Give each hidden layer the best order for its neighbours' orders, in random turns until none improves."""
        hidden = hidden_layers(self.targets)
        open_layers = np.ones((len(self.targets["bias_0"]), hidden), dtype=bool)  # those whose neighbours have changed since
        while open_layers.any():
            for layer in generator.permutation(hidden):
                rows = np.flatnonzero(open_layers[:, layer])
                if not rows.size:
                    continue
                open_layers[rows, layer] = False
                fixed, signed = self._incoming(rows, layer)
                similarity = self._similarity(fixed, signed + self._outgoing(rows, layer))
                order, value, signs = similarity.assignment(), similarity.value, similarity.signs
                reordered = value[np.arange(len(rows))[:, None], np.arange(value.shape[1]), order].sum(axis=1)
                # rounding must not count as a gain, or two equally good orders would alternate for ever
                tolerance = TOLERANCE * np.abs(value).max(axis=(1, 2)) * value.shape[1]
                better = reordered - similarity.current > tolerance
                self._reorder(rows[better], layer, order[better], None if signs is None else signs[better])
                for neighbour in {layer - 1, layer + 1} & set(range(hidden)):
                    open_layers[rows[better], neighbour] = True

    def keep_better(self, best: Weights, product: Doubles, rows: Order) -> None:
        """Copy these pairs into `rows` of `best`, and their inner products into `product`, unless those are better."""
        products = inner_products(self.targets, self.weights)
        better = products >= product[rows]
        product[rows[better]] = products[better]
        for name, array in best.items():
            array[rows[better]] = self.weights[name][better]

    def _incoming(self, rows: Order, layer: int) -> tuple[Array | None, Array]:
        """Contributions of the weights that come into each pair of a layer's units, [m, units of a, units of b].

        First those that a unit's sign doesn't change: layer normalisation sees a flipped unit's kernel as it was. Then the others.
        """
        names = scaled_by_factor(self.targets, layer)
        target, other = self._of(f"kernel_{layer}", rows)
        product = target.transpose(0, 2, 1) @ other
        fixed, signed = (None, product) if f"kernel_{layer}" in names else (product, np.zeros_like(product))
        for name in names:
            if name != f"kernel_{layer}":
                target, other = self._of(name, rows)
                signed += target[:, :, None] * other[:, None, :]
        return fixed, signed

    def _outgoing(self, rows: Order, layer: int) -> Array:
        """Contributions of the weights that leave each pair of a layer's units, [m, units of a, units of b]."""
        target, other = self._of(f"kernel_{layer + 1}", rows)
        return target @ other.transpose(0, 2, 1)

    def _of(self, name: str, rows: Order) -> tuple[Array, Array]:
        """Return these rows of a parameter of both networks, without a copy where they are all rows."""
        target, other = self.targets[name], self.weights[name]
        return (target, other) if len(rows) == len(other) else (target[rows], other[rows])

    def _similarity(self, fixed: Array | None, signed: Array) -> _Similarity:
        value = signed if fixed is None else fixed + signed
        current = np.trace(value, axis1=1, axis2=2)
        if not self.odd:
            return _Similarity(value, None, current)
        magnitude = np.abs(signed)
        return _Similarity(magnitude if fixed is None else fixed + magnitude, np.where(signed < 0, -1.0, 1.0), current)

    def _reorder(self, rows: Order, layer: int, order: Order, signs: Array | None) -> None:
        """Put the units of a hidden layer in `order` [rows, units], each times its sign [rows, units of a, units of b]."""
        weights, column = self.weights, rows[:, None]
        if not rows.size:
            return
        for name in (f"{kind}_{layer}" for kind in ("bias", "scale", "order", "sign")):
            if name in weights:
                weights[name][rows] = weights[name][column, order]
        kernel, after = weights[f"kernel_{layer}"], weights[f"kernel_{layer + 1}"]
        # network by network: one index for the columns of all kernels takes many times as long
        for row, columns in zip(rows, order, strict=True):
            kernel[row] = kernel[row].take(columns, axis=1)
        after[rows] = after[column, order]
        if signs is not None:
            rescale(weights, rows, layer, signs[np.arange(len(rows))[:, None], np.arange(order.shape[1]), order])


def with_orders(weights: Weights) -> Weights:
    """Return a copy with each hidden layer's order and signs, which `match` keeps up to date."""
    ordered: Weights = {name: array.copy() for name, array in weights.items()}
    for layer in range(hidden_layers(weights)):
        count, units = weights[f"bias_{layer}"].shape
        ordered[f"order_{layer}"], ordered[f"sign_{layer}"] = np.tile(np.arange(units), (count, 1)), np.ones((count, units))
    return ordered


def only(weights: Weights, like: Weights) -> Weights:
    """Return the weights whose names `like` has."""
    return {name: weights[name] for name in like}


def inner_products(a: Weights, b: Weights) -> Doubles:
    """Return the inner product of each a with its b, [M]."""
    return np.sum([np.sum(array * b[name], axis=tuple(range(1, array.ndim))) for name, array in a.items()], axis=0)


def relative_distances(a: Weights, b: Weights) -> Doubles:
    """Return the relative L2 distance of each a and its b, [M], as in `distance`; a copy is at exactly 0."""
    gaps = {name: array - b[name] for name, array in a.items()}
    scale = (inner_products(a, a) + inner_products(bare := only(b, a), bare)) / 2
    squares = inner_products(gaps, gaps)
    return np.sqrt(np.divide(squares, scale, out=np.zeros_like(squares), where=scale > 0))


def pairs_at_once(weights: Weights) -> int:
    """Return how many pairs to match at once: their weights (about six copies) and similarities must fit into CHUNK_BYTES."""
    parameters = sum(array[0].size for array in weights.values())
    widest = max((weights[f"bias_{layer}"].shape[1] for layer in range(hidden_layers(weights))), default=0)
    return max(1, CHUNK_BYTES // (8 * (6 * parameters + 4 * widest**2)))
