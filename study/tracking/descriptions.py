"""The descriptions of an experiment and its runs on MLflow's pages, in Markdown: contents, results, and the next commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from study.analysis import motion
from study.analysis.distance import UNRELATED_TEXT
from study.settings.values import Value
from study.statistics.rounding import interval_text
from study.statistics.rounding import number as rounded
from study.tracking import schema
from study.tracking.messages import RacedTrial, SpoolRecord, TrialStart
from study.tracking.views import TREE, page

# MLflow keeps 8,000 characters of a tag
MOST_ROWS, MOST_CHARACTERS = 12, 7_000
FIRST_ONES = " The first ones, which this run holds: "


def of_experiment(experiment: str, headline: str = "") -> str:
    """headline: the study's result, once it has one."""
    result = f"**{headline}**" if headline else "This study has no result yet."
    links = {
        "trials": page(experiment),
        "charts": page(experiment, charts=True),
        "with replicates": page(experiment, TREE),
        "their curves": page(experiment, TREE, charts=True),
    }
    return (
        # on one line, since the page shows the first line alone until somebody asks for more
        f"{result} {' · '.join(f'[{text}]({address})' for text, address in links.items())}\n\n"
        "A study by mlp-study. Each *trial* run is one sampled setting; its child runs are its *replicates*: the same setting "
        "trained from other seeds. `fingerprint` is the sha256 of a replicate's final weights, `distance` the mean relative L2 "
        f"distance between a trial's replicates ({UNRELATED_TEXT}), `aligned` the same after "
        "matching neurons. The study's own run holds the answer, the report and the champion: the best trial's networks as one "
        "Keras model."
    )


def of_trial(record: SpoolRecord, experiment: str, trial: str, runs: Sequence[str]) -> str:
    """trial: its run; runs: of its replicates."""
    start = record.start
    lines = [f"**{record.reason}**"] if record.reason else []
    setting = f"{_setting(start.settings)}; {len(runs)} replicates that differ in {_varied(start.settings)}."
    if not record.trained:
        return _text([*lines, setting])
    summary = record.trained.summary
    loss = interval_text(summary.val_loss_mean, summary.val_loss_halfwidth)
    verdict = f" Verdict: **{summary.verdict}**." if summary.verdict else ""
    # beside it, since the page shows the first line alone until somebody asks for more
    link = f" [Compare its replicates side by side]({_compare(experiment, runs)})" if len(runs) > 1 else ""
    lines.append(f"Validation loss **{loss}**; {summary.labels_text}.{verdict}{link}")
    if summary.motion:
        lines.append(f"Motion at the end of training: {summary.motion.text}.")
    if summary.reasons:
        lines.append("\n".join(f"- {reason}" for reason in summary.reasons))
    address = _address(start, trial)
    return _text([*lines, setting, _commands(f"compare {address}", f"reproduce {address}")])


def with_later(note: str, trial: RacedTrial) -> str:
    """Return a trial's description, `of_trial` or with earlier rounds, that begins with its loss over all replicates of a race."""
    _, _, own = note.rpartition(FIRST_ONES)
    if schema.VAL_LOSS_MEAN not in trial.metrics or not own:
        return note
    loss = interval_text(trial.metrics[schema.VAL_LOSS_MEAN], trial.metrics.get(schema.VAL_LOSS_HALFWIDTH))
    head = f"Over all {len(trial.losses)} replicates of the race, the validation loss is **{loss}**."
    return f"{head}{FIRST_ONES}{own[0].lower()}{own[1:]}"


