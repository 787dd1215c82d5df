"""Turns what a storage has of a study into its objectives, its settings and the records of its trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from study import processes
from study.errors import Corrupt
from study.records.outcome import Completed, Summary
from study.records.trial import TrialRecord
from study.search import attributes
from study.search.beginning import Beginning
from study.search.mirror import latest
from study.search.space import Space
from study.settings.values import Value, as_texts, from_text
from study.statistics import rounds
from study.statistics.objectives import Objective

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
# what is raised on the way by values of other kinds than expected
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
STATES_BY_NAME = {name: state for state, name in STATES.items()}


@dataclass(frozen=True)
class Contents:
    """A study in a storage. attrs: the values kept with it, by key; trials: all attempts, by their numbers."""

    attrs: Mapping[str, Any]
    trials: Sequence[FrozenTrial]


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


def front_of(contents: Contents) -> list[int]:
    """Return the numbers of the completed trials that no other beats in every one of several objectives; none for one objective."""
    objectives = objectives_of(contents.attrs)
    if len(objectives) < 2:
        return []
    complete = [trial for trial in contents.trials if trial.state == TrialState.COMPLETE]
    signs = [objective.sign for objective in objectives]
    losses = np.array([trial.values for trial in complete]).reshape(-1, len(signs)) * signs
    beaten = [((losses <= own).all(axis=1) & (losses < own).any(axis=1)).any() for own in losses]
    return [trial.number for trial, worse in zip(complete, beaten, strict=True) if not worse]


def uncounted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and reason_of(trial).startswith(UNCOUNTED)


def reason_of(trial: FrozenTrial) -> str:
    return str(attributes.of_trial(trial, RESULT, {}).get("reason"))


def finals_of(attrs: Mapping[str, Any]) -> list[TrialRecord]:
    """Return the finalists' records, with the summaries of their fresh replicates."""
    kept = [final for key, final in sorted(attrs.items()) if key.startswith(FINAL) and final["summary"]]
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


def records_of(contents: Contents) -> list[TrialRecord]:
    """Return the records of all trials, without the attempts that were made again, each with all replicates of a race."""
    return [record for _, record in _with_first(contents)]


def raced_of(contents: Contents) -> list[tuple[str | None, TrialRecord]]:
    """Return the trials that a race gave later replicates, each with the run of its first ones, if that is known."""
    return [
        (first.run_id, record)
        for first, record in _with_first(contents)
        if first.summary and round_name(first.number, len(first.summary.val_losses)) in contents.attrs
    ]


def _with_first(contents: Contents) -> list[tuple[TrialRecord, TrialRecord]]:
    """Return each trial's record with its first replicates alone, and with all of them."""
    attrs, records = contents.attrs, [record_of(trial) for trial in latest(contents.trials)]
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


@contextmanager
def damage_of(name: str) -> Iterator[None]:
    """Raise what the block does about values that aren't as this version writes them, or an earlier release did, as Corrupt."""
    try:
        yield
    except Corrupt as error:
        raise Corrupt(f"study {name}, {error}") from error
    except UNREADABLE as error:
        raise Corrupt(f"study {name} has a record that this version of mlp-study can't read: {error}") from error


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return a trial's record. Raises Corrupt for a result that isn't as this version writes it, or an earlier release did."""
    kept = attributes.of_trial(trial, RESULT, {})
    try:
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
    except UNREADABLE as error:
        message = f"trial {trial.number} has a result that this version of mlp-study can't read: {error}"
        raise Corrupt(message) from error
