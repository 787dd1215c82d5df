"""The answer of a study: does training converge to a single, stable value?"""

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
from study.reporting.report import labels_text, listed, loss_text, number, score_text, settings_text
from study.reporting.star import Star, at_rest_text
from study.search import space as spaces
from study.settings.data import CLASSIFICATION
from study.settings.schedule import ConstantRate, ReduceOnPlateau
from study.settings.values import Value
from study.statistics.objectives import ACCURACY, R2, Objective, unlike

LONGER = 100  # times as many epochs, at most, for a run that ends when it has plateaued
ONWARD = 10  # the same of networks that were trained on
VARY = "replicates.vary"
# what a command that would settle an answer does
TRAINS_LONGER, LOWERS_RATE = "train longer", "let the learning rate fall"


@dataclass(frozen=True)
class Evidence:
    """The basis of an answer: the replicates of one trial, the best one or the best by one of several objectives.

    role: which of the two; trial: its number, and settings its sampled ones; differ: the sources in which its replicates differ;
    summary: their numbers; classifies: whether they predict classes; onward: how they were trained on, if they were; whole: the
    trial's number of replicates, of which only the first may have been trained on.
    """

    role: str
    trial: int
    settings: Mapping[str, Scalar]
    differ: Sequence[str]
    summary: Summary
    classifies: bool
    onward: Onward | None = None
    whole: int = 0

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
        of_them = f"first {self.replicates} of the {self.whole}" if self.replicates < self.whole else f"{self.replicates}"
        replicates = f"The {of_them} replicates of the {trial}, which differ in {listed(self.differ) or 'nothing'},"
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
    trial completed, and then a sentence on the reasons is in `why`; command: what would settle it, if it isn't and something would;
    how: in words. beside: a sentence on the other settings of a star.
    """

    headline: str
    verdict: str | None = None
    evidence: Evidence | None = None
    command: str = ""
    how: str = TRAINS_LONGER
    beside: str = ""
    why: str = ""

    @property
    def text(self) -> str:
        """The evidence and the verdict in sentences."""
        if self.evidence is None:
            return self.why
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
        return Answer("No trial completed, so there is no answer", why="The table gives the reason for each.")
    record, summary = ranked[0], ranked[0].summary
    assert summary is not None
    onward, whole = summary.onward, len(summary.val_losses)
    summary = (onward and onward.summary) or summary
    by_objective = f"trial with the {objective.best} {objective.quantity}"
    evidence = Evidence(
        role="best trial" if alone and not unlike(ranked, objective) else by_objective,
        trial=record.number,
        settings=record.params,
        differ=sources_of(record, settings),
        summary=summary,
        classifies=settings.get("data.task") == CLASSIFICATION,
        onward=onward,
        whole=whole,
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
        differ=sources_of(record, settings),
        summary=summary,
        classifies=settings.get("data.task") == CLASSIFICATION,
    )
    headline = f"{headlines.of_motion(summary, epochs)} (constant learning rate {record.params[RATE]:g})"
    return Answer(headline, summary.verdict, evidence, beside=at_rest_text(found))


def sources_of(record: TrialRecord, settings: Mapping[str, Value]) -> list[str]:
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
