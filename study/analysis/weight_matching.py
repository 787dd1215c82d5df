"""Hidden units matched: permuted, and flipped where the activation is odd, to lie nearest to another network's.

Weight matching (Git Re-Basin, arXiv:2209.04836, Algorithm 1), of many pairs at once. With one hidden layer the matching is the best
one. With more it is a local optimum, the best of several starts, which may depend on the order in which the units came: a large
distance never proves that no better matching exists. Two thirds of the time are SciPy's assignments, which take the width's cube.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from study import seeds
from study.analysis.rescaling import TOLERANCE, Order, Weights, hidden_layers, rescale, rows_of, scaled_by_factor
from study.records.arrays import Array, Doubles

CHUNK_BYTES = 2**26


def match(a: Weights, b: Weights, odd: bool, restarts: int, seed: int) -> Weights:
    """Each of M networks b with its hidden units permuted, and flipped if `odd`, to have the largest inner product with its a.

    The first start sees a layer's incoming weights alone, from the first layer on, the second its outgoing ones alone, from the
    last layer on. These two don't depend on the order in which b's units came, and they find a permuted copy at any depth,
    which the paper's start, b as it is, seldom does. The rest are random permutations. b as it is comes last, where it is at
    least half as good as what the others ended in: so networks that had a start in common aren't torn apart, matching never makes
    a distance larger, and unrelated networks cost no start in vain. A lone hidden layer's optimum is found from anywhere.
    """
    hidden = hidden_layers(a)
    best = with_places(b)
    unmatched = inner_products(a, b)
    everyone = np.arange(len(unmatched))
    product = np.full(len(unmatched), -np.inf)
    for start in range(restarts if hidden > 1 else 0):
        trial, generator = with_places(b), seeds.generator(seed, start)
        for layer in reversed(range(hidden)) if start == 1 else range(hidden):
            if start < 2:
                _, value, signs = _similarity(a, trial, everyone, layer, odd, incoming=start == 0, outgoing=start == 1)
                _place(trial, everyone, layer, _assigned(value), signs)
            else:
                order = np.tile(generator.permutation(a[f"bias_{layer}"].shape[1]), (len(everyone), 1))
                _place(trial, everyone, layer, order, None)
        _improve(a, trial, odd, generator)
        _keep_better(best, product, everyone, trial, inner_products(a, trial))
    if (near := np.flatnonzero(unmatched >= np.minimum(product, product / 2))).size:
        targets, trial = rows_of(a, near), with_places(rows_of(b, near))
        _improve(targets, trial, odd, seeds.generator(seed))
        _keep_better(best, product, near, trial, inner_products(targets, trial))
    return best


def _keep_better(best: Weights, product: Doubles, rows: Order, trial: Weights, found: Doubles) -> None:
    """Replaces in place, in these rows, what has a smaller inner product than the trial; equally good, the later trial is kept."""
    better = found >= product[rows]
    product[rows[better]] = found[better]
    for name, array in best.items():
        array[rows[better]] = trial[name][better]


def _improve(a: Weights, b: Weights, odd: bool, generator: np.random.Generator) -> None:
    """Permutes b's hidden layers in place, each the best for its neighbours, in random order until none improves."""
    hidden = hidden_layers(a)
    open_layers = np.ones((len(a["bias_0"]), hidden), dtype=bool)  # those whose neighbours have moved since
    while open_layers.any():
        for layer in generator.permutation(hidden):
            rows = np.flatnonzero(open_layers[:, layer])
            if not rows.size:
                continue
            open_layers[rows, layer] = False
            now, value, signs = _similarity(a, b, rows, layer, odd)
            order = _assigned(value)
            then = np.take_along_axis(value, order[:, :, None], axis=2).sum(axis=(1, 2))
            # rounding must not pass for a gain, or two equally good orders would take turns for ever
            better = then - now > TOLERANCE * np.abs(value).max(axis=(1, 2)) * value.shape[1]
            _place(b, rows[better], layer, order[better], None if signs is None else signs[better])
            for neighbour in {layer - 1, layer + 1} & set(range(hidden)):
                open_layers[rows[better], neighbour] = True


