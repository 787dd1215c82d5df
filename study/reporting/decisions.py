"""The race of a study: its state from the records, and what it decides, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from study.records.outcome import Interval, Tested, TestScore
from study.records.trial import TrialRecord
from study.reporting.report import Table, listed, number, settings_text
from study.settings.values import Value
from study.statistics import race
from study.statistics.objectives import Objective
from study.statistics.race import Claim, Decision, Rules

MOST_NAMED = 10


def decide(
    records: Sequence[TrialRecord], objective: Objective, rules: Rules, per_split: int, over: bool = False
) -> Decision | None:
    """Return the state of the race between the completed trials; None without one that has enough replicates.

    per_split: replicates in a row that share a split. over: no more replicates will be trained.
    """
    done = {record.number: record for record in records if record.summary and record.state == "complete"}
    losses = {}
    for trial, record in done.items():
        assert record.summary is not None
        values = objective.of_replicates(record.summary)
        if len(values) >= rules.first:
            losses[trial] = objective.sign * np.array(values, np.float64)
    if not losses:
        return None
    longest = max(map(len, losses.values()))
    splits = [replicate // per_split for replicate in range(longest)] if per_split > 1 else None
    return race.decide(losses, {trial: _cost(done[trial]) for trial in losses}, rules, splits, exhausted=over)


def _cost(record: TrialRecord) -> tuple[float, float, int]:
    """Return a setting's cost: weights, then epochs; of two equal ones, that of the earlier trial is lower."""
    epochs = record.params.get("training.epochs", 0)
    return (record.summary.parameters if record.summary else 0, epochs if isinstance(epochs, int) else 0, record.number)


def progress(decision: Decision) -> str:
    """Return the state of a race that goes on, for the terminal."""
    racing = len(decision.used) - sum(trial in decision.used for trial in decision.out)
    return f"{len(decision.used)} trials · {racing} still in the race · {sum(decision.used.values())} networks"


def headline(decision: Decision, records: Sequence[TrialRecord]) -> str:
    """Return the decision in a few words."""
    others = len(decision.used) - 1
    if decision.winner is None:
        return "No winner: every trial has diverged"
    if not others:
        return f"Trial {decision.winner} is the only one"
    summary = next((record.summary for record in records if record.number == decision.winner), None)
    if summary and summary.tested and (better := better_baselines(summary.tested)):
        return f"A baseline is better than every network: {listed(better)}; of the networks, trial {decision.winner} leads"
    alike = _kind(decision, race.EQUIVALENT)
    if not decision.decided:
        return f"Undecided: trial {decision.winner} leads, but others may be better by more than the margin"
    if len(_kind(decision, race.BETTER)) == others:
        return f"Decided: trial {decision.winner} is better than every other"
    if alike and decision.cheapest != decision.winner:
        return f"Decided: trial {decision.winner} wins, and trial {decision.cheapest} is as good and cheaper"
    return f"Decided: trial {decision.winner} wins; no other is better by more than the margin"


def text(decision: Decision, records: Sequence[TrialRecord], objective: Objective, rules: Rules) -> str:
    """Return the decision in sentences, with the numbers that it rests on."""
    by_number = {record.number: record for record in records}
    sentences = [f"{headline(decision, records)}."]
    winner = by_number.get(decision.winner) if decision.winner is not None else None
    if winner is None or winner.summary is None or len(decision.used) < 2:
        return " ".join(sentences)
    quantity = objective.quantity
    claims = [
        f"better than {_trials(decision, race.BETTER)}",
        f"equivalent to {_trials(decision, race.EQUIVALENT)}, within {number(decision.delta)}",
        f"not worse by more than {number(decision.delta)} than {_trials(decision, race.NOT_WORSE)}",
        f"not yet separated from {_trials(decision, race.UNDECIDED)}",
    ]
    kinds = (race.BETTER, race.EQUIVALENT, race.NOT_WORSE, race.UNDECIDED)
    made = [claim for claim, kind in zip(claims, kinds, strict=True) if _kind(decision, kind)]
    sentences.append(f"By {quantity}, trial {winner.number} ({settings_text(winner.params)}) is {'; '.join(made)}.")
    rival = min(decision.claims, key=lambda trial: decision.claims[trial].difference)
    sentences.append(f"The nearest rival is trial {rival}: {_difference(decision.claims[rival], objective)}.")
    sentences.append(
        f"The margin {number(decision.delta)} is {number(rules.margin, 2)} SD of a setting's {quantity} over seeds; "
        f"{sum(decision.used.values())} networks were trained for {len(decision.used)} settings."
    )
    if decision.decided and decision.cheapest not in (None, decision.winner):
        cheap, cost = by_number[decision.cheapest], winner.summary.parameters
        assert cheap.summary is not None
        sentences.append(
            f"The cheapest equivalent is trial {cheap.number} ({settings_text(cheap.params)}), with {cheap.summary.parameters:,} "
            f"weights where the winner has {cost:,}."
        )
    observed = objective.sign * sum(objective.of_replicates(winner.summary)) / len(objective.of_replicates(winner.summary))
    sentences.append(
        f"Its {quantity} on the validation rows, corrected for having been chosen as the {objective.best}: "
        f"{number(objective.sign * decision.expected)} ({number(objective.sign * observed)} without the correction)."
    )
    if not decision.decided:
        sentences.append(_why_not(decision, rules))
    return " ".join(sentences)


