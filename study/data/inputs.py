"""Describe a run's data for its record: plain texts about the data, without anything about this machine."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from study.data import dataset, loading, scaling, splits
from study.errors import shortened, visible
from study.records.arrays import Array
from study.records.dataset import Dataset, task_of
from study.settings.data import CLASSIFICATION, KFOLD, BreastCancer, Diabetes, Digits, Iris, UserTable, Wine
from study.settings.data import Data as Settings
from study.settings.spec import TrialSpec

LOADED = (BreastCancer, Diabetes, Digits, Iris, Wine)
# limits of MLflow's digests, and of what a reader may look at in a table of thousands of columns
DIGEST, MOST_COLUMNS, MOST_NAME, MOST_TEXT, LONGEST_NAME = 36, 200, 100, 300, 60


def describe(spec: TrialSpec, data: Dataset) -> dict[str, str]:
    """Return name, digest, source_type, source, schema and profile, as in MLflow's `Dataset`. data: of the first replicate.

    The digest is the beginning of the study's own (`loading.digest`), over all rows as they were loaded.
    """
    tested = _tested(spec)
    rows = {"training": len(data.x_train), "validation": len(data.x_val), **({"test": tested} if tested else {})}
    width = {"inputs": data.x_train.shape[1], "classes" if task_of(data.y_train) == CLASSIFICATION else "targets": data.outputs}
    return {
        "name": _name(spec.data) if isinstance(spec.data, UserTable) else spec.data.name,
        "digest": loading.digest(spec)[:DIGEST],
        "schema": json.dumps({"mlflow_colspec": _columns(spec.data, data)}, ensure_ascii=False),
        "profile": json.dumps({"num_rows": sum(rows.values())} | rows | width),
    } | _source(spec.data)


def reading(spec: TrialSpec, data: Dataset) -> str:
    """Report how a table was read and what was guessed, one line each; for other data, only the classes that a part lacks.

    data: as for `describe`.
    """
    lines, warnings = list[str](), list[str]()
    if isinstance(spec.data, UserTable):
        from study.data import cautions  # which loads pyarrow

        rows = loading.rows(spec)
        lines = [_table(spec, spec.data, data), *rows.block, *map(visible, rows.notes), *_clipped(spec)]
        warnings = [f"warning: {sentence}" for sentence in cautions.of_table(spec)]
    return "\n".join([*lines, *_lacking(spec, data), *warnings])


def _table(spec: TrialSpec, settings: UserTable, data: Dataset) -> str:
    target = textwrap.shorten(", ".join(map(_brief, settings.targets)), MOST_NAME)
    if task_of(data.y_train) == CLASSIFICATION:
        target += f", {data.outputs} classes: {textwrap.shorten(', '.join(map(_brief, data.target_names)), MOST_NAME)}"
        if all(_is_number(name) for name in data.target_names):
            target += " (data.task=regression treats them as numbers)"
    elif len(settings.targets) == 1 and _are_few(loading.rows(spec).y):
        target += " (data.task=classification treats its numbers as classes)"
    width = data.x_train.shape[1]
    tested = f", {count:,} to test" if (count := _tested(spec)) else ""
    return (
        f"{_name(settings)}: {len(data.x_train):,} rows to train on, {len(data.x_val):,} to validate on{tested}; "
        f"{settings.task} of {target}; {width} input{'s' * (width > 1)}"
    )


def _name(settings: UserTable) -> str:
    from study.data import kept_rows  # which loads pyarrow

    return kept_rows.name(settings.path)


def _clipped(spec: TrialSpec) -> Iterator[str]:
    """Report the columns with numbers that data.clip changes."""
    beyond = scaling.clipped(spec).items()
    if beyond:
        listed = ", ".join(f"{_brief(name)} ({count:,} beyond {low:.4g} to {high:.4g})" for name, (count, low, high) in beyond)
        yield f"numbers far from all others, brought nearer (data.clip=null keeps them): {textwrap.shorten(listed, MOST_TEXT)}"


def _tested(spec: TrialSpec) -> int:
    """Return the number of rows in the test part."""
    return len(splits.tested_parts(spec)[2])


def _brief(name: str) -> str:
    """Return a name as a line can hold it: its control characters escaped, and cut if it is very long."""
    return shortened(visible(name), LONGEST_NAME)


def _are_few(numbers: Array) -> bool:
    """Return whether these are few whole numbers, as classes may be."""
    from study.data.tables import MOST_AUTO_CLASSES  # which loads pyarrow

    return not (numbers % 1).any() and len(np.unique(numbers)) <= MOST_AUTO_CLASSES


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lacking(spec: TrialSpec, data: Dataset) -> Iterator[str]:
    """Report the classes that a part lacks, one line per reason."""
    if data.y_train.ndim != 1:
        return
    rows, judged = _judged(spec, data)
    folds = spec.data.folds if spec.data.resample == KFOLD else 0
    for classes, reason in [
        (rows == 1, "a single row, which is trained on and never validated on"),
        ((rows > 1) & ~judged & (rows < folds), f"fewer rows than the {folds} folds, so some folds validate without them"),
        ((rows > 1) & ~judged & (rows >= folds), "no row in the validation part (data.validation_fraction)"),
    ]:
        if classes.any():
            names = ", ".join(f"{data.target_names[number]} ({rows[number]})" for number in np.flatnonzero(classes))
            yield f"class{'es' * (int(classes.sum()) > 1)} with {reason}: {visible(textwrap.shorten(names, MOST_NAME))}"


def _judged(spec: TrialSpec, data: Dataset) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the number of rows of each class outside the test part, and the classes in every validation part; both [classes]."""
    every, others, _ = splits.tested_parts(spec)
    rows = np.bincount(every.y[others], minlength=data.outputs)
    if spec.data.resample == KFOLD:
        return rows, rows >= spec.data.folds
    # the number of a class's validation rows doesn't depend on the seed
    return rows, np.bincount(data.y_val, minlength=data.outputs) > 0


def classes_judged(spec: TrialSpec) -> int:
    """Return the number of classes in every replicate's validation part."""
    return int(_judged(spec, dataset.load_data(spec))[1].sum())


def _source(data: Settings) -> dict[str, str]:
    if isinstance(data, UserTable):
        return {"source_type": "local", "source": json.dumps({"uri": PurePath(data.path).name})}
    origin = f"sklearn.datasets.load_{data.name}" if isinstance(data, LOADED) else f"mlp-study data={data.name}"
    return {"source_type": "code", "source": json.dumps({"tags": {"mlflow.source.name": origin}})}


def _columns(settings: Settings, data: Dataset) -> list[dict[str, object]]:
    """List the targets first, so that they are visible, then the inputs."""
    if task_of(data.y_train) == CLASSIFICATION:
        targets = [(settings.targets[0] if isinstance(settings, UserTable) else "class", "string")]
    else:
        targets = [(name, "double") for name in data.target_names]
    columns = [(f"{name} (target)", kind) for name, kind in targets] + [(name, "double") for name in data.input_names]
    if len(columns) > MOST_COLUMNS:
        columns = [*columns[:MOST_COLUMNS], (f"… and {len(columns) - MOST_COLUMNS:,} more", "double")]
    return [{"name": name[:MOST_NAME], "type": kind, "required": True} for name, kind in columns]
