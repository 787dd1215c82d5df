"""Two trials side by side: which is better, and how far their functions are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from study.analysis import disagreement
from study.analysis.metrics import MEASURES
from study.records.dataset import task_of
from study.records.tracked import TrackedNetwork, same_rows
from study.records.trial import TrialRecord
from study.reporting import answers, decisions, wins
from study.reporting.report import capitalised, interval_text, listed, number, pairs_text
from study.reporting.study_results import Findings
from study.reporting.wins import needed_text
from study.settings import spec
from study.settings.data import Data
from study.settings.loss import measured
from study.settings.spec import TrialSpec
from study.statistics import race, ranking, rounds
from study.statistics.objectives import LOSS, SCORES, SCORES_OF_TASK, Objective
from study.tracking.schema import address


def specs(networks: Sequence[TrackedNetwork]) -> list[TrialSpec]:
    """Return the specs of the trials whose settings are known."""
    return [
        spec.build(config) for config in {id(network.config): network.config for network in networks if network.config}.values()
    ]


def network_address(network: TrackedNetwork) -> str:
    """Return the name of a network for a person, which commands take too if it is of a study."""
    return address(network.study, network.trial, network.trial_number, network.number) if network.study else network.name


def trial_address(network: TrackedNetwork) -> str:
    """Return the name of a network's trial, or of its file."""
    return address(network.study, network.trial, network.trial_number) if network.study else network.trial


class Better(NamedTuple):
    """Which of two trials is better, and by what evidence."""

    claim: str
    evidence: str = ""

    @property
    def text(self) -> str:
        return f"{self.claim} ({self.evidence})." if self.evidence else f"{self.claim}."


class Rivals(NamedTuple):
    """Two trials with their addresses, and their replicates with the same seeds."""

    one: str
    other: str
    first: list[TrackedNetwork]
    second: list[TrackedNetwork]
    pairs: list[tuple[TrackedNetwork, TrackedNetwork]]


def rivals(networks: Sequence[TrackedNetwork]) -> Rivals | None:
    """Return the two trials that the networks are of; None for another number of trials."""
    trials: dict[str, dict[tuple[tuple[str, int], ...], TrackedNetwork]] = {}
    for network in networks:
        if network.config and network.target.size:
            trials.setdefault(trial_address(network), {})[tuple(sorted(network.seeds.items()))] = network
    if len(trials) != 2:
        return None
    (one, first), (other, second) = trials.items()
    pairs = [(first[seeds], second[seeds]) for seeds in first if seeds in second]
    return Rivals(one, other, list(first.values()), list(second.values()), pairs)


def better(networks: Sequence[TrackedNetwork], find: Callable[[str], Findings | None] = lambda name: None) -> Better | None:
    """Return which of two trials is better; None for another number of trials. find: returns a study by its name, if it is known.

    Two trials of one study are compared as the study compares them: by its objective, and by its race or its intervals. Others are
    compared by the paired difference of their replicates' losses, or of R² or accuracy where they minimise different losses.
    Replicates with the same seeds are pairs, and those that share a split of the rows count as one.
    """
    if not (two := rivals(networks)):
        return None
    first, second = two.first[0], two.second[0]
    # the study speaks of whole trials: not of networks that are no pairs, since they are different replicates
    if two.pairs and first.study and first.study == second.study and (findings := find(first.study)):
        records = [_record(findings, trial) for trial in (two.first, two.second)]
        if records[0] and records[1]:
            return _by_study(two, findings, records[0], records[1])
    return _by_networks(two)


def _record(findings: Findings, networks: Sequence[TrackedNetwork]) -> TrialRecord | None:
    """Return a trial's record in its study; None where that isn't known, or is of another study of this name."""
    for record in findings.records:
        if record.number == networks[0].trial_number and record.summary:
            known = np.array(record.summary.val_losses)
            # a race's winner is trained once more, which may change the last digits
            if all(np.isclose(known, net.val_loss, rtol=1e-3).any() for net in networks if np.isfinite(net.val_loss)):
                return record
    return None


