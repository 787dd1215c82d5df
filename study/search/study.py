"""A study behind ask and tell."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from study import processes, sqlite
from study import space as spaces
from study.errors import BadInput, Fault
from study.objectives import Objective
from study.records import Asked, Completed, Failed, Leg, Pruned, Scalar, Summary, TrialRecord, TrialResult
from study.search import storage as storages
from study.search.kinds import LOSSES, distribution, make_pruner, make_sampler
from study.search.mirror import PLACE, Mirror, latest, place_of, sampled
from study.space import Space

IDENTITY, OBJECTIVES, IMPORTANCES, OWNER, ATTEMPT, RESULT = "identity", "objectives", "importances", "owner", "attempt", "result"
FINAL = "final "
# attempts that ended for these reasons tell nothing about their settings: they don't count, and are made again
INTERRUPTED = "interrupted"
LOST = "made again: "
UNCOUNTED = (processes.ABANDONED, INTERRUPTED, LOST)
# a trial whose process keeps dying is most likely what it dies of
MOST_ATTEMPTS = 5
DEFAULT_TRIALS = 24
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class Search:
    """A study that is asked for trials and told their results.

    Several processes may ask; each trial is told by the one that asked for it.
    """

    def __init__(
        self,
        *,
        name: str,
        storage: str,
        objectives: Sequence[Objective],
        space: Space,
        sampler: Mapping[str, Any],
        seed: int,
        n_trials: int | None,
        identity: Mapping[str, str],
    ) -> None:
        """Opens the study, which is made if it doesn't exist. space: as `space.ordered`.

        Raises BadInput if a study of this name was made for another space, objective, data or fixed setting (`identity`).
        """
        self.name, self.storage, self.space, self.objectives = name, storage, space, tuple(objectives)
        self._sampler, self._seed = dict(sampler), seed
        self._distributions = {key: distribution(domain) for key, domain in space.items()}
        with storages.errors(storage):
            backend = storages.backend(storage)
        with storages.errors(storage), storages.claim(storage):
            self._study = _make(backend, name, objectives)
            self._check_identity(
                {
                    **identity,
                    "direction": ", ".join(each.direction for each in objectives),
                    "objective": ", ".join(each.name for each in objectives),
                    **{f"space: {key}": str(domain) for key, domain in space.items()},
                }
            )
        self._mirror, self._heart = _mirror(storage, name), storages.heart(self._study._storage)
        self._in_work: dict[int, int] = {}
        size = spaces.size(space)
        # a finite space without a wish is tried out whole, as Hydra's own sweeper does; more trials than settings only repeat
        self.exhaustive = size is not None and (n_trials is None or n_trials >= size or sampler.get("name") == "grid")
        self.n_trials = min(n_trials or size, size) if size is not None and self.exhaustive else (n_trials or DEFAULT_TRIALS)

    def _check_identity(self, identity: Mapping[str, str]) -> None:
        known = self._study.user_attrs.get(IDENTITY)
        if known is None:
            self._study.set_user_attr(IDENTITY, dict(identity))
            self._study.set_user_attr(OBJECTIVES, [asdict(each) for each in self.objectives])
            return
        keys = dict.fromkeys([*known, *identity])
        faults = [
            Fault(key, identity.get(key, "nothing"), f"{known.get(key, 'nothing')} in study {self.name!r}, or another study_name")
            for key in keys
            if known.get(key) != identity.get(key)
        ]
        if faults:
            raise BadInput(faults)

    def _trials(self) -> list[FrozenTrial]:
        with storages.errors(self.storage):
            return self._study.get_trials(deepcopy=False)

    def reap(self) -> None:
        """Ends the trials in work of processes that are gone: as their jobs left them if these were done, else to be made again."""
        trials = [trial for trial in self._trials() if trial.state == TrialState.RUNNING and trial.number not in self._in_work]
        with storages.errors(self.storage):
            silent = _silent(self._study) if trials else set()
        for trial in trials:
            if _at_work(trial, silent):
                continue
            tried = trial.user_attrs.get(ATTEMPT, 1)
            given_up = f"its process ended in each of {MOST_ATTEMPTS} attempts" if tried >= MOST_ATTEMPTS else processes.ABANDONED
            self._settle(trial, given_up)

    def adopt(self, number: int, result: TrialResult, written: float) -> None:
        """Keeps a result that a job had recorded, at that time, and not yet kept when it was killed."""
        for trial in self._trials():
            started = trial.datetime_start.timestamp() if trial.datetime_start else math.inf
            if trial.number == number and trial.state == TrialState.RUNNING and started < written:
                keep(self.storage, self.name, number, result)

    def stop(self) -> None:
        """Ends the trials that this process has in work: as their jobs left them if these were done, else as interrupted."""
        for made in self._in_work.values():
            with storages.errors(self.storage):
                trial = self._study._storage.get_trial(made)
            if not trial.state.is_finished():
                self._settle(trial, INTERRUPTED)
        self._in_work.clear()

    def _settle(self, trial: FrozenTrial, otherwise: str) -> None:
        """Ends a trial as its job left it, or as failed for this reason if the job wasn't done."""
        if kept := trial.user_attrs.get(RESULT):
            summary = Summary.of_plain(kept["summary"]) if "summary" in kept else None
            self._complete(trial._trial_id, STATES_BY_NAME[kept["state"]], summary)
        else:
            self._fail(trial._trial_id, otherwise)

    @contextmanager
    def signs_of_life(self) -> Iterator[None]:
        """While the block runs, its trials in work are known to be so on other machines too."""
        heart = self._heart
        if heart is None:
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(storages.HEARTBEAT_SECONDS):
                for trial in list(self._in_work.values()):
                    with suppress(Exception):  # the next beat tries again, and `tell` meets what stays wrong
                        heart.record_heartbeat(trial)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def remaining(self) -> int:
        """How many trials are still to be asked for."""
        return self._remaining(latest(self._trials()))

    def _remaining(self, attempts: Sequence[FrozenTrial]) -> int:
        return max(0, self.n_trials - sum(not _uncounted(trial) for trial in attempts))

    def failures(self) -> int:
        return sum(trial.state == TrialState.FAIL and not _uncounted(trial) for trial in latest(self._trials()))

    def interrupted(self) -> dict[int, float]:
        """The attempts that don't count, number → start in seconds since 1970: no run of theirs may look finished."""
        return {
            trial.number: trial.datetime_start.timestamp()
            for trial in self._trials()
            if _uncounted(trial) and trial.datetime_start is not None
        }

    def ask(self, count: int) -> list[Asked]:
        """The next trials, at most `count`; none if the total is reached. First those to be made again.

        A trial's sampler is seeded by the study's seed and the trial's place, so that a resumed study goes on as it would have,
        and never repeats itself. A trial whose worker was lost is given alone, lest it takes others with it once more.
        """
        asked: list[Asked] = []
        with storages.errors(self.storage), storages.claim(self.storage, self._study._study_id):
            attempts = latest(self._study.get_trials(deepcopy=False))
            again = [trial for trial in attempts if _uncounted(trial)]
            alone = [trial for trial in again if _reason(trial).startswith(LOST)][:1]
            for _ in range(min(count, self._remaining(attempts), 1 if alone else count)):
                if again:
                    cut = (alone or again)[0]
                    again.remove(cut)
                    # that the user stopped it is no sign that something is wrong with it
                    attempt = cut.user_attrs[ATTEMPT] + (_reason(cut) != INTERRUPTED)
                    asked.append(self._create(cut, place_of(cut), attempt))
                else:
                    self._mirror.sync(attempts)
                    attempts = [*attempts, self._next(attempts)]
                    asked.append(self._create(attempts[-1], len(attempts) - 1, 1))
        return asked

    def _next(self, attempts: Sequence[FrozenTrial]) -> FrozenTrial:
        """What the sampler gives for the next place."""
        place = len(attempts)
        if self.exhaustive:
            tried = {frozenset(trial.params.items()) for trial in attempts}
            params = next(each for each in spaces.combinations(self.space) if frozenset(each.items()) not in tried)
            return create_trial(
                state=TrialState.RUNNING, params=params, distributions={key: self._distributions[key] for key in params}
            )
        seed = np.random.SeedSequence(self._seed, spawn_key=(place,)).generate_state(1)[0]
        trial = self._mirror.ask(make_sampler(self._sampler, self.space, int(seed)))
        given: dict[str, Scalar] = {}
        for key, domain in self.space.items():
            if spaces.active(domain, given):
                given[key] = trial._suggest(key, self._distributions[key])
        return self._mirror.trial(place)

    def _create(self, like: FrozenTrial, place: int, attempt: int) -> Asked:
        """Writes a new trial whole: a process that is killed leaves all of it or nothing."""
        trial = sampled(like, {OWNER: processes.owner(), PLACE: place, ATTEMPT: attempt})
        stored = self._study._storage
        made = stored.create_new_trial(self._study._study_id, trial)
        if self._heart:
            self._heart.record_heartbeat(made)
        number = stored.get_trial(made).number
        self._in_work[number] = made
        return Asked(number, dict(like.params), attempt)

    def tell(self, number: int, result: TrialResult) -> None:
        """Ends a trial whose job has kept its result (`keep`).

        A value that isn't a finite number is never told as complete: it would be the best.
        """
        state = {Completed: TrialState.COMPLETE, Pruned: TrialState.PRUNED, Failed: TrialState.FAIL}[type(result.outcome)]
        self._complete(self._in_work[number], state, result.summary)
        del self._in_work[number]

    def tell_failed(self, number: int, reason: str) -> None:
        """Ends a trial whose job has kept nothing."""
        self._fail(self._in_work[number], reason)
        del self._in_work[number]

    def again(self, asked: Asked, reason: str) -> bool:
        """Ends an attempt that was lost, to be made once more; False if it was the second."""
        if asked.attempt > 1:
            return False
        self.tell_failed(asked.number, LOST + reason)
        return True

    def _fail(self, trial: int, reason: str) -> None:
        with storages.errors(self.storage), suppress(UpdateFinishedTrialError):
            self._study._storage.set_trial_user_attr(trial, RESULT, _kept(TrialResult(Failed(reason))))
        self._end(trial, TrialState.FAIL)

    def _complete(self, trial: int, state: TrialState, summary: Summary | None) -> None:
        """Ends a trial as its job left it."""
        values = [objective.value(summary) for objective in self.objectives] if summary else None
        if values is not None and not np.isfinite(values).all():
            bad = [each.name for each, value in zip(self.objectives, values, strict=True) if not np.isfinite(value)]
            self._fail(trial, f"no finite {', '.join(bad)}")
            return
        if state == TrialState.PRUNED and len(self.objectives) == 1:
            reported = self._study._storage.get_trial(trial).intermediate_values
            values = [reported[max(reported)]] if reported else None
        self._end(trial, state, values)

    def _end(self, trial: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        with storages.errors(self.storage), suppress(UpdateFinishedTrialError):  # another driver took us for dead, and told it
            self._study._storage.set_trial_state_values(trial, state, values)

    def records(self) -> list[TrialRecord]:
        """All trials but the attempts that were made again."""
        return [_record(trial) for trial in latest(self._trials())]

    def front(self) -> list[int]:
        """The numbers of the trials that no other beats in every one of several objectives; none for one objective."""
        with storages.errors(self.storage):
            return _front(self._study)

    def importances(self) -> dict[str, float]:
        """See the function of this name, which reads what this one keeps."""
        with storages.errors(self.storage):
            shares = _importances(self._study)
            done = len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
            self._study.set_user_attr(IMPORTANCES, {"trials": done, "shares": shares})
            return shares

    def tell_final(self, record: TrialRecord) -> None:
        """Keeps what a trial's setting gave with fresh replicates; `record` is the trial's, with that summary."""
        kept = {"number": record.number, "params": record.params, "run_id": record.run_id, "value": record.value}
        self._study.set_user_attr(f"{FINAL}{record.number}", kept | {"summary": asdict(record.summary) if record.summary else None})

    def finals(self) -> list[TrialRecord]:
        return _finals(self._study)


STATES_BY_NAME = {name: state for state, name in STATES.items()}


def keep(storage: str, name: str, number: int, result: TrialResult) -> None:
    """What a job does when its trial is recorded: from here on its result survives whatever happens to the driver."""
    with storages.errors(storage), suppress(UpdateFinishedTrialError):  # told as interrupted meanwhile: it is run again
        study = _load(storage, name)
        study._storage.set_trial_user_attr(_trial(study, number)._trial_id, RESULT, _kept(result))


def _kept(result: TrialResult) -> dict[str, Any]:
    kept: dict[str, Any] = {"run_id": result.run_id, "seconds": result.seconds}
    match result.outcome:
        case Completed(summary=summary):
            return kept | {"state": "complete", "summary": asdict(summary)}
        case Pruned(reason=reason):
            return kept | {"state": "pruned", "reason": reason}
        case Failed(reason=reason):
            return kept | {"state": "failed", "reason": reason}


def importances(storage: str, name: str) -> dict[str, float]:
    """Each setting's share in what makes a trial one of the best, by PED-ANOVA; nothing where Optuna can't tell.

    Of several objectives, the first. Kept with the study at its end, since Optuna's evaluators take a second to load.
    """
    with storages.errors(storage):
        found = _load(storage, name)
        done = len(found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        kept = found.user_attrs.get(IMPORTANCES, {})
        return dict(kept["shares"]) if kept.get("trials") == done else _importances(found)


def _importances(study: optuna.Study) -> dict[str, float]:
    with warnings.catch_warnings():  # it is marked experimental
        warnings.simplefilter("ignore")
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            target = (lambda trial: trial.values[0]) if len(study.directions) > 1 else None
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, target=target))
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}


