"""Optuna: a study's sampler, pruner and storage behind ask and tell. The only module that imports Optuna."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from study import processes, sqlite
from study import space as spaces
from study.errors import BadInput, Fault, Unreachable
from study.records import Asked, Completed, Failed, Leg, Pruned, Summary, TrialRecord, TrialResult
from study.settings.rules import nearest
from study.space import Choice, Domain, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)

IDENTITY, OWNER, RESULT, FINAL = "identity", "owner", "result", "final "
# trials that ended for these reasons tell nothing about their settings: they don't count, and are run anew
INTERRUPTED = "interrupted"
UNCOUNTED = (processes.ABANDONED, INTERRUPTED)
DEFAULT_TRIALS = 24

SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}
PRUNERS: dict[str, Callable[..., optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
}


class Search:
    """A study that is asked for trials and told their results. One process asks and tells."""

    def __init__(
        self,
        *,
        name: str,
        storage: str,
        direction: str,
        space: Space,
        sampler: Mapping[str, Any],
        seed: int,
        n_trials: int | None,
        identity: Mapping[str, str],
    ) -> None:
        """Opens the study, which is made if it doesn't exist.

        Raises BadInput if a study of this name was made for another space, direction, data or fixed setting (`identity`).
        """
        self.name, self.storage, self.space = name, storage, space
        self._sampler, self._seed = dict(sampler), seed
        self._distributions = {key: _distribution(domain) for key, domain in space.items()}
        self._study = _open(storage, name, direction)
        self._asked: dict[int, optuna.Trial] = {}
        identity = {**identity, "direction": direction, **{f"space: {key}": str(domain) for key, domain in space.items()}}
        self._check_identity(identity)
        size = spaces.size(space)
        # a finite space without a wish is tried out whole, as Hydra's own sweeper does; more trials than settings only repeat
        self.exhaustive = size is not None and (n_trials is None or n_trials >= size)
        self.n_trials = size if size is not None and self.exhaustive else (n_trials or DEFAULT_TRIALS)

    def _check_identity(self, identity: Mapping[str, str]) -> None:
        known = self._study.user_attrs.get(IDENTITY)
        if known is None:
            self._study.set_user_attr(IDENTITY, dict(identity))
            return
        keys = dict.fromkeys([*known, *identity])
        faults = [
            Fault(key, identity.get(key, "nothing"), f"{known.get(key, 'nothing')} in study {self.name!r}, or another study_name")
            for key in keys
            if known.get(key) != identity.get(key)
        ]
        if faults:
            raise BadInput(faults)

    def reap(self) -> None:
        """Marks the running trials of processes that ended."""
        left = [
            t for t in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if not _alive(t.user_attrs.get(OWNER))
        ]
        for trial in left:
            self.tell_failed(trial.number, processes.ABANDONED)

    def remaining(self) -> int:
        """How many trials are still to be asked for."""
        return max(0, self.n_trials - len(self._counted()))

    def _counted(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
        )
        return [t for t in trials if not _abandoned(t)]

    def ask(self) -> Asked:
        """The next trial. Its sampler is seeded by the study's seed and the trials so far, so that a resumed study goes on as it
        would have, and never repeats itself."""
        counted = self._counted()
        if self.exhaustive:
            done = [trial.params for trial in counted]
            self._study.enqueue_trial(next(each for each in spaces.combinations(self.space) if each not in done))
        seed = np.random.SeedSequence(self._seed, spawn_key=(len(counted),)).generate_state(1)[0]
        self._study.sampler = _make(SAMPLERS, "sampler", self._sampler, seed=int(seed))
        trial = self._study.ask(dict(self._distributions))
        trial.set_user_attr(OWNER, processes.owner())
        self._asked[trial.number] = trial
        return Asked(trial.number, dict(trial.params))

    def tell(self, number: int, result: TrialResult) -> None:
        """Keeps a trial's result. A value that isn't a finite number is never told as complete: it would be the best."""
        outcome = result.outcome
        kept: dict[str, Any] = {"run_id": result.run_id, "seconds": result.seconds}
        match outcome:
            case Completed(summary=summary):
                kept["summary"] = asdict(summary)
            case Pruned(epoch=epoch):
                kept["reason"] = f"pruned after {epoch} epochs"
            case Failed(reason=reason):
                kept["reason"] = reason
        (self._asked.pop(number, None) or _trial(self._study, number)).set_user_attr(RESULT, kept)
        match outcome:
            case Completed(summary=summary):
                self._study.tell(number, summary.val_loss_mean)
            case Pruned():
                self._study.tell(number, state=TrialState.PRUNED)
            case Failed():
                self._study.tell(number, state=TrialState.FAIL)

    def tell_failed(self, number: int, reason: str) -> None:
        self.tell(number, TrialResult(Failed(reason)))

    def records(self) -> list[TrialRecord]:
        return [_record(trial) for trial in self._study.get_trials(deepcopy=False)]

    def tell_final(self, record: TrialRecord) -> None:
        """Keeps what a trial's setting gave with fresh replicates; `record` is the trial's, with that summary."""
        kept = {"number": record.number, "params": record.params, "run_id": record.run_id, "value": record.value}
        self._study.set_user_attr(f"{FINAL}{record.number}", kept | {"summary": asdict(record.summary) if record.summary else None})

    def finals(self) -> list[TrialRecord]:
        return _finals(self._study)


def importances(storage: str, name: str) -> dict[str, float]:
    """Each setting's share in what makes a trial one of the best, by PED-ANOVA; nothing where Optuna can't tell."""
    found = optuna.load_study(study_name=name, storage=_backend(storage))
    with warnings.catch_warnings():  # it is marked experimental
        warnings.simplefilter("ignore")
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            return dict(optuna.importance.get_param_importances(found, evaluator=evaluator))
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}


@dataclass(frozen=True)
class StoredStudy:
    """A study as its storage has it. identity: its fixed settings and its space, as text; finals: of the finalists."""

    direction: str
    identity: dict[str, str]
    records: list[TrialRecord]
    finals: list[TrialRecord]


def open_study(storage: str, name: str) -> StoredStudy:
    """Reads a study. Raises BadInput, with the known names, if there is none of this name."""
    if (path := sqlite.path_of(storage)) and not path.exists():
        raise BadInput([Fault("STUDY", name, f"a study in {storage}, which doesn't exist; run a study here, or give --storage")])
    backend = _backend(storage)
    try:
        study = optuna.load_study(study_name=name, storage=backend)
    except KeyError as error:
        known = ", ".join(optuna.get_all_study_names(backend)) or "none yet"
        raise BadInput([Fault("STUDY", name, f"one of: {known}")]) from error
    records = [_record(trial) for trial in study.get_trials(deepcopy=False)]
    return StoredStudy(study.direction.name.lower(), study.user_attrs.get(IDENTITY, {}), records, _finals(study))


def pruner(storage: str, name: str, number: int, settings: Mapping[str, Any]) -> Callable[[Leg], bool]:
    """A function that reports a leg of trial `number` to the study and answers whether to stop the trial."""
    made = _make(PRUNERS, "pruner", settings)
    if isinstance(made, optuna.pruners.NopPruner):
        return lambda leg: False
    study = optuna.load_study(study_name=name, storage=_backend(storage), pruner=made)
    trial = _trial(study, number)

    def stop(leg: Leg) -> bool:
        trial.report(float(np.mean(leg.current)), leg.epochs_done)
        return trial.should_prune()

    return stop


def _trial(study: optuna.Study, number: int) -> optuna.Trial:
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def check(sampler: Mapping[str, Any], pruner_: Mapping[str, Any]) -> None:
    """Raises BadInput if the sampler or the pruner can't be made from its settings."""
    _make(SAMPLERS, "sampler", sampler)
    _make(PRUNERS, "pruner", pruner_)


