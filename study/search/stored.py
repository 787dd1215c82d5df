"""Reads a study and its trials from the storage, and keeps results with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from study import processes, sqlite
from study.errors import BadInput, Fault
from study.records.arrays import Scalar
from study.records.outcome import Completed, Summary, TrialResult
from study.records.trial import TrialRecord
from study.search import attributes
from study.search import storage as storages
from study.search.beginning import Beginning
from study.search.mirror import Mirror, latest
from study.search.space import Space
from study.settings.rules import one_of_names
from study.settings.values import Value, as_texts, from_text
from study.statistics import rounds
from study.statistics.objectives import Objective
from study.statistics.race import Rules

IDENTITY, OBJECTIVES, OWNER, ATTEMPT, RESULT = "identity", "objectives", "owner", "attempt", "result"
COMMAND, FINAL, SETTINGS, DRIVERS = "command", "final ", "settings", "drivers"
# of a race: its rules and its winner; the later replicates of a trial, by its number and their first; all replicates of a trial,
# trained together
RULES, WINNER, ROUND, WHOLE = "race", "winner", "round ", "whole "
BEGINNING = "beginning"
# in a study's identity beside its fixed settings; SPACE begins the searched ones
DIRECTION, OBJECTIVE, SPACE = "direction", "objective", "space: "
# attempts that ended for these reasons say nothing about their settings: they don't count, and are made again
INTERRUPTED = "interrupted"
LOST = "made again: "
UNCOUNTED = (processes.ABANDONED, INTERRUPTED, LOST)
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
STATES_BY_NAME = {name: state for state, name in STATES.items()}


@cache
def load(storage: str, name: str) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler()  # never asked
    return optuna.load_study(study_name=name, storage=storages.backend(storage), sampler=sampler)


@cache
def mirror_of(storage: str, name: str) -> Mirror:
    return Mirror(load(storage, name).directions)


def stored_trial(study: optuna.Study, number: int) -> FrozenTrial:
    stored = study._storage
    return stored.get_trial(stored.get_trial_id_from_study_id_trial_number(study._study_id, number))


def keep(storage: str, name: str, number: int, result: TrialResult) -> None:
    """Keep the result of a job whose trial is recorded: from here on it survives whatever happens to the driver."""
    with storages.errors(storage), suppress(UpdateFinishedTrialError):  # ended as interrupted meanwhile: it is run again
        study = load(storage, name)
        keep_result(study, stored_trial(study, number)._trial_id, result)


def keep_result(study: optuna.Study, trial_id: int, result: TrialResult) -> None:
    """Keep a trial's result in one write, and before it the values for people."""
    kept = kept_of(result)
    for key, shown in {attributes.RUN_ID: kept["run_id"], attributes.REASON: kept.get("reason")}.items():
        if shown:
            study._storage.set_trial_user_attr(trial_id, key, shown)
    attributes.keep_with_trial(study, trial_id, RESULT, kept)


def kept_of(result: TrialResult) -> dict[str, Any]:
    """Return a result as plain values."""
    kept = {"run_id": result.run_id, "seconds": result.seconds, "state": result.outcome.state}
    if isinstance(result.outcome, Completed):
        return kept | {"summary": asdict(result.outcome.summary)}
    return kept | {"reason": result.outcome.reason}


def identity_texts(settings: Mapping[str, Value], objectives: Sequence[Objective], space: Space) -> dict[str, str]:
    """Return the identity of a study, as texts: its fixed settings, its objectives and its space."""
    return {
        **as_texts(settings),
        DIRECTION: ", ".join(objective.direction for objective in objectives),
        OBJECTIVE: ", ".join(objective.name for objective in objectives),
        **{f"{SPACE}{key}": str(domain) for key, domain in space.items()},
    }


