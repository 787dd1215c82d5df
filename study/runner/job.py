"""Train and record one Hydra job: the trial that a composed config describes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from study import locations, processes, sqlite
from study.clock import Clock
from study.config import decode, source
from study.errors import BadInput, Fault, check_writable, collecting
from study.records.cohort import Leg
from study.records.outcome import TrialResult
from study.runner import memory
from study.settings import spec as specs
from study.settings.rules import FLAG, STUDY_NAME, TEXT, accepted, integer, one_of, optional
from study.settings.spec import TrialSpec
from study.tracking import spool, warm_start

TRACKING = {"name": one_of(("mlflow", "none")), "uri": optional(TEXT)}
NETWORKS, BASELINES = "networks", "baselines"
STUDY = {
    "name": optional(STUDY_NAME),
    "trial": optional(integer(0, 1_000_000_000)),
    "storage": optional(TEXT),
    "whole": optional(integer(0, 1_000_000_000)),
    "test": optional(one_of((NETWORKS, BASELINES))),
    "default": optional(TEXT),
    "onward": optional(FLAG),
}


@dataclass(frozen=True)
class Job:
    """A trial and its records.

    study: the name, storage and trial number of its study, each None without a study; `whole`: the trial all of whose replicates
    this job trains again, together; `test`: what is judged on the test part; `default`: the default setting, judged beside it;
    `onward`: whether its replicates are trained on until they rest.
    pruner: the pruner's settings. uri: the MLflow store; None if nothing is recorded.
    """

    spec: TrialSpec
    study: Mapping[str, Any]
    pruner: Mapping[str, Any]
    uri: str | None

    @property
    def store(self) -> str:
        """Return the MLflow store to read other runs from."""
        return self.uri or locations.tracking_uri(None)


def from_config(config: DictConfig, *, single: bool = False) -> Job:
    """Return the job that a config describes. Raises BadInput with all faults, and the errors of `store_uri`.

    single: no study launches it, so it has no trial number.
    """
    faults: list[Fault] = []
    with collecting(faults):
        spec = decode.trial_spec(config)
    with collecting(faults):
        uri = store_uri(decode.section(config, "tracking"))
    with collecting(faults):
        study = accepted("study", decode.section(config, "study"), STUDY)
        faults += [
            Fault(f"study.{key}", study[key], "null; only a study sets it")
            for key in ("trial", "whole", "test", "default", "onward")
            if single and study[key] is not None
        ]
    if faults:
        raise BadInput(faults)
    return Job(spec, study, decode.section(config, "pruner"), uri)


def run_composed(config: DictConfig) -> TrialResult:
    """Run a job of a study, for Hydra's launchers. config: without Hydra's own settings."""
    if HydraConfig.get().runtime.choices["hydra/launcher"] != "basic":
        processes.end_with_parent()
    # paths of records and tables don't depend on the folder that `hydra.job.chdir` changes to
    with contextlib.chdir(HydraConfig.get().runtime.cwd), source.own_resolvers():
        return run(from_config(config))


def check(job: Job) -> str:
    """Raise any error that would refuse a single run, without writing anything; return how its table was read, if any."""
    from study.data import dataset, inputs

    data = dataset.load_data(job.spec)
    memory.check(job.spec, data)
    warm_start.load(job.spec, data, job.store)
    if job.uri:
        locations.check(job.uri)
    return inputs.reading(job.spec, data)


def run(job: Job, progress: Callable[[Leg], None] | None = None) -> TrialResult:
    """Train and record a trial. All checks come before the run is created."""
    clock, spec, number = Clock(), job.spec, job.study["trial"]
    sender = spool.writer(job.uri, patient=number is not None) if job.uri else None
    with clock.phase("import"):
        from study.data import dataset, inputs
    datasets = dataset.load_replicates(spec)
    memory.check(spec, datasets[0])
    if sender:
        sender.prepare(unwatched=number is None)
    with clock.phase("import"):
        from study.runner import trial
    start = warm_start.load(spec, datasets[0], job.store)
    prune = _prune(job)  # loads Optuna, which takes long enough for an interrupt; from here on the record is closed in any case
    recorder: trial.Recorder = spool.NoRecorder()
    if sender:
        name, described, whole = job.study["name"] or spec.data.name, inputs.describe(spec, datasets[0]), job.study["whole"]
        recorder = spool.TrialRecorder(sender, name, spec, run_name(spec, number, whole), number, described, whole)
    test = None
    if job.study["test"] is not None:
        default = specs.build(json.loads(job.study["default"])) if job.study["default"] else None
        warm = warm_start.load(default, datasets[0], job.store) if default else None
        test = trial.LastLook(job.study["test"] == BASELINES, default, warm, bool(job.study["onward"]))
    result = trial.run_trial(spec, datasets, recorder, clock, prune, progress, start, test)
    if number is not None:
        from study.search import stored

        with clock.phase("search"):
            stored.keep(job.study["storage"], job.study["name"], number, result)
    if sender and number is None:  # a study continues meanwhile, and waits at its end
        with clock.phase("track"):
            sender.drain()
    return result


def _prune(job: Job) -> Callable[[Leg], bool]:
    from study.search import pruning

    if job.study["trial"] is None:
        return lambda leg: False
    return pruning.pruner(job.study["storage"], job.study["name"], job.study["trial"], job.pruner)


def store_uri(tracking: Mapping[str, Any]) -> str | None:
    """Return the MLflow store for runs; None without tracking.

    Raises BadInput for an unknown kind of tracking or a malformed URL, NotWritable for a folder that can't be written, and Corrupt
    for a store that isn't a database.
    """
    settings = accepted("tracking", tracking, TRACKING)
    if settings["name"] == "none":
        return None
    uri = locations.tracking_uri(settings["uri"])
    sqlite.check(uri)
    check_writable(spool.FOLDER)
    if database := sqlite.path_of(uri):
        check_writable(database.parent / "mlruns")
    return uri


def run_name(spec: TrialSpec, number: int | None, whole: int | None = None) -> str:
    """Return a short name for a trial's run, since the runs table has columns for its settings."""
    if whole is not None:
        return f"trial {whole}, all replicates"
    return f"trial {number}" if number is not None else f"{spec.optimizer.name} {spec.optimizer.learning_rate:g}"