def _make(registry: Mapping[str, Callable[..., Any]], section: str, settings: Mapping[str, Any], **more: object) -> Any:
    kind, arguments = settings.get("name"), {key: value for key, value in settings.items() if key != "name"}
    if not isinstance(kind, str) or kind not in registry:
        raise BadInput([Fault(section, kind, nearest(kind, registry))])
    try:
        return registry[kind](**arguments, **more)
    except (TypeError, ValueError) as error:
        raise BadInput([Fault(section, arguments, f"settings that Optuna's {kind} takes: {error}")]) from error


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _open(storage: str, name: str, direction: str) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=_backend(storage), direction=direction, load_if_exists=True)  # type: ignore[arg-type]


@cache
def _backend(storage: str) -> optuna.storages.BaseStorage:
    sqlite.ensure(storage, _schema)
    try:
        return optuna.storages.get_storage(storage)
    except (SQLAlchemyError, ValueError, ImportError, RuntimeError) as error:
        raise Unreachable(f"hydra.sweeper.storage {storage}: {str(error).splitlines()[0]}") from error


def _schema(url: str) -> None:
    backend = optuna.storages.RDBStorage(url)
    backend.remove_session()
    backend.engine.dispose()


def _alive(owner: str | None) -> bool:
    """Whether the process that owns a trial may still run; of another host it is not known, and so it may."""
    host, _, number = (owner or "").rpartition(":")
    if host != socket.gethostname():
        return bool(owner)
    # a trial in work of this very process was left by an earlier one of the same number
    return owner != processes.owner() and processes.runs(number)


def _abandoned(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get(RESULT, {}).get("reason") in UNCOUNTED


STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def _finals(study: optuna.Study) -> list[TrialRecord]:
    kept = [each for name, each in sorted(study.user_attrs.items()) if name.startswith(FINAL) and each["summary"]]
    return [
        TrialRecord(
            number=each["number"],
            state="complete",
            params=each["params"],
            value=each["value"],
            summary=Summary.of_plain(each["summary"]),
            reason=None,
            run_id=each["run_id"],
            seconds={},
        )
        for each in kept
    ]


def _record(trial: FrozenTrial) -> TrialRecord:
    kept = trial.user_attrs.get(RESULT, {})
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state],
        params=dict(trial.params),
        value=trial.value,
        summary=Summary.of_plain(kept["summary"]) if "summary" in kept else None,
        reason=kept.get("reason"),
        run_id=kept.get("run_id"),
        seconds=kept.get("seconds", {}),
    )
