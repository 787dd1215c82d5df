"""What a study found, as a page: the answer first, then the evidence, then how to make it again."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.records.trial import TrialRecord
from study.reporting import answers, factor_tables, narrative, report
from study.reporting.answers import SPACE
from study.reporting.pages import charts, page
from study.reporting.pages.page import Chart, Code, Listing, Page, Section
from study.reporting.study_results import Findings, Networks, Shown
from study.statistics import intervals, objectives
from study.statistics.objectives import LOSS

MOST_RIVALS, MOST_BLAMED = 20, 6


def write(found: Findings, networks: Networks, file: Path) -> None:
    """Raises NotWritable."""
    page.write(of(found, networks), file)


def of(found: Findings, networks: Networks) -> Page:
    sections = [
        _rivals(found),
        _curves(networks.shown),
        _factor(networks.factor),
        _blame(found),
        *_networks(networks.shown),
        _search(found),
        _trials(found),
        _again(found),
        _words(),
    ]
    settle = "To settle it, train longer: the command is the first under “How to reproduce this”." if found.answer.command else ""
    return Page(
        title="Does this MLP converge to a single, stable value?",
        subtitle=f"Study {found.name}, on {found.identity.get('data', 'unknown')} data",
        headline=f"{found.answer.headline}.",
        answer=list(filter(None, (found.answer.text, settle, found.win))),
        facts=_facts(found),
        sections=[each for each in sections if not each.empty],
    )


def _facts(found: Findings) -> dict[str, str]:
    states = [record.state for record in found.records]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    facts = {"trials": counted}
    if found.best and found.best.summary:
        summary = found.best.summary
        facts |= {
            "listed first" if objectives.unlike(found.records, found.objective) else "best": f"trial {found.best.number}",
            "validation loss": report.loss_text(summary),
            "replicates": str(len(summary.val_losses)),
            "different fingerprints": f"{summary.distinct} of {len(summary.val_losses)}",
        }
        if found.objective.name != LOSS and found.best.value is not None:
            facts[found.objective.name] = report.value_text(found.best.value)
        if summary.verdict:
            facts["verdict"] = summary.verdict
        if scores := report.scores_text(summary):
            facts["scores"] = scores
        facts["convergence"] = report.labels_text(summary)
        facts["weights of a network"] = f"{summary.parameters:,}"
    return facts


def _rivals(found: Findings) -> Section:
    """The best trials with their intervals, and which of them may be as good as the winner."""
    if not found.best:
        return Section("")
    shown = found.ranked[:MOST_RIVALS]
    objective, quantity = found.objective, _quantity(found)
    values = [objective.of_replicates(each.summary) or [each.value or 0.0] for each in shown if each.summary]
    tied = set(found.choice.tied) if found.choice else set()
    kinds = ["best" if each is found.best else "tied" if each.number in tied else "worse" for each in shown]
    hovers = [charts.escaped(_hover(found, each)).replace("\n", "<br>") for each in shown]
    # where the loss has no interval, as with crossed replicates, nothing has
    lone = [len(of_trial) < 2 or bool(each.summary and each.summary.blame) for each, of_trial in zip(shown, values, strict=True)]
    halfwidths = [None if each else intervals.mean_halfwidth(found_) for each, found_ in zip(lone, values, strict=True)]
    names = [f"trial {each.number}" for each in shown]
    figure = charts.rivals(names, values, halfwidths, kinds, hovers, quantity)
    alt = f"The {len(shown)} best trials by {quantity}. " + "; ".join(
        f"trial {each.number}: {report.number(each.value, 4)}" for each in shown[:5]
    )
    caption = "Each small dot is a replicate, each large one their mean"
    if all(lone):
        caption += ". One replicate, or such as share seeds, give no interval."
    else:
        caption += f" with its 95 % interval. Orange: the {objective.best} mean"
        caption += "; blue: may be as good, by the paired differences; grey: worse." if found.choice else "."
    if len(found.ranked) > len(shown):
        caption += f" The {len(shown)} best of {len(found.ranked)} completed trials."
    title = "Winner and rivals" if found.choice else "The trials, side by side"
    return Section(title, charts=[Chart(f"{quantity} with intervals", figure, alt, caption, wide=True)])


def _quantity(found: Findings) -> str:
    return found.objective.quantity


def _hover(found: Findings, record: TrialRecord) -> str:
    lines = [f"trial {record.number}: {_quantity(found)} {report.number(record.value, 4)}"]
    lines += [f"{report.short(key)} {report.setting(value)}" for key, value in record.params.items()]
    return "\n".join(lines)


def _curves(shown: Sequence[Shown]) -> Section:
    if not shown:
        return Section("Loss curves")
    names = [_name(each.record) for each in shown]
    figure = charts.fans(
        names, [each.kept.numbers for each in shown], [each.kept.val_loss for each in shown], shown[0].kept.train_loss
    )
    alt = f"Validation loss by epoch of the replicates of {', '.join(names)}, and the training loss of the first."
    caption = (
        "Each band is the range over a trial's replicates, with their median; the thin lines are "
        f"{names[0]}'s replicates, the dotted one their median training loss. Click a name to show or hide it."
    )
    return Section("Loss curves", charts=[Chart("Loss by epoch", figure, alt, caption, wide=True)])


def _name(record: TrialRecord) -> str:
    return f"trial {record.number}"


def _factor(found: factor_tables.Comparison | None) -> Section:
    if found is None:
        return Section("")
    title = f"What {found.name.replace('_', ' ')} does"
    table = [Listing("", found.table)]
    if found.effect is None:
        weights = charts.spreads(found.spreads, functions=False)
        drawn = [Chart("Distance of the weights", weights, found.answer, f"Relative L2; {charts.UNRELATED_TEXT}.")]
        if all(each.disagreement is not None for each in found.spreads):
            functions = charts.spreads(found.spreads, functions=True)
            drawn.append(Chart("Disagreement of the functions", functions, found.answer, f"On the validation part ({found.kind})."))
        return Section(title, [found.answer], drawn, table)
    losses = charts.levels(found.effect, found.name, found.quantity)
    causes, measured = charts.causes(found.effect)
    drawn = [
        Chart(
            f"{found.quantity} by {found.name.replace('_', ' ')}", losses, found.answer, "A line: one start under every setting."
        ),
        Chart(
            measured,
            causes,
            found.answer,
            f"What of the difference the setting makes, and what the restart. {charts.UNRELATED_TEXT.capitalize()}.",
        ),
    ]
    return Section(title, [found.answer], drawn, table)


def _blame(found: Findings) -> Section:
    if not found.blamed:
        return Section("Which randomness is to blame")
    table, answer = narrative.blame_tables(found.blamed)
    most = dict(itertools.islice(found.blamed.items(), MOST_BLAMED))
    caption = "Each source's share of the variance, with its 95 % interval; × is what two sources only have together."
    chart = Chart("Shares of the variance", charts.blame(most), answer, caption, wide=True)
    return Section("Which randomness is to blame", answer.splitlines(), [chart], [Listing("", table)])


def _networks(shown: Sequence[Shown]) -> list[Section]:
    """The first trial's replicates, and those of each other, which wait to be asked for."""
    drawn = [each for each in shown if each.portrait]
    return [_network_section(each, closed=place > 0) for place, each in enumerate(drawn)]


