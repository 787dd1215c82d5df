"""Writes docs/reference.md from conf/, the settings' rules, the commands and the code: `make docs`.

The comment at the end of a key's line in conf/ is its meaning, and the first lines of a file are its choice's. The tables below
hold the rest. A name without a meaning, or a meaning without a name, is an error.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from hydra_plugins.study_sweeper import study_sweeper
from study import locations
from study.cli import flags, program
from study.errors import EXIT_CODES, FAILED_TRIALS_EXIT_CODE, BadInput
from study.runner import planning
from study.runner.job import TRACKING
from study.search import kinds as search
from study.settings import model, rules, spec
from study.statistics import objectives
from study.tracking import artifacts, schema

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"

GROUPS = {
    "data": "The rows: their source, split, normalisation and noise. See [data.md](data.md).",
    "model": "The network.",
    "optimizer": "Update rules and defaults are Keras'.",
    "schedule": "The learning rate by step. Durations are in epochs and may be fractions.",
    "loss": "The quantity that training minimises, averaged over the batch.",
    "init": "The initial weights. Definitions and defaults are Keras'. Inputs and outputs are those of a layer.",
    "training": "Length of training, and its batches.",
    "replicates": "The number of networks per setting, and the differences between them.",
    "sampler": "Picks a study's next setting. Every argument of Optuna's class can be given besides those below "
    "(`+sampler.n_ei_candidates=48`).",
    "pruner": "Stops bad trials early. A pruner decides after each leg (`training.leg_epochs`). Every argument of "
    "Optuna's class can be given besides those below.",
    "tracking": "The destination of the records.",
}
SECTIONS_OF_TRIAL = ("data", "model", "optimizer", "schedule", "loss", "init", "training", "replicates")
# the file of a group with a single choice
ONLY = {"model": "mlp", "training": "default", "replicates": "default"}

# of hydra.sweeper: what has no comment in its dataclass
SWEEPER = {
    "n_jobs": "number of trials launched together",
    "params": "the searched settings, key by key, as on the command line; for an experiment's file",
}
OBJECTIVES = {
    "loss": "mean validation loss over the replicates",
    "spread": "its standard deviation over the replicates",
    "size": "number of weights of a network",
    "time": "training seconds per network",
    # scores are means over the replicates, on the validation part
    "r2": "share of the variance explained, R² (regression, and so are the next four)",
    "mae": "mean absolute error, in the target's own unit",
    "rmse": "root of the mean squared error, in the target's own unit",
    "mape": "mean of error / target, as a share",
    "median_absolute_error": "median of the absolute errors, in the target's own unit",
    "accuracy": "share of validation rows classified correctly (classification, and so are the next seven)",
    "auc": "area under the ROC curve; for several classes, one against the rest",
    "balanced_accuracy": "mean over the classes of the share of their rows classified correctly",
    "f1": "macro F1, the mean over the classes",
    "mcc": "Matthews' correlation coefficient",
    "average_precision": "mean precision over the recall; for several classes, one against the rest",
    "log_loss": "mean cross-entropy without label smoothing",
    "brier": "mean squared error of the probabilities",
}
ENVIRONMENT = {
    "MLP_STUDY_ALLOW_SCORERS": "functions that are allowed as scores; `--allow-scorer` sets it for a launch's processes",
    "MLP_STUDY_STORAGE": "Optuna's storage, unless `hydra.sweeper.storage` or `--storage` is given",
    "MLFLOW_TRACKING_URI": "the MLflow store, unless `tracking.uri` is given",
    "MLFLOW_DISABLE_TELEMETRY": "default `true`: MLflow sends no usage data",
    "MLFLOW_TRUNCATE_LONG_VALUES": "default `false`: a value that is too long is an error instead of being cut",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "default `false`",
    "NO_COLOR": "any value: neither colours nor bold in the terminal",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "default `false` for `mlp-study ui`, which needs none of MLflow's jobs",
    "PYTHONWARNINGS": "default `ignore` for `mlp-study ui`: MLflow uses what other libraries deprecate",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "default `true`",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "repetitions of a failed request to an MLflow server; default 7",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "growth of the waits between them; default 1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "timeout of a request in seconds; default 60",
    "XDG_CACHE_HOME": "parent of the folder `mlp-study` with compiled programs and the index of `similar`; default `~/.cache`",
    "XLA_FLAGS": "switches of the compiler; they change bits and are recorded with each trial",
    "TF_XLA_FLAGS": "switches of TensorFlow's part of the compiler; if set, compiled programs aren't kept between processes",
    "TF_ENABLE_ONEDNN_OPTS": "oneDNN's kernels on or off; changes bits and is recorded with each trial",
    "TF_CPP_MIN_LOG_LEVEL": "TensorFlow's messages; default 3 (none)",
    "HOME": "for a user without a home folder, set to a path that holds no files of others",
    "LOGNAME": "for a user id without an account, set to the number",
    "HYDRA_FULL_ERROR": "set by mlp-study, so that errors keep their own form",
    "COMP_LINE": "set by the shell during completion",
}
OF_LIBRARIES = {
    "MLFLOW_TRACKING_USERNAME": "the login to an MLflow server (MLflow reads it)",
    "MLFLOW_TRACKING_PASSWORD": "its password (MLflow reads it)",
    "MLFLOW_TRACKING_TOKEN": "a token instead (MLflow reads it)",
    "PGPASSWORD": "PostgreSQL's password (its client reads it, and `PGPASSFILE` and `~/.pgpass`)",
    "FORCE_COLOR": "colours even outside a terminal (Rich reads it, and `NO_COLOR`)",
}
HYDRAS = {
    "--multirun, -m": "run a study: search the settings with several values or a range",
    "--dry-run": flags.HELP[flags.DRY_RUN],
    flags.ALLOW_SCORER: flags.HELP[flags.ALLOW_SCORER],
    "--cfg job": "print the config of a launch as YAML, without training",
    "--help, --hydra-help": "print all groups and settings; print Hydra's own flags",
    "--version": "print the version",
}
FILES = {
    "mlflow.db": "MLflow's records: experiments, runs, curves",
    "mlruns/": "MLflow's artifacts",
    "optuna.db": "Optuna's records: studies and their trials",
    "outputs/": "Hydra's folder of each single launch, with its settings and `portrait.html`",
    "multirun/": "the same of each study, with `report.html` and `portrait.html`",
    ".mlp-study/": "records not yet sent to MLflow; the next launch in this folder sends them",
}
PARAMETERS = {
    "the settings": "every setting of the trial, by its dotted key (`optimizer.learning_rate`); a group's choice by its name; "
    "sampled numbers are rounded, `config.yaml` has all digits",
}
CURVES = {
    "train_loss": "by epoch: mean over the epoch's batches, as in Keras' `fit`; beyond 1,000 epochs, some (the artifacts have all)",
    "val_loss": "by epoch: on the validation part, after the epoch",
}
REPLICATES = {
    **CURVES,
    "val_r2": "R² (regression)",
    "val_mae": "mean absolute error, in the target's own unit; like the other [scores](data.md#scores) (regression)",
    "val_accuracy": "share of rows classified correctly",
    "val_auc": "area under the ROC curve (classification)",
    "loss_over_trivial": "training loss in units of the trivial predictor's",
    "improvement_low": "lower end of the gain from another tail of epochs, in trivial losses (`study/analysis/convergence.py`)",
    "improvement_high": "its upper end: below 0.001 the replicate has plateaued",
    "wander": "relative L2 distance of the weights of two of the last epochs (`study/analysis/motion.py`)",
    "wobble": "the same of its function, as `disagreement` is measured",
}
TRIALS = {
    "train_loss, val_loss": "by epoch: mean over the replicates, as long as all of them train",
    "val_loss_mean": "mean over the replicates, one point per leg, then one of all replicates of a race; the default objective",
    "race_val_loss": "each replicate's validation loss, by its number, of a trial that a race gave more replicates",
    "val_loss_std": "standard deviation over the replicates",
    "val_loss_halfwidth": "half of Student's 95% interval of the mean; none for crossed replicates",
    "train_loss_mean": "mean training loss over the replicates",
    "threshold": "the decision threshold of two classes, where `data.threshold` asks for one",
    "val_r2, val_mae, val_accuracy, val_auc": "means of the replicates' scores, like the others of [these](data.md#scores)",
    "wander, wobble": "means of the replicates' own",
    "distance": "mean relative L2 between the replicates' raw weights, over the pairs",
    "aligned": "the same after matching neurons",
    "barrier": "largest rise of the loss on the straight line between two replicates; in error rate or trivial losses",
    "aligned_barrier": "the same after matching neurons",
    "cka": "mean debiased linear CKA of the last hidden layer",
    "disagreement": "mean over the pairs: predictions' RMSE over the target's SD, or the share of rows classified differently",
}
OF_WINNERS = {
    "test_loss, test_loss_low, test_loss_high": "loss of the mean prediction on the test part, with its interval",
    "test_loss_single": "mean test loss of the networks one by one",
    "test_loss_NAME": "test loss of a baseline: mean, majority, ridge, …",
    "test_ece": "expected calibration error of the mean probabilities (classification)",
}
TAGS = {
    "KIND": "`study`, `trial` or `replicate`",
    "TRIAL": "trial runs: the trial's number in its study",
    "WHOLE": "the run that holds all replicates of a race's winner: the trial's number",
    "REPLICATE": "replicate runs: the replicate's number",
    "OWNER": "the process that wrote the run",
    "KEY": "the trial's record, by which a run is found again when the server's answer was lost",
    "FINGERPRINT": "replicate runs: sha256 of the final weights",
    "CONVERGENCE": "the label of a replicate, or a trial's count of each label",
    "EPOCH": "replicate runs: the epoch whose weights are kept",
    "REASON": "why a trial failed, was pruned or was killed",
    "VERDICT": "trial runs: the verdict on its replicates",
    "MOTION": "the motion of weights and function at the end of training; of a trial, how many replicates have which",
    "EVIDENCE": "trial runs: the numbers behind the verdict",
    "SEARCHABLE": "replicate runs: the fingerprint that `mlp-study similar` searches by",
}
STUDY_TAGS = {
    "headline": "the result in a few words",
    "answer": "the answer: does the best setting converge to a single, stable value?",
    "win": "is its win more than seed noise?",
    "best": "the best trial's run",
    "blame": "of a crossed study: each source's share of the variance",
    "claims": "of a study whose trials differ from one of them in one setting each: which claims on convergence hold",
    "factor": "of a study that varies one setting: its effect",
}
ARTIFACTS = {
    "WEIGHTS": "final weights, and initial ones with the prefix `initial_`; [R, …] arrays by layer",
    "PREDICTIONS": "predictions on the validation part, and its target",
    "COMPARISON": "the replicates' matrices and paths",
    "MOTION": "sums of the steps of weights and function by epoch, and sketches of the last epochs",
    "ONWARD": "of a study's winner: weights, curves, predictions and motion of the replicates trained on until they rest",
    "CURVES": "losses and learning rate, [R, epochs]",
    "TABLE": "the same as a table, one row per replicate and epoch",
    "PICTURE": "a picture of them",
    "ERRORS": "errors on the validation rows: the confusion matrix, or residuals by the size of the target",
    "CONFIG": "the settings that rebuild the trial",
    "ENVIRONMENT": "versions, CPU, switches, and digests of code and data",
    "MANIFEST": "sha256 of the other files; written last",
}
PORTRAIT = {"portrait.html": "the replicates as one page, for a study's best trial and for a trial launched alone"}
STUDY_FILES = {
    "trials.md": "the study's table",
    "answer.txt": "its answer",
    "settings.md": "each setting's effect on the loss",
    "report.html": "the study as one page",
    "SETTING.md": "of a study that varies one setting, by its name: its effect",
    "blame.md": "of a crossed study: each source's share of the variance",
}


class Undocumented(Exception):
    """Names without a meaning, and meanings without a name; one per line."""


class Row(NamedTuple):
    """One key of one choice of a group."""

    key: str
    choice: str
    valid: str
    default: str
    meaning: str


# -- conf/ -------------------------------------------------------------------------------------------------------------------


def commented(file: Path) -> tuple[str, dict[str, str]]:
    """Return the file's first comment lines, and the comment of each key at its top level."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    first = [line.removeprefix("#").strip() for line in lines[: next((n for n, x in enumerate(lines) if not x.startswith("#")), 0)]]
    comments = {}
    for line in lines:
        if match := re.match(r"(\w+):(?:[^#]*?)(?:\s#\s(.*))?$", line):
            comments[match[1]] = match[2] or ""
    return " ".join(first), comments


