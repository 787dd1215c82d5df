"""New rows to predict, in whatever form a Python program has them, as a table with the columns of the training rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from study.data import kept_rows
from study.data.file_columns import made_up_names
from study.errors import BadInput, Fault

MADE_UP = re.compile(r"column_(\d+)")  # see `made_up_names`


def table(rows: object, names: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table: a frame as it is, other forms as `kept_rows.table_of` reads them.

    names: the columns of the training rows that are inputs, in order. An array without names has these, or, where training had no
    names either, as many as the training rows. Raises BadInput for an array with another number of columns.
    """
    if isinstance(rows, pd.DataFrame):
        return rows
    if not isinstance(rows, np.ndarray | list | tuple):
        return kept_rows.table_of(rows).to_pandas()
    array = np.asarray(rows)
    if array.dtype.names:
        return kept_rows.table_of(array).to_pandas()
    count = array.shape[1] if array.ndim == 2 else 0
    if count == len(names):
        return pd.DataFrame(array, columns=list(names))
    numbers = [int(made_up[1]) for name in names if (made_up := MADE_UP.fullmatch(name))]
    if len(numbers) == len(names) and count >= max(numbers):
        return pd.DataFrame(array, columns=made_up_names(count))
    got = f"an array of shape {array.shape}"
    raise BadInput([Fault("rows", got, f"rows of {len(names)} columns, {', '.join(names)}; or a frame with these names")])
