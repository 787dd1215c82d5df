"""What a study leaves besides its table and answer: pictures, what they say, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from study.reporting import factor_tables, narrative
from study.reporting.pages import of_study
from study.reporting.report import Table
from study.reporting.study_results import Findings, Networks

MOST_BARS = 12
PAGE = "report.html"


@dataclass(frozen=True)
class Conclusion:
    """file: kept with the study, and with the run of the trial that it shows, if it shows one. tag: the answer's."""

    file: Path
    table: Table | None = None
    answer: str = ""
    tag: str = ""
    run_id: str | None = None


def conclude(found: Findings, networks: Networks, folder: Path) -> Iterator[Conclusion]:
    """Draws into `folder`, the page last. Without `networks`, only what the summaries tell."""
    from study.reporting import figures

    folder.mkdir(parents=True, exist_ok=True)
    if found.blamed:
        figures.blame(dict(islice(found.blamed.items(), MOST_BARS)), folder / "blame.png")
        yield Conclusion(folder / "blame.png", *narrative.blame_tables(found.blamed), tag="blame")
    if len(found.objectives) > 1 and found.ranked:
        values = {record.number: record.values for record in found.ranked}
        figures.front(values, [each.name for each in found.objectives], found.front, folder / "front.png")
        yield Conclusion(folder / "front.png")
    if factor := networks.factor:
        yield Conclusion(factor_tables.draw(factor, folder), factor.table, factor.answer, tag="factor")
    if networks.shown and (best := networks.shown[0]).portrait:
        figures.portrait(best.portrait, folder / "portrait.png")
        yield Conclusion(folder / "portrait.png", run_id=best.record.run_id)
    of_study.write(found, networks, folder / PAGE)
    yield Conclusion(folder / PAGE)
