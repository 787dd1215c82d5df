"""Calibration of classifiers: how often they are right, against the probability that they give to the class they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.records.arrays import Array, Doubles

MOST_BINS, ROWS_PER_BIN = 10, 10
DRAWS = 2000


@dataclass(frozen=True)
class Calibration:
    """The reliability curve, with a point for each bin of rows, and the expected calibration error (ECE).

    confidence: the mean probability of the predicted class, [bins]; accuracy: the share of right predictions, [bins]; rows: [bins].
    ece: the mean of |accuracy − confidence| over the rows. by_chance: what the ECE of a perfectly calibrated classifier stays below
    for 95 of 100 parts with as many rows; few rows make it large.
    """

    confidence: Doubles
    accuracy: Doubles
    rows: Array
    ece: float
    by_chance: float


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
    return Calibration(expected, accuracy, rows, float(ece), float(np.quantile(by_chance, 0.95)))
