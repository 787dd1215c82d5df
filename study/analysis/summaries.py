"""Summarise a trained cohort: the numbers that its trial is judged by, and its networks' searchable fingerprints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from study.analysis import (
    blas,
    convergence,
    decision_threshold,
    disagreement,
    distance,
    forward,
    metrics,
    motion,
    own_scores,
    rescaling,
    similarity,
)
from study.analysis.motion import Motion
from study.analysis.pairwise import Examination
from study.data import scaling
from study.data.scaling import ColumnScale
from study.records.arrays import Array, Floats, Integers
from study.records.cohort import Cohort
from study.records.dataset import Dataset, splits, task_of
from study.records.outcome import MotionSummary, Summary
from study.settings.data import CLASSIFICATION
from study.settings.training import SETTLED
from study.statistics import intervals, ranking

WIDEST_SEARCHABLE = 256


def summarise(
    trained: Cohort,
    datasets: Sequence[Dataset],
    marks: Sequence[str],
    examined: Examination | None = None,
    moved: Motion | None = None,
) -> Summary:
    """Summarise a trial's cohort. Distance and disagreement are means over the pairs of replicates.

    marks: each replicate's fingerprint; moved: their motion. Disagreement is of pairs that were validated on the same rows; None
    without such pairs.
    """
    final = [float(loss) for loss in trained.final(trained.val_loss)]
    rows, numbers = distance.vectors(trained.networks()), splits(datasets)
    per_split = trained.spec.replicates.per_split
    alone = 0.0 if len(numbers) == 1 else None  # a network differs from itself by nothing; others have no rows in common
    its_motion = moved.summary() if moved else None
    decided = [
        decision_threshold.of_replicate(trained.predictions[[index]], data, trained.spec.data)
        for index, data in enumerate(datasets)
    ]
    blocks = list(disagreement.within(trained.predictions, [data.y_val for data in datasets], numbers))
    return Summary(
        val_losses=final,
        val_loss_mean=float(np.mean(final)),
        val_loss_std=float(np.std(final, ddof=1)) if len(final) > 1 else 0.0,
        val_loss_halfwidth=None if trained.spec.replicates.crossed else intervals.mean_halfwidth(final, per_block=per_split),
        train_loss_mean=float(np.mean(trained.final(trained.train_loss))),
        distance=distance.mean_of_pairs(distance.relative_l2(rows)),
        disagreement=float(np.mean([distance.mean_of_pairs(block) for _, block in blocks])) if blocks else alone,
        distinct=len(set(marks)),
        labels={name: trained.labels.count(name) for name in convergence.LABELS if name in trained.labels},
        kinds=_kinds(trained.labels, its_motion),
        scores=_scores(trained, datasets, decided),
        threshold=decision_threshold.of_cohort(trained),
        finite_test=None if numbers.any() else _finite_test(trained.predictions, datasets[0].y_val),
        parameters=sum(array[0].size for array in trained.network.trainable.values()),
        **_classes(trained, datasets, decided),
        **_progress(trained, datasets),
        **_examined(examined),
        motion=its_motion,
        until_rest=trained.trained.tolist() if trained.spec.training.until == SETTLED else [],
    )


def _kinds(labels: Sequence[str], moved: MotionSummary | None) -> dict[str, dict[str, int]]:
    how = Counter(kind for index, label in enumerate(labels) if (kind := motion.divergence(label, moved, index)))
    return {convergence.DIVERGED: dict(how)} if how else {}


def _classes(trained: Cohort, datasets: Sequence[Dataset], decided: Sequence[Array]) -> dict[str, Any]:
    """Return the accuracy of predicting the largest class, and how many networks predict one class though there are more.

    decided: as for `_scores`.
    """
    if trained.spec.data.task != CLASSIFICATION:
        return {}
    shares = [metrics.majority(data.y_val, data.weights_val) for data in datasets]
    alike = np.concatenate([metrics.one_class(outputs) for outputs in decided])
    return {"majority": float(np.mean(shares)), "one_class": int(alike[np.less(shares, 1)].sum())}


def _progress(trained: Cohort, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Return each replicate's training loss, and the interval of its projected improvement."""
    improvements: list[list[float] | None] = []
    relative = []
    trivial = forward.trivial_losses(trained.spec.loss, datasets)
    for curve, count, unit in zip(trained.train_loss, trained.trained, trivial, strict=True):
        known = curve[: max(1, count)]
        ends = list(convergence.projected_improvement(convergence.tail_of(known), unit)) if np.isfinite(known).all() else [np.nan]
        improvements.append(ends if np.isfinite(ends).all() else None)
        relative.append(float(known[-1]) / unit)
    return {"improvements": improvements, "relative_losses": relative}


