"""Settings of the learning-rate schedule. Definitions are Keras' (keras/src/optimizers/schedules, callbacks.ReduceLROnPlateau).

Every duration is in epochs and may be a fraction; null is the whole training. A schedule starts at the optimizer's
`learning_rate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from study.errors import BadInput, Fault
from study.settings.rules import FLAG, Kind, integer, listing, number, optional, registry, setting

EPOCHS = number(0, 1e9, above=True)
DURATION = optional(EPOCHS)
FACTOR, SHARE = number(0, 1e6), number(0, 1)


@dataclass(frozen=True, kw_only=True)
class Schedule(Kind):
    """The learning rate's change from step to step.

    In the first `warmup` epochs it rises linearly: step i of w (i = 1 … w) has i / w of the rate, so no step is wasted on a rate of
    zero. The schedule itself then covers the remaining steps, which are also its null durations.
    """

    warmup: float = setting(0.0, number(0, 1e9))


@dataclass(frozen=True)
class ConstantRate(Schedule):
    name = "constant"


@dataclass(frozen=True)
class Exponential(Schedule):
    """rate · decay_rate^(t / decay_epochs); with `staircase`, the exponent is rounded down."""

    name = "exponential"
    decay_rate: float = setting(0.1, number(0, 1e6, above=True))
    decay_epochs: float | None = setting(None, DURATION)
    staircase: bool = setting(False, FLAG)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """rate / (1 + decay_rate · t / decay_epochs); with `staircase`, the quotient is rounded down."""

    name = "inverse_time"
    decay_rate: float = setting(1.0, FACTOR)
    decay_epochs: float | None = setting(1.0, DURATION)
    staircase: bool = setting(False, FLAG)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From the rate to `end_learning_rate`, by (1 − t / decay_epochs)^power.

    With `cycle`, decay_epochs grows to its next multiple each time it is reached; without, the end rate remains.
    """

    name = "polynomial"
    end_learning_rate: float = setting(0.0001, number(0))
    power: float = setting(1.0, number(0, 1e6))
    decay_epochs: float | None = setting(None, DURATION)
    cycle: bool = setting(False, FLAG)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """The rate times factors[i] after the share boundaries[i] of the training (of the part after the warm-up)."""

    name = "piecewise"
    boundaries: tuple[float, ...] = setting((0.5, 0.75), listing(number(0, 1, above=True, below=True), at_least=1))
    factors: tuple[float, ...] = setting((0.1, 0.01), listing(FACTOR, at_least=1))

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = []
        if list(self.boundaries) != sorted(set(self.boundaries)):
            faults.append(Fault("boundaries", self.boundaries, "numbers in rising order"))
        if len(self.factors) != len(self.boundaries):
            faults.append(Fault("factors", self.factors, f"as many as boundaries: {len(self.boundaries)}"))
        if faults:
            raise BadInput(faults)


@dataclass(frozen=True)
class Step(Schedule):
    """The rate is multiplied by `factor` after every `every` epochs."""

    name = "step"
    factor: float = setting(0.1, FACTOR)
    every: float = setting(10.0, EPOCHS)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the rate to `alpha` times the rate, which then remains."""

    name = "cosine"
    alpha: float = setting(0.0, SHARE)
    decay_epochs: float | None = setting(None, DURATION)


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Consecutive cosine decays: the first takes `first_epochs`; each is `t_mul` times as long as the one before.

    The height above `alpha` times the rate is multiplied by `m_mul` at each restart.
    """

    name = "cosine_restarts"
    first_epochs: float | None = setting(10.0, DURATION)
    t_mul: float = setting(2.0, number(1, 1e6))
    m_mul: float = setting(1.0, number(0, 1e3))
    alpha: float = setting(0.0, SHARE)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Each replicate's rate is multiplied by `factor` when its validation loss stops falling.

    That is, when for `patience` epochs it hasn't fallen by more than `min_delta` below its best. The next `cooldown` epochs don't
    count. The rate is never reduced below `min_learning_rate`.
    """

    name = "reduce_on_plateau"
    factor: float = setting(0.1, number(0, 1, below=True))
    patience: int = setting(10, integer(1, 1_000_000))
    min_delta: float = setting(1e-4, number(0))
    cooldown: int = setting(0, integer(0, 1_000_000))
    min_learning_rate: float = setting(0.0, number(0))


KINDS = registry(ConstantRate, Exponential, InverseTime, Polynomial, Piecewise, Step, Cosine, CosineRestarts, ReduceOnPlateau)
