"""Explains in words and tables why networks differ: by each setting, by one varied factor, and by each source of randomness."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from study.analysis.distance import UNRELATED_TEXT
from study.records.outcome import Blame
from study.records.trial import TrialRecord
from study.reporting.report import (
    COPIES,
    Table,
    fewest_text,
    interval_text,
    listed,
    number,
    pairs_text,
    ranked,
    short,
    trial_name,
)
from study.statistics.objectives import Objective
from study.statistics.ranking import FEWEST

if TYPE_CHECKING:  # a start loads little
    from study.analysis.controlled_comparison import Effect, Spread
    from study.statistics.setting_effects import SettingEffect


def effects_table(effects: Sequence[SettingEffect], objective: Objective) -> Table:
    """Tabulate each setting's effect on the objective, beside chance."""
    rows = [
        (short(setting.key), number(setting.effect), number(setting.chance), "shown" if setting.shown else "not shown")
        for setting in effects
    ]
    return Table(("setting", f"SD of the {objective.quantity} between its values", "by chance, at most", "effect"), tuple(rows))


def effects_foot(objective: Objective) -> str:
    return (
        f"The SD is that of the mean {objective.quantity} of trials with one value of the setting; more than three numbers are cut "
        "into three groups of about as many trials each. With other settings and other seeds, chance alone moves these means; an "
        "effect is shown where the SD is larger than chance makes it in 95% of studies."
    )


def factor_table(effect: Effect, quantity: str, raced: bool = False) -> Table:
    """Tabulate every pair of levels: how much of their networks' difference is due to the levels, and how much to a restart.

    raced: a race compares the levels by the objective, by a rule of its own.
    """
    rows = []
    for pair in effect.pairs:
        means = (pair.summed, pair.relative_l2, pair.disagreement)
        three = [
            " / ".join(number(value) for value in (distance.as_written, distance.restarted, distance.controlled))
            if distance
            else "–"
            for distance in means
        ]
        gap = interval_text(pair.difference.mean, pair.difference.halfwidth) + ("" if pair.difference.shown else " (not shown)")
        rows.append((f"{pair.first} – {pair.second}", *three, *([] if raced else [gap])))
    written = "Σ|a − b|: as written / restarted / controlled"
    together = "95% jointly" if len(effect.pairs) > 1 else "95%"
    columns = ["pair", written, "relative L2", "disagreement"]
    return Table((*columns, *([] if raced else [f"difference in {quantity}, {together}"])), tuple(rows))


def factor_answer(
    effect: Effect, name: str, objective: Objective, differ: Sequence[str], kinds: bool = False, raced: bool = False
) -> str:
    """Return the factor's effect on the final weights, on the function and on the objective, with the numbers.

    differ: the sources in which the replicates of a level differ, which restarts change. kinds: whether the levels are kinds, such
    as optimizers, with settings of their own. raced: a race compares them by the objective.
    """

    def mean(values: Iterable[float | None]) -> float:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else math.nan

    sentences = []
    distances = [pair.relative_l2 for pair in effect.pairs]
    sums = [pair.summed for pair in effect.pairs]
    levels, sources = f"the {len(effect.levels)} settings of {name}", listed(differ)
    restarts = bool(differ) and effect.values.shape[1] > 1
    weights = [distance for distance in distances if distance]
    if len(weights) == len(effect.pairs):
        alone = number(mean(distance.controlled for distance in weights))
        if restarts:
            written, restarted = (
                mean(getattr(distance, way) for distance in sums if distance) for way in ("as_written", "restarted")
            )
            where = (
                "As written, where every model starts elsewhere" if "init" in differ else f"With another {sources} for every model"
            )
            share = f" ({restarted / written:.0%} of it)" if written else ""
            sentences.append(
                f"{where}, {levels} end a summed |a − b| of {number(written)} apart; networks of one and the same setting that "
                f"differ in {sources} end {number(restarted)} apart{share}."
            )
        controlled = number(mean(distance.controlled for distance in sums if distance))
        same = f"the same seeds and each {name}'s own settings" if kinds else "every other seed and setting the same"
        sentences.append(
            f"Controlled, with {same}, {levels} end {controlled} apart (relative L2 {alone}; "
            f"{UNRELATED_TEXT}): that is what {name} does to the weights."
        )
    functions = [pair.disagreement for pair in effect.pairs if pair.disagreement]
    if len(weights) < len(effect.pairs):
        left = listed([*(["the functions"] if functions else []), *([] if raced else [f"the {objective.quantity}"])])
        sentences.append(f"The weights of {levels} have different shapes, so that only {left} can be compared.")
    if functions:
        apart = number(mean(disagreement.controlled for disagreement in functions))
        text = f"As functions they differ by {apart} (disagreement, controlled)"
        if restarts:
            apart = number(mean(disagreement.restarted for disagreement in functions))
            text += f", and networks of one setting that differ in {sources} by {apart}"
        sentences.append(f"{text}.")
    if raced:
        return " ".join(sentences)
    means = objective.sign * effect.values.mean(axis=1)
    best = effect.levels[int(means.argmin())]
    fewest = min((pair.difference for pair in effect.pairs), key=lambda gap: gap.pairs)
    shown = [pair for pair in effect.pairs if pair.difference.shown]
    quantity = objective.quantity
    which = "the two are" if len(effect.pairs) == 1 else f"{len(shown)} of {len(effect.pairs)} pairs of settings are"
    if effect.copies:
        sentences.append(f"Their {quantity} isn't compared: {COPIES}.")
    elif fewest.pairs < FEWEST:
        sentences.append(f"Too few replicates to compare their {quantity}: {fewest_text(fewest)}.")
    elif not shown:
        none = "They aren't" if len(effect.pairs) == 1 else "No two of them are"
        sentences.append(f"{none} shown to differ in {quantity}: the interval of every difference includes zero.")
    else:
        sentences.append(
            f"The {objective.best} mean {quantity} is that of {best}; {which} shown to differ, over {pairs_text(fewest)}."
        )
    return " ".join(sentences)


