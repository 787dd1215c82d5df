"""Initial weights."""

from __future__ import annotations

from dataclasses import dataclass

from study.settings.rules import Kind, number, registry, setting


class Init(Kind):
    """How the kernels start; biases start at zero, as in Keras."""


@dataclass(frozen=True)
class GlorotUniform(Init):
    name = "glorot_uniform"


@dataclass(frozen=True)
class HeNormal(Init):
    name = "he_normal"


@dataclass(frozen=True)
class RandomNormal(Init):
    name = "random_normal"
    mean: float = setting(0.0, number(-1e6, 1e6))
    stddev: float = setting(0.05, number(0, 1e6))


@dataclass(frozen=True)
class Zeros(Init):
    name = "zeros"


KINDS = registry(GlorotUniform, HeNormal, RandomNormal, Zeros)
