"""What a study answers: does training converge to a single, stable value, and is the best setting's win more than chance?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study import ranking, verdict
from study import space as spaces
from study.convergence import DIVERGED, IMPROVING, OSCILLATING, PLATEAUED, STUCK, UNDECIDED
from study.objectives import ROWS, Objective, unlike
from study.records import Scalar, Summary, TrialRecord
from study.report import interval_text, labels_text, loss_text, number, ranked, score_text, settings_text, sources

HEADLINES = {
    verdict.SAME_WEIGHTS: "Yes, bit for bit",
    verdict.SAME_ROUNDING: "Yes, up to rounding",
    verdict.SAME_SYMMETRY: "Yes, up to the symmetry of its neurons",
    verdict.SAME_FUNCTION: "One function, different weights",
    verdict.SAME_LOSS: "One loss, different functions",
    verdict.DIFFERENT_LOSS: "No: different losses",
    verdict.UNDECIDED: "Not decided",
}
# what the training losses of networks that have not plateaued do; the first that some do makes the headline
UNSETTLED = {
    IMPROVING: "Too early to say: the training loss still falls",
    OSCILLATING: "No: the training loss oscillates",
    DIVERGED: "No: training diverges",
    STUCK: "Too early to say: nothing has been learned yet",
}
UNCLEAR = "Not decided: the training loss doesn't show yet whether it still falls"
# settings of Hydra that one trial has no use for
OF_A_STUDY = ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
LONGER = 100  # times as many epochs, at most, for a run that ends when it has plateaued
MOST_NAMED = 10
RESTART = ("init", "order")  # what another run of the same script changes


@dataclass(frozen=True)
class Answer:
    """headline: the answer in a few words; text: its evidence; command: what would settle it, if it isn't and something would."""

    headline: str
    text: str = ""
    command: str = ""

    def __str__(self) -> str:
        settle = f"To settle it, train longer: {self.command}" if self.command else ""
        return " ".join(filter(None, (f"{self.headline}.", self.text, settle)))


def headline(found: Summary) -> str:
    """Does training converge to a single, stable value? In a few words, by the verdict on a trial's replicates."""
    count = sum(found.labels.values())
    if (name := verdict.name_of(found.verdict or "")) in HEADLINES:
        return HEADLINES[name]
    if name is None:
        return "Not decided: no verdict was recorded" if count > 1 else "Not decided: one network can't show it"
    for label, words in UNSETTLED.items():
        if label in found.labels:
            return f"{words} ({found.labels[label]} of {count} replicates)"
    return f"{UNCLEAR} ({count - found.labels.get(PLATEAUED, 0)} of {count} replicates)"


