"""The way that the networks of a cohort took through training, as sums by epoch and as sketches."""

from __future__ import annotations

from dataclasses import dataclass

from study.records.arrays import Floats, Integers


@dataclass(frozen=True, repr=False)
class Trajectory:
    """The motion of R networks, in their weights and as functions (predictions on the validation part; probabilities for classes).

    weights_step, weights_dot, weights_norm, function_step, function_dot: [R, epochs]; the squared length of each epoch's step, its
    product with the step before, and the squared length of the weights; NaN before the first epoch that was followed, and after a
    replicate's stop.
    start: sketches of the weights before training, [R, 251]. epochs: [n], the ones, from 1, of which there are sketches: at least
    the tail of each replicate, thinned where it is long. weights, function, votes: these sketches, [R, n, 251], NaN after a
    replicate's stop; votes, of the predicted classes, are None for regression. See `engine.motion`.
    """

    weights_step: Floats
    weights_dot: Floats
    weights_norm: Floats
    function_step: Floats
    function_dot: Floats
    start: Floats
    epochs: Integers
    weights: Floats
    function: Floats
    votes: Floats | None = None
