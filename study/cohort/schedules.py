"""Learning rates by step, computed before training: a schedule is an input of the compiled program, never part of it."""

from __future__ import annotations

import numpy as np

from study.records import Floats
from study.settings.schedule import Constant, Schedule


def learning_rates(schedule: Schedule, initial: float, steps: int) -> Floats:
    """The rate of every training step, float32 [steps]."""
    match schedule:
        case Constant():
            return np.full(steps, initial, dtype=np.float32)
    raise NotImplementedError(schedule)
