"""A study that varies one setting only answers what that setting does: its trials' networks, read back and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study import disagreement, factor, metrics, report
from study.records import TrackedNetwork, TrialRecord
from study.space import Space

MOST_LEVELS, MOST_REPLICATES = 8, 32


@dataclass(frozen=True)
class Comparison:
    table: report.Table
    answer: str
    picture: Path


def of(space: Space, records: Sequence[TrialRecord]) -> str | None:
    """The only setting that a study varied, if two to eight of its values were completed by one trial each, alike in replicates."""
    if len(space) != 1:
        return None
    [key] = space
    done = [(record.params[key], len(record.summary.val_losses)) for record in records if record.summary]
    values, counts = [value for value, _ in done], {count for _, count in done}
    return key if 2 <= len(done) <= MOST_LEVELS and len(set(values)) == len(done) and len(counts) == 1 else None


def compare(uri: str, key: str, records: Sequence[TrialRecord], folder: Path) -> Comparison:
    """Compares the completed trials' networks and draws the picture into `folder`."""
    from study import figures
    from study.tracking import reader, store

    opened = store.connect(uri)
    done = [record for record in records if record.summary and record.run_id]
    trials = [reader.load_networks(opened, record.run_id or "")[:MOST_REPLICATES] for record in done]
    kind = disagreement.kind(trials[0][0].target)
    classes = kind == "churn"
    name, quantity = report.short(key), "validation loss"
    # losses of different kinds, or of targets on different scales, can't be compared; shares of what is to be explained can
    own_score = key.split(".")[0] == "loss" or key == "data.normalise_target"
    if own_score:
        quantity = "error rate" if classes else "1 − R²"
    levels = []
    for record, networks in zip(done, trials, strict=True):
        assert record.summary
        losses = _scores(networks, classes) if own_score else record.summary.val_losses
        levels.append(factor.Level(report.setting(record.params[key]), networks, losses[: len(networks)]))
    folder.mkdir(parents=True, exist_ok=True)
    picture, replicates = folder / f"{name}.png", len(trials[0])
    if key == "replicates.vary" and replicates > 1:
        spreads = [factor.spread(level) for level in levels]
        figures.sources(spreads, kind, picture)
        return Comparison(report.sources_table(spreads), report.sources_answer(spreads, replicates), picture)
    found = factor.effect(levels)
    figures.factor(found, name, quantity, kind, picture)
    return Comparison(report.factor_table(found, quantity), report.factor_answer(found, name, quantity, replicates), picture)


def _scores(networks: Sequence[TrackedNetwork], classes: bool) -> list[float]:
    """The error rate or 1 − R² of each network, on its own target."""
    measure = metrics.accuracy if classes else metrics.r2
    return [1 - float(measure(net.predictions[None], net.target)[0]) for net in networks]
