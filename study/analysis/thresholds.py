"""Thresholds below which two networks are the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VerdictThresholds:
    """Thresholds of the verdict on several networks; motion is judged by the same ones."""

    rounding: float = 1e-3  # relative L2, raw or aligned
    output: float = 1e-4  # largest difference of outputs, in SDs of the outputs
    loss: float = 0.05  # difference of two losses over their mean
    churn: float = 0.1  # share of the error rate
    nrmse: float = 0.05
    barrier: float = 0.02  # in error rate, or in trivial losses