def answer(records: Sequence[TrialRecord], objective: Objective, settings: Mapping[str, str], command: str = "") -> Answer:
    """The answer by the best trial's replicates.

    settings: the study's fixed settings, in `spec.flat`'s form; command: its launch.
    """
    best = ranked(records, objective)
    if not best:
        return Answer("No trial completed, so there is no answer", "The table gives the reason for each.")
    record, summary = best[0], best[0].summary
    assert summary is not None
    count, who, reached = len(summary.val_losses), named(record), f"validation loss {loss_text(summary)}"
    if count < 2:
        return Answer(
            headline(summary), f"The best trial, {who}, reaches {reached}. Train two replicates or more (replicates.count=8)."
        )
    settled = summary.labels.get(PLATEAUED, 0)
    plateaued = "all have plateaued" if settled == count else "not all have plateaued" if settled else "none has plateaued"
    converged = plateaued if settled == count else f"{plateaued} ({labels_text(summary)})"
    differ = " and ".join(_sources(record, settings)) or "nothing"
    best_one = f"trial with the {objective.best} {objective.quantity}" if unlike(records, objective) else "best trial"
    replicates = f"The {count} replicates of the {best_one}, {who}, which differ in {differ},"
    if summary.distinct == 1:
        found = f"{replicates} have the same final weights, bit for bit. They reach {reached}, and {converged}."
    else:
        apart, unrelated = f"{number(summary.distance)} apart in weight space", "about 1.41"
        if summary.aligned is not None:
            apart += f", {number(summary.aligned)} after matching their neurons"
            unrelated += f" and {number(summary.null)}"
        found = (
            f"{replicates} end {apart} (relative L2; unrelated networks: {unrelated}), with {summary.distinct} different "
            f"fingerprints. They reach {reached}; {_functions(summary, settings)}; {converged}."
        )
    if summary.verdict:
        found += f" Verdict: {summary.verdict}."
    if (r2 := summary.scores.get("r2")) and sum(r2) <= 0:
        found += f" No better than predicting the mean: R² is {number(sum(r2) / len(r2))}, so that nothing general was learned."
    accuracy = summary.scores.get("accuracy")
    if accuracy and summary.majority is not None and sum(accuracy) / len(accuracy) <= summary.majority:
        found += f" No better than always predicting the largest class: accuracy {score_text(summary, 'accuracy')}."
    if summary.one_class:
        found += f" {summary.one_class} of {count} networks predict one class only."
    unsettled = verdict.name_of(summary.verdict or "") == verdict.NOT_CONVERGED and {IMPROVING, UNDECIDED} & summary.labels.keys()
    return Answer(headline(summary), found, longer(command, record, settings) if unsettled else "")


def _functions(found: Summary, settings: Mapping[str, str]) -> str:
    if found.disagreement is None:
        return "each was validated on rows of its own"
    if settings.get("data.task") == "classification":
        return f"their predicted classes differ on {found.disagreement:.1%} of the validation rows"
    return f"their predictions differ by {found.disagreement:.0%} of the target's standard deviation"


def named(record: TrialRecord) -> str:
    """A trial by its number and its settings."""
    return f"trial {record.number}" + (f" ({settings_text(record.params)})" if record.params else "")


def _sources(record: TrialRecord, settings: Mapping[str, str]) -> list[str]:
    return sources(record.params.get("replicates.vary", settings.get("replicates.vary", "")))


def longer(command: str, record: TrialRecord, settings: Mapping[str, str]) -> str:
    """The command that trains one trial's setting until its training loss has plateaued; nothing where the launch isn't known."""
    epochs = record.params.get("training.epochs", settings.get("training.epochs"))
    if not command or epochs is None or str(settings.get("training.patience")) not in ("None", "null"):
        return ""
    stop: dict[str, Scalar] = {"training.until": "plateaued", "training.epochs": LONGER * int(epochs)}
    program, *words = shlex.split(command)
    gone = {*record.params, *stop}
    kept = [
        word
        for word in words
        if word != "--multirun" and not word.lstrip("+~").startswith(OF_A_STUDY) and word.lstrip("+~").partition("=")[0] not in gone
    ]
    made = [f"{key}={spaces.text(value)}" for key, value in (record.params | stop).items()]
    return shlex.join([program, *kept, *made])


# -- is the win real? ------------------------------------------------------------------------------------------------------------


def unlike_text(parts: Sequence[str]) -> str:
    """Why trials that differ in what they are judged by (`objectives.unlike`) have no winner."""
    if ROWS in parts:
        return (
            "no winner is named: trials are judged on different rows, so that a difference may be the rows' and not the setting's"
        )
    return "no winner is named: the trials have no validation loss in common"


def choice(records: Sequence[TrialRecord], objective: Objective) -> ranking.Choice | None:
    """Which trials may be the best one, of those with as many replicates as it has.

    None for fewer than two, for crossed ones, whose replicates aren't independent, and for trials that can't be compared.
    """
    done = [each for each in ranked(records, objective) if each.summary and not each.summary.blame]
    values = {each.number: objective.of_replicates(each.summary) for each in done if each.summary}
    count = len(next(iter(values.values()), ()))
    paired = {trial: each for trial, each in values.items() if len(each) == count}
    if len(paired) < 2 or count == 0 or unlike(done, objective):
        return None
    copies = [each.number for each in done if each.summary and each.summary.distinct == 1 < count]
    return ranking.choose(paired, objective.sign, copies)


