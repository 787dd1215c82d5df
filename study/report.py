"""What a study found: its table, its answer, whether its win is real, and where the time went. Text only; `terminal` draws it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from study import ranking
from study.objectives import LOSS, Objective
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
    """The mean validation loss and its 95 % interval's half-width, if it has one, to the interval's two digits."""
    half = summary.val_loss_halfwidth
    if half is None or not half > 0:
        return number(summary.val_loss_mean, 4)
    decimals = min(8, max(0, 1 - math.floor(math.log10(half))))
    return f"{summary.val_loss_mean:.{decimals}f} ± {half:.{decimals}f}"


def scores_text(summary: Summary) -> str:
    """What else is asked of a trial, as means over its replicates; nothing for targets that give none."""
    return ", ".join(f"{name.upper() if name == 'auc' else name} {_score_text(summary, name)}" for name in summary.scores)


def labels_text(summary: Summary) -> str:
    labels = [f"{count} {name}" for name, count in summary.labels.items()]
    return ", ".join([*labels, *([one_class_text(summary)] if summary.one_class else [])])


def one_class_text(summary: Summary) -> str:
    return f"{summary.one_class} of {len(summary.val_losses)} predict one class only"


def aligned_text(summary: Summary) -> str:
    """The distance after matching neurons, and what share that is of what matching leaves between fresh networks."""
    if summary.aligned is None or not summary.null:
        return "–"
    return f"{number(summary.aligned)} ({summary.aligned / summary.null:.0%})"


def ranked(records: Sequence[TrialRecord], objective: Objective) -> list[TrialRecord]:
    """Completed trials, the best in `objective`, the study's first, before the others."""
    done = [record for record in records if record.state == "complete" and record.value is not None]
    return sorted(done, key=lambda record: (objective.sign * record.value, record.number))  # type: ignore[operator]


def table(records: Sequence[TrialRecord], objectives: Sequence[Objective], front: Collection[int] = ()) -> Table:
    """Completed trials, best first, then those that failed or were pruned, with the reason.

    front: the numbers of the trials that no other beats in every one of several objectives.
    """
    keys = tuple(dict.fromkeys(key for record in records for key in record.params))
    best = ranked(records, objectives[0])
    extra = [place for place, objective in enumerate(objectives) if objective.name != LOSS]
    # the first score says most to a person, unless the search goes by it
    known = [name for record in best if record.summary for name in list(record.summary.scores)[:1] if record.summary.scores[name]]
    scores = [name for name in dict.fromkeys(known) if name not in {objective.name for objective in objectives}]
    done = {record.number for record in best}
    others = [record for record in records if record.number not in done]
    rows = []
    for record in [*best, *others]:
        summary = record.summary
        if summary:
            numbers = (number(summary.distance), aligned_text(summary), number(summary.disagreement))
            found = (loss_text(summary), *(_score_text(summary, name) for name in scores), labels_text(summary), *numbers)
        else:
            found = ("–", *("–" for _ in scores), record.reason or record.state, "–", "–", "–")
        settings = (setting(record.params[key]) if key in record.params else "–" for key in keys)
        values = [
            _value_text(record.values[place]) + _majority_text(summary, objectives[place].name) if record.values else "–"
            for place in extra
        ]
        rows.append((str(record.number), *settings, *values, *found, *(["●" * (record.number in front)] if front else [])))
    found_columns = ("val loss", *scores, "convergence", "distance", "aligned", "disagreement", *(["front"] if front else []))
    return Table(("trial", *map(short, keys), *(objectives[place].name for place in extra), *found_columns), tuple(rows))


def _score_text(summary: Summary, name: str) -> str:
    """The mean over the replicates, an accuracy beside that of predicting the largest class always."""
    found = summary.scores.get(name)
    return number(sum(found) / len(found)) + _majority_text(summary, name) if found else "–"


def _majority_text(summary: Summary | None, name: str) -> str:
    known = name == "accuracy" and summary is not None and summary.majority is not None
    return f" (majority {number(summary.majority)})" if known and summary else ""


