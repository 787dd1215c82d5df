"""Compares the networks of a study that varies one setting, to show the effect of that setting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.analysis import controlled_comparison, disagreement
from study.records.trial import TrialRecord
from study.reporting import answers, narrative, report
from study.settings.spec import KINDS
from study.settings.values import Value
from study.statistics import ranking, rounds
from study.statistics.objectives import Objective, unlike

if TYPE_CHECKING:
    from study.tracking.store import Store

MOST_LEVELS, MOST_REPLICATES = 8, 32
SEEDS = {"seed", "replicates.first"}


@dataclass(frozen=True)
class FactorComparison:
    """effect: of the setting called `name` on weights, function and objective; or spreads: of each level of `replicates.vary`.

    kind: of the disagreement. differ: the sources in which the replicates differ. raced: a race compares the settings' objective.
    """

    name: str
    objective: Objective
    kind: str
    replicates: int
    differ: Sequence[str]
    effect: controlled_comparison.Effect | None = None
    spreads: tuple[controlled_comparison.Spread, ...] = ()
    raced: bool = False

    @property
    def quantity(self) -> str:
        return self.objective.quantity

    @property
    def table(self) -> report.Table:
        if self.effect:
            return narrative.factor_table(self.effect, self.quantity, self.raced)
        return narrative.sources_table(self.spreads, self.quantity)

    @property
    def answer(self) -> str:
        if self.effect:
            return narrative.factor_answer(self.effect, self.name, self.objective, self.differ, self.name in KINDS, self.raced)
        return narrative.sources_answer(self.spreads, self.quantity, self.replicates)


def find_factor(keys: Collection[str], records: Sequence[TrialRecord], objective: Objective) -> str | None:
    """Return the only setting that a study varied, if two to eight of its values have one completed trial each.

    None for a seed, which is no setting, for trials that can't be compared, and for different numbers of replicates.
    """
    completed = [record for record in records if record.summary]
    if len(keys) != 1 or SEEDS & set(keys) or unlike(completed, objective):
        return None
    [key] = keys
    done = [(record.params[key], len(record.summary.val_losses)) for record in completed if record.summary]
    values, counts = [value for value, _ in done], {count for _, count in done}
    return key if 2 <= len(done) <= MOST_LEVELS and len(set(values)) == len(done) and len(counts) == 1 else None


def compare(
    opened: Store,
    key: str,
    records: Sequence[TrialRecord],
    objective: Objective,
    settings: Mapping[str, Value],
    raced: bool = False,
) -> FactorComparison | None:
    """Compare the completed trials' networks; return None where the objective has no value of each replicate.

    settings: the study's fixed ones. raced: a race compares the trials by the objective. A trial whose run isn't in MLflow
    yet is left out; None if fewer than two are left. None, too, in a race between networks of different shapes, each validated on
    rows of its own, where neither weights nor functions can be compared.
    """
    from study.tracking import reader

    done = [record for record in records if record.summary and record.run_id]
    values = [objective.of_replicates(record.summary) for record in done if record.summary]
    if len(done) < 2 or not all(values):
        return None
    trials = [reader.load_networks(opened, record.run_id or "")[:MOST_REPLICATES] for record in done]
    # the run of a race's winner holds more networks than the others
    trials = [networks[: min(map(len, trials))] for networks in trials]
    kind, replicates = disagreement.kind(trials[0][0].target), len(trials[0])
    name, differ = report.short(key), answers.sources(settings.get(answers.VARY))
    named = [report.setting(record.params[key]) for record in done]
    levels = [controlled_comparison.Level(*fields) for fields in zip(named, trials, values, strict=True)]
    if key == answers.VARY and replicates > 1:
        return FactorComparison(
            name, objective, kind, replicates, differ, spreads=tuple(controlled_comparison.spread(level) for level in levels)
        )
    # also of those whose runs are missing, as the study's own comparisons are
    pairs = ranking.all_pairs(sum(record.summary is not None for record in records))
    effect = controlled_comparison.effect(levels, pairs, rounds.per_split(settings))
    # the race compares the rest
    if raced and not any(pair.summed or pair.disagreement for pair in effect.pairs):
        return None
    return FactorComparison(name, objective, kind, replicates, differ, effect, raced=raced)
