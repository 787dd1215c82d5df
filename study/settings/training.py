"""Settings of the training: its length, its batches, and its replicates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from study.errors import BadInput, Fault
from study.seeds import SOURCES
from study.settings.rules import FLAG, SettingsSection, integer, later, listing, number, one_of, optional, setting

DROP, KEEP = "drop", "keep"
ALL_EPOCHS, PLATEAUED, SETTLED = "epochs", "plateaued", "settled"


@dataclass(frozen=True)
class Training(SettingsSection):
    """One call of the compiled program runs `leg_epochs` epochs; with `until: epochs` it never changes a result.

    batch_size: rows per step; None for all. partial_batch: 'drop' the rows that remain after an epoch's whole batches, or 'keep'
    them as a smaller batch. patience: a replicate stops when its validation loss has not fallen by more than `min_delta` for this
    many epochs, and keeps its best weights. until 'plateaued': a replicate stops when its training loss has plateaued (see
    `convergence`) at the ends of two legs in a row, and until 'settled' when its weights and its function are at rest (see
    `analysis.motion`); `epochs` is then the maximum. motion: follow weights and predictions from epoch to epoch, in the tail at
    least, which changes no result.
    """

    epochs: int = setting(100, integer(1, 1_000_000))
    batch_size: int | None = setting(32, optional(integer(1, 1_000_000_000)))
    partial_batch: str = setting(DROP, one_of((DROP, KEEP)))
    patience: int | None = setting(None, optional(integer(1, 1_000_000)))
    min_delta: float = setting(0.0, number(0))
    until: str = setting(ALL_EPOCHS, one_of((ALL_EPOCHS, PLATEAUED, SETTLED)))
    leg_epochs: int = setting(20, integer(1, 1_000))
    motion: bool = later(True, FLAG)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience is not None and self.until != ALL_EPOCHS:
            raise BadInput([Fault("patience", self.patience, f"null where until is {self.until}: one rule decides when to stop")])
        if self.until == SETTLED and not self.motion:
            raise BadInput([Fault("motion", self.motion, f"true where until is {SETTLED}")])


@dataclass(frozen=True)
class Replicates(SettingsSection):
    """Replicates `first` … `first + count - 1` of the trial; the sources in `vary` differ between them, the others are shared.

    Without `crossed`, all sources of a replicate differ from those of the next one, so their effects can't be separated. `crossed`
    gives each source in `vary` a number of levels and trains every combination of them, the last source varying fastest; `count` is
    then their product. per_split: this many replicates in a row share a level of `data`, where `vary` names it.
    """

    count: int = setting(8, integer(1, 100_000))
    vary: tuple[str, ...] = setting(("init", "order"), listing(one_of(SOURCES), at_least=0, distinct=True))
    per_split: int = later(1, integer(1, 100_000))
    first: int = setting(0, integer(0, 1_000_000_000))
    crossed: tuple[int, ...] | None = setting(None, optional(listing(integer(2, 1_000), at_least=2)))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_split > 1 and ("data" not in self.vary or len(self.vary) == 1 or self.crossed):
            valid = "1, unless vary names data and another source, and crossed is null"
            raise BadInput([Fault("per_split", self.per_split, valid)])
        if self.crossed is None:
            return
        faults = []
        if len(self.crossed) != len(self.vary):
            valid = f"null, or one number of levels for each source in vary, at least two sources: {', '.join(self.vary) or 'none'}"
            faults.append(Fault("crossed", list(self.crossed), valid))
        if self.first:
            faults.append(Fault("first", self.first, "0 where crossed is given"))
        if faults:
            raise BadInput(faults)
        object.__setattr__(self, "count", math.prod(self.crossed))

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)

    def level(self, source: str, number: int) -> int:
        """Return the level (which of the source's seeds) of the replicate with this number; 0 if the source doesn't vary."""
        if source not in self.vary:
            return 0
        if self.crossed is None:
            return number // self.per_split if source == "data" else number
        position = self.vary.index(source)
        return number // math.prod(self.crossed[position + 1 :]) % self.crossed[position]