def _network_section(shown: Shown, closed: bool) -> Section:
    found, summary = shown.portrait, shown.record.summary
    assert found is not None and summary is not None
    name = _name(shown.record)
    texts = [f"Verdict: {summary.verdict}. {'; '.join(summary.reasons)}."] if summary.verdict else []
    if len(found.numbers) < len(shown.kept.numbers):
        texts.append(f"Of {len(shown.kept.numbers)} replicates {len(found.numbers)} are compared.")
    top = max(charts.UNRELATED, float(np.nanmax(found.relative_l2)))
    map_, share = charts.network_map(found.aligned, found.numbers, found.final_loss)
    raw, aligned = report.number(summary.distance), report.aligned_text(summary)
    drawn = [
        Chart(
            "Distance of the weights",
            charts.heat(found.relative_l2, found.numbers, top),
            f"Relative L2 distance of each pair of replicates; the mean is {raw}.",
            f"Relative L2, as the weights lie: {raw} on average; {charts.UNRELATED_TEXT}.",
        ),
        Chart(
            "The same after matching neurons",
            charts.heat(found.aligned, found.numbers, top),
            f"Distance of each pair after matching neurons; the mean is {aligned} of what fresh networks give.",
            f"Permuted, rescaled or flipped as the activation allows. Fresh networks are {report.number(found.null)} apart.",
        ),
        Chart(
            "Map of the networks",
            map_,
            "The networks as points whose distances are nearest to the matched ones.",
            f"Near means alike after matching; {share:.0%} of the distances can be shown in a plane.",
        ),
    ]
    if found.alphas is not None and found.raw_path is not None and found.aligned_path is not None:
        barrier = f"{report.number(summary.barrier)} as they lie and {report.number(summary.aligned_barrier)} matched"
        drawn.append(
            Chart(
                "On the line between two networks",
                charts.paths(found.alphas, found.raw_path, found.aligned_path, found.path_of),
                f"{found.path_of} on straight lines between replicates. The highest barrier is {barrier}.",
                f"A hump is a barrier: the highest is {barrier} (in error rate, or in trivial losses).",
            )
        )
    if found.disagreement is not None:
        apart = report.number(summary.disagreement)
        drawn.append(
            Chart(
                "Disagreement of the functions",
                charts.heat(found.disagreement, found.numbers, None),
                f"How much the predictions of each pair differ on the validation part; the mean is {apart}.",
                f"Of the predictions on the validation part ({found.kind}): {apart} on average.",
            )
        )
    return Section(f"The networks of {name}", texts, drawn, closed=closed)


