"""What MLflow's pages say of an experiment and its runs, in Markdown: what it is, what came of it, and where to go from there."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from study.tracking.views import TREE, page

# MLflow keeps 8,000 characters of a tag
MOST_ROWS, MOST_SIGNS = 12, 7_000


def of_experiment(experiment: str) -> str:
    return (
        f"[Trials, best first]({page(experiment)}) · [as charts]({page(experiment, charts=True)}) · "
        f"[trials with their replicates]({page(experiment, TREE)}) · [loss curves of replicates]"
        f"({page(experiment, TREE, charts=True)})\n\n"
        "A study by mlp-study. Each *trial* run is one sampled setting; its child runs are its *replicates*: the same setting "
        "trained from other seeds. `fingerprint` is the sha256 of a replicate's final weights, `distance` the mean relative L2 "
        "distance between a trial's replicates (√2 ≈ 1.41 is what unrelated networks give), `aligned` the same after their neurons "
        "are matched. The study's own run has the answer, the report and the best network as a Keras model."
    )


def of_trial(record: Mapping[str, Any], experiment: str, trial: str, runs: Sequence[str]) -> str:
    """trial: its run; runs: of its replicates."""
    name = _address(record, trial)
    lines = [f"**{record['reason']}**"] if record["reason"] else []
    summary = record.get("summary")
    if summary:
        half = f" ± {summary['val_loss_halfwidth']:.2g}" if summary.get("val_loss_halfwidth") else ""
        labels = ", ".join(f"{count} {label}" for label, count in summary["labels"].items())
        verdict = f" Verdict: **{summary['verdict']}**." if summary.get("verdict") else ""
        # beside it, since the page shows the first line alone until somebody asks for more
        link = f" [Compare its replicates side by side]({_compare(experiment, runs)})" if len(runs) > 1 else ""
        lines.append(f"Validation loss **{summary['val_loss_mean']:.4g}{half}**; {labels}.{verdict}{link}")
    if summary and summary["reasons"]:
        lines.append("\n".join(f"- {reason}" for reason in summary["reasons"]))
    lines.append(f"{_setting(record['params'])}; {len(runs)} replicates that differ in {_varied(record['params'])}.")
    return _text([*lines, _commands(f"compare {name}", f"reproduce {name}")] if summary else lines)


def of_replicate(record: Mapping[str, Any], place: int, experiment: str, trial: str, runs: Sequence[str]) -> str:
    """place: among the trial's replicates; trial: its run; runs: of all replicates."""
    number, summary = record["replicates"][place], record["summary"]
    name = _address(record, runs[place], f"/{number}")
    others = [run for run in runs if run != runs[place]]
    link = f" [Compare it with the others]({_compare(experiment, [runs[place], *others])})" if others else ""
    seeds = ", ".join(f"{source} {values[place]}" for source, values in record["seeds"].items())
    lines = [
        f"Replicate {number} of [{record['name']}](#/experiments/{experiment}/runs/{trial}): **{record['labels'][place]}**, "
        f"validation loss **{summary['val_losses'][place]:.4g}** with the weights of epoch {record['epochs'][place]}.{link}",
        f"Fingerprint of its final weights: `{record['fingerprints'][place]}`",
        f"Seeds: {seeds}.",
        _commands(f"reproduce {name}", f"similar {name}"),
    ]
    return _text(lines)


def of_study(name: str, experiment: str, tags: Mapping[str, str], texts: Mapping[str, str], files: Iterable[str]) -> str:
    """texts: its tables, by file; files: what else is kept with it."""
    rows = texts.get("trials.md", "").splitlines()
    more = f"… and {len(rows) - 2 - MOST_ROWS} more in `trials.md`" if len(rows) - 2 > MOST_ROWS else ""
    told = ", ".join(f"`{each}`" for each in [*(each.rpartition("/")[2] for each in files), *texts])
    lines = [
        tags.get("answer", ""),
        tags.get("win", ""),
        "\n".join(rows[: MOST_ROWS + 2]),
        more,
        f"[All trials, best first]({page(experiment)}). Under *Artifacts*: {told}."
        + (" The best network, as a Keras model, is under *Logged models*." if tags.get("best") else ""),
        _commands(f"show {shlex.quote(name)}", f"report {shlex.quote(name)}"),
    ]
    return _text(lines)


def _address(record: Mapping[str, Any], run: str, replicate: str = "") -> str:
    """Of a run, for a command: short if its trial has a number."""
    return run if record["number"] is None else shlex.quote(f"{record['experiment']}/{record['number']}{replicate}")


def _setting(params: Mapping[str, str]) -> str:
    """A trial's settings in words."""
    said = [
        params["data"],
        f"layers of {params['model.units'].strip('()[],')} {params['model.activation']}",
        f"{params['optimizer']} with learning rate {params['optimizer.learning_rate']}",
        f"loss {params['loss']}",
        f"{params['training.epochs']} epochs in batches of {params['training.batch_size']}",
    ]
    return ", ".join(said)


def _varied(params: Mapping[str, str]) -> str:
    return params["replicates.vary"].strip("()[],").replace("'", "") or "nothing"


def _compare(experiment: str, runs: Sequence[str]) -> str:
    return f"#/compare-runs?runs={quote(json.dumps(list(runs)))}&experiments={quote(json.dumps([experiment]))}"


def _commands(*commands: str) -> str:
    return "```\n" + "\n".join(f"mlp-study {each}" for each in commands) + "\n```"


def _text(paragraphs: Sequence[str]) -> str:
    """As many as there is room for; the last, which says where to go, in any case."""
    *first, last = filter(None, paragraphs)
    text = "\n\n".join(first)
    return f"{text[:MOST_SIGNS]}\n\n{last}"[: MOST_SIGNS + 1_000]
