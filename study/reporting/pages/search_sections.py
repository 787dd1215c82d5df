"""Sections on a study's search: the winner and its rivals, the effects of the settings, and all trials."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from study.records.trial import TrialRecord
from study.reporting import decisions, narrative, report, trials_table, wins
from study.reporting.pages.charts import races, search, trials
from study.reporting.pages.page import Chart, Listing, Section
from study.reporting.study_results import Findings
from study.statistics import intervals

MOST_RIVALS, MOST_DESCRIBED = 20, 5
FEW_VALUES = 3  # a setting with fewer makes a poor axis


def race(findings: Findings) -> Section:
    """Return the race: each rival's paired difference from the winner, beside the margin, and the replicates that it took."""
    decision, title = findings.decision, "The race"
    if decision is None or decision.winner is None or not decision.claims:
        return Section(title)
    nearest = sorted(decision.claims, key=lambda trial: decision.claims[trial].difference)
    leader = "winner" if decision.decided else "leader"
    ranked = {record.number: record for record in findings.ranked}
    rivals = [
        races.Contender(
            name(ranked[trial]),
            report.label(ranked[trial]),
            *decisions.difference(decision.claims[trial], findings.objective),
            decision.claims[trial].kind,
            decision.used[trial],
            [name(ranked[trial]), *_settings_lines(ranked[trial])],
        )
        for trial in nearest[:MOST_RIVALS]
    ]
    best = ranked[decision.winner]
    quantity = f"{findings.objective.quantity} minus {name(best)}'s"
    figure = races.race(rivals, (name(best), report.label(best)), decision.used[best.number], decision.delta, quantity)
    described = "; ".join(f"{rival.name}: {report.number(rival.difference)}" for rival in rivals[:MOST_DESCRIBED])
    caption = (
        f"Each rival's mean difference from the {leader} over pairs of replicates; the intervals hold for all rivals together. "
        f"The band is the margin, ±{report.number(decision.delta)}: differences inside it don't matter. Intervals may reach "
        "past it, being wider than the decision needs. The bars count replicates: a rival gets more only while it may win. "
        f"Rivals that are far off lie beyond the edge.{report.label_text([best])}"
    )
    if len(nearest) > MOST_RIVALS:
        caption += f" These are the {MOST_RIVALS} nearest of {len(nearest)} rivals."
    chart = Chart(f"Rivals compared with the {leader}", figure, f"{quantity}: {described}.", caption, wide=True)
    foot = f"The intervals hold jointly. “Not better” means not by more than the margin, {report.number(decision.delta)}."
    table = decisions.rivals_table(decision, findings.objective, nearest)
    return Section(title, [findings.decided[1]], [chart], [Listing("Rivals in numbers, nearest first", table, foot)])


def rivals(findings: Findings) -> Section:
    """Return the best trials with their intervals, and which of them may be as good as the winner."""
    if not findings.best:
        return Section("")
    shown = findings.ranked[:MOST_RIVALS]
    objective, quantity, decided = findings.objective, findings.objective.quantity, findings.choice is not None
    drawn = [_rival(findings, record) for record in shown if record.summary]
    described = "; ".join(f"{name(record)}: {report.number(record.value, 4)}" for record in shown[:MOST_DESCRIBED])
    alt = f"The {len(shown)} best trials by {quantity}. {described}"
    caption = "Small dots are replicates, large ones their mean"
    if not any(rival.halfwidth is not None for rival in drawn):
        caption += ". There is no interval: it takes several replicates with independent seeds."
    else:
        caption += " with its 95% interval"
        caption += f". Orange: the {objective.best} mean; blue: may be as good, by the paired differences; grey: worse." * decided
        caption += "." * (not decided)
    if len(findings.ranked) > len(shown):
        caption += f" These are the {len(shown)} best of {len(findings.ranked)} completed trials."
    caption += report.label_text(shown)
    chart = Chart(f"{quantity} with intervals", trials.rivals(drawn, quantity), alt, caption, wide=True)
    return Section("Winner and rivals" if decided else "Trials side by side", [findings.win] if findings.win else [], [chart])


