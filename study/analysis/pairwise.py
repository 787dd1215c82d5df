"""Compare the networks of a cohort pair by pair, and derive their verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis import alignment, barrier, cka, disagreement, distance, fingerprints, forward, metrics, rescaling
from study.analysis.barrier import Paths
from study.analysis.distance import Matrix
from study.analysis.verdict import Verdict, VerdictEvidence, verdict
from study.records.arrays import Array, Doubles, Floats, Integers
from study.records.cohort import Cohort
from study.records.dataset import Dataset, shared, task_of
from study.records.network import Network
from study.sampling import evenly
from study.settings.data import CLASSIFICATION
from study.settings.loss import Loss
from study.settings.model import Model
from study.statistics import intervals
from study.statistics.intervals import MeanInterval

MOST = 16  # networks that are aligned and compared as functions; from more networks, this many evenly spread ones
ALIGNING_SECONDS = 2.0  # for all pairs; of wide networks fewer are aligned
MOST_RAW = 256  # networks whose raw distances are computed
PATHS = 4  # pairs whose loss paths are followed; batch normalisation is folded before an aligned path
ROWS = 2_000  # of the validation part, for the networks' representations


@dataclass(frozen=True)
class Examination:
    """Every matrix is [N, N], for N ≤ MOST networks: those at `places` in the cohort.

    relative_l2: of the raw weights. aligned: canonical and matched; null: the same of fresh networks of this architecture.
    disagreement and cka (debiased, of the last hidden layer): None where networks don't share their data. pairs: those whose paths
    were followed, raw and with the second network aligned to the first; a path's barrier is in error rate, or in trivial losses.
    centre: [N], distances to the mean of the aligned networks.
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
        """Return the arrays that a trial's artifacts keep."""
        arrays = {name: getattr(self, name) for name in ("places", "relative_l2", "aligned", "centre", "disagreement", "cka")}
        arrays |= {"null": np.float64(self.null), "pairs": np.array(self.pairs, np.int32).reshape(-1, 2)}
        arrays |= {"barriers": self.barriers, "aligned_barriers": self.aligned_barriers}
        for name, paths in (("raw", self.raw_paths), ("aligned", self.aligned_paths)):
            if paths:
                arrays |= {"alphas": paths.loss.alphas, f"{name}_loss": paths.loss.values, f"{name}_error": paths.error.values}
        return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


def examine(cohort: Cohort, datasets: Sequence[Dataset]) -> Examination:
    """Compare the replicates of a trial, at least two. datasets: one per replicate."""
    validated, trained = shared(datasets, "x_val", "y_val"), shared(datasets, "x_train", "y_train")
    return of_networks(
        cohort.networks(),
        labels=cohort.labels,
        losses=cohort.final(cohort.val_loss),
        model=cohort.spec.model,
        loss=cohort.spec.loss,
        predictions=cohort.predictions if validated else None,
        target=datasets[0].y_val,
        data=datasets[0] if validated and trained else None,
    )


