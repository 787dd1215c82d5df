"""Learning rates against Keras' schedules, step by step; warm-up and units; and the reference of ReduceLROnPlateau."""

from __future__ import annotations

import numpy as np
import pytest

from study.engine.backend import tf
from study.engine.schedules import learning_rates
from study.engine.state import Plateau
from study.errors import BadInput
from study.settings import schedule as kinds
from study.settings.schedule import (
    ConstantRate,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    Piecewise,
    Polynomial,
    ReduceOnPlateau,
    Step,
)
from tests.keras_reference import keras_factors

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras

made = keras.optimizers.schedules
INITIAL, EPOCHS, STEPS = 0.3, 12, 10
RATE = np.float64(INITIAL)  # Keras computes in its type

# durations are 2.5 epochs, which are 25 steps, or null, which is all 120
CASES = {
    "constant": (ConstantRate(), lambda step: RATE),
    "exponential": (Exponential(), made.ExponentialDecay(RATE, 120, 0.1)),
    "exponential set": (Exponential(0.7, 2.5), made.ExponentialDecay(RATE, 25, 0.7)),
    "exponential growth": (Exponential(2.0, 2.5), made.ExponentialDecay(RATE, 25, 2.0)),
    "exponential staircase": (Exponential(0.7, 2.5, True), made.ExponentialDecay(RATE, 25, 0.7, True)),
    "inverse_time": (InverseTime(), made.InverseTimeDecay(RATE, 10, 1.0)),
    "inverse_time null": (InverseTime(3.0, None), made.InverseTimeDecay(RATE, 120, 3.0)),
    "inverse_time staircase": (InverseTime(0.7, 2.5, True), made.InverseTimeDecay(RATE, 25, 0.7, True)),
    "polynomial": (Polynomial(), made.PolynomialDecay(RATE, 120)),
    "polynomial set": (Polynomial(0.02, 2.0, 2.5), made.PolynomialDecay(RATE, 25, 0.02, 2.0)),
    "polynomial cycle": (Polynomial(0.02, 0.5, 2.5, True), made.PolynomialDecay(RATE, 25, 0.02, 0.5, True)),
    "piecewise": (Piecewise(), made.PiecewiseConstantDecay([60, 90], [RATE, RATE * 0.1, RATE * 0.01])),
    "piecewise set": (Piecewise((0.29,), (3.0,)), made.PiecewiseConstantDecay([35], [RATE, RATE * 3])),
    "step": (Step(), made.ExponentialDecay(RATE, 100, 0.1, True)),
    "step set": (Step(0.5, 2.5), made.ExponentialDecay(RATE, 25, 0.5, True)),
    "cosine": (Cosine(), made.CosineDecay(RATE, 120)),
    "cosine set": (Cosine(0.1, 2.5), made.CosineDecay(RATE, 25, 0.1)),
    "cosine_restarts": (CosineRestarts(), made.CosineDecayRestarts(RATE, 100)),
    "cosine_restarts null": (CosineRestarts(None), made.CosineDecayRestarts(RATE, 120)),
    "cosine_restarts set": (CosineRestarts(1.0, 1.5, 0.7, 0.1), made.CosineDecayRestarts(RATE, 10, 1.5, 0.7, 0.1)),
    "cosine_restarts of one length": (CosineRestarts(2.5, 1.0, 0.5), made.CosineDecayRestarts(RATE, 25, 1.0, 0.5)),
    "reduce_on_plateau": (ReduceOnPlateau(), lambda step: RATE),
}


def test_every_registered_schedule_has_a_case():
    assert {schedule.name for schedule, _ in CASES.values()} == set(kinds.KINDS)


