"""The answers of a study: does training converge to a single, stable value, and is the best setting's win more than chance?"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from study.analysis import verdict
from study.analysis.convergence import IMPROVING, PLATEAUED, UNDECIDED
from study.analysis.distance import UNRELATED_TEXT
from study.records.arrays import Scalar
from study.records.outcome import Onward, Summary
from study.records.trial import TrialRecord
from study.reporting import headlines, one_setting
from study.reporting.reference_values import RATE, SCHEDULE
from study.reporting.report import (
    COPIES,
    interval_text,
    labels_text,
    listed,
    loss_text,
    number,
    ranked,
    score_text,
    settings_text,
)
from study.reporting.star import Star, at_rest_text
from study.search import space as spaces
from study.settings.data import CLASSIFICATION
from study.settings.schedule import ConstantRate, ReduceOnPlateau
from study.settings.values import Value
from study.statistics.objectives import ACCURACY, R2, ROWS, UNIT, Objective, unlike
from study.statistics.ranking import FEWEST, PairedDifference, Ranking, choose

LONGER = 100  # times as many epochs, at most, for a run that ends when it has plateaued
ONWARD = 10  # the same of networks that were trained on
MOST_NAMED = 10
VARY = "replicates.vary"
# settings of which another value makes other pairs of replicates
PAIRING = ("replicates.count", "replicates.first", VARY, "replicates.crossed")
RESTART = ("init", "order")  # what another run of the same script changes
# what a command that would settle an answer does
TRAINS_LONGER, LOWERS_RATE = "train longer", "let the learning rate fall"


@dataclass(frozen=True)
class Evidence:
    """The basis of an answer: the replicates of one trial, the best one or the best by one of several objectives.

    role: which of the two; trial: its number, and settings its sampled ones; differ: the sources in which its replicates differ;
    summary: their numbers; classifies: whether they predict classes; onward: how they were trained on, if they were.
    """

    role: str
    trial: int
    settings: Mapping[str, Scalar]
    differ: Sequence[str]
    summary: Summary
    classifies: bool
    onward: Onward | None = None

    @property
    def replicates(self) -> int:
        return len(self.summary.val_losses)

    @property
    def text(self) -> str:
        """The numbers in sentences."""
        summary, trial = self.summary, f"{self.role}, trial {self.trial}"
        reached = f"validation loss {loss_text(summary)}"
        if self.settings:
            trial += f" ({settings_text(self.settings)})"
        if self.replicates < 2:
            return f"The {trial}, reaches {reached}. Train two replicates or more (replicates.count=8)."
        replicates = f"The {self.replicates} replicates of the {trial}, which differ in {listed(self.differ) or 'nothing'},"
        sentences = []
        if self.onward and self.onward.summary:
            # first, since every number below is of these networks, and not of those in the study's table
            sentences = [f"{replicates} {headlines.trained_on(self.onward)}."]
            replicates, reached = "They", f"{reached}{headlines.lowest(self.onward)}"
        if summary.distinct == 1:
            sentences += [
                f"{replicates} have the same final weights, bit for bit.",
                f"They reach {reached}, and {self._converged}.",
            ]
        else:
            fresh = summary.null if summary.aligned is not None else None
            sentences += [
                f"{replicates} are {number(summary.distance)} apart in weight space{_matched(summary.aligned)}; "
                f"{UNRELATED_TEXT}{_matched(fresh)}.",
                f"They have {summary.distinct} different fingerprints and reach {reached}; {self._functions}; {self._converged}.",
            ]
        return " ".join([*sentences, *headlines.moved_sentences(summary, self.onward, self.classifies), *self._poor])

    @property
    def _converged(self) -> str:
        settled = self.summary.labels.get(PLATEAUED, 0)
        if settled == self.replicates:
            return "by training loss, all have plateaued"
        return f"by training loss, {'not all have' if settled else 'none has'} plateaued ({labels_text(self.summary)})"

    @property
    def _functions(self) -> str:
        apart = self.summary.disagreement
        if apart is None:
            return "each was validated on rows of its own"
        if self.classifies:
            return f"their predicted classes differ on {apart:.1%} of the validation rows"
        return f"their predictions differ by {apart:.0%} of the target's standard deviation"

    @property
    def _poor(self) -> Iterator[str]:
        """Sentences on networks that are no better than a predictor that knows nothing."""
        summary = self.summary
        r2, accuracy = summary.scores.get(R2), summary.scores.get(ACCURACY)
        if r2 and sum(r2) <= 0:
            above = sum(value > 0 for value in r2)
            but = f", and above 0 in {above} of {len(r2)} replicates" if above else ""
            yield f"On average no better than predicting the mean: R² is {number(sum(r2) / len(r2))}{but}."
        if accuracy and summary.majority is not None and sum(accuracy) / len(accuracy) <= summary.majority:
            yield f"On average no better than always predicting the largest class: accuracy {score_text(summary, ACCURACY)}."
        if summary.one_class:
            yield f"{summary.one_class} of {self.replicates} networks predict one class only."


def _matched(distance: float | None) -> str:
    return "" if distance is None else f" ({number(distance)} after matching neurons)"


@dataclass(frozen=True)
class Answer:
    """The answer to whether training converges to a single, stable value.

    headline: in a few words; verdict: on the best trial's replicates, with its qualifier, if there is one; evidence: None if no
    trial completed; command: what would settle it, if it isn't and something would; how: in words. beside: a sentence on the other
    settings of a star.
    """

    headline: str
    verdict: str | None = None
    evidence: Evidence | None = None
    command: str = ""
    how: str = TRAINS_LONGER
    beside: str = ""

    @property
    def text(self) -> str:
        """The evidence and the verdict in sentences."""
        if self.evidence is None:
            return "The table gives the reason for each."
        return self.evidence.text + (f" Verdict: {self.verdict}." if self.verdict else "")

    def __str__(self) -> str:
        return self._sentences(self.command)

    @property
    def in_python(self) -> str:
        """The same with a call in place of the command."""
        _, *overrides = shlex.split(self.command) or [""]
        if not overrides or any(each.startswith(("-", "hydra")) for each in overrides):
            return str(self)
        train = f"study.train(study.compose({overrides}))"
        return self._sentences(f"study.motion({train})" if "training.until=settled" in overrides else f"{train}.labels")

    def _sentences(self, call: str) -> str:
        settle = f"To settle it, {self.how}: {call}" if call else ""
        return " ".join(filter(None, (f"{self.headline}.", self.beside, self.text, settle)))


def answer(
    ranked: Sequence[TrialRecord],
    objective: Objective,
    settings: Mapping[str, Value],
    command: str = "",
    searched: Collection[str] = (),
    alone: bool = True,
) -> Answer:
    """Return the answer by the replicates of the first trial. ranked: the completed ones, best first.

    settings: the study's fixed settings; searched: the keys of the others; command: its launch; alone: whether the objective is the
    only one.
    """
    if not ranked:
        return Answer("No trial completed, so there is no answer")
    record, summary = ranked[0], ranked[0].summary
    assert summary is not None
    onward = summary.onward
    summary = (onward and onward.summary) or summary
    by_objective = f"trial with the {objective.best} {objective.quantity}"
    evidence = Evidence(
        role="best trial" if alone and not unlike(ranked, objective) else by_objective,
        trial=record.number,
        settings=record.params,
        differ=_sources(record, settings),
        summary=summary,
        classifies=settings.get("data.task") == CLASSIFICATION,
        onward=onward,
    )
    label = headlines.unsettled(summary)
    learning = label in (IMPROVING, UNDECIDED) and summary.labels.get(label, 0) > 0
    if onward:
        still_moving = onward.summary is not None and learning and not headlines.rest(summary)
        more, how = to_rest(command, record, settings, searched, onward.most) if still_moving else ("", TRAINS_LONGER)
        return Answer(headlines.of_onward(onward), summary.verdict if onward.summary else None, evidence, more, how)
    if summary.until_rest and summary.motion and evidence.replicates > 1:
        still_moving = learning and not headlines.rest(summary)
        within = max(summary.until_rest)
        more, how = to_rest(command, record, settings, searched, within) if still_moving else ("", TRAINS_LONGER)
        return Answer(headlines.headline(summary), summary.verdict, evidence, more, how)
    still_moving = learning and verdict.name_of(summary.verdict or "") == verdict.NOT_CONVERGED and evidence.replicates > 1
    more = longer(command, record, settings, searched) if still_moving else ""
    return Answer(headlines.headline(summary), summary.verdict, evidence, more)


def at_constant_rate(found: Star, settings: Mapping[str, Value]) -> Answer:
    """Return the answer of a star of trials: by the replicates of its centre, whose learning rate is constant."""
    record, summary = found.centre, found.summary
    epochs = record.params.get("training.epochs", settings.get("training.epochs"))
    assert isinstance(epochs, int)
    evidence = Evidence(
        role="trial at a constant rate",
        trial=record.number,
        settings=record.params,
        differ=_sources(record, settings),
        summary=summary,
        classifies=settings.get("data.task") == CLASSIFICATION,
    )
    headline = f"{headlines.of_motion(summary, epochs)} (constant learning rate {record.params[RATE]:g})"
    return Answer(headline, summary.verdict, evidence, beside=at_rest_text(found))


def _sources(record: TrialRecord, settings: Mapping[str, Value]) -> list[str]:
    """The sources in which a trial's replicates differ."""
    return sources(spaces.setting(record.params[VARY]) if VARY in record.params else settings.get(VARY))


