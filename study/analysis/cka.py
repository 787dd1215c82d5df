"""Similarity of networks' representations of the same inputs: linear centred kernel alignment (CKA).

It is 1 for representations that are equal up to a rotation, a shift and a scale, and needs no matching of units. Plain CKA
(arXiv:1905.00414) is biased upward, more so the more units there are per row; debiased CKA is about 0 for unrelated representations
(from Gram matrices without their diagonals: arXiv:2010.15327).
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
# the remainder that rounding leaves in a difference between numbers of size 1
ROUNDING = 1e-12


def penultimate(networks: Network, x: Floats, model: Model) -> Floats:
    """Return the input of each network's output layer, [R, n, units]: the last hidden layer's outputs, or `x` [n, in] itself."""
    if networks.depth == 1:
        return np.broadcast_to(x, (len(networks.biases[0]), *x.shape))
    # one network at a time, so that only one network's other layers are held
    return np.concatenate([forward.layer_outputs(Network.stack([net]), x, model)[-2] for net in networks.unstack()])


def cka(representations: Iterable[Array], debiased: bool = True, memory: int = MEMORY) -> Matrix:
    """Return the linear CKA of each pair of representations, [R, R]. representations: [R, n, units], or R arrays [n, units].

    NaN where a representation is constant or not finite; debiased, also where all its rows are equally far apart, as with fewer
    than four rows. memory: about the bytes used besides copies of all representations in double precision.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged network's outputs
        ready = [_normalised(np.asarray(representation, np.float64)) for representation in representations]
        products = _cross_products(ready, memory) if _cross_is_cheaper(ready) else _gram_products(ready, memory)
        if debiased:
            products = _debiased(products, np.stack([np.einsum("ij,ij->i", x, x) for x in ready]))
    own = np.diag(products).copy()
    own[~(own > ROUNDING)] = np.nan
    return np.clip(products / np.sqrt(own[:, None] * own), -1, 1)


def _normalised(x: Matrix) -> Matrix:
    """Centre `x` [n, units] and give it the Frobenius norm 1, or 0."""
    # the mean of equal numbers is not always that number, but the mean of zeros is zero
    centred = x - x[:1]
    centred -= centred.mean(axis=0)
    return centred / (np.linalg.norm(centred) or 1.0)


def _cross_is_cheaper(ready: Sequence[Matrix]) -> bool:
    """Compare XᵀY for every pair, n (Σ units)² / 2, with XXᵀ for each representation, n² Σ units, and their products, n² R²."""
    rows, units = len(ready[0]), sum(x.shape[1] for x in ready)
    return units**2 / 2 < rows * units + rows * len(ready) ** 2


def _cross_products(ready: Sequence[Matrix], memory: int) -> Matrix:
    """Return ‖XᵀY‖² of each pair, [R, R]."""
    beside, starts = np.concatenate(ready, axis=1), np.cumsum([0, *(x.shape[1] for x in ready)])
    products = np.zeros((len(ready), len(ready)))
    for one, x in enumerate(ready):
        rest = beside[:, starts[one] :]  # this representation and those after it
        step = max(1, memory // (8 * rest.shape[1]))
        for start in range(0, x.shape[1], step):
            block = x[:, start : start + step].T @ rest
            products[one, one:] += np.add.reduceat(np.einsum("ij,ij->j", block, block), starts[one:-1] - starts[one])
    return products + np.triu(products, k=1).T


def _gram_products(ready: Sequence[Matrix], memory: int) -> Matrix:
    """Return ⟨XXᵀ, YYᵀ⟩ = ‖XᵀY‖² of each pair, [R, R], from the Gram matrices' rows, some at a time."""
    rows, count = len(ready[0]), len(ready)
    products = np.zeros((count, count))
    step = max(1, memory // (8 * count * rows))
    for start in range(0, rows, step):
        grams = np.empty((count, min(step, rows - start), rows))
        for gram, x in zip(grams, ready, strict=True):
            np.matmul(x[start : start + step], x.T, out=gram)
        flat = grams.reshape(count, -1)
        products += flat @ flat.T
    return products


def _debiased(products: Matrix, norms: Matrix) -> Matrix:
    """Return n (n − 3) times the unbiased estimate of each pair's HSIC, [R, R]. products: ‖XᵀY‖² [R, R]; norms: ‖x_i‖² [R, n]."""
    rows, totals = norms.shape[1], norms.sum(axis=1)
    if rows < 4:
        return np.full_like(products, np.nan)
    return products - rows / (rows - 2) * (norms @ norms.T) + np.outer(totals, totals) / ((rows - 1) * (rows - 2))
