"""Writes docs/reference.md from conf/, the settings' rules, the commands and the code: `make docs`.

A key means what its comment in conf/ says: the one at the end of its line. A group's choice means what the first lines of its
file say. What conf/ can't hold is in the tables below. Whatever has no meaning, or a meaning and isn't there, is an error.
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
from study import flags, locations
from study.cli import program
from study.errors import EXIT_CODES, FAILED_TRIALS_EXIT_CODE, BadInput
from study.runner import planning
from study.runner.job import TRACKING
from study.search import kinds as search
from study.settings import model, rules, spec
from study.statistics import objectives
from study.tracking import artifacts, names

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"

GROUPS = {
    "data": "Where the rows come from, and how they are split, normalised and disturbed. [data.md](data.md) tells more.",
    "model": "The network.",
    "optimizer": "Update rules and defaults are Keras'.",
    "schedule": "How the learning rate moves from step to step. Durations are in epochs, and may be fractions.",
    "loss": "What training minimises, averaged over the batch.",
    "init": "How the weights start. Definitions and defaults are Keras'. Inputs and outputs are those of a layer.",
    "training": "How long, and in what batches.",
    "replicates": "How many networks of each setting, and what differs between them.",
    "sampler": "How a study picks its next setting. Besides the settings below, every argument of Optuna's class can be given "
    "(`+sampler.n_ei_candidates=48`).",
    "pruner": "What stops a trial in mid-training. A pruner looks after each leg (`training.leg_epochs`). Besides the settings "
    "below, every argument of Optuna's class can be given.",
    "tracking": "Where the records go.",
}
SECTIONS_OF_TRIAL = ("data", "model", "optimizer", "schedule", "loss", "init", "training", "replicates")
# the place that a choice without a name of its own has
ONLY = {"model": "mlp", "training": "default", "replicates": "default"}

# of hydra.sweeper: what has no comment in its dataclass
SWEEPER = {
    "n_jobs": "trials that are asked for at a time, and launched together",
    "params": "what is searched, key by key, as on the command line; for an experiment's file",
}
OBJECTIVES = {
    "loss": "mean validation loss over the replicates",
    "spread": "its standard deviation over the replicates",
    "size": "weights of a network",
    "time": "seconds of training a network",
    "r2": "mean R² on the validation part (regression)",
    "mae": "mean absolute error on the validation part (regression)",
    "accuracy": "mean share of validation rows that are classified rightly",
    "auc": "mean area under the ROC curve (classification; of several classes, one against the rest)",
}
ENVIRONMENT = {
    "MLP_STUDY_STORAGE": "Optuna's storage, where `hydra.sweeper.storage` or `--storage` isn't given",
    "MLFLOW_TRACKING_URI": "the MLflow store, where `tracking.uri` isn't given",
    "MLFLOW_DISABLE_TELEMETRY": "set to `true` here unless you set it: MLflow sends nothing to its makers",
    "MLFLOW_TRUNCATE_LONG_VALUES": "set to `false` here unless you set it: a text that is too long is an error and not cut",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "set to `false` here unless you set it",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "set to `true` here unless you set it",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "how often a request to an MLflow server is repeated; 7 here unless you set it",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "how the waits between them grow; 1 here unless you set it",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "seconds that a request may take; 60 here unless you set it",
    "XDG_CACHE_HOME": "where compiled programs and the index of `similar` are kept, in `mlp-study`; the default is `~/.cache`",
    "XLA_FLAGS": "switches of the compiler; they change bits, and are recorded with a trial",
    "TF_XLA_FLAGS": "switches of TensorFlow's side of it; if you set it, compiled programs aren't kept between processes",
    "TF_ENABLE_ONEDNN_OPTS": "switches oneDNN's kernels; it changes bits, and is recorded with a trial",
    "TF_CPP_MIN_LOG_LEVEL": "what TensorFlow says at its start; 3 (nothing) here unless you set it",
    "HYDRA_FULL_ERROR": "set here, so that errors reach the command in their own form",
    "COMP_LINE": "set by the shell's completion",
}
OF_LIBRARIES = {
    "MLFLOW_TRACKING_USERNAME": "the login to an MLflow server (MLflow reads it)",
    "MLFLOW_TRACKING_PASSWORD": "its password (MLflow reads it)",
    "MLFLOW_TRACKING_TOKEN": "a token in their place (MLflow reads it)",
    "PGPASSWORD": "PostgreSQL's password (its client reads it, as it does `PGPASSFILE` and `~/.pgpass`)",
    "FORCE_COLOR": "colours where the output is no terminal (Rich reads it, as it does `NO_COLOR`)",
}
HYDRAS = {
    "--multirun, -m": "a study: search the settings that have several values or a range",
    "--dry-run": flags.HELP[flags.DRY_RUN],
    "--cfg job": "what a launch would use, as YAML; trains nothing",
    "--help, --hydra-help": "all groups and settings; Hydra's own flags",
    "--version": "the program's version",
}
FILES = {
    "mlflow.db": "MLflow's records: experiments, runs, curves",
    "mlruns/": "MLflow's artifacts",
    "optuna.db": "Optuna's records: studies and their trials",
    "outputs/": "Hydra's folder of each single launch, with its settings and `portrait.html`",
    "multirun/": "the same of each study, with `report.html` and `portrait.html`",
    ".mlp-study/": "what MLflow has not taken yet; the next launch here sends it",
}
PARAMETERS = {
    "the settings": "every setting of the trial, by its dotted key (`optimizer.learning_rate`); a group's choice by its name",
    "replicate": "replicate runs: the replicate's number",
    "seed.init, seed.order, …": "replicate runs: the seed of each source",
}
CURVES = {
    "train_loss": "by epoch: the mean of the epoch's batches, as Keras' `fit` reports it",
    "val_loss": "by epoch: after the epoch, on the validation part",
}
REPLICATES = {
    **CURVES,
    "val_r2": "R² (regression)",
    "val_mae": "mean absolute error, on the normalised target (regression)",
    "val_accuracy": "share of rows that are classified rightly",
    "val_auc": "area under the ROC curve (classification)",
    "loss_over_trivial": "the training loss in units of the trivial predictor's",
    "improvement_low": "least that another tail of epochs would improve, in trivial losses (`study/analysis/convergence.py`)",
    "improvement_high": "its upper end: below 0.001 the replicate has plateaued",
}
TRIALS = {
    "val_loss_mean": "mean over the replicates, a point a leg; what a study minimises unless told otherwise",
    "val_loss_std": "standard deviation over the replicates",
    "val_loss_halfwidth": "half of Student's 95 % interval of the mean; none for crossed replicates",
    "train_loss_mean": "mean training loss over the replicates",
    "val_r2, val_mae, val_accuracy, val_auc": "means of the replicates' scores",
    "distance": "mean relative L2 of the pairs' weights, as they lie",
    "aligned": "the same after matching neurons",
    "null": "what `aligned` is for fresh networks of this architecture",
    "barrier": "largest rise of the loss on the straight line between two replicates; in error rate or trivial losses",
    "aligned_barrier": "the same after matching neurons",
    "cka": "mean debiased linear CKA of the last hidden layer",
    "disagreement": "mean over the pairs: predictions' RMSE over the target's SD, or the share of rows classified differently",
    "distinct": "how many different fingerprints",
    "finite_test": "share of the replicates' variance in error that is only due to the few validation rows",
}
TAGS = {
    "KIND": "`study`, `trial` or `replicate`",
    "TRIAL": "trial runs: the trial's number in its study",
    "REPLICATE": "replicate runs: the replicate's number",
    "OWNER": "the process that wrote the run",
    "KEY": "the trial's record, by which a run is found again if an answer of the server got lost",
    "FINGERPRINT": "replicate runs: sha256 of the final weights",
    "CONVERGENCE": "the label, or how many replicates have which",
    "EPOCH": "replicate runs: the epoch whose weights are kept",
    "REASON": "why a trial failed, was pruned or was killed",
    "VERDICT": "trial runs: what the replicates are to one another",
    "EVIDENCE": "trial runs: the numbers that lead to it",
    "SEARCHABLE": "replicate runs: the fingerprint that `mlp-study similar` searches by",
}
STUDY_TAGS = {
    "answer": "whether the best setting converges to a single, stable value",
    "win": "whether its win is more than seed noise",
    "best": "the best trial's run",
    "blame": "of a crossed study: which source is to blame",
    "factor": "of a study that varies one setting: what it does",
}
ARTIFACTS = {
    "WEIGHTS": "final weights, and initial ones with the prefix `initial_`; [R, …] arrays by layer",
    "PREDICTIONS": "predictions on the validation part, and its target",
    "COMPARISON": "the replicates' matrices and paths",
    "CURVES": "losses and learning rate, [R, epochs]",
    "TABLE": "the same as a table, a row a replicate and epoch",
    "CONFIG": "the settings that rebuild the trial",
    "ENVIRONMENT": "versions, CPU, switches, and digests of code and data",
    "MANIFEST": "sha256 of the other files; written last",
}
PORTRAIT = {"portrait.html": "the replicates as one page, for the best trial of a study and for a trial that is launched alone"}
STUDY_FILES = {
    "trials.md": "the study's table",
    "answer.txt": "its answer",
    "settings.md": "what each setting does to the loss",
    "report.html": "the study as one page",
    "SETTING.md": "of a study that varies one setting, by its name: what that does",
    "blame.md": "of a crossed study: which source is to blame",
}


class Undocumented(Exception):
    """What has no meaning, or a meaning and isn't there; a line each."""