def _finite_test(predictions: Floats, target: Floats | Integers) -> float | None:
    """Return the share of variance due to the finite validation part; see `ranking.error_spread`."""
    if task_of(target) == CLASSIFICATION:
        errors = forward.predicted_classes(predictions) != target
    else:
        errors = np.square(predictions.astype(np.float64) - target).mean(axis=2)
    spread = ranking.error_spread(errors)
    return spread.finite_test if spread and np.isfinite(spread.finite_test) else None


def _examined(examination: Examination | None) -> dict[str, Any]:
    if examination is None:
        return {}

    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return {
        "aligned": known(distance.mean_of_pairs(examination.aligned)),
        "null": known(examination.null),
        "barrier": None if examination.barriers is None else known(float(examination.barriers.max())),
        "aligned_barrier": None if examination.aligned_barriers is None else known(float(examination.aligned_barriers.max())),
        "cka": None if examination.cka is None else known(distance.mean_of_pairs(examination.cka)),
        "verdict": str(examination.verdict),
        "reasons": list(examination.verdict.reasons),
    }


def _scores(trained: Cohort, datasets: Sequence[Dataset], decided: Sequence[Array]) -> dict[str, list[float]]:
    """Return each replicate's scores on its validation part, without those that a part can't give, such as the AUC of one class.

    decided: R outputs, [1, n, units], whose likelier class the decision threshold decides for.
    """
    found, spec = [], trained.spec
    scales = scaling.by_replicate(spec, spec.replicates.numbers, scaling.targets_of)
    for index, data in enumerate(datasets):
        outputs, truth = _in_units(trained.predictions[index], data.y_val, scales[index])
        found.append(
            metrics.scores(outputs, truth, data.weights_val, decided[index]) | own_scores.scores(outputs, truth, data.weights_val)
        )
    scores = {name: [float(of_one[name][0]) for of_one in found] for name in found[0]}
    return {name: values for name, values in scores.items() if np.all(np.isfinite(values))}


def _in_units(outputs: Array, truth: Array, scales: Sequence[ColumnScale]) -> tuple[Array, Array]:
    """Return a replicate's outputs for its validation rows, [1, n, units], and their targets, both in the targets' own unit."""
    if task_of(truth) == CLASSIFICATION:
        return outputs[None], truth
    return scaling.in_units(scales, outputs.astype(np.float64))[None], scaling.in_units(scales, truth.astype(np.float64))


@blas.one_thread()
def searchable_texts(trained: Cohort, datasets: Sequence[Dataset]) -> list[str]:
    """Return each replicate's searchable fingerprint; none for layers so wide that their singular values take seconds."""
    if max(min(kernel.shape[1:]) for kernel in trained.kernels) > WIDEST_SEARCHABLE:
        return []
    model = trained.spec.model
    plain = rescaling.canonical(trained.network, model.activation, norm_epsilon=model.norm_epsilon).unstack()
    networks = zip(plain, datasets, trained.predictions, strict=True)
    return [similarity.encode(similarity.features(net, model.activation, data.x_val, outputs)) for net, data, outputs in networks]
