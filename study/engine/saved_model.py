"""A champion as a TensorFlow SavedModel: a table's columns become predictions within the graph, without any Python of ours.

Its signature `serving_default` takes one tensor per column, `encoded` what `data.encoding` makes of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from study.data import dates
from study.data.encoding import BOOLEAN, CODES, DATE, NUMBER, ORDINAL, TableColumn
from study.engine import quiet
from study.engine.backend import keras, tf
from study.records.champion import ENCODED, LIKELIEST, MEMBERS, PROBABILITY, SPREAD

ISO_DATE = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
DAY = 86400
OPSET = 17  # of ONNX, from 2022


def save(
    model: keras.Model,
    columns: Sequence[TableColumn],
    outputs: Sequence[str],
    folder: Path,
    *,
    classes: bool,
    threshold: float | None = None,
) -> None:
    """Write the SavedModel. model: as from `export.predictor`; outputs: the names of the targets or classes.

    threshold: the probability of the second of two classes above which it is predicted; None for the likelier class.
    """
    each = keras.Model(model.input, model.get_layer(MEMBERS).output)
    takes = tensor_names([column.name for column in columns])
    gives = tensor_names([LIKELIEST, PROBABILITY, SPREAD, *outputs]) if classes else {}
    module = tf.Module()
    module.model = each
    # as attributes, or they aren't saved
    module.tables = [_levels(column) if column.levels else None for column in columns]

    def served(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = [_encoded(column, table, given[takes[column.name]]) for column, table in zip(columns, module.tables, strict=True)]
        predicted = each(tf.concat(parts, axis=1), training=False)
        return _classes(predicted, outputs, gives, threshold) if classes else _targets(predicted, outputs)

    specs = {
        takes[column.name]: tf.TensorSpec([None], tf.float64 if column.role == NUMBER else tf.string, name=takes[column.name])
        for column in columns
    }
    width = sum(len(column.inputs) for column in columns)
    encoded = tf.function(
        lambda x: {MEMBERS: each(x, training=False)}, input_signature=[tf.TensorSpec([None, width], tf.float64, name="x")]
    )
    module.served, module.encoded = tf.function(served), encoded
    signatures = {"serving_default": module.served.get_concrete_function(**specs), ENCODED: encoded.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def save_onnx(folder: Path, file: Path) -> None:
    """Write the signature `encoded` of a SavedModel that `save` made as an ONNX model. Raises ImportError without tf2onnx."""
    with quiet.muted_stderr():
        import tf2onnx

        loaded = tf.saved_model.load(str(folder))  # its variables live as long as it does
        run = loaded.signatures[ENCODED]
        [x] = run.structured_input_signature[1].values()
        tf2onnx.convert.from_function(tf.function(lambda x: run(x=x)), input_signature=[x], opset=OPSET, output_path=str(file))


def tensor_names(names: Sequence[str]) -> dict[str, str]:
    """Return a name for each that TensorFlow accepts: with _ for most signs, and a number where two would be the same."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if plain[:1].isalpha() else f"c_{plain}"
        others = set(found.values())
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in range(1, len(names) + 2))
        found[name] = next(candidate for candidate in numbered if candidate not in others)
    return found


def _targets(predicted: tf.Tensor, outputs: Sequence[str]) -> dict[str, tf.Tensor]:
    mean, spread = _moments(predicted)
    spreads = [f"{SPREAD}, {name}" for name in outputs] if len(outputs) > 1 else [SPREAD]
    names = tensor_names([*outputs, *spreads])
    columns = {name: mean[:, at] for at, name in enumerate(outputs)} | {name: spread[:, at] for at, name in enumerate(spreads)}
    return {names[name]: column for name, column in columns.items()}


def _classes(
    predicted: tf.Tensor, outputs: Sequence[str], names: Mapping[str, str], threshold: float | None
) -> dict[str, tf.Tensor]:
    mean, spread = _moments(predicted)
    if predicted.shape[-1] < len(outputs):  # of two classes, the probability of the second
        mean, spread = tf.concat([1 - mean, mean], axis=1), tf.concat([spread, spread], axis=1)
    best = tf.argmax(mean, axis=1) if threshold is None else tf.cast(mean[:, 1] > threshold, tf.int64)
    known = tf.logical_not(tf.math.is_nan(mean[:, 0]))
    likeliest = tf.where(known, tf.gather(tf.constant(list(outputs)), best), "")
    chosen = {LIKELIEST: likeliest, PROBABILITY: tf.gather(mean, best, batch_dims=1), SPREAD: tf.gather(spread, best, batch_dims=1)}
    return {names[name]: column for name, column in (chosen | {name: mean[:, at] for at, name in enumerate(outputs)}).items()}


