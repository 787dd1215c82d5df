"""Tabulates the studies of a storage, a study's trials, and a single trial or replicate."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis import motion
from study.records.arrays import Doubles
from study.records.trial import TrialRecord
from study.reporting import report
from study.reporting.report import Table, number
from study.settings.values import as_text, as_texts, as_typed, from_text
from study.statistics import intervals
from study.tracking.schema import address

if TYPE_CHECKING:  # MLflow and Optuna take seconds to load
    from study.analysis.motion import Motion
    from study.reporting.study_results import Findings
    from study.search.overview import Overview
    from study.tracking.runs import Replicate, Trial

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60
STEEP = 10.0
CURVES = {"train_loss": "train loss", "val_loss": "val loss"}


def studies(overviews: Sequence[Overview]) -> Table:
    """Tabulate studies, one row each, the newest first."""
    rows = []
    for overview in overviews:
        states = ", ".join(f"{count} {state}" for state, count in overview.states.items()) or "none"
        goals = ", ".join(goal.text for goal in overview.objectives)
        best = f"{number(overview.best[1], 4)} (trial {overview.best[0]})" if overview.best else "–"
        when = f"{overview.ended:%Y-%m-%d %H:%M}" if overview.ended else "–"
        asked = as_text(overview.settings.get("replicates.count", "–"))
        count = " to ".join(dict.fromkeys(map(str, overview.replicates))) if overview.replicates else asked
        data = as_text(overview.settings.get("data", "searched"))
        rows.append((overview.name, states, count, best, goals, when, data))
    return Table(("study", "trials", "replicates", "best", "objective", "last trial", "data"), tuple(rows))


def plain(overview: Overview) -> dict[str, Any]:
    """For JSON, where settings are texts as in MLflow."""
    settings = as_texts(overview.settings)
    return {
        "study": overview.name,
        "trials": overview.states,
        "replicates": settings.get("replicates.count"),
        "best": {"trial": overview.best[0], "value": overview.best[1]} if overview.best else None,
        "objectives": [dataclasses.asdict(objective) for objective in overview.objectives],
        "started": overview.started.isoformat() if overview.started else None,
        "ended": overview.ended.isoformat() if overview.ended else None,
        "data": settings.get("data"),
    }


def trials(findings: Findings) -> Table:
    """Tabulate a study's trials, one row each, in their order, with their runs."""
    rows = [
        (
            str(record.number),
            record.state,
            *(report.setting(record.params[key]) if key in record.params else "–" for key in findings.keys),
            report.loss_text(record.summary) if record.summary else "–",
            str(len(record.summary.val_losses)) if record.summary else "–",
            record.run_id or "–",
        )
        for record in findings.records
    ]
    return Table(("trial", "state", *map(report.short, findings.keys), "val loss", "replicates", "run"), tuple(rows))


def trials_plain(findings: Findings) -> list[dict[str, Any]]:
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
                {"replicate": replicate_number, "val_loss": loss}
                for replicate_number, loss in zip(
                    numbers(findings, record), record.summary.val_losses if record.summary else (), strict=True
                )
            ],
        }
        for record in findings.records
    ]


def numbers(findings: Findings, record: TrialRecord) -> range:
    """Return the numbers of a trial's replicates; none if it isn't complete."""
    first = record.params.get("replicates.first", findings.settings.get("replicates.first", 0))
    assert isinstance(first, int)
    return range(first, first + len(record.summary.val_losses if record.summary else ()))


def trial(trial: Trial, moved: Motion | None = None) -> Iterator[tuple[str, Table | str]]:
    """Yield titles with their contents: a trial's numbers, its verdict, its replicates and its settings.

    moved: the motion of its replicates.
    """
    yield f"{address(trial.study, trial.name, trial.number)}: {trial.status.lower()}", f"run {trial.run_id}"
    if trial.reason:
        yield "why it has no result", trial.reason
    if trial.verdict:
        yield f"verdict: {trial.verdict}", "\n".join(trial.evidence)
    if trial.labels:
        yield "convergence", trial.labels
    if trial.motion:
        yield "motion", trial.motion
    if moved and _is_known(moved):
        independent = _independent(trial)
        title = "motion, medians over the replicates" + (" with 95% intervals" if independent else "")
        yield title, _motion(moved, lambda values: report.median_text(_known(values), independent))
    if trial.metrics:
        # the ends of the mean curves are of the last epoch, whose weights needn't be the ones kept
        shown = sorted((key, value) for key, value in trial.metrics.items() if key not in CURVES)
        rows = tuple((key.replace("_", " "), number(value, 4)) for key, value in shown)
        yield "numbers", Table(("", "value"), rows)
    if trial.replicates:
        yield "replicates", _replicates(trial.replicates)
    typed = {key: as_typed(from_text(value)) for key, value in trial.settings.items()}
    yield "settings", Table(("setting", "value"), tuple(sorted(typed.items())))


