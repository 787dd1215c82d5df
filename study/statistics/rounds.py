"""The replicates of one setting, trained in rounds, as one trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from study.records.outcome import MotionSummary, Summary
from study.settings.values import Value
from study.statistics import intervals


def per_split(settings: Mapping[str, Value]) -> int:
    """Return how many replicates in a row share a split, by a study's fixed settings; 1 in studies of earlier versions."""
    count = settings.get("replicates.per_split")
    return count if isinstance(count, int) else 1


def splits(numbers: Iterable[int], per_split: int) -> list[int] | None:
    """Return the split of each of these replicates of a trial; None where each is independent of the others, or all share one."""
    return [number // per_split for number in numbers] if per_split > 1 else None


def joined(rounds: Sequence[Summary], per_split: int = 1) -> Summary:
    """Return the summary of a trial's replicates from those of its rounds, in the order of the replicates.

    per_split: replicates in a row that share a split. Numbers about pairs of replicates, and the verdict, are the first round's.
    """
    first, *later = rounds
    if not later:
        return first
    losses = [loss for part in rounds for loss in part.val_losses]
    weights = [len(part.val_losses) for part in rounds]

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=weights))

    return replace(
        first,
        val_losses=losses,
        val_loss_mean=float(np.mean(losses)),
        val_loss_std=float(np.std(losses, ddof=1)),
        val_loss_halfwidth=intervals.mean_halfwidth(losses, per_block=per_split),
        train_loss_mean=mean([part.train_loss_mean for part in rounds]),
        distinct=sum(part.distinct for part in rounds),
        labels=dict(sum((Counter(part.labels) for part in rounds), Counter())),
        kinds={
            name: dict(sum((Counter(part.kinds.get(name)) for part in rounds), Counter())) for part in rounds for name in part.kinds
        },
        until_rest=[epochs for part in rounds for epochs in part.until_rest],
        scores={
            name: [score for part in rounds for score in part.scores[name]]
            for name in first.scores
            if all(name in part.scores for part in rounds)
        },
        improvements=[ends for part in rounds for ends in part.improvements],
        relative_losses=[loss for part in rounds for loss in part.relative_losses],
        # the winner's is that of all its replicates, which are trained once more together
        threshold=None if first.threshold is None else mean([part.threshold or 0.0 for part in rounds]),
        one_class=sum(part.one_class for part in rounds),
        majority=None if first.majority is None else mean([part.majority or 0.0 for part in rounds]),
        seconds=mean([part.seconds for part in rounds]),
        motion=MotionSummary.joined(moved)
        if len(moved := [part.motion for part in rounds if part.motion]) == len(rounds)
        else None,
    )