def _search(found: Findings) -> Section:
    """What was searched, and what each setting does to the objective."""
    done, quantity, objective = found.ranked, _quantity(found), found.objective
    drawn: list[Chart] = []
    if len(done) > 1:
        values = [each.value for each in done if each.value is not None]
        in_order = sorted(done, key=lambda each: each.number)
        numbers, results = [each.number for each in in_order], [each.value for each in in_order if each.value is not None]
        less = objective.sign > 0
        if found.effects:
            hidden = [report.short(each.key) for each in found.effects if not each.shown]
            told = f" Not shown: {', '.join(hidden)}." if hidden else ""
            drawn.append(
                Chart(
                    "What each setting does, beside chance",
                    charts.effects(found.effects, quantity),
                    f"The SD of the {quantity} between each setting's values, and what chance makes of it at most.{told}",
                    f"The line across a bar is what chance makes of it at most; an effect of a grey bar isn't shown.{told}",
                )
            )
        drawn.append(
            Chart(
                "History",
                charts.history(numbers, results, less, quantity),
                f"Each trial's {quantity} and the best so far.",
                "Trials in the order in which they were asked for.",
            )
        )
        if found.keys:
            columns = {key: [each.params.get(key) for each in done] for key in found.keys}
            drawn.append(
                Chart(
                    "Parallel coordinates",
                    charts.parallel(columns, values, quantity, less),
                    f"A line for each of {len(done)} trials through its settings to its {quantity}, as in the table of trials.",
                    "Orange is best, grey worst. Drag along an axis to choose a range, or its name to move it.",
                    wide=True,
                )
            )
        best = done[0].number
        for key in found.keys:
            has = [each for each in in_order if key in each.params and each.value is not None]
            known = [each.value for each in has if each.value is not None]
            figure = charts.slice_of([each.params[key] for each in has], known, [each.number for each in has], best, quantity)
            name = report.short(key).replace("_", " ")
            drawn.append(
                Chart(
                    name,
                    figure,
                    f"{quantity} of each trial by {name}.",
                    f"{key}: the ring is the best trial, later ones are darker.",
                )
            )
        names = [each.name for each in found.objectives]
        by_number = {each.number: each.values for each in done}
        for x, y in itertools.combinations(range(len(names)), 2):
            figure = charts.front(by_number, x, y, names, found.front)
            told = answers.front_text(found.front, found.objectives)
            drawn.append(Chart(f"{names[x]} against {names[y]}", figure, told, told, wide=True))
    space = [(key.removeprefix(SPACE), text) for key, text in found.identity.items() if key.startswith(SPACE)]
    tables = (
        [
            Listing(
                "What each setting does on average",
                narrative.effects_table(found.effects, objective),
                narrative.effects_foot(objective),
            )
        ]
        if found.effects
        else []
    )
    if space:
        tables.append(Listing("What was searched", report.Table(("setting", "values"), tuple(space))))
    return Section("What the settings do", charts=drawn, tables=tables)


