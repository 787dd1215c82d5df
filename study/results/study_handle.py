"""Open a study that has run, as pandas tables and NumPy arrays: `study.open`."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import pandas as pd

from study import locations
from study.errors import BadInput, Fault
from study.records.behaviour import Behaviour
from study.records.network import Network
from study.records.trial import TrialRecord
from study.reporting import listings, report, study_cell, study_results
from study.reporting.pages import study_page
from study.results import behaviour_tables, champion, new_rows, predictions
from study.tracking import artifacts, logged_champion, predicting, reader, runs, store
from study.tracking.predicting import Predictor
from study.tracking.runs import Replicate

if TYPE_CHECKING:
    import plotly.graph_objects as go

OF_PAIRS = ("distance", "aligned", "null", "barrier", "aligned_barrier", "cka", "disagreement", "distinct", "finite_test")
MEASURED = ("val_loss_mean", "val_loss_std", "val_loss_halfwidth", "train_loss_mean", *OF_PAIRS, "parameters", "verdict")


class Figures(dict[str, "go.Figure"]):
    """Charts by title. It prints as its titles, since the charts' contents would fill a notebook."""

    def __repr__(self) -> str:
        return "\n".join(self)


class Study:
    """A study: its findings, its trials, replicates and curves as pandas tables, and its weights as NumPy arrays.

    It is read when opened and doesn't include later trials. Losses are on the normalised target, where the mean predictor has loss
    1; distances are relative L2; seconds are wall time.
    """

    def __init__(self, name: str, storage: str, tracking_uri: str) -> None:
        """storage, tracking_uri: URLs, as from `locations`. Raises BadInput if the storage has no study of this name."""
        self.name, self._uri = name, tracking_uri
        self._findings = study_results.read(storage, name)
        self._records = {record.number: record for record in self._findings.records}

    @property
    def answer(self) -> str:
        """Return the answer to "does the MLP converge to a single, stable value?", with the numbers."""
        return self._findings.answer.in_python

    @property
    def win(self) -> str:
        """Return the decision of the race, or whether the best trial's win is more than chance; empty for fewer than two trials."""
        return self._findings.win

    @property
    def best(self) -> int | None:
        """Return the number of the best trial by the first objective; None if no trial is complete."""
        return self._findings.best.number if self._findings.best else None

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Return one row per trial, indexed by its number.

        Columns: state, value (`value.NAME` for several objectives), every searched setting under its full key, the number of
        replicates, a trial's measures (see `records.Summary`), means of the scores as `val_r2`, labels, seconds, run_id, and the
        reason for a missing result.
        """
        rows = [self._row(record) for record in self._findings.records]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return _table(rows, columns, ["trial"])

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        goals = self._findings.objectives
        names = [f"value.{objective.name}" for objective in goals] if len(goals) > 1 else ["value"]
        row: dict[str, Any] = {"trial": record.number, "state": record.state}
        row |= dict(zip(names, record.values, strict=False)) if record.values else dict.fromkeys(names)
        row |= {key: record.params.get(key) for key in self._findings.keys}
        summary = record.summary
        row["replicates"] = len(summary.val_losses) if summary else None
        row |= {key: getattr(summary, key, None) for key in MEASURED}
        row |= {f"val_{name}": sum(values) / len(values) for name, values in (summary.scores if summary else {}).items() if values}
        row["labels"] = report.labels_text(summary) if summary else None
        return row | {"seconds": sum(record.seconds.values()), "run_id": record.run_id, "reason": record.reason}

    @cached_property
    def replicates(self) -> pd.DataFrame:
        """Return one row per replicate of each complete trial, indexed by (trial, replicate), their numbers.

        Columns: val_loss, scores as `val_r2`, and from MLflow: label, fingerprint (64 hex digits), train_loss, the kept epoch, the
        seed of every source as `seed.init`, run_id.
        """
        tracked: dict[tuple[str, int], Replicate] = {}
        if self._store:
            tracked = {(replicate.trial_run, replicate.number): replicate for replicate in runs.replicates(self._store, self.name)}
        rows = []
        for record in self._findings.records:
            if record.summary:
                # a trial adopted from its record on disk doesn't know its run
                trial_run = record.run_id or (self._run_id(record.number) if self._store else "")
                for index, number in enumerate(listings.numbers(self._findings, record)):
                    rows.append(_replicate_row(record, index, number, tracked.get((trial_run, number))))
        columns = dict.fromkeys(["trial", "replicate", "val_loss", *(key for row in rows for key in row if key.startswith("val_"))])
        seeds = dict.fromkeys(key for row in rows for key in row if key.startswith("seed."))
        last = ["train_loss", "epoch", "label", "fingerprint", *seeds, "run_id"]
        return _table(rows, [*columns, *last], ["trial", "replicate"])

    def curves(self, trial: int | None = None) -> pd.DataFrame:
        """Return a complete trial's curves: one row per replicate and epoch, from 1, with train_loss, val_loss and learning_rate.

        The training loss is the mean over the epoch's batches, the validation loss is measured after the epoch; both are NaN after
        a stop. Without a number, returns those of all complete trials, with `trial` as the first column. Raises BadInput for a
        trial that isn't complete or not in MLflow, Corrupt for damaged files, and Unreachable.
        """
        if trial is None:
            done = [record.number for record in self._findings.records if record.state == "complete"]
            if not done:
                raise BadInput([Fault("STUDY", self.name, "a study with a complete trial")])
            return pd.concat({number: self.curves(number) for number in done}, names=["trial"]).reset_index("trial")
        curves = runs.curves(self._existing_store(), self._run_id(trial))
        count, epochs = curves["val_loss"].shape
        table = {"replicate": curves["replicate"].repeat(epochs), "epoch": list(range(1, epochs + 1)) * count}
        return pd.DataFrame(table | {key: curves[key].ravel() for key in artifacts.LOSSES})

    def weights(self, trial: int, replicate: int | None = None) -> Network:
        """Return a complete trial's networks: `kernels`, float32 [R, in, out], and `biases`, [R, out], per layer.

        With a replicate's number, returns that network without the axis [R]. Checks the fingerprints; raises as `curves` does.
        """
        networks = reader.load_networks(self._existing_store(), self._run_id(trial))
        if replicate is None:
            return Network.stack([tracked.network for tracked in networks])
        numbers = listings.numbers(self._findings, self._records[trial])
        if replicate not in numbers:
            raise BadInput([Fault("replicate", replicate, f"one of trial {trial}: {numbers.start} to {numbers.stop - 1}")])
        return next(tracked.network for tracked in networks if tracked.name.endswith(f"/{replicate}"))

    @overload
    def predict(
        self, rows: object, *, member: int | None = None, return_std: Literal[False] = False, interval: float | None = None
    ) -> pd.DataFrame: ...

    @overload
    def predict(
        self, rows: object, *, member: int | None = None, return_std: Literal[True], interval: float | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]: ...

    def predict(
        self, rows: object, *, member: int | None = None, return_std: bool = False, interval: float | None = None
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Predict new rows with the study's champion, the mean of the best trial's networks; return a table with the rows' index.

        rows: the columns of the training table by name, unscaled and unencoded, in any form that `study.tune` takes; others are
        ignored. An array without names has as many columns as the training table has inputs, in their order. The result has one
        column per target, in its own units, or one per class, with its probability. Warns of what training hadn't seen.
        member: the number of a replicate to take alone. return_std: also return a table with the standard deviation over the
        networks, NaN for one alone; it is no interval of the outcome. interval: add columns with prediction intervals that contain
        this share of new rows' outcomes: `lower` and `upper`, for classes `prediction set` (see `Predictor.intervals`).
        Raises BadInput if the study has no champion or the champion no such member, for a missing or duplicate column, and for an
        interval that can't be had; Corrupt and Unreachable.
        """
        kept = self._champion
        widths = None if interval is None else predictions.halfwidths(kept, interval, member, lambda: self._findings.command)
        table = new_rows.table(rows, [column.name for column in kept.columns])
        predicted = kept.predict(predicting.columns(table), member)
        mean, std = (pd.DataFrame(part, index=table.index, columns=list(kept.names)) for part in predicted)
        if widths is not None:
            mean = pd.concat([mean, pd.DataFrame(kept.intervals(mean.to_numpy(), widths), index=table.index)], axis=1)
        return (mean, std) if return_std else mean

    def importance(self) -> pd.DataFrame:
        """Return the permutation importance of the table's columns for the champion, the most important first.

        It is the loss of R², or for classes the rise of the log loss, of one network where the column is shuffled over the rows:
        the mean over the members, its 95% interval over them (`low`, `high`), and each member's. The rows are those of the test
        part or, without one, validation rows, which the table's `attrs` say. Raises BadInput if the study has no champion that
        records it, or so many columns that it wasn't measured; Corrupt and Unreachable.
        """
        return behaviour_tables.importance(self._behaviour)

    def partial_dependence(self, column: str) -> pd.DataFrame:
        """Return the champion's mean prediction by the values of a column, the index, over the same rows as `importance`.

        It has a column per target or class, and its SD over the members. Only the most important columns have it; raises BadInput
        for another, and as `importance` does.
        """
        return behaviour_tables.partial_dependence(self._behaviour, column)

    def residuals(self) -> pd.DataFrame:
        """Return the champion's predictions beside the truth on rows that it wasn't trained on, at most 500 of them.

        Columns: target, predicted, true, residual (true − predicted). Raises BadInput for classes, and as `importance` does.
        """
        return behaviour_tables.residuals(self._behaviour)

    def confusion(self) -> pd.DataFrame:
        """Return counts of rows by true class (index) and class predicted by the champion (columns); rows as of `residuals`.

        Raises BadInput for regression, and as `importance` does.
        """
        return behaviour_tables.confusion(self._behaviour)

    @cached_property
    def _behaviour(self) -> Behaviour:
        found = logged_champion.behaviour(self._existing_store(), self.name)
        if found is None:
            valid = f"a study with a champion in {self._uri} that records what it does; launch it again to save it"
            raise BadInput([Fault("STUDY", self.name, valid)])
        return found

    @cached_property
    def _champion(self) -> Predictor:
        return champion.load(self.name, self._uri)

    @cached_property
    def figures(self) -> Figures:
        """Return the report's charts by title, as Plotly figures; titles of a trial's networks begin with the trial."""
        content = study_page.build(self._findings, self._networks)
        return Figures(
            (f"{section.title}: {chart.title}" if section.title.startswith("The networks") else chart.title, chart.figure)
            for section in content.sections
            for chart in section.charts
        )

    def report(self, file: str | Path) -> Path:
        """Write the report, a single self-contained page, and return its file. Raises NotWritable."""
        study_page.write(self._findings, self._networks, Path(file))
        return Path(file)

    @cached_property
    def _networks(self) -> study_results.Networks:
        compared = self._store and self._findings.ranked
        return study_results.networks(self._findings, self._uri) if compared else study_results.Networks()

    @cached_property
    def _store(self) -> store.Store | None:
        """Return the records in MLflow; None without such a database, as with `tracking=none`."""
        try:
            return store.existing(self._uri)
        except BadInput:
            return None

    def _existing_store(self) -> store.Store:
        return self._store or store.existing(self._uri)

    def _run_id(self, trial: int) -> str:
        record = self._records.get(trial)
        if record is None:
            known = f"{min(self._records)} to {max(self._records)}" if self._records else "none yet"
            raise BadInput([Fault("trial", trial, f"a trial of study {self.name}: {known}")])
        if record.state != "complete":
            raise BadInput([Fault("trial", trial, f"a complete trial; this one is {record.state}: {record.reason or 'no result'}")])
        run_id = record.run_id or reader.run_of(self._existing_store(), self.name, trial)
        if not run_id:
            raise BadInput([Fault("trial", trial, f"a trial with a run in {self._uri}")])
        return run_id

    def __repr__(self) -> str:
        counts = Counter(record.state for record in self._records.values())
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        text = f"Study({self.name!r}): {len(self._records)} trials ({states or 'none'})"
        best = self._findings.best
        return f"{text}; best: trial {best.number}, {report.loss_text(best.summary)}" if best and best.summary else text

    def _repr_html_(self) -> str:
        return study_cell.page(repr(self), self._findings)


