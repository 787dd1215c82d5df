"""Networks side by side: what is the same, and how far apart the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study import disagreement, distance, fingerprints
from study.distance import Matrix
from study.records import Floats, Integers, Network


@dataclass(frozen=True)
class Comparison:
    """N networks compared pair by pair; every matrix is [N, N].

    The distances are None when the architectures differ, `differing_shapes` then says how. `disagreement` is churn for class
    numbers and normalised RMSE for real targets, and None without predictions of equal shape.
    """

    fingerprints: list[str]
    differing_shapes: str | None
    relative_l2: Matrix | None
    cosine: Matrix | None
    summed_absolute_difference: Matrix | None
    disagreement: Matrix | None
    disagreement_kind: str | None

    @property
    def distinct(self) -> int:
        return len(set(self.fingerprints))


def compare(
    networks: Sequence[Network],
    *,
    predictions: Sequence[Floats] | None = None,
    target: Floats | Integers | None = None,
) -> Comparison:
    """Compares trained networks. predictions: each [n, outputs], on the same n inputs, whose target decides churn or NRMSE."""
    architectures = list(dict.fromkeys(net.architecture for net in networks))
    alike = len(architectures) == 1
    rows = distance.vectors(networks) if alike else None
    apart, kind = None, None
    if predictions is not None and target is not None and len({p.shape for p in predictions}) == 1:
        apart, kind = disagreement.between(np.stack(predictions), target), disagreement.kind(target)
    return Comparison(
        fingerprints=[fingerprints.digest(net) for net in networks],
        differing_shapes=None if alike else "; ".join(architectures),
        relative_l2=distance.relative_l2(rows) if rows is not None else None,
        cosine=distance.cosine(rows) if rows is not None else None,
        summed_absolute_difference=distance.summed_absolute_difference(rows) if rows is not None else None,
        disagreement=apart,
        disagreement_kind=kind,
    )
