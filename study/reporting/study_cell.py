"""Show a study in a notebook's cell: its decision, what the winner is worth, its best trials, and whether training converges."""

from __future__ import annotations

import html
from collections.abc import Sequence

from study.records.trial import TrialRecord
from study.reporting import cell_picture, on_test, report, trials_table
from study.reporting.cell_picture import Bar
from study.reporting.report import Table
from study.reporting.study_results import Findings
from study.statistics.objectives import LOSS

MOST_SHOWN = 10
LEFT_OUT = {"weights", trials_table.TRAINING, trials_table.PREDICTING, *trials_table.PAIRS}
STYLE = "font: 14px/1.5 system-ui, sans-serif; max-width: 60em"
SCROLLS = "overflow-x: auto; margin: 8px 0"


def page(title: str, findings: Findings) -> str:
    """Return a study as HTML without scripts, in the colours of the page around it. title: says what it is, on one line."""
    shown, winner = findings.ranked[:MOST_SHOWN], findings.decision.winner if findings.decision else None
    headline, text = findings.decided
    parts = [f'<div style="opacity: .7">{html.escape(title)}</div>']
    if headline:
        parts.append(f'<div style="font-weight: 600; font-size: 16px; margin: 4px 0">{html.escape(headline)}</div>')
    worth = on_test.brief(findings.tested) if findings.tested else ""
    parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in (worth, text or ("" if headline else findings.win)) if paragraph]
    if shown:
        parts.append(f'<div style="{SCROLLS}">{picture(shown, findings)}</div>')
        parts.append(
            f'<div style="{SCROLLS}">{_table(trials_table.table(shown, findings.objectives, findings.front, winner))}</div>'
        )
    if len(findings.ranked) > len(shown):
        more = len(findings.ranked) - len(shown)
        parts.append(f'<div style="opacity: .7">{more} more trial{"s are" if more > 1 else " is"} in <code>.trials</code></div>')
    answer = html.escape(findings.answer.in_python)
    parts.append(f"<details><summary>Does training converge to a single, stable value?</summary><p>{answer}</p></details>")
    return f'<div style="{STYLE}">{"".join(parts)}</div>'


def picture(trials: Sequence[TrialRecord], findings: Findings) -> str:
    """Return the trials' values of the first objective, with the intervals of the validation loss, as SVG."""
    by_loss = findings.objective.name == LOSS
    bars = [
        Bar(
            f"trial {record.number}: {report.settings_text(record.params)}" if record.params else f"trial {record.number}",
            record.value,
            record.summary.val_loss_halfwidth if by_loss and record.summary else None,
        )
        for record in trials
        if record.value is not None
    ]
    of_loss = "validation loss, mean over the replicates with 95% interval"
    return cell_picture.svg(bars, of_loss if by_loss else findings.objective.quantity)


def _table(content: Table) -> str:
    """Return a table as HTML, without the measures of networks, which would make it too wide for a cell."""
    kept = [at for at, name in enumerate(content.columns) if name not in LEFT_OUT]
    head = "".join(f"<th>{html.escape(content.columns[at])}</th>" for at in kept)
    cell = '<td style="white-space: nowrap">'
    rows = ("".join(f"{cell}{html.escape(row[at])}</td>" for at in kept) for row in content.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table style="font-size: 13px"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