def _by_study(two: Rivals, findings: Findings, *records: TrialRecord) -> Better:
    objective, quantity, both = findings.objective, findings.objective.quantity, f"{two.one} and {two.other}"
    alone = f"by {quantity} alone, " if len(findings.objectives) > 1 else ""
    finals = {record.number: record for record in findings.finals}
    pair = [finals[record.number] for record in records] if all(each.number in finals for each in records) else list(records)
    summaries = [record.summary for record in pair if record.summary]
    if reason := wins.why_none(pair, objective):
        crossed = f"mean {quantity} {_numbers(*map(objective.value, summaries))}" if reason == wins.CROSSED else ""
        return Better(f"Neither of {both} is called better: {reason}", crossed)
    a, b = map(objective.of_replicates, summaries)
    if not a or not b:
        return _by_value(two, objective, *map(objective.value, summaries))
    if not np.isfinite([*a, *b]).all():
        return Better(f"Neither of {both} is called better: the {quantity} of some replicates isn't known")
    if pair == list(records) and (raced := _by_race(two, findings, pair[0].number, pair[1].number)):
        return raced
    count = min(len(a), len(b))
    copies = all(summary.distinct == 1 < len(summary.val_losses) for summary in summaries)
    splits = rounds.splits(range(count), rounds.per_split(findings.settings))
    differ = answers.sources_of(pair[0], findings.settings)
    return _by_pairs(two, objective, a[:count], b[:count], splits, differ, copies, findings.comparisons, alone)


def _by_value(two: Rivals, objective: Objective, a: float, b: float) -> Better:
    """Compare two trials by a quantity of which each has only one value."""
    if a == b:
        return Better(f"{two.one} and {two.other} have the same {objective.quantity}", number(a))
    best, other = (two.one, two.other) if objective.sign * (b - a) > 0 else (two.other, two.one)
    way = "lower" if objective.sign > 0 else "higher"
    evidence = f"{_numbers(a, b)}; a trial has one value of it, so that chance isn't judged"
    return Better(f"{best} has a {way} {objective.quantity} than {other}", evidence)


def _by_race(two: Rivals, findings: Findings, first: int, second: int) -> Better | None:
    """Return what the race of a study says about two of its trials, by the same rule whether or not one of them has won."""
    names, decision = {first: two.one, second: two.other}, findings.decision
    if decision is None:
        return None
    if second == decision.winner:
        first, second = second, first
    claim = findings.claim(first, second)
    if claim and first != decision.winner and claim.difference < 0:
        first, second = second, first
        claim = findings.claim(first, second)
    if claim is None:
        return None
    one, other, margin = names[first], names[second], number(decision.delta)
    claims = {
        race.BETTER: f"{one} is better than {other}",
        race.EQUIVALENT: f"{one} and {other} are equivalent within {margin}",
        race.NOT_WORSE: f"{one} is not worse than {other} by more than {margin}",
        race.UNDECIDED: f"Neither of {two.one} and {two.other} is shown to be better",
    }
    its = f"the {findings.objective.quantity} of {other}"
    evidence = decisions.difference_text(claim, findings.objective, its, f"that of {one}", one)
    return Better(claims[claim.kind], f"by the race of study {findings.name}: {evidence}")


def _by_networks(two: Rivals) -> Better:
    one, other, first, second, pairs = two
    both, trial_specs = f"{one} and {other}", [spec.build(trial[0].config) for trial in (first, second)]
    if not all(map(same_rows, pairs or [(first[0], second[0])])):
        return Better(f"{both} are {_other_rows(*(trial_spec.data for trial_spec in trial_specs))}: neither is called better")
    if not pairs:
        return Better(f"{both} have no replicates with the same seeds: neither is called better")
    losses = {measured(trial_spec.loss) for trial_spec in trial_specs}
    score = SCORES_OF_TASK[task_of(pairs[0][0].target)][0]
    goal = Objective() if len(losses) == 1 else Objective(score, SCORES[score])
    if goal.name == LOSS:
        numbers, a, b = _losses(two)
    else:
        numbers = [pair[0].number or 0 for pair in pairs]
        a, b = (_scores([pair[side] for pair in pairs], score) for side in (0, 1))
    if any(trial_spec.replicates.crossed for trial_spec in trial_specs):
        evidence = f"mean {goal.quantity} {_numbers(float(np.mean(a)), float(np.mean(b)))}"
        return Better(f"Neither of {both} is called better: {wins.CROSSED}", evidence)
    copies = len(pairs) > 1 and all(len({pair[side].fingerprint for pair in pairs}) == 1 for side in (0, 1))
    splits = rounds.splits(numbers, max(trial_spec.replicates.per_split for trial_spec in trial_specs))
    return _by_pairs(two, goal, a, b, splits, trial_specs[0].replicates.vary, copies)


