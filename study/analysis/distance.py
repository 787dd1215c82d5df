"""Distances between networks in weight space, unaligned.

Read them against √2 (`UNRELATED`): networks from independent starts are about that far apart, whatever they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from study.records.network import Network

Matrix = npt.NDArray[np.float64]
UNRELATED = float(np.sqrt(2))
UNRELATED_TEXT = f"unrelated networks are about {UNRELATED:.3g} apart"


def vectors(networks: Sequence[Network]) -> Matrix:
    """Return all trainable parameters as one row per network, [N, parameters]; the networks need equal architectures."""
    return np.stack([np.concatenate([a.ravel() for a in net.trainable.values()]).astype(np.float64) for net in networks])


def relative_l2(rows: Matrix) -> Matrix:
    """Return ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2) for each pair of rows, [N, N]; 0 where both are zero."""
    squares = np.sum(rows**2, axis=1)
    scale = np.sqrt((squares[:, None] + squares[None, :]) / 2)
    gaps = np.sqrt(_pairs(rows, lambda difference: np.sum(difference**2, axis=1)))
    return np.divide(gaps, scale, out=np.zeros_like(gaps), where=scale != 0)


def cosine(rows: Matrix) -> Matrix:
    """Return the cosine of the angle between each pair of rows, [N, N]; NaN where a row is zero."""
    with np.errstate(invalid="ignore"):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.clip(unit @ unit.T, -1, 1)


def summed_absolute_difference(rows: Matrix) -> Matrix:
    """Return Σ|a − b| for each pair of rows, [N, N]: the number in the question that this project grew from."""
    return _pairs(rows, lambda difference: np.sum(np.abs(difference), axis=1))


def _pairs(rows: Matrix, measure: Callable[[Matrix], Matrix]) -> Matrix:
    # row by row: exact zeros for equal rows, and memory for one row of differences instead of N × N
    return np.stack([measure(rows - row) for row in rows])


def mean_of_pairs(matrix: Matrix) -> float:
    """Return the mean over the pairs of different networks; 0 for a single network."""
    if len(matrix) < 2:
        return 0.0
    return float(np.mean(matrix[np.triu_indices(len(matrix), k=1)]))


def classical_map(matrix: Matrix) -> tuple[Matrix, float]:
    """Return points in the plane, [N, 2], whose distances are nearest to `matrix` [N, N] (classical multidimensional scaling).

    Also return the share of the squared distances' variance that the plane holds. Distances that aren't finite count as the mean.
    """
    known = np.where(np.isfinite(matrix), matrix, np.nanmean(matrix) if np.isfinite(matrix).any() else 0.0)
    squares = known**2
    centred = -(squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()) / 2
    values, vectors = np.linalg.eigh(centred)
    largest = np.maximum(values[::-1][:2], 0)
    points = np.zeros((len(matrix), 2))
    points[:, : len(largest)] = vectors[:, ::-1][:, :2] * np.sqrt(largest)
    total = np.abs(values).sum()
    return points, float(largest.sum() / total) if total else 1.0
