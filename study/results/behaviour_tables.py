"""A champion's behaviour as pandas tables: see `records.behaviour`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from study.errors import BadInput, Fault
from study.records.behaviour import Behaviour
from study.settings.rules import nearest
from study.statistics import intervals
from study.tracking.predicting import spread_names


def importance(found: Behaviour) -> pd.DataFrame:
    """Return one row per column, the most important first: importance, its 95% interval over the members, and each member's."""
    if not found.importance:
        raise BadInput(f"the importance of the {found.columns:,} columns was not measured: it would have taken too long")
    members = np.array([column.by_member for column in found.importance])
    mean, width = members.mean(axis=1), np.array([intervals.mean_halfwidth(values) for values in members], float)
    table = {"importance": mean, "low": mean - width, "high": mean + width}
    table |= {f"member {number}": values for number, values in enumerate(members.T)}
    index = pd.Index([column.column for column in found.importance], name="column")
    return _with_attributes(pd.DataFrame(table, index=index), found, found.measured)


def partial_dependence(found: Behaviour, column: str) -> pd.DataFrame:
    """Return one row per value of a column: the mean prediction of each output, and its SD over the members."""
    for each in found.dependence:
        if each.column == column:
            table = dict(zip(found.outputs, np.array(each.mean).T, strict=True))
            table |= dict(zip(spread_names(found.outputs), np.array(each.sd, float).T, strict=True))
            return _with_attributes(pd.DataFrame(table, index=pd.Index(each.values, name=column)), found, found.measured)
    known: Sequence[str] = [each.column for each in found.dependence]
    if not known:
        raise BadInput([Fault("column", column, "none: partial dependence was not measured, which would have taken too long")])
    raise BadInput([Fault("column", column, f"{nearest(column, known)} (the most important columns)")])


def residuals(found: Behaviour) -> pd.DataFrame:
    """Return predicted, true and residual (true − predicted) values, one row per row and target."""
    if found.classifies:
        raise BadInput("residuals are those of regression; classes have a confusion matrix")
    parts = {
        name: pd.DataFrame(pairs, columns=["predicted", "true"]) for name, pairs in zip(found.outputs, found.residuals, strict=True)
    }
    table = pd.concat(parts, names=["target"]).reset_index("target").reset_index(drop=True)
    return _with_attributes(table.assign(residual=table["true"] - table["predicted"]), found, found.rows)


def confusion(found: Behaviour) -> pd.DataFrame:
    """Return counts of rows by their true class (index) and predicted class (columns)."""
    if not found.confusion:
        raise BadInput(
            f"a confusion matrix of {len(found.outputs)} classes is not kept"
            if found.classifies
            else "a confusion matrix is that of classes; regression has residuals"
        )
    index, columns = pd.Index(found.outputs, name="true"), pd.Index(found.outputs, name="predicted")
    return _with_attributes(pd.DataFrame(list(found.confusion), index=index, columns=columns), found, found.rows)


def _with_attributes(table: pd.DataFrame, found: Behaviour, rows: int) -> pd.DataFrame:
    table.attrs.update(part=found.part, rows=rows, score=found.score, trial=found.trial)
    return table