def _difference(claim: Claim, objective: Objective) -> str:
    low, high = sorted((objective.sign * claim.low, objective.sign * claim.high))
    return (
        f"its {objective.quantity} minus the winner's is {number(objective.sign * claim.difference)} "
        f"[{number(low)}, {number(high)}], over {claim.pairs} pairs of replicates"
    )


def _why_not(decision: Decision, rules: Rules) -> str:
    if decision.reason == race.BUDGET:
        return "The race ended before: more networks would decide it (hydra.sweeper.networks, hydra.sweeper.minutes)."
    if decision.reason == race.CAPPED:
        more = f"hydra.sweeper.max_replicates={2 * rules.most}"
        return f"The race ended at {rules.most} replicates per setting; more would decide it ({more}), or a wider margin."
    return "The race goes on when the same command is run again."


def _kind(decision: Decision, kind: str) -> list[int]:
    return [trial for trial, claim in decision.claims.items() if claim.kind == kind]


def _trials(decision: Decision, kind: str) -> str:
    trials = _kind(decision, kind)
    if len(trials) > MOST_NAMED:
        return f"{len(trials)} trials"
    return f"trial{'s' * (len(trials) > 1)} {listed(list(map(str, trials)))}"


def tested_table(tested: Tested) -> Table:
    """Tabulate the models on the test rows, the ensemble first."""
    measures = ("accuracy",) if tested.scores[0].accuracy else ("RMSE", "MAE")
    rows = [
        (_model_name(score, tested), _estimate(score.loss), *_in_units(score), "–" if score.gap is None else _estimate(score.gap))
        for score in tested.scores
    ]
    single = ("one network, on average", number(tested.single), *("–" for _ in measures), _estimate(tested.gain))
    return Table(("model", "test loss", *measures, "minus the ensemble's"), (rows[0], single, *rows[1:]))


def _in_units(score: TestScore) -> tuple[str, ...]:
    """Return the accuracy, or RMSE and MAE; of several targets without their intervals."""
    if score.accuracy:
        return (_estimate(score.accuracy),)
    if len(score.rmse) == 1:
        return (_estimate(score.rmse[0]), _estimate(score.mae[0]))
    return tuple(", ".join(number(value) for value, *_ in estimates) for estimates in (score.rmse, score.mae))


def _model_name(score: TestScore, tested: Tested) -> str:
    return f"mean of {tested.networks} networks" if score.gap is None else score.name


def _estimate(interval: Interval) -> str:
    value, low, high = interval
    return f"{number(value)} [{number(low)}, {number(high)}]"


def better_baselines(tested: Tested) -> list[str]:
    """Return the names of the baselines whose loss on the test rows is shown to be lower than the ensemble's."""
    return [score.name for score in tested.scores if score.gap is not None and score.gap[2] < 0]


def tested_text(tested: Tested) -> str:
    """Return what the winner is worth on the test rows, in sentences."""
    better = better_baselines(tested)
    lower = [score.name for score in tested.scores if score.gap is not None and score.gap[0] < 0 and score.name not in better]
    compared = "No baseline is better"
    if better:
        compared = f"Better on these rows: {listed(better)}"
    elif lower:
        compared = f"Perhaps as good, with a lower loss on these rows: {listed(lower)}"
    baselines = f" {compared}." if len(tested.scores) > 1 else ""
    return (
        f"On {tested.rows:,} test rows, by which nothing was trained or chosen, the mean prediction of the winner's "
        f"{tested.networks} networks has loss {_estimate(tested.scores[0].loss)}; one network has {number(tested.single)} on "
        f"average.{baselines} Intervals are over rows, of 95 %."
    )


def per_split(settings: Mapping[str, Value]) -> int:
    """Return how many replicates in a row share a split, by a study's fixed settings."""
    count = settings.get("replicates.per_split")
    return count if isinstance(count, int) else 1
