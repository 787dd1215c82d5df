"""Finds the networks that a person names: by a run, by a trial's number in its study, as a study's best, or by a file of weights.

Studies and runs may have any name, and MLflow's filters have no way to escape a quote: a text that goes into one holds none, and
its results are compared with the name itself.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study import sqlite
from study.errors import BadInput, Fault, collecting
from study.records.network import Network
from study.records.tracked import TrackedNetwork
from study.settings import spec
from study.settings.rules import one_of_names, suggestion
from study.tracking import artifacts, reader, store
from study.tracking.schema import (
    DEFAULT,
    KIND,
    OF_STUDY,
    OF_TRIAL,
    REPLICATE,
    TRIAL,
    VAL_LOSS_MEAN,
    WHOLE,
    ReplicateTags,
    TrialTags,
    address,
    run_name,
)
from study.tracking.store import Store

BEST = "best"
RUN, PREFIX = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{4,31}")
NUMBER = re.compile(r"[0-9]{1,9}")
# study, trial and replicate; a study's name may hold anything, and so may fit both
WAYS = [re.compile(rf"(.+)/(best|[0-9]{{1,9}}){end}", re.DOTALL) for end in ("()", "/([0-9]{1,9})")]
MOST_LISTED, MOST_ALIKE = 12, 200

# a study's name → its best trial's number by its own objective, where that is known
Best = Callable[[str], int | None]


def unknown(_: str) -> int | None:
    return None


def looks_like(text: str) -> bool:
    """Return whether a text that is no study's name can only be the address of a run."""
    return text == BEST or any(pattern.fullmatch(text) for pattern in (RUN, PREFIX, *WAYS))


def networks(uri: str, texts: Sequence[str], best: Best = unknown) -> list[TrackedNetwork]:
    """Return the networks that the texts name, in their order. uri: of the MLflow store, which is opened only if one names a run.

    Raises BadInput for a text that names nothing, and Corrupt for damaged files.
    """
    named: list[TrackedNetwork] = []
    for text in texts:
        read = _files(text)
        if read is None:
            if text.endswith(".npz") and not sqlite.is_there(uri):
                raise BadInput([Fault("RUN", text, "a file that exists")])
            opened = store.existing(uri)
            read = reader.load_networks(opened, run_id(opened, text, best), motion=True, named=text)
        named += read
    return named


def run_id(opened: Store, text: str, best: Best = unknown) -> str:
    """Return the id of the run that a text names. Raises BadInput with the probable meaning, or with all possible ones."""
    run = find(opened, text, best)
    if run is None:
        studies = [name for name in opened.experiments() if name != DEFAULT]
        raise BadInput([Fault("RUN", text, _valid(opened, text, studies))])
    return run


def find(opened: Store, text: str, best: Best = unknown) -> str | None:
    """Return the id of the run that a text names; None if it names none.

    Raises BadInput where it may mean several, or names a study that has no such trial or replicate.
    """
    if RUN.fullmatch(text):
        return text
    experiments = {name: experiment for name, experiment in opened.experiments().items() if name != DEFAULT}
    faults: list[Fault] = []
    runs: list[Run] = []
    for study, trial, replicate in _ways(opened, text, experiments):
        with collecting(faults):
            runs.append(_run_of_study(opened, text, study, experiments[study], trial, replicate, best))
    if faults and not runs:
        raise BadInput(faults)
    runs = runs or _by_digits(opened, text, experiments) or _by_name(opened, text, experiments)
    if len(runs) > 1:
        raise BadInput([Fault("RUN", text, f"one of the {len(runs)} runs that it may mean: {_listed(opened, runs, experiments)}")])
    return str(runs[0].info.run_id) if runs else None


