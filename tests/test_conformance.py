"""The engine against real Keras: same initial weights, same batches, so the same losses; and its networks as Keras models."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

import study
from study.analysis import forward
from study.engine import export, optimizers, schedules
from study.engine import model as engine_model
from study.settings.data import BreastCancer, Diabetes, Digits
from study.settings.init import Constant, Ones, RandomNormal, Zeros
from study.settings.loss import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from study.settings.model import ACTIVATIONS, Model
from study.settings.optimizer import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from study.settings.schedule import ReduceOnPlateau
from study.settings.spec import KINDS, TrialSpec
from study.settings.training import Replicates, Training

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras
import tensorflow as tf

# every learning rate is in the stable regime, where an engine's order of additions doesn't matter
VARIANTS = {
    "adam": {"optimizer": Adam(1e-3)},
    "adam betas decay": {"optimizer": Adam(1e-3, weight_decay=2.0, beta_1=0.8, beta_2=0.98, epsilon=1e-3)},
    "adam amsgrad": {"optimizer": Adam(1e-3, beta_2=0.9, amsgrad=True)},
    "adamw": {"optimizer": AdamW(1e-3)},
    "adamax": {"optimizer": Adamax(1e-3, beta_1=0.8, weight_decay=1.0)},
    "nadam": {"optimizer": Nadam(1e-3)},
    "nadam betas": {"optimizer": Nadam(1e-3, beta_1=0.7, beta_2=0.98)},
    "adagrad": {"optimizer": Adagrad(1e-2)},
    "adagrad from zero": {"optimizer": Adagrad(1e-3, initial_accumulator_value=0.0, epsilon=1e-3)},
    "adadelta": {"optimizer": Adadelta(1.0, rho=0.9)},
    "lion": {"optimizer": Lion(1e-3, weight_decay=0.5)},
    "sgd": {"optimizer": SGD(1e-2)},
    "sgd momentum": {"optimizer": SGD(1e-2, momentum=0.8)},
    "sgd nesterov": {"optimizer": SGD(1e-2, momentum=0.8, nesterov=True)},
    "sgd decay": {"optimizer": SGD(1e-2, weight_decay=1.0)},
    "sgd clip value": {"optimizer": SGD(1e-2, momentum=0.8, clip_value=0.01)},
    "sgd clip norm": {"optimizer": SGD(1e-2, momentum=0.8, clip_norm=0.5)},
    "rmsprop": {"optimizer": RMSprop(1e-3)},
    "rmsprop momentum": {"optimizer": RMSprop(1e-3, rho=0.8, momentum=0.5, epsilon=1e-3)},
    "rmsprop centered": {"optimizer": RMSprop(1e-3, epsilon=1e-3, centered=True)},
    "rmsprop decay": {"optimizer": RMSprop(1e-3, weight_decay=2.0)},
    "one hidden layer": {"optimizer": SGD(1e-2), "model": Model((7,))},
    "l1 and l2": {"optimizer": SGD(1e-2), "model": Model((16, 8), l1=1e-3, l2=1e-2)},
    "batch normalisation": {"optimizer": SGD(1e-2), "model": Model((16, 8), normalisation="batch", norm_momentum=0.9)},
    "batch normalisation, partial batch": {
        "optimizer": SGD(1e-2, clip_norm=1.0, weight_decay=0.1),
        "model": Model((16, 8), "tanh", l2=1e-3, normalisation="batch", norm_epsilon=0.1),
        "training": Training(20, batch_size=64, partial_batch="keep"),
    },
    "layer normalisation": {"optimizer": Adam(1e-3), "model": Model((16, 8), normalisation="layer")},
    "layer normalisation, epsilon": {"optimizer": SGD(1e-2), "model": Model((16,), normalisation="layer", norm_epsilon=0.1)},
    "partial batch": {"optimizer": SGD(1e-2), "training": Training(20, batch_size=64, partial_batch="keep")},
    "full batch": {"optimizer": SGD(1e-2), "training": Training(20, batch_size=None)},
    "init": {"optimizer": SGD(1e-2), "init": RandomNormal(mean=0.02, stddev=0.3, bias=0.1, bias_stddev=0.1)},
    **{f"{name} activation": {"optimizer": SGD(1e-2), "model": Model((16, 8), name)} for name in ACTIVATIONS},
}
LOSSES_OF_DATA = {
    Diabetes(): (MeanSquaredError(), MeanAbsoluteError(), Huber(0.5), LogCosh(), MeanAbsolutePercentageError()),
    Digits(validation_fraction=0.8): (
        SparseCategoricalCrossentropy(),
        SparseCategoricalCrossentropy(0.1),
        CategoricalCrossentropy(0.2),
    ),
    BreastCancer(): (BinaryCrossentropy(), BinaryCrossentropy(0.1)),
}
DIGITS_VARIANTS = ("adam", "sgd nesterov", "rmsprop", "tanh activation", "batch normalisation", "layer normalisation")
COMMON = {"model": Model((16, 8)), "training": Training(epochs=20, batch_size=64), "replicates": Replicates(count=2), "seed": 3}
CASES = {
    f"{data.name} {name}": TrialSpec(**(COMMON | {"data": data} | sections))
    for data, names in (
        (Diabetes(), VARIANTS),
        (
            Digits(validation_fraction=0.8),
            DIGITS_VARIANTS,
        ),
    )
    for name, sections in ((name, VARIANTS[name]) for name in names)
}
# one of each kind
OPTIMIZERS = (
    *(kind(1e-3) for kind in (Adam, AdamW, Adamax, Nadam, RMSprop, Lion)),
    *(SGD(1e-3, momentum=0.5), Adagrad(1e-2), Adadelta(1.0)),
)
SCHEDULES, INITS = ([kind() for kind in KINDS[section].values()] for section in ("schedule", "init"))


def every_pair():
    """Cases in which each optimizer meets every loss, activation and schedule, and each loss every activation.

    All initializers and kinds of normalisation are among them. The whole product would be some 400,000 trainings; what settings
    do to one another shows in pairs, since there is no place in the engine where three of them meet.
    """
    rows = [(data, loss) for data, losses_of_data in LOSSES_OF_DATA.items() for loss in losses_of_data]
    for (i, (data, loss)), (j, activation) in itertools.product(enumerate(rows), enumerate(ACTIVATIONS)):
        optimizer, schedule = OPTIMIZERS[(i + j) % len(OPTIMIZERS)], SCHEDULES[i % len(SCHEDULES)]
        init = INITS[(len(ACTIVATIONS) * i + j) % len(INITS)]
        # copies of one unit have no variance, and layer normalisation would magnify what rounding makes of it
        symmetric = isinstance(init, Zeros | Ones | Constant)
        normalisation = None if symmetric else (None, "layer", "batch")[(i + 2 * j) % 3]
        parts = (loss.name, str(getattr(loss, "label_smoothing", "")), activation, optimizer.name, schedule.name, init.name)
        yield (
            " ".join(filter(None, (*parts, normalisation))),
            TrialSpec(
                data=data,
                model=Model((8, 5), activation, normalisation=normalisation),
                optimizer=optimizer,
                schedule=schedule,
                loss=loss,
                init=init,
                training=Training(epochs=10, batch_size=64, leg_epochs=10),
                replicates=Replicates(count=2),
                seed=3,
            ),
        )


def kinds_of(spec):
    named = {(section, getattr(spec, section).name) for section in ("optimizer", "loss", "schedule", "init")}
    return named | {spec.model.activation, spec.model.normalisation}


def one_of_each_kind(cases, without=""):
    """Few of the cases in which every kind is: again and again the one that has most of those that are left."""
    left = {kind for kind in set().union(*map(kinds_of, cases.values())) if not (isinstance(kind, tuple) and kind[0] == without)}
    while left:
        name = max(cases, key=lambda each: len(kinds_of(cases[each]) & left))
        left -= kinds_of(cases[name])
        yield name


PAIRS = dict(every_pair())
# a program is compiled for each case, so that all of them take minutes
EACH = set(one_of_each_kind(PAIRS))
# each initializer's bytes are compared with Keras' own in test_initializers.py
QUICK = set(one_of_each_kind(PAIRS, without="init"))
# activations and rules by default are among the quick pairs, and what is done to all kinds of data alike is tried with one of them
LONG = PAIRS.keys() - EACH - QUICK | {
    *(name for name in CASES if name.endswith(" activation")),
    *(f"diabetes {rule}" for rule in ("adam", "adamw", "nadam", "adagrad", "sgd", "rmsprop")),
    *(f"digits {name}" for name in DIGITS_VARIANTS if not name.endswith("normalisation")),
    # a setting of theirs that other quick cases have too: moments, decay, clipping, a normalisation
    *(f"diabetes {rule}" for rule in ("adamax", "lion", "adadelta", "nadam betas", "rmsprop decay", "sgd decay", "sgd clip value")),
    *(f"diabetes {name}" for name in ("one hidden layer", "batch normalisation", "layer normalisation")),
    "digits layer normalisation",
}
CASES |= PAIRS
MARKS = {
    name: [pytest.mark.long, pytest.mark.slow] if name in LONG else [] if name in QUICK else [pytest.mark.long] for name in CASES
}
PARAMETERS = [pytest.param(name, marks=marks) for name, marks in MARKS.items()]

train = cache(study.train)


def keras_losses(cohort, precision="float32"):
    """Training and validation loss, each [R, epochs], of Keras' own training of the same networks on the same batches.

    Penalties are left out of what is reported, as they are in ours.
    """
    spec, data = cohort.spec, study.load_data(cohort.spec)
    x_train, y_train, x_val, y_val = (
        array.astype(precision) if array.dtype == np.float32 else array
        for array in (data.x_train, data.y_train, data.x_val, data.y_val)
    )
    model = export.untrained(spec, data.x_train.shape[1], cohort.kernels[-1].shape[2])
    model.optimizer.build(model.trainable_variables)
    unused = [variable.numpy() for variable in model.optimizer.variables]
    loss_of = export.keras_loss(spec.loss, cohort.kernels[-1].shape[2])

    @tf.function
    def train_step(rows):
        x, y = tf.gather(x_train, rows), tf.gather(y_train, rows)
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
            objective = loss + sum(model.losses)
        model.optimizer.apply(tape.gradient(objective, model.trainable_variables), model.trainable_variables)
        return loss

    @tf.function
    def validate():
        return loss_of(y_val, model(x_val))

    epochs, steps = study.batch_orders(spec).shape[1:3]
    rates = schedules.learning_rates(spec.schedule, spec.optimizer.learning_rate, epochs, steps).reshape(epochs, steps)
    curves = []
    for replicate, orders in enumerate(study.batch_orders(spec)):
        model.set_weights([cohort.initial.parameters[name][replicate] for name in export.names_of_weights(cohort.initial)])
        for variable, value in zip(model.optimizer.variables, unused, strict=True):
            variable.assign(value)
        curve = []
        # the schedules and the factors of a reduced rate are compared with Keras' own elsewhere
        factors = (
            cohort.learning_rate[replicate] / rates[:, -1] if isinstance(spec.schedule, ReduceOnPlateau) else np.ones(len(rates))
        )
        for order, rates_of_epoch in zip(orders, rates * factors[:, None], strict=True):
            train, counts = [], []
            for rows, rate in zip(order, rates_of_epoch, strict=True):
                model.optimizer.learning_rate.assign(rate)
                train.append(train_step(rows[rows >= 0]))
                counts.append(np.sum(rows >= 0))
            train = np.average(train, weights=counts)
            curve.append((train, float(validate())))
        curves.append(curve)
    return np.moveaxis(curves, 2, 0)


@pytest.mark.parametrize("name", PARAMETERS)
def test_losses_are_those_of_keras_in_every_epoch(name):
    cohort = train(CASES[name])
    found, single = np.stack([cohort.train_loss, cohort.val_loss]), keras_losses(cohort)
    if not np.allclose(found, single, rtol=1e-4, atol=0):
        # Where rounding alone moves the losses further (a sign that turns on the last digit, a variance of copies), ours must be
        # about as close to Keras in double precision as Keras in single precision is.
        keras.config.set_dtype_policy("float64")
        keras.config.set_floatx("float64")
        try:
            double = keras_losses(cohort, "float64")
        finally:
            keras.config.set_dtype_policy("float32")
            keras.config.set_floatx("float32")
        ours, theirs = (np.max(np.abs(losses - double) / double) for losses in (found, single))
        print(f"{name}: ours {ours:.1e} and Keras' float32 {theirs:.1e} from Keras' float64")
        assert ours < 5 * theirs


@pytest.mark.parametrize("section", ["optimizer", "loss", "schedule", "init"])
def test_every_registered_kind_has_a_case(section):
    for names in (PAIRS, EACH, *([QUICK] if section != "init" else [])):
        assert {getattr(PAIRS[name], section).name for name in names} == set(KINDS[section]) - {"auto"}


@pytest.mark.parametrize(
    ("first", "second"), [("optimizer", "loss"), ("optimizer", "schedule"), ("optimizer", "model"), ("loss", "model")]
)
def test_every_two_that_could_affect_one_another_meet(first, second):
    def name(spec, section):
        return spec.model.activation if section == "model" else getattr(spec, section).name

    met = {(name(spec, first), name(spec, second)) for spec in PAIRS.values()}
    assert met == set(itertools.product(*({name(spec, section) for spec in PAIRS.values()} for section in (first, second))))


def test_every_activation_and_every_update_rule_has_a_case():
    assert {spec.model.activation for spec in CASES.values()} == set(ACTIVATIONS)
    assert {optimizers.rule_name(spec.optimizer) for spec in CASES.values()} == set(optimizers.RULES)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_keras(name):
    z = np.linspace(-12, 12, 1001, dtype=np.float32)
    expected = np.asarray(keras.activations.get(name)(z))
    for table in (engine_model.ACTIVATIONS, forward.ACTIVATIONS):
        found = np.asarray(table[name](z))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "variant"),
    [
        ("diabetes", "batch normalisation"),
        ("digits", "layer normalisation"),
        *(
            pytest.param("diabetes", variant, marks=pytest.mark.long)
            for variant in ("adam", "tanh activation", "layer normalisation")
        ),
        *(
            pytest.param("digits", variant, marks=pytest.mark.long)
            for variant in ("adam", "tanh activation", "batch normalisation")
        ),
    ],
)
def test_a_keras_model_predicts_and_evaluates_as_the_cohort(data, variant):
    cohort = train(CASES[f"{data} {variant}"])
    data = study.load_data(cohort.spec)
    for replicate in range(len(cohort)):
        model = study.keras_model(cohort, replicate)
        assert isinstance(model, keras.Sequential)
        np.testing.assert_allclose(model.predict(data.x_val, verbose=0), cohort.predictions[replicate], rtol=1e-5, atol=1e-5)
        loss = model.evaluate(data.x_val, data.y_val, verbose=0)
        assert loss == pytest.approx(cohort.val_loss[replicate, -1], rel=1e-4)


def test_a_keras_model_keeps_the_trials_optimizer_settings():
    renamed = {"clip_value": "clipvalue", "clip_norm": "global_clipnorm", "ema": "ema_momentum"}
    for spec in CASES.values():
        optimizer = export.keras_optimizer(spec.optimizer)
        assert type(optimizer).__name__.lower() == spec.optimizer.name
        config = optimizer.get_config()
        assert config["use_ema"] == (spec.optimizer.ema is not None)
        for key, value in vars(spec.optimizer).items():
            if key != "ema" or value is not None:
                # Keras keeps the learning rate in single precision, and no weight decay as None
                assert float(config[renamed.get(key, key)] or 0) == pytest.approx(float(value or 0)), (spec.optimizer, key)