def of_networks(
    networks: Sequence[Network],
    *,
    labels: Sequence[str],
    losses: Sequence[float] | Floats,
    model: Model,
    loss: Loss,
    predictions: Floats | None = None,
    target: Array | None = None,
    data: Dataset | None = None,
) -> Examination:
    """Compare R ≥ 2 networks of one architecture. labels: [R], of convergence; losses: [R], of validation.

    predictions: [R, n, outputs] on rows that all networks share, with their target. data: shared by all, for the paths.
    """
    chosen = affordable(networks)
    count, epsilon = len(chosen), model.norm_epsilon
    nets = [networks[position] for position in chosen]
    stack = Network.stack(nets)
    classes = target is not None and task_of(target) == CLASSIFICATION
    every = distance.relative_l2(distance.vectors(networks if len(networks) <= MOST_RAW else nets))
    raw = every[np.ix_(chosen, chosen)] if len(every) == len(networks) else every
    aligned = alignment.matched_distances(stack, model.activation, norm_epsilon=epsilon)
    # units' scales are no part of a layer's representation
    plain = rescaling.canonical(stack, model.activation, norm_epsilon=epsilon)
    apart = function = None
    if predictions is not None and target is not None:
        apart = disagreement.between(predictions[chosen], target)
        function = _function_apart(apart, predictions[chosen], target)

    pairs = tuple((number, number + 1) for number in range(min(count - 1, PATHS)))
    raw_paths = aligned_paths = barriers = aligned_barriers = similarity = None
    if data is not None:
        first, second = (Network.stack([nets[pair[side]] for pair in pairs]) for side in (0, 1))
        moved = alignment.aligned_to(first, second, model.activation, norm_epsilon=epsilon).unstack()
        raw_paths = barrier.between([(nets[i], nets[j]) for i, j in pairs], data, model, loss)
        lines = [(rescaling.folded(nets[i], epsilon), other) for (i, _), other in zip(pairs, moved, strict=True)]
        aligned_paths = barrier.between(lines, data, model, loss)
        unit = 1.0 if classes else forward.trivial_loss(loss, data.y_train, data.outputs)
        barriers, aligned_barriers = (
            (paths.error if classes else paths.loss).barrier / unit for paths in (raw_paths, aligned_paths)
        )
        similarity = cka.cka(cka.penultimate(plain, data.x_val[:ROWS], model))
    evidence = VerdictEvidence(
        labels=labels,
        distinct=len({fingerprints.digest(net) for net in networks}),
        # a maximum over some of the networks doesn't bound that over all
        relative_l2=float(every.max()) if len(every) == len(networks) else None,
        aligned=float(aligned.max()) if count == len(networks) else None,
        output=None if predictions is None else _largest_difference(predictions),
        loss=_loss_apart(np.asarray(losses, np.float64)),
        function=function,
        classes=classes,
        barrier=None if barriers is None else float(barriers.max()),
        aligned_barrier=None if aligned_barriers is None else float(aligned_barriers.max()),
    )
    return Examination(
        places=chosen,
        relative_l2=raw,
        aligned=aligned,
        null=alignment.null_distance(nets[0], model.activation),
        centre=alignment.centre(stack, model.activation, norm_epsilon=epsilon).distances,
        disagreement=apart,
        cka=similarity,
        pairs=pairs,
        raw_paths=raw_paths,
        aligned_paths=aligned_paths,
        barriers=barriers,
        aligned_barriers=aligned_barriers,
        verdict=verdict(evidence),
    )


def affordable(networks: Sequence[Network]) -> Integers:
    """Return the positions of as many networks as can be matched in pairs within the time, at least two and at most MOST."""
    pairs = ALIGNING_SECONDS / max(alignment.seconds_a_pair(networks[0]), 1e-6)
    most = max(2, int((1 + np.sqrt(1 + 8 * pairs)) / 2))
    # spread over the cohort: neighbours in a crossed design share a source
    return evenly(len(networks), min(MOST, most)).astype(np.int32)


def _largest_difference(predictions: Floats) -> float:
    """Return max |f_a − f_b| over all pairs, rows and outputs, in SDs of the outputs. predictions: [R, n, outputs]."""
    spread = float(np.std(predictions, dtype=np.float64))
    return float(np.ptp(predictions, axis=0).max()) / spread if spread else 0.0


def _loss_apart(losses: Doubles) -> MeanInterval:
    """Return the mean of |L_a − L_b| over the mean loss."""
    return intervals.mean_of_pairs(np.abs(losses[:, None] - losses) / (losses.mean() or 1.0))


def _function_apart(apart: Matrix, predictions: Floats, target: Array) -> MeanInterval:
    """Return the mean of churn over the mean error rate, or of NRMSE."""
    if task_of(target) == CLASSIFICATION:
        error = float(np.mean(1 - metrics.accuracy(predictions, target)))
        apart = apart / (error or 1.0)  # networks without errors agree everywhere
    return intervals.mean_of_pairs(apart)
