"""What watches and disturbs a training: averages, dropout, clipping, stopping, plateaus, and each replicate's own sources."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import study
from study.analysis import convergence, forward
from study.clock import Clock
from study.data import batches, dataset
from study.engine import export, model, schedules
from study.engine.training import CohortTraining
from study.records.network import Network
from study.settings.data import BreastCancer, Diabetes
from study.settings.loss import BinaryCrossentropy, Huber
from study.settings.model import Model
from study.settings.optimizer import SGD, Adam
from study.settings.schedule import Cosine, ReduceOnPlateau
from study.settings.spec import TrialSpec
from study.settings.training import Replicates, Training
from tests.keras_reference import keras_factors

# study.cohort sets TensorFlow's switches, so it must come first
# isort: split
import keras
import tensorflow as tf


def small(**sections):
    common = {"model": Model((8,)), "training": Training(12, batch_size=64, leg_epochs=5), "replicates": Replicates(3)}
    return TrialSpec(**(common | sections))


def bits(*arrays):
    return [array.tobytes() for array in arrays]


# Averages of weights


@pytest.mark.long
def test_averaged_weights_are_those_of_keras_and_are_validated():
    spec = small(optimizer=Adam(1e-2, ema=0.9))
    trained, data, orders = study.train(spec), study.load_data(spec), study.batch_orders(spec)
    for replicate in range(3):
        reference = export.untrained(spec, data.x_train.shape[1], data.outputs)
        reference.set_weights([array[replicate] for array in trained.initial.parameters.values()])
        for rows in orders[replicate].reshape(-1, 64):
            reference.train_step((tf.gather(data.x_train, rows), tf.gather(data.y_train, rows)))
        reference.optimizer.finalize_variable_values(reference.trainable_variables)
        expected = reference.get_weights()
        for found, kernel, bias in zip(trained.networks()[replicate].kernels, expected[::2], expected[1::2], strict=True):
            np.testing.assert_allclose(found, kernel, rtol=1e-4, atol=1e-6)
            assert bias.shape == (found.shape[1],)
        loss = reference.evaluate(data.x_val, data.y_val, verbose=0)
        assert trained.val_loss[replicate, -1] == pytest.approx(loss, rel=1e-4)


# Normalisation


def test_batch_normalisation_keeps_the_best_statistics_and_averages_only_what_is_trained():
    spec = small(
        optimizer=Adam(3e-2, ema=0.5),
        model=Model((16, 8), normalisation="batch", norm_momentum=0.5, dropout=0.2),
        training=Training(epochs=30, batch_size=64, patience=2, leg_epochs=4),
    )
    trained, data = study.train(spec), study.load_data(spec)
    assert (trained.epoch < trained.trained).all()
    outputs = forward.layer_outputs(trained.network, data.x_val, spec.model)[-1]
    np.testing.assert_allclose(outputs, trained.predictions, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forward.losses(outputs, data.y_val), trained.final(trained.val_loss), rtol=1e-4)
    assert np.ptp(trained.network.parameters["variance_0"]) > 0 and (trained.initial.parameters["variance_0"] == 1).all()


@pytest.mark.parametrize("normalisation", ["batch", pytest.param("layer", marks=pytest.mark.long)])
def test_a_normalised_cohort_can_start_where_another_ended(normalisation):
    spec = small(model=Model((16, 8), normalisation=normalisation))
    start = study.train(spec).networks()
    again = CohortTraining(spec, dataset.load_replicates(spec), Clock(), start)
    for replicate, net in enumerate(start):
        assert all(np.array_equal(again.initial.parameters[name][replicate], value) for name, value in net.parameters.items())


# Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_expectation(rate):
    [first, second] = model.dropout_masks((200, 300), 400, tf.constant(rate), tf.constant([5, 6]), tf.constant(0))
    for mask in (first.numpy(), second.numpy()):
        kept = mask > 0
        np.testing.assert_allclose(mask[kept], 1 / (1 - rate), rtol=1e-6)
        # 160,000 draws or more: five standard errors
        assert kept.mean() == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / mask.size))
    assert not np.array_equal(first[0], first[1])


def test_a_mask_depends_on_the_seed_and_the_step_alone():
    def draw(replicate_seeds, step):
        return model.dropout_masks((7,), 5, tf.constant(0.5), tf.constant(replicate_seeds), tf.constant(step))[0].numpy()

    assert bits(draw([3, 4], 9)[1]) == bits(draw([4, 8], 9)[0])
    assert bits(draw([3, 4], 9)) != bits(draw([3, 4], 10))


def test_dropout_varies_between_replicates_only_where_it_is_named():
    spec = small(model=Model((16,), dropout=0.3))
    for vary, distinct in (((), 1), (("dropout",), 3)):
        trained = study.train(dataclasses.replace(spec, replicates=Replicates(3, vary=vary)))
        assert len({study.fingerprint(trained, replicate) for replicate in range(3)}) == distinct
    alone = study.train(dataclasses.replace(spec, replicates=Replicates(1, vary=("dropout",), first=2)))
    assert study.fingerprint(alone, 0) == study.fingerprint(trained, 2)
    # nothing is dropped in validation: the network's own loss is what is reported
    data = study.load_data(spec)
    outputs = forward.layer_outputs(trained.network, data.x_val, trained.spec.model)[-1]
    np.testing.assert_allclose(forward.losses(outputs, data.y_val, spec.loss), trained.val_loss[:, -1], rtol=1e-5)


# Clipping


def test_one_replicates_norm_never_leaks_into_another():
    spec = small(optimizer=SGD(0.2, clip_norm=0.3))
    together = study.train(spec)
    for number in range(3):
        alone = study.train(dataclasses.replace(spec, replicates=Replicates(1, first=number)))
        assert study.fingerprint(alone, 0) == study.fingerprint(together, number)


# Stopping early


def keras_stop(curve, patience, min_delta):
    """The epochs that Keras' own callback trains on this validation loss, and the best one, from 1."""
    callback = keras.callbacks.EarlyStopping("val_loss", min_delta, patience, restore_best_weights=True)
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(curve):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if callback.model.stop_training:
            break
    return epoch + 1, callback.best_epoch + 1


