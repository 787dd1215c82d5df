"""Predictions for the rows of a file, as a table: a champion's, beside columns of the file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import pandas as pd

from study import locations, sqlite
from study.data import readers
from study.errors import BadInput, Fault
from study.records.arrays import Doubles
from study.results import champion
from study.settings.data import UserTable
from study.tracking import predicting
from study.tracking.predicting import Predictor


def of_file(
    name: str,
    tracking_uri: str,
    file: str,
    *,
    member: int | None,
    level: float | None,
    keep: Collection[str] = (),
    decimal: str | None,
    delimiter: str | None,
    encoding: str | None,
    sheet: str | None = None,
    sql: str | None = None,
) -> pd.DataFrame:
    """Predict the rows of a file as `Study.predict` does.

    The result has the standard deviation over the members too, unless one is taken alone; for classes it begins with the likeliest
    one, its probability and the deviation of that. level: of intervals to add, see `predicting.halfwidths`. keep: names of columns
    of the file that the result begins with. decimal: the mark; None for that of the study's table. delimiter, encoding: None
    detects them. sheet, sql: of a workbook, and the query on a database. Also raises BadInput for a file that can't be read.
    """
    predictor = champion.load(name, tracking_uri)
    settings = {"target": predictor.names[0]} | dict(predictor.reading)
    made_up = settings.pop("made_up", ())
    if decimal and decimal != settings["decimal"]:
        settings |= {"decimal": decimal, "thousands": None}
    source = UserTable(path=file, delimiter=delimiter, encoding=encoding, sheet=sheet, sql=sql, **settings)
    # a text may look like a number; Arrow reads truth values as training did
    known = [column.name for column in predictor.columns]
    texts = [column.name for column in predictor.columns if column.is_text]
    widths = None if level is None else halfwidths(predictor, level, member, lambda: _command(name))
    predicted = predicting.written(predictor.table(readers.values(source, known, texts, made_up), member, widths))
    if not keep:
        return predicted
    try:
        # as they are written: 007 stays 007, and what stands for a gap stays itself
        kept = readers.values(replace(source, gaps=()), keep, keep, made_up)
    except BadInput as bad:
        raise BadInput([replace(fault, key="keep") for fault in bad.faults]) from bad
    return pd.concat([pd.DataFrame({column: kept[column] for column in keep}), predicted], axis=1)


def _command(study: str) -> str:
    """Return the command that launched the study, if the default storage holds it."""
    from study.search import reading

    url = locations.storage(None)
    return reading.open_study(url, study).command if sqlite.is_there(url) and study in reading.names(url) else ""


def halfwidths(predictor: Predictor, level: float, member: int | None, command: Callable[[], str]) -> Doubles:
    """Return what `predicting.halfwidths` does. command: returns the one that launches the study, empty if unknown.

    Raises BadInput as that does, for one member, and for a champion of an earlier version.
    """
    if member is not None:
        raise BadInput([Fault("interval", level, "no member: the interval is that of the mean of all networks")])
    if not predictor.records_errors:
        again = f": {launch}" if (launch := command()) else ""
        valid = f"a champion of this version, which records its errors; launch the study again to save it{again}"
        raise BadInput([Fault("interval", level, valid)])
    return predicting.halfwidths(predictor.errors, level)
