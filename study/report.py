"""What a study found: its table, its answer, and where the time went. Text and records only; `terminal` draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.records import Scalar, Summary, TrialRecord


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, digits: int = 3) -> str:
    """A number to a few significant digits; '–' for none."""
    if value is None or math.isnan(value):
        return "–"
    magnitude = abs(value)
    if magnitude and not 1e-3 <= magnitude < 1e5:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - (math.floor(math.log10(magnitude)) if magnitude else 0))}f}"


def setting(value: Scalar) -> str:
    return number(value) if isinstance(value, float) else str(value)


def short(key: str) -> str:
    """A setting's last word: learning_rate for optimizer.learning_rate."""
    return key.rsplit(".", 1)[-1]


def settings_text(params: Mapping[str, Scalar]) -> str:
    """Sampled settings in a line: adam, learning_rate 0.003, batch_size 32."""
    return ", ".join(setting(value) if "." not in key else f"{short(key)} {setting(value)}" for key, value in params.items())


def loss_text(summary: Summary) -> str:
    """The mean validation loss and its 95 % interval's half-width, to the interval's two digits."""
    half = summary.val_loss_halfwidth
    if half is None or not half > 0:
        return number(summary.val_loss_mean, 4)
    decimals = min(8, max(0, 1 - math.floor(math.log10(half))))
    return f"{summary.val_loss_mean:.{decimals}f} ± {half:.{decimals}f}"


def labels_text(summary: Summary) -> str:
    return ", ".join(f"{count} {name}" for name, count in summary.labels.items())


def ranked(records: Sequence[TrialRecord], direction: str) -> list[TrialRecord]:
    """Completed trials, best first."""
    done = [record for record in records if record.state == "complete" and record.value is not None]
    return sorted(done, key=lambda record: (record.value if direction == "minimize" else -record.value, record.number))  # type: ignore[operator]


def table(records: Sequence[TrialRecord], direction: str) -> Table:
    """Completed trials, best first, then those that failed or were pruned, with the reason."""
    keys = tuple(dict.fromkeys(key for record in records for key in record.params))
    best = ranked(records, direction)
    others = [record for record in records if record not in best and record.state != "waiting"]
    rows = []
    for record in [*best, *others]:
        summary = record.summary
        if summary:
            found = (loss_text(summary), labels_text(summary), number(summary.distance), number(summary.disagreement))
        else:
            found = ("–", record.reason or record.state, "–", "–")
        rows.append((str(record.number), *(setting(record.params.get(key)) for key in keys), *found))
    found_columns = ("val loss", "convergence", "distance", "disagreement")
    return Table(("trial", *map(short, keys), *found_columns), tuple(rows))


def markdown(content: Table) -> str:
    lines = [content.columns, tuple("---" for _ in content.columns), *content.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def answer(records: Sequence[TrialRecord], direction: str, settings: Mapping[str, str]) -> str:
    """Does the MLP converge to a single, stable value? Two sentences about the best trial's replicates.

    settings: the study's fixed settings, in `spec.flat`'s form.
    """
    best = ranked(records, direction)
    if not best:
        return "No trial completed, so there is no answer. The table says why each failed."
    record, summary = best[0], best[0].summary
    assert summary is not None
    count = len(summary.val_losses)
    who = f"trial {record.number}" + (f" ({settings_text(record.params)})" if record.params else "")
    reached = f"validation loss {loss_text(summary)}"
    if count < 2:
        return f"One network can't tell: the best, {who}, reaches {reached}. Train at least two replicates (replicates.count=8)."
    settled = summary.labels.get("plateaued", 0)
    converged = f"all {count} have plateaued" if settled == count else f"not all have plateaued ({labels_text(summary)})"
    varied = " and ".join(name.strip(" []'\"") for name in settings.get("replicates.vary", "[]").split(",")) or "nothing"
    if summary.distinct == 1:
        return (
            f"Yes, bit for bit: the {count} replicates of the best setting, {who}, which differ in {varied}, have the same final "
            f"weights. They reach {reached}, and {converged}."
        )
    if settings.get("data.task") == "classification":
        differ = f"their predicted classes differ on {summary.disagreement:.1%} of the validation rows"
    else:
        differ = f"their predictions differ by {summary.disagreement:.0%} of the target's standard deviation"
    return (
        f"No, not to one point: the {count} replicates of the best setting, {who}, which differ only in {varied}, end "
        f"{number(summary.distance)} apart in weight space (relative L2; unrelated networks are about 1.41 apart), with "
        f"{summary.distinct} different fingerprints. What they reach is a tolerance: {reached}, where {differ} and {converged}."
    )


def seconds_text(seconds: Mapping[str, float], total: float) -> str:
    """Where the time went, with what no phase accounts for as 'other'."""
    parts = {name: value for name, value in seconds.items() if value >= 0.05}
    parts["other"] = max(0.0, total - sum(seconds.values()))
    return f"{total:.1f} s: " + " · ".join(f"{name} {value:.1f}" for name, value in parts.items())