def _rival(findings: Findings, record: TrialRecord) -> trials.Rival:
    assert record.summary is not None
    values = findings.objective.of_replicates(record.summary) or [record.value or 0.0]
    # crossed replicates share seeds, so their mean has no interval
    alone = len(values) < 2 or bool(record.summary.blame)
    tied = findings.choice.tied if findings.choice else ()
    return trials.Rival(
        name(record),
        report.label(record),
        values,
        None if alone else intervals.mean_halfwidth(values),
        "best" if record is findings.best else "tied" if record.number in tied else "worse",
        [
            f"{name(record)}: {findings.objective.quantity} {report.number(record.value, 4)}",
            *_settings_lines(record),
        ],
    )


def _settings_lines(record: TrialRecord) -> list[str]:
    return [f"{report.short(key)} {report.setting(value)}" for key, value in record.params.items()]


def name(record: TrialRecord) -> str:
    return f"trial {record.number}"


def settings(findings: Findings) -> Section:
    """Return the effects of the settings on the objective, and the space that was searched."""
    tables = []
    if findings.effects:
        effects = narrative.effects_table(findings.effects, findings.objective)
        tables.append(Listing("Mean effect of each setting", effects, narrative.effects_foot(findings.objective)))
    if findings.space:
        tables.append(Listing("Search space", report.Table(("setting", "values"), tuple(findings.space.items()))))
    charts = list(_settings_charts(findings)) if len(findings.ranked) > 1 else []
    return Section("Effects of the settings", charts=charts, tables=tables)


def _settings_charts(findings: Findings) -> Iterator[Chart]:
    done, objective, quantity = findings.ranked, findings.objective, findings.objective.quantity
    in_order = sorted(done, key=lambda record: record.number)
    less_is_better = objective.sign > 0
    if findings.effects:
        hidden = ", ".join(report.short(setting.key) for setting in findings.effects if not setting.shown)
        not_shown = f" Not shown: {hidden}." if hidden else ""
        yield Chart(
            "Effect of each setting, beside chance",
            search.effects(findings.effects, quantity),
            f"SD of the {quantity} between each setting's values, and the largest that chance explains.{not_shown}",
            f"The mark across a bar is the largest effect that chance explains. Grey bars do not exceed it.{not_shown}",
        )
    yield Chart(
        "Best so far, by trial",
        trials.history([record.number for record in in_order], _values(in_order), less_is_better, quantity),
        f"The {quantity} of each trial and the best so far.",
        f"Trials in the order in which the search proposed them. {_last_gain(in_order, less_is_better)}",
    )
    yield from _by_time(done, less_is_better, quantity)
    yield from _by_pair(findings, less_is_better)
    # some only failed trials may have, or all trials as null
    keys = [key for key in findings.keys if any(record.params.get(key) is not None for record in done)]
    if keys:
        columns = {key: [record.params.get(key) for record in done] for key in keys}
        yield Chart(
            "Parallel coordinates",
            search.parallel(columns, _values(done), quantity, less_is_better),
            f"One line for each of {len(done)} trials through its settings to its {quantity}, as in the table of trials.",
            "Orange is best, grey worst. Drag along an axis to select a range, or drag its name to move it.",
            wide=True,
        )
    for key in keys:
        chosen = [record for record in in_order if key in record.params]
        column, numbers = [record.params[key] for record in chosen], [record.number for record in chosen]
        title = report.short(key).replace("_", " ")
        yield Chart(
            title,
            search.setting_slice(column, _values(chosen), numbers, done[0].number, quantity),
            f"The {quantity} of each trial by {title}.",
            f"{key}. The ring marks the best trial; later trials are darker.",
        )
    names = [objective.name for objective in findings.objectives]
    by_number = {record.number: record.values for record in done}
    front = wins.front_text(findings.front, findings.objectives)
    for x, y in itertools.combinations(range(len(names)), 2):
        figure = trials.front(by_number, x, y, names, findings.front)
        yield Chart(f"{names[x]} against {names[y]}", figure, front, front, wide=True)