def _similarity(
    a: Weights, b: Weights, rows: Order, layer: int, odd: bool, *, incoming: bool = True, outgoing: bool = True
) -> tuple[Array, Array, Array | None]:
    """What the pairs of a layer's units add to the inner product of a and b, in these m rows.

    First as they stand, [m]; then [m, units of a, units of b] for each pair, with the better sign if `odd`; then these signs.
    """
    fixed: Array | float = 0.0
    signed: Any = 0.0
    if incoming:
        names = scaled_by_factor(a, layer)
        for name in names if f"kernel_{layer}" in names else (f"kernel_{layer}", *names):
            mine, other = a[name][rows], b[name][rows]
            if mine.ndim == 2:
                signed = signed + mine[:, :, None] * other[:, None, :]
            elif name in names:
                signed = signed + mine.transpose(0, 2, 1) @ other
            else:
                fixed = mine.transpose(0, 2, 1) @ other  # a flipped unit keeps the kernel that layer normalisation sees
    if outgoing:
        after = f"kernel_{layer + 1}"
        signed = signed + a[after][rows] @ b[after][rows].transpose(0, 2, 1)
    total: Array = fixed + signed
    now = np.trace(total, axis1=1, axis2=2)
    return (now, fixed + np.abs(signed), np.where(signed < 0, -1.0, 1.0)) if odd else (now, total, None)


def _assigned(value: Array) -> Order:
    """For each of M square matrices the column that each row gets, [M, units], the chosen entries' sum being the largest."""
    return np.stack([linear_sum_assignment(matrix, maximize=True)[1] for matrix in value])


def _place(weights: Weights, rows: Order, layer: int, order: Order, signs: Array | None) -> None:
    """Puts in each place of a hidden layer the unit that `order` [rows, units] names, times its sign [rows, units, units]."""
    for name in {f"{kind}_{layer}" for kind in ("kernel", "bias", "scale", "order", "sign")} & set(weights):
        array = weights[name][rows]
        weights[name][rows] = np.take_along_axis(array, order[:, None, :] if array.ndim == 3 else order, axis=-1)
    after = f"kernel_{layer + 1}"
    weights[after][rows] = np.take_along_axis(weights[after][rows], order[:, :, None], axis=1)
    if signs is not None:
        rescale(weights, rows, layer, np.take_along_axis(signs, order[:, :, None], axis=2)[:, :, 0])


def with_places(weights: Weights) -> Weights:
    """A copy in which every hidden unit's place and sign are noted."""
    places: Weights = {name: array.copy() for name, array in weights.items()}
    for layer in range(hidden_layers(weights)):
        count, units = weights[f"bias_{layer}"].shape
        places[f"order_{layer}"], places[f"sign_{layer}"] = np.tile(np.arange(units), (count, 1)), np.ones((count, units))
    return places


def only(weights: Weights, like: Weights) -> Weights:
    return {name: weights[name] for name in like}


def inner_products(a: Weights, b: Weights) -> Doubles:
    """The inner product of each a with its b, [M]."""
    return np.sum([np.sum(array * b[name], axis=tuple(range(1, array.ndim))) for name, array in a.items()], axis=0)


def relative_distances(a: Weights, b: Weights) -> Doubles:
    """Relative L2 of each a and its b, [M], as in `distance`; from differences, so that a copy is exactly 0 away."""
    gaps = {name: array - b[name] for name, array in a.items()}
    scale = (inner_products(a, a) + inner_products(bare := only(b, a), bare)) / 2
    squares = inner_products(gaps, gaps)
    return np.sqrt(np.divide(squares, scale, out=np.zeros_like(squares), where=scale > 0))


def pairs_at_once(weights: Weights) -> int:
    """How many pairs are matched in one go: their weights (about six copies) and similarities must fit into CHUNK_BYTES."""
    parameters = sum(array[0].size for array in weights.values())
    widest = max((weights[f"bias_{layer}"].shape[1] for layer in range(hidden_layers(weights))), default=0)
    return max(1, CHUNK_BYTES // (8 * (6 * parameters + 4 * widest**2)))