def sources(vary: Value) -> list[str]:
    """Return the sources of `replicates.vary`; none if it isn't known."""
    return [str(source) for source in vary] if isinstance(vary, Sequence) and not isinstance(vary, str) else []


def longer(command: str, record: TrialRecord, settings: Mapping[str, Value], searched: Collection[str]) -> str:
    """Return the command that trains one trial's setting until its training loss has plateaued; "" where the launch isn't known."""
    epochs = record.params.get("training.epochs", settings.get("training.epochs"))
    if not command or not isinstance(epochs, int) or settings.get("training.patience") is not None:
        return ""
    stop: dict[str, Scalar] = {"training.until": "plateaued", "training.epochs": LONGER * epochs}
    return one_setting.command(command, record.params | stop, searched)


def to_rest(
    command: str, record: TrialRecord, settings: Mapping[str, Value], searched: Collection[str], within: int
) -> tuple[str, str]:
    """Return the command that trains one trial's setting until its networks rest, and how; "" where the launch isn't known.

    within: the epochs within which they didn't. At a constant rate more of them seldom help, so the command lets the rate fall.
    """
    if not command:
        return "", TRAINS_LONGER
    stop: dict[str, Scalar] = {"training.until": "settled", "training.epochs": ONWARD * within}
    stop |= {} if settings.get("training.patience") is None else {"training.patience": "null"}
    # settings of a constant rate's group would be unknown to another's
    constant = record.params.get(SCHEDULE, settings.get(SCHEDULE)) == ConstantRate.name and f"{SCHEDULE}." not in command
    fall: dict[str, Scalar] = {SCHEDULE: ReduceOnPlateau.name} if constant else {}
    how = LOWERS_RATE if constant else TRAINS_LONGER
    return one_setting.command(command, record.params | fall | stop, searched), how


