"""The engine against real Keras: same initial weights, same batches, so the same losses; and its networks as Keras models."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

import study
from study import network, seeds
from study.cohort import export, initializers, losses, optimizers
from study.cohort import model as engine_model
from study.settings.data import Diabetes, Digits
from study.settings.init import GlorotUniform, HeNormal, RandomNormal, Zeros
from study.settings.model import ACTIVATIONS, Model
from study.settings.optimizer import SGD, Adam, RMSprop
from study.settings.training import Replicates, Training
from study.spec import KINDS, TrialSpec

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras
import tensorflow as tf

# every learning rate is in the stable regime, where an engine's order of additions doesn't matter
VARIANTS = {
    "adam": {"optimizer": Adam(1e-3)},
    "adam betas decay": {"optimizer": Adam(1e-3, weight_decay=2.0, beta_1=0.8, beta_2=0.98, epsilon=1e-3)},
    "sgd": {"optimizer": SGD(1e-2)},
    "sgd momentum": {"optimizer": SGD(1e-2, momentum=0.8)},
    "sgd nesterov": {"optimizer": SGD(1e-2, momentum=0.8, nesterov=True)},
    "sgd decay": {"optimizer": SGD(1e-2, weight_decay=1.0)},
    "rmsprop": {"optimizer": RMSprop(1e-3)},
    "rmsprop momentum": {"optimizer": RMSprop(1e-3, rho=0.8, momentum=0.5, epsilon=1e-3)},
    "rmsprop decay": {"optimizer": RMSprop(1e-3, weight_decay=2.0)},
    "he_normal": {"optimizer": SGD(1e-2), "init": HeNormal()},
    "random_normal": {"optimizer": SGD(1e-2), "init": RandomNormal(0.02, 0.3)},
    "zeros": {"optimizer": SGD(1e-2), "init": Zeros()},
    "tanh": {"optimizer": SGD(1e-2), "model": Model((16, 8), "tanh")},
    "one hidden layer": {"optimizer": SGD(1e-2), "model": Model((7,))},
}
COMMON = {"model": Model((16, 8)), "training": Training(epochs=20, batch_size=64), "replicates": Replicates(count=2), "seed": 3}
CASES = {
    f"{data.name} {name}": TrialSpec(**(COMMON | {"data": data} | sections))
    for data in (Diabetes(), Digits(validation_fraction=0.8))
    for name, sections in VARIANTS.items()
}

train = cache(study.train)


def keras_losses(cohort):
    """Training and validation loss, each [R, epochs], of Keras' own training of the same networks on the same batches."""
    data = study.load_data(cohort.spec)
    model = export.untrained(cohort.spec, data.x_train.shape[1], data.outputs)
    model.optimizer.build(model.trainable_variables)
    unused = [variable.numpy() for variable in model.optimizer.variables]

    # Keras' own steps, without what `fit` does between them
    @tf.function
    def train_epoch(order):
        for rows in order:
            model.train_step((tf.gather(data.x_train, rows), tf.gather(data.y_train, rows)))

    @tf.function
    def validate():
        model.test_step((data.x_val, data.y_val))

    def mean_loss(steps, *arguments):
        model.reset_metrics()
        steps(*arguments)
        return float(model.get_metrics_result()["loss"])

    curves = []
    for replicate, orders in enumerate(study.batch_orders(cohort.spec)):
        layers = zip(cohort.initial_kernels, cohort.initial_biases, strict=True)
        model.set_weights([array[replicate] for layer in layers for array in layer])
        for variable, value in zip(model.optimizer.variables, unused, strict=True):
            variable.assign(value)
        curves.append([(mean_loss(train_epoch, order), mean_loss(validate)) for order in orders])
    return np.moveaxis(curves, 2, 0)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_keras_in_every_epoch(name):
    cohort = train(CASES[name])
    train_loss, val_loss = keras_losses(cohort)
    np.testing.assert_allclose(cohort.train_loss, train_loss, rtol=1e-4)
    np.testing.assert_allclose(cohort.val_loss, val_loss, rtol=1e-4)