class Row(NamedTuple):
    """A key of one choice of a group."""

    key: str
    choice: str
    valid: str
    default: str
    meaning: str


# -- conf/ -------------------------------------------------------------------------------------------------------------------


def commented(file: Path) -> tuple[str, dict[str, str]]:
    """What the file's first lines say, and the comment of each key at its top level."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    first = [line.removeprefix("#").strip() for line in lines[: next((n for n, x in enumerate(lines) if not x.startswith("#")), 0)]]
    found = {}
    for line in lines:
        if match := re.match(r"(\w+):(?:[^#]*?)(?:\s#\s(.*))?$", line):
            found[match[1]] = match[2] or ""
    return " ".join(first), found


def written(value: object) -> str:
    """A value as an override would have it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def rules_of(group: str, choice: str) -> Mapping[str, str]:
    """The valid values of a choice's keys, in words."""
    if group in ("sampler", "pruner"):
        made = (search.SAMPLERS if group == "sampler" else search.PRUNERS)[choice]
        # the grid never asks the sampler that it is made of
        found = {} if choice == "grid" else inspect.signature(made).parameters
        return {key: _annotated(each.annotation) for key, each in found.items()}
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
    """A line for each key, valid values and meaning. count: of the group's choices."""
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
    """The value that most have, and the others' with their choices."""
    (usual, _), *others = Counter(row.default for row in same).most_common()
    told = [f"`{other}` ({', '.join(row.choice for row in same if row.default == other)})" for other, _ in others]
    return ", ".join([f"`{usual}`", *told])


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
    yield "## What is trained\n"
    yield "`mlp-study key=value …` trains one setting; with `--multirun` each of these keys can be searched.\n"
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
    yield "## How a study searches\n"
    yield from sweeper(faults)
    for group in ("sampler", "pruner"):
        yield from group_text(group, str(chosen[group]), faults)
    yield "## Records\n"
    yield from group_text("tracking", str(chosen["tracking"]), faults)
    yield "`study.name`, `study.trial` and `study.storage` are filled in by a study for its own trials; leave them alone.\n"
    yield "In the folder of the launch:\n"
    yield from keyed(["file", ""], FILES)
    yield "## Experiments\n"
    yield "`mlp-study -m +experiment=NAME`; any setting can be given besides.\n"
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
        if each.name in SWEEPER and meanings.get(each.name):
            faults.append(f"hydra.sweeper.{each.name} has a comment of its own: take it out of docs/generate.py")
        meaning = meanings.get(each.name) or SWEEPER.get(each.name, "")
        if not meaning:
            faults.append(f"hydra.sweeper.{each.name} has no comment")
        default = {} if each.default is dataclasses.MISSING else each.default
        shown = (
            "`{}`"
            if each.name == "params"
            else "see conf/config.yaml"
            if each.name == "default_params"
            else f"`{written(default)}`"
        )
        kind = "a mapping of key to values" if "params" in each.name else _annotated(each.type)
        rows.append([f"`hydra.sweeper.{each.name}`", valid.get(each.name, kind), shown, meaning])
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
            ["`interval(1e-4,1e-1)`", "any number between"],
            ["`int(interval(1,128))`", "any whole number between"],
            ["`tag(log,interval(1e-4,1e-1))`", "the same, evenly by its logarithm"],
            ["`tag(optimizer:sgd,interval(0,0.9))`", "only where the optimizer is sgd"],
        ],
    )


