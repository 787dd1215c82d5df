"""The last look: a trial's replicates, and baselines, on the test rows that nothing was trained or chosen by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study import seeds
from study.analysis import baselines, blas, decision_threshold, ensemble, forward, metrics, own_scores, worth
from study.data import dataset, scaling, splits
from study.data.scaling import ColumnScale
from study.records.arrays import Array
from study.records.cohort import Cohort
from study.records.network import Network
from study.records.outcome import DEFAULT, Calibration, Interval, Tested, TestScore
from study.settings.data import CLASSIFICATION
from study.settings.spec import TrialSpec
from study.statistics import calibration, rows
from study.statistics.rows import RowEstimate

ENSEMBLE = "ensemble"


def judge(cohort: Cohort, *, with_baselines: bool, default: Cohort | None = None) -> Tested | None:
    """Judge the mean prediction of a trial's replicates on the test part, and others beside it; None without a test part.

    default: replicates of the default setting.

    Baselines are fitted to all other rows, which the replicates of several splits have seen together too. Losses are in units of
    the scaling by these rows.
    """
    spec = cohort.spec
    data = dataset.load_tested(spec)
    if data is None:
        return None
    common = scaling.tested_targets(spec)
    with blas.one_thread(blas.multiplications(cohort.network, len(data.x_val))):
        predictions = _predictions(cohort, common)
        others = _predictions(default, common) if default else None
    models = {ENSEMBLE: ensemble.combined(predictions, spec.loss)}
    if others is not None:
        models[DEFAULT] = ensemble.combined(others, spec.loss)
    if with_baselines:
        models |= {model.name: model.outputs for model in baselines.fitted(data, spec.loss, spec.seed)}
    draw, groups = seeds.generator(spec.seed, splits.TEST), _groups(spec)
    outputs = np.stack(list(models.values()))
    weights = data.weights_val
    decided = _decided(cohort, default, outputs)
    scores = worth.of_models(outputs, data.y_val, spec.loss, common, draw, groups, weights, decided)
    single = forward.row_losses(predictions, data.y_val, spec.loss).mean(axis=0)
    own, *losses = forward.row_losses(outputs, data.y_val, spec.loss)
    gaps = rows.means(rows.weighted(np.stack([single, *losses]) - own, weights), draw, groups)
    in_units: Array = outputs
    truth: Array = data.y_val
    if spec.data.task != CLASSIFICATION:
        in_units, truth = scaling.in_units(common, outputs), scaling.in_units(common, data.y_val.astype(np.float64))
    every = metrics.scores(in_units, truth, weights, decided)
    every |= own_scores.scores(in_units, truth, weights)
    curves: dict[str, Calibration] = {}
    if spec.data.task == CLASSIFICATION:
        curves["calibration"] = calibration.calibration(forward.probabilities(outputs[0]), data.y_val, draw)
        curves["single_calibration"] = calibration.of_several(forward.probabilities(predictions), data.y_val, draw)
    return Tested(
        rows=len(data.y_val),
        networks=len(cohort),
        single=float(np.average(single, weights=weights)),
        gain=_interval(gaps[0]),
        scores=[
            TestScore(
                name,
                _interval(score.loss),
                [_interval(estimate) for estimate in score.rmse],
                [_interval(estimate) for estimate in score.mae],
                _interval(score.accuracy) if score.accuracy else None,
                _interval(gap) if gap else None,
                {measure: float(values[number]) for measure, values in every.items()},
            )
            for number, (name, score, gap) in enumerate(zip(models, scores, [None, *gaps[1:]], strict=True))
        ],
        **curves,
    )


def _decided(cohort: Cohort, default: Cohort | None, outputs: Array) -> Array:
    """Return the outputs of `judge`'s models that predict classes, [k, n, units].

    A threshold that is chosen is each ensemble's own; baselines have none, and predict the likelier class.
    """
    setting = decision_threshold.of_settings(cohort.spec.data)
    if not isinstance(setting, str):
        return decision_threshold.decided(outputs, setting)
    own = [decision_threshold.of_cohort(each) for each in (cohort, default) if each]
    every = [*own, *[None] * (len(outputs) - len(own))]
    return np.stack([decision_threshold.decided(each, of) for each, of in zip(outputs, every, strict=True)])


def _interval(estimate: RowEstimate) -> Interval:
    return estimate.value, estimate.low, estimate.high


def _predictions(cohort: Cohort, common: Sequence[ColumnScale]) -> Array:
    """Return each replicate's outputs for the test rows, [R, n, units]."""
    members = zip(cohort.spec.replicates.numbers, cohort.networks(), strict=True)
    return np.stack([_outputs(cohort.spec, number, network, common) for number, network in members])


def _groups(spec: TrialSpec) -> Array | None:
    """Return the groups of the test rows, [n]; None where rows have none."""
    all_rows, _, test = splits.tested_parts(spec)
    return None if all_rows.groups is None else all_rows.groups[test]


def _outputs(spec: TrialSpec, number: int, network: Network, common: Sequence[ColumnScale]) -> Array:
    """Return a replicate's outputs for the test rows, [n, units]. common: the scaling in which it gives targets."""
    x, own = scaling.tested_by(spec, number)
    outputs = forward.layer_outputs(Network.stack([network]), x, spec.model)[-1][0]
    if spec.data.task == CLASSIFICATION:
        return outputs
    return scaling.from_units(common, scaling.in_units(own, outputs.astype(np.float64)))
