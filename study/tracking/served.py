"""Serves a champion in MLflow: rows with a table's columns, by name, become outputs with the names of its targets or classes.

This module is logged with the model, and so are the modules of mlp-study that it imports (`champion.CODE`): it works where
mlp-study isn't installed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.data.encoding import NUMBERS, Input, encode, named_alike, without_gaps
from study.errors import BadInput, Fault
from study.statistics import conformal

if TYPE_CHECKING:
    from study.records.arrays import Array, Doubles

ERRORS = "out_of_fold_errors"  # in a champion's metadata; null for rows in time
INTERVAL = "interval"  # the parameter of `Served.predict`
LOWER, UPPER, SET = "lower", "upper", "prediction set"
BETWEEN = " | "  # the classes of a set
BATCH = 512  # rows predicted at once: Keras' own 32 take a million rows minutes, and many more fill the memory for 64 members


class Served:
    """The model behind `mlflow.pyfunc.load_model`. optional: the columns that may be missing, which is a gap in each row."""

    def __init__(self, model: Any, metadata: Mapping[str, Any], optional: Sequence[str]) -> None:
        self._model, self._optional = model, tuple(optional)
        self._inputs, self._names = inputs(metadata), names(metadata)
        self._gaps = metadata.get("reading", {}).get("gaps", ())
        self._classifies, self._errors = "classes" in metadata, errors(metadata)

    def predict(self, rows: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the outputs of rows, with their index. Raises MlflowException, which a server answers as a bad request.

        params: `interval`, the coverage of prediction intervals to add; 0 adds none.
        """
        from mlflow.exceptions import MlflowException

        nothing = np.full(len(rows), None, object)
        try:
            given = dict.fromkeys(self._optional, nothing) | columns(rows)
            predicted = outputs(self._model, self._inputs, self._names, given, self._gaps)
            table = dict(zip(self._names, predicted.astype(float).T, strict=True))
            if level := (params or {}).get(INTERVAL):
                table |= intervals(self._names, predicted, halfwidths(self._errors, level), classes=self._classifies)
        except BadInput as bad:
            raise MlflowException.invalid_parameter_value(str(bad)) from bad
        return pd.DataFrame(table, index=rows.index)


def _load_pyfunc(folder: str) -> Served:
    """Load the model; MLflow calls this. folder: of the Keras model."""
    from mlflow import keras
    from mlflow.models import Model

    root = Path(folder).parent
    saved = Model.load(root)
    model = keras.load_model(str(root), load_model_kwargs={"compile": False, "safe_mode": True})
    return Served(model, saved.metadata or {}, saved.signature.inputs.optional_input_names())


def inputs(metadata: Mapping[str, Any]) -> tuple[Input, ...]:
    """Return how a champion's columns become its inputs. metadata: the champion's."""
    return tuple(Input(*fields) for fields in metadata["made_of"])


def names(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of its outputs: the classes or the targets."""
    return tuple(metadata.get("classes", metadata["outputs"]))


def errors(metadata: Mapping[str, Any]) -> Doubles | None:
    """Return a champion's out-of-fold errors, [m, outputs]; None for rows in time and for a champion of an earlier version."""
    recorded = metadata.get(ERRORS)
    return None if recorded is None else np.array(recorded, np.float64)


def halfwidths(errors: Doubles | None, level: float) -> Doubles:
    """Return half the width of each target's prediction interval, [outputs]; of classes one number, see `intervals`.

    level: the share of new rows whose outcome the interval is to contain. Raises BadInput for a level that isn't between 0 and 1 or
    needs more rows, and without errors.
    """

    def fault(valid: str) -> BadInput:
        return BadInput([Fault(INTERVAL, level, valid)])

    if not 0 < level < 1:
        raise fault("a number > 0 and < 1, such as 0.9")
    if errors is None:
        raise fault("a study without data.split=time: errors on earlier rows don't bound those on later ones")
    if level > (highest := conformal.highest_coverage(errors)):
        shown = math.floor(1000 * highest + 1e-9) / 1000
        raise fault(f"a number > 0 and <= {shown}: more needs more rows that networks of the champion weren't trained on")
    return conformal.halfwidths(errors, level)


def intervals(names: Sequence[str], mean: Array, widths: Doubles, *, classes: bool) -> dict[str, Array]:
    """Return columns with each row's prediction interval: the ends for each target, in its own unit, or the set of classes.

    The set holds the likeliest class, and all whose probability is at least 1 − `widths`. Missing for a row without a prediction.
    mean: [n, outputs]; widths: as from `halfwidths`.
    """
    if classes:
        return {SET: np.array([_set(names, row, widths[0]) for row in mean], object)}
    ends = {LOWER: mean - widths, UPPER: mean + widths}
    several = len(names) > 1
    return {
        f"{end}, {name}" if several else end: values[:, at].astype(float)
        for at, name in enumerate(names)
        for end, values in ends.items()
    }


def _set(classes: Sequence[str], probabilities: Array, width: float) -> str | None:
    if np.isnan(probabilities).any():
        return None
    chosen = (1 - probabilities <= width) | (np.arange(len(classes)) == probabilities.argmax())
    return BETWEEN.join(name for name, inside in zip(classes, chosen, strict=True) if inside)


def columns(rows: pd.DataFrame) -> dict[str, Array]:
    """Return the columns of a table as `encode` takes them. Raises BadInput if two have the same name."""
    if faults := named_alike("rows", [str(name) for name in rows]):
        raise BadInput(faults)
    return {str(name): _values(rows[name]) for name in rows}


def _values(column: pd.Series) -> Array:
    numbers = isinstance(column.dtype, np.dtype) and column.dtype.kind in NUMBERS
    return column.to_numpy() if numbers else column.astype(object).where(column.notna(), None).to_numpy()


def outputs(
    model: Any, inputs: Sequence[Input], names: Sequence[str], columns: Mapping[str, Array], gaps: Sequence[str | float] = ()
) -> Array:
    """Return the outputs of raw rows, [n, outputs]: targets in their own units, or each class's probability.

    columns: as for `encode`, whose BadInput it raises. gaps: the numbers and texts that stand for a missing value.
    """
    (predicted,) = run(model, encoded(inputs, columns, gaps))
    return one_each(predicted, names)


def encoded(inputs: Sequence[Input], columns: Mapping[str, Array], gaps: Sequence[str | float]) -> Array:
    """Return raw rows as a model takes them, [n, inputs]. Arguments and errors as for `outputs`."""
    return encode(inputs, without_gaps(columns, gaps) if gaps else columns)


def run(model: Any, x: Array) -> list[Array]:
    """Return each of the model's outputs, [n, …], for encoded rows, [n, inputs]; n may be 0."""
    outputs = model.predict(x, batch_size=BATCH, verbose=0) if len(x) else model(x)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


def one_each(predicted: Array, names: Sequence[str]) -> Array:
    """Return one output for each name: of two classes, a single output is the probability of the second."""
    return np.hstack([1 - predicted, predicted]) if predicted.shape[1] < len(names) else predicted
