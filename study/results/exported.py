"""Predict with a champion that was exported to a folder: `predict.py` there calls this.

It needs NumPy, pandas and TensorFlow alone: the modules of mlp-study that it imports lie beside it (`export_model`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.data.encoding import TRUTHS, USUAL_GAPS, NewInRows, TableColumn
from study.engine.quiet import muted_stderr
from study.errors import BadInput, Fault, StudyError
from study.records.champion import ENCODED, MEMBERS
from study.tracking.predicting import BATCH, INTERVAL, Predictor, columns, halfwidths, written

if TYPE_CHECKING:
    from study.records.arrays import Array

MODEL, METADATA = "saved_model", "champion.json"
MOST_SNIFFED = 65_536  # bytes


class ExportedModel:
    """A champion in a folder. predictor: what `mlp-study predict` uses too."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of a program that hasn't imported TensorFlow yet
        with muted_stderr():
            import tensorflow as tf  # seconds, which refused arguments needn't wait for

        metadata = json.loads((folder / METADATA).read_text("utf-8"))
        loaded = tf.saved_model.load(str(folder / MODEL))
        run = loaded.signatures[ENCODED]

        def networks(x: Array) -> Array:
            parts = [run(x=tf.constant(x[at : at + BATCH], tf.float64))[MEMBERS].numpy() for at in range(0, len(x), BATCH)]
            return np.concatenate(parts)

        self._loaded = loaded  # its variables live as long as it does
        self.predictor = Predictor.of(metadata, networks)

    def predict(self, rows: pd.DataFrame, *, interval: float | None = None, member: int | None = None) -> pd.DataFrame:
        """Return predictions for rows with the table's own columns: as `mlp-study predict` does, with the index of the rows.

        interval: the coverage of prediction intervals to add. member: the number of a replicate to take alone. Raises BadInput.
        """
        if interval is not None and member is not None:
            raise BadInput([Fault(INTERVAL, interval, "no member: the interval is that of the mean of all networks")])
        widths = None if interval is None else halfwidths(self.predictor.errors, interval)
        return self.predictor.table(columns(rows), member, widths).set_axis(rows.index)


def read(predictor: Predictor, file: Path, delimiter: str | None = None, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Read a Parquet file or a text file, whose fields stay texts until they are encoded. Raises BadInput."""
    reading, target = predictor.reading, predictor.reading.get("target")
    made_up, header = list(reading.get("made_up", ())), reading.get("header", True)
    try:
        if file.suffix in (".parquet", ".pq"):
            return pd.read_parquet(file)
        with file.open(encoding=encoding, newline="") as stream:
            mark = delimiter or _delimiter(stream.read(MOST_SNIFFED))
        texts = pd.read_csv(
            file, sep=mark, header=0 if header else None, dtype=str, keep_default_na=False, encoding=encoding, skipinitialspace=True
        )
    except (OSError, ValueError) as error:
        raise BadInput([Fault("FILE", str(file), f"a table ({error})")]) from error
    if not header:
        names = made_up if len(texts.columns) == len(made_up) else [name for name in made_up if name != target]
        if len(texts.columns) != len(names):
            raise BadInput([Fault("FILE", f"a table of {len(texts.columns)} columns", f"{len(names)} columns, as in training")])
        texts.columns = pd.Index(names)
    known = {column.name: column for column in predictor.columns}
    return pd.DataFrame({name: _values(texts[name], known.get(str(name))) for name in texts})


def _delimiter(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return max(",;\t|", key=first.count)


def _values(texts: pd.Series, column: TableColumn | None) -> pd.Series:
    """Return a column's texts, None where missing, with truth values as Arrow reads them."""
    stripped = texts.str.strip()
    if column is not None and set(column.levels) and set(column.levels) <= TRUTHS:
        stripped = stripped.str.capitalize()
    gaps = [gap for gap in ("", *USUAL_GAPS) if column is None or gap not in column.levels]
    return stripped.astype(object).where(~stripped.isin(gaps), None)


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run `predict.py`; return its exit code."""
    parser = argparse.ArgumentParser(prog="predict.py", description="Predict the rows of a table.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a CSV or Parquet file with the columns of the study's table")
    parser.add_argument("output", type=Path, nargs="?", metavar="OUTPUT.csv|.parquet", help="by default, CSV on standard output")
    parser.add_argument("--interval", type=float, metavar="LEVEL", help="add intervals that contain this share of outcomes")
    parser.add_argument("--member", type=int, metavar="N", help="take one network alone, replicate N")
    parser.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="begin each row with this column of FILE")
    parser.add_argument("--delimiter", help="separator of FILE's fields; detected by default")
    parser.add_argument("--encoding", default="utf-8-sig", help="encoding of FILE, by default UTF-8")
    given: Any = parser.parse_args(arguments)
    warnings.showwarning = lambda message, category, *_: _say(f"{message}") if issubclass(category, NewInRows) else None
    try:
        model = ExportedModel(folder)
        rows = read(model.predictor, given.file, given.delimiter, given.encoding)
        if absent := [name for name in given.keep if name not in rows]:
            raise BadInput([Fault("--keep", name, ", ".join(map(str, rows))) for name in absent])
        found = model.predict(rows, interval=given.interval, member=given.member)
        predicted = pd.concat([rows[given.keep], written(found)], axis=1)
    except StudyError as error:
        _say(str(error))
        return error.exit_code
    if given.output is None:
        predicted.to_csv(sys.stdout, index=False, lineterminator="\n")
    elif given.output.suffix == ".parquet":
        predicted.to_parquet(given.output, index=False)
    else:
        predicted.to_csv(given.output, index=False, lineterminator="\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
