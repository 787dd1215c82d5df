"""Serves a champion in MLflow: rows with a table's columns, by name, become the table that `mlp-study predict` writes.

This module is logged with the model, as `predicting` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.errors import BadInput
from study.tracking.predicting import INTERVAL, Predictor, columns, halfwidths, networks


class Served:
    """The model behind `mlflow.pyfunc.load_model`. optional: the columns that may be missing, which is a gap in each row."""

    def __init__(self, predictor: Predictor, optional: Sequence[str]) -> None:
        self._predictor, self._optional = predictor, tuple(optional)

    def predict(self, rows: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the predictions of rows, with their index. Raises MlflowException, which a server answers as a bad request.

        params: `interval`, the coverage of prediction intervals to add; 0 adds none.
        """
        from mlflow.exceptions import MlflowException

        nothing, level = np.full(len(rows), None, object), (params or {}).get(INTERVAL)
        try:
            widths = halfwidths(self._predictor.errors, level) if level else None
            table = self._predictor.table(dict.fromkeys(self._optional, nothing) | columns(rows), widths=widths)
        except BadInput as bad:
            raise MlflowException.invalid_parameter_value(str(bad)) from bad
        # in double precision, as the signature promises
        return table.astype(dict.fromkeys(table.select_dtypes("number"), float)).set_axis(rows.index)


def _load_pyfunc(folder: str) -> Served:
    """Load the model; MLflow calls this. folder: of the Keras model."""
    from mlflow import keras
    from mlflow.models import Model

    root = Path(folder).parent
    saved = Model.load(root)
    model = keras.load_model(str(root), load_model_kwargs={"compile": False, "safe_mode": True})
    return Served(Predictor.of(saved.metadata or {}, networks(model)), saved.signature.inputs.optional_input_names())