def _fields(file: Path) -> dict[str, str]:
    """The comment above each field of the dataclass in a file."""
    found, above = {}, ""
    for line in map(str.strip, file.read_text().splitlines()):
        if match := re.match(r"(\w+): .*= ", line):
            found[match[1]] = above
        above = f"{above} {line.removeprefix('# ')}".strip() if line.startswith("# ") else ""
    return found


def _refusals() -> dict[str, str]:
    """What the program says is valid, when it is given what isn't."""
    wrong = {"n_trials": 0, "n_jobs": 0, "finalists": 0, "max_failure_rate": -1}
    found: dict[str, str] = {"storage": f"{locations.STORAGES}, or null"}
    tries: list[Any] = [
        lambda: planning._check_settings(wrong),
        lambda: objectives.parse("loss", "?", "regression"),
    ]
    for attempt in tries:
        try:
            attempt()
        except BadInput as bad:
            found |= {fault.key.removeprefix("hydra.sweeper."): fault.valid for fault in bad.faults}
    may_be_null = ("n_trials", "finalists", "direction")
    found |= {key: f"{found[key]}, or null" for key in may_be_null if key in found}
    return found | {"objective": "one of the objectives below, or a list of several"}


def command_line(faults: list[str]) -> Iterator[str]:
    yield "## Command line\n"
    yield "`mlp-study [key=value …]` trains, by Hydra's rules; `mlp-study COMMAND …` looks at what was trained. "
    yield "`python -m study` is the same program.\n"
    yield from keyed(["flag of training", ""], HYDRAS)
    short: dict[str, list[str]] = {}
    shared = {name: kind for name, kind in flags.NAMES.items() if kind != flags.DRY_RUN}
    for name, kind in shared.items():
        short.setdefault(kind, []).append(name)
    yield "Of training and of the other commands:\n"
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
    # what one of several names does, the command's own text tells
    untold = [each for each in options if not each.help and not isinstance(each.type, click.Choice)]
    faults += [f"{path} {each.opts[0]} has no help" for each in untold]
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
    yield "Credentials belong here and nowhere else: a URL that holds a password is refused.\n"


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
    told = {0: "Done."} | {code: (inspect.getdoc(error) or "").partition("\n\n")[0] for code, error in EXIT_CODES.items()}
    told |= {FAILED_TRIALS_EXIT_CODE: "Done, with failed trials.", 130: "Interrupted (Ctrl-C).", 143: "Terminated."}
    yield "## Exit codes\n"
    yield from table(["code", ""], [[str(code), text] for code, text in sorted(told.items())])


