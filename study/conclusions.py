"""What a study ends with besides its table and answer: what its one setting does, who is to blame, its best trial's portrait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from study import factors, portraits, report
from study.records import TrialRecord
from study.report import Table
from study.space import Space


@dataclass(frozen=True)
class Conclusion:
    """picture: kept with the study, and with the run of the trial that it shows, if it shows one."""

    picture: Path
    table: Table | None = None
    answer: str = ""
    run_id: str | None = None


def conclude(uri: str, space: Space, records: Sequence[TrialRecord], direction: str, folder: Path) -> Iterator[Conclusion]:
    """Draws into `folder`. Raises StudyError where the trials' records can't be had."""
    best = report.ranked(records, direction)
    if blamed := [record for record in best if record.summary and record.summary.blame]:
        yield _blame(blamed, folder)
    elif factor := factors.of(space, records):  # the replicates of a crossed design are no restarts: they share sources
        found = factors.compare(uri, factor, records, folder)
        yield Conclusion(found.picture, found.table, found.answer)
    if best and best[0].run_id and (picture := portraits.draw(uri, best[0], folder)):
        yield Conclusion(picture, run_id=best[0].run_id)


def _blame(trials: Sequence[TrialRecord], folder: Path) -> Conclusion:
    from study import figures

    named = {_name(record): record.summary.blame for record in trials if record.summary}
    folder.mkdir(parents=True, exist_ok=True)
    figures.blame(named, folder / "blame.png")
    tables = {name: report.blame_table(found) for name, found in named.items()}
    rows = [((name if place == 0 else ""), *row) for name, table in tables.items() for place, row in enumerate(table.rows)]
    answer = "\n".join(f"{name}: {report.blame_answer(found)}" for name, found in named.items())
    return Conclusion(folder / "blame.png", Table(("trial", *next(iter(tables.values())).columns), tuple(rows)), answer)


def _name(record: TrialRecord) -> str:
    return f"{record.number}: {report.settings_text(record.params)}" if record.params else f"trial {record.number}"
