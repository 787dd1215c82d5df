"""Two trials side by side: which is better, and how far their functions are apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from study.analysis import disagreement
from study.analysis.metrics import MEASURES
from study.records.dataset import task_of
from study.records.tracked import TrackedNetwork, same_rows
from study.reporting.report import interval_text, number
from study.reporting.wins import needed_text
from study.settings import spec
from study.settings.loss import measured
from study.settings.spec import TrialSpec
from study.statistics import ranking
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


def better(networks: Sequence[TrackedNetwork]) -> Better | None:
    """Return which of two trials is better, by the paired difference of their replicates; None for another number of trials.

    Compares the loss, or R² or accuracy where the trials minimise different losses. Replicates with the same seeds are pairs.
    """
    if not (two := rivals(networks)):
        return None
    one, other, first, second, pairs = two
    both = f"{one} and {other}"
    if not all(map(same_rows, pairs or [(first[0], second[0])])):
        return Better(f"{both} are judged on different rows, or on a target scaled in another way: neither is called better")
    if not pairs:
        return Better(f"{both} have no replicates with the same seeds: neither is called better")
    losses = {measured(trial_spec.loss) for trial_spec in specs([net for pair in pairs for net in pair])}
    score = SCORES_OF_TASK[task_of(pairs[0][0].target)][0]
    goal = Objective() if len(losses) == 1 else Objective(score, SCORES[score])
    a, b = _losses(two) if goal.name == LOSS else (_scores([pair[side] for pair in pairs], score) for side in (0, 1))
    copies = len(pairs) > 1 and all(len({pair[side].fingerprint for pair in pairs}) == 1 for side in (0, 1))
    if copies:
        a, b = a[:1], b[:1]
    gap, quantity = ranking.difference(a, b), goal.quantity
    numbers = f"{number(float(np.mean(a)), 4)} and {number(float(np.mean(b)), 4)}"
    pairs_text = f"{gap.pairs} paired replicate{'s' * (gap.pairs > 1)}"
    evidence = f"mean {quantity} {numbers}, difference {interval_text(gap.mean, gap.halfwidth)} over {pairs_text}"
    if copies:
        return Better(f"{both} have copies of one network each: neither is called better", evidence)
    if gap.pairs < ranking.FEWEST:
        evidence += f"; at least {ranking.FEWEST} that differ are needed"
        return Better(f"Too few replicates to decide which of {both} is better", evidence)
    if not gap.shown:
        return Better(f"Neither of {both} is shown to be better", f"{evidence}; {needed_text(gap)}")
    winner, loser = (one, other) if goal.sign * gap.mean > 0 else (other, one)
    return Better(f"{winner} is better than {loser}", evidence)


def _losses(two: Rivals) -> tuple[list[float], list[float]]:
    """Return the validation losses of paired replicates; in one study, of those too whose networks a race has not kept."""
    (one, other) = two.pairs[0]
    if one.study and one.study == other.study:
        known = [
            {**trial[0].race_losses} | {net.number: net.val_loss for net in trial if net.number is not None}
            for trial in (two.first, two.second)
        ]
        shared = [number for number in known[0] if number in known[1]]
        return [known[0][number] for number in shared], [known[1][number] for number in shared]
    return [pair[0].val_loss for pair in two.pairs], [pair[1].val_loss for pair in two.pairs]


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