def _ways(opened: Store, text: str, experiments: dict[str, str]) -> Iterator[tuple[str, str, str | None]]:
    """Yield each study, trial and replicate that a text may mean; a study's whole name means nothing else."""
    if text in experiments:
        yield text, BEST, None
        return
    first, _, replicate = text.partition("/")
    if first == BEST and (not replicate or NUMBER.fullmatch(replicate)):
        yield newest(opened, experiments), BEST, replicate or None
    for way in WAYS:
        match = way.fullmatch(text)
        if match and match[1] in experiments:
            yield match[1], match[2], match[3] or None


def newest(opened: Store, experiments: dict[str, str]) -> str:
    """Return the study whose trial was the last to start. Raises BadInput if there is none."""
    last = _some(opened, list(experiments.values()), f"tags.`{TRIAL}` LIKE '%'", 1, "attributes.start_time DESC")
    if not last:
        raise BadInput([Fault("RUN", BEST, f"a study with trials; there is none in {opened.uri}")])
    return next(name for name, experiment in experiments.items() if experiment == last[0].info.experiment_id)


def page(opened: Store, study: str | None) -> str:
    """Return a study's page in MLflow, below the server's address; None: of the study that ran last, or the first page without one.

    Raises BadInput if there is no study of this name.
    """
    experiments = opened.experiments()
    if study is not None:
        if study in experiments:
            return opened.page(experiments[study])
        raise BadInput([Fault("STUDY", study, one_of_names(study, (name for name in experiments if name != DEFAULT)))])
    try:
        return opened.page(experiments[newest(opened, experiments)])
    except BadInput:
        return "/"


def _run_of_study(opened: Store, text: str, study: str, experiment: str, trial: str, replicate: str | None, best: Best) -> Run:
    number = best(study) if trial == BEST else int(trial)
    if number is None:
        run = _best_by_records(opened, text, study, experiment)
    else:
        wanted = f"tags.`{KIND}` = '{OF_TRIAL}' AND tags.`{TRIAL}` = '{number}'"
        whole = f"tags.`{WHOLE}` = '{number}' AND attributes.status = 'FINISHED'"
        # all replicates of a race's winner, or else those it began with; of an older study of this name there may be others
        runs = _some(opened, [experiment], whole, 1, "attributes.start_time DESC")
        runs = runs or _some(opened, [experiment], wanted, 10, "attributes.start_time DESC")
        if not runs:
            last = _some(opened, [experiment], f"tags.`{TRIAL}` LIKE '%'", 1, "attributes.start_time DESC")
            known = f", whose last is {study}/{last[0].data.tags[TRIAL]}" if last else ", which has no numbered trials"
            raise BadInput([Fault("RUN", text, f"a trial of study {study}{known}")])
        run = next((run for run in runs if run.info.status == "FINISHED"), runs[0])
    if replicate is None:
        return run
    of_trial = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.info.run_id}'"
    runs = _some(opened, [experiment], f"{of_trial} AND tags.`{REPLICATE}` = '{int(replicate)}'", 1)
    if not runs:
        numbers = sorted(ReplicateTags.from_tags(child.data.tags).number for child in opened.search(of_trial, experiment))
        of = TrialTags.from_tags(run.data.tags).of_trial  # the run's name may add that it has all replicates of a race
        valid = f"a replicate of trial {of}: {numbers[0]} to {numbers[-1]}" if numbers else "a trial that has replicates"
        raise BadInput([Fault("RUN", text, valid)])
    return runs[0]


def _best_by_records(opened: Store, text: str, study: str, experiment: str) -> Run:
    """Return the best trial that the study's run names since the study's end, else the one with the lowest loss."""
    for run in _some(opened, [experiment], f"tags.`{KIND}` = '{OF_STUDY}'", 1):
        if kept := run.data.tags.get(BEST):
            return opened.client.get_run(kept)
    done = f"tags.`{KIND}` = '{OF_TRIAL}' AND attributes.status = 'FINISHED'"
    # those with a number first: others are of finalists, or single ones
    for wanted in (f"{done} AND tags.`{TRIAL}` LIKE '%'", done):
        if runs := _some(opened, [experiment], wanted, 1, f"metrics.`{VAL_LOSS_MEAN}` ASC", "attributes.start_time ASC"):
            return runs[0]
    raise BadInput([Fault("RUN", text, f"a study with a finished trial; {study} has none")])