# -- is the win real? ------------------------------------------------------------------------------------------------------------


def unlike_text(parts: Sequence[str]) -> str:
    """Return why trials that differ in what they are judged by (`objectives.unlike`) have no winner."""
    if ROWS in parts:
        return (
            "no winner is named: trials are judged on different rows, so that a difference may be the rows' and not the setting's"
        )
    if UNIT in parts:
        return "no winner is named: errors of some trials are of the normalised target, as in 0.1.0, and others in its own unit"
    return "no winner is named: the trials have no validation loss in common"


def choice(records: Sequence[TrialRecord], objective: Objective) -> Ranking | None:
    """Choose the trials that may be the best one, of those with as many replicates as it has.

    None for fewer than two, for crossed ones, whose replicates aren't independent, and for trials that can't be compared.
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
    return choose(paired, objective.sign, copies)


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
        return (
            f"Too few replicates to decide whether trial {ranking.best} wins: {ranking.pairs}, where at least {FEWEST} that "
            "differ are needed (replicates.count=8)."
        )
    nearest, gap = next((rival, gap) for rival, gap in ranking.differences.items() if ranking.decided or not gap.shown)
    difference = interval_text(gap.mean, gap.halfwidth)
    which = "one" if ranking.decided else "of these"
    compared = (
        f"The nearest {which} is trial {nearest}: its {objective.quantity} minus that of trial {ranking.best} is {difference}, "
        f"over {gap.pairs} paired replicates that differ in {listed(differ) or 'nothing'}"
    )
    if ranking.decided and (shared := [source for source in RESTART if source not in differ]):
        same = listed(shared)
        return (
            f"Trial {ranking.best} is better than every other {completed}trial with this {same}, which all replicates share; with "
            f"another {same} another trial may win (replicates.vary=[{','.join(RESTART)}]). {compared}."
        )
    if ranking.decided:
        return f"The win is real: trial {ranking.best} is better than every other {completed}trial. {compared}."
    others = [str(rival) for rival in ranking.tied if rival != ranking.best]
    rest = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    trials = f"trial{'s' * (len(others) > 1)} {', '.join(others[:MOST_NAMED])}{rest}"
    best = f"No winner yet: trial {ranking.best} has the best mean, but {trials} may be as good."
    return f"{best} {compared}; {needed_text(gap)}."


def needed_text(gap: PairedDifference) -> str:
    """Return the number of replicates that would show a difference that isn't shown, in words."""
    if gap.mean == 0:
        return "they don't differ at all"
    if gap.needed is None:
        return "no number of replicates that can be trained would show a difference of that size"
    return f"about {gap.needed:,} replicates would show a difference of that size"


def win_text(records: Sequence[TrialRecord], ranking: Ranking | None, objective: Objective, settings: Mapping[str, Value]) -> str:
    """Return whether the best trial's win is more than chance, or why no winner can be named."""
    best = ranked(records, objective)
    if not best:
        return ""
    if parts := unlike(records, objective):
        return f"{unlike_text(parts).capitalize()}."
    if keys := _unpaired(records):
        return f"No winner is named: trials differ in {listed(keys)}, so that their replicates are no pairs."
    if any(record.summary and record.summary.blame for record in best):
        return "No winner is named: crossed replicates share seeds, and aren't independent."
    completed = "completed " if len(best) < len(records) else ""
    return choice_text(ranking, objective, _sources(best[0], settings), completed)


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
    replicates = f"With {ranking.pairs} fresh replicates each, trial {ranking.best}"
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
    trials = ", ".join(map(str, front))
    return f"Pareto front of {names}: no trial beats trial{'s' * (len(front) > 1)} {trials} in all of them at once."
