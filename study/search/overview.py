"""Lists the studies of a storage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from study.errors import Corrupt
from study.search.mirror import latest
from study.search.reading import find, names
from study.search.records import WINNER, Contents, damage_of, objectives_of, records_of, settings_of
from study.settings.values import Value
from study.statistics.objectives import Objective


@dataclass(frozen=True)
class Overview:
    """A study in short.

    settings: the fixed ones; replicates: the fewest and the most that a completed trial has, None without one; states: how many
    trials are in which state (see `TrialRecord`); best: the best trial and its value of the first objective; started, ended: of the
    first and the last trial, in that machine's local time.
    """

    name: str
    objectives: tuple[Objective, ...]
    settings: dict[str, Value]
    replicates: tuple[int, int] | None
    states: dict[str, int]
    best: tuple[int, float] | None
    started: datetime | None
    ended: datetime | None


def overviews(storage: str) -> tuple[list[Overview], list[Corrupt]]:
    """Return all studies, the one with the newest trials first, after those that have none yet, and an error for each that can't be
    read.
    """
    studies, damaged = [], []
    for name in names(storage):
        try:
            if contents := find(storage, name):  # it may be deleted meanwhile
                studies.append(_overview(name, contents))
        except Corrupt as error:
            damaged.append(error)
    return sorted(studies, key=lambda study: study.ended or study.started or datetime.max, reverse=True), damaged


def _overview(name: str, contents: Contents) -> Overview:
    with damage_of(name):
        records, trials = records_of(contents), latest(contents.trials)
        objectives, settings = objectives_of(contents.attrs), settings_of(contents.attrs)
    first = objectives[0]
    done = [
        (record.number != contents.attrs.get(WINNER), first.sign * record.values[0], record.number)
        for record in records
        if record.summary and record.values
    ]
    counts = [len(record.summary.val_losses) for record in records if record.summary]
    moments = [moment for trial in trials for moment in (trial.datetime_start, trial.datetime_complete) if moment]
    return Overview(
        name=name,
        objectives=objectives,
        settings=settings,
        replicates=(min(counts), max(counts)) if counts else None,
        states=dict(Counter(record.state for record in records)),
        best=(min(done)[2], first.sign * min(done)[1]) if done else None,
        started=min(moments, default=None),
        ended=max(moments, default=None),
    )


def best(storage: str, name: str) -> int | None:
    """Return the number of a study's best trial by its first objective; None if it has none, or there is no such study."""
    contents = find(storage, name)
    best_trial = _overview(name, contents).best if contents else None
    return best_trial[0] if best_trial else None
