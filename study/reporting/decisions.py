"""The race of a study: its state from the records, and what it decides, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from study.records.arrays import Doubles, Scalar
from study.records.outcome import Interval, Tested
from study.records.trial import TrialRecord
from study.reporting import columns, on_test
from study.reporting.report import Table, capitalised, duration, listed, number, settings_text
from study.statistics import race, rounds
from study.statistics.objectives import Objective
from study.statistics.race import Claim, Decision, Rules

MOST_NAMED = 10
MOST_IN_HEADLINE = 2  # settings by which a headline names a trial


def decide(records: Sequence[TrialRecord], objective: Objective, rules: Rules, per_split: int) -> Decision | None:
    """Return the state of the race between the completed trials; None without one that has enough replicates.

    per_split: replicates in a row that share a split.
    """
    losses, costs = _losses(records, objective, rules), {record.number: _cost(record) for record in records}
    if not losses:
        return None
    return race.decide(losses, {trial: costs[trial] for trial in losses}, rules, _splits(losses, per_split))


def between(
    decision: Decision, records: Sequence[TrialRecord], objective: Objective, rules: Rules, per_split: int, first: int, second: int
) -> Claim | None:
    """Return the claim about two trials by the race's rule, the first in the winner's place; None for one that isn't in it."""
    if any(trial not in decision.used or decision.out.get(trial) == race.DIVERGED for trial in (first, second)):
        return None
    losses = _losses(records, objective, rules)
    return race.between(losses, decision, first, second, rules, _splits(losses, per_split))


def _losses(records: Sequence[TrialRecord], objective: Objective, rules: Rules) -> dict[int, Doubles]:
    """Return the replicates' losses of the completed trials that have enough of them, lower is better."""
    losses = {}
    for record in records:
        values = objective.of_replicates(record.summary) if record.summary and record.state == "complete" else []
        if len(values) >= rules.first:
            losses[record.number] = objective.sign * np.array(values, np.float64)
    return losses


def _splits(losses: Mapping[int, Doubles], per_split: int) -> list[int] | None:
    return rounds.splits(range(max(map(len, losses.values()))), per_split)


def _cost(record: TrialRecord) -> tuple[float, float]:
    """Return a setting's cost: weights, then epochs. Nothing else counts, or a setting of the same cost would pass for cheaper."""
    epochs = record.params.get("training.epochs", 0)
    return (record.summary.parameters if record.summary else 0, epochs if isinstance(epochs, int) else 0)


def progress(decision: Decision, rate: float) -> str:
    """Return the state of a race that goes on, for the terminal. rate: networks per second so far, 0 before any."""
    racing = len(decision.used) - sum(trial in decision.used for trial in decision.out)
    missing = sum(count - decision.used[trial] for trial, count in decision.next.items())
    left = f", at most {duration(max(missing / rate, 1.0))}" if rate else ""
    return f"{len(decision.used)} trials · {racing} in the race · {sum(decision.used.values())} networks · {missing} more{left}"


def headline(
    decision: Decision,
    tested: Tested | None = None,
    records: Sequence[TrialRecord] = (),
    default: Mapping[str, Scalar] | None = None,
) -> str:
    """Return the decision in a few words.

    tested: the winner on the test part, where a baseline may be better; records: the trials, named by their settings where
    these are few; default: the setting.
    """
    better = on_test.better_baselines(tested) if tested else []
    first = []
    if better:
        have = "has" if len(better) == 1 else "have"
        first.append(f"{listed(better).capitalize()} {have} a lower loss on the test rows than the networks.")
    if tested and (gap := on_test.default_gap(tested)) and gap[2] < 0:
        first.append(f"{on_test.default_name(records, default)} has a lower loss on the test rows than the winner.")
    names = {record.number: settings_text(record.params) for record in records if 0 < len(record.params) <= MOST_IN_HEADLINE}
    return " ".join([*first, _outcome(decision, number(decision.delta), names)])


def brief(decision: Decision, tested: Tested | None = None) -> str:
    """Return the decision in one short sentence without numbers, for a reader who looks once."""
    better = on_test.better_baselines(tested) if tested else []
    if tested and (gap := on_test.default_gap(tested)) and gap[2] < 0:
        better.append("the default setting")
    if not better:
        return _outcome(decision, "the margin")
    first = f"{listed(better)} {'has' if len(better) == 1 else 'have'} a lower loss on the test rows than the winner"
    return f"{capitalised(first)}; of the searched settings, trial {decision.winner} is the best"