def _value_text(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else number(value)


def markdown(content: Table) -> str:
    lines = [content.columns, tuple("---" for _ in content.columns), *content.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def answer(records: Sequence[TrialRecord], objective: Objective, settings: Mapping[str, str]) -> str:
    """Does the MLP converge to a single, stable value? Two sentences about the best trial's replicates.

    settings: the study's fixed settings, in `spec.flat`'s form.
    """
    best = ranked(records, objective)
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
    apart, unrelated = number(summary.distance), "about 1.41"
    if summary.aligned is not None:
        apart += f", and {number(summary.aligned)} after matching their neurons,"
        unrelated += f" and {number(summary.null)}"
    verdict = f" Verdict: {summary.verdict}." if summary.verdict else ""
    r2 = summary.scores.get("r2", [])
    if r2 and sum(r2) <= 0:
        verdict += f" No better than predicting the mean: R² is {number(sum(r2) / len(r2))}, so that nothing general was learned."
    return (
        f"No, not to one point: the {count} replicates of the best setting, {who}, which differ only in {varied}, end {apart} "
        f"apart in weight space (relative L2; unrelated networks: {unrelated}), with {summary.distinct} different fingerprints. "
        f"What they reach is a tolerance: {reached}, where {differ} and {converged}.{verdict}"
    )


def choice(records: Sequence[TrialRecord], objective: Objective) -> ranking.Choice | None:
    """Which trials may be the best one, of those with as many replicates as it has; None for fewer than two, and for crossed ones,
    which aren't independent.

    The best is picked by the values that it is then compared by, hence Bonferroni's confidence.
    """
    done = {
        record.number: objective.of_replicates(record.summary)
        for record in ranked(records, objective)
        if record.summary and not record.summary.blame
    }
    count = len(next(iter(done.values()), ()))
    paired = {number: losses for number, losses in done.items() if len(losses) == count}
    if len(paired) < 2 or count == 0:
        return None
    return ranking.choose(paired, objective.direction, confidence=1 - 0.05 / (len(paired) - 1))


def choice_text(found: ranking.Choice | None) -> str:
    """Whether the best trial's win is more than seed noise, and what would decide it; nothing for fewer than two trials."""
    if found is None:
        return ""
    how = f"over {found.replicates} paired replicates, P(better) against each other setting"
    if found.decided:
        return f"The win is real: trial {found.best} is better than every other setting ({how})."
    others = [str(number) for number in found.tied if number != found.best]
    named = ", ".join(others[:10]) + (f" and {len(others) - 10} more" if len(others) > 10 else "")
    more = f"{found.needed} replicates are needed to tell" if found.replicates < found.needed else "they may be equal"
    return (
        f"The win may be seed noise: trial {found.best} has the best mean, but can't be told from trial{'s' * (len(others) > 1)} "
        f"{named} ({how}); {more}."
    )


def win_text(found: ranking.Choice | None, front: Sequence[int], objectives: Sequence[Objective]) -> str:
    """Whether the best trial's win is more than seed noise, and the Pareto front of several objectives."""
    return " ".join(filter(None, (choice_text(found), front_text(front, objectives))))


def finals_text(finals: Sequence[TrialRecord], objective: Objective) -> str:
    """What the finalists' fresh replicates say: nothing picked them, so that they flatter none."""
    found = choice(finals, objective)
    if found is None:
        return ""
    replicates = f"With {found.replicates} fresh replicates each"
    if found.decided:
        return f"{replicates}, trial {found.best} is better than every other finalist: it is the winner."
    others = ", ".join(str(number) for number in found.tied if number != found.best)
    return f"{replicates}, trial {found.best} has the best mean, and still can't be told from {others}: choose by cost."


def front_text(front: Sequence[int], objectives: Sequence[Objective]) -> str:
    """The Pareto front of several objectives; nothing for one."""
    if len(objectives) < 2 or not front:
        return ""
    names = ", ".join(f"{each.name} ({'least' if each.sign > 0 else 'most'})" for each in objectives)
    trials = ", ".join(map(str, front))
    return f"Pareto front of {names}: no trial beats trial{'s' * (len(front) > 1)} {trials} in all of them at once."


def trial_name(record: TrialRecord) -> str:
    return f"{record.number}: {settings_text(record.params)}" if record.params else f"trial {record.number}"


def seconds_text(seconds: Mapping[str, float], total: float) -> str:
    """Where the time went, with what no phase accounts for as 'other'."""
    parts = {name: value for name, value in seconds.items() if value >= 0.05}
    parts["other"] = max(0.0, total - sum(seconds.values()))
    return f"{total:.1f} s: " + " · ".join(f"{name} {value:.1f}" for name, value in parts.items())


def size_text(count: float) -> str:
    """Bytes, in the unit that leaves few digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} TB"
