"""The worth of a study's winner on the test part, by which nothing was trained or chosen, beside other models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from study.records.arrays import Scalar
from study.records.outcome import DEFAULT, Interval, Tested, TestScore
from study.records.trial import TrialRecord
from study.reporting import columns
from study.reporting.report import Table, listed, number
from study.statistics import objectives
from study.statistics.objectives import NAMES


def losses_table(tested: Tested) -> Table:
    """Tabulate the models' losses on the test rows, the winner's networks first, and how far the others are from them."""
    scores, own = tested.scores, tested.scores[0]
    names = [_model_name(score, tested) for score in scores]
    losses = columns.estimates([score.loss for score in scores], own.loss[0])
    gaps = columns.estimates([score.gap for score in scores], own.loss[0] / 10)
    rows = list(zip(names, losses, gaps, strict=True))
    if tested.networks > 1:
        (loss,), (gain,) = columns.fixed([tested.single], [own.loss[0]]), columns.estimates([tested.gain], own.loss[0] / 10)
        rows.insert(1, ("one network, on average", loss, gain))
    return Table(("model", "test loss", "minus the first"), tuple(rows))


def scores_table(tested: Tested) -> Table:
    """Tabulate the models' scores on the test rows, in the target's own unit, those with intervals first.

    A score that is the loss itself, such as the log loss of classes, is left out: it stands in the table of losses.
    """
    models = tested.scores
    found = {"model": [_model_name(score, tested) for score in models]}
    estimates: Mapping[str, list[list[Interval]]] = {
        objectives.ACCURACY: [[score.accuracy] if score.accuracy else [] for score in models],
        objectives.RMSE: [score.rmse for score in models],
        objectives.MAE: [score.mae for score in models],
    }
    for name, of_models in estimates.items():
        if of_models[0] and not _is_loss([value for ((value, *_), *_) in of_models], tested):
            found[name] = _estimated(of_models)
    for name in models[0].scores:
        values = [score.scores[name] for score in models]
        if not (estimates.get(name, [[]])[0] or _is_loss(values, tested) or all(map(math.isnan, values))):
            found[name] = columns.fixed(values, values[:1])
    return Table(tuple(NAMES.get(name, name) for name in found), tuple(zip(*found.values(), strict=True)))


def _estimated(of_models: Sequence[Sequence[Interval]]) -> list[str]:
    """Return each model's estimates of a score by target; of several targets without intervals, for which there is no room."""
    by_target = list(zip(*of_models, strict=True))
    if len(by_target) == 1:
        return columns.estimates(by_target[0], by_target[0][0][0])
    values = [[value for value, *_ in estimates] for estimates in by_target]
    return [", ".join(texts) for texts in zip(*(columns.fixed(column, column[:1]) for column in values), strict=True)]


def _is_loss(values: Sequence[float], tested: Tested) -> bool:
    """Return True if each model's value of a score is its loss, up to float32."""
    return bool(np.allclose(values, [score.loss[0] for score in tested.scores], rtol=1e-5, atol=0))


def _model_name(score: TestScore, tested: Tested) -> str:
    if score.name == DEFAULT:
        return "default setting"
    if score.gap is not None:
        return score.name
    return f"mean of {tested.networks} networks" if tested.networks > 1 else "the network"


def better_baselines(tested: Tested) -> list[str]:
    """Return the names of the baselines whose loss on the test rows is shown to be lower than the ensemble's."""
    return [name for name, gap in _baseline_gaps(tested).items() if gap[2] < 0]


def _baseline_gaps(tested: Tested) -> dict[str, Interval]:
    return {score.name: score.gap for score in tested.scores if score.gap is not None and score.name != DEFAULT}


def default_name(records: Sequence[TrialRecord], default: Mapping[str, Scalar] | None) -> str:
    """Return the default setting with its trial, if that is known."""
    trial = next((record.number for record in records if record.params == default), None)
    return "The default setting" if trial is None else f"The default setting, trial {trial},"


def default_gap(tested: Tested) -> Interval | None:
    """Return the loss of the default setting on the test rows minus the winner's; None if it wasn't judged."""
    return next((score.gap for score in tested.scores if score.name == DEFAULT), None)


def text(tested: Tested, records: Sequence[TrialRecord], default: Mapping[str, Scalar] | None) -> str:
    """Return what the winner is worth on the test rows, in sentences. records: the trials; default: the setting."""
    better = better_baselines(tested)
    gaps = {name: gap for name, gap in _baseline_gaps(tested).items() if name not in better}
    worse = [name for name, (_, low, _) in gaps.items() if low > 0]
    standings = (
        ("better", better),
        ("worse", worse),
        ("not shown to be better or worse", [name for name in gaps if name not in worse]),
    )
    made = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {standing}" for standing, names in standings if names]
    compared = f" Of the baselines, {'; '.join(made)}." if made else ""
    if gap := default_gap(tested):
        standing = "better" if gap[2] < 0 else "worse" if gap[1] > 0 else "not shown to be better or worse"
        though = ", though not on the validation rows: which of the two is better depends on the rows" if gap[2] < 0 else ""
        compared = f" {default_name(records, default)} is {standing}{though}.{compared}"
    means = " RMSE and MAE are those of each target, other scores their means." if len(tested.scores[0].rmse) > 1 else ""
    return (
        f"The test part has {tested.rows:,} rows, by which nothing was trained or chosen.{compared} Intervals are 95%, over rows."
        f"{means}{_calibration_text(tested)}"
    )


def brief(tested: Tested) -> str:
    """Return what the winner is worth on the test rows, and beside it what else is, in one short sentence."""
    first, *others = tested.scores
    measure, value = ("is right on", _share) if first.accuracy else ("has an RMSE of", _off)
    baselines = [score for score in others if score.name != DEFAULT]
    best = min(baselines, key=_badness, default=None)
    beside = f"; the best baseline, {best.name}, {measure} {value(best)}" if best else ""
    return f"On {tested.rows:,} rows by which nothing was trained or chosen, it {measure} {value(first)}{beside}."


def _badness(score: TestScore) -> float:
    """Return by what a reader compares models: their accuracy, or the RMSE of the only target."""
    return -score.accuracy[0] if score.accuracy else score.rmse[0][0] if len(score.rmse) == 1 else score.loss[0]


def _share(score: TestScore) -> str:
    return f"{score.accuracy[0]:.1%}" if score.accuracy else "–"


def _off(score: TestScore) -> str:
    return listed([number(value) for value, *_ in score.rmse])


def _calibration_text(tested: Tested) -> str:
    """Return a sentence on the ensemble's probabilities, after a blank; empty for regression."""
    curve, single = tested.calibration, tested.single_calibration
    if curve is None or single is None:
        return ""
    bins = f"{len(curve.rows)} bins" if len(curve.rows) > 1 else "a single bin"
    one = f"; one network has {number(single.ece)} on average" if tested.networks > 1 else ""
    return (
        f" The probability of the predicted class has an expected calibration error (ECE) of {number(curve.ece)} over {bins}{one}; "
        f"perfectly calibrated probabilities stay below {number(curve.by_chance)} on 19 of 20 test parts of this size."
    )
