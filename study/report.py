"""What a study found: its table, its answer, and where the time went. Text and records only; `terminal` draws them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study import ranking
from study.objectives import LOSS, Objective
from study.records import Blame, Scalar, Summary, TrialRecord

if TYPE_CHECKING:  # a start loads little
    from study.effects import SettingEffect
    from study.factor import Effect, Pair, Spread


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
    return ", ".join(f"{count} {name}" for name, count in summary.labels.items())


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
        values = [_value_text(record.values[place]) if record.values else "–" for place in extra]
        rows.append((str(record.number), *settings, *values, *found, *(["●" * (record.number in front)] if front else [])))
    found_columns = ("val loss", *scores, "convergence", "distance", "aligned", "disagreement", *(["front"] if front else []))
    return Table(("trial", *map(short, keys), *(objectives[place].name for place in extra), *found_columns), tuple(rows))


def _score_text(summary: Summary, name: str) -> str:
    found = summary.scores.get(name)
    return number(sum(found) / len(found)) if found else "–"


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


def effects_table(found: Sequence[SettingEffect]) -> Table:
    """What each setting does to the loss, beside the seeds."""
    rows = [
        (
            short(each.key),
            "–" if each.importance is None else f"{each.importance:.0%}",
            number(each.effect),
            number(each.noise),
            "below the noise" if each.below_noise else "",
        )
        for each in found
    ]
    return Table(("setting", "importance", "SD of the loss between its values", "seed noise of a mean", ""), tuple(rows))


EFFECTS_FOOT = (
    "Importance asks what sets the best trials apart (PED-ANOVA), the SD what a setting does on average over all trials: one whose "
    "best value lies in the middle can have the first without the second. With few trials both are rough."
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


def blame_table(found: Sequence[Blame]) -> Table:
    """Each source's share of each quantity's variance, with its interval."""

    def cell(share: float, low: float, high: float) -> str:
        return f"{share:.0%} [{low:.0%}, {high:.0%}]"

    rows = [(source, *(cell(*each.shares[source]) for each in found)) for source in found[0].shares]
    if any(each.ulp is not None for each in found):
        floors = ("–" if each.ulp is None else f"{each.ulp:.0%}" if each.ulp > 0.005 else number(each.ulp, 2) for each in found)
        rows.append(("one ulp (noise floor)", *floors))
    rows.append(("SD of all together", *(number(each.total_sd) for each in found)))
    return Table(("share of the variance", *(each.of for each in found)), tuple(rows))


def blame_answer(found: Sequence[Blame]) -> str:
    """Which source is to blame for what, with the numbers, or that it can't be told."""
    sentences = []
    for each in found:
        if not each.total_sd:
            sentences.append(f"The {each.of} don't differ at all.")
            continue
        ranked_shares = sorted(each.shares.items(), key=lambda item: -item[1][0])
        (source, (share, low, high)), (rival, (_, _, rivals_high)) = ranked_shares[:2]
        who = source.replace(" × ", " and ") + (" in interaction" if "×" in source else "")
        told = f"{who} {'are' if '×' in source else 'is'} to blame for {share:.0%} [{low:.0%}, {high:.0%}]"
        if low <= rivals_high:
            told = f"the largest share is that of {who}, {share:.0%} [{low:.0%}, {high:.0%}], but {rival} may have as much"
        sentences.append(f"Of what differs in the {each.of}, {told}.")
    floors = {each.of: each.ulp for each in found if each.ulp is not None}
    loud = {of: "more than all" if floor > 1 else f"{floor:.0%}" for of, floor in floors.items() if floor > 0.05}
    if loud:
        told = ", ".join(f"{share} of that of the {of}" for of, share in loud.items())
        text = f"One unit in the last place of one weight of the first cell makes a spread of {told}: there, any cause will do."
        sentences.append(text)
    elif floors:
        sentences.append("One unit in the last place of one weight makes next to nothing of any of it: none of this is rounding.")
    return " ".join(sentences)


def blame_tables(trials: Mapping[str, Sequence[Blame]]) -> tuple[Table, str]:
    """The tables of several trials as one, and their answers. Trials may be crossed differently."""
    tables = {name: blame_table(found) for name, found in trials.items()}
    head = next(iter(tables.values())).columns[0]
    columns = list(dict.fromkeys(column for table in tables.values() for column in table.columns[1:]))
    rows = []
    for name, table in tables.items():
        for place, row in enumerate(table.rows):
            cells = dict(zip(table.columns, row, strict=True))
            rows.append(("" if place else name, row[0], *(cells.get(column, "–") for column in columns)))
    answer = "\n".join(f"{name}: {blame_answer(found)}" for name, found in trials.items())
    return Table(("trial", head, *columns), tuple(rows)), answer


def blamed(records: Sequence[TrialRecord], objective: Objective) -> dict[str, Sequence[Blame]]:
    """The blame of each crossed trial by its name, best first."""
    done = ranked(records, objective)
    return {trial_name(record): record.summary.blame for record in done if record.summary and record.summary.blame}


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
