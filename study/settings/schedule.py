"""Learning-rate schedules."""

from __future__ import annotations

from dataclasses import dataclass

from study.settings.rules import Kind, registry


class Schedule(Kind):
    """How the learning rate moves from step to step."""


@dataclass(frozen=True)
class Constant(Schedule):
    name = "constant"


KINDS = registry(Constant)