def _by_pairs(
    two: Rivals,
    goal: Objective,
    a: Sequence[float],
    b: Sequence[float],
    splits: Sequence[int] | None,
    differ: Sequence[str],
    copies: bool,
    comparisons: int = 1,
    alone: str = "",
) -> Better:
    """Compare two trials by the paired difference of their replicates.

    splits: of the replicates, where they share some. differ: the sources that these differ in. copies: whether those of each trial
    are bit for bit the same. comparisons: of the study, for all of which its intervals hold together. alone: named where the
    quantity is one of several objectives.
    """
    both = f"{two.one} and {two.other}"
    if copies:
        a, b, splits = a[:1], b[:1], None
    gap = ranking.difference(a, b, ranking.confidence(comparisons), splits)
    jointly = f", 95% jointly for the study's {comparisons} comparisons," if comparisons > 1 and gap.halfwidth else ""
    evidence = (
        f"mean {goal.quantity} {_numbers(float(np.mean(a)), float(np.mean(b)))}, difference "
        f"{interval_text(gap.mean, gap.halfwidth)}{jointly} over {pairs_text(gap)}"
    )
    if copies:
        return Better(f"{both} have copies of one network each: neither is called better", evidence)
    if gap.pairs < ranking.FEWEST:
        what = "splits" if splits else "replicates"
        evidence += f"; at least {ranking.FEWEST} {what} that differ are needed"
        return Better(f"Too few {what} to decide which of {both} is better", evidence)
    if not gap.shown:
        return Better(capitalised(f"{alone}neither of {both} is shown to be better"), f"{evidence}; {needed_text(gap)}")
    winner, loser = (two.one, two.other) if goal.sign * gap.mean > 0 else (two.other, two.one)
    shared = [source for source in wins.RESTART if source not in differ]
    limit = f" with this {listed(shared)}, which all replicates share" if shared else ""
    claim = f"{winner} is better than {loser}{limit}"  # an address begins as it is written
    return Better(capitalised(f"{alone}{claim}") if alone else claim, evidence)


def _numbers(a: float, b: float) -> str:
    return f"{number(a, 4)} and {number(b, 4)}"


def _other_rows(first: Data, second: Data) -> str:
    """Return how the rows of two trials differ that aren't judged on the same ones."""
    if first.name != second.name or getattr(first, "path", "") != getattr(second, "path", ""):
        return "judged on different data"
    if getattr(first, "target", "") != getattr(second, "target", ""):
        return "judged by different targets"
    return "judged on different rows, or on a target scaled in another way"


def _losses(two: Rivals) -> tuple[list[int], list[float], list[float]]:
    """Return the numbers and validation losses of paired replicates; in one study, with those that a race has not kept."""
    (one, other) = two.pairs[0]
    if one.study and one.study == other.study:
        known = [
            {**trial[0].race_losses} | {net.number: net.val_loss for net in trial if net.number is not None}
            for trial in (two.first, two.second)
        ]
        shared = [number for number in known[0] if number in known[1]]
        return shared, [known[0][number] for number in shared], [known[1][number] for number in shared]
    numbers = [pair[0].number or 0 for pair in two.pairs]
    return numbers, [pair[0].val_loss for pair in two.pairs], [pair[1].val_loss for pair in two.pairs]


def _scores(networks: Sequence[TrackedNetwork], score: str) -> list[float]:
    return [float(MEASURES[score](net.predictions[None], net.target)[0]) for net in networks]


def functions_apart(networks: Sequence[TrackedNetwork]) -> str:
    """Return how far the functions of two trials are apart, replicate by replicate on the same rows; "" without pairs."""
    two = rivals(networks)
    pairs = [pair for pair in two.pairs if same_rows(pair)] if two else []
    if not two or not pairs:
        return ""
    of_trial = [pair for trial in (two.first, two.second) for pair in combinations(trial, 2) if same_rows(pair)]
    kind, count = disagreement.kind(pairs[0][0].target), f", mean of {len(pairs)} pairs" if len(pairs) > 1 else ""
    text = f"Replicate by replicate, the functions of {two.one} and {two.other} differ by {number(_apart(pairs))} ({kind}{count})"
    return text + (f"; two replicates of one of them on the same rows, by {number(_apart(of_trial))}." if of_trial else ".")


def _apart(pairs: Sequence[tuple[TrackedNetwork, TrackedNetwork]]) -> float:
    apart = [disagreement.between(np.stack([net.predictions for net in pair]), pair[0].target)[0, 1] for pair in pairs]
    return float(np.mean(apart))