def written(value: object) -> str:
    """Return a value in the syntax of an override."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def rules_of(group: str, choice: str) -> Mapping[str, str]:
    """Return the valid values of a choice's keys, in words."""
    if group in ("sampler", "pruner"):
        made = (search.SAMPLERS if group == "sampler" else search.PRUNERS)[choice]
        # the grid never asks the sampler that it is made of
        parameters = {} if choice == "grid" else inspect.signature(made).parameters
        return {key: _annotated(each.annotation) for key, each in parameters.items()}
    if group == "tracking":
        return {"uri": f"{locations.STORES}, or null" if choice == "mlflow" else "null"}
    section = spec.KINDS[group][choice] if group in spec.KINDS else spec.SECTIONS[group]
    valid = {each.name: each.metadata["rule"].valid for each in dataclasses.fields(section) if "rule" in each.metadata}  # type: ignore[arg-type]
    if group == "model":
        valid |= {"width": rules.optional(model.WIDTH).valid, "depth": rules.optional(model.DEPTH).valid}
    return valid


WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "None": "null"}


def _annotated(annotation: object) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    parts = [WORDS.get(part.strip(), "a mapping" if "Mapping" in part else part.strip()) for part in name.split("|")]
    return ", or ".join(parts)


def choices(group: str) -> list[str]:
    known = {**spec.KINDS, "sampler": search.SAMPLERS, "pruner": search.PRUNERS, "tracking": TRACKING["name"].names}.get(group)
    return list(known) if known else [ONLY[group]]


