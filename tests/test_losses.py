"""Losses against Keras' own, in values and gradients; their NumPy counterparts; the best constant; metrics against scikit-learn."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as reference

from study.analysis import forward, metrics
from study.engine import losses
from study.errors import Fault
from study.settings import loss as kinds
from study.settings.data import REGRESSION
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

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras
import tensorflow as tf

PRECISIONS = {"float32": 2e-5, "float64": 1e-12}


def categorical(smoothing):
    def loss(y, outputs):
        targets = tf.one_hot(y, outputs.shape[-1], dtype=outputs.dtype)
        return keras.losses.categorical_crossentropy(targets, outputs, True, smoothing)

    return loss


def binary(smoothing):
    return lambda y, outputs: keras.losses.binary_crossentropy(y[:, None], outputs, True, smoothing)


# Keras' losses of one network's rows, [n]: targets [n, units] or class numbers [n], outputs [n, units]
CASES = {
    "mse": (MeanSquaredError(), keras.losses.mean_squared_error),
    "mae": (MeanAbsoluteError(), keras.losses.mean_absolute_error),
    "huber": (Huber(), keras.losses.huber),
    "huber delta": (Huber(0.3), partial(keras.losses.huber, delta=0.3)),
    "log_cosh": (LogCosh(), keras.losses.log_cosh),
    "mape": (MeanAbsolutePercentageError(), keras.losses.mean_absolute_percentage_error),
    "sparse": (SparseCategoricalCrossentropy(), partial(keras.losses.sparse_categorical_crossentropy, from_logits=True)),
    # Keras has no smoothing here; from one-hot targets it is the same loss
    "sparse smoothed": (SparseCategoricalCrossentropy(0.2), categorical(0.2)),
    "categorical": (CategoricalCrossentropy(), categorical(0.0)),
    "categorical smoothed": (CategoricalCrossentropy(0.2), categorical(0.2)),
    "binary": (BinaryCrossentropy(), binary(0.0)),
    "binary smoothed": (BinaryCrossentropy(0.2), binary(0.2)),
}


def sample(loss, dtype="float64", replicates=3, n=40, units=2):
    """Targets [R, n, units] or class numbers [R, n], and outputs [R, n, units]; some errors are large, one target is zero."""
    rng = np.random.default_rng(0)
    if loss.task == REGRESSION:
        y = rng.normal(size=(replicates, n, units)).astype(dtype)
        y[0, 0, 0] = 0
        return y, (y + rng.standard_t(2, size=y.shape)).astype(dtype)
    classes = kinds.outputs(loss, 2) if isinstance(loss, BinaryCrossentropy) else 4
    y = rng.integers(0, max(classes, 2), size=(replicates, n)).astype(np.int32)
    return y, (4 * rng.normal(size=(replicates, n, classes))).astype(dtype)


def tensors(loss):
    return {name: tf.constant(value, tf.float64) for name, value in losses.settings_of(loss).items()}


def test_every_registered_loss_has_a_case():
    names = {loss.name for loss, _ in CASES.values()}
    assert names == set(kinds.KINDS) - {"auto"} == set(losses.LOSSES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_values_and_gradients_are_those_of_keras(name, dtype, jit):
    loss, keras_loss = CASES[name]
    y, outputs = map(tf.constant, sample(loss, dtype))

    @tf.function(jit_compile=jit)
    def mine(settings):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            values = losses.mean_loss(loss.name)(y, outputs, settings)
        return values, tape.gradient(values, outputs)

    expected, gradients = [], []
    for targets, predicted in zip(y, outputs, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(predicted)
            value = tf.reduce_mean(keras_loss(targets, predicted))
        expected.append(value.numpy())
        gradients.append(tape.gradient(value, predicted).numpy())

    values, gradient = mine(tensors(loss))
    assert values.dtype.name == dtype and values.shape == (3,)
    # Keras' log 2 is rounded to single precision even where all else is double
    np.testing.assert_allclose(values, expected, rtol=PRECISIONS[dtype], atol=2e-9 if name == "log_cosh" else 0)
    np.testing.assert_allclose(gradient, gradients, rtol=PRECISIONS[dtype], atol=PRECISIONS[dtype] * 1e-2)


@pytest.mark.parametrize("name", CASES)
def test_numpy_gives_the_same_losses_as_the_engine(name):
    loss, _ = CASES[name]
    y, outputs = sample(loss)
    expected = losses.mean_loss(loss.name)(tf.constant(y), tf.constant(outputs), tensors(loss))
    for replicate, targets in enumerate(y):
        found = forward.losses(outputs, targets, loss)
        assert found.shape == (3,) and found.dtype == np.float64
        assert found[replicate] == pytest.approx(float(expected[replicate]), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_many_outputs_are_taken_in_parts_with_the_same_bits(name, monkeypatch):
    loss, _ = CASES[name]
    y, outputs = sample(loss)
    whole = forward.row_losses(outputs, y[0], loss)
    monkeypatch.setattr(forward, "MOST_AT_ONCE", outputs.size // 10)
    assert forward.row_losses(outputs, y[0], loss).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_the_mean_of_the_rows_losses_is_the_loss(name):
    loss, _ = CASES[name]
    y, outputs = map(tf.constant, sample(loss))
    rows = losses.LOSSES[loss.name](y, outputs, tensors(loss))
    assert rows.shape == (3, 40)
    np.testing.assert_allclose(tf.reduce_mean(rows, axis=1), losses.mean_loss(loss.name)(y, outputs, tensors(loss)), rtol=1e-14)


def test_without_a_loss_numpy_takes_the_one_of_auto():
    for loss in (MeanSquaredError(), SparseCategoricalCrossentropy()):
        y, outputs = sample(loss)
        assert forward.losses(outputs, y[0]).tolist() == forward.losses(outputs, y[0], loss).tolist()


def test_another_value_of_a_setting_compiles_nothing_anew():
    y, outputs = map(tf.constant, sample(Huber()))
    compiled = tf.function(losses.mean_loss("huber"), jit_compile=True)
    found = [compiled(y, outputs, tensors(Huber(delta))).numpy() for delta in (0.5, 1.0)]
    assert (found[0] < found[1]).all()
    assert compiled.experimental_get_tracing_count() == 1


def test_the_settings_of_a_loss_are_inputs_and_no_smoothing_is_none():
    assert losses.settings_of(Huber(0.5)) == {"loss_delta": 0.5}
    assert losses.settings_of(BinaryCrossentropy(0.1)) == {"loss_label_smoothing": 0.1}
    assert losses.settings_of(BinaryCrossentropy(0.0)) == losses.settings_of(MeanSquaredError()) == {}


@pytest.mark.parametrize("loss", [SparseCategoricalCrossentropy(), CategoricalCrossentropy(), BinaryCrossentropy()])
def test_large_logits_are_no_trouble(loss):
    right, wrong = ([[1e4]], [[-1e4]]) if isinstance(loss, BinaryCrossentropy) else ([[-5e3, 5e3]], [[5e3, -5e3]])
    outputs, y = np.array([right, wrong], np.float32), np.array([1], np.int32)
    assert forward.losses(outputs, y, loss).tolist() == [0, 1e4]
    engine = losses.mean_loss(loss.name)(tf.constant([[1], [1]]), tf.constant(outputs), tensors(loss))
    assert engine.numpy().tolist() == [0, 1e4]


def test_binary_crossentropy_has_one_output_and_is_for_two_classes():
    assert kinds.outputs(BinaryCrossentropy(), 2) == 1
    assert kinds.outputs(SparseCategoricalCrossentropy(), 2) == 2
    assert kinds.outputs(Huber(), 3) == 3
    assert kinds.unsuitable(BinaryCrossentropy(), 2) is None
    assert kinds.unsuitable(SparseCategoricalCrossentropy(), 10) is None
    fault = kinds.unsuitable(BinaryCrossentropy(), 10)
    assert isinstance(fault, Fault) and fault.key == "loss" and "10 classes" in fault.valid


def test_binary_crossentropy_is_the_categorical_one_of_the_logits_difference():
    y, logits = sample(BinaryCrossentropy())
    pair = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    for smoothing in (0.0, 0.3):
        single = forward.losses(logits, y[0], BinaryCrossentropy(smoothing))
        np.testing.assert_allclose(single, forward.losses(pair, y[0], CategoricalCrossentropy(smoothing)), rtol=1e-12)


# -- the best constant -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [loss for loss, _ in CASES.values() if loss.task == REGRESSION])
def test_no_constant_is_better_than_the_trivial_loss(loss):
    rng = np.random.default_rng(1)
    y = np.stack([rng.normal(size=51), rng.exponential(size=51)], axis=1).astype(np.float32)
    # of two columns the loss is the mean, so the best constants are found apart
    grid = np.linspace(-3, 6, 9_001)
    constants = [np.unique(np.concatenate([grid, column.astype(np.float64)])) for column in y.T]
    brute = [
        forward.losses(np.broadcast_to(values[:, None, None], (len(values), 51, 1)), column[:, None], loss).min()
        for values, column in zip(constants, y.T, strict=True)
    ]
    assert forward.trivial_loss(loss, y) <= np.mean(brute) + 1e-12
    assert forward.trivial_loss(loss, y) == pytest.approx(np.mean(brute), rel=1e-5)


@pytest.mark.parametrize("loss", [loss for loss, _ in CASES.values() if loss.task == REGRESSION])
def test_a_constant_target_is_predicted_without_loss(loss):
    assert forward.trivial_loss(loss, np.full((5, 1), 2.5, np.float32)) == pytest.approx(0, abs=1e-12)
    assert forward.trivial_loss(loss, np.zeros((5, 1), np.float32)) == pytest.approx(0, abs=1e-12)


def test_trivial_losses_that_can_be_checked_in_the_head():
    y = np.array([[0], [0], [4]], np.float32)
    assert forward.trivial_loss(MeanSquaredError(), y) == pytest.approx(32 / 9)
    assert forward.trivial_loss(MeanAbsoluteError(), y) == pytest.approx(4 / 3)
    # the constant 0: exact for the zeros, and 100 % off for the 4
    assert forward.trivial_loss(MeanAbsolutePercentageError(), y) == pytest.approx(100 / 3)
    # the constant c has two losses of c² / 2 and one of (4 − c) / 2 − 1 / 8, least together at c = 0.25
    assert forward.trivial_loss(Huber(0.5), y) == pytest.approx((0.25**2 + 0.5 * 3.75 - 0.125) / 3)
    labels = np.array([0, 1, 1, 1], np.int32)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    for loss in (SparseCategoricalCrossentropy(), CategoricalCrossentropy(), BinaryCrossentropy()):
        assert forward.trivial_loss(loss, labels) == pytest.approx(entropy)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_no_constant_logits_are_better_than_the_trivial_loss(smoothing, classes):
    y = np.array([0, 1, 1, 0, 1, 1, 1], np.int32)  # without a third class
    logits = np.array(list(itertools.product([0.0], *[np.linspace(-8, 8, 161)] * (classes - 1))))
    outputs = np.broadcast_to(logits[:, None, :], (len(logits), len(y), classes))
    for kind in (SparseCategoricalCrossentropy, CategoricalCrossentropy):
        brute = forward.losses(outputs, y, kind(smoothing)).min()
        assert forward.trivial_loss(kind(smoothing), y, classes) == pytest.approx(brute, rel=1e-3)
        assert forward.trivial_loss(kind(smoothing), y, classes) <= brute + 1e-12
    if classes == 2:
        brute = forward.losses(outputs[..., 1:], y, BinaryCrossentropy(smoothing)).min()
        assert forward.trivial_loss(BinaryCrossentropy(smoothing), y) == pytest.approx(brute, rel=1e-3)


# -- metrics -----------------------------------------------------------------------------------------------------------------


def test_regression_metrics_are_those_of_scikit_learn():
    y, outputs = sample(MeanSquaredError())
    targets = y[0]
    targets[:, 1] = 2.0
    outputs[1, :, 1] = 2.0  # a constant column, predicted exactly by one replicate
    assert metrics.r2(outputs, targets) == pytest.approx([reference.r2_score(targets, each) for each in outputs])
    assert metrics.mae(outputs, targets) == pytest.approx([reference.mean_absolute_error(targets, each) for each in outputs])


def test_classification_metrics_of_many_classes_are_those_of_scikit_learn():
    y, outputs = sample(SparseCategoricalCrossentropy())
    outputs[:, 20:] = outputs[:, :20]  # ties
    probabilities = special.softmax(outputs, axis=-1)
    expected = [reference.roc_auc_score(y[0], each, multi_class="ovr") for each in probabilities]
    assert metrics.auc(outputs, y[0]) == pytest.approx(expected)
    assert metrics.accuracy(outputs, y[0]) == pytest.approx([np.mean(each.argmax(-1) == y[0]) for each in outputs])


def test_classification_metrics_of_two_classes_are_those_of_scikit_learn():
    y, logits = sample(BinaryCrossentropy())
    logits = np.round(logits)
    pair = np.concatenate([np.ones_like(logits), 1 + logits], axis=-1)
    area = [reference.roc_auc_score(y[0], each[:, 0]) for each in logits]
    share = [reference.accuracy_score(y[0], each[:, 0] > 0) for each in logits]
    for outputs in (logits, pair):
        assert metrics.auc(outputs, y[0]) == pytest.approx(area)
        assert metrics.accuracy(outputs, y[0]) == pytest.approx(share)


def test_an_area_that_can_be_checked_in_the_head():
    # of the four pairs of a row of class 1 and one of class 0, three are in order and one is tied
    outputs = np.array([[[0.0], [1.0], [1.0], [2.0]]])
    assert metrics.auc(outputs, np.array([0, 0, 1, 1])).tolist() == [3.5 / 4]


def test_a_saturated_network_keeps_its_ranks():
    outputs = np.array([[[0.0, 900.0, 0.0], [0.0, 800.0, 0.0], [0.0, 0.0, 1.0]]])
    # in double precision the first two rows' probabilities are 0, 1 and 0 alike
    assert metrics.auc(outputs, np.array([1, 0, 2])).tolist() == [(0.5 + 1 + 1) / 3]


def test_a_class_without_rows_is_left_out():
    outputs = np.random.default_rng(0).normal(size=(2, 9, 3))
    y = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1])
    probabilities = special.softmax(outputs, axis=-1)
    expected = [np.mean([reference.roc_auc_score(y == each, p[:, each]) for each in (0, 1)]) for p in probabilities]
    assert metrics.auc(outputs, y) == pytest.approx(expected)
    assert np.isnan(metrics.auc(outputs, np.zeros(9, np.int32))).all()


class Counting(np.ndarray):
    """An array that counts the numbers which NumPy's functions take from it and from what is computed from it."""

    taken = 0

    def __array_ufunc__(self, function, method, *inputs, **options):
        Counting.taken += sum(np.size(values) for values in inputs)
        return np.asarray(getattr(function, method)(*map(np.asarray, inputs), **options)).view(Counting)

    def __array_function__(self, function, types, inputs, options):
        Counting.taken += sum(values.size for values in inputs if isinstance(values, Counting))
        return super().__array_function__(function, types, inputs, options)


def test_the_work_for_an_area_grows_with_the_number_of_classes_and_not_with_its_square():
    def taken(classes):
        outputs = np.random.default_rng(0).normal(size=(1, 40, classes))
        Counting.taken = 0
        assert np.isfinite(metrics.auc(outputs.view(Counting), np.arange(40) % 20)).all()
        return Counting.taken

    assert taken(160) / taken(40) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("metric", [metrics.r2, metrics.mae, metrics.accuracy, metrics.auc])
def test_a_network_whose_outputs_are_no_numbers_has_no_metric(metric):
    loss = MeanSquaredError() if metric in (metrics.r2, metrics.mae) else SparseCategoricalCrossentropy()
    y, outputs = sample(loss)
    outputs[1, 5, 0] = np.nan
    assert np.isnan(metric(outputs, y[0])).tolist() == [False, True, False]
