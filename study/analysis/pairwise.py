"""Compare the networks of a cohort pair by pair, and derive their verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from study.analysis import alignment, barrier, blas, cka, disagreement, distance, fingerprints, forward, metrics, rescaling
from study.analysis.barrier import Paths
from study.analysis.distance import Matrix
from study.analysis.motion import Motion
from study.analysis.verdict import Verdict, VerdictEvidence, verdict
from study.records.arrays import Array, Doubles, Floats, Integers
from study.records.cohort import Cohort
from study.records.dataset import Dataset, on_same_rows, shared, splits, task_of
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
    disagreement: NaN for networks that were validated on different rows, None if all were. cka (debiased, of the last hidden
    layer): None where networks don't share their data. pairs: those whose paths were followed, raw and with the second network
    aligned to the first; a path's barrier is in error rate, or in trivial losses. centre: [N], distances to the mean of the aligned
    networks; None unless it was asked for.
    """

    places: Integers
    relative_l2: Matrix
    aligned: Matrix
    null: float
    centre: Doubles | None
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


@dataclass(frozen=True)
class LastEpochs:
    """The end of R networks' motion, as a verdict takes it, [R] each: wobble and held as in `Motion`; rests: the function rests."""

    wobble: Doubles
    rests: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]


def examine(cohort: Cohort, datasets: Sequence[Dataset], moved: Motion | None = None) -> Examination:
    """Compare the replicates of a trial, at least two. datasets: one per replicate; moved: their motion."""
    numbers = splits(datasets)
    same = not numbers.any() and shared(datasets, "x_train", "y_train")
    return of_networks(
        cohort.networks(),
        labels=cohort.labels,
        losses=cohort.final(cohort.val_loss),
        model=cohort.spec.model,
        loss=cohort.spec.loss,
        predictions=cohort.predictions,
        targets=[data.y_val for data in datasets],
        splits=numbers,
        data=datasets[0] if same else None,
        ended=LastEpochs(moved.wobble, moved.function_rests, moved.held) if moved else None,
    )


def of_networks(
    networks: Sequence[Network],
    *,
    labels: Sequence[str],
    losses: Sequence[float] | Floats,
    model: Model,
    loss: Loss,
    predictions: Floats | None = None,
    targets: Sequence[Array] = (),
    splits: Integers | None = None,
    data: Dataset | None = None,
    ended: LastEpochs | None = None,
    centred: bool = False,
) -> Examination:
    """Compare R ≥ 2 networks of one architecture. labels: [R], of convergence; losses: [R], of validation.

    predictions: [R, n, outputs], each network's on its own rows, whose targets are `targets`, [R] of [n, …]. splits: [R], equal
    numbers for the same rows; None if all are the same. data: shared by all, for the paths. ended: their last epochs, if known.
    centred: match the networks to their mean too, which takes several times as long as all the rest.
    """
    rows = np.zeros(len(networks), np.int32) if splits is None else splits
    chosen = affordable(networks, rows)
    count, epsilon = len(chosen), model.norm_epsilon
    nets = [networks[position] for position in chosen]
    stack = Network.stack(nets)
    classes = bool(targets) and task_of(targets[0]) == CLASSIFICATION
    every = distance.relative_l2(distance.vectors(networks if len(networks) <= MOST_RAW else nets))
    raw = every[np.ix_(chosen, chosen)] if len(every) == len(networks) else every
    aligned = alignment.matched_distances(stack, model.activation, norm_epsilon=epsilon)
    # units' scales are no part of a layer's representation
    plain = rescaling.canonical(stack, model.activation, norm_epsilon=epsilon)
    apart = function = wobble = None
    if predictions is not None:
        apart, function = _functions(predictions[chosen], [targets[position] for position in chosen], rows[chosen])
    if ended and predictions is not None:
        apart_in_time = [
            float(_over_errors(ended.wobble[[position]], predictions[[position]], targets[position])[0]) for position in chosen
        ]
        wobble = float(np.mean(apart_in_time)) if np.isfinite(apart_in_time).all() else None

    pairs = tuple((number, number + 1) for number in range(min(count - 1, PATHS)))
    raw_paths = aligned_paths = barriers = aligned_barriers = similarity = None
    if data is not None:
        first, second = (Network.stack([nets[pair[side]] for pair in pairs]) for side in (0, 1))
        seconds = alignment.aligned_to(first, second, model.activation, norm_epsilon=epsilon).unstack()
        lines = [(rescaling.folded(nets[i], epsilon), other) for (i, _), other in zip(pairs, seconds, strict=True)]
        with blas.one_thread(blas.multiplications(stack, ROWS)):
            raw_paths = barrier.between([(nets[i], nets[j]) for i, j in pairs], data, model, loss)
            aligned_paths = barrier.between(lines, data, model, loss)
            similarity = cka.cka(cka.penultimate(plain, data.x_val[:ROWS], model))
        unit = 1.0 if classes else forward.trivial_loss(loss, data.y_train, data.outputs)
        barriers, aligned_barriers = (
            (paths.error if classes else paths.loss).barrier / unit for paths in (raw_paths, aligned_paths)
        )
    evidence = VerdictEvidence(
        labels=labels,
        distinct=len({fingerprints.digest(net) for net in networks}),
        # a maximum over some of the networks doesn't bound that over all
        relative_l2=float(every.max()) if len(every) == len(networks) else None,
        aligned=float(aligned.max()) if count == len(networks) else None,
        output=None if predictions is None or rows.any() else _largest_difference(predictions),
        loss=_loss_apart(np.asarray(losses, np.float64), rows),
        function=function,
        classes=classes,
        barrier=None if barriers is None else float(barriers.max()),
        aligned_barrier=None if aligned_barriers is None else float(aligned_barriers.max()),
        wobble=wobble,
        resting=ended.rests.tolist() if ended else (),
        held=int(ended.held.sum()) if ended else 0,
    )
    return Examination(
        places=chosen,
        relative_l2=raw,
        aligned=aligned,
        null=alignment.null_distance(nets[0], model.activation),
        centre=alignment.centre(stack, model.activation, norm_epsilon=epsilon).distances if centred else None,
        disagreement=apart,
        cka=similarity,
        pairs=pairs,
        raw_paths=raw_paths,
        aligned_paths=aligned_paths,
        barriers=barriers,
        aligned_barriers=aligned_barriers,
        verdict=verdict(evidence),
    )


