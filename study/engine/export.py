"""Export trained replicates as real Keras models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.data import fourier, shapes
from study.data.encoding import AMOUNT, CODE
from study.data.scaling import ColumnScale, Scaling, amounts
from study.data.shapes import Shape
from study.engine.backend import keras
from study.errors import Corrupt
from study.records.arrays import Doubles
from study.records.champion import MEMBERS
from study.records.cohort import Cohort
from study.records.network import STATISTICS, Network
from study.settings import optimizer as optimizers
from study.settings.loss import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from study.settings.model import BATCH
from study.settings.optimizer import Optimizer
from study.settings.spec import TrialSpec

OPTIMIZERS: dict[type[Optimizer], type[keras.optimizers.Optimizer]] = {
    optimizers.SGD: keras.optimizers.SGD,
    optimizers.Adam: keras.optimizers.Adam,
    optimizers.AdamW: keras.optimizers.AdamW,
    optimizers.Adamax: keras.optimizers.Adamax,
    optimizers.Nadam: keras.optimizers.Nadam,
    optimizers.RMSprop: keras.optimizers.RMSprop,
    optimizers.Adagrad: keras.optimizers.Adagrad,
    optimizers.Adadelta: keras.optimizers.Adadelta,
    optimizers.Lion: keras.optimizers.Lion,
}


def keras_optimizer(optimizer: Optimizer) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer with the same settings."""
    settings = {field.name: getattr(optimizer, field.name) for field in dataclasses.fields(optimizer)}
    ema = settings.pop("ema")
    return OPTIMIZERS[type(optimizer)](
        **settings
        | {
            "weight_decay": settings["weight_decay"] or None,
            "clipvalue": settings.pop("clip_value"),
            "global_clipnorm": settings.pop("clip_norm"),
            "use_ema": ema is not None,
            "ema_momentum": 0.99 if ema is None else ema,
        }
    )


def keras_loss(loss: Loss, classes: int) -> keras.losses.Loss:
    """Return the Keras loss with the same settings, for the targets in `Dataset`. classes: the network's number of outputs."""
    match loss:
        case MeanSquaredError():
            return keras.losses.MeanSquaredError()
        case MeanAbsoluteError():
            return keras.losses.MeanAbsoluteError()
        case MeanAbsolutePercentageError():
            return keras.losses.MeanAbsolutePercentageError()
        case Huber(delta=delta):
            return keras.losses.Huber(delta)
        case LogCosh():
            return keras.losses.LogCosh()
        case BinaryCrossentropy(label_smoothing=smoothing):
            return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        case SparseCategoricalCrossentropy(label_smoothing=0.0):
            return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        case SparseCategoricalCrossentropy(label_smoothing=smoothing) | CategoricalCrossentropy(label_smoothing=smoothing):
            return SmoothedCrossentropy(classes, smoothing)
    raise NotImplementedError(loss)


@keras.saving.register_keras_serializable("mlp_study")
class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Keras' categorical cross-entropy of logits, but from class numbers: Keras needs one-hot targets to smooth labels."""

    def __init__(self, classes: int, label_smoothing: float, name: str = "smoothed_crossentropy", **settings: str) -> None:
        super().__init__(name=name, **settings)
        self.classes, self.label_smoothing = classes, label_smoothing

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]
        targets = keras.ops.one_hot(keras.ops.reshape(y_true, [-1]), self.classes)
        return keras.losses.categorical_crossentropy(targets, y_pred, from_logits=True, label_smoothing=self.label_smoothing)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "classes": self.classes, "label_smoothing": self.label_smoothing}


def untrained(spec: TrialSpec, inputs: int, outputs: int) -> keras.Sequential:
    """Return the trial's architecture, compiled with its loss and optimizer, with Keras' own random weights."""
    model = keras.Sequential([keras.Input((inputs,)), *_layers(spec, outputs)])
    model.compile(keras_optimizer(spec.optimizer), keras_loss(spec.loss, outputs))
    return model


def _layers(spec: TrialSpec, outputs: int) -> list[keras.layers.Layer]:
    penalty = keras.regularizers.L1L2(spec.model.l1, spec.model.l2) if spec.model.l1 or spec.model.l2 else None
    layers: list[keras.layers.Layer] = []
    momentum, epsilon = spec.model.norm_momentum, spec.model.norm_epsilon
    for units in spec.model.units:
        if spec.model.normalisation is None:
            layers.append(keras.layers.Dense(units, activation=spec.model.activation, kernel_regularizer=penalty))
        else:
            layers.append(keras.layers.Dense(units, use_bias=False, kernel_regularizer=penalty))
            if spec.model.normalisation == BATCH:
                layers.append(keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon))
            else:
                layers.append(keras.layers.LayerNormalization(epsilon=epsilon))
            layers.append(keras.layers.Activation(spec.model.activation))
        if spec.model.dropout:
            layers.append(keras.layers.Dropout(spec.model.dropout))
    return [*layers, keras.layers.Dense(outputs, kernel_regularizer=penalty)]


