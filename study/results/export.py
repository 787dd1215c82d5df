"""A study's tables as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from study.errors import BadInput, Fault, writing

if TYPE_CHECKING:
    import pandas as pd

    from study.results.study_handle import Study

TRIALS, REPLICATES, CURVES = WHAT = ("trials", "replicates", "curves")
WIDE, LONG = LAYOUTS = ("wide", "long")
CSV, PARQUET = SUFFIXES = (".csv", ".parquet")
# a spreadsheet takes a text that begins so for a formula
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check(file: Path, *, force: bool) -> None:
    """Raises BadInput for a file that another kind of table would be in, or that is there already."""
    if file.suffix not in SUFFIXES:
        raise BadInput([Fault("FILE", str(file), f"a name that ends in {' or '.join(SUFFIXES)}")])
    if file.exists() and not (force and file.is_file()):
        raise BadInput([Fault("FILE", str(file), "a file that doesn't exist, or --force to write over it")])


def table(opened: Study, what: str, layout: str) -> pd.DataFrame:
    """What is exported, without an index. Raises as `Study.curves` does.

    wide: of trials and replicates a row each, of curves a row an epoch and columns such as `12/3 val_loss`. long: of trials and
    replicates a row for each of their numbers (`value`) and texts (`text`), of curves a row a trial, replicate and epoch.
    """
    if what == CURVES:
        curves = opened.curves()
        return curves if layout == LONG else _side_by_side(curves)
    content = getattr(opened, what)
    flat = content.reset_index()
    return flat if layout == WIDE else _tidy(flat, list(content.index.names))


def _side_by_side(curves: pd.DataFrame) -> pd.DataFrame:
    # a replicate's three curves lie together
    wide = curves.set_index(["epoch", "trial", "replicate"]).unstack(["trial", "replicate"]).sort_index(axis=1, level=[1, 2])
    wide.columns = [f"{trial}/{replicate} {key}" for key, trial, replicate in wide.columns]
    return wide.reset_index()


def _tidy(flat: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # as objects, lest whole numbers and texts of one column become something else
    cells = flat.astype(object).melt(keys, var_name="key", value_name="cell")
    cells = cells[cells["cell"].notna()].sort_values(keys, kind="stable").reset_index(drop=True)
    is_number = cells["cell"].map(lambda cell: isinstance(cell, int | float))
    value, text = cells["cell"].where(is_number).astype(float), cells["cell"].where(~is_number)
    return cells[[*keys, "key"]].assign(value=value, text=text)


def write(content: pd.DataFrame, file: Path) -> None:
    """Writes the whole file or nothing. Raises NotWritable."""
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
    content.map(_harmless).rename(columns=_harmless).to_csv(stream, index=False, lineterminator="\n")


def _harmless(value: Any) -> Any:
    """A text that no spreadsheet runs; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _of_one_type(content: pd.DataFrame) -> pd.DataFrame:
    """Parquet's columns are of one type: one of several kinds of values becomes text."""
    content = content.copy()
    for name in content.select_dtypes(object):
        if len({type(value) for value in content[name].dropna()}) > 1:
            content[name] = content[name].map(str, na_action="ignore")
    return content