def rows_of(group: str, faults: list[str]) -> Iterator[Row]:
    for choice in choices(group):
        file = CONF / group / f"{choice}.yaml"
        _, meanings = commented(file)
        valid, content = rules_of(group, choice), yaml.safe_load(file.read_text())
        if group in SECTIONS_OF_TRIAL:
            faults += [f"{file.name}: no key {key}" for key in valid if key not in content]
        for key, value in content.items():
            if key == "name":
                continue
            if not meanings.get(key):
                faults.append(f"{file.relative_to(ROOT)}: {key} has no comment")
            if key not in valid:
                faults.append(f"{file.relative_to(ROOT)}: nothing knows {key}")
            yield Row(f"{group}.{key}", choice, valid.get(key, ""), written(value), meanings.get(key, ""))


# -- Markdown ----------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def keyed(head: Sequence[str], meanings: Mapping[str, str]) -> Iterator[str]:
    def shown(key: str) -> str:
        return key if key.startswith("the ") else ", ".join(each if each == "…" else f"`{each}`" for each in key.split(", "))

    yield from table(head, ([shown(key), text] for key, text in meanings.items()))


def grouped(rows: Sequence[Row], count: int) -> Iterator[list[str]]:
    """Yield one row per key, valid values and meaning. count: number of the group's choices."""
    together: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        together.setdefault((row.key, row.valid, row.meaning), []).append(row)
    keys = list(dict.fromkeys(row.key for row in rows))
    shared = {row.key for same in together.values() if len(same) == count for row in same}
    # keys that all have come last, as in the files
    for (key, valid, meaning), same in sorted(together.items(), key=lambda item: (item[0][0] in shared, keys.index(item[0][0]))):
        line = [f"`{key}`", valid, defaults(same), meaning]
        yield line if count == 1 else [*line, "all" if len(same) == count else ", ".join(row.choice for row in same)]


