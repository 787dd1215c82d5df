"""One Hydra job: the trial that a composed config asks for, trained and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from study import decode, places, starting
from study.clock import Clock
from study.errors import BadInput, Fault
from study.records import Leg, TrialResult
from study.spec import TrialSpec
from study.tracking import spool


def check(config: DictConfig) -> None:
    """Raises what would be refused of this job, without doing or writing anything."""
    from study import dataset

    spec, uri = decode.trial_spec(config), store_uri(decode.section(config, "tracking"))
    starting.load(spec, dataset.load_data(spec), uri or places.tracking_uri(None))
    if uri:
        places.check(uri)


def run(config: DictConfig, progress: Callable[[Leg], None] | None = None) -> TrialResult:
    """Trains and records the trial of `config`. Everything that can be refused is refused before a run is made."""
    clock = Clock()
    tracking, study, pruner = (decode.section(config, key) for key in ("tracking", "study", "pruner"))
    spec = decode.trial_spec(config)
    uri = store_uri(tracking)
    sender = spool.writer(uri) if uri else None
    with clock.phase("import"):
        from study import dataset
    datasets = dataset.load_replicates(spec)
    if sender:
        sender.prepare()
    with clock.phase("import"):
        from study import trial
    start = starting.load(spec, datasets[0], uri or places.tracking_uri(None))
    name, number = study["name"] or spec.data.name, study["trial"]
    recorder = spool.TrialRecorder(sender, name, spec, name_of(spec, number), number) if sender else spool.NoRecorder()
    result = trial.run_trial(spec, datasets, recorder, clock, _prune(pruner, study), progress, start)
    if sender and number is None:  # a study goes on meanwhile, and waits at its end
        with clock.phase("track"):
            sender.drain()
    return result


def _prune(pruner: Mapping[str, Any], study: Mapping[str, Any]) -> Callable[[Leg], bool]:
    from study import search

    if study["trial"] is None:
        return lambda leg: False
    return search.pruner(study["storage"], study["name"], study["trial"], pruner)


def store_uri(tracking: Mapping[str, Any]) -> str | None:
    """The MLflow store that runs are recorded in; None if they aren't. Raises BadInput for an unknown kind of tracking."""
    if tracking["name"] not in ("mlflow", "none"):
        raise BadInput([Fault("tracking", tracking["name"], "mlflow, none")])
    return places.tracking_uri(tracking["uri"]) if tracking["name"] == "mlflow" else None


def name_of(spec: TrialSpec, number: int | None) -> str:
    """A trial's run name, short enough for the runs table, where the settings have columns of their own."""
    return f"trial {number}" if number is not None else f"{spec.optimizer.name} {spec.optimizer.learning_rate:g}"
