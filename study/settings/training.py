"""How long, in what batches, and how many replicates."""

from __future__ import annotations

from dataclasses import dataclass

from study.seeds import SOURCES
from study.settings.rules import Section, integer, listing, one_of, setting

VARIABLE_SOURCES = ("init", "order")


@dataclass(frozen=True)
class Training(Section):
    """`leg_epochs` epochs run in one call of the compiled program; it never changes a result."""

    epochs: int = setting(100, integer(1, 1_000_000))
    batch_size: int = setting(32, integer(1, 1_000_000_000))
    leg_epochs: int = setting(20, integer(1, 1_000))


@dataclass(frozen=True)
class Replicates(Section):
    """Replicates `first` … `first + count - 1` of the trial; the sources in `vary` differ between them, the others are shared."""

    count: int = setting(8, integer(1, 100_000))
    vary: tuple[str, ...] = setting(VARIABLE_SOURCES, listing(one_of(VARIABLE_SOURCES), at_least=0, distinct=True))
    first: int = setting(0, integer(0, 1_000_000_000))


assert set(VARIABLE_SOURCES) <= set(SOURCES)