def defaults(same: Sequence[Row]) -> str:
    """Return the most common value, and the others with their choices."""
    (usual, _), *others = Counter(row.default for row in same).most_common()
    exceptions = [f"`{other}` ({', '.join(row.choice for row in same if row.default == other)})" for other, _ in others]
    return ", ".join([f"`{usual}`", *exceptions])


def group_text(group: str, default: str, faults: list[str]) -> Iterator[str]:
    rows, known = list(rows_of(group, faults)), choices(group)
    yield f"### {group}\n"
    yield f"{GROUPS[group]}\n"
    if len(known) > 1:
        heads = {choice: commented(CONF / group / f"{choice}.yaml")[0] for choice in known}
        faults += [f"conf/{group}/{choice}.yaml: its first line is no comment" for choice, text in heads.items() if not text]
        yield from table(
            [f"`{group}=`", ""], [[f"`{name}`{' (default)' * (name == default)}", text] for name, text in heads.items()]
        )
    if rows:
        of = [] if len(known) == 1 else ["of"]
        yield from table(["key", "valid", "default", "meaning", *of], grouped(rows, len(known)))


# -- the parts ---------------------------------------------------------------------------------------------------------------


def settings(faults: list[str]) -> Iterator[str]:
    config = yaml.safe_load((CONF / "config.yaml").read_text())
    chosen = {key: value for each in config["defaults"] if isinstance(each, dict) for key, value in each.items()}
    yield "## Settings\n"
    yield "`mlp-study key=value …` trains one setting; with `--multirun`, each of these keys can be searched.\n"
    seed = next(each.metadata["rule"].valid for each in dataclasses.fields(spec.TrialSpec) if each.name == "seed")
    yield from table(
        ["key", "valid", "default", "meaning"],
        [
            [
                "`seed`",
                seed,
                f"`{config['seed']}`",
                "the root of every random number: weights, batch orders, the data's split, the sampler",
            ]
        ],
    )
    for group in SECTIONS_OF_TRIAL:
        yield from group_text(group, str(chosen[group]), faults)
    yield "## Search\n"
    yield from sweeper(faults)
    for group in ("sampler", "pruner"):
        yield from group_text(group, str(chosen[group]), faults)
    yield "## Records\n"
    yield from group_text("tracking", str(chosen["tracking"]), faults)
    yield "A study sets `study.name`, `study.trial` and `study.storage` for its own trials; leave them alone.\n"
    yield "In the folder of the launch:\n"
    yield from keyed(["file", ""], FILES)
    yield "## Experiments\n"
    yield "`mlp-study -m +experiment=NAME`, with any other settings.\n"
    files = sorted(CONF.glob("experiment/*.yaml"))
    faults += [f"{file.relative_to(ROOT)}: its first line is no comment" for file in files if not commented(file)[0]]
    yield from table(["`+experiment=`", ""], [[f"`{file.stem}`", commented(file)[0]] for file in files])