@dataclass(frozen=True)
class StoredStudy:
    """A study as its storage has it. identity: its fixed settings and its space, as text; finals: of the finalists; front: the
    numbers of the trials that no other beats in every one of several objectives."""

    objectives: tuple[Objective, ...]
    identity: dict[str, str]
    records: list[TrialRecord]
    finals: list[TrialRecord]
    front: list[int]


def open_study(storage: str, name: str) -> StoredStudy:
    """Reads a study. Raises BadInput, with the known names, if there is none of this name."""
    if (path := sqlite.path_of(storage)) and not path.exists():
        raise BadInput([Fault("STUDY", name, f"a study in {storage}, which doesn't exist; run a study here, or give --storage")])
    with storages.errors(storage):
        try:
            study = _load(storage, name)
        except KeyError as error:
            known = ", ".join(optuna.get_all_study_names(storages.backend(storage))) or "none yet"
            raise BadInput([Fault("STUDY", name, f"one of: {known}")]) from error
        attrs = study.user_attrs
        objectives = tuple(Objective(**each) for each in attrs.get(OBJECTIVES, [{}]))
        records = [_record(trial) for trial in latest(study.get_trials(deepcopy=False))]
        return StoredStudy(objectives, attrs.get(IDENTITY, {}), records, _finals(study), _front(study))