@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_keras_at_every_step(name):
    schedule, keras_schedule = CASES[name]
    rates = learning_rates(schedule, INITIAL, EPOCHS, STEPS)
    assert rates.shape == (EPOCHS * STEPS,) and rates.dtype == np.float32
    expected = [float(keras_schedule(np.int64(step))) for step in range(EPOCHS * STEPS)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_a_warm_up_rises_step_by_step_and_the_schedule_runs_on_what_remains(name):
    schedule, _ = CASES[name]
    warmed = type(schedule)(**(vars(schedule) | {"warmup": 2.0}))
    rates = learning_rates(warmed, INITIAL, EPOCHS, STEPS)
    np.testing.assert_allclose(rates[:20], INITIAL * np.arange(1, 21) / 20, rtol=1e-6)
    np.testing.assert_array_equal(rates[20:], learning_rates(schedule, INITIAL, EPOCHS - 2, STEPS))


def test_a_warm_up_may_fill_the_training_and_be_a_part_of_an_epoch():
    assert learning_rates(Cosine(warmup=9.0), 1.0, 1, 2).tolist() == pytest.approx([1 / 2, 1])
    assert learning_rates(ConstantRate(warmup=0.5), 1.0, 1, 4).tolist() == [0.5, 1, 1, 1]


def test_a_duration_is_at_least_one_step():
    assert learning_rates(Step(0.5, 1e-9), 1.0, 1, 4).tolist() == [1, 0.5, 0.25, 0.125]
    assert learning_rates(Cosine(0.0, 1e-9), 1.0, 1, 3).tolist() == [1, 0, 0]


def test_restarts_come_at_the_very_step():
    # log(243) / log(3) rounds to less than 5
    rates = learning_rates(CosineRestarts(1.0, 3.0), 1.0, 200, 1)
    assert np.flatnonzero(rates == 1).tolist() == [0, 1, 4, 13, 40, 121]


def test_a_rate_beyond_single_precision_is_infinite():
    assert learning_rates(Exponential(1e6, 1.0), 1.0, 100, 1)[-1] == np.inf


@pytest.mark.parametrize(
    ("boundaries", "factors", "keys"),
    [
        ((0.75, 0.5), (0.1, 0.01), ["boundaries"]),
        ((0.5, 0.5), (0.1, 0.01), ["boundaries"]),
        ((0.5,), (0.1, 0.01), ["factors"]),
        ((0.75, 0.5), (0.1,), ["boundaries", "factors"]),
        ((1.0,), (0.1,), ["boundaries"]),
    ],
)
def test_stages_that_do_not_fit_are_refused(boundaries, factors, keys):
    with pytest.raises(BadInput) as bad:
        Piecewise(boundaries, factors)
    assert [fault.key for fault in bad.value.faults] == keys


def engine_factors(losses, schedule, initial):
    """The factor of the rate during each epoch, [R, epochs], by the engine's rule."""
    settings = {
        "plateau_factor": tf.constant(schedule.factor),
        "plateau_min_delta": tf.constant(schedule.min_delta),
        "lowest_factor": tf.constant(schedule.min_learning_rate / initial),
    }
    plateau, factors = Plateau.start(len(losses)), []
    for loss in losses.T.astype(np.float32):
        factors.append(plateau.factor.numpy())
        plateau = plateau.after_epoch(tf.constant(loss), settings, schedule.patience, schedule.cooldown)
    return np.stack(factors, axis=1)


@pytest.mark.parametrize(
    "schedule",
    [
        ReduceOnPlateau(),
        ReduceOnPlateau(0.5, patience=1),
        ReduceOnPlateau(0.5, patience=2, min_delta=0.05),
        ReduceOnPlateau(0.5, patience=2, cooldown=1),
        ReduceOnPlateau(0.5, patience=3, cooldown=4, min_delta=0.1),
        ReduceOnPlateau(0.5, patience=1, min_learning_rate=0.07),
        ReduceOnPlateau(0.5, patience=1, min_learning_rate=0.7),
        ReduceOnPlateau(0.0, patience=4),
    ],
    ids=str,
)
def test_the_engines_rule_is_keras_reduce_on_plateau(schedule):
    rng = np.random.default_rng(2)
    losses = np.exp(-np.linspace(0, 2, 40)) + 0.1 * rng.normal(size=(6, 40))
    losses[3] = 1  # nothing ever falls
    losses[4] = np.linspace(1, 0, 40)
    losses[5, 7:] = np.nan
    factors = engine_factors(losses, schedule, INITIAL)
    assert factors.shape == losses.shape
    np.testing.assert_allclose(factors, [keras_factors(row, schedule, INITIAL) for row in losses], rtol=1e-5)


def test_a_plateau_that_can_be_counted_on_the_fingers():
    losses = np.array([[5, 4, 4, 4, 3, 3, 3, 3, 3.0]])
    schedule = ReduceOnPlateau(0.5, patience=2, cooldown=1, min_delta=0)
    # two epochs without a fall end with epoch 4, and with 7; then one epoch doesn't count
    assert engine_factors(losses, schedule, 1.0).tolist() == [[1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]]
