"""What a study found: its table, its answer, and where the time went. Text and records only; `terminal` draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from study.factor import Effect, Pair, Spread
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
    vary = str(record.params.get("replicates.vary", settings.get("replicates.vary", "[]")))
    varied = " and ".join(name.strip(" []'\"()") for name in vary.split(",") if name.strip(" []'\"()")) or "nothing"
    if summary.distinct == 1:
        return (
            f"Yes, bit for bit: the {count} replicates of the best setting, {who}, which differ in {varied}, have the same final "
            f"weights. They reach {reached}, and {converged}."
        )
    if summary.disagreement is None:
        differ = "each was validated on rows of its own"
    elif settings.get("data.task") == "classification":
        differ = f"their predicted classes differ on {summary.disagreement:.1%} of the validation rows"
    else:
        differ = f"their predictions differ by {summary.disagreement:.0%} of the target's standard deviation"
    return (
        f"No, not to one point: the {count} replicates of the best setting, {who}, which differ only in {varied}, end "
        f"{number(summary.distance)} apart in weight space (relative L2; unrelated networks are about 1.41 apart), with "
        f"{summary.distinct} different fingerprints. What they reach is a tolerance: {reached}, where {differ} and {converged}."
    )


def factor_table(found: Effect, quantity: str) -> Table:
    """Every pair of levels: what of their networks' difference is the levels', and what is the restart's."""
    rows = []
    for pair in found.pairs:
        means = (pair.summed, pair.relative_l2, pair.disagreement)
        three = [
            " / ".join(number(value) for value in (each.as_written, each.restarted, each.controlled)) if each else "–"
            for each in means
        ]
        rows.append((f"{pair.first} – {pair.second}", *three, _gap_text(pair)))
    columns = ("pair", "Σ|a − b|: as written / restarted / controlled", "relative L2", "disagreement", f"difference in {quantity}")
    return Table(columns, tuple(rows))


def _gap_text(pair: Pair) -> str:
    if pair.halfwidth is None:
        return number(pair.gap)
    return f"{number(pair.gap)} ± {number(pair.halfwidth, 2)}" + ("" if pair.significant else " (noise)")


def factor_answer(found: Effect, name: str, quantity: str, replicates: int) -> str:
    """What the factor does to the final weights, to the function and to the loss, with the numbers."""

    def mean(values: Iterable[float | None]) -> float:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else math.nan

    sentences = []
    distances = [pair.relative_l2 for pair in found.pairs]
    sums = [pair.summed for pair in found.pairs]
    levels = f"the {len(found.levels)} settings of {name}"
    weights = [each for each in distances if each]
    if len(weights) == len(found.pairs):
        alone = number(mean(each.controlled for each in weights))
        if replicates > 1:
            written, restarted = (mean(getattr(each, way) for each in sums if each) for way in ("as_written", "restarted"))
            sentences.append(
                f"As written, where every model starts elsewhere, {levels} end a summed |a − b| of {number(written)} apart; but "
                f"networks of one and the same setting end {number(restarted)} apart too ({restarted / written:.0%} of it)."
            )
        controlled = number(mean(each.controlled for each in sums if each))
        sentences.append(
            f"Controlled, with every other seed and setting the same, they end {controlled} apart (relative L2 {alone}, where "
            f"unrelated networks are about 1.41 apart): that is what {name} does to the weights."
        )
    else:
        sentences.append(f"The weights of {levels} have different shapes, so that only the functions and losses can be compared.")
    functions = [pair.disagreement for pair in found.pairs if pair.disagreement]
    if functions:
        text = f"As functions they differ by {number(mean(each.controlled for each in functions))} (disagreement, controlled)"
        if replicates > 1:
            text += f", and networks of one setting that start elsewhere by {number(mean(each.restarted for each in functions))}"
        sentences.append(f"{text}.")
    order = [level for _, level in sorted(zip(found.losses.mean(axis=1), found.levels, strict=True))]
    sure = [pair for pair in found.pairs if pair.significant]
    if replicates < 2:
        sentences.append(f"One replicate can't tell whether their {quantity} differs by more than noise (replicates.count=8).")
    elif not sure:
        sentences.append(f"Their {quantity} can't be told apart: every 95 % interval of a difference includes zero.")
    else:
        sentences.append(
            f"The lowest mean {quantity} is that of {order[0]}; {len(sure)} of {len(found.pairs)} pairs differ by more than their "
            f"95 % interval over {replicates} replicates."
        )
    return " ".join(sentences)


def sources_table(found: Sequence[Spread]) -> Table:
    """For each choice of what varies, how far the replicates are apart."""
    rows = [
        (each.level, number(each.summed), number(each.relative_l2), number(each.disagreement), number(each.loss_sd))
        for each in found
    ]
    return Table(("what differs", "Σ|a − b|", "relative L2", "disagreement", "SD of the loss"), tuple(rows))


def sources_answer(found: Sequence[Spread], replicates: int) -> str:
    """Which source of randomness moves the weights, and which the function."""
    weights = sorted(found, key=lambda each: -each.relative_l2)
    parts = [f"{number(each.relative_l2)} apart where {each.level} differs" for each in weights]
    text = (
        f"{replicates} replicates of one setting end {', '.join(parts)} (relative L2, mean of the pairs; unrelated networks are "
        "about 1.41 apart)."
    )
    functions = [each for each in found if each.disagreement is not None]
    if functions:
        apart = ", ".join(f"{number(each.disagreement)} ({each.level})" for each in functions)
        text += f" As functions they differ by {apart}, and their losses by an SD of " + ", ".join(
            f"{number(each.loss_sd)} ({each.level})" for each in found
        )
        text += "."
    return text


def seconds_text(seconds: Mapping[str, float], total: float) -> str:
    """Where the time went, with what no phase accounts for as 'other'."""
    parts = {name: value for name, value in seconds.items() if value >= 0.05}
    parts["other"] = max(0.0, total - sum(seconds.values()))
    return f"{total:.1f} s: " + " · ".join(f"{name} {value:.1f}" for name, value in parts.items())