def sweeper(faults: list[str]) -> Iterator[str]:
    meanings = _fields(Path(study_sweeper.__file__))
    valid = _refusals()
    rows = []
    for each in dataclasses.fields(study_sweeper.StudySweeperConf):
        if each.name == "_target_":
            continue
        name = each.name.removesuffix("_")  # of a keyword
        if name in SWEEPER and meanings.get(each.name):
            faults.append(f"hydra.sweeper.{name} has a comment of its own: take it out of docs/generate.py")
        meaning = meanings.get(each.name) or SWEEPER.get(name, "")
        if not meaning:
            faults.append(f"hydra.sweeper.{name} has no comment")
        default = {} if each.default is dataclasses.MISSING else each.default
        shown = (
            "`{}`"
            if each.name == "params"
            else "see conf/config.yaml"
            if each.name == "default_params"
            else f"`{written(default)}`"
        )
        kind = "a mapping of key to values" if "params" in each.name else _annotated(each.type)
        rows.append([f"`hydra.sweeper.{name}`", valid.get(name, kind), shown, meaning])
    yield from table(["key", "valid", "default", "meaning"], rows)
    known = (*objectives.MEASURES, *objectives.SCORES)
    faults += [f"objective {name}: no meaning" for name in known if name not in OBJECTIVES]
    yield "Objectives:\n"
    yield from table(
        ["`hydra.sweeper.objective`", "", "better"],
        [[f"`{name}`", OBJECTIVES.get(name, ""), objectives.SCORES.get(name, objectives.MINIMIZE)[:3] + "imum"] for name in known],
    )
    yield "Searched values, on the command line or under `hydra.sweeper.params`:\n"
    yield from table(
        ["text", "means"],
        [
            ["`a,b,c` or `choice(a,b,c)`", "each of them"],
            ["`range(1,4)`, `range(0,1,0.25)`", "1, 2, 3; 0, 0.25, 0.5, 0.75"],
            ["`interval(1e-4,1e-1)`", "any number in between"],
            ["`int(interval(1,128))`", "any whole number in between"],
            ["`tag(log,interval(1e-4,1e-1))`", "any number in between, on a log scale"],
            ["`tag(optimizer:sgd,interval(0,0.9))`", "only if the optimizer is sgd"],
        ],
    )


