"""A study that varies one setting only answers what that setting does: its trials' networks, read back and compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from study import disagreement, explanations, factor, metrics, report
from study.records import TrackedNetwork, TrialRecord

if TYPE_CHECKING:
    from study.tracking.store import Store

MOST_LEVELS, MOST_REPLICATES = 8, 32


@dataclass(frozen=True)
class Comparison:
    """effect: of the setting called `name` on weights, function and `quantity`; or spreads: of each level of `replicates.vary`.

    kind: of the disagreement.
    """

    name: str
    quantity: str
    kind: str
    replicates: int
    effect: factor.Effect | None = None
    spreads: tuple[factor.Spread, ...] = ()

    @property
    def table(self) -> report.Table:
        return explanations.factor_table(self.effect, self.quantity) if self.effect else explanations.sources_table(self.spreads)

    @property
    def answer(self) -> str:
        if self.effect:
            return explanations.factor_answer(self.effect, self.name, self.quantity, self.replicates)
        return explanations.sources_answer(self.spreads, self.replicates)


def of(keys: Collection[str], records: Sequence[TrialRecord]) -> str | None:
    """The only setting that a study varied, if two to eight of its values were completed by one trial each, alike in replicates."""
    if len(keys) != 1:
        return None
    [key] = keys
    done = [(record.params[key], len(record.summary.val_losses)) for record in records if record.summary]
    values, counts = [value for value, _ in done], {count for _, count in done}
    return key if 2 <= len(done) <= MOST_LEVELS and len(set(values)) == len(done) and len(counts) == 1 else None


def compare(opened: Store, key: str, records: Sequence[TrialRecord]) -> Comparison:
    """Compares the completed trials' networks."""
    from study.tracking import reader

    done = [record for record in records if record.summary and record.run_id]
    trials = [reader.load_networks(opened, record.run_id or "")[:MOST_REPLICATES] for record in done]
    kind = disagreement.kind(trials[0][0].target)
    classes = kind == "churn"
    name, quantity, replicates = report.short(key), "validation loss", len(trials[0])
    # losses of different kinds, or of targets on different scales, can't be compared; shares of what is to be explained can
    own_score = key.split(".")[0] == "loss" or key == "data.normalise_target"
    if own_score:
        quantity = "error rate" if classes else "1 − R²"
    levels = []
    for record, networks in zip(done, trials, strict=True):
        assert record.summary
        losses = _scores(networks, classes) if own_score else record.summary.val_losses
        levels.append(factor.Level(report.setting(record.params[key]), networks, losses[: len(networks)]))
    if key == "replicates.vary" and replicates > 1:
        return Comparison(name, quantity, kind, replicates, spreads=tuple(factor.spread(level) for level in levels))
    return Comparison(name, quantity, kind, replicates, factor.effect(levels))


def draw(found: Comparison, folder: Path) -> Path:
    """The comparison's picture, in `folder`."""
    from study import figures

    picture = folder / f"{found.name}.png"
    if found.effect:
        figures.factor(found.effect, found.name, found.quantity, found.kind, picture)
    else:
        figures.sources(found.spreads, found.kind, picture)
    return picture


def _scores(networks: Sequence[TrackedNetwork], classes: bool) -> list[float]:
    """The error rate or 1 − R² of each network, on its own target."""
    measure = metrics.accuracy if classes else metrics.r2
    return [1 - float(measure(net.predictions[None], net.target)[0]) for net in networks]
