"""Export a study's tables to files for other programs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from study.errors import BadInput, Fault, writing

if TYPE_CHECKING:
    import pandas as pd

    from study.results.study_handle import Study

CURVES, WIDE, LONG = "curves", "wide", "long"
CSV, PARQUET = SUFFIXES = (".csv", ".parquet")
# a spreadsheet reads a text that begins so as a formula
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check(file: Path, *, force: bool) -> None:
    """Raise BadInput for a file with another suffix, or an existing one without force."""
    if file.suffix not in SUFFIXES:
        raise BadInput([Fault("FILE", str(file), f"a name that ends in {' or '.join(SUFFIXES)}")])
    if file.exists() and not (force and file.is_file()):
        raise BadInput([Fault("FILE", str(file), "a new file, or --force to overwrite this one")])


def table(opened: Study, what: str, layout: str) -> pd.DataFrame:
    """Return the exported table, without an index. Raises as `Study.curves` does.

    wide: one row per trial or replicate; for curves one row per epoch, with columns such as `12/3 val_loss`. long: one row per
    number (`value`) or text (`text`) of a trial or replicate; for curves one row per trial, replicate and epoch.
    """
    if what == CURVES:
        curves = opened.curves()
        return curves if layout == LONG else _side_by_side(curves)
    content = getattr(opened, what)
    flat = content.reset_index()
    return flat if layout == WIDE else _tidy(flat, list(content.index.names))


def _side_by_side(curves: pd.DataFrame) -> pd.DataFrame:
    # a replicate's three curves stay together
    wide = curves.set_index(["epoch", "trial", "replicate"]).unstack(["trial", "replicate"]).sort_index(axis=1, level=[1, 2])
    wide.columns = [f"{trial}/{replicate} {key}" for key, trial, replicate in wide.columns]
    return wide.reset_index()


def _tidy(flat: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # as objects, to keep whole numbers and texts of one column unchanged
    cells = flat.astype(object).melt(keys, var_name="key", value_name="cell")
    cells = cells[cells["cell"].notna()].sort_values(keys, kind="stable").reset_index(drop=True)
    is_number = cells["cell"].map(lambda cell: isinstance(cell, int | float))
    value, text = cells["cell"].where(is_number).astype(float), cells["cell"].where(~is_number)
    return cells[[*keys, "key"]].assign(value=value, text=text)


def write(content: pd.DataFrame, file: Path) -> None:
    """Write the whole file or nothing. Raises NotWritable."""
    draft = file.with_name(f".{file.name}.new")
    with writing(file):
        try:
            if file.suffix == CSV:
                with draft.open("w", newline="", encoding="utf-8") as stream:
                    write_csv(content, stream)
            else:
                _of_one_type(content).to_parquet(draft, index=False)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


def write_csv(content: pd.DataFrame, stream: TextIO) -> None:
    safe = content.map(_harmless).rename(columns=_harmless)
    # Python's writer leaves a carriage return without quotes where lines end in another sign, and readers end the row there
    returns = safe.map(_has_return).any(axis=None) or any(map(_has_return, safe.columns))
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    safe.to_csv(stream, index=False, lineterminator="\n", quoting=quoting)


def _has_return(value: Any) -> bool:
    return isinstance(value, str) and "\r" in value


def _harmless(value: Any) -> Any:
    """Return a text that no spreadsheet runs as a formula; numbers stay unchanged."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _of_one_type(content: pd.DataFrame) -> pd.DataFrame:
    """Convert columns with several types to text, since a column in Parquet has one type."""
    content = content.copy()
    for name in content.select_dtypes(object):
        if len({type(value) for value in content[name].dropna()}) > 1:
            content[name] = content[name].map(str, na_action="ignore")
    return content
