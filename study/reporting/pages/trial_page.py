"""The page of one trial: the verdict on its replicates first, then their losses and how they compare with one another."""

from __future__ import annotations

from pathlib import Path

from study.records.outcome import Summary
from study.records.tracked import TrackedTrial
from study.reporting import headlines, report
from study.reporting.pages import cause_sections, motion_section, network_sections, page
from study.reporting.pages.page import Page

QUESTION = "Does this MLP converge to a single, stable value?"


def write(name: str, description: str, summary: Summary, trial: TrackedTrial, file: Path) -> None:
    """Write the page of a trial of several replicates. Raises NotWritable."""
    page.write(build(name, description, summary, trial), file)


def build(name: str, description: str, summary: Summary, trial: TrackedTrial) -> Page:
    sections = [
        network_sections.loss_curves([name], [trial]),
        motion_section.motion(name, summary, trial),
        cause_sections.blame({name: summary.blame} if summary.blame else {}),
        network_sections.compared(name, summary, trial),
    ]
    return Page(
        title=QUESTION,
        subtitle=description,
        headline=f"{headlines.headline(summary)}.",
        facts=[text for text in (network_sections.verdict(summary),) if text],
        evidence=facts(summary),
        sections=[section for section in sections if not section.empty],
    )


def facts(summary: Summary) -> dict[str, str]:
    """Return a trial's numbers in words, by name."""
    return {
        "validation loss": report.loss_text(summary),
        "replicates": str(len(summary.val_losses)),
        "different fingerprints": f"{summary.distinct} of {len(summary.val_losses)}",
        **({"verdict": summary.verdict} if summary.verdict else {}),
        **({"scores": scores} if (scores := report.scores_text(summary)) else {}),
        "convergence": report.labels_text(summary),
        "weights per network": f"{summary.parameters:,}",
    }
