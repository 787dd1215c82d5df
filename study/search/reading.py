"""Reads studies: those of a SQLite file without Optuna's storage, which takes a third of a second to load."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import TrialState

from study import sqlite
from study.errors import BadInput, Fault
from study.records.arrays import Scalar
from study.records.trial import TrialRecord
from study.search import sqlite_study
from study.search.records import (
    COMMAND,
    IDENTITY,
    RULES,
    SPACE,
    Contents,
    beginning_of,
    damage_of,
    finals_of,
    front_of,
    objectives_of,
    record_of,
    records_of,
    settings_of,
)
from study.settings.rules import one_of_names
from study.settings.values import Value
from study.statistics.objectives import Objective
from study.statistics.race import Rules


def names(storage: str) -> list[str]:
    """Return the names of a storage's studies, the oldest first."""
    known = sqlite_study.names(storage)
    if known is not None:
        return known
    from study.search import stored

    return stored.names(storage)


def read(storage: str, name: str) -> Contents:
    """Read what a storage has of a study. Raises KeyError if there is none of this name, and StudyError if it can't be read."""
    contents = sqlite_study.read(storage, name)
    if contents is not None:
        return contents
    from study.search import stored

    return stored.read(storage, name)


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
    try:
        contents = read(storage, name)
    except KeyError as error:
        raise BadInput([Fault("STUDY", name, one_of_names(name, names(storage)))]) from error
    attrs, identity = contents.attrs, contents.attrs.get(IDENTITY, {})
    with damage_of(name):
        return StoredStudy(
            objectives=objectives_of(attrs),
            identity=identity,
            settings=settings_of(attrs),
            space={key.removeprefix(SPACE): text for key, text in identity.items() if key.startswith(SPACE)},
            records=records_of(contents),
            finals=finals_of(attrs),
            front=front_of(contents),
            command=attrs.get(COMMAND, ""),
            rules=Rules(**attrs[RULES]) if RULES in attrs else None,
            default=beginning_of(attrs).default,
        )


def find(storage: str, name: str) -> Contents | None:
    """Read what a storage has of a study; None if there is none of this name, or no longer."""
    if not sqlite.is_there(storage):
        return None
    try:
        return read(storage, name)
    except KeyError:
        return None


def has_begun(storage: str, name: str) -> bool:
    """Return whether a study of this name exists, whole."""
    contents = find(storage, name)
    return contents is not None and IDENTITY in contents.attrs


def told(storage: str, name: str) -> dict[int, list[float]]:
    """Return the values that samplers know of the completed trials, by number: those of the first replicates."""
    return {trial.number: list(trial.values) for trial in read(storage, name).trials if trial.state == TrialState.COMPLETE}


def run_ids(storage: str, name: str) -> dict[int, str | None]:
    """Return the runs of all attempts of a study, by their numbers; none if there is no study of this name."""
    contents = find(storage, name)
    return {trial.number: record_of(trial).run_id for trial in contents.trials} if contents else {}