def _fields(file: Path) -> dict[str, str]:
    """Return the comment above each field of the dataclass in a file."""
    comments, above = {}, ""
    for line in map(str.strip, file.read_text().splitlines()):
        if match := re.match(r"(\w+): .*= ", line):
            comments[match[1]] = above
        above = f"{above} {line.removeprefix('# ')}".strip() if line.startswith("# ") else ""
    return comments


def _refusals() -> dict[str, str]:
    """Return the valid values that the program prints when it is given others."""
    least = {"margin": 0, "confidence": 0, "max_replicates": 0, "networks": 0, "minutes": 0}
    wrong = {"n_trials": 0, "n_jobs": 0, "finalists": 0, "max_failure_rate": -1, **least}
    valid: dict[str, str] = {
        "storage": f"{locations.STORAGES}, or null",
        "try": "a list of mappings of searched settings, or null",
        "from": "the name of a study, or null",
    }
    tries: list[Any] = [
        lambda: planning._check_settings(wrong),
        lambda: objectives.parse("loss", "?", "regression"),
    ]
    for attempt in tries:
        try:
            attempt()
        except BadInput as bad:
            valid |= {fault.key.removeprefix("hydra.sweeper."): fault.valid for fault in bad.faults}
    may_be_null = ("n_trials", "direction", "networks", "minutes")
    valid |= {key: f"{valid[key]}, or null" for key in may_be_null if key in valid}
    return valid | {"objective": "one of the objectives below, or a list of several"}


def command_line(faults: list[str]) -> Iterator[str]:
    yield "## Command line\n"
    yield "`mlp-study [key=value …]` trains, with Hydra's syntax; `mlp-study COMMAND …` works with trained studies. "
    yield "`python -m study` is the same program.\n"
    yield from keyed(["flag of training", ""], HYDRAS)
    short: dict[str, list[str]] = {}
    shared = {name: kind for name, kind in flags.NAMES.items() if kind != flags.DRY_RUN}
    for name, kind in shared.items():
        short.setdefault(kind, []).append(name)
    yield "For training and all other commands:\n"
    yield from table(["flag", ""], [[", ".join(f"`{each}`" for each in both), flags.HELP[kind]] for kind, both in short.items()])
    for name, command in sorted(program.commands.commands.items()):
        yield from command_text(f"mlp-study {name}", command, faults)


