"""Compare networks side by side: find what is identical, and measure how far apart the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis import alignment, disagreement, distance, fingerprints, pairwise
from study.analysis.distance import Matrix
from study.analysis.pairwise import Examination, LastEpochs
from study.analysis.verdict import Verdict
from study.records.arrays import Floats, Integers
from study.records.dataset import Dataset
from study.records.network import Network
from study.settings.loss import Loss, MeanSquaredError
from study.settings.model import Model


@dataclass(frozen=True, repr=False)
class Comparison:
    """N networks compared pair by pair; every matrix is [N, N].

    The distances are None when the architectures differ; `differing_shapes` then lists the architectures. disagreement: churn for
    class numbers, normalised RMSE for real targets, None without predictions of equal shape. aligned: relative L2 after matching
    neurons, of the networks at `places` (at most 16, evenly spread), and null: that of fresh networks; None without the model's
    settings. examined: these, barriers and the verdict; None also without labels and losses.
    """

    fingerprints: list[str]
    differing_shapes: str | None
    relative_l2: Matrix | None
    cosine: Matrix | None
    summed_absolute_difference: Matrix | None
    disagreement: Matrix | None
    disagreement_kind: str | None
    places: Integers | None = None
    aligned: Matrix | None = None
    null: float | None = None
    examined: Examination | None = None

    def __repr__(self) -> str:
        apart = f"relative L2 {distance.mean_of_pairs(self.relative_l2):.3g}" if self.relative_l2 is not None else "unequal shapes"
        verdict = f": {self.verdict}" if self.verdict else ""
        return f"Comparison({len(self.fingerprints)} networks, {self.distinct} different fingerprints, {apart}{verdict})"

    @property
    def distinct(self) -> int:
        return len(set(self.fingerprints))

    @property
    def verdict(self) -> Verdict | None:
        return self.examined.verdict if self.examined else None


def compare(
    networks: Sequence[Network],
    *,
    predictions: Sequence[Floats] | None = None,
    target: Floats | Integers | None = None,
    model: Model | None = None,
    labels: Sequence[str] | None = None,
    losses: Sequence[float] | None = None,
    data: Dataset | None = None,
    loss: Loss | None = None,
    ended: LastEpochs | None = None,
    centred: bool = True,
) -> Comparison:
    """Compare trained networks. predictions: one [n, outputs] each, on the same n inputs; `target` decides between churn and NRMSE.

    model: adds matched distances; its activation decides which neurons can be matched. labels, losses: each network's convergence
    label and validation loss, which add a verdict. data, and the loss that the networks were trained with, add barriers and CKA.
    ended: their last epochs; networks whose functions rest count as plateaued.
    centred: with a verdict, add distances to the networks' mean, which take several times as long as the rest.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> comparison = study.compare(cohort.networks())
    >>> comparison.distinct, comparison.relative_l2.shape
    (2, (2, 2))
    """
    architectures = list(dict.fromkeys(net.architecture for net in networks))
    alike = len(architectures) == 1
    rows = distance.vectors(networks) if alike else None
    apart = kind = stacked = None
    if predictions is not None and target is not None and len({p.shape for p in predictions}) == 1:
        stacked = np.stack(predictions)
        apart, kind = disagreement.between(stacked, target), disagreement.kind(target)
    positions = aligned = null = examined = None
    if alike and len(networks) > 1 and model is not None:
        if labels is not None and losses is not None:
            examined = pairwise.of_networks(
                networks,
                labels=labels,
                losses=losses,
                model=model,
                loss=loss or MeanSquaredError(),
                predictions=stacked,
                targets=[] if target is None else [target] * len(networks),
                data=data,
                ended=ended,
                centred=centred,
            )
            positions, aligned, null = examined.places, examined.aligned, examined.null
        else:
            positions = pairwise.affordable(networks, np.zeros(len(networks), np.int32))
            chosen = Network.stack([networks[position] for position in positions])
            aligned = alignment.matched_distances(chosen, model.activation, norm_epsilon=model.norm_epsilon)
            null = alignment.null_distance(networks[0], model.activation)
    return Comparison(
        fingerprints=[fingerprints.digest(net) for net in networks],
        differing_shapes=None if alike else "; ".join(architectures),
        relative_l2=distance.relative_l2(rows) if rows is not None else None,
        cosine=distance.cosine(rows) if rows is not None else None,
        summed_absolute_difference=distance.summed_absolute_difference(rows) if rows is not None else None,
        disagreement=apart,
        disagreement_kind=kind,
        places=positions,
        aligned=aligned,
        null=null,
        examined=examined,
    )
