"""One Hydra job: the trial that a composed config asks for, trained and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from study import decode, places
from study.clock import Clock
from study.errors import BadInput, Fault
from study.records import Leg, Scalar, TrialResult
from study.spec import TrialSpec


def run(config: DictConfig, progress: Callable[[Leg], None] | None = None) -> TrialResult:
    """Trains and records the trial of `config`. Everything that can be refused is refused before a run is made."""
    clock = Clock()
    settings = decode.section(config, "tracking"), decode.section(config, "study"), decode.section(config, "pruner")
    tracking, study, pruner = settings
    spec = decode.trial_spec(config)
    with clock.phase("import"):
        from study import dataset, trial
    data = dataset.load_data(spec)
    name = study["name"] or spec.data.name
    with clock.phase("track"):
        recorder = _recorder(tracking, spec, name, study["trial"])
    return trial.run_trial(spec, data, recorder, clock, _prune(pruner, study), progress)


def _prune(pruner: Mapping[str, Any], study: Mapping[str, Any]) -> Callable[[Leg], bool]:
    from study import search

    if study["trial"] is None:
        return lambda leg: False
    return search.pruner(study["storage"], study["name"], study["trial"], pruner)


def _recorder(tracking: Mapping[str, Any], spec: TrialSpec, name: str, number: int | None) -> Any:
    from study import tracking as mlflow_tracking

    if not enabled(tracking):
        return mlflow_tracking.NoRecorder()
    store = mlflow_tracking.connect(places.tracking_uri(tracking["uri"]))
    return mlflow_tracking.TrialRecorder(store.client, store.experiment(name), spec, _run_name(spec, number), number)


def enabled(tracking: Mapping[str, Scalar]) -> bool:
    """Whether runs are recorded. Raises BadInput for an unknown kind of tracking."""
    if tracking["name"] not in ("mlflow", "none"):
        raise BadInput([Fault("tracking", tracking["name"], "mlflow, none")])
    return tracking["name"] == "mlflow"


def _run_name(spec: TrialSpec, number: int | None) -> str:
    what = f"{spec.optimizer.name} lr {spec.optimizer.learning_rate:.2g}, {'-'.join(map(str, spec.model.units))}"
    return f"trial {number}: {what}" if number is not None else what