def affordable(networks: Sequence[Network], splits: Integers) -> Integers:
    """Return the positions of as many networks as can be matched in pairs within the time, at least two and at most MOST.

    splits: [R], equal numbers for networks on the same rows.
    """
    pairs = ALIGNING_SECONDS / max(alignment.seconds_a_pair(networks[0]), 1e-6)
    most = max(2, min(MOST, int((1 + np.sqrt(1 + 8 * pairs)) / 2)))
    if splits.any():
        return np.arange(min(len(networks), most), dtype=np.int32)  # neighbours share their rows
    # spread over the cohort: neighbours in a crossed design share a source
    return evenly(len(networks), most).astype(np.int32)


def _functions(predictions: Floats, targets: Sequence[Array], splits: Integers) -> tuple[Matrix | None, MeanInterval | None]:
    """Return the disagreement of each pair of networks on the same rows, and the mean of churn over the error rate, or of NRMSE."""
    apart, relative = np.full((len(splits), len(splits)), np.nan), []
    np.fill_diagonal(apart, 0.0)
    for members, block in disagreement.within(predictions, targets, splits):
        apart[np.ix_(members, members)] = block
        relative.append(_over_errors(block, predictions[members], targets[members[0]]))
    return (apart, intervals.mean_of_blocks(relative)) if relative else (None, None)


def _largest_difference(predictions: Floats) -> float:
    """Return max |f_a − f_b| over all pairs, rows and outputs, in SDs of the outputs. predictions: [R, n, outputs]."""
    spread = float(np.std(predictions, dtype=np.float64))
    return float(np.ptp(predictions, axis=0).max()) / spread if spread else 0.0


def _loss_apart(losses: Doubles, splits: Integers) -> MeanInterval:
    """Return the mean of |L_a − L_b| over the mean loss, over the pairs of networks on the same rows."""
    apart = np.abs(losses[:, None] - losses) / (losses.mean() or 1.0)
    blocks = [apart[np.ix_(members, members)] for members in on_same_rows(splits)]
    # where no two networks share their rows, nothing is judged by it
    return intervals.mean_of_blocks(blocks or [apart])


def _over_errors(apart: Matrix, predictions: Floats, target: Array) -> Matrix:
    """Return churn over the networks' mean error rate; NRMSE as it is."""
    if task_of(target) != CLASSIFICATION:
        return apart
    error = float(np.mean(1 - metrics.accuracy(predictions, target)))
    return apart / (error or 1.0)  # networks without errors agree everywhere