def sources_table(spreads: Sequence[Spread], quantity: str) -> Table:
    """Tabulate how far the replicates are apart for each choice of varied sources."""
    rows = [
        (spread.level, number(spread.summed), number(spread.relative_l2), number(spread.disagreement), number(spread.value_sd))
        for spread in spreads
    ]
    return Table(("what differs", "Σ|a − b|", "relative L2", "disagreement", f"SD of the {quantity}"), tuple(rows))


def sources_answer(spreads: Sequence[Spread], quantity: str, replicates: int) -> str:
    """Return which source of randomness moves the weights, and which the function."""
    weights = sorted(spreads, key=lambda spread: -spread.relative_l2)
    parts = [f"{number(spread.relative_l2)} apart where {spread.level} differs" for spread in weights]
    text = f"{replicates} replicates of one setting end {', '.join(parts)} (relative L2, mean of the pairs; {UNRELATED_TEXT})."
    functions = [spread for spread in spreads if spread.disagreement is not None]
    if functions:
        apart = ", ".join(f"{number(spread.disagreement)} ({spread.level})" for spread in functions)
        text += f" As functions they differ by {apart}, and in {quantity} by an SD of " + ", ".join(
            f"{number(spread.value_sd)} ({spread.level})" for spread in spreads
        )
        text += "."
    return text


def blame_table(blames: Sequence[Blame]) -> Table:
    """Tabulate each source's share of each quantity's variance, with its interval."""

    def cell(share: float, low: float, high: float) -> str:
        return f"{share:.0%} [{low:.0%}, {high:.0%}]"

    rows = [(source, *(cell(*blame.shares[source]) for blame in blames)) for source in blames[0].shares]
    if any(blame.ulp is not None for blame in blames):
        floors = (
            "–" if blame.ulp is None else f"{blame.ulp:.0%}" if blame.ulp > 0.005 else number(blame.ulp, 2) for blame in blames
        )
        rows.append(("one ulp (noise floor)", *floors))
    rows.append(("SD of all together", *(number(blame.total_sd) for blame in blames)))
    return Table(("share of the variance", *(blame.of for blame in blames)), tuple(rows))


def blame_answer(blames: Sequence[Blame]) -> str:
    """Return which source is to blame for which spread, with the numbers, or that this isn't decided."""
    sentences = []
    for blame in blames:
        if not blame.total_sd:
            sentences.append(f"The {blame.of} don't differ at all.")
            continue
        ranked_shares = sorted(blame.shares.items(), key=lambda item: -item[1][0])
        (source, (share, low, high)), (rival, (_, _, rivals_high)) = ranked_shares[:2]
        who = source.replace(" × ", " and ") + (" in interaction" if "×" in source else "")
        result = f"{who} {'are' if '×' in source else 'is'} to blame for {share:.0%} [{low:.0%}, {high:.0%}]"
        if low <= rivals_high:
            result = f"the largest share is that of {who}, {share:.0%} [{low:.0%}, {high:.0%}], but {rival} may have as much"
        sentences.append(f"Of what differs in the {blame.of}, {result}.")
    floors = {blame.of: blame.ulp for blame in blames if blame.ulp is not None}
    loud = {of: "more than all" if floor > 1 else f"{floor:.0%}" for of, floor in floors.items() if floor > 0.05}
    if loud:
        shares = ", ".join(f"{share} of that of the {of}" for of, share in loud.items())
        text = f"One unit in the last place of one weight of the first cell makes a spread of {shares}: there, any cause will do."
        sentences.append(text)
    elif floors:
        sentences.append("One unit in the last place of one weight makes next to nothing of any of it: none of this is rounding.")
    return " ".join(sentences)


def blame_tables(trials: Mapping[str, Sequence[Blame]]) -> tuple[Table, str]:
    """Join the tables of several trials, and their answers. Trials may be crossed differently."""
    tables = {name: blame_table(blames) for name, blames in trials.items()}
    head = next(iter(tables.values())).columns[0]
    columns = list(dict.fromkeys(column for table in tables.values() for column in table.columns[1:]))
    rows = []
    for name, table in tables.items():
        for index, row in enumerate(table.rows):
            cells = dict(zip(table.columns, row, strict=True))
            rows.append(("" if index else name, row[0], *(cells.get(column, "–") for column in columns)))
    answer = "\n".join(f"{name}: {blame_answer(blames)}" for name, blames in trials.items())
    return Table(("trial", head, *columns), tuple(rows)), answer


def blamed(records: Sequence[TrialRecord], objective: Objective) -> dict[str, Sequence[Blame]]:
    """Return the blame of each crossed trial by its name, best first."""
    done = ranked(records, objective)
    return {trial_name(record): record.summary.blame for record in done if record.summary and record.summary.blame}
