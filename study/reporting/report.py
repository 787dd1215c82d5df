"""Writes numbers, settings, times and a study's table of trials as text, which `terminal` draws."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.errors import visible
from study.records.arrays import Scalar
from study.records.outcome import Summary
from study.records.trial import TrialRecord
from study.settings.values import as_typed
from study.statistics import intervals, rounding
from study.statistics.objectives import ACCURACY, NAMES, Objective
from study.statistics.ranking import FEWEST, PairedDifference


@dataclass(frozen=True)
class Table:
    """brief: shorter cells of some columns, for where the whole ones don't fit on a line."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    brief: Mapping[str, Sequence[str]] = field(default_factory=dict)


number, interval_text = rounding.number, rounding.interval_text


def median(values: Sequence[float | None]) -> float | None:
    """Return the median of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def median_text(values: Sequence[float | None], independent: bool = True) -> str:
    """Return the median of what is known with its 95% interval, if the values are independent and enough."""
    known = [value for value in values if value is not None]
    ends = intervals.of_median(known) if independent else None
    return number(median(values)) + (f" [{number(ends[0])}, {number(ends[1])}]" if ends else "")


def setting(value: Scalar) -> str:
    return number(value) if isinstance(value, float) else visible(as_typed(value))


def short(key: str) -> str:
    """Return a setting's last word: learning_rate for optimizer.learning_rate."""
    return key.rsplit(".", 1)[-1]


# why replicates that are copies decide nothing
COPIES = "the replicates are copies of one network, since nothing that differs changes anything (replicates.vary=[init,order] does)"


def capitalised(text: str) -> str:
    """Return a text as the beginning of a sentence; `str.capitalize` would write the rest in small letters."""
    return f"{text[:1].upper()}{text[1:]}"


def listed(words: Sequence[str]) -> str:
    """Join words for a sentence: init, order and data."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def settings_text(params: Mapping[str, Scalar]) -> str:
    """Return sampled settings in a line: adam, learning_rate 0.003, batch_size 32."""
    # the choice of a group, such as the optimizer, speaks for itself
    return ", ".join(
        setting(value) if "." not in key and isinstance(value, str) else f"{short(key)} {setting(value)}"
        for key, value in params.items()
    )


def pairs_text(gap: PairedDifference) -> str:
    """Return the replicates that a difference is over, and the splits that these share, if they do."""
    replicates = f"{gap.replicates} paired replicate{'s' * (gap.replicates > 1)}"
    return replicates + (f" on {gap.pairs} split{'s' * (gap.pairs > 1)}" if gap.pairs < gap.replicates else "")


def fewest_text(gap: PairedDifference) -> str:
    """Return how many replicates or splits there are where more are needed, and the setting that would do."""
    share = -(-gap.replicates // gap.pairs)
    what = "splits" if share > 1 else "replicates"
    counted = f"{gap.pairs} {what if gap.pairs > 1 else what[:-1]}"
    return f"{counted}, where at least {FEWEST} that differ are needed (replicates.count={8 * share})"


def loss_text(summary: Summary) -> str:
    """Return the mean validation loss, with half its 95% interval, if it has one."""
    return interval_text(summary.val_loss_mean, summary.val_loss_halfwidth)


def loss_over_text(summary: Summary) -> str:
    """Return the mean validation loss as `loss_text` does, and what the numbers are."""
    count = len(summary.val_losses)
    kind = "mean ± 95% interval" if rounding.has_spread(summary.val_loss_halfwidth) else "mean"
    return loss_text(summary) + (f" ({kind} over {count} replicates)" if count > 1 else "")


def scores_text(summary: Summary) -> str:
    """Return a trial's scores as means over its replicates, and its decision threshold; "" where it has none."""
    scores = [f"{NAMES.get(name, name)} {score_text(summary, name)}" for name in summary.scores]
    return ", ".join(scores if summary.threshold is None else [*scores, f"decision threshold {number(summary.threshold)}"])


def labels_text(summary: Summary) -> str:
    verb = "predicts" if summary.one_class == 1 else "predict"
    one_class = f"{summary.one_class} of {len(summary.val_losses)} {verb} one class only" if summary.one_class else ""
    return ", ".join(filter(None, (summary.labels_text, one_class)))


def aligned_text(summary: Summary) -> str:
    """Return the distance after matching neurons, and its share of the same distance between fresh networks."""
    if summary.aligned is None or not summary.null:
        return "–"
    return f"{number(summary.aligned)} ({summary.aligned / summary.null:.0%})"


def ranked(records: Sequence[TrialRecord], objective: Objective, winner: int | None = None) -> list[TrialRecord]:
    """Return the completed trials: the winner of a race, then by their means, best first. objective: the study's first."""
    done = [record for record in records if record.state == "complete" and record.value is not None]
    return sorted(done, key=lambda record: (record.number != winner, objective.sign * record.value, record.number))  # type: ignore[operator]


def score_mean(summary: Summary, name: str) -> float | None:
    """Return the mean of a score over the replicates; None where it has none."""
    values = summary.scores.get(name)
    return sum(values) / len(values) if values else None


def score_text(summary: Summary, name: str) -> str:
    """Return the mean over the replicates, an accuracy with that of always predicting the largest class."""
    mean = score_mean(summary, name)
    return "–" if mean is None else number(mean) + majority_text(summary, name)


def majority_text(summary: Summary | None, name: str) -> str:
    known = name == ACCURACY and summary is not None and summary.majority is not None
    return f" (majority {number(summary.majority)})" if known and summary else ""


def value_text(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else number(value)


def markdown(content: Table) -> str:
    lines = [content.columns, tuple("---" for _ in content.columns), *content.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def trial_name(record: TrialRecord) -> str:
    return f"{record.number}: {settings_text(record.params)}" if record.params else f"trial {record.number}"


def label(record: TrialRecord) -> str:
    """Return a trial's number and the values of its settings, for a chart whose caption names them."""
    return " · ".join([f"trial {record.number}", *map(setting, record.params.values())])


def label_text(records: Sequence[TrialRecord]) -> str:
    """Return how to read the labels of trials that have the same settings; "" where there is nothing to explain."""
    keys = {tuple(map(short, record.params)) for record in records}
    return f" Beside a trial's number stand its {listed(next(iter(keys)))}." if len(keys) == 1 and any(keys) else ""


def duration(seconds: float) -> str:
    """Return a duration as text in a readable unit."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.{int(seconds < 597)}f} min"
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours < 71.5 else f"{hours / 24:.0f} days"


def seconds_text(seconds: Mapping[str, float], total: float) -> str:
    """Return the seconds of each phase, with the rest as 'other'."""
    parts = {name: value for name, value in seconds.items() if value >= 0.05}
    parts["other"] = max(0.0, total - sum(seconds.values()))
    return f"{total:.1f} s: " + " · ".join(f"{name} {value:.1f}" for name, value in parts.items())


def size_text(count: float) -> str:
    """Return a number of bytes in the unit that leaves few digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} TB"
