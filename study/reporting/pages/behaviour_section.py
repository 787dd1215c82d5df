"""The section on what the champion does: which columns it uses, how, and where it errs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from study.records.behaviour import TEST, Behaviour, Dependence
from study.reporting import report
from study.reporting.pages.charts import behaviour as charts
from study.reporting.pages.page import Chart, Section
from study.statistics import intervals

TITLE = "What the model does"
MOST_COLUMNS, MOST_DEPENDENCES, MOST_TARGETS, MOST_NAMED = 20, 4, 3, 5


def section(found: Behaviour | None) -> Section:
    """Return the section; empty without measures."""
    if found is None:
        return Section(TITLE)
    return Section(TITLE, _texts(found), [*_importance(found), *_dependences(found), *_errors(found)])


def rows_text(found: Behaviour, count: int) -> str:
    """Return which rows the measures are on."""
    if found.part == TEST:
        return f"{count:,} test rows"
    return f"{count:,} validation rows, each network judged by those that it wasn't trained on"


def _texts(found: Behaviour) -> list[str]:
    if found.importance:
        return []
    return [f"Importance and dependence were not measured: {found.columns:,} columns would take too long."]


def _importance(found: Behaviour) -> Iterator[Chart]:
    if not found.importance:
        return
    shown = found.importance[:MOST_COLUMNS]
    means = [float(np.mean(column.by_member)) for column in shown]
    halves = [intervals.mean_halfwidth(column.by_member) for column in shown]
    quantity = f"{'rise of the' if found.classifies else 'drop in'} {found.score}"
    alone = any(half is None for half in halves)
    interval = "" if alone else " The intervals are 95% over the networks, and don't contain the chance of the rows."
    more = len(found.importance) - len(shown)
    left_out = f" {more} columns that matter less are not shown." if more else ""
    caption = (
        f"How much worse {'the network' if alone else 'one network'} scores where a column is shuffled over the rows, mean of "
        f"{found.repeats} shuffles, on {rows_text(found, found.measured)}.{interval} Columns that repeat one another share their "
        f"importance, and each may seem to have little.{left_out}"
    )
    named = "; ".join(f"{column.column}: {report.number(mean)}" for column, mean in zip(shown[:MOST_NAMED], means, strict=False))
    figure = charts.importance([column.column for column in shown], means, halves, quantity)
    yield Chart("Importance of the columns", figure, f"{quantity}: {named}.", caption, wide=True)


def _dependences(found: Behaviour) -> Iterator[Chart]:
    for each in found.dependence[:MOST_DEPENDENCES]:
        outputs = _drawn(found, each)
        quantity = f"probability of {found.outputs[outputs[0]]}" if found.classifies else found.outputs[outputs[0]]
        if len(outputs) > 1:
            quantity = "probability" if found.classifies else "prediction"
        ends = ", ".join(f"{report.number(each.mean[at][outputs[0]])} at {_value(each.values[at])}" for at in (0, -1))
        left_out = len(found.outputs) - len(outputs) if len(found.outputs) > 2 else 0
        more = f" {left_out} of {len(found.outputs)} that vary less are not shown." if left_out else ""
        yield Chart(
            f"Prediction by {each.column}",
            charts.dependence(each, outputs, found.outputs, quantity),
            f"{quantity}: {ends}.",
            f"Mean prediction for {rows_text(found, found.measured)}, all given the same {each.column}; ± one SD over the "
            f"networks.{more}",
        )


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else report.number(value)


def _drawn(found: Behaviour, each: Dependence) -> list[int]:
    """Return the outputs to draw: of two classes the second, of many those that vary most."""
    if found.classifies and len(found.outputs) == 2:
        return [1]
    most = np.argsort(-np.ptp(np.array(each.mean), axis=0), kind="stable")[: charts.MOST_OUTPUTS]
    return sorted(map(int, most))


def _errors(found: Behaviour) -> Iterator[Chart]:
    on = rows_text(found, found.rows)
    for name, pairs in list(zip(found.outputs, found.residuals, strict=False))[:MOST_TARGETS]:
        predicted, truth = zip(*pairs, strict=True)
        rmse = float(np.sqrt(np.mean(np.square(np.subtract(truth, predicted)))))
        some = f"{len(pairs)} of " if len(pairs) < found.rows else ""
        yield Chart(
            f"Errors of {name}" if len(found.outputs) > 1 else "Errors by prediction",
            charts.residuals(predicted, truth, name),
            f"True minus predicted {name} for {len(pairs)} rows; RMSE {report.number(rmse)}.",
            f"Mean of the networks for {some}{on}. A trend or a funnel shows what the model misses.",
        )
    if found.confusion:
        counts = np.array(found.confusion)
        right = f"{np.trace(counts) / counts.sum():.1%}"
        yield Chart(
            "Confusion matrix",
            charts.confusion(found.confusion, found.outputs),
            f"{right} of {found.rows:,} rows get their class.",
            f"Mean of the networks for {on}: {right} get their class. A row is a true class; darker is a larger share of it.",
        )
