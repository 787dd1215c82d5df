"""Initial weights: the bytes of Keras' own initializers, each layer of each replicate from a seed of its own."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from study import seeds
from study.engine import initializers
from study.errors import BadInput
from study.settings import init as kinds
from study.settings.init import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
from study.settings.model import Model
from study.settings.spec import TrialSpec
from study.settings.training import Replicates

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras

made = keras.initializers
CASES = {
    "glorot_uniform": (GlorotUniform(), lambda seed: made.GlorotUniform(seed)),
    "glorot_normal": (GlorotNormal(), lambda seed: made.GlorotNormal(seed)),
    "he_uniform": (HeUniform(), lambda seed: made.HeUniform(seed)),
    "he_normal": (HeNormal(), lambda seed: made.HeNormal(seed)),
    "lecun_uniform": (LecunUniform(), lambda seed: made.LecunUniform(seed)),
    "lecun_normal": (LecunNormal(), lambda seed: made.LecunNormal(seed)),
    "random_normal": (RandomNormal(), lambda seed: made.RandomNormal(seed=seed)),
    "random_normal set": (RandomNormal(0.3, 0.1), lambda seed: made.RandomNormal(0.3, 0.1, seed)),
    "truncated_normal": (TruncatedNormal(), lambda seed: made.TruncatedNormal(seed=seed)),
    "truncated_normal set": (TruncatedNormal(0.3, 0.1), lambda seed: made.TruncatedNormal(0.3, 0.1, seed)),
    "random_uniform": (RandomUniform(), lambda seed: made.RandomUniform(seed=seed)),
    "random_uniform set": (RandomUniform(-1, 3), lambda seed: made.RandomUniform(-1, 3, seed)),
    "variance_scaling": (VarianceScaling(), lambda seed: made.VarianceScaling(seed=seed)),
    **{
        f"variance_scaling {mode} {distribution}": (
            VarianceScaling(0.7, mode, distribution),
            lambda seed, mode=mode, distribution=distribution: made.VarianceScaling(0.7, mode, distribution, seed),
        )
        for mode in kinds.MODES
        for distribution in kinds.DISTRIBUTIONS
    },
    "orthogonal": (Orthogonal(), lambda seed: made.Orthogonal(seed=seed)),
    "orthogonal set": (Orthogonal(0.5), lambda seed: made.Orthogonal(0.5, seed)),
    "identity": (Identity(), lambda seed: made.Identity()),
    "identity set": (Identity(-0.5), lambda seed: made.Identity(-0.5)),
    "zeros": (Zeros(), lambda seed: made.Zeros()),
    "ones": (Ones(), lambda seed: made.Ones()),
    "constant": (Constant(), lambda seed: made.Constant()),
    "constant set": (Constant(0.2), lambda seed: made.Constant(0.2)),
}
SIZES = (5, 8, 3)
SEEDS = (11, 7, 11)


def test_every_registered_initializer_has_a_case_and_the_name_that_keras_has():
    cases = {init.name: type(init) for init, _ in CASES.values()}
    assert cases == kinds.KINDS
    for init, initializer in CASES.values():
        assert type(initializer(0)).__name__.lower() == init.name.replace("_", "")
        assert type(initializers.keras_initializer(init, 0)) is type(initializer(0))


@pytest.mark.parametrize("name", CASES)
def test_kernels_are_the_bytes_of_keras_initializer_seeded_by_layer(name):
    init, initializer = CASES[name]
    for layer, kernels in enumerate(initializers.initial_kernels(init, SIZES, SEEDS)):
        assert kernels.shape == (3, *SIZES[layer : layer + 2]) and kernels.dtype == np.float32
        for kernel, seed in zip(kernels, SEEDS, strict=True):
            expected = initializer(seeds.child_seed(seed, layer))(kernel.shape, "float32")
            assert kernel.tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize("name", CASES)
def test_defaults_are_those_of_keras(name):
    parameters = inspect.signature(type(initializers.keras_initializer(CASES[name][0], 0))).parameters
    defaults = {key: each.default for key, each in parameters.items() if key not in ("seed", "input_axes", "output_axes")}
    assert vars(type(CASES[name][0])()) == defaults | {"bias": 0, "bias_stddev": 0, "same_as": None}


@pytest.mark.parametrize("name", CASES)
def test_the_bias_settings_change_no_kernel(name):
    init, _ = CASES[name]
    shifted = type(init)(**(vars(init) | {"bias": 0.5, "bias_stddev": 0.1}))
    plain, other = (initializers.initial_kernels(each, SIZES, SEEDS) for each in (init, shifted))
    assert [kernels.tobytes() for kernels in plain] == [kernels.tobytes() for kernels in other]


@pytest.mark.parametrize(
    ("init", "mean", "variance"),
    [
        (GlorotUniform(), 0, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (GlorotNormal(), 0, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (HeUniform(), 0, lambda fan_in, fan_out: 2 / fan_in),
        (HeNormal(), 0, lambda fan_in, fan_out: 2 / fan_in),
        (LecunUniform(), 0, lambda fan_in, fan_out: 1 / fan_in),
        (LecunNormal(), 0, lambda fan_in, fan_out: 1 / fan_in),
        (RandomNormal(0.3, 0.1), 0.3, lambda fan_in, fan_out: 0.1**2),
        (TruncatedNormal(0.3, 0.1), 0.3, lambda fan_in, fan_out: (0.87962566 * 0.1) ** 2),
        (RandomUniform(-1, 3), 1, lambda fan_in, fan_out: 4**2 / 12),
        (VarianceScaling(0.7, "fan_out", "uniform"), 0, lambda fan_in, fan_out: 0.7 / fan_out),
        (VarianceScaling(0.7, "fan_avg", "untruncated_normal"), 0, lambda fan_in, fan_out: 1.4 / (fan_in + fan_out)),
        (Orthogonal(0.5), 0, lambda fan_in, fan_out: 0.5**2 / max(fan_in, fan_out)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_kernels_have_the_mean_and_sd_of_theory(init, mean, variance):
    sizes = (64, 128, 20)
    # at least 20,480 numbers a layer: standard errors of 0.7 % and 0.5 % of the SD
    kernels = initializers.initial_kernels(init, sizes, range(8))
    for kernel, fans in zip(kernels, itertools.pairwise(sizes), strict=True):
        sd = np.sqrt(variance(*fans))
        assert kernel.mean() == pytest.approx(mean, abs=0.03 * sd)
        assert kernel.std() == pytest.approx(sd, rel=0.03)


def test_orthogonal_and_identity_kernels_keep_lengths_where_they_can():
    for init in (Orthogonal(), Identity()):
        for [kernel] in initializers.initial_kernels(init, (3, 6, 3), (1,)):
            gram = kernel @ kernel.T if len(kernel) == 3 else kernel.T @ kernel
            np.testing.assert_allclose(gram, np.eye(3), atol=1e-6)


def test_biases_are_zero_by_default_or_constant():
    for init, value in ((GlorotUniform(), 0), (Zeros(bias=0.25), 0.25)):
        biases = initializers.initial_biases(init, SIZES, SEEDS)
        assert [bias.shape for bias in biases] == [(3, 8), (3, 3)]
        assert all(bias.dtype == np.float32 and (bias == value).all() for bias in biases)


def test_random_biases_are_the_bytes_of_keras_and_independent_of_the_kernels():
    init = RandomNormal(0.5, 0.1, bias=0.5, bias_stddev=0.1)
    biases, kernels = (draw(init, SIZES, SEEDS) for draw in (initializers.initial_biases, initializers.initial_kernels))
    for layer, (bias, kernel) in enumerate(zip(biases, kernels, strict=True)):
        assert bias[0].tobytes() == bias[2].tobytes() != bias[1].tobytes()
        assert not np.isin(bias, kernel).any()
        for values, seed in zip(bias, SEEDS, strict=True):
            expected = made.RandomNormal(0.5, 0.1, seeds.child_seed(seed, layer, 1))(values.shape)
            assert values.tobytes() == np.asarray(expected).tobytes()


def test_random_biases_have_their_mean_and_sd():
    [bias] = initializers.initial_biases(Zeros(bias=0.5, bias_stddev=0.1), (1, 1_000), range(20))
    assert bias.mean() == pytest.approx(0.5, abs=0.003)
    assert bias.std() == pytest.approx(0.1, rel=0.03)


def test_the_parameters_of_a_trial_are_those_of_its_replicates_seeds():
    spec = TrialSpec(init=HeNormal(bias_stddev=0.1), model=Model((8,)), replicates=Replicates(count=3), seed=5)
    drawn = [seeds.replicate_seed(5, "init", replicate) for replicate in range(3)]
    initial = initializers.initial_networks(spec, SIZES, spec.replicates.numbers)
    for found, expected in (
        (initial.kernels, initializers.initial_kernels(spec.init, SIZES, drawn)),
        (initial.biases, initializers.initial_biases(spec.init, SIZES, drawn)),
    ):
        assert [each.tobytes() for each in found] == [each.tobytes() for each in expected]


def test_a_uniform_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(BadInput, match=r"maxval: got 0\.0; valid: a number >= 1, the minval"):
        RandomUniform(1.0, 0.0)
