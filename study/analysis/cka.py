"""How alike networks' representations of the same inputs are: linear centred kernel alignment (CKA).

It is 1 for representations that are equal up to a rotation, a shift and a scale, and asks for no matching of units. Plain CKA
(arXiv:1905.00414) is biased upward, the more so the more units there are to a row; the debiased one is about 0 for unrelated
representations (of Gram matrices whose diagonals are left out: arXiv:2010.15327).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from study.analysis import forward
from study.analysis.distance import Matrix
from study.records.arrays import Array, Floats
from study.records.network import Network
from study.settings.model import Model

MEMORY = 64 * 2**20
# what rounding leaves of a difference between numbers of size 1
ROUNDING = 1e-12


def penultimate(networks: Network, x: Floats, model: Model) -> Floats:
    """What each network's output layer sees of `x` [n, in], [R, n, units]: the last hidden layer's outputs, or else x itself."""
    if networks.depth == 1:
        return np.broadcast_to(x, (len(networks.biases[0]), *x.shape))
    # one network at a time, so that the other layers' outputs are held for one only
    return np.concatenate([forward.layer_outputs(Network.stack([net]), x, model)[-2] for net in networks.unstack()])


def cka(representations: Iterable[Array], debiased: bool = True, memory: int = MEMORY) -> Matrix:
    """Linear CKA of each pair of representations, [R, R]. representations: [R, n, units], or R of [n, units] whose units differ.

    NaN where a representation is constant or not finite, and if debiased also where all its rows are equally far apart, as they are
    for fewer than four rows. `memory` is about the bytes that are used besides copies of all representations in double precision.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged network's outputs
        ready = [_normalised(np.asarray(each, np.float64)) for each in representations]
        products = _cross_products(ready, memory) if _cross_is_cheaper(ready) else _gram_products(ready, memory)
        if debiased:
            products = _debiased(products, np.stack([np.einsum("ij,ij->i", x, x) for x in ready]))
    own = np.diag(products).copy()
    own[~(own > ROUNDING)] = np.nan
    return np.clip(products / np.sqrt(own[:, None] * own), -1, 1)


def _normalised(x: Matrix) -> Matrix:
    """[n, units], centred and of Frobenius norm 1 or 0."""
    # the mean of equal numbers is not always that number, but the mean of zeros is zero
    centred = x - x[:1]
    centred -= centred.mean(axis=0)
    return centred / (np.linalg.norm(centred) or 1.0)


def _cross_is_cheaper(ready: Sequence[Matrix]) -> bool:
    """Whether XᵀY of every pair, n (Σ units)² / 2, takes less than XXᵀ of every one, n² Σ units, and their products, n² R²."""
    rows, units = len(ready[0]), sum(x.shape[1] for x in ready)
    return units**2 / 2 < rows * units + rows * len(ready) ** 2


def _cross_products(ready: Sequence[Matrix], memory: int) -> Matrix:
    """‖XᵀY‖² of each pair, [R, R]."""
    beside, starts = np.concatenate(ready, axis=1), np.cumsum([0, *(x.shape[1] for x in ready)])
    found = np.zeros((len(ready), len(ready)))
    for one, x in enumerate(ready):
        rest = beside[:, starts[one] :]  # this representation and those after it
        step = max(1, memory // (8 * rest.shape[1]))
        for start in range(0, x.shape[1], step):
            products = x[:, start : start + step].T @ rest
            found[one, one:] += np.add.reduceat(np.einsum("ij,ij->j", products, products), starts[one:-1] - starts[one])
    return found + np.triu(found, k=1).T


def _gram_products(ready: Sequence[Matrix], memory: int) -> Matrix:
    """⟨XXᵀ, YYᵀ⟩ of each pair, which is ‖XᵀY‖², [R, R]; from the Gram matrices' rows, some at a time."""
    rows, count = len(ready[0]), len(ready)
    found = np.zeros((count, count))
    step = max(1, memory // (8 * count * rows))
    for start in range(0, rows, step):
        grams = np.empty((count, min(step, rows - start), rows))
        for gram, x in zip(grams, ready, strict=True):
            np.matmul(x[start : start + step], x.T, out=gram)
        flat = grams.reshape(count, -1)
        found += flat @ flat.T
    return found


def _debiased(products: Matrix, norms: Matrix) -> Matrix:
    """n (n − 3) times the unbiased estimate of each pair's HSIC, [R, R]. products: ‖XᵀY‖² [R, R]; norms: ‖x_i‖² [R, n]."""
    rows, totals = norms.shape[1], norms.sum(axis=1)
    if rows < 4:
        return np.full_like(products, np.nan)
    return products - rows / (rows - 2) * (norms @ norms.T) + np.outer(totals, totals) / ((rows - 1) * (rows - 2))