def _outcome(decision: Decision, margin: str, names: Mapping[int, str] = MappingProxyType({})) -> str:
    """Return the outcome of the race in a few words. names: of trials, beside their numbers."""

    def named(trial: int | None) -> str:
        return f"trial {trial} ({names[trial]})" if trial is not None and trial in names else f"trial {trial}"

    winner = named(decision.winner)
    if decision.winner is None:
        return "No winner: every trial has diverged"
    if len(decision.used) < 2:
        return f"Nothing to decide: {winner} is the only one that completed"
    if not decision.decided:
        state = "Not decided yet" if decision.reason == race.RACING else "Undecided"
        if _kind(decision, race.UNDECIDED):
            return f"{state}: {winner} leads, but another trial may be better by more than {margin}"
        return f"{state}: {winner} leads, but a winner needs more replicates"
    if len(_kind(decision, race.BETTER)) == len(decision.claims):
        return f"Decided: {winner} is better than every other"
    if decision.cheapest != decision.winner:
        return f"Decided: {winner} wins, and {named(decision.cheapest)} is equivalent and cheaper"
    return f"Decided: {winner} wins; no other is better by more than {margin}"


def text(
    decision: Decision,
    records: Sequence[TrialRecord],
    objective: Objective,
    rules: Rules,
    default: Mapping[str, Scalar] | None = None,
    spread: str = "seeds",
) -> str:
    """Return the numbers that the decision rests on, in sentences; "" where there is nothing to decide.

    default: the setting. spread: what differs between the replicates whose SD is the margin's unit.
    """
    by_number = {record.number: record for record in records}
    winner = by_number.get(decision.winner) if decision.winner is not None else None
    if winner is None or winner.summary is None or len(decision.used) < 2:
        return ""
    quantity, leader = objective.quantity, "winner" if decision.decided else "leader"
    phrases = {
        race.BETTER: "better than {trials}",
        race.EQUIVALENT: "equivalent to {trials} within {margin}",
        race.NOT_WORSE: "not worse by more than {margin} than {trials}",
        race.UNDECIDED: "not yet separated from {trials}",
    }
    made = [
        phrase.format(trials=_trials(decision, kind), margin=number(decision.delta))
        for kind, phrase in phrases.items()
        if _kind(decision, kind)
    ]
    settings = f" ({settings_text(winner.params)})" if winner.params else ""
    if winner.params == default:
        settings += ", the default setting,"
    sentences = [f"By {quantity}, trial {winner.number}{settings} is {'; '.join(made)}."]
    rivals = _kind(decision, race.UNDECIDED) or list(decision.claims)
    rival = min(rivals, key=lambda trial: decision.claims[trial].difference)
    nearest = "rival" if decision.decided else "of these"
    trial = f"The nearest {nearest} is trial {rival}" if len(rivals) > 1 else f"Trial {rival}"
    compared = difference_text(decision.claims[rival], objective, f"its {quantity}", f"the {leader}'s", f"the {leader}")
    sentences.append(f"{trial}: {compared}.")
    if lower := _lower_mean(decision, by_number, objective, leader):
        sentences.append(lower)
    unit = f"{number(rules.margin, 2)} SD of a setting's {quantity} over {spread}"
    margin = f"The margin {number(decision.delta)} is {unit}"
    if decision.decided:
        likely = f"With a probability of at least {rules.confidence:.4g}"
        margin = f"{likely}, no other is better by more than the margin {number(decision.delta)}, {unit}"
    sentences.append(f"{margin}; the race compared {len(decision.used)} settings by {sum(decision.used.values()):,} networks.")
    if decision.decided and decision.cheapest not in (None, decision.winner):
        cheap = by_number[decision.cheapest]
        assert cheap.summary is not None
        sentences.append(
            f"The cheapest equivalent is trial {cheap.number} ({settings_text(cheap.params)}): {_weights(cheap)}, where the winner "
            f"has {_weights(winner)}."
        )
    values = objective.of_replicates(winner.summary)
    observed, expected = number(sum(values) / len(values)), number(objective.sign * decision.expected)
    corrected = "also" if expected == observed else f"or {expected}"
    sentences.append(
        f"The {leader}'s {quantity} on the validation rows is {observed}, {corrected} when corrected for having been chosen as the "
        f"{objective.best}."
    )
    if not decision.decided:
        sentences.append(_why_not(decision, rules))
    return " ".join(sentences)


