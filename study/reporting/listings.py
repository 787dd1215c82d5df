"""Tabulates the studies of a storage, a study's trials, and a single trial or replicate."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from study.records.trial import TrialRecord
from study.reporting import report
from study.reporting.report import Table, number
from study.settings.values import as_text, as_texts
from study.tracking.schema import address

if TYPE_CHECKING:  # MLflow and Optuna take seconds to load
    from study.reporting.study_results import Findings
    from study.search.overview import Overview
    from study.tracking.runs import Replicate, Trial

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60
STEEP = 10.0
CURVES = {"train_loss": "train loss", "val_loss": "val loss"}


def studies(found: Sequence[Overview]) -> Table:
    """Tabulate studies, one row each, the newest first."""
    rows = []
    for each in found:
        states = ", ".join(f"{count} {state}" for state, count in each.states.items()) or "none"
        goals = ", ".join(goal.text for goal in each.objectives)
        best = f"{number(each.best[1], 4)} (trial {each.best[0]})" if each.best else "–"
        when = f"{each.ended:%Y-%m-%d %H:%M}" if each.ended else "–"
        count, data = as_text(each.settings.get("replicates.count", "–")), as_text(each.settings.get("data", "searched"))
        rows.append((each.name, states, count, best, goals, when, data))
    return Table(("study", "trials", "replicates", "best", "objective", "last trial", "data"), tuple(rows))


def plain(found: Overview) -> dict[str, Any]:
    """For JSON, where settings are texts as in MLflow."""
    settings = as_texts(found.settings)
    return {
        "study": found.name,
        "trials": found.states,
        "replicates": settings.get("replicates.count"),
        "best": {"trial": found.best[0], "value": found.best[1]} if found.best else None,
        "objectives": [dataclasses.asdict(each) for each in found.objectives],
        "started": found.started.isoformat() if found.started else None,
        "ended": found.ended.isoformat() if found.ended else None,
        "data": settings.get("data"),
    }


def trials(found: Findings) -> Table:
    """Tabulate a study's trials, one row each, in their order, with their runs."""
    rows = [
        (
            str(record.number),
            record.state,
            *(report.setting(record.params[key]) if key in record.params else "–" for key in found.keys),
            report.loss_text(record.summary) if record.summary else "–",
            str(len(record.summary.val_losses)) if record.summary else "–",
            record.run_id or "–",
        )
        for record in found.records
    ]
    return Table(("trial", "state", *map(report.short, found.keys), "val loss", "replicates", "run"), tuple(rows))


def trials_plain(found: Findings) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "trial": record.number,
            "state": record.state,
            "settings": record.params,
            "value": record.value,
            "run_id": record.run_id,
            "reason": record.reason,
            "replicates": [
                {"replicate": each, "val_loss": loss}
                for each, loss in zip(numbers(found, record), record.summary.val_losses if record.summary else (), strict=True)
            ],
        }
        for record in found.records
    ]


def numbers(found: Findings, record: TrialRecord) -> range:
    """Return the numbers of a trial's replicates; none if it isn't complete."""
    first = record.params.get("replicates.first", found.settings.get("replicates.first", 0))
    assert isinstance(first, int)
    return range(first, first + len(record.summary.val_losses if record.summary else ()))


def trial(found: Trial) -> Iterator[tuple[str, Table | str]]:
    """Yield titles with their contents: a trial's numbers, its verdict, its replicates and its settings."""
    yield f"{address(found.study, found.name, found.number)}: {found.status.lower()}", f"run {found.run_id}"
    if found.reason:
        yield "why it has no result", found.reason
    if found.verdict:
        yield f"verdict: {found.verdict}", "\n".join(found.evidence)
    if found.labels:
        yield "convergence", found.labels
    if found.metrics:
        rows = tuple((key.replace("_", " "), number(value, 4)) for key, value in sorted(found.metrics.items()))
        yield "numbers", Table(("", "value"), rows)
    if found.replicates:
        yield "replicates", _replicates(found.replicates)
    yield "settings", Table(("setting", "value"), tuple(sorted(found.settings.items())))


def _replicates(found: Sequence[Replicate]) -> Table:
    rows = [
        (
            str(each.number),
            number(each.metrics.get("train_loss"), 4),
            number(each.metrics.get("val_loss"), 4),
            each.label or each.status.lower(),
            str(each.epoch or "–"),
            each.fingerprint[:16] or "–",
            each.run_id,
        )
        for each in found
    ]
    return Table(("replicate", "train loss", "val loss", "convergence", "epoch", "fingerprint", "run"), tuple(rows))


def replicate(found: Replicate, curves: dict[str, list[float]], of: Trial) -> Iterator[tuple[str, Table | str]]:
    """Yield titles with their contents: a replicate's losses by epoch, its fingerprint and its seeds. of: its trial."""
    yield f"{address(of.study, of.name, of.number, found.number)}: {found.label or found.status.lower()}", f"run {found.run_id}"
    for key, title in CURVES.items():
        if losses := curves.get(key):
            told = f"{number(losses[0], 4)} {sparkline(losses)} {number(losses[-1], 4)}"
            yield f"{title}, {len(losses)} epochs", told
    if found.fingerprint:
        yield "fingerprint", f"{found.fingerprint} (of the weights after epoch {found.epoch or '–'})"
    yield "seeds", Table(("source", "seed"), tuple((source, str(seed)) for source, seed in found.seeds.items()))


def replicate_plain(found: Replicate, curves: dict[str, list[float]], of: Trial) -> dict[str, Any]:
    """For JSON."""
    return {"study": of.study, "trial": of.number, **dataclasses.asdict(found), "curves": curves}


def sparkline(values: Sequence[float], most: int = MOST_BARS) -> str:
    """Draw values as bars of text, each the mean of as many values; by their logarithms where these span more than a decade."""
    if not values:
        return ""
    count = min(most, len(values))
    edges = [place * len(values) // count for place in range(count + 1)]
    means = [_mean(values[low:high]) for low, high in itertools.pairwise(edges)]
    there = [value for value in means if math.isfinite(value)]
    if not there:
        return " " * count
    least, most_of_all = min(there), max(there)
    scaled = math.log if least > 0 and most_of_all / least > STEEP else float
    low, span = scaled(least), scaled(most_of_all) - scaled(least)
    last = len(BARS) - 1
    return "".join(BARS[round(last * (scaled(v) - low) / span) if span else 0] if math.isfinite(v) else " " for v in means)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