@pytest.mark.parametrize("section", ["optimizer", "schedule", "init", "loss"])
def test_every_registered_kind_has_a_case(section):
    assert {getattr(spec, section).name for spec in CASES.values()} == set(KINDS[section]) - {"auto"}


def test_every_activation_and_every_update_rule_has_a_case():
    assert {spec.model.activation for spec in CASES.values()} == set(ACTIVATIONS)
    assert {optimizers.rule_name(spec.optimizer) for spec in CASES.values()} == set(optimizers.RULES)


def test_the_engine_the_analyses_and_the_settings_know_the_same_names():
    assert set(engine_model.ACTIVATIONS) == set(network.ACTIVATIONS) == set(ACTIVATIONS)
    assert set(losses.LOSSES) == set(KINDS["loss"]) - {"auto"}


@pytest.mark.parametrize("init", ["glorot_uniform", "he_normal", "random_normal", "zeros"])
def test_initial_weights_are_those_of_keras_initializer_seeded_by_layer(init):
    cohort = train(next(spec for spec in CASES.values() if spec.init.name == init))
    made = type(keras.initializers.get(init))
    for layer, (kernels, biases) in enumerate(zip(cohort.initial_kernels, cohort.initial_biases, strict=True)):
        assert not biases.any()
        for kernel, seed in zip(kernels, cohort.seeds["init"], strict=True):
            seeded = {} if init == "zeros" else {"seed": seeds.child_seed(seed, layer)}
            expected = made(**vars(cohort.spec.init), **seeded)(kernel.shape)
            assert kernel.tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize(
    ("init", "mean", "variance"),
    [
        (GlorotUniform(), 0, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (HeNormal(), 0, lambda fan_in, fan_out: 2 / fan_in),
        (RandomNormal(), 0, lambda fan_in, fan_out: 0.05**2),
        (RandomNormal(0.3, 0.1), 0.3, lambda fan_in, fan_out: 0.1**2),
    ],
    ids=["glorot_uniform", "he_normal", "random_normal", "random_normal shifted"],
)
def test_initial_kernels_have_the_mean_and_sd_of_theory(init, mean, variance):
    sizes = (64, 128, 20)
    # at least 20,480 numbers a layer: standard errors of 0.7 % and 0.5 % of the SD
    kernels = initializers.initial_kernels(init, sizes, range(8))
    for kernel, fans in zip(kernels, itertools.pairwise(sizes), strict=True):
        sd = np.sqrt(variance(*fans))
        assert kernel.mean() == pytest.approx(mean, abs=0.03 * sd)
        assert kernel.std() == pytest.approx(sd, rel=0.03)


def test_initial_kernels_of_zeros_are_zero():
    assert not any(kernel.any() for kernel in initializers.initial_kernels(Zeros(), (4, 3, 2), range(2)))


@pytest.mark.parametrize("name", ["diabetes adam", "diabetes tanh", "digits adam", "digits tanh"])
def test_a_keras_model_predicts_and_evaluates_as_the_cohort(name):
    cohort = train(CASES[name])
    data = study.load_data(cohort.spec)
    for replicate in range(len(cohort)):
        model = study.keras_model(cohort, replicate)
        assert isinstance(model, keras.Sequential)
        np.testing.assert_allclose(model.predict(data.x_val, verbose=0), cohort.predictions[replicate], rtol=1e-5, atol=1e-5)
        loss = model.evaluate(data.x_val, data.y_val, verbose=0)
        assert loss == pytest.approx(cohort.val_loss[replicate, -1], rel=1e-4)


def test_a_keras_model_keeps_the_trials_optimizer_settings():
    for spec in CASES.values():
        optimizer = export.keras_optimizer(spec.optimizer)
        assert type(optimizer).__name__.lower() == spec.optimizer.name
        config = optimizer.get_config()
        for key, value in vars(spec.optimizer).items():
            # Keras keeps the learning rate in single precision, and no weight decay as None
            assert float(config[key] or 0) == pytest.approx(float(value)), (spec.optimizer, key)
