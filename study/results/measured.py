"""Measure a champion on the rows that its networks weren't trained on, when it is made: see `records.behaviour`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study import seeds
from study.analysis import behaviour
from study.data import encoding, splits
from study.data.encoding import DATE, MISSING, NUMBER, OTHER, TableColumn
from study.data.rows import Rows
from study.records.arrays import Array
from study.records.behaviour import TEST, VALIDATION, Behaviour
from study.sampling import evenly

if TYPE_CHECKING:
    from study.engine.backend import keras
    from study.settings.spec import TrialSpec

MOST_ROWS = 10_000
SHUFFLES = 7  # position in the study's stream


def measure(spec: TrialSpec, numbers: Sequence[int], predictor: keras.Model, trial: int, threshold: float | None) -> Behaviour:
    """Measure the champion of a trial. numbers: of the replicates whose networks the predictor holds, in order.
    threshold: as in `JudgedModel`.

    The rows are those of the test part or, without one, all others that a network wasn't trained on. Raises BadInput if the data
    can't be loaded.
    """
    from study.tracking import predicting

    rows, others, test = splits.tested_parts(spec)
    trained = splits.trained_on(spec, numbers)
    chosen = test if len(test) else others[~trained[:, others].all(axis=0)]
    chosen = chosen[evenly(len(chosen), MOST_ROWS)]
    model = behaviour.JudgedModel(
        predict=predicting.networks(predictor),
        cost=predictor.count_params(),
        outputs=tuple(map(str, rows.target_names)),
        classifies=rows.labels is not None,
        threshold=threshold,
    )
    columns = _columns(rows, rows.x[chosen])
    draw, part = seeds.generator(spec.seed, SHUFFLES), TEST if len(test) else VALIDATION
    return behaviour.measure(model, rows.x[chosen], rows.y[chosen], ~trained[:, chosen], columns, draw, trial, part)


def _columns(rows: Rows, x: Array) -> dict[str, behaviour.JudgedColumn]:
    columns = dict[str, behaviour.JudgedColumn]()
    for column, place in rows.placed:
        at = range(place.start, place.stop)
        encoded = behaviour.values_of(x[:, at], {NUMBER: 0, DATE: len(column.parts) - 1}.get(column.role))
        columns[str(column.name)] = behaviour.JudgedColumn(at, _values(column, encoded), encoded)
    return columns


def _values(column: TableColumn, encoded: Array) -> list[float | str]:
    values = encoding.decode_column(column, encoded)
    return [
        value if isinstance(value, float) else _unknown(column, inputs) if value is None else str(value)
        for value, inputs in zip(values, encoded, strict=True)
    ]


def _unknown(column: TableColumn, inputs: Array) -> str:
    """Return the name of a value that is no level."""
    flagged = column.gaps and column.indicates and inputs[-1] == 1
    return MISSING if flagged or inputs[0] == len(column.levels) + 1 else OTHER
