"""Initial weights, drawn by Keras' own initializers with an explicit seed for every layer of every replicate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from study import seeds
from study.data import batches
from study.engine.backend import keras
from study.records.arrays import Floats
from study.records.network import Network, parameter_shapes
from study.settings import init as kinds
from study.settings.init import Init
from study.settings.spec import TrialSpec

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
OF_BIASES = {field.name for field in fields(Init)}


def keras_initializer(init: Init, seed: int) -> keras.initializers.Initializer:
    """Return Keras' initializer of a kernel; its settings have the same names."""
    settings = {name: value for name, value in vars(init).items() if name not in OF_BIASES}
    if type(init) in SEEDLESS:
        return SEEDLESS[type(init)](**settings)
    return SEEDED[type(init)](**settings, seed=seed)


def initial_networks(
    spec: TrialSpec, sizes: Sequence[int], numbers: Sequence[int], start: Sequence[Network] | None = None
) -> Network:
    """Return the replicates with these numbers before training, with layers between `sizes`, as a stack; or `start`, if given.

    Where the source `ulp` varies, one weight of every replicate but those of its level 0 moves by one unit in its last place.
    """
    if start is None:
        drawn = batches.source_seeds(spec, "init", numbers)
        stacked = Network.of_layers(*(make(spec.init, sizes, drawn) for make in (initial_kernels, initial_biases)))
        for name, shape in parameter_shapes(sizes, spec.model.normalisation).items():
            if name not in stacked.parameters:
                value = 0 if name.startswith("mean") else 1
                stacked.parameters[name] = np.full((len(numbers), *shape), value, np.float32)
    else:
        stacked = Network.stack(start)
    if "ulp" in spec.replicates.vary:
        for position, (number, seed) in enumerate(zip(numbers, batches.source_seeds(spec, "ulp", numbers), strict=True)):
            if spec.replicates.level("ulp", number) > 0:
                rng = seeds.generator(seed)
                weights = stacked.kernels[rng.integers(stacked.depth)][position].reshape(-1)
                chosen = rng.integers(len(weights))
                weights[chosen] = np.nextafter(weights[chosen], np.float32(rng.choice([-np.inf, np.inf])))
    return stacked


def initial_kernels(init: Init, sizes: Sequence[int], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Draw kernels [R, in, out] for the layers between `sizes`; equal seeds give equal kernels.

    A Keras initializer with an integer seed returns the same values at each call, hence one seed per layer.
    """

    def draw(seed: int, layer: int, shape: tuple[int, int]) -> Floats:
        return np.asarray(keras_initializer(init, seeds.child_seed(seed, layer))(shape, "float32"))

    return _draw_layers(draw, list(itertools.pairwise(sizes)), replicate_seeds)


def initial_biases(init: Init, sizes: Sequence[int], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Draw biases [R, out] for the layers between `sizes`; equal seeds give equal biases, independent of the kernels."""
    if not init.bias_stddev:
        return tuple(np.full((len(replicate_seeds), units), init.bias, np.float32) for units in sizes[1:])

    def draw(seed: int, layer: int, units: int) -> Floats:
        normal = keras.initializers.RandomNormal(init.bias, init.bias_stddev, seeds.child_seed(seed, layer, 1))
        return np.asarray(normal((units,), "float32"))

    return _draw_layers(draw, sizes[1:], replicate_seeds)


def _draw_layers(draw: Callable[[int, int, T], Floats], shapes: Sequence[T], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Return `draw(seed, layer, shape)` for every layer, the replicates stacked; replicates with one seed share a draw."""
    distinct = {seed: index for index, seed in enumerate(dict.fromkeys(replicate_seeds))}
    rows = [distinct[seed] for seed in replicate_seeds]
    return tuple(np.stack([draw(seed, layer, shape) for seed in distinct])[rows] for layer, shape in enumerate(shapes))