def _last_gain(in_order: list[TrialRecord], less_is_better: bool) -> str:
    """Return how many trials ago the best one came, in a sentence: whether more trials may help."""
    values = _values(in_order)
    since = len(values) - 1 - values.index((min if less_is_better else max)(values))
    return f"The last {since} of {len(values)} brought nothing better." if since else "The last one is the best."


def _by_time(done: list[TrialRecord], less_is_better: bool, quantity: str) -> Iterator[Chart]:
    """Draw the best so far by seconds; earlier versions didn't record when trials ended."""
    timed = [(record.ended, record) for record in done if record.ended and record.started]
    if len(timed) == len(done):
        start = min(record.started for record in done if record.started)
        timed.sort(key=lambda each: each[0])
        values = _values([record for _, record in timed])
        yield Chart(
            "Best so far, by time",
            trials.history([end - start for end, _ in timed], values, less_is_better, quantity, "seconds"),
            f"The {quantity} of each trial by the time at which it ended, and the best so far.",
            "Seconds from the start of the first trial to the end of each; later replicates of a race come after all of them.",
        )


def _by_pair(findings: Findings, less_is_better: bool) -> Iterator[Chart]:
    """Draw the trials by the two settings with the largest effects, those that take many values first."""
    effects = [setting.key for setting in findings.effects] or findings.keys
    values = {key: {record.params.get(key) for record in findings.ranked} for key in effects}
    chosen = sorted(effects, key=lambda key: (len(values[key]) < FEW_VALUES, effects.index(key)))[:2]
    both = [record for record in findings.ranked if all(key in record.params for key in chosen)]
    if len(chosen) < 2 or len(both) < FEW_VALUES:
        return
    names = [report.short(key).replace("_", " ") for key in chosen]
    best = findings.best.number if findings.best else None
    first, second = ((name, [record.params[key] for record in both]) for name, key in zip(names, chosen, strict=True))
    yield Chart(
        " and ".join(names),
        search.pair(first, second, _values(both), [record.number for record in both], less_is_better, best),
        f"The rank of each trial by its {findings.objective.quantity}, by {' and '.join(names)}.",
        "Two of the settings with the largest effects. The colour is the rank of the mean; the diamond is the best trial.",
    )


def _values(records: list[TrialRecord]) -> list[float]:
    return [record.value for record in records if record.value is not None]


def all_trials(findings: Findings) -> Section:
    """Return the table of trials, best first, then those that failed or were pruned with their reasons, and the finalists."""
    title = "All trials"
    if not findings.records:
        return Section(title)
    table, tied = findings.table, {record.number for record in findings.ranked[:1]}
    if findings.decision:
        tied = set(decisions.contenders(findings.decision))
    elif findings.choice:
        tied = set(findings.choice.tied)
    completed = table.rows[: len(findings.ranked)]
    marked = frozenset(index for index, row in enumerate(completed) if int(row[0]) in tied)
    marks = " The best and those that may be as good are marked." if findings.choice or findings.decision else ""
    foot = f"Best first.{marks} Click a heading to sort.{trials_table.same_text(findings.ranked)}"
    tables = [Listing("", table, foot, marked)]
    ended = [record for record in findings.records if record.state in ("failed", "pruned")]
    if ended:
        rows = tuple(
            (str(record.number), record.state, report.settings_text(record.params), record.reason or "no reason recorded")
            for record in ended
        )
        tables.append(Listing("Failed and pruned trials", report.Table(("trial", "state", "settings", "reason"), rows)))
    if findings.finals:
        tables.append(Listing("Finalists, retrained", trials_table.table(findings.finals, [findings.objective])))
    return Section(title, tables=tables)