# the order of a Keras layer's own weights, gamma before beta
NAMES = ("kernel", "scale", "bias", *STATISTICS)


def names_of_weights(net: Network) -> list[str]:
    """Return the name of each of `model.get_weights()`, for the model that `untrained` makes of this architecture."""
    names = (f"{name}_{layer}" for layer in range(net.depth) for name in NAMES)
    return [name for name in names if name in net.parameters]


def keras_model(cohort: Cohort, replicate: int) -> keras.Sequential:
    """Return one replicate as a `keras.Sequential` that predicts what the cohort holds: logits for classification.

    Its inputs are those that the networks saw, after normalisation (`load_data`).
    """
    net = cohort.networks()[replicate]
    model = untrained(cohort.spec, net.kernels[0].shape[0], net.kernels[-1].shape[1])
    model.set_weights([net.parameters[name] for name in names_of_weights(net)])
    return model


def predictor(spec: TrialSpec, networks: Sequence[Network], scalings: Sequence[Scaling]) -> keras.Model:
    """Return R trained networks as one model for use: from raw columns to the mean of their predictions.

    These are targets in their own units, or class probabilities; for two classes there may be one output, the second class's
    probability. scalings: each network's own. A missing value (NaN) is filled as in training. One in a column that had none then,
    or an infinite value, makes the row's outputs NaN. The model has only standard layers and operations, and isn't compiled, so it
    loads anywhere, in Keras' safe mode too.
    """
    net, count = Network.stack(networks), len(networks)
    outputs = net.kernels[-1].shape[-1]
    kinds = scalings[0].kinds or (AMOUNT,) * len(scalings[0].inputs)
    columns = keras.Input((len(kinds),), dtype="float64")
    of_codes = [at for at, kind in enumerate(kinds) if kind == CODE]
    numbers = [at for at, kind in enumerate(kinds) if kind != CODE]
    x = columns if not of_codes else keras.ops.take(columns, numbers, axis=-1)
    x = keras.layers.RepeatVector(count, dtype="float64")(x)
    filled = fills(scalings)
    if not np.isnan(filled).all():
        x = keras.ops.where(keras.ops.isnan(x), filled, x)
    # XLA's relu turns NaN into 0, which would look like any other prediction
    nothing = keras.ops.sum(0.0 * x, axis=(1, 2), keepdims=True)
    if scalings[0].waves:
        known = keras.ops.take(x, amounts(kinds), axis=-1)
        waves = fourier.features([scaling.waves for scaling in scalings], known, keras.ops)
    x = _scaled(x, [scaling.inputs for scaling in scalings])
    if of_codes:
        codes = keras.ops.take(columns, of_codes, axis=-1)
        nothing = nothing + keras.ops.sum(0.0 * codes, axis=-1)[:, None, None]
        x = keras.ops.concatenate([x, _decoded(codes, [scaling.codes for scaling in scalings])], axis=-1)
    if scalings[0].waves:
        x = keras.ops.concatenate([x, waves], axis=-1)
    for units in spec.model.units:
        x = _hidden(spec, count, units, x)
    x = keras.layers.EinsumDense("bri,rio->bro", (count, outputs), bias_axes="ro")(x)
    if scalings[0].targets:
        spreads, centres = _spreads_and_centres([scaling.targets for scaling in scalings])
        x = _rescaling(np.where(np.isfinite(spreads), spreads, 0.0), centres, "targets")(x)
        if bent := _shapes([scaling.targets for scaling in scalings]):
            x = shapes.unbend(bent, x, keras.ops)
    else:
        x = keras.layers.Activation("softmax" if outputs > 1 else "sigmoid", name="probabilities")(x)
    predicted = keras.layers.Activation("linear", dtype=x.dtype, name=MEMBERS)(x + keras.ops.cast(nothing, x.dtype))
    model = keras.Model(columns, keras.ops.mean(predicted, axis=1))
    weights = zip(names_of_weights(net), model.weights, strict=True)
    model.set_weights([net.parameters[name].reshape(weight.shape) for name, weight in weights])
    return model