def command_text(path: str, command: click.Command, faults: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"### {path.removeprefix('mlp-study ')}\n"
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```\n"
    if not command.help:
        faults.append(f"{path} has no help")
    # a page has no \b, by which click keeps lines apart
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    # the command's own text says what each name of a choice does
    unexplained = [each for each in options if not each.help and not isinstance(each.type, click.Choice)]
    faults += [f"{path} {each.opts[0]} has no help" for each in unexplained]
    if options:
        yield from table(["option", ""], [[f"`{', '.join(each.opts)}`", option_text(each)] for each in options])


def option_text(option: click.Option) -> str:
    valid = f" One of {', '.join(option.type.choices)}." if isinstance(option.type, click.Choice) else ""
    default = f" The default is {option.default}." if option.show_default else ""
    return f"{option.help or ''}{valid}{default}".strip()


def environment(faults: list[str]) -> Iterator[str]:
    read = set(_environment_names())
    faults += [f"the environment's {name} has no meaning" for name in sorted(read - ENVIRONMENT.keys())]
    faults += [f"nothing reads the environment's {name}" for name in sorted(ENVIRONMENT.keys() - read)]
    yield "## Environment variables\n"
    yield from keyed(["variable", ""], ENVIRONMENT | OF_LIBRARIES)
    yield "Pass credentials only here: a URL with a password is refused.\n"


def _environment_names() -> Iterator[str]:
    for file in ROOT.glob("study/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=place, attr="get" | "setdefault"), args=[ast.Constant(value=str(name)), *_]):
                    pass
                case ast.Subscript(value=place, slice=ast.Constant(value=str(name))):
                    pass
                case ast.Compare(left=ast.Constant(value=str(name)), comparators=[place]):
                    pass
                case _:
                    continue
            if ast.unparse(place) in ("os.environ", "environ"):
                yield name


def exit_codes() -> Iterator[str]:
    meanings = {0: "Done."} | {code: (inspect.getdoc(error) or "").partition("\n\n")[0] for code, error in EXIT_CODES.items()}
    meanings |= {FAILED_TRIALS_EXIT_CODE: "Done, with failed trials.", 130: "Interrupted (Ctrl-C).", 143: "Terminated."}
    yield "## Exit codes\n"
    yield from table(["code", ""], [[str(code), text] for code, text in sorted(meanings.items())])


def in_mlflow(faults: list[str]) -> Iterator[str]:
    # an experiment's name, which is no tag, has a capital letter
    known = {name: value for name, value in vars(schema).items() if isinstance(value, str) and value in schema.TAGS}
    faults += [f"the tag {name} has no meaning" for name in known if name not in TAGS]
    files = [name for name, value in vars(artifacts).items() if isinstance(value, str) and value in artifacts.FILES]
    faults += [f"the artifact {name} has no meaning" for name in files if name not in ARTIFACTS]
    yield "## In MLflow\n"
    yield "A study is an experiment. Each trial is a run with one child run per replicate; the study has its own run.\n"
    yield "Parameters of trial and replicate runs:\n"
    yield from keyed(["parameter", ""], PARAMETERS)
    yield "Metrics of a replicate's run; those without epochs belong to the kept weights:\n"
    yield from keyed(["metric", ""], REPLICATES)
    yield "Metrics of a trial's run:\n"
    yield from keyed(["metric", ""], TRIALS)
    yield "The run with all replicates of a race's winner also has:\n"
    yield from keyed(["metric", ""], OF_WINNERS)
    yield "Tags:\n"
    yield from table(["tag", ""], [[f"`{known[name]}`", TAGS[name]] for name in TAGS if name in known])
    yield "Runs of replicates also have the seed of each source: `seed.init`, `seed.order`, …\n"
    yield "Tags of a study's run, which has the best trial's metrics and the fixed settings as parameters:\n"
    yield from keyed(["tag", ""], STUDY_TAGS)
    yield "Artifacts of a trial's run:\n"
    yield from keyed(["file", ""], {getattr(artifacts, name): ARTIFACTS[name] for name in ARTIFACTS if name in files} | PORTRAIT)
    yield "Artifacts of a study's run:\n"
    yield from keyed(["file", ""], STUDY_FILES)


def reference() -> str:
    """Return the whole page. Raises Undocumented."""
    faults: list[str] = []
    parts = [
        "# Reference\n",
        "Every setting, command, variable and record. Generated from the code by `make docs`.\n",
        *settings(faults),
        *command_line(faults),
        *environment(faults),
        *exit_codes(),
        *in_mlflow(faults),
    ]
    if faults:
        raise Undocumented("\n".join(faults))
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    try:
        (ROOT / "docs" / "reference.md").write_text(reference())
    except Undocumented as error:
        sys.exit(str(error))
