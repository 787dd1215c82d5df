"""Is the best setting's win more than chance? In sentences, by the paired differences of trials' replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.records.trial import TrialRecord
from study.reporting.answers import VARY, sources_of
from study.reporting.report import COPIES, fewest_text, interval_text, listed, pairs_text, ranked
from study.settings.values import Value
from study.statistics.objectives import ROWS, UNIT, Objective, unlike
from study.statistics.ranking import PairedDifference, Ranking, choose

MOST_NAMED = 10
# settings of which another value makes other pairs of replicates
PAIRING = ("replicates.count", "replicates.first", VARY, "replicates.crossed")
CROSSED = "crossed replicates share seeds, and aren't independent"
RESTART = ("init", "order")  # what another run of the same script changes


def unlike_text(parts: Sequence[str]) -> str:
    """Return why trials that differ in what they are judged by (`objectives.unlike`) have no winner."""
    return f"no winner is named: {_unlike(parts)}"


def _unlike(parts: Sequence[str]) -> str:
    if ROWS in parts:
        return "trials are judged on different rows, so that a difference may be the rows' and not the setting's"
    if UNIT in parts:
        return "errors of some trials are of the normalised target, as in 0.1.0, and others in its own unit"
    return "the trials have no validation loss in common"


def choice(
    records: Sequence[TrialRecord], objective: Objective, per_split: int = 1, comparisons: int | None = None
) -> Ranking | None:
    """Choose the trials that may be the best one, of those with as many replicates as it has.

    per_split, comparisons: as in `ranking.choose`. None for fewer than two, for crossed ones, whose replicates aren't independent,
    and for trials that can't be compared.
    """
    if _unpaired(records):
        return None
    done = [record for record in ranked(records, objective) if record.summary and not record.summary.blame]
    values = {record.number: objective.of_replicates(record.summary) for record in done if record.summary}
    count = len(next(iter(values.values()), ()))
    paired = {trial: of_replicates for trial, of_replicates in values.items() if len(of_replicates) == count}
    if len(paired) < 2 or count == 0 or unlike(done, objective):
        return None
    copies = [record.number for record in done if record.summary and record.summary.distinct == 1 < count]
    return choose(paired, objective.sign, copies, per_split, comparisons)


def _unpaired(records: Sequence[TrialRecord]) -> list[str]:
    """Return the settings in which trials differ so that their replicates are no pairs."""
    done = [record.params for record in records if record.summary]
    return [key for key in PAIRING if len({str(params.get(key)) for params in done}) > 1]


def choice_brief(ranking: Ranking | None) -> str:
    """Return whether the best trial's win is more than chance in one short sentence; "" without a choice."""
    if ranking is None:
        return ""
    if ranking.copies or ranking.too_few:
        return "Too few replicates that differ to name a winner."
    if ranking.decided:
        return f"Trial {ranking.best} is better than every other by its paired differences."
    count = len(ranking.tied) - 1
    return f"Trial {ranking.best} has the best mean, but {count} other{'s' * (count > 1)} may be as good."


