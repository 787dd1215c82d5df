"""The page of a study: the answer first, then the evidence, then how to reproduce it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from study.reporting import decisions, on_test, one_setting, report
from study.reporting.pages import (
    behaviour_section,
    cause_sections,
    evidence,
    motion_section,
    network_sections,
    page,
    search_sections,
    trial_page,
)
from study.reporting.pages.charts import reliability
from study.reporting.pages.charts.style import UNRELATED_TEXT
from study.reporting.pages.page import Chart, Code, Listing, Page, Section
from study.reporting.pages.search_sections import name
from study.reporting.study_results import Findings, Networks, Shown
from study.settings.values import as_typed

REPRODUCE = "Reproduce this study"
DECIDED_QUESTION = "Which setting is best, and does it converge?"


def write(findings: Findings, networks: Networks, file: Path) -> None:
    """Write a study's page. Raises NotWritable."""
    page.write(build(findings, networks), file)


def build(findings: Findings, networks: Networks) -> Page:
    """Build a study's page; without `networks`, from the records of its trials alone."""
    shown = networks.shown
    evidenced = [
        _tested(findings),
        _calibration(findings),
        _winner(findings),
        behaviour_section.section(networks.behaviour),
        search_sections.race(findings) if findings.decision else search_sections.rivals(findings),
    ]
    converges = _convergence(findings)
    raced = findings.decision is not None
    sections = [
        _claims(findings),
        *(evidenced if raced else [converges, *evidenced]),
        _loss_curves(networks),
        *([converges] if raced else []),
        *_motion([networks.centre] if networks.centre else shown[:1]),
        cause_sections.factor(networks.factor),
        cause_sections.blame(findings.blamed),
        *_compared(shown),
        search_sections.settings(findings),
        search_sections.all_trials(findings),
        _reproduce(findings),
        Section("Glossary", tables=[Listing("", report.Table(("term", "meaning"), GLOSSARY))], closed=True),
    ]
    decided = findings.decision and decisions.brief(findings.decision, findings.tested)
    return Page(
        title=DECIDED_QUESTION if decided else trial_page.QUESTION,
        subtitle=f"Study {findings.name}, on {findings.settings.get('data', 'unknown')} data",
        headline=f"{decided or findings.answer.headline}.",
        facts=evidence.facts(findings),
        evidence=evidence.strip(findings, networks.circumstances),
        sections=[section for section in sections if not section.empty],
    )


def _convergence(findings: Findings) -> Section:
    """Return whether training converges to a single, stable value, with its evidence."""
    answer = findings.answer
    settle = f"To settle it, {answer.how}: run the first command under “{REPRODUCE}”." if answer.command else ""
    asked = f"{trial_page.QUESTION} {answer.headline}."
    return Section("Convergence", [text for text in (asked, answer.beside, answer.text, settle) if text])


def _loss_curves(networks: Networks) -> Section:
    """Return the loss curves of the best two trials, and of the default setting or else the third."""
    drawn = networks.shown[:2]
    numbers = [trial.record.number for trial in drawn]
    third = [networks.default] if networks.default and networks.default.record.number not in numbers else networks.shown[2:3]
    drawn = [*drawn, *third]
    records = [trial.record for trial in drawn]
    names = [report.label(record) for record in records]
    return network_sections.loss_curves(names, [trial.kept for trial in drawn], report.label_text(records))


def _winner(findings: Findings) -> Section:
    """Return the best setting to copy, as a command and as a file; empty where the launch isn't known or searched nothing."""
    best = findings.best
    if best is None or not best.params or not findings.command:
        return Section("")
    file = one_setting.file(findings.command, best.params, findings.space)
    codes = [Code("Train it alone", one_setting.command(findings.command, best.params, findings.space))]
    if file:
        path = f"{one_setting.GROUP}/{one_setting.FILE}.yaml"
        codes.append(Code(f"As a file: save it as {path}, and run mlp-study --config-dir . +{path[:-5].replace('/', '=')}", file))
    return Section("The best setting, to copy", codes=codes)


def _tested(findings: Findings) -> Section:
    """Return the winner on the test part, beside the baselines; empty without a test part."""
    title, tested = "The winner on rows that it has never seen", findings.tested
    if tested is None:
        return Section(title)
    losses = Listing("", on_test.losses_table(tested), on_test.text(tested, findings.records, findings.default))
    scores = Listing("Scores", on_test.scores_table(tested), "In the target's own unit, where they have one.")
    return Section(title, tables=[losses, scores])


