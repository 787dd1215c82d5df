"""A trained replicate as a real Keras model."""

from __future__ import annotations

import keras

from study.records import Cohort
from study.settings.data import CLASSIFICATION
from study.settings.optimizer import SGD, Adam, Optimizer, RMSprop
from study.spec import TrialSpec


def keras_optimizer(optimizer: Optimizer) -> keras.optimizers.Optimizer:
    """The Keras optimizer with the same settings."""
    decay = optimizer.weight_decay or None
    match optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            return keras.optimizers.SGD(optimizer.learning_rate, momentum, nesterov, weight_decay=decay)
        case Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon):
            return keras.optimizers.Adam(optimizer.learning_rate, beta_1, beta_2, epsilon, weight_decay=decay)
        case RMSprop(rho=rho, momentum=momentum, epsilon=epsilon):
            return keras.optimizers.RMSprop(optimizer.learning_rate, rho, momentum, epsilon, weight_decay=decay)
    raise NotImplementedError(optimizer)


def untrained(spec: TrialSpec, inputs: int, outputs: int) -> keras.Sequential:
    """The trial's architecture, compiled with its loss and optimizer; the weights are Keras' own random start."""
    layers = [keras.layers.Dense(units, activation=spec.model.activation) for units in spec.model.units]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(outputs)])
    if spec.data.task == CLASSIFICATION:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        loss = keras.losses.MeanSquaredError()
    model.compile(keras_optimizer(spec.optimizer), loss)
    return model


def keras_model(cohort: Cohort, replicate: int) -> keras.Sequential:
    """Replicate `replicate` as a `keras.Sequential` that predicts what the cohort holds: logits for classification.

    It takes inputs as the networks saw them, after normalisation (`load_data`).
    """
    net = cohort.networks()[replicate]
    model = untrained(cohort.spec, net.kernels[0].shape[0], net.kernels[-1].shape[1])
    model.set_weights([array for pair in zip(net.kernels, net.biases, strict=True) for array in pair])
    return model
