"""The results of a study, gathered once for the terminal, MLflow, the report's page, and Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from study.records.arrays import Scalar
from study.records.behaviour import Behaviour
from study.records.outcome import Blame, Tested
from study.records.tracked import Circumstances, TrackedTrial
from study.records.trial import TrialRecord
from study.reporting import answers, claims, decisions, factor_tables, narrative, report, star, trials_table, wins
from study.reporting.answers import Answer
from study.settings.values import Value
from study.statistics import ranking, rounds, setting_effects
from study.statistics.objectives import Objective
from study.statistics.race import Claim, Decision, Rules
from study.statistics.setting_effects import SettingEffect

if TYPE_CHECKING:  # MLflow takes seconds to load
    from study.tracking.store import Store

MOST_SHOWN = 6


@dataclass(frozen=True)
class Findings:
    """The results that the study's own records hold.

    settings: its fixed ones; space: the searched ones, each with its domain as a text. finals: of the finalists' fresh replicates;
    front: the numbers of the trials that no other beats in every objective; command: the launch that made it, or "". rules: of the
    race that decides it, None without one. default: the default setting, None if the space lacks it.
    """

    name: str
    objectives: tuple[Objective, ...]
    settings: Mapping[str, Value]
    space: Mapping[str, str]
    records: list[TrialRecord]
    finals: Sequence[TrialRecord] = ()
    front: Sequence[int] = ()
    command: str = ""
    rules: Rules | None = None
    default: Mapping[str, Scalar] | None = None

    @property
    def objective(self) -> Objective:
        return self.objectives[0]

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """The completed trials, best first: the winner of a race, then the others."""
        return report.ranked(self.records, self.objective, self.decision.winner if self.decision else None)

    @property
    def best(self) -> TrialRecord | None:
        return self.ranked[0] if self.ranked else None

    @cached_property
    def choice(self) -> ranking.Ranking | None:
        """The trials that may be the best by the same number of replicates each; None where a race decides."""
        if self.decision:
            return None
        return wins.choice(self.records, self.objective, rounds.per_split(self.settings), self.comparisons)

    @cached_property
    def factor(self) -> str | None:
        """The one setting that the study varies, whose values are compared in pairs; None in a study with more.

        The replicates of a crossed design are no restarts, since they share sources: it has none.
        """
        return None if self.blamed else factor_tables.find_factor(self.keys, self.records, self.objective)

    @property
    def comparisons(self) -> int:
        """The comparisons that intervals hold for together: all pairs where these are tabulated, else those with the best."""
        completed = sum(record.summary is not None for record in self.records)
        return ranking.all_pairs(completed) if self.factor else completed - 1

    @cached_property
    def answer(self) -> Answer:
        if self.star:
            return answers.at_constant_rate(self.star, self.settings)
        if not self.records:
            return Answer("No trial was begun, so there is no answer")
        alone = len(self.objectives) == 1
        return answers.answer(self.ranked, self.objective, self.settings, self.command, self.space, alone)

    @cached_property
    def decision(self) -> Decision | None:
        """The state of the race, None without one."""
        if self.rules is None:
            return None
        return decisions.decide(self.records, self.objective, self.rules, rounds.per_split(self.settings))

    def claim(self, first: int, second: int) -> Claim | None:
        """Return the race's claim about two trials, the first in the winner's place; None for those that it can't compare."""
        if self.rules is None or self.decision is None:
            return None
        per_split = rounds.per_split(self.settings)
        return decisions.between(self.decision, self.records, self.objective, self.rules, per_split, first, second)

    @property
    def tested(self) -> Tested | None:
        """The winner on the test part."""
        return self.best.summary.tested if self.best and self.best.summary else None

    @cached_property
    def table(self) -> report.Table:
        """The completed trials, best first, then the others."""
        return trials_table.table(self.records, self.objectives, self.front, self.decision.winner if self.decision else None)

    @property
    def decided(self) -> tuple[str, str]:
        """The decision of the race in a few words, and its numbers in sentences; empty without a race."""
        if self.decision is None or self.rules is None:
            return "", ""
        # without a split for several replicates, their SD can't leave the splits out
        own_splits = rounds.per_split(self.settings) == 1 and "data" in answers.sources(self.settings.get(answers.VARY))
        spread = "seeds and splits" if own_splits else "seeds"
        return (
            f"{decisions.headline(self.decision, self.tested, self.records, self.default)}.",
            decisions.text(self.decision, self.records, self.objective, self.rules, self.default, spread),
        )

    @property
    def win(self) -> str:
        """The sentences on whether the best trial's win is more than chance, and the Pareto front of several objectives."""
        if self.decision:
            return " ".join(filter(None, self.decided))
        # fresh replicates decide what those of the search left open
        win = wins.finals_text(self.finals, self.objective) or wins.win_text(
            self.records, self.choice, self.objective, self.settings
        )
        if win and len(self.objectives) > 1:
            win = f"By {self.objective.quantity} alone, {win[0].lower()}{win[1:]}"
        return " ".join(filter(None, (win, wins.front_text(self.front, self.objectives))))

    @cached_property
    def effects(self) -> list[SettingEffect]:
        return setting_effects.effects(self.records, self.objective)

    @cached_property
    def star(self) -> star.Star | None:
        """The star that the trials form around a constant learning rate: their question is whether networks come to rest."""
        return None if self.rules else star.star(sorted(self.records, key=lambda record: record.number))

    @cached_property
    def claims(self) -> tuple[report.Table, str] | None:
        """The motion of each trial's replicates, and the claims it puts to the test; None unless the trials form a star."""
        found = self.star
        return (star.table(found, self.settings), claims.text(claims.claims(found))) if found else None

    @cached_property
    def blamed(self) -> dict[str, Sequence[Blame]]:
        return narrative.blamed(self.records, self.objective)

    @property
    def keys(self) -> list[str]:
        """The searched settings."""
        return list(dict.fromkeys(key for record in self.records for key in record.params))