def _replicates(replicates: Sequence[Replicate]) -> Table:
    rows = [
        (
            str(replicate.number),
            number(replicate.metrics.get("train_loss"), 4),
            number(replicate.metrics.get("val_loss"), 4),
            replicate.label or replicate.status.lower(),
            str(replicate.epoch or "–"),
            replicate.fingerprint[:16] or "–",
            replicate.run_id,
        )
        for replicate in replicates
    ]
    return Table(("replicate", "train loss", "val loss", "convergence", "epoch", "fingerprint", "run"), tuple(rows))


def replicate(
    replicate: Replicate, curves: dict[str, dict[int, float]], trial: Trial, moved: Motion | None, index: int
) -> Iterator[tuple[str, Table | str]]:
    """Yield titles with their contents: a replicate's losses by epoch, its motion, its fingerprint and its seeds.

    moved: the motion of the trial's replicates, of which this is number `index`, from 0.
    """
    how = motion.divergence(replicate.label, moved.summary() if moved else None, index)
    label = f"{replicate.label} ({how})" if how else replicate.label or replicate.status.lower()
    yield (
        f"{address(trial.study, trial.name, trial.number, replicate.number)}: {label}",
        f"run {replicate.run_id}",
    )
    for key, title in CURVES.items():
        if by_epoch := curves.get(key):
            losses = list(by_epoch.values())
            span = f"{number(losses[0], 4)} {sparkline(losses)} {number(losses[-1], 4)}"
            yield f"{title}, {max(by_epoch)} epochs", span
    if moved and _is_known(moved, index):
        yield f"motion: {replicate.motion}", _motion(moved, lambda values: number(float(values[index])))
    elif replicate.motion:
        yield "motion", replicate.motion
    if replicate.fingerprint:
        yield "fingerprint", f"{replicate.fingerprint} (of the weights after epoch {replicate.epoch or '–'})"
    yield "seeds", Table(("source", "seed"), tuple((source, str(seed)) for source, seed in replicate.seeds.items()))


AT_THE_END = "at the end of training"
# of `Motion`: of the weights, of the function, and their meaning
MOTION = (
    ("wander", "wobble", "distance between two of the last epochs"),
    ("trend", "function_trend", "share that a straight line explains (0 confined, 1 drift)"),
    ("correlation", "function_correlation", "correlation of successive steps (+1 straight, −½ scatter, −1 back and forth)"),
    (None, "gain", "squared error saved by averaging the epochs' predictions, over the target's variance"),
    ("slowing", "function_slowing", "energy of the steps, second half over first half"),
    ("exponent", "function_exponent", "growth exponent of the squared distance (0 confined, 1 random walk, 2 drift)"),
    ("travelled", None, "distance from the initial weights, over their norm"),
    ("advance", None, "move over these epochs, relative to that distance"),
    ("pace", None, "speed per unit of learning rate, over that of the whole path"),
)


def _motion(moved: Motion, text: Callable[[Doubles], str]) -> Table:
    """text: of an array of the replicates' numbers."""
    rows = [
        (meaning, *(text(getattr(moved, name)) if name else "–" for name in (weights, function)))
        for weights, function, meaning in MOTION
    ]
    return Table((AT_THE_END, "weights", "function"), tuple(rows))


def _is_known(moved: Motion, index: int | slice = slice(None)) -> bool:
    """Return True unless the epochs were too few to measure anything."""
    return any(np.isfinite(getattr(moved, name)[index]).any() for names in MOTION for name in names[:2] if name)


def _known(values: Doubles) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


def _independent(trial: Trial) -> bool:
    """Return True if the replicates share no seeds and are enough for the interval of a median."""
    alone = trial.settings.get("replicates.crossed", "None") == "None" and trial.settings.get("replicates.per_split", "1") == "1"
    return alone and len(trial.replicates) >= intervals.FEWEST_FOR_MEDIAN


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def trial_plain(trial: Trial, moved: Motion | None) -> dict[str, Any]:
    """For JSON. Each number of the motion is a median, with the ends of its interval where there is one."""
    numbers_of_motion = {}
    for name in (name for names in MOTION for name in names[:2] if name) if moved else ():
        values = _known(getattr(moved, name))
        ends = intervals.of_median(values) if _independent(trial) else None
        numbers_of_motion[name] = {"median": report.median(values), "interval": ends}
    return dataclasses.asdict(trial) | {"motion_numbers": numbers_of_motion}


def replicate_plain(
    replicate: Replicate, curves: dict[str, dict[int, float]], trial: Trial, moved: Motion | None, index: int
) -> dict[str, Any]:
    """For JSON."""
    numbers_of_motion = (
        {} if moved is None else {key: _finite(getattr(moved, key)[index]) for keys in MOTION for key in keys[:2] if key}
    )
    points = {key: {"epochs": list(by_epoch), "losses": list(by_epoch.values())} for key, by_epoch in curves.items()}
    content = dataclasses.asdict(replicate) | {"curves": points, "motion_numbers": numbers_of_motion}
    return {"study": trial.study, "trial": trial.number, **content}


def sparkline(values: Sequence[float], most: int = MOST_BARS) -> str:
    """Draw values as bars of text, each the mean of as many values; by their logarithms where these span more than a decade."""
    if not values:
        return ""
    count = min(most, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
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