def _moments(predicted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and standard deviation over the members, [n, outputs] each; of a single member NaN."""
    count = predicted.shape[1]
    unbiased = math.sqrt(count / (count - 1)) if count > 1 else math.nan
    return tf.reduce_mean(predicted, axis=1), unbiased * tf.math.reduce_std(predicted, axis=1)


def _levels(column: TableColumn) -> tf.lookup.StaticHashTable:
    """Return the code of each text, as `encoding.level_codes` does."""
    codes = {level: number for number, level in enumerate(column.levels)}
    # a missing value is the text None where that is a level of a column without gaps
    codes[""] = codes["None"] if "None" in codes and not column.gaps else len(column.levels) + 1
    initial = tf.lookup.KeyValueTensorInitializer(list(codes), list(codes.values()), tf.string, tf.int64)
    return tf.lookup.StaticHashTable(initial, len(column.levels))


def _encoded(column: TableColumn, table: tf.lookup.StaticHashTable | None, values: tf.Tensor) -> tf.Tensor:
    """Return a column's inputs, [n, inputs], as `encoding.encode_column` does."""
    indicates = column.gaps and column.indicates
    if column.role in (NUMBER, DATE):
        known = values[:, None] - column.origin if column.role == NUMBER else _date(values, column.parts, column.origin)
        return tf.concat([known, tf.cast(tf.math.is_nan(known[:, :1]), tf.float64)], axis=1) if indicates else known
    assert table is not None
    codes = table.lookup(tf.strings.strip(values))
    missing = tf.cast(codes == len(column.levels) + 1, tf.float64)[:, None]
    numbers = tf.cast(codes, tf.float64)[:, None]
    if column.role == CODES:
        return numbers
    if column.role in (BOOLEAN, ORDINAL):
        encoded = tf.where(numbers < len(column.levels), numbers, np.nan)
    else:
        encoded = tf.one_hot(codes, len(column.inputs) - indicates, dtype=tf.float64)
        if not column.gaps and not column.indicates:
            encoded = tf.where(missing == 1, np.nan, encoded)
    return tf.concat([encoded, missing], axis=1) if indicates else encoded


def _date(texts: tf.Tensor, wanted: Sequence[str], origin: float) -> tf.Tensor:
    """Return the parts of dates in ISO's notation, as `dates.parts` does; NaN for another text."""
    texts = tf.strings.strip(texts)
    known = tf.strings.regex_full_match(texts, ISO_DATE)
    texts = tf.where(known, texts, "1970-01-01")

    def number(at: int, length: int) -> tf.Tensor:
        digits = tf.strings.substr(tf.strings.join([texts, "T00:00:00"]), at, length)
        return tf.strings.to_number(digits, tf.float64)

    timed = tf.strings.length(texts) > 10
    seconds = tf.where(timed, 3600 * number(11, 2) + 60 * number(14, 2), 0.0)
    full = tf.where(tf.strings.length(texts) > 16, texts, tf.strings.join([tf.strings.substr(texts, 0, 10), "T00:00:00"]))
    seconds += tf.strings.to_number(tf.strings.substr(full, 17, 9), tf.float64)
    year, month, day = (tf.cast(number(at, length), tf.int64) for at, length in ((0, 4), (5, 2), (8, 2)))
    days = _days(year, month, day)
    of_year = 2 * np.pi * tf.cast(days - _days(year, tf.ones_like(month), tf.ones_like(day)), tf.float64) / dates.DAYS_OF_YEAR
    of_day = 2 * np.pi * seconds / DAY
    parts: dict[str, Callable[[], tf.Tensor]] = {
        dates.YEAR: lambda: tf.cast(year, tf.float64),
        dates.MONTH: lambda: tf.cast(month, tf.float64),
        dates.WEEKDAY: lambda: tf.cast((days + 3) % 7, tf.float64),
        dates.ON_YEAR[0]: lambda: tf.sin(of_year),
        dates.ON_YEAR[1]: lambda: tf.cos(of_year),
        dates.ON_DAY[0]: lambda: tf.sin(of_day),
        dates.ON_DAY[1]: lambda: tf.cos(of_day),
        dates.ELAPSED: lambda: tf.cast(days, tf.float64) + seconds / DAY - origin,
    }
    chosen = tf.stack([parts[part]() for part in dates.PARTS if part in wanted], axis=1)
    return tf.where(known[:, None], chosen, np.nan)


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Return days since 1970 (howardhinnant.github.io/date_algorithms.html, days_from_civil)."""
    year = year - tf.cast(month <= 2, tf.int64)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + tf.where(month > 2, tf.constant(-3, tf.int64), tf.constant(9, tf.int64))) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