def _scaled(x: keras.KerasTensor, scales: Sequence[Sequence[ColumnScale]]) -> keras.KerasTensor:
    """Scale the columns of R networks, [n, R, columns], as `ColumnScale.apply` does."""
    low, high = (np.array([[getattr(column, end) for column in columns] for columns in scales]) for end in ("low", "high"))
    if np.isfinite(low).any():
        x = keras.ops.minimum(keras.ops.maximum(x, np.maximum(low, -shapes.FAR)), np.minimum(high, shapes.FAR))
    if bent := _shapes(scales):
        x = shapes.bend(bent, x, keras.ops)
    spreads, centres = _spreads_and_centres(scales)
    x = _rescaling(1 / spreads, -centres / spreads, "inputs")(x)
    soft = next((column.soft for columns in scales for column in columns), None)
    return x if soft is None else x / shapes.softening(x, soft, keras.ops)


def _shapes(scales: Sequence[Sequence[ColumnScale]]) -> list[list[Shape]]:
    """Return the curve of each network's columns, [R][columns]; [] if there are none."""
    known = next((column.shape for columns in scales for column in columns if column.shape), None)
    # a constant column, whose values count for nothing, takes any
    return [[column.shape or known for column in columns] for columns in scales] if known else []


def _decoded(codes: keras.KerasTensor, tables: Sequence[Sequence[Doubles]]) -> keras.KerasTensor:
    """Return what codes, [n, columns], become: [n, R, columns · outputs]. tables: each network's, [codes, outputs] per column."""
    count, outputs = len(tables), tables[0][0].shape[1]
    sizes = np.array([len(table) for table in tables[0]])
    flat = np.concatenate([table.ravel() for of_one in tables for table in of_one])
    first = np.cumsum([0, *np.tile(sizes, count)[:-1]]).reshape(count, len(sizes)) * outputs
    known = keras.ops.minimum(keras.ops.maximum(keras.ops.cast(codes, "int64"), 0), sizes - 1)
    at = known[:, None, :, None] * outputs + (first[:, :, None] + np.arange(outputs))
    return keras.ops.reshape(keras.ops.take(flat, at), (-1, count, len(sizes) * outputs))


def _hidden(spec: TrialSpec, count: int, units: int, x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply a hidden layer of R networks: [n, R, in] to [n, R, units]."""
    activation, normalisation = spec.model.activation, spec.model.normalisation
    if normalisation is None:
        return keras.layers.EinsumDense("bri,rio->bro", (count, units), bias_axes="ro", activation=activation)(x)
    x = keras.layers.EinsumDense("bri,rio->bro", (count, units))(x)
    # side by side, since a layer has scales for one axis only; with a group for each network, its own layer normalisation
    x = keras.layers.Reshape((count * units,))(x)
    if normalisation == BATCH:
        x = keras.layers.BatchNormalization(epsilon=spec.model.norm_epsilon)(x)
    else:
        x = keras.layers.GroupNormalization(count, epsilon=spec.model.norm_epsilon)(x)
    return keras.layers.Activation(activation)(keras.layers.Reshape((count, units))(x))


def fills(scalings: Sequence[Scaling]) -> Doubles:
    """Return what replaces a missing value in each network's inputs, [R, inputs]; NaN for a column without gaps.

    A network whose own rows had no gap in a column takes the mean of the others.
    """
    own = np.array([[np.nan if column.fill is None else column.fill for column in scaling.inputs] for scaling in scalings])
    return np.where(np.isnan(own), np.ma.masked_invalid(own).mean(axis=0).filled(np.nan), own)


def _spreads_and_centres(scales: Sequence[Sequence[ColumnScale]]) -> tuple[Doubles, Doubles]:
    """Return both, [R, columns] each."""
    both = np.array([[(column.spread, column.centre) for column in columns] for columns in scales])
    return both[..., 0], both[..., 1]


def load_predictor(file: Path) -> keras.Model:
    """Load a model that `predictor` made, without anything that could run code. Raises Corrupt."""
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or a made-up archive can raise anything
        raise Corrupt(
            f"{file.name} isn't a Keras model of this program: {next(iter(str(error).splitlines()), type(error).__name__)}"
        ) from error


def _rescaling(scale: Doubles, offset: Doubles, name: str) -> keras.layers.Rescaling:
    """Rescale in double precision: a column's spread may be far smaller than its values. `Normalization` uses single precision."""
    return keras.layers.Rescaling(scale, offset, dtype="float64", name=name)