def _trials(found: Findings) -> Section:
    if not found.records:
        return Section("All trials")
    table = report.table(found.records, found.objectives, found.front)
    others = [each for each in found.records if each.state in ("failed", "pruned")]
    tables = []
    tied = set(found.choice.tied) if found.choice else {each.number for each in found.ranked[:1]}
    marked = frozenset(place for place, row in enumerate(table.rows) if int(row[0]) in tied and place < len(found.ranked))
    marked_text = "; marked: the best, and those that may be as good" if found.choice else ""
    foot = f"Best first{marked_text}. Click a heading to sort."
    tables.append(Listing("", table, foot, marked))
    if others:
        rows = [(str(each.number), each.state, report.settings_text(each.params), each.reason or "no word why") for each in others]
        table = report.Table(("trial", "state", "settings", "reason"), tuple(rows))
        tables.append(Listing("Failed and pruned trials", table))
    if found.finals:
        tables.append(Listing("Finalists, trained again", report.table(found.finals, [found.objective])))
    return Section("All trials", tables=tables)


def _again(found: Findings) -> Section:
    """Commands, and the settings that were fixed."""
    name, codes = shlex.quote(found.name), []
    if found.command:
        codes.append(Code("The whole study; where its records are, it goes on instead", found.command))
    if found.best:
        where = shlex.quote(f"{found.name}/{found.best.number}")
        codes.append(
            Code(
                f"{_name(found.best).capitalize()}'s networks, from their own record: exits with 0 only if every bit is the same",
                f"mlp-study reproduce {where}",
            )
        )
        if found.best.summary and len(found.best.summary.val_losses) > 1:
            codes.append(Code("Its replicates side by side", f"mlp-study compare {where}"))
        codes.append(Code("What its best network makes of new rows", f"mlp-study predict {name} rows.csv"))
    if found.answer.command:
        codes.insert(0, Code("What would settle the answer: the same setting, trained longer", found.answer.command))
    codes.append(Code("In Python", f'import study\n\nfound = study.open("{found.name}")\nfound.trials, found.replicates'))
    codes.append(Code("Again in the terminal, and as files", f"mlp-study show {name}\nmlp-study export {name} trials.csv"))
    # width and depth make the units
    made = {"model.units"} if {f"{SPACE}model.width", f"{SPACE}model.depth"} & found.identity.keys() else set()
    groups = tuple(
        f"{key.removeprefix(SPACE)}." for key in found.identity if key.startswith(SPACE) and "." not in key[len(SPACE) :]
    )
    fixed = [(key, text) for key, text in found.identity.items() if not key.startswith((SPACE, *groups)) and key not in made]
    foot = f"Not here: what each choice of {', '.join(each[:-1] for each in groups)} brings along." if groups else ""
    tables = [Listing("Fixed settings", report.Table(("setting", "value"), tuple(fixed)), foot)] if fixed else []
    return Section("How to reproduce this", codes=codes, tables=tables)


GLOSSARY = (
    ("trial", "one sampled setting; its replicates are networks of that setting from other seeds"),
    ("validation loss", "mean over the replicates ± half of Student's 95 % interval, at the kept epoch"),
    ("convergence", "a label for each replicate: plateaued, still improving, undecided, oscillating, stuck, diverged"),
    ("distance", f"relative L2 between two replicates' weights, mean over the pairs; {charts.UNRELATED_TEXT}"),
    ("aligned", "the same after matching neurons, and its share of what matching leaves between fresh networks"),
    ("barrier", "the highest rise of the loss on the straight line between two replicates"),
    (
        "disagreement",
        "RMSE between two replicates' predictions over the target's SD, or the share of rows they classify differently",
    ),
    ("verdict", "same weights, same up to rounding or symmetry, same function, same loss only, different loss, or not converged"),
    ("fingerprint", "sha256 of a replicate's final weights: equal if and only if all bits are"),
)


def _words() -> Section:
    return Section("What the words mean", tables=[Listing("", report.Table(("word", "meaning"), GLOSSARY))], closed=True)
