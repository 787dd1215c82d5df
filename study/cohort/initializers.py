"""Initial weights, drawn by Keras' own initializers with an explicit seed for every layer of every replicate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import keras
import numpy as np

from study import seeds
from study.records import Floats
from study.settings.init import GlorotUniform, HeNormal, Init, RandomNormal, Zeros


def keras_initializer(init: Init, seed: int) -> keras.initializers.Initializer:
    match init:
        case GlorotUniform():
            return keras.initializers.GlorotUniform(seed=seed)
        case HeNormal():
            return keras.initializers.HeNormal(seed=seed)
        case RandomNormal(mean=mean, stddev=stddev):
            return keras.initializers.RandomNormal(mean=mean, stddev=stddev, seed=seed)
        case Zeros():
            return keras.initializers.Zeros()
    raise NotImplementedError(init)


def initial_kernels(init: Init, sizes: Sequence[int], replicate_seeds: Sequence[int]) -> tuple[Floats, ...]:
    """Kernels [R, in, out] for the layers between `sizes`; equal seeds give equal kernels.

    A Keras initializer with a whole-number seed returns the same values at each call, hence one seed a layer.
    """
    distinct = {seed: index for index, seed in enumerate(dict.fromkeys(replicate_seeds))}
    rows = [distinct[seed] for seed in replicate_seeds]
    kernels = []
    for layer, shape in enumerate(itertools.pairwise(sizes)):
        drawn = [np.asarray(keras_initializer(init, seeds.child_seed(seed, layer))(shape, "float32")) for seed in distinct]
        kernels.append(np.stack(drawn)[rows])
    return tuple(kernels)