@dataclass(frozen=True)
class Attempt:
    """An attempt at a trial. state: as in `TrialRecord`; counted: it isn't made again; left: in work, by a process that is gone."""

    number: int
    state: str
    counted: bool
    left: bool
    run_id: str | None
    reason: str | None


def names(storage: str) -> list[str]:
    """The studies of a storage."""
    with storages.errors(storage):
        return optuna.get_all_study_names(storages.backend(storage))


def attempts(storage: str, name: str) -> list[Attempt]:
    """Every attempt of a study, those too that are made again."""
    with storages.errors(storage):
        study = _load(storage, name)
        trials, silent = study.get_trials(deepcopy=False), _silent(study)
    return [
        Attempt(
            number=record.number,
            state=record.state,
            counted=not _uncounted(trial),
            left=trial.state == TrialState.RUNNING and not _at_work(trial, silent),
            run_id=record.run_id,
            reason=record.reason,
        )
        for trial, record in ((trial, _record(trial)) for trial in trials)
    ]


def pruner(storage: str, name: str, number: int, settings: Mapping[str, Any]) -> Callable[[Leg], bool]:
    """A function that reports a leg of trial `number` to the study and answers whether to stop the trial."""
    made = make_pruner(settings)
    if isinstance(made, optuna.pruners.NopPruner):
        return lambda leg: False
    study, mirror = _load(storage, name), _mirror(storage, name)
    stored, trial = study._storage, _trial(study, number)
    place, losses = place_of(trial), dict[str, list[float]]()

    def stop(leg: Leg) -> bool:
        with storages.errors(storage):
            stored.set_trial_intermediate_value(trial._trial_id, leg.epochs_done, float(np.mean(leg.current)))
            if settings["name"] == "wilcoxon":
                losses[str(leg.epochs_done)] = leg.current.tolist()
                stored.set_trial_user_attr(trial._trial_id, LOSSES, losses)
            mirror.sync(latest(study.get_trials(deepcopy=False)))
            before = set(mirror.trial(place).system_attrs)
            answer = made.prune(mirror.study, mirror.trial(place))
            # a pruner's own notes, such as the rungs that a trial has reached, are for the other processes too
            for key, value in mirror.trial(place).system_attrs.items():
                if key not in before:
                    stored.set_trial_system_attr(trial._trial_id, key, value)
            return answer

    return stop