@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), pytest.param(3, 0.0, marks=pytest.mark.long), (3, 0.01)])
def test_each_replicate_stops_as_keras_would_and_keeps_its_best_weights(patience, min_delta):
    spec = small(optimizer=Adam(0.05), training=Training(40, patience=patience, min_delta=min_delta, leg_epochs=7))
    whole = study.train(dataclasses.replace(spec, training=Training(40, leg_epochs=7)))
    trained, data = study.train(spec), study.load_data(spec)
    expected = [keras_stop(curve, patience, min_delta) for curve in whole.val_loss]
    assert list(zip(trained.trained, trained.epoch, strict=True)) == expected
    assert len(set(trained.trained)) > 1, "the case doesn't show that replicates stop apart"
    for curve, reference, count in zip(trained.val_loss, whole.val_loss, trained.trained, strict=True):
        np.testing.assert_allclose(curve[:count], reference[:count], rtol=1e-3)
        assert np.isnan(curve[count:]).all()
    outputs = forward.layer_outputs(trained.network, data.x_val, trained.spec.model)[-1]
    np.testing.assert_allclose(outputs, trained.predictions, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forward.losses(outputs, data.y_val, spec.loss), trained.final(trained.val_loss), rtol=1e-4)


@pytest.mark.long
def test_stopping_never_depends_on_the_neighbours_or_the_legs():
    spec = small(optimizer=Adam(0.05), training=Training(40, patience=2, leg_epochs=7))
    together = study.train(spec)
    for number in range(3):
        for leg_epochs in (7, 40):
            training = dataclasses.replace(spec.training, leg_epochs=leg_epochs)
            alone = study.train(dataclasses.replace(spec, training=training, replicates=Replicates(1, first=number)))
            assert study.fingerprint(alone, 0) == study.fingerprint(together, number)


def test_training_until_a_plateau_stops_those_that_have_reached_one():
    spec = small(data=Diabetes(), optimizer=SGD(0.1), training=Training(600, batch_size=None, until="plateaued"))
    trained, data = study.train(spec), study.load_data(spec)
    trivial = forward.trivial_loss(spec.loss, data.y_train)
    for curve, count, label in zip(trained.train_loss, trained.trained, trained.labels, strict=True):
        assert count % spec.training.leg_epochs == 0 and np.isnan(curve[count:]).all()
        stopped = count < spec.training.epochs
        assert convergence.has_plateaued(curve[:count], trivial) or not stopped
        assert label == "plateaued" or not stopped
        # at the end of two legs in a row, and not of the two before
        assert convergence.has_plateaued(curve[: count - 20], trivial) or not stopped
        assert not all(convergence.has_plateaued(curve[: count - back], trivial) for back in (20, 40))