def _by_digits(opened: Store, text: str, experiments: dict[str, str]) -> list[Run]:
    digits = text.lower()
    if not PREFIX.fullmatch(digits):
        return []
    return _some(opened, list(experiments.values()), f"attributes.run_id LIKE '{digits}%'", MOST_LISTED + 1)


def _by_name(opened: Store, text: str, experiments: dict[str, str]) -> list[Run]:
    alike = re.sub(r"[^\w /.-]", "_", text)  # _ stands for any character
    runs = _some(opened, list(experiments.values()), f"attributes.run_name LIKE '{alike}'", MOST_ALIKE)
    return [run for run in runs if run.info.run_name == text]


def _some(opened: Store, experiments: list[str], wanted: str, most: int, *order: str) -> list[Run]:
    """Return the first of the runs that match an expression of MLflow's."""
    return list(opened.client.search_runs(experiments, wanted, max_results=most, order_by=list(order)))


def _listed(opened: Store, runs: Sequence[Run], experiments: dict[str, str]) -> str:
    names = {experiment: name for name, experiment in experiments.items()}
    named = [f"{_address(opened, names[run.info.experiment_id], run)} (run {run.info.run_id[:12]})" for run in runs[:MOST_LISTED]]
    return ", ".join(named) + (", …" if len(runs) > MOST_LISTED else "")


def _address(opened: Store, study: str, run: Run) -> str:
    parent, replicate = run.data.tags.get(MLFLOW_PARENT_RUN_ID), None
    if parent and REPLICATE in run.data.tags:
        run, replicate = opened.client.get_run(parent), ReplicateTags.from_tags(run.data.tags).number
    return address(study, run.info.run_name, TrialTags.from_tags(run.data.tags).number, replicate)


def _valid(opened: Store, text: str, studies: list[str]) -> str:
    # the name may be followed by a trial and a replicate
    meant = next(filter(None, (suggestion(name, studies) for name in (text, *(text.rsplit("/", n)[0] for n in (1, 2))))), "")
    known = ", ".join(studies[:MOST_LISTED]) + (", …" if len(studies) > MOST_LISTED else "") if studies else "none yet"
    return (
        f"{meant}the id of a run in {opened.uri}, its first digits (at least 4), its name, STUDY (its best trial), "
        f"STUDY/12 (a trial), STUDY/12/3 (a replicate), STUDY/best, best, or a file of weights (.npz); studies: {known}"
    )


# -- files -------------------------------------------------------------------------------------------------------------------


def _files(text: str) -> list[TrackedNetwork] | None:
    """Return the networks of a file of weights, or of a folder with a trial's files; None if the text names neither."""
    path = Path(text)
    if path.suffix == ".npz" and os.path.lexists(path):
        return [_bare(text, number, network) for number, network in enumerate(artifacts.read_weights(path))]
    if not os.path.lexists(path / artifacts.WEIGHTS):
        return None
    artifacts.check(path)
    config, trained, predictions, targets = artifacts.read_trained(path)
    built = spec.build(config)
    settings = spec.flat(built)
    return [
        replace(_bare(text, number, network), config=config, settings=settings, predictions=prediction, target=target)
        for number, network, prediction, target in zip(built.replicates.numbers, trained, predictions, targets, strict=True)
    ]


def _bare(text: str, number: int, network: Network) -> TrackedNetwork:
    """A network with nothing known but its weights."""
    nothing = np.empty((0, 1), np.float32)
    return TrackedNetwork(
        run_id="",
        name=run_name(text, number),
        trial=text,
        number=number,
        config={},
        settings={},
        seeds={},
        fingerprint="",
        label="",
        train_loss=math.nan,
        val_loss=math.nan,
        network=network,
        predictions=nothing,
        target=nothing,
    )
