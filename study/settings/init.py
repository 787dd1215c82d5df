"""Settings of the initial weights and biases. Kinds, names and defaults of the kernels are Keras' (keras/src/initializers)."""

from __future__ import annotations

from dataclasses import dataclass

from study.errors import BadInput, Fault
from study.settings.rules import TEXT, Kind, number, one_of, optional, registry, setting

VALUE, SPREAD = number(-1e6, 1e6), number(0, 1e6)
MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


@dataclass(frozen=True, kw_only=True)
class Init(Kind):
    """The start of kernels and biases. Biases start at `bias`, or normally distributed about it with SD `bias_stddev`.

    With `same_as`, the id of a tracked run, training starts from its final weights: a replicate's run gives all replicates the same
    start, a trial's run gives each replicate the weights of the replicate at its position.
    """

    bias: float = setting(0.0, VALUE)
    bias_stddev: float = setting(0.0, SPREAD)
    same_as: str | None = setting(None, optional(TEXT))


@dataclass(frozen=True)
class GlorotUniform(Init):
    name = "glorot_uniform"


@dataclass(frozen=True)
class GlorotNormal(Init):
    name = "glorot_normal"


@dataclass(frozen=True)
class HeUniform(Init):
    name = "he_uniform"


@dataclass(frozen=True)
class HeNormal(Init):
    name = "he_normal"


@dataclass(frozen=True)
class LecunUniform(Init):
    name = "lecun_uniform"


@dataclass(frozen=True)
class LecunNormal(Init):
    name = "lecun_normal"


@dataclass(frozen=True)
class RandomNormal(Init):
    name = "random_normal"
    mean: float = setting(0.0, VALUE)
    stddev: float = setting(0.05, SPREAD)


@dataclass(frozen=True)
class TruncatedNormal(Init):
    """Values more than two `stddev` from the mean are drawn again, so the SD is 0.88 `stddev`."""

    name = "truncated_normal"
    mean: float = setting(0.0, VALUE)
    stddev: float = setting(0.05, SPREAD)


@dataclass(frozen=True)
class RandomUniform(Init):
    name = "random_uniform"
    minval: float = setting(-0.05, VALUE)
    maxval: float = setting(0.05, VALUE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minval > self.maxval:
            raise BadInput([Fault("maxval", self.maxval, f"a number >= {self.minval:g}, the minval")])


@dataclass(frozen=True)
class VarianceScaling(Init):
    """Variance `scale` / n, where n is the number of a layer's inputs, its outputs, or their average."""

    name = "variance_scaling"
    scale: float = setting(1.0, number(0, 1e6, above=True))
    mode: str = setting("fan_in", one_of(MODES))
    distribution: str = setting("truncated_normal", one_of(DISTRIBUTIONS))


@dataclass(frozen=True)
class Orthogonal(Init):
    """`gain` times a matrix whose rows, or columns where they are fewer, are orthonormal."""

    name = "orthogonal"
    gain: float = setting(1.0, VALUE)


@dataclass(frozen=True)
class Identity(Init):
    """`gain` on the diagonal, also of a kernel that isn't square: as many features as fit pass through."""

    name = "identity"
    gain: float = setting(1.0, VALUE)


@dataclass(frozen=True)
class Zeros(Init):
    name = "zeros"


@dataclass(frozen=True)
class Ones(Init):
    name = "ones"


@dataclass(frozen=True)
class Constant(Init):
    name = "constant"
    value: float = setting(0.0, VALUE)


KINDS = registry(
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    RandomNormal,
    TruncatedNormal,
    RandomUniform,
    VarianceScaling,
    Orthogonal,
    Identity,
    Zeros,
    Ones,
    Constant,
)