def _calibration(findings: Findings) -> Section:
    """Return how often the winner is right, against its probabilities, on the test part; empty for regression."""
    title, tested = "Calibration of the winner's probabilities", findings.tested
    if tested is None or tested.calibration is None or tested.single_calibration is None:
        return Section(title)
    curves = {f"mean of {tested.networks} networks": tested.calibration, "one network": tested.single_calibration}
    if tested.networks == 1:
        curves = {"the network": tested.calibration}
    bins = zip(tested.calibration.confidence, tested.calibration.accuracy, tested.calibration.rows, strict=True)
    shown = tuple((report.number(confidence), report.number(accuracy), f"{rows:,}") for confidence, accuracy, rows in bins)
    table = report.Table(("mean probability", "share right", "rows"), shown)
    described = "; ".join(f"{model}: ECE {report.number(curve.ece)}" for model, curve in curves.items())
    caption = (
        "Test rows in bins of equal size by the probability of the predicted class. Below the dotted line, predictions are too "
        "sure; above it, not sure enough. Few rows in a bin scatter its point. “One network” counts the predictions of all of them."
    )
    chart = Chart("How often the prediction is right", reliability.reliability(curves), f"{described}.", caption, wide=True)
    return Section(title, charts=[chart], tables=[Listing(f"The bins: {next(iter(curves))}", table)])


def _claims(findings: Findings) -> Section:
    """Return whether the networks come to rest under each setting, and the claims that this puts to the test."""
    title = "Does a network come to rest?"
    if findings.claims is None:
        return Section(title)
    table, text = findings.claims
    return Section(title, tables=[Listing("Medians over the replicates at the end of training, with 95% intervals", table, text)])


def _motion(best: Sequence[Shown]) -> list[Section]:
    return [motion_section.motion(name(trial.record), trial.record.summary, trial.kept) for trial in best if trial.record.summary]


def _compared(shown: Sequence[Shown]) -> list[Section]:
    """Return the sections of the trials' networks, all but the first closed."""
    trials = [trial for trial in shown if trial.kept.comparison and trial.record.summary]
    return [
        network_sections.compared(name(record), summary, trial.kept, network_sections.verdict(summary), closed=index > 0)
        for index, trial in enumerate(trials)
        if (summary := (record := trial.record).summary)
    ]


def _reproduce(findings: Findings) -> Section:
    """Return the commands, and the settings that were fixed."""
    study, best, codes = shlex.quote(findings.name), findings.best, []
    if findings.answer.command:
        codes.append(Code(f"To settle whether the best setting converges, {findings.answer.how}", findings.answer.command))
    if findings.command:
        codes.append(Code("The whole study; in a folder that holds its records, it resumes", findings.command))
    if best:
        address = shlex.quote(f"{findings.name}/{best.number}")
        exact = f"The networks of {name(best)}, from their own record; exits with 0 only if every bit is the same"
        codes.append(Code(exact, f"mlp-study reproduce {address}"))
        if best.summary and len(best.summary.val_losses) > 1:
            codes.append(Code("Its replicates side by side", f"mlp-study compare {address}"))
        codes.append(Code("Predictions for new rows, the mean of its networks", f"mlp-study predict {study} rows.csv"))
    codes.append(Code("In Python", f'import study\n\nfound = study.open("{findings.name}")\nfound.trials, found.replicates'))
    codes.append(Code("In the terminal, and as files", f"mlp-study show {study}\nmlp-study export {study} trials.csv"))
    fixed, groups = _fixed(findings)
    foot = f"Settings that come with each choice of {', '.join(groups)} are left out." if groups else ""
    tables = [Listing("Fixed settings", report.Table(("setting", "value"), fixed), foot)] if fixed else []
    return Section(REPRODUCE, codes=codes, tables=tables)


def _fixed(findings: Findings) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return the fixed settings, and the searched groups, such as the optimizer, whose settings are left out."""
    groups = [key for key in findings.space if "." not in key]
    # the units follow from width and depth
    derived = {"model.units"} if {"model.width", "model.depth"} & findings.space.keys() else set()
    left_out = tuple(f"{group}." for group in groups)
    texts = {key: as_typed(value) for key, value in findings.settings.items()} | {
        "direction": ", ".join(objective.direction for objective in findings.objectives),
        "objective": ", ".join(objective.name for objective in findings.objectives),
    }
    return tuple((key, text) for key, text in texts.items() if not key.startswith(left_out) and key not in derived), groups


GLOSSARY = (
    ("trial", "one sampled setting; its replicates are networks of that setting from other seeds"),
    ("validation loss", "mean over the replicates ± half of Student's 95% interval, at the kept epoch"),
    ("convergence", "a label for each replicate: plateaued, still improving, slow, undecided, oscillating, stuck, diverged"),
    (
        "motion",
        "weights and function over the last fifth of the epochs: settled, slowing, oscillating (back and forth), "
        "confined (around one point), drifting (along a line), or wandering",
    ),
    ("distance", f"relative L2 between two replicates' weights, mean over the pairs; {UNRELATED_TEXT}"),
    ("aligned", "the distance after matching neurons, and its share of the same distance between fresh networks"),
    ("barrier", "the highest rise of the loss on the straight line between two replicates"),
    (
        "disagreement",
        "RMSE between two replicates' predictions over the target's SD, or the share of rows they classify differently",
    ),
    ("verdict", "same weights, same up to rounding or symmetry, same function, same loss only, different loss, or not converged"),
    ("fingerprint", "sha256 of a replicate's final weights: equal if and only if all bits are equal"),
)
