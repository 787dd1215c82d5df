"""Tabulates the trials of a study, best first, each column in one format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from study.records.arrays import Scalar
from study.records.outcome import Summary
from study.records.trial import TrialRecord
from study.reporting import columns, report
from study.reporting.report import Table
from study.statistics.objectives import ACCURACY, LOSS, R2, RMSE, Objective
from study.statistics.rounding import MISSING

VAL_LOSS, CONVERGENCE = "val loss", "convergence"
TRAINING, PREDICTING = "training s", "predicting µs"
Measure = Callable[[Summary], float | None]
# what a network costs, then what two replicates of one trial differ by
COSTS: Mapping[str, Measure] = {
    "weights": lambda summary: summary.parameters or None,
    TRAINING: lambda summary: summary.seconds or None,
    PREDICTING: lambda summary: 1e6 * summary.predict_seconds or None,
}
PAIRS: Mapping[str, Measure] = {
    "distance": lambda summary: summary.distance,
    "aligned": lambda summary: summary.aligned,
    "disagreement": lambda summary: summary.disagreement,
}


def table(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], front: Collection[int] = (), winner: int | None = None
) -> Table:
    """Tabulate the completed trials as `report.ranked` has them, then those that failed or were pruned, with the reason.

    front: the numbers of the trials that no other beats in every one of several objectives. Measures that are one number for all
    trials are left out (see `same_text`), as is what no trial has.
    """
    best = report.ranked(records, objectives[0], winner)
    done = {record.number for record in best}
    rows = [*best, *(record for record in records if record.number not in done)]
    found: dict[str, Sequence[str]] = {"trial": [str(record.number) for record in rows]}
    found[VAL_LOSS] = columns.means(
        [record.summary.val_loss_mean if record.summary else None for record in rows],
        [record.summary.val_loss_halfwidth if record.summary else None for record in rows],
    )
    # the loss in the target's own unit, or as accuracy, which says most to a person; earlier versions had the first of these alone
    known = {name for record in best if record.summary for name, values in record.summary.scores.items() if values}
    shown = [name for name in (RMSE, ACCURACY, R2) if name in known and name not in {objective.name for objective in objectives}]
    found |= {name: _scores(_means(rows, name), rows, name) for name in shown[:1]}
    for index, objective in enumerate(objectives):
        if objective.name != LOSS:
            found[objective.name] = _scores(
                [record.values[index] if record.values else None for record in rows], rows, objective.name
            )
    keys = list(dict.fromkeys(key for record in rows for key in record.params))
    shorts = list(map(report.short, keys))
    names = {key: name if shorts.count(name) == 1 else key for key, name in zip(keys, shorts, strict=True)}
    found |= {name: _settings([record.params.get(key, MISSING) for record in rows]) for key, name in names.items()}
    ends = [(record.summary, record.reason or record.state) for record in rows]
    found[CONVERGENCE] = [report.labels_text(summary) if summary else reason for summary, reason in ends]
    brief = {CONVERGENCE: [summary.brief_labels_text if summary else reason for summary, reason in ends]}
    found |= {name: columns.numbers(values) for name, values in _measured(rows).items() if not columns.constant(values)}
    if front:
        found["front"] = ["●" * (record.number in front) for record in rows]
    return Table(tuple(found), tuple(zip(*found.values(), strict=True)), brief)


def same_text(records: Sequence[TrialRecord]) -> str:
    """Return a sentence on the measures that are one number for all trials, which `table` leaves out; "" without any."""
    same = [f"{name} {columns.middle(values)}" for name, values in _measured(records).items() if columns.constant(values)]
    return f" About the same for all trials: {report.listed(same)}." if same else ""


def _measured(records: Sequence[TrialRecord]) -> dict[str, Sequence[float | None]]:
    """Return the measures that some trials have, by name."""
    summaries = [record.summary for record in records]
    several = [summary if summary and len(summary.val_losses) > 1 else None for summary in summaries]
    measured: dict[str, Sequence[float | None]] = {}
    for measures, of in ((COSTS, summaries), (PAIRS, several)):
        measured |= {name: [measure(summary) if summary else None for summary in of] for name, measure in measures.items()}
    return {name: values for name, values in measured.items() if any(value is not None for value in values)}


def _settings(values: Sequence[Scalar]) -> list[str]:
    """Return the values of one setting, numbers with a fraction in one format."""
    fractions = [value for value in values if isinstance(value, float)]
    texts = iter(columns.numbers(fractions))
    return [next(texts) if isinstance(value, float) else report.setting(value) for value in values]


def _means(records: Sequence[TrialRecord], score: str) -> list[float | None]:
    return [report.score_mean(record.summary, score) if record.summary else None for record in records]


def _scores(values: Sequence[float | None], records: Sequence[TrialRecord], name: str) -> list[str]:
    """Return each trial's value of a score, an accuracy with that of always predicting the largest class."""
    texts = zip(columns.numbers(values), values, records, strict=True)
    return [text + report.majority_text(record.summary, name) * (value is not None) for text, value, record in texts]
