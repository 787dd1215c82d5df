"""Sections on causes: the effect of the one setting that a study varies, and the share of each source of randomness."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from study.records.outcome import Blame
from study.reporting import narrative
from study.reporting.factor_tables import FactorComparison
from study.reporting.pages.charts import causes
from study.reporting.pages.charts.style import UNRELATED_TEXT
from study.reporting.pages.page import Chart, Listing, Section

MOST_BLAMED = 6


def factor(comparison: FactorComparison | None) -> Section:
    """Return what one setting, or each source of randomness, does to the networks; empty without a comparison."""
    if comparison is None:
        return Section("")
    name, answer, effect = comparison.name.replace("_", " "), comparison.answer, comparison.effect
    if effect:
        differences, measured = causes.differences(effect)
        charts = [
            Chart(
                f"{comparison.quantity} by {name}",
                causes.levels(effect, comparison.name, comparison.quantity),
                answer,
                "Each line joins one replicate's values: the same start under every setting.",
            ),
            Chart(
                measured,
                differences,
                answer,
                f"How much of the difference is due to the setting, and how much to a restart. {UNRELATED_TEXT.capitalize()}.",
            ),
        ]
    else:
        spreads = comparison.spreads
        charts = [
            Chart("Distance of the weights", causes.spreads(spreads, functions=False), answer, f"Relative L2; {UNRELATED_TEXT}.")
        ]
        if all(spread.disagreement is not None for spread in spreads):
            functions = causes.spreads(spreads, functions=True)
            charts.append(Chart("Disagreement of the functions", functions, answer, f"On the validation part ({comparison.kind})."))
    title = f"Effect of {name}" if effect else "Effect of each source of randomness"
    return Section(title, [answer], charts, [Listing("", comparison.table)])


def blame(trials: Mapping[str, Sequence[Blame]]) -> Section:
    """Return the share of each source of randomness in the spread of crossed trials, by name; empty without such trials."""
    title = "Sources of randomness"
    if not trials:
        return Section(title)
    table, answer = narrative.blame_tables(trials)
    drawn = dict(itertools.islice(trials.items(), MOST_BLAMED))
    caption = "Each source's share of the variance, with its 95% interval. × marks what two sources do only together."
    chart = Chart("Shares of the variance", causes.shares(drawn), answer, caption, wide=True)
    return Section(title, answer.splitlines(), [chart], [Listing("", table)])
