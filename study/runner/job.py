"""One Hydra job: the trial that a composed config asks for, trained and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def check(config: DictConfig) -> str:
    """Raises what would be refused of this single run, without doing or writing anything. Tells how its table was read, if any."""
    from study.data import dataset, inputs

    faults: list[Fault] = []
    with collecting(faults):
        spec = decode.trial_spec(config)
    with collecting(faults):
        uri = store_uri(decode.section(config, "tracking"))
    with collecting(faults):
        if (number := _study(config)["trial"]) is not None:
            faults.append(Fault("study.trial", number, "null: a study sets it for its own trials"))
    if faults:
        raise BadInput(faults)
    data = dataset.load_data(spec)
    warm_start.load(spec, data, uri or locations.tracking_uri(None))
    if uri:
        locations.check(uri)
    return inputs.reading(spec, data)


def run(config: DictConfig, progress: Callable[[Leg], None] | None = None) -> TrialResult:
    """Trains and records the trial of `config`. Everything that can be refused is refused before a run is made."""
    clock = Clock()
    study, pruner = _study(config), decode.section(config, "pruner")
    spec = decode.trial_spec(config)
    uri = store_uri(decode.section(config, "tracking"))
    sender = spool.writer(uri, patient=study["trial"] is not None) if uri else None
    with clock.phase("import"):
        from study.data import dataset, inputs
    datasets = dataset.load_replicates(spec)
    if sender:
        sender.prepare()
    with clock.phase("import"):
        from study.runner import trial
    start = warm_start.load(spec, datasets[0], uri or locations.tracking_uri(None))
    name, number = study["name"] or spec.data.name, study["trial"]
    recorder: trial.Recorder = spool.NoRecorder()
    if sender:
        recorder = spool.TrialRecorder(sender, name, spec, name_of(spec, number), number, inputs.describe(spec, datasets[0]))
    result = trial.run_trial(spec, datasets, recorder, clock, _prune(pruner, study), progress, start)
    if number is not None:
        from study.search import stored

        with clock.phase("search"):
            stored.keep(study["storage"], study["name"], number, result)
    if sender and number is None:  # a study goes on meanwhile, and waits at its end
        with clock.phase("track"):
            sender.drain()
    return result


def _prune(pruner: Mapping[str, Any], study: Mapping[str, Any]) -> Callable[[Leg], bool]:
    from study.search import pruning

    if study["trial"] is None:
        return lambda leg: False
    return pruning.pruner(study["storage"], study["name"], study["trial"], pruner)


def _study(config: DictConfig) -> dict[str, Any]:
    return accepted("study", decode.section(config, "study"), STUDY)


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


def name_of(spec: TrialSpec, number: int | None) -> str:
    """A trial's run name, short enough for the runs table, where the settings have columns of their own."""
    return f"trial {number}" if number is not None else f"{spec.optimizer.name} {spec.optimizer.learning_rate:g}"
