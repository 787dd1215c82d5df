"""A study's trials: as they are asked for, and as the study's storage keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from study.records.arrays import Scalar
from study.records.outcome import Summary


@dataclass(frozen=True)
class Asked:
    """A trial to run: its number, the value of every sampled setting, and how often it has been tried with this time."""

    number: int
    params: dict[str, Scalar]
    attempt: int = 1


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study's storage holds it. state: 'complete', 'pruned', 'failed', 'running' or 'waiting'.

    values: of the study's objectives, if it has any. started, ended: seconds since 1970, None where that isn't known.
    """

    number: int
    state: str
    params: dict[str, Scalar]
    values: list[float]
    summary: Summary | None
    reason: str | None
    run_id: str | None
    seconds: dict[str, float]
    started: float | None = None
    ended: float | None = None

    @property
    def value(self) -> float | None:
        """The first objective's."""
        return self.values[0] if self.values else None
