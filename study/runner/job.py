"""One Hydra job: the trial that a composed config asks for, trained and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from study import locations, sqlite
from study.clock import Clock
from study.config import decode
from study.errors import BadInput, Fault, check_writable, collecting
from study.records.cohort import Leg
from study.records.outcome import TrialResult
from study.settings.rules import TEXT, accepted, integer, one_of, optional
from study.settings.spec import TrialSpec
from study.tracking import spool, warm_start

TRACKING = {"name": one_of(("mlflow", "none")), "uri": optional(TEXT)}
STUDY = {"name": optional(TEXT), "trial": optional(integer(0, 1_000_000_000)), "storage": optional(TEXT)}


@dataclass(frozen=True)
class Job:
    """A trial and where it is recorded.

    study: the name, storage and trial number that a study has given it, or None for each. pruner: the pruner's settings. uri: the
    MLflow store; None if nothing is recorded.
    """

    spec: TrialSpec
    study: Mapping[str, Any]
    pruner: Mapping[str, Any]
    uri: str | None

    @property
    def store(self) -> str:
        """The MLflow store to read other runs from."""
        return self.uri or locations.tracking_uri(None)


def from_config(config: DictConfig, *, single: bool = False) -> Job:
    """Return the job that a config asks for. Raises BadInput, with all faults, and what `store_uri` raises.

    single: no study launches it, so it has no trial number.
    """
    faults: list[Fault] = []
    with collecting(faults):
        spec = decode.trial_spec(config)
    with collecting(faults):
        uri = store_uri(decode.section(config, "tracking"))
    with collecting(faults):
        study = accepted("study", decode.section(config, "study"), STUDY)
        if single and study["trial"] is not None:
            faults.append(Fault("study.trial", study["trial"], "null: a study sets it for its own trials"))
    if faults:
        raise BadInput(faults)
    return Job(spec, study, decode.section(config, "pruner"), uri)


def check(job: Job) -> str:
    """Raise what would be refused of a single run, without doing or writing anything; return how its table was read, if any."""
    from study.data import dataset, inputs

    data = dataset.load_data(job.spec)
    warm_start.load(job.spec, data, job.store)
    if job.uri:
        locations.check(job.uri)
    return inputs.reading(job.spec, data)


def run(job: Job, progress: Callable[[Leg], None] | None = None) -> TrialResult:
    """Train and record a trial. Everything that can be refused is refused before a run is made."""
    clock, spec, number = Clock(), job.spec, job.study["trial"]
    sender = spool.writer(job.uri, patient=number is not None) if job.uri else None
    with clock.phase("import"):
        from study.data import dataset, inputs
    datasets = dataset.load_replicates(spec)
    if sender:
        sender.prepare()
    with clock.phase("import"):
        from study.runner import trial
    start = warm_start.load(spec, datasets[0], job.store)
    recorder: trial.Recorder = spool.NoRecorder()
    if sender:
        name, described = job.study["name"] or spec.data.name, inputs.describe(spec, datasets[0])
        recorder = spool.TrialRecorder(sender, name, spec, run_name(spec, number), number, described)
    result = trial.run_trial(spec, datasets, recorder, clock, _prune(job), progress, start)
    if number is not None:
        from study.search import stored

        with clock.phase("search"):
            stored.keep(job.study["storage"], job.study["name"], number, result)
    if sender and number is None:  # a study goes on meanwhile, and waits at its end
        with clock.phase("track"):
            sender.drain()
    return result


def _prune(job: Job) -> Callable[[Leg], bool]:
    from study.search import pruning

    if job.study["trial"] is None:
        return lambda leg: False
    return pruning.pruner(job.study["storage"], job.study["name"], job.study["trial"], job.pruner)


def store_uri(tracking: Mapping[str, Any]) -> str | None:
    """The MLflow store that runs are recorded in; None if they aren't.

    Raises BadInput for an unknown kind of tracking or a malformed URL, NotWritable if there is a place where records can't be
    written, and Corrupt if the store is no database.
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


def run_name(spec: TrialSpec, number: int | None) -> str:
    """A trial's run name, short enough for the runs table, where the settings have columns of their own."""
    return f"trial {number}" if number is not None else f"{spec.optimizer.name} {spec.optimizer.learning_rate:g}"
