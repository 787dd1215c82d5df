"""The answer of a study: does training converge to a single, stable value?"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from study.analysis import verdict
from study.analysis.convergence import IMPROVING, PLATEAUED, SLOW, UNDECIDED
from study.analysis.distance import UNRELATED_TEXT
from study.records.arrays import Scalar
from study.records.outcome import Onward, Summary
from study.records.trial import TrialRecord
from study.reporting import headlines, one_setting
from study.reporting.reference_values import RATE, SCHEDULE
from study.reporting.report import capitalised, listed, loss_text, number, score_text, settings_text
from study.reporting.star import Star, at_rest_text
from study.search import space as spaces
from study.settings.data import CLASSIFICATION
from study.settings.schedule import ConstantRate, ReduceOnPlateau
from study.settings.training import SETTLED
from study.settings.values import Value
from study.statistics.objectives import ACCURACY, R2, Objective, unlike

LONGER = 100  # times as many epochs, at most, for a run that ends when it has plateaued
ONWARD = 10  # the same of networks that were trained on
VARY = "replicates.vary"
EPOCHS, UNTIL, PATIENCE, MOTION = "training.epochs", "training.until", "training.patience", "training.motion"
LEARNING = (IMPROVING, UNDECIDED, SLOW)  # labels of losses with which training on may settle the answer
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
        return f"by training loss, {'not all have' if settled else 'none has'} plateaued ({self.summary.labels_text})"

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
            verb = "predicts" if summary.one_class == 1 else "predict"
            yield f"{capitalised(headlines.share(summary.one_class, self.replicates))} networks {verb} one class only."


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
    record, recorded = ranked[0], ranked[0].summary
    assert recorded is not None
    onward, whole = recorded.onward, len(recorded.val_losses)
    summary = (onward and onward.summary) or recorded
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
    more, how = next_step(recorded, command, record.params, settings, searched)
    headline = headlines.of_onward(onward) if onward else headlines.headline(summary)
    return Answer(headline, summary.verdict if not onward or onward.summary else None, evidence, more, how)


def next_step(
    summary: Summary, launch: str, params: Mapping[str, Scalar], settings: Mapping[str, Value], searched: Collection[str] = ()
) -> tuple[str, str]:
    """Return the command that would settle a trial's answer, and how; "" where it is settled, or training on settles nothing.

    summary: of its replicates; launch, params, settings, searched: as in `answer`.
    """
    onward = summary.onward
    if not launch or len(summary.val_losses) < 2 or (onward and onward.summary is None):
        return "", TRAINS_LONGER
    told = (onward and onward.summary) or summary
    label = headlines.unsettled(told)
    learning = label in LEARNING and told.labels.get(label, 0) > 0
    within = onward.most if onward else max(told.until_rest, default=0)
    if told.motion and within:
        if headlines.rest(told) or not (learning or headlines.weights_move(told)):
            return "", TRAINS_LONGER
        return to_rest(launch, params, settings, searched, within)
    if not learning or verdict.name_of(told.verdict or "") != verdict.NOT_CONVERGED:
        return "", TRAINS_LONGER
    epochs = params.get(EPOCHS, settings.get(EPOCHS))
    if settings.get(UNTIL) == PLATEAUED and isinstance(epochs, int):  # training longer was tried
        return to_rest(launch, params, settings, searched, epochs)
    return longer(launch, params, settings, searched), TRAINS_LONGER


def at_constant_rate(found: Star, settings: Mapping[str, Value]) -> Answer:
    """Return the answer of a star of trials: by the replicates of its centre, whose learning rate is constant."""
    record, summary = found.centre, found.summary
    epochs = record.params.get(EPOCHS, settings.get(EPOCHS))
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


def longer(command: str, params: Mapping[str, Scalar], settings: Mapping[str, Value], searched: Collection[str]) -> str:
    """Return the command that trains one trial's setting until its training loss has plateaued; "" beside early stopping."""
    epochs = params.get(EPOCHS, settings.get(EPOCHS))
    if not isinstance(epochs, int) or settings.get(PATIENCE) is not None:
        return ""
    stop: dict[str, Scalar] = {UNTIL: PLATEAUED, EPOCHS: LONGER * epochs}
    return one_setting.command(command, {**params, **stop}, searched)


def to_rest(
    command: str, params: Mapping[str, Scalar], settings: Mapping[str, Value], searched: Collection[str], within: int
) -> tuple[str, str]:
    """Return the command that trains one trial's setting until its networks rest, and how.

    within: the epochs within which they didn't. At a constant rate more of them seldom help, so the command lets the rate fall.
    """
    stop: dict[str, Scalar] = {UNTIL: SETTLED, EPOCHS: ONWARD * within}
    stop |= {} if settings.get(PATIENCE) is None else {PATIENCE: "null"}
    stop |= {} if settings.get(MOTION) is not False else {MOTION: "true"}
    # settings of a constant rate's group would be unknown to another's
    constant = params.get(SCHEDULE, settings.get(SCHEDULE)) == ConstantRate.name and f"{SCHEDULE}." not in command
    fall: dict[str, Scalar] = {SCHEDULE: ReduceOnPlateau.name} if constant else {}
    how = LOWERS_RATE if constant else TRAINS_LONGER
    return one_setting.command(command, {**params, **fall, **stop}, searched), how
