"""A champion's predictions for rows with a table's own columns: means, spreads, intervals, and the table of all.

This module is logged with the model, and so are the modules of mlp-study that it imports (`champion.CODE`): it works where
mlp-study isn't installed. `served` is MLflow's way to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from study.data.encoding import NUMBERS, TableColumn, encode, from_plain, named_alike, without_gaps
from study.errors import BadInput, Fault
from study.records.champion import ERRORS, LIKELIEST, MEMBERS, PROBABILITY, SPREAD, THRESHOLD
from study.statistics import conformal

if TYPE_CHECKING:
    from study.records.arrays import Array, Doubles

INTERVAL = "interval"
LOWER, UPPER, SET = "lower", "upper", "prediction set"
BETWEEN = " | "  # the classes of a set
BATCH = 2048  # rows predicted at once: more would fill the memory for 64 members
CHUNK = 8 * BATCH  # rows whose predictions by each member are in memory at once
FLOAT32_DIGITS, LEAST_DECIMALS, MOST_DECIMALS = 9, 3, 300
LARGEST = 1e15  # larger ones have no decimals


@dataclass(frozen=True)
class Predictor:
    """A champion, ready for new rows.

    networks: takes encoded rows, [n, inputs], and returns each member's prediction, [n, R, outputs]. members: the replicates'
    numbers; columns: how a table's columns become inputs; names: of its outputs; classifies: these are classes; reading: how its
    table was read (`results.champion`). records_errors: False for a champion of an earlier version; errors: those out of fold,
    [m, outputs], None for rows in time.
    threshold: the probability of the second of two classes above which it is predicted; None for the likelier class.
    """

    networks: Callable[[Array], Array]
    members: tuple[int, ...]
    columns: tuple[TableColumn, ...]
    names: tuple[str, ...]
    classifies: bool
    reading: Mapping[str, Any]
    records_errors: bool
    errors: Doubles | None
    threshold: float | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any], networks: Callable[[Array], Array]) -> Predictor:
        """Return the champion that its metadata describes."""
        # earlier versions saved only the decimal mark, and a single network
        reading = {"decimal": metadata.get("decimal", "."), "header": True} | metadata.get("reading", {})
        recorded = metadata.get(ERRORS)
        return cls(
            networks=networks,
            members=tuple(metadata["members"] if "members" in metadata else [metadata["replicate"]]),
            columns=from_plain(metadata["made_of"]),
            names=tuple(metadata.get("classes", metadata["outputs"])),
            classifies="classes" in metadata,
            reading=reading,
            records_errors=ERRORS in metadata,
            errors=None if recorded is None else np.array(recorded, np.float64),
            threshold=metadata.get(THRESHOLD),
        )

    def encoded(self, columns: Mapping[str, Array]) -> Doubles:
        """Return rows as the networks take them, [n, inputs]. columns: as for `encoding.encode`, whose BadInput it raises."""
        gaps = self.reading.get("gaps", ())
        given = without_gaps(columns, gaps) if gaps else columns
        return encode(self.columns, given, self.reading.get("decimal", "."), self.reading.get("thousands"))

    def predict(self, columns: Mapping[str, Array], member: int | None = None) -> tuple[Array, Array]:
        """Predict unscaled rows: targets in their own units, or each class's probability.

        Returns the mean over the members and their standard deviation, [n, outputs] each. member: the number of a replicate to take
        alone, whose deviation is NaN. columns: as for `encoded`, whose BadInput it raises.
        """
        if member is not None and member not in self.members:
            raise BadInput([Fault("member", member, f"the number of a replicate: {', '.join(map(str, self.members))}")])
        x, alone = self.encoded(columns), None if member is None else self.members.index(member)
        parts = [self._moments(x[at : at + CHUNK], alone) for at in range(0, len(x), CHUNK)]
        if not parts:
            return np.empty((0, len(self.names))), np.empty((0, len(self.names)))
        means, spreads = (np.concatenate(each) for each in zip(*parts, strict=True))
        return means, spreads

    def _moments(self, x: Array, alone: int | None) -> tuple[Array, Array]:
        predicted = self.networks(x)
        if alone is not None:
            predicted = predicted[:, alone : alone + 1]
        mean = predicted.mean(axis=1, dtype=np.float64).astype(predicted.dtype)
        several = predicted.shape[1] > 1
        spread = predicted.std(axis=1, ddof=1, dtype=np.float64).astype(mean.dtype) if several else np.full_like(mean, np.nan)
        if mean.shape[1] < len(self.names):  # of two classes, a single output is the probability of the second
            mean = np.hstack([1 - mean, mean])
        return mean, np.broadcast_to(spread, mean.shape)

    def intervals(self, mean: Array, widths: Doubles) -> dict[str, Array]:
        """Return columns with each row's prediction interval: the ends for each target, in its own unit, or the set of classes.

        The set holds the likeliest class, and all whose probability is at least 1 − `widths`. Missing for a row without a
        prediction. mean: [n, outputs]; widths: as from `halfwidths`.
        """
        if self.classifies:
            return {SET: np.array([_set(self.names, row, widths[0]) for row in mean], object)}
        ends = {LOWER: mean - widths, UPPER: mean + widths}
        several = len(self.names) > 1
        return {
            f"{end}, {name}" if several else end: values[:, at].astype(float)
            for at, name in enumerate(self.names)
            for end, values in ends.items()
        }

    def decided(self, probability: Array) -> Array:
        """Return the number of each row's predicted class, [n]. probability: [n, classes]."""
        return probability.argmax(axis=1) if self.threshold is None else (probability[:, 1] > self.threshold).astype(int)

    def table(self, columns: Mapping[str, Array], member: int | None = None, widths: Doubles | None = None) -> pd.DataFrame:
        """Return one row per row: the targets, or the predicted class, its probability and each class's, with spreads.

        There are no spreads for one member alone. widths: half-widths of intervals to add, from `halfwidths`. Raises as `predict`.
        """
        mean, std = self.predict(columns, member)
        between = {} if widths is None else self.intervals(mean, widths)
        if self.classifies:
            rows = np.arange(len(mean))
            best: Any = self.decided(mean)
            probability, spreads = mean[rows, best], {SPREAD: std[rows, best]}
            likeliest = np.where(np.isnan(probability), None, np.array(self.names, object)[best])
            first, last = {LIKELIEST: likeliest, PROBABILITY: probability}, dict(zip(self.names, mean.T, strict=True))
        else:
            first, last = dict(zip(self.names, mean.T, strict=True)), {}
            spreads = dict(zip(spread_names(self.names), std.T, strict=True))
        parts = [first, between, {} if member is not None else spreads, last]
        # side by side, since a class may have any name
        return pd.concat([pd.DataFrame(part, index=range(len(mean))) for part in parts], axis=1)