def open_study(name: str, storage: str | None = None, tracking_uri: str | None = None) -> Study:
    return Study(name, locations.storage(storage), locations.tracking_uri(tracking_uri))


def _replicate_row(record: TrialRecord, index: int, number: int, run: Replicate | None) -> dict[str, Any]:
    assert record.summary
    row: dict[str, Any] = {"trial": record.number, "replicate": number, "val_loss": record.summary.val_losses[index]}
    row |= {f"val_{name}": values[index] for name, values in record.summary.scores.items() if values}
    if run:
        row |= {"label": run.label or None, "fingerprint": run.fingerprint or None, "run_id": run.run_id, "epoch": run.epoch}
        row |= {"train_loss": run.metrics.get("train_loss")} | {f"seed.{source}": seed for source, seed in run.seeds.items()}
    return row


def _table(rows: list[dict[str, Any]], columns: list[str], index: list[str]) -> pd.DataFrame:
    """Return rows as a table, where whole numbers stay whole even in a column with gaps."""
    table = pd.DataFrame(rows, columns=columns)
    for name in columns:
        there = [row[name] for row in rows if row.get(name) is not None]
        if there and len(there) < len(rows) and all(type(value) is int for value in there):
            table[name] = pd.array([row.get(name) for row in rows], dtype="Int64")
    return table.set_index(index)