def choice_text(found: ranking.Choice | None, objective: Objective, differ: Sequence[str]) -> str:
    """Whether the best trial's win is more than chance, and what would decide it; nothing without a choice.

    differ: the sources in which the replicates differ. A win is one over these alone.
    """
    if found is None:
        return ""
    if found.too_few:
        return (
            f"Too few replicates to decide whether trial {found.best} wins: {found.pairs}, where at least {ranking.FEWEST} that "
            "differ are needed (replicates.count=8)."
        )
    nearest, gap = next((rival, each) for rival, each in found.differences.items() if found.decided or not each.shown)
    difference = interval_text(gap.mean, gap.halfwidth)
    compared = (
        f"The nearest one is trial {nearest}: its {objective.quantity} minus that of trial {found.best} is {difference}, over "
        f"{gap.pairs} paired replicates that differ in {' and '.join(differ) or 'nothing'}"
    )
    if found.decided and (shared := [source for source in RESTART if source not in differ]):
        same = " and ".join(shared)
        return (
            f"Trial {found.best} is better than every other trial with this {same}, which all replicates share; with another "
            f"{same} another trial may win (replicates.vary=[{','.join(RESTART)}]). {compared}."
        )
    if found.decided:
        return f"The win is real: trial {found.best} is better than every other trial. {compared}."
    others = [str(rival) for rival in found.tied if rival != found.best]
    rest = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    trials = f"trial{'s' * (len(others) > 1)} {', '.join(others[:MOST_NAMED])}{rest}"
    return f"No winner yet: trial {found.best} has the best mean, but {trials} may be as good. {compared}; {needed_text(gap)}."


def needed_text(gap: ranking.Difference) -> str:
    """How many replicates would show a difference that isn't shown."""
    if gap.mean == 0:
        return "they don't differ at all"
    if gap.needed is None:
        return "no number of replicates that can be trained would show a difference of that size"
    return f"about {gap.needed:,} replicates would show a difference of that size"


def win_text(
    records: Sequence[TrialRecord], found: ranking.Choice | None, objective: Objective, settings: Mapping[str, str]
) -> str:
    """Whether the best trial's win is more than chance, or why none can be named."""
    best = ranked(records, objective)
    if not best:
        return ""
    if parts := unlike(records, objective):
        return f"{unlike_text(parts).capitalize()}."
    return choice_text(found, objective, _sources(best[0], settings))


def finals_text(finals: Sequence[TrialRecord], objective: Objective) -> str:
    """What the finalists' fresh replicates show: nothing was picked by them, so that they flatter none."""
    found = choice(finals, objective)
    if found is None:
        return ""
    nearest = next(iter(found.differences if found.decided else found.tied[1:]))
    gap = found.differences[nearest]
    compared = f"{objective.quantity} of trial {nearest} minus that of trial {found.best}: {interval_text(gap.mean, gap.halfwidth)}"
    replicates = f"With {found.pairs} fresh replicates each, trial {found.best}"
    if found.decided:
        return f"{replicates} is better than every other finalist: it is the winner ({compared})."
    others = ", ".join(str(number) for number in found.tied if number != found.best)
    return f"{replicates} has the best mean, but {others} may be as good: choose by cost ({compared})."


def front_text(front: Sequence[int], objectives: Sequence[Objective]) -> str:
    """The Pareto front of several objectives; nothing for one."""
    if len(objectives) < 2 or not front:
        return ""
    names = ", ".join(f"{each.name} ({'least' if each.sign > 0 else 'most'})" for each in objectives)
    trials = ", ".join(map(str, front))
    return f"Pareto front of {names}: no trial beats trial{'s' * (len(front) > 1)} {trials} in all of them at once."
