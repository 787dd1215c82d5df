"""Files that a launch leaves behind: pages in its folder, and tables with their answers for MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from study.records.outcome import Summary
from study.reporting import narrative, report
from study.reporting.pages import study_page, trial_page
from study.reporting.report import Table
from study.reporting.study_results import Findings, Networks

REPORT, PORTRAIT = "report.html", "portrait.html"


@dataclass(frozen=True)
class AnsweredTable:
    """A table and its answer, kept in `file` of the study's run, and the answer in its tag `tag`."""

    file: str
    tag: str
    table: Table
    answer: str


@dataclass(frozen=True)
class Portrait:
    """The page of the study's best trial, which is kept with the trial's run."""

    file: Path
    run_id: str


def tables(findings: Findings, networks: Networks) -> list[AnsweredTable]:
    """Return the tables that answer a question of their own: of a crossed study, of a star, and of the only setting that varies."""
    answered = []
    if findings.blamed:
        answered.append(AnsweredTable("blame.md", "blame", *narrative.blame_tables(findings.blamed)))
    if findings.claims:
        answered.append(AnsweredTable("convergence.md", "claims", *findings.claims))
    if factor := networks.factor:
        answered.append(AnsweredTable(f"{factor.name}.md", "factor", factor.table, factor.answer))
    return answered


def write_report(findings: Findings, networks: Networks, folder: Path) -> Path:
    """Write a study's page into `folder`, which is made if it is missing. Raises NotWritable."""
    folder.mkdir(parents=True, exist_ok=True)
    study_page.write(findings, networks, folder / REPORT)
    return folder / REPORT


def write_best_portrait(findings: Findings, networks: Networks, folder: Path) -> Portrait | None:
    """Write the page of the best trial; None if it has one network or no run. Raises NotWritable."""
    if not networks.shown:
        return None
    best = networks.shown[0]
    record, summary = best.record, best.record.summary
    if not (best.kept.comparison and summary and record.run_id):
        return None
    settings = report.settings_text(record.params)
    description = f"Trial {record.number} of study {findings.name}" + (f": {settings}" if settings else "")
    trial_page.write(f"trial {record.number}", description, summary, best.kept, folder / PORTRAIT)
    return Portrait(folder / PORTRAIT, record.run_id)


def write_portrait(uri: str, run_id: str, description: str, summary: Summary, folder: Path) -> Path | None:
    """Write the page of the completed trial of a run into `folder`; None if it has one network. Raises StudyError."""
    from study.tracking import reader, store

    trial = reader.load_trial(store.existing(uri), run_id, motion=True)
    if not trial.comparison:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    trial_page.write("this trial", description, summary, trial, folder / PORTRAIT)
    return folder / PORTRAIT