def _make(storage: optuna.storages.BaseStorage, name: str, objectives: Sequence[Objective]) -> optuna.Study:
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[StudyDirection[each.direction.upper()] for each in objectives],
        sampler=optuna.samplers.RandomSampler(),  # never asked
        load_if_exists=True,
    )


@cache
def _load(storage: str, name: str) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler()  # never asked
    return optuna.load_study(study_name=name, storage=storages.backend(storage), sampler=sampler)


@cache
def _mirror(storage: str, name: str) -> Mirror:
    return Mirror(_load(storage, name).directions)


def _trial(study: optuna.Study, number: int) -> FrozenTrial:
    stored = study._storage
    return stored.get_trial(stored.get_trial_id_from_study_id_trial_number(study._study_id, number))


def _silent(study: optuna.Study) -> set[int]:
    """Trials whose driver, perhaps on another machine, has stopped giving signs of life."""
    heart = storages.heart(study._storage)
    return set(heart._get_stale_trial_ids(study._study_id)) if heart else set()


def _at_work(trial: FrozenTrial, silent: Set[int]) -> bool:
    """Whether a process other than this one may still have a trial in work."""
    owner = trial.user_attrs.get(OWNER)
    return owner != processes.owner() and processes.alive(owner) and trial._trial_id not in silent


def _front(study: optuna.Study) -> list[int]:
    return [trial.number for trial in study.best_trials] if len(study.directions) > 1 else []


def _uncounted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and _reason(trial).startswith(UNCOUNTED)


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(RESULT, {}).get("reason"))


def _finals(study: optuna.Study) -> list[TrialRecord]:
    kept = [each for name, each in sorted(study.user_attrs.items()) if name.startswith(FINAL) and each["summary"]]
    return [
        TrialRecord(
            number=each["number"],
            state="complete",
            params=each["params"],
            values=[each["value"]],
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
        values=list(trial.values or []),
        summary=Summary.of_plain(kept["summary"]) if "summary" in kept else None,
        reason=kept.get("reason"),
        run_id=kept.get("run_id"),
        seconds=kept.get("seconds", {}),
    )
