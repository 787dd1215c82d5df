"""Ways to decide a search, on tables of trained networks: networks, regret, and how often what they say is wrong.

Each task's settings come from the default search space, and are trained on SPLITS splits of the rows with SEEDS seeds each. A
repetition draws replicates from the table, with replacement. On one split, that split's seeds are drawn, and a setting's true loss
is its mean on this split; with splits anew, each pair of replicates has two seeds of one split, and the true loss is the mean of
the whole table. Regret on untouched rows is the loss on a test part that nothing was chosen by, over the table. The cases below
the tasks have the first task's residuals, and true losses that are made up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.loss_tables import TASKS, LossTable, table
from study.records.arrays import Array
from study.statistics import race, ranking
from study.statistics.race import Rules

RULES = Rules()
SPLITS, SEEDS = 12, 8
REPLICATES, FINALISTS, FRESH = 8, 8, 29
PAIRS = np.arange(RULES.most) // 2
Losses = Mapping[int, Array]


@dataclass(frozen=True)
class Answer:
    """pick: the setting chosen. beaten: those that it is said to be better than."""

    pick: int
    networks: int
    decided: bool
    beaten: tuple[int, ...]


def same_for_all(losses: Losses, anew: bool) -> Answer:
    """Decide by eight replicates of each setting: all comparisons with the best hold together with 95%."""
    chosen = ranking.choose({number: values[:REPLICATES] for number, values in losses.items()})
    beaten = tuple(number for number, difference in chosen.differences.items() if difference.shown)
    return Answer(chosen.best, REPLICATES * len(losses), chosen.decided, beaten)


def finalists(losses: Losses, anew: bool) -> Answer:
    """Decide by 29 fresh replicates of the eight best settings, where eight of all don't decide."""
    first = ranking.choose({number: values[:REPLICATES] for number, values in losses.items()})
    if first.decided:
        return same_for_all(losses, anew)
    last = slice(REPLICATES, REPLICATES + FRESH)
    tied = sorted(first.tied, key=lambda number: losses[number][:REPLICATES].mean())[:FINALISTS]
    chosen = ranking.choose({number: losses[number][last] for number in tied})
    beaten = tuple(number for number, difference in chosen.differences.items() if difference.shown)
    return Answer(chosen.best, REPLICATES * len(losses) + FRESH * len(tied), chosen.decided, beaten)


def raced(losses: Losses, anew: bool) -> Answer:
    """Decide by the race."""
    decision = race.decide(losses, dict.fromkeys(losses, (0.0,)), RULES, PAIRS.tolist() if anew else None)
    assert decision.winner is not None
    beaten = tuple(number for number, claim in decision.claims.items() if claim.kind == race.BETTER)
    return Answer(decision.winner, sum(decision.used.values()), decision.decided, beaten)


WAYS: Mapping[str, tuple[Callable[[Losses, bool], Answer], bool]] = {
    "8 each, one split": (same_for_all, False),
    "finalists=29, one split": (finalists, False),
    "race, one split": (raced, False),
    "8 each, splits anew": (same_for_all, True),
    "race, splits anew": (raced, True),
}


def one_split(trained: LossTable, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw replicates from the seeds of one split: losses [S, most], and the settings' true losses and SDs on this split, [S]."""
    own = trained.validation[:, trained.splits == rng.choice(trained.splits)]
    return own[:, rng.integers(0, own.shape[1], RULES.most)], own.mean(axis=1), own.std(axis=1, ddof=1)


def splits_anew(trained: LossTable, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw a split for each pair of replicates, and two of its seeds: losses [S, most], true losses and SDs within splits, [S]."""
    by_split = [np.flatnonzero(trained.splits == number) for number in np.unique(trained.splits)]
    pairs = [rng.choice(by_split[rng.integers(len(by_split))], 2, replace=False) for _ in range(RULES.most // 2)]
    spreads = np.sqrt(np.mean([trained.validation[:, own].var(axis=1, ddof=1) for own in by_split], axis=0))
    return trained.validation[:, np.concatenate(pairs)], trained.validation.mean(axis=1), spreads


def line(name: str, trained: LossTable, repetitions: int, gaps: Array | None = None) -> None:
    """Print how a way to decide does. gaps: true losses in σ, [S], in place of the table's; no spread is then above 2 σ."""
    way, anew = WAYS[name]
    rng = np.random.default_rng(0)
    untouched = trained.test.mean(axis=1)
    rows = []
    for _ in range(repetitions):
        losses, true, spreads = (splits_anew if anew else one_split)(trained, rng)
        sigma = float(np.median(spreads[np.argsort(true)[: race.good(len(true))]]))
        on_test = np.nan
        if gaps is not None:
            reduced = np.minimum(spreads, 2 * sigma)
            sigma = float(np.median(reduced))  # any may be in the better half where most are equal
            made = rng.permutation(gaps) * sigma
            losses = (losses - true[:, None]) * (reduced / spreads)[:, None] + made[:, None]
            true = made
        answer = way(dict(enumerate(losses)), anew)
        if gaps is None:
            on_test = 100 * (untouched[answer.pick] / untouched.min() - 1)
        regret = (true[answer.pick] - true.min()) / sigma
        lost = regret > RULES.margin + 1e-9
        false = any(true[number] <= true[answer.pick] for number in answer.beaten)
        rows.append((answer.networks, lost, regret, on_test, lost and answer.decided, not answer.decided, false))
    networks, lost, regret, on_test, wrong, undecided, false = np.mean(np.array(rows, float), axis=0)
    test = f"{on_test:9.1f}" if gaps is None else f"{'':>9}"
    print(f"{name:<26} {networks:8.0f} {1 - lost:8.3f} {regret:9.2f} {test} {wrong:7.3f} {undecided:9.3f} {false:7.3f}", flush=True)


def heading(text: str) -> None:
    columns = f"{'networks':>8} {'within δ':>8} {'regret, σ':>9} {'test, %':>9} {'wrong':>7} {'undecided':>9} {'false':>7}"
    print(f"\n{text}\n{'':<26} {columns}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=400)
    given = parser.parse_args()
    start = time.perf_counter()
    numbers = [number for number in range(SPLITS) for _ in range(SEEDS)]
    trained = {task: table(task, given.settings, numbers) for task in TASKS}
    minutes = (time.perf_counter() - start) / 60
    print(f"{len(numbers)} networks per setting, trained in {minutes:.0f} minutes; means of {given.repetitions} repetitions")
    for task, losses in trained.items():
        heading(f"{task}, {len(losses.validation)} settings")
        for name in WAYS:
            line(name, losses, given.repetitions)
    losses = trained[TASKS[0]]
    count = len(losses.validation)
    for text, gaps in {
        "all others worse by 1.1 δ": np.r_[0, np.full(count - 1, 1.1)],
        "all others worse by 1.5 δ": np.r_[0, np.full(count - 1, 1.5)],
        "all equal": np.zeros(count),
        "one σ from each to the next": np.arange(count),
    }.items():
        heading(text)
        for name in WAYS:
            line(name, losses, given.repetitions, gaps)


if __name__ == "__main__":
    main()