# Learning rates


def test_a_schedule_reaches_every_step():
    spec = small(optimizer=SGD(0.1), schedule=Cosine(warmup=2.0))
    trained, steps = study.train(spec), batches.steps_per_epoch(len(study.load_data(spec).x_train), 64)
    expected = schedules.learning_rates(spec.schedule, 0.1, 12, steps)
    assert bits(*trained.learning_rate) == 3 * bits(expected[steps - 1 :: steps])
    assert study.fingerprint(trained, 0) != study.fingerprint(study.train(small(optimizer=SGD(0.1))), 0)


@pytest.mark.parametrize("cooldown", [pytest.param(0, marks=pytest.mark.long), 3])
def test_each_replicates_rate_is_reduced_on_its_own_plateau(cooldown):
    schedule = ReduceOnPlateau(factor=0.3, patience=1, min_delta=0.01, cooldown=cooldown, min_learning_rate=1e-3)
    spec = small(optimizer=SGD(0.05), schedule=schedule, training=Training(30, batch_size=64, leg_epochs=7))
    trained = study.train(spec)
    expected = 0.05 * np.stack([keras_factors(losses, schedule, 0.05) for losses in trained.val_loss])
    np.testing.assert_allclose(trained.learning_rate, expected, rtol=1e-5)
    assert len({tuple(rates) for rates in trained.learning_rate}) > 1, "the case doesn't show that replicates differ"


# Sources


def test_one_unit_in_the_last_place_moves_one_weight_of_all_but_replicate_0():
    spec = small(replicates=Replicates(4, vary=("ulp",)), optimizer=SGD(0.05))
    trained = study.train(spec)
    flat = np.concatenate([array.reshape(4, -1) for array in trained.initial_kernels], axis=1)
    moved = flat != flat[0]
    assert moved.sum(axis=1).tolist() == [0, 1, 1, 1]
    steps = flat.view(np.int32).astype(np.int64) - flat[0].view(np.int32)
    assert set(np.abs(steps[moved])) == {1}


@pytest.mark.parametrize("resample", ["split", *(pytest.param(way, marks=pytest.mark.long) for way in ("kfold", "bootstrap"))])
def test_replicates_with_data_of_their_own_train_as_if_alone(resample):
    spec = small(data=Diabetes(resample=resample), replicates=Replicates(3, vary=("data",)))
    together = study.train(spec)
    assert len({study.fingerprint(together, replicate) for replicate in range(3)}) == 3
    for number in range(3):
        data = dataset.load_replicate(spec, number)
        net = together.networks()[number]
        outputs = forward.layer_outputs(Network.stack([net]), data.x_val, spec.model)[-1]
        assert forward.losses(outputs, data.y_val)[0] == pytest.approx(together.val_loss[number, -1], rel=1e-5)
    alone = study.train(dataclasses.replace(spec, replicates=Replicates(1, vary=("data",), first=1)))
    assert study.fingerprint(alone, 0) == study.fingerprint(together, 1)


def test_noise_varies_between_replicates_where_it_is_named():
    spec = small(data=Diabetes(target_noise=0.2), replicates=Replicates(2, vary=("noise",)))
    first, second = dataset.load_replicates(spec)
    assert bits(first.x_train) == bits(second.x_train) and bits(first.y_train) != bits(second.y_train)
    assert study.train(spec).val_loss[0, -1] != study.train(spec).val_loss[1, -1]


# Losses


def test_binary_crossentropy_has_one_logit_and_needs_two_classes():
    trained = study.train(small(data=BreastCancer(), loss=BinaryCrossentropy()))
    assert trained.kernels[-1].shape == (3, 8, 1) and trained.predictions.shape[2] == 1
    spec = study.compose(["data=digits", "loss=binary_crossentropy"])
    with pytest.raises(study.BadInput, match="10 classes"):
        study.train(spec)


def test_labels_are_judged_by_the_trivial_predictor_of_the_trials_own_loss():
    # with this loss everybody is far below 1, which is the trivial predictor's mean squared error
    trained = study.train(small(loss=Huber(0.1), optimizer=SGD(1e-9), training=Training(30)))
    assert trained.train_loss.max() < 0.3 and "stuck" in trained.labels
