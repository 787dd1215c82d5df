"""Predictions for new rows as tables: the mean of a champion's networks, their spread, and intervals of the outcome."""

from __future__ import annotations

import math
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
from study.statistics import conformal

SPREAD = "SD over members"
LOWER, UPPER, SET = "lower", "upper", "prediction set"
BETWEEN = " | "  # the classes of a set


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
    one, its probability and the deviation of that. level: the coverage of an interval, see `intervals`. decimal: the mark; None for
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
    """Return half the width of each target's prediction interval, [outputs]; of classes one number, see `intervals`.

    level: the share of new rows whose outcome the interval is to contain. command: returns the one that launches the
    study, empty if unknown. Raises BadInput for a level that isn't between 0 and 1 or needs more rows, for one member, and for a
    champion without its errors.
    """

    def fault(valid: str) -> BadInput:
        return BadInput([Fault("interval", level, valid)])

    if not 0 < level < 1:
        raise fault("a number > 0 and < 1, such as 0.9")
    if member is not None:
        raise fault("no member: the interval is that of the mean of all networks")
    if not predictor.records_errors:
        again = f": {launch}" if (launch := command()) else ""
        raise fault(f"a champion of this version, which records its errors; launch the study again to save it{again}")
    if predictor.errors is None:
        raise fault("a study without data.split=time: errors on earlier rows don't bound those on later ones")
    if level > (highest := conformal.highest_coverage(predictor.errors)):
        shown = math.floor(1000 * highest + 1e-9) / 1000
        raise fault(f"a number > 0 and <= {shown}: more needs more rows that networks of the champion weren't trained on")
    return conformal.halfwidths(predictor.errors, level)


def intervals(predictor: Predictor, mean: Array, widths: Doubles) -> pd.DataFrame:
    """Return the prediction interval of each row: the ends for each target, in its own unit, or the set of classes.

    The set holds the likeliest class, and all whose probability is at least 1 − `widths`. Missing for a row without a prediction.
    mean: [n, outputs]; widths: as from `halfwidths`.
    """
    if predictor.classifies:
        return pd.DataFrame({SET: [_set(predictor.names, row, widths[0]) for row in mean]})
    several = len(predictor.names) > 1
    names = [f"{end}, {name}" if several else end for name in predictor.names for end in (LOWER, UPPER)]
    ends = np.stack([mean - widths, mean + widths], axis=2)
    return pd.DataFrame(ends.reshape(len(mean), len(names)), columns=names)


def _set(classes: Sequence[str], probabilities: Array, width: float) -> str | None:
    if np.isnan(probabilities).any():
        return None
    chosen = (1 - probabilities <= width) | (np.arange(len(classes)) == probabilities.argmax())
    return BETWEEN.join(name for name, inside in zip(classes, chosen, strict=True) if inside)


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