def objectives_of(attrs: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Return a study's objectives; the loss alone for those of early versions, which kept none."""
    return tuple(Objective(**fields) for fields in attrs.get(OBJECTIVES, [{}]))


def settings_of(attrs: Mapping[str, Any]) -> dict[str, Value]:
    """Return a study's fixed settings; those of earlier versions, which kept none, from its identity."""
    if SETTINGS in attrs:
        return dict(attrs[SETTINGS])
    texts = attrs.get(IDENTITY, {})
    return {key: from_text(texts[key]) for key in texts if key not in (DIRECTION, OBJECTIVE) and not key.startswith(SPACE)}


def beginning_of(attrs: Mapping[str, Any]) -> Beginning:
    """Return a study's beginning; that of earlier versions' studies tried nothing first."""
    return Beginning(**attrs.get(BEGINNING, {}))


@dataclass(frozen=True)
class StoredStudy:
    """A study as its storage has it.

    identity: its fixed settings and its space, as texts. settings: the fixed ones, as values; space: the searched ones, each with
    its domain as a text. finals: of the finalists; front: the numbers of the trials that no other beats in every one of several
    objectives; command: the launch that made it. rules: of the race that decides it, None without one.
    default: the default setting, None if the space lacks it.
    """

    objectives: tuple[Objective, ...]
    identity: dict[str, str]
    settings: dict[str, Value]
    space: dict[str, str]
    records: list[TrialRecord]
    finals: list[TrialRecord]
    front: list[int]
    command: str
    rules: Rules | None = None
    default: dict[str, Scalar] | None = None


def open_study(storage: str, name: str) -> StoredStudy:
    """Read a study. Raises BadInput, with the known names, if there is none of this name."""
    if (path := sqlite.path_of(storage)) and not path.exists():
        raise BadInput([Fault("STUDY", name, f"a study in {storage}, which doesn't exist; run a study here, or give --storage")])
    with storages.errors(storage):
        try:
            study = load(storage, name)
        except KeyError as error:
            known = optuna.get_all_study_names(storages.backend(storage))
            raise BadInput([Fault("STUDY", name, one_of_names(name, known))]) from error
        attrs = attributes.of_study(study)
        objectives = objectives_of(attrs)
        records = records_of(study)
        identity = attrs.get(IDENTITY, {})
        return StoredStudy(
            objectives=objectives,
            identity=identity,
            settings=settings_of(attrs),
            space={key.removeprefix(SPACE): text for key, text in identity.items() if key.startswith(SPACE)},
            records=records,
            finals=finals_of(study),
            front=front_of(study),
            command=attrs.get(COMMAND, ""),
            rules=Rules(**attrs[RULES]) if RULES in attrs else None,
            default=beginning_of(attrs).default,
        )


@dataclass(frozen=True)
class Attempt:
    """An attempt at a trial.

    state: as in `TrialRecord`; counted: whether it stands, and isn't made again; left: whether it is in work by a process that is
    gone; elsewhere: the machine that has it in work, where nobody knows whether it still does.
    """

    number: int
    state: str
    counted: bool
    left: bool
    elsewhere: str
    run_id: str | None
    reason: str | None


def names(storage: str) -> list[str]:
    """Return the names of a storage's studies."""
    with storages.errors(storage):
        return optuna.get_all_study_names(storages.backend(storage))


def has_begun(storage: str, name: str) -> bool:
    """Return whether a study of this name exists, whole."""
    if not sqlite.is_there(storage) or name not in names(storage):
        return False
    with storages.errors(storage):
        return IDENTITY in attributes.of_study(load(storage, name))


def told(storage: str, name: str) -> dict[int, list[float]]:
    """Return the values that samplers know of the completed trials, by number: those of the first replicates."""
    with storages.errors(storage):
        trials = load(storage, name).get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return {trial.number: list(trial.values) for trial in trials}


def run_ids(storage: str, name: str) -> dict[int, str | None]:
    """Return the runs of all attempts of a study, by their numbers; none if there is no study of this name."""
    if not sqlite.is_there(storage) or name not in names(storage):
        return {}
    with storages.errors(storage):
        return {trial.number: record_of(trial).run_id for trial in load(storage, name).get_trials(deepcopy=False)}


def attempts(storage: str, name: str) -> list[Attempt]:
    """Return all attempts of a study, those too that are made again."""
    with storages.errors(storage):
        study = load(storage, name)
        trials, silent = study.get_trials(deepcopy=False), silent_trials(study)
    return [
        Attempt(
            number=record.number,
            state=record.state,
            counted=not uncounted(trial),
            left=trial.state == TrialState.RUNNING and not at_work(trial, silent),
            elsewhere=elsewhere(trial),
            run_id=record.run_id,
            reason=record.reason,
        )
        for trial, record in ((trial, record_of(trial)) for trial in trials)
    ]


def silent_trials(study: optuna.Study) -> set[int]:
    """Return the ids of trials whose driver, perhaps on another machine, has stopped giving signs of life."""
    heart = storages.heart(study._storage)
    return set(heart._get_stale_trial_ids(study._study_id)) if heart else set()


def drivers(study: optuna.Study) -> list[str]:
    """Return the owners of other processes that have this study open, and still run."""
    listed = attributes.of_study(study).get(DRIVERS, [])
    return [owner for owner in listed if processes.runs(owner) and not processes.is_own(owner)]


def at_work(trial: FrozenTrial, silent: Set[int]) -> bool:
    """Return whether another process than this one may still have a trial in work."""
    owner = attributes.of_trial(trial, OWNER)
    if processes.is_own(owner):
        return False
    runs = processes.runs(owner)
    return trial._trial_id not in silent if runs is None else runs


def elsewhere(trial: FrozenTrial) -> str:
    """Return the machine that has a trial in work, where nobody knows whether it still does; empty for any other trial."""
    return processes.unknown_host(attributes.of_trial(trial, OWNER)) if trial.state == TrialState.RUNNING else ""


def front_of(study: optuna.Study) -> list[int]:
    return [trial.number for trial in study.best_trials] if len(study.directions) > 1 else []


def uncounted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and reason_of(trial).startswith(UNCOUNTED)


def reason_of(trial: FrozenTrial) -> str:
    return str(attributes.of_trial(trial, RESULT, {}).get("reason"))


def finals_of(study: optuna.Study) -> list[TrialRecord]:
    """Return the finalists' records, with the summaries of their fresh replicates."""
    kept = [final for key, final in sorted(attributes.of_study(study).items()) if key.startswith(FINAL) and final["summary"]]
    return [
        TrialRecord(
            number=final["number"],
            state=Completed.state,
            params=final["params"],
            values=[final["value"]],
            summary=Summary.of_plain(final["summary"]),
            reason=None,
            run_id=final["run_id"],
            seconds={},
        )
        for final in kept
    ]


def round_name(number: int, first: int) -> str:
    """Return the key of the later replicates of a trial, from number `first` on."""
    return f"{ROUND}{number} {first}"


def records_of(study: optuna.Study) -> list[TrialRecord]:
    """Return the records of all trials, without the attempts that were made again, each with all replicates of a race."""
    return [record for _, record in _with_first(study)]


def raced_of(study: optuna.Study) -> list[tuple[str | None, TrialRecord]]:
    """Return the trials that a race gave later replicates, each with the run of its first ones, if that is known."""
    attrs = attributes.of_study(study)
    return [
        (first.run_id, record)
        for first, record in _with_first(study)
        if first.summary and round_name(first.number, len(first.summary.val_losses)) in attrs
    ]


def _with_first(study: optuna.Study) -> list[tuple[TrialRecord, TrialRecord]]:
    """Return each trial's record with its first replicates alone, and with all of them."""
    attrs = attributes.of_study(study)
    records = [record_of(trial) for trial in latest(study.get_trials(deepcopy=False))]
    if RULES not in attrs:
        return [(record, record) for record in records]
    objective, per_split = objectives_of(attrs)[0], rounds.per_split(settings_of(attrs))
    return [(record, _with_later(record, attrs, objective, per_split)) for record in records]


def _with_later(record: TrialRecord, attrs: Mapping[str, Any], objective: Objective, per_split: int) -> TrialRecord:
    """Return a completed trial's record with the replicates of its later rounds, as far as these follow one another."""
    if record.summary is None:
        return record
    parts = [record.summary]
    while kept := attrs.get(round_name(record.number, sum(len(part.val_losses) for part in parts))):
        if "summary" not in kept:  # one of these replicates has diverged
            return replace(record, state=kept["state"], summary=None, reason=kept["reason"], values=[])
        parts.append(Summary.of_plain(kept["summary"]))
    summary, run_id = rounds.joined(parts, per_split), record.run_id
    whole = attrs.get(f"{WHOLE}{record.number}", {})
    if "summary" in whole and len(whole["summary"]["val_losses"]) >= len(summary.val_losses):
        summary, run_id = Summary.of_plain(whole["summary"]), whole["run_id"]
    return replace(record, summary=summary, run_id=run_id, values=[objective.value(summary)])


def record_of(trial: FrozenTrial) -> TrialRecord:
    kept = attributes.of_trial(trial, RESULT, {})
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state],
        params=dict(trial.params),
        values=list(trial.values or []),
        summary=Summary.of_plain(kept["summary"]) if "summary" in kept else None,
        reason=kept.get("reason"),
        run_id=kept.get("run_id"),
        seconds=kept.get("seconds", {}),
        started=trial.datetime_start.timestamp() if trial.datetime_start else None,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )
