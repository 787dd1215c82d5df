"""What the networks of a cohort are to one another: the numbers of every pair, and the verdict that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study import alignment, barrier, disagreement, distance, fingerprints, intervals, metrics, network, representation
from study.barrier import Paths
from study.distance import Matrix
from study.intervals import Interval
from study.records import Array, Cohort, Dataset, Doubles, Floats, Integers, Network
from study.verdict import Evidence, Verdict, verdict

MOST = 16  # networks that are aligned and compared as functions; of more, so many that are evenly spread
PATHS = 4  # pairs between which the loss is followed; batch normalisation is folded before an aligned path
ROWS = 2_000  # of the validation part, for the networks' inner representations


@dataclass(frozen=True)
class Examination:
    """Every matrix is [N, N], of N ≤ MOST networks: those at `places` in the cohort.

    relative_l2: as the weights lie. aligned: canonical and matched; null: what that is for fresh networks of this architecture.
    disagreement and cka (debiased, of the last hidden layer): None for networks with data of their own. pairs: those whose paths
    were followed, raw and with the second network aligned to the first; a path's barrier is in error rate, or in trivial losses.
    centre: [N] distances to the mean of the aligned networks.
    """

    places: Integers
    relative_l2: Matrix
    aligned: Matrix
    null: float
    centre: Doubles
    disagreement: Matrix | None
    cka: Matrix | None
    pairs: tuple[tuple[int, int], ...]
    raw_paths: Paths | None
    aligned_paths: Paths | None
    barriers: Doubles | None
    aligned_barriers: Doubles | None
    verdict: Verdict

    def arrays(self) -> dict[str, Array]:
        """What is kept with a trial's artifacts."""
        found = {name: getattr(self, name) for name in ("places", "relative_l2", "aligned", "centre", "disagreement", "cka")}
        found |= {"null": np.float64(self.null), "pairs": np.array(self.pairs, np.int32).reshape(-1, 2)}
        found |= {"barriers": self.barriers, "aligned_barriers": self.aligned_barriers}
        for name, paths in (("raw", self.raw_paths), ("aligned", self.aligned_paths)):
            if paths:
                found |= {"alphas": paths.loss.alphas, f"{name}_loss": paths.loss.values, f"{name}_error": paths.error.values}
        return {name: np.asarray(array) for name, array in found.items() if array is not None}


def examine(cohort: Cohort, datasets: Sequence[Dataset]) -> Examination:
    """Compares the replicates of a trial, of which there are at least two. datasets: each replicate's."""
    model, data = cohort.spec.model, datasets[0]
    # spread over the cohort: neighbours in a crossed design share a source
    chosen = np.unique(np.linspace(0, len(cohort) - 1, min(len(cohort), MOST)).round().astype(int))
    count, predictions = len(chosen), cohort.predictions[chosen]
    nets = [cohort.networks()[place] for place in chosen]
    stack = Network.stack(nets)
    shared = all(each is data for each in datasets)
    epsilon = model.norm_epsilon
    raw = distance.relative_l2(distance.vectors(nets))
    aligned = alignment.matched_distances(stack, model.activation, norm_epsilon=epsilon)
    apart = disagreement.between(predictions, data.y_val) if shared else None

    pairs = tuple((place, place + 1) for place in range(min(count - 1, PATHS)))
    raw_paths = aligned_paths = None
    barriers = aligned_barriers = None
    if shared:
        first, second = (Network.stack([nets[pair[side]] for pair in pairs]) for side in (0, 1))
        moved = alignment.aligned_to(first, second, model.activation, norm_epsilon=epsilon).unstack()
        ends = [alignment.folded(net, epsilon) for net in nets]
        raw_paths = barrier.between([(nets[i], nets[j]) for i, j in pairs], data, model, cohort.spec.loss)
        lines = [(ends[i], other) for (i, _), other in zip(pairs, moved, strict=True)]
        aligned_paths = barrier.between(lines, data, model, cohort.spec.loss)
        classes = disagreement.kind(data.y_val) == "churn"
        unit = 1.0 if classes else network.trivial_loss(cohort.spec.loss, data.y_train, data.outputs)
        barriers, aligned_barriers = (
            (paths.error if classes else paths.loss).barrier / unit for paths in (raw_paths, aligned_paths)
        )
    evidence = Evidence(
        labels=cohort.labels,
        distinct=len({fingerprints.digest(net) for net in cohort.networks()}),
        relative_l2=float(raw.max()),
        aligned=float(aligned.max()),
        output=_largest_difference(cohort.predictions) if shared else None,
        loss=_loss_apart(cohort.final(cohort.val_loss)),
        function=_function_apart(apart, predictions, data) if apart is not None else None,
        classes=disagreement.kind(data.y_val) == "churn",
        barrier=float(barriers.max()) if barriers is not None else None,
        aligned_barrier=float(aligned_barriers.max()) if aligned_barriers is not None else None,
    )
    return Examination(
        places=chosen.astype(np.int32),
        relative_l2=raw,
        aligned=aligned,
        null=alignment.null_distance(alignment.folded(nets[0], epsilon), model.activation),
        centre=alignment.centre(stack, model.activation, norm_epsilon=epsilon, restarts=0).distances,
        disagreement=apart,
        cka=representation.cka(representation.penultimate(stack, data.x_val[:ROWS], model)) if shared else None,
        pairs=pairs,
        raw_paths=raw_paths,
        aligned_paths=aligned_paths,
        barriers=barriers,
        aligned_barriers=aligned_barriers,
        verdict=verdict(evidence),
    )


def _largest_difference(predictions: Floats) -> float:
    """max |f_a − f_b| over all pairs, rows and outputs, in SDs of the outputs. predictions: [R, n, outputs]."""
    spread = float(np.std(predictions, dtype=np.float64))
    return float(np.ptp(predictions, axis=0).max()) / spread if spread else 0.0


def _loss_apart(losses: Floats) -> Interval:
    """|L_a − L_b| over the mean loss."""
    values = losses.astype(np.float64)
    return intervals.mean_of_pairs(np.abs(values[:, None] - values) / (values.mean() or 1.0))


def _function_apart(apart: Matrix, predictions: Floats, data: Dataset) -> Interval:
    """Churn over the mean error rate, or NRMSE."""
    if disagreement.kind(data.y_val) == "churn":
        error = float(np.mean(1 - metrics.accuracy(predictions, data.y_val)))
        apart = apart / error if error else np.where(apart > 0, np.inf, 0.0)
    return intervals.mean_of_pairs(apart)