@dataclass(frozen=True)
class Shown:
    """A trial with what its run keeps."""

    record: TrialRecord
    kept: TrackedTrial


@dataclass(frozen=True)
class Networks:
    """The results that need the trials' networks.

    shown: the best trials, best first; factor: the comparison of a study that varies one setting. centre: of a star of trials;
    default: the default setting, unless it is the best one. circumstances: of the best trial. behaviour: of the champion, None
    where it isn't of the best trial or was made by an earlier version.
    """

    shown: list[Shown] = field(default_factory=list)
    factor: factor_tables.FactorComparison | None = None
    centre: Shown | None = None
    default: Shown | None = None
    circumstances: Circumstances | None = None
    behaviour: Behaviour | None = None


def read(storage: str, name: str) -> Findings:
    """Read a study in Optuna's storage. Raises BadInput if there is none of this name."""
    from study.search.reading import open_study

    stored = open_study(storage, name)
    return Findings(
        name=name,
        objectives=stored.objectives,
        settings=stored.settings,
        space=stored.space,
        records=stored.records,
        finals=stored.finals,
        front=stored.front,
        command=stored.command,
        rules=stored.rules,
        default=stored.default,
    )


def networks(findings: Findings, uri: str) -> Networks:
    """Read the runs of the best trials. Raises StudyError if they can't be read."""
    from study.tracking import reader, store

    opened = store.existing(uri)
    behaviour = _behaviour(opened, findings)
    # a trial that was adopted from its record on disk doesn't know its run
    done = [
        replace(record, run_id=record.run_id or reader.run_of(opened, findings.name, record.number)) for record in findings.ranked
    ]
    shown: list[Shown] = []
    for record in done[:MOST_SHOWN]:
        if record.run_id and record.summary:
            # only the motion of the best trial, or of a star's centre, is drawn
            shown.append(Shown(record, reader.load_trial(opened, record.run_id, motion=not shown)))
    number = findings.star.centre.number if findings.star else None
    centre = _of(opened, [record for record in done if record.number == number], motion=True)
    default = _of(opened, [record for record in done[1:] if record.params == findings.default], motion=False)
    circumstances = reader.circumstances(opened, shown[0].record.run_id) if shown and shown[0].record.run_id else None
    in_order = sorted(done, key=lambda record: record.number)
    if findings.factor is None:
        return Networks(shown, None, centre, default, circumstances, behaviour)
    raced = findings.decision is not None
    factor = factor_tables.compare(opened, findings.factor, in_order, findings.objective, findings.settings, raced)
    return Networks(shown, factor, centre, default, circumstances, behaviour)


def _of(opened: Store, records: Sequence[TrialRecord], *, motion: bool) -> Shown | None:
    """Return the first of these trials with what its run keeps; None without one that has a run."""
    from study.tracking import reader

    runs = ((record, record.run_id) for record in records)
    return next((Shown(record, reader.load_trial(opened, run, motion=motion)) for record, run in runs if run), None)


def _behaviour(opened: Store, findings: Findings) -> Behaviour | None:
    from study.tracking import logged_champion

    found = logged_champion.behaviour(opened, findings.name)
    return found if found and findings.best and found.trial == findings.best.number else None
