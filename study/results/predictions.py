"""Predictions for new rows as tables: the mean of a champion's networks, their spread, and intervals of the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from study import locations, sqlite
from study.data import readers
from study.data.encoding import columns_of, is_boolean
from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles
from study.results import champion
from study.results.champion import Predictor
from study.settings.data import UserTable
from study.tracking import served

SPREAD = "SD over members"


def of_file(
    name: str,
    tracking_uri: str,
    file: Path,
    *,
    member: int | None,
    level: float | None,
    decimal: str | None,
    delimiter: str | None,
    encoding: str | None,
) -> pd.DataFrame:
    """Predict the rows of a file as `Study.predict` does.

    The result has the standard deviation over the members too, unless one is taken alone; for classes it begins with the likeliest
    one, its probability and the deviation of that. level: of intervals to add, see `served.halfwidths`. decimal: the mark; None for
    that of the study's table. delimiter, encoding: None detects them. Also raises BadInput for a file that can't be read.
    """
    predictor = champion.load(name, tracking_uri)
    settings = {"target": predictor.names[0]} | dict(predictor.reading)
    made_up = settings.pop("made_up", ())
    if decimal and decimal != settings["decimal"]:
        settings |= {"decimal": decimal, "thousands": None}
    source = UserTable(path=str(file), delimiter=delimiter, encoding=encoding, **settings)
    known = columns_of(predictor.inputs)
    # a text may look like a number; Arrow reads truth values as training did
    texts = [name for name, of_column in known.items() if of_column[0].level is not None and not is_boolean(of_column)]
    widths = None if level is None else halfwidths(predictor, level, member, lambda: _command(name))
    mean, std = predictor.predict(readers.values(source, known, texts, made_up), member)
    between = pd.DataFrame(index=range(len(mean))) if widths is None else intervals(predictor, mean, widths)
    arranged = _likeliest if predictor.classifies else _targets
    table = arranged(predictor.names, mean, std, between)
    return table if member is None else table.drop(columns=[column for column in table if column.startswith(SPREAD)])


def _command(study: str) -> str:
    """Return the command that launched the study, if the default storage holds it."""
    from study.search import stored

    url = locations.storage(None)
    return stored.open_study(url, study).command if sqlite.is_there(url) and study in stored.names(url) else ""


def halfwidths(predictor: Predictor, level: float, member: int | None, command: Callable[[], str]) -> Doubles:
    """Return what `served.halfwidths` does. command: returns the one that launches the study, empty if unknown.

    Raises BadInput as that does, for one member, and for a champion of an earlier version.
    """
    if member is not None:
        raise BadInput([Fault("interval", level, "no member: the interval is that of the mean of all networks")])
    if not predictor.records_errors:
        again = f": {launch}" if (launch := command()) else ""
        valid = f"a champion of this version, which records its errors; launch the study again to save it{again}"
        raise BadInput([Fault("interval", level, valid)])
    return served.halfwidths(predictor.errors, level)


def intervals(predictor: Predictor, mean: Array, widths: Doubles) -> pd.DataFrame:
    """Return the prediction interval of each row, in columns: see `served.intervals`."""
    return pd.DataFrame(served.intervals(predictor.names, mean, widths, classes=predictor.classifies))


def _targets(names: Sequence[str], mean: Array, std: Array, between: pd.DataFrame) -> pd.DataFrame:
    spreads = [f"{SPREAD}, {name}" for name in names] if len(names) > 1 else [SPREAD]
    return pd.concat([pd.DataFrame(mean, columns=list(names)), between, pd.DataFrame(std, columns=spreads)], axis=1)


def _likeliest(names: Sequence[str], mean: Array, std: Array, between: pd.DataFrame) -> pd.DataFrame:
    """Return the likeliest class of each row before the probabilities of all; None for a row without any."""
    rows, likeliest = np.arange(len(mean)), mean.argmax(axis=1)
    probability = mean[rows, likeliest]
    classes = np.where(np.isnan(probability), None, np.array(names, object)[likeliest])
    first = pd.DataFrame({"predicted class": classes, "its probability": probability})
    spread = pd.DataFrame({SPREAD: std[rows, likeliest]})
    return pd.concat([first, between, spread, pd.DataFrame(mean, columns=list(names))], axis=1)
