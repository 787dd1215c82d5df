"""Calibration of classifiers: how often they are right, against the probability that they give to the class they predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from study.records.arrays import Array, Doubles
from study.records.outcome import Calibration

MOST_BINS, ROWS_PER_BIN = 10, 10
DRAWS = 2000


def calibration(probabilities: Doubles, labels: Array, generator: np.random.Generator) -> Calibration:
    """Return the calibration of probabilities, [n, classes], for rows of the classes `labels`, [n].

    The bins are of equal size (Nixon and others 2019), ten of at least ten rows: bins of equal width would put most rows of a good
    classifier into one. Equal probabilities share a bin.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = min(MOST_BINS, max(1, len(labels) // ROWS_PER_BIN))
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    numbers = np.unique(np.searchsorted(edges, confidence), return_inverse=True)[1]
    rows = np.bincount(numbers)
    expected = np.bincount(numbers, confidence) / rows
    accuracy = np.bincount(numbers, right) / rows
    # rounding may take a mean of ones beyond one
    chance = generator.binomial(rows, np.minimum(expected, 1), (DRAWS, len(rows))) / rows
    ece, by_chance = (np.abs(shares - expected) @ rows / len(labels) for shares in (accuracy, chance))
    return Calibration(expected.tolist(), accuracy.tolist(), rows.tolist(), float(ece), float(np.quantile(by_chance, 0.95)))


def of_several(probabilities: Doubles, labels: Array, generator: np.random.Generator) -> Calibration:
    """Return the calibration of R classifiers, [R, n, classes]: the curve of all predictions, and the means of their own numbers.

    The ECE then compares with another classifier's on these n rows: few rows make it large, and R classifiers predict R times n.
    """
    together = calibration(probabilities.reshape(-1, probabilities.shape[-1]), np.tile(labels, len(probabilities)), generator)
    singles = [calibration(own, labels, generator) for own in probabilities]
    ece, by_chance = (float(np.mean(values)) for values in zip(*((own.ece, own.by_chance) for own in singles), strict=True))
    return replace(together, ece=ece, by_chance=by_chance)