def networks(model: Any) -> Callable[[Array], Array]:
    """Return each member's prediction of a Keras model, as `Predictor` takes it. model: as from `engine.export.predictor`."""
    layers = [layer for layer in model.layers if layer.name == MEMBERS]
    # earlier versions kept a single network
    each = type(model)(model.input, layers[0].output) if layers else model

    def predict(x: Array) -> Array:
        # not by Keras' `predict`, whose preparations take longer than most tables
        parts = [np.asarray(each(x[at : at + BATCH], training=False)) for at in range(0, len(x), BATCH)]
        predicted = np.concatenate(parts)
        return predicted if layers else predicted[:, None]

    return predict


def written(table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions as files have them: to as many digits as float32 has, or to three decimals where these are more.

    Networks compute in float32; targets may be far from zero, such as seconds since 1970, and are scaled back in float64.
    """
    # not by `apply`, which fails without rows
    doubles = [name for name in table if table[name].dtype == np.float64]
    return table.assign(**{name: _rounded(table[name].to_numpy()) for name in doubles})


def _rounded(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(values)
        scale = 10 ** np.clip(FLOAT32_DIGITS - 1 - np.floor(np.log10(size)), LEAST_DECIMALS, MOST_DECIMALS)
        return np.where(size < LARGEST, np.round(values * scale) / scale, values)


def spread_names(names: Sequence[str]) -> list[str]:
    """Return the names of the targets' deviations over the members."""
    return [f"{SPREAD}, {name}" for name in names] if len(names) > 1 else [SPREAD]


def types(names: Sequence[str], *, classes: bool) -> dict[str, str]:
    """Return the columns of `Predictor.table` with their types in MLflow. names: of the outputs, which are classes or targets."""
    if classes:
        return {LIKELIEST: "string"} | dict.fromkeys([PROBABILITY, SPREAD, *names], "double")
    return dict.fromkeys([*names, *spread_names(names)], "double")


def halfwidths(errors: Doubles | None, level: float) -> Doubles:
    """Return half the width of each target's prediction interval, [outputs]; of classes one number, see `Predictor.intervals`.

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
