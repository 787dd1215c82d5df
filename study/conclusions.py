"""What a study ends with besides its table and answer: what its one setting does, who is to blame, its best trial's portrait."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from study import factors, portraits, report
from study.objectives import Objective
from study.records import TrialRecord
from study.report import Table
from study.space import Space

MOST_BARS = 12


@dataclass(frozen=True)
class Conclusion:
    """picture: kept with the study, and with the run of the trial that it shows, if it shows one. tag: the answer's."""

    picture: Path
    table: Table | None = None
    answer: str = ""
    tag: str = ""
    run_id: str | None = None


def conclude(
    uri: str | None,
    space: Space,
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    front: Collection[int],
    folder: Path,
) -> Iterator[Conclusion]:
    """Draws into `folder`. Without tracking (`uri`), only what the summaries tell. Raises StudyError if records can't be had."""
    best = report.ranked(records, objectives[0])
    if blamed := report.blamed(records, objectives[0]):
        from study import figures

        folder.mkdir(parents=True, exist_ok=True)
        figures.blame(dict(islice(blamed.items(), MOST_BARS)), folder / "blame.png")
        yield Conclusion(folder / "blame.png", *report.blame_tables(blamed), tag="blame")
    if len(objectives) > 1 and best:
        from study import figures

        folder.mkdir(parents=True, exist_ok=True)
        values = {record.number: record.values for record in best}
        figures.front(values, [each.name for each in objectives], front, folder / "front.png")
        yield Conclusion(folder / "front.png")
    if uri is None:
        return
    # the replicates of a crossed design are no restarts: they share sources
    if not blamed and (factor := factors.of(space, records)):
        found = factors.compare(uri, factor, records, folder)
        yield Conclusion(found.picture, found.table, found.answer, tag="factor")
    if best and best[0].run_id and best[0].summary:
        title = f"trial {report.trial_name(best[0]).removeprefix('trial ')}: {best[0].summary.verdict}"
        if picture := portraits.draw(uri, best[0].run_id, title, best[0].summary, folder):
            yield Conclusion(picture, run_id=best[0].run_id)