def _lower_mean(decision: Decision, records: Mapping[int, TrialRecord], objective: Objective, leader: str) -> str:
    """Return why the rival with the best mean isn't the leader, if its mean is better than the leader's; else ""."""

    def mean(trial: int, replicates: int | None = None) -> float:
        summary = records[trial].summary
        assert summary is not None
        return float(np.mean(objective.of_replicates(summary)[:replicates]))

    assert decision.winner is not None
    sign, own = objective.sign, mean(decision.winner)
    better = [trial for trial in decision.claims if sign * mean(trial) < sign * own]
    if not better:
        return ""
    trial = min(better, key=lambda rival: sign * mean(rival))
    pairs = decision.claims[trial].pairs
    its, leaders = mean(trial, pairs), mean(decision.winner, pairs)
    if not sign * leaders < sign * its:
        return ""
    return (
        f"The mean of trial {trial} is {'lower' if sign > 0 else 'higher'}, but over other replicates: over the {pairs} that both "
        f"have, it is {number(its)}, and the {leader}'s {number(leaders)}."
    )


def _weights(record: TrialRecord) -> str:
    """Return what a setting costs: weights, and epochs where these are searched."""
    epochs = record.params.get("training.epochs")
    trained = f" and {epochs} epochs" if epochs is not None else ""
    return f"{record.summary.parameters if record.summary else 0:,} weights{trained}"


def difference_text(claim: Claim, objective: Objective, its: str, minus: str, leader: str) -> str:
    """Return the difference of a claim with its interval. its, minus: name the two values; leader: the trial that may be better."""
    value, *ends = difference(claim, objective)
    low, high = map(number, ends)
    text = f"{its} minus {minus} is {number(value)} [{low}, {high}], over {claim.pairs} pairs of replicates"
    if claim.kind != race.BETTER and claim.low > 0:
        text += f"; that isn't enough to call {leader} better, since the race looks many times"
    return text


def difference(claim: Claim, objective: Objective) -> Interval:
    """Return a rival's value minus the winner's, in the objective's own sign, with the ends of the interval."""
    low, high = sorted((objective.sign * claim.low, objective.sign * claim.high))
    # the sums of equal values differ in their last bits
    value = 0.0 if abs(claim.difference) < 1e-9 * (high - low) else objective.sign * claim.difference
    return value, low, high


CLAIMED = {race.BETTER: "worse", race.EQUIVALENT: "equivalent", race.NOT_WORSE: "not better", race.UNDECIDED: "undecided"}


def rivals_table(decision: Decision, objective: Objective, rivals: Sequence[int]) -> Table:
    """Tabulate each rival's paired difference from the winner. rivals: in their order."""
    differences = [difference(decision.claims[rival], objective) for rival in rivals]
    values, lows, highs = (columns.fixed([part[place] for part in differences], differences[0]) for place in range(3))
    claims = [decision.claims[rival] for rival in rivals]
    rows = [
        (str(rival), value, f"[{low}, {high}]", str(claim.pairs), CLAIMED[claim.kind])
        for rival, value, low, high, claim in zip(rivals, values, lows, highs, claims, strict=True)
    ]
    leader = "winner" if decision.decided else "leader"
    return Table(("trial", f"minus the {leader}'s", "interval", "pairs", "it is"), tuple(rows))


def _why_not(decision: Decision, rules: Rules) -> str:
    if decision.reason == race.BUDGET:
        return f"The race ended at its limit of {rules.networks} networks; more may decide it (hydra.sweeper.networks)."
    if decision.reason == race.CAPPED:
        limit, wider = max(2 * rules.most, rules.least), number(2 * rules.margin, 2)
        return (
            f"The race ended at its limit of {rules.most} replicates per setting; more (hydra.sweeper.max_replicates={limit}) or a "
            f"wider margin (hydra.sweeper.margin={wider}) may decide it."
        )
    return "The race goes on when the same command is run again."


def _kind(decision: Decision, kind: str) -> list[int]:
    return [trial for trial, claim in decision.claims.items() if claim.kind == kind]


def _trials(decision: Decision, kind: str) -> str:
    trials = _kind(decision, kind)
    if len(trials) > MOST_NAMED:
        return f"{len(trials)} trials"
    return f"trial{'s' * (len(trials) > 1)} {listed(list(map(str, trials)))}"


def contenders(decision: Decision) -> list[int]:
    """Return the trials that may be the best: the winner, and the rivals that are neither out of the race nor shown to be worse."""
    rivals = [trial for trial, claim in decision.claims.items() if trial not in decision.out and claim.kind != race.BETTER]
    return rivals if decision.winner is None else [decision.winner, *rivals]