def in_mlflow(faults: list[str]) -> Iterator[str]:
    # an experiment's name, which is no tag, has a capital letter
    known = {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str) and value.islower()}
    faults += [f"the tag {name} has no meaning" for name in known if name not in TAGS]
    files = [name for name, value in vars(artifacts).items() if isinstance(value, str) and value in artifacts.FILES]
    faults += [f"the artifact {name} has no meaning" for name in files if name not in ARTIFACTS]
    yield "## In MLflow\n"
    yield "A study is an experiment. Each trial is a run with a child run for each replicate; the study has a run of its own.\n"
    yield "Parameters of trial and replicate runs:\n"
    yield from keyed(["parameter", ""], PARAMETERS)
    yield "Metrics of a replicate's run; what isn't told by epoch is of the weights that are kept:\n"
    yield from keyed(["metric", ""], REPLICATES)
    yield "Metrics of a trial's run:\n"
    yield from keyed(["metric", ""], TRIALS)
    yield "Tags:\n"
    yield from table(["tag", ""], [[f"`{known[name]}`", TAGS[name]] for name in TAGS if name in known])
    yield "Tags of a study's run:\n"
    yield from keyed(["tag", ""], STUDY_TAGS)
    yield "Artifacts of a trial's run:\n"
    yield from keyed(["file", ""], {getattr(artifacts, name): ARTIFACTS[name] for name in ARTIFACTS if name in files} | PORTRAIT)
    yield "Artifacts of a study's run:\n"
    yield from keyed(["file", ""], STUDY_FILES)


def reference() -> str:
    """The whole page. Raises Undocumented."""
    faults: list[str] = []
    parts = [
        "# Reference\n",
        "Every setting, command, variable and record. Generated by `make docs` from the code; change it there.\n",
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