def choice_text(ranking: Ranking | None, objective: Objective, differ: Sequence[str], completed: str = "") -> str:
    """Return whether the best trial's win is more than chance, and what would decide it; "" without a choice.

    differ: the sources in which the replicates differ. A win is one over these alone. completed: a word before 'trial' where others
    weren't completed.
    """
    if ranking is None:
        return ""
    if ranking.copies:
        return f"Nothing can be said of a winner: {COPIES}."
    if ranking.too_few:
        return f"Too few replicates to decide whether trial {ranking.best} wins: {fewest_text(ranking.fewest)}."
    nearest, gap = next((rival, gap) for rival, gap in ranking.differences.items() if ranking.decided or not gap.shown)
    difference = interval_text(gap.mean, gap.halfwidth)
    others = [str(rival) for rival in ranking.tied if rival != ranking.best]
    which = "one" if ranking.decided else "of these"
    rivals = ranking.differences if ranking.decided else others
    named = f"The nearest {which} is trial {nearest}" if len(rivals) > 1 else f"Trial {nearest}"
    compared = (
        f"{named}: its {objective.quantity} minus that of trial {ranking.best} is {difference}, "
        f"over {pairs_text(gap)} that differ in {listed(differ) or 'nothing'}"
    )
    if ranking.decided and (shared := [source for source in RESTART if source not in differ]):
        same = listed(shared)
        return (
            f"Trial {ranking.best} is better than every other {completed}trial with this {same}, which all replicates share; with "
            f"another {same} another trial may win (replicates.vary=[{','.join(RESTART)}]). {compared}."
        )
    if ranking.decided:
        return f"The win is real: trial {ranking.best} is better than every other {completed}trial. {compared}."
    more = [f"{len(others) - MOST_NAMED} more"] if len(others) > MOST_NAMED else []
    trials = f"trial{'s' * (len(others) > 1)} {listed([*others[:MOST_NAMED], *more])}"
    best = f"No winner yet: trial {ranking.best} has the best mean, but {trials} may be as good."
    return f"{best} {compared}; {needed_text(gap)}."


def needed_text(gap: PairedDifference) -> str:
    """Return the number of replicates that would show a difference that isn't shown, in words."""
    if gap.mean == 0:
        return "their means are equal" if gap.halfwidth else "they don't differ at all"
    if gap.needed is None:
        return "no practical number of replicates would show a difference of that size"
    return f"about {gap.needed:,} replicates would show a difference of that size"


def win_text(records: Sequence[TrialRecord], ranking: Ranking | None, objective: Objective, settings: Mapping[str, Value]) -> str:
    """Return whether the best trial's win is more than chance, or why no winner can be named."""
    best = ranked(records, objective)
    if not best:
        return ""
    if reason := why_none(records, objective):
        return f"No winner is named: {reason}."
    completed = "completed " if len(best) < len(records) else ""
    return choice_text(ranking, objective, sources_of(best[0], settings), completed)


def why_none(records: Sequence[TrialRecord], objective: Objective) -> str:
    """Return why no winner can be named among trials, whatever their values; "" where one can."""
    if parts := unlike(records, objective):
        return _unlike(parts)
    if keys := _unpaired(records):
        return f"trials differ in {listed(keys)}, so that their replicates are no pairs"
    if any(record.summary and record.summary.blame for record in ranked(records, objective)):
        return CROSSED
    return ""


def finals_text(finals: Sequence[TrialRecord], objective: Objective) -> str:
    """Return the result of the finalists' fresh replicates, which are unbiased: no trial was picked by them."""
    ranking = choice(finals, objective)
    if ranking is None:
        return ""
    if ranking.copies:
        return f"Nothing can be said of the finalists: {COPIES}."
    nearest = next(iter(ranking.differences if ranking.decided else ranking.tied[1:]))
    gap = ranking.differences[nearest]
    compared = (
        f"{objective.quantity} of trial {nearest} minus that of trial {ranking.best}: {interval_text(gap.mean, gap.halfwidth)}"
    )
    replicates = f"With {ranking.fewest.replicates} fresh replicates each, trial {ranking.best}"
    if ranking.decided:
        return f"{replicates} is better than every other finalist: it is the winner ({compared})."
    tied = [str(number) for number in ranking.tied if number != ranking.best]
    others = f"trial{'s' * (len(tied) > 1)} {listed(tied)}"
    return f"{replicates} has the best mean, but {others} may be as good: choose by cost ({compared})."


def front_text(front: Sequence[int], objectives: Sequence[Objective]) -> str:
    """Return the Pareto front of several objectives in a sentence; "" for one."""
    if len(objectives) < 2 or not front:
        return ""
    names = ", ".join(objective.text for objective in objectives)
    trials = listed(list(map(str, front)))
    return f"Pareto front of {names}: no trial beats trial{'s' * (len(front) > 1)} {trials} in all of them at once."
