"""Initial weights, drawn by Keras' own initializers with an explicit seed for every layer of every replicate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import keras
import numpy as np

from study import batches, seeds
from study.errors import BadInput, Fault
from study.records import Floats, Network
from study.settings import init as kinds
from study.settings.init import Init
from study.spec import TrialSpec

SEEDED: dict[type[Init], type[keras.initializers.Initializer]] = {
    kinds.GlorotUniform: keras.initializers.GlorotUniform,
    kinds.GlorotNormal: keras.initializers.GlorotNormal,
    kinds.HeUniform: keras.initializers.HeUniform,
    kinds.HeNormal: keras.initializers.HeNormal,
    kinds.LecunUniform: keras.initializers.LecunUniform,
    kinds.LecunNormal: keras.initializers.LecunNormal,
    kinds.RandomNormal: keras.initializers.RandomNormal,
    kinds.TruncatedNormal: keras.initializers.TruncatedNormal,
    kinds.RandomUniform: keras.initializers.RandomUniform,
    kinds.VarianceScaling: keras.initializers.VarianceScaling,
    kinds.Orthogonal: keras.initializers.Orthogonal,
}
SEEDLESS: dict[type[Init], type[keras.initializers.Initializer]] = {
    kinds.Identity: keras.initializers.Identity,
    kinds.Zeros: keras.initializers.Zeros,
    kinds.Ones: keras.initializers.Ones,
    kinds.Constant: keras.initializers.Constant,
}
T = TypeVar("T")
OF_BIASES = {each.name for each in fields(Init)}


def keras_initializer(init: Init, seed: int) -> keras.initializers.Initializer:
    """Keras' initializer of a kernel; its settings have the same names here and there."""
    settings = {name: value for name, value in vars(init).items() if name not in OF_BIASES}
    if type(init) in SEEDLESS:
        return SEEDLESS[type(init)](**settings)
    return SEEDED[type(init)](**settings, seed=seed)


def initial_parameters(
    spec: TrialSpec, sizes: Sequence[int], start: Sequence[Network] | None = None
) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Kernels [R, in, out] and biases [R, out] of the layers between `sizes`, before training; those of `start` if it is given.

    Where the source `ulp` varies, every replicate but number 0 has one weight moved by one unit in its last place.
    """
    drawn = batches.replicate_seeds(spec)
    if start is None:
        kernels, biases = (make(spec.init, sizes, drawn["init"]) for make in (initial_kernels, initial_biases))
    else:
        found = (start[0].kernels[0].shape[0], *(kernel.shape[1] for kernel in start[0].kernels))
        if found != tuple(sizes):
            valid, got = ("-".join(map(str, each)) for each in (sizes, found))
            raise BadInput([Fault("init.same_as", f"{spec.init.same_as}, whose networks are {got}", f"a run of networks {valid}")])
        kernels = tuple(np.stack(layer) for layer in zip(*(net.kernels for net in start), strict=True))
        biases = tuple(np.stack(layer) for layer in zip(*(net.biases for net in start), strict=True))
    if "ulp" in spec.replicates.vary:
        for place, seed in enumerate(drawn["ulp"]):
            if spec.replicates.first + place > 0:
                rng = seeds.generator(seed)
                weights = kernels[rng.integers(len(kernels))][place].reshape(-1)
                chosen = rng.integers(len(weights))
                weights[chosen] = np.nextafter(weights[chosen], np.float32(rng.choice([-np.inf, np.inf])))
    return kernels, biases


def initial_kernels(init: Init, sizes: Sequence[int], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Kernels [R, in, out] for the layers between `sizes`; equal seeds give equal kernels.

    A Keras initializer with a whole-number seed returns the same values at each call, hence one seed a layer.
    """

    def draw(seed: int, layer: int, shape: tuple[int, int]) -> Floats:
        return np.asarray(keras_initializer(init, seeds.child_seed(seed, layer))(shape, "float32"))

    return _draw_layers(draw, list(itertools.pairwise(sizes)), replicate_seeds)


def initial_biases(init: Init, sizes: Sequence[int], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Biases [R, out] for the layers between `sizes`; equal seeds give equal biases, drawn apart from the kernels."""
    if not init.bias_stddev:
        return tuple(np.full((len(replicate_seeds), units), init.bias, np.float32) for units in sizes[1:])

    def draw(seed: int, layer: int, units: int) -> Floats:
        normal = keras.initializers.RandomNormal(init.bias, init.bias_stddev, seeds.child_seed(seed, layer, 1))
        return np.asarray(normal((units,), "float32"))

    return _draw_layers(draw, sizes[1:], replicate_seeds)


def _draw_layers(draw: Callable[[int, int, T], Floats], shapes: Sequence[T], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """`draw(seed, layer, shape)` of every layer, the replicates stacked; those that share a seed share a draw."""
    distinct = {seed: index for index, seed in enumerate(dict.fromkeys(replicate_seeds))}
    rows = [distinct[seed] for seed in replicate_seeds]
    return tuple(np.stack([draw(seed, layer, shape) for seed in distinct])[rows] for layer, shape in enumerate(shapes))
