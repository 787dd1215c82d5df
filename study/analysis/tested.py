"""The last look: a trial's replicates, and baselines, on the test rows that nothing was trained or chosen by."""

from __future__ import annotations

import numpy as np

from study import seeds
from study.analysis import baselines, ensemble, forward, worth
from study.data import dataset, loading, scaling, splits
from study.records.arrays import Array, Doubles
from study.records.cohort import Cohort
from study.records.network import Network
from study.records.outcome import Interval, Tested, TestScore
from study.settings.data import CLASSIFICATION
from study.settings.spec import TrialSpec
from study.statistics import rows
from study.statistics.rows import RowEstimate

ENSEMBLE = "ensemble"


def judge(cohort: Cohort, *, with_baselines: bool) -> Tested | None:
    """Judge the mean prediction of a trial's replicates on the test part, and baselines beside it; None without a test part.

    Baselines are fitted to all other rows, which the replicates of several splits have seen together too. Losses are in units of
    the scaling by these rows.
    """
    spec = cohort.spec
    data = dataset.load_tested(spec)
    if data is None:
        return None
    predictions = np.stack(
        [_outputs(spec, number, net) for number, net in zip(spec.replicates.numbers, cohort.networks(), strict=True)]
    )
    combined = ensemble.combined(predictions, spec.loss)
    others = list(baselines.fitted(data, spec.loss, spec.seed)) if with_baselines else []
    draw = seeds.generator(spec.seed, splits.TEST)
    outputs = np.stack([combined, *(model.outputs for model in others)])
    spreads = [scale.spread for scale in scaling.learn_tested(spec).targets]
    groups = loading.rows(spec).groups
    of_rows = None if groups is None else groups[splits.test_part(spec.data, loading.rows(spec), loading.root_seed(spec))]
    scores = worth.of_models(outputs, data.y_val, spec.loss, spreads, draw, of_rows)
    losses = forward.row_losses(outputs, data.y_val, spec.loss)
    single = np.stack([forward.row_losses(own[None], data.y_val, spec.loss)[0] for own in predictions]).mean(axis=0)
    gaps = rows.means(np.concatenate([single[None], losses[1:]]) - losses[0], draw, of_rows)
    return Tested(
        rows=len(data.y_val),
        networks=len(cohort),
        single=float(single.mean()),
        gain=_interval(gaps[0]),
        scores=[
            TestScore(
                name,
                _interval(score.loss),
                [_interval(estimate) for estimate in score.rmse],
                [_interval(estimate) for estimate in score.mae],
                _interval(score.accuracy) if score.accuracy else None,
                _interval(gap) if gap else None,
            )
            for name, score, gap in zip([ENSEMBLE, *(model.name for model in others)], scores, [None, *gaps[1:]], strict=True)
        ],
    )


def _interval(estimate: RowEstimate) -> Interval:
    return estimate.value, estimate.low, estimate.high


def _outputs(spec: TrialSpec, number: int, network: Network) -> Array:
    """Return a replicate's outputs for the test rows, [n, units]; targets as scaled by all other rows."""
    outputs = forward.layer_outputs(Network.stack([network]), scaling.scaled_test(spec, number), spec.model)[-1][0]
    if spec.data.task == CLASSIFICATION:
        return outputs
    own, common = (np.array(learned.targets) for learned in (scaling.learn_scaling(spec, number), scaling.learn_tested(spec)))
    return _in_units(_in_units(outputs.astype(np.float64), own, back=True), common)


def _in_units(values: Doubles, scales: Doubles, *, back: bool = False) -> Doubles:
    """Scale targets [n, outputs], or undo that. scales: `ColumnScale` of each, [outputs, 3]; of constant ones the spread is 1."""
    centre, spread = (scales[:, column].astype(np.float64) for column in (1, 2))
    spread = np.where(np.isfinite(spread), spread, 1)
    return values * spread + centre if back else (values - centre) / spread