def of_replicate(record: SpoolRecord, index: int, experiment: str, trial: str, runs: Sequence[str]) -> str:
    """index: among the trial's replicates, from 0; trial: its run; runs: of all replicates. The trial is complete."""
    start, trained = record.start, record.trained
    assert trained
    number, address = start.replicates[index], _address(start, runs[index], start.replicates[index])
    others = [run for run in runs if run != runs[index]]
    link = f" [Compare it with the others]({_compare(experiment, [runs[index], *others])})" if others else ""
    how = motion.divergence(trained.labels[index], trained.summary.motion, index)
    label = f"{trained.labels[index]} ({how})" if how else trained.labels[index]
    seeds = ", ".join(f"{source} {seed}" for source, seed in start.seeds_of(index).items())
    lines = [
        f"Validation loss **{rounded(trained.summary.val_losses[index], 4)}** with the weights of epoch {trained.epochs[index]}; "
        f"**{label}**. Replicate {number} of [{start.name}](#/experiments/{experiment}/runs/{trial}).{link}",
        f"Motion at the end of training: {trained.summary.motion.label(index)}." if trained.summary.motion else "",
        f"Fingerprint of its final weights: `{trained.fingerprints[index]}`",
        f"Seeds: {seeds}.",
        _commands(f"reproduce {address}", f"similar {address}"),
    ]
    return _text(lines)


def of_study(name: str, experiment: str, tags: Mapping[str, str], texts: Mapping[str, str], files: Iterable[str]) -> str:
    """tags: its result and its answers; texts: its tables, by file; files: the other files that are kept with it."""
    rows = texts.get("trials.md", "").splitlines()
    more = f"… and {len(rows) - 2 - MOST_ROWS} more in `trials.md`" if len(rows) - 2 > MOST_ROWS else ""
    kept = ", ".join(f"`{file}`" for file in [*(path.rpartition("/")[2] for path in files), *texts])
    headline = tags.get(schema.HEADLINE, "")
    lines = [
        f"**{headline}**" if headline else "",
        tags.get("win", "").removeprefix(headline).strip(),
        tags.get("answer", "").removeprefix(headline).strip(),
        "\n".join(rows[: MOST_ROWS + 2]),
        more,
        f"[All trials, best first]({page(experiment)}). Under *Artifacts*: {kept}."
        + (" The champion, the best trial's networks as one Keras model, is under *Logged models*." if tags.get("best") else ""),
        _commands(f"show {shlex.quote(name)}", f"report {shlex.quote(name)}"),
    ]
    return _text(lines)


def _address(start: TrialStart, run: str, replicate: int | None = None) -> str:
    """The address of a run in a command: short if its trial has a number."""
    return run if start.number is None else shlex.quote(schema.address(start.experiment, start.name, start.number, replicate))


def _setting(settings: Mapping[str, Value]) -> str:
    """A trial's settings in words."""
    units = settings["model.units"]
    batch = settings["training.batch_size"]
    sizes = ", ".join(map(str, units)) if isinstance(units, Sequence) else units
    parts = [
        settings["data"],
        f"layers of {sizes} {settings['model.activation']}",
        f"{settings['optimizer']} with learning rate {_number(settings['optimizer.learning_rate'])}",
        f"loss {settings['loss']}",
        f"{settings['training.epochs']} epochs in {'one batch of all rows' if batch is None else f'batches of {batch}'}",
    ]
    return ", ".join(map(str, parts))


def _number(value: Value) -> str:
    return rounded(value) if isinstance(value, float) else str(value)


def _varied(settings: Mapping[str, Value]) -> str:
    sources = settings["replicates.vary"]
    return ", ".join(map(str, sources)) if isinstance(sources, Sequence) and sources else "nothing"


def _compare(experiment: str, runs: Sequence[str]) -> str:
    return f"#/compare-runs?runs={quote(json.dumps(list(runs)))}&experiments={quote(json.dumps([experiment]))}"


def _commands(*commands: str) -> str:
    return "```\n" + "\n".join(f"mlp-study {command}" for command in commands) + "\n```"


def _text(paragraphs: Sequence[str]) -> str:
    """As many paragraphs as there is room for; the last, with the next commands, in any case."""
    *first, last = filter(None, paragraphs)
    text = "\n\n".join(first)
    return f"{text[:MOST_CHARACTERS]}\n\n{last}"[: MOST_CHARACTERS + 1_000]
