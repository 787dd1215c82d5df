"""Follow each network through training: after every epoch, sums over its step, and sketches of its weights and of its function.

A sketch adds up values, each with a fixed random sign, in SKETCH buckets: distances between sketches are those between the values
themselves up to a few percent (count sketch: Charikar, Chen and Farach-Colton 2002), so that a path through millions of weights is
kept in 251 numbers an epoch. Bucket is index mod 251; a prime, since powers of two would put the same unit of every row of a layer
into one bucket.
"""

from __future__ import annotations

import numpy as np

from study.engine import optimizers
from study.engine.backend import tf
from study.engine.state import MotionState, Tensors
from study.records.arrays import Floats
from study.records.network import STATISTICS
from study.settings.loss import KINDS, Crossentropy

SKETCH = 251
SUMS = ("weights_step", "weights_dot", "weights_norm", "function_step", "function_dot")
SKETCHES = ("weights", "function", "votes")
# of the products of three vectors of weights and of two of the function with one another, those that are the sums
PRODUCTS, OF_SUMS = 3 * 3 + 2 * 2, [0, 1, 8, 9, 10]


def curve_count(loss: str) -> int:
    """Return how many numbers an epoch has."""
    return PRODUCTS + (2 + _of_classes(loss)) * SKETCH


def parted(curves: Floats) -> dict[str, Floats]:
    """Return the curves [epochs, R, C] of an epoch's numbers by name.

    sums: [epochs, R, 5], in the order of SUMS, of the weights (trainable parameters, or their moving averages, as validation uses
    them) and of the function (predictions on the validation part; probabilities for classes): `step`, the squared length of the
    epoch's step, `dot`, its product with the step before, and `norm`, the squared length. sketches: [epochs, R, 2 or 3, 251], in
    the order of SKETCHES; votes, of the predicted classes, are such that the squared distance of two is the number of rows
    predicted differently. An epoch that isn't followed has NaN.
    """
    sketches = curves[..., PRODUCTS:]
    return {"sums": curves[..., OF_SUMS], "sketches": sketches.reshape(*sketches.shape[:2], -1, SKETCH)}


def start(parameters: Tensors, function_size: int) -> MotionState:
    """Return where networks are before training. Their function isn't known yet, so the first epoch's step of it means nothing."""
    weights = flat(parameters)
    function = tf.zeros([weights.shape[0], function_size])
    return MotionState(weights, tf.zeros_like(weights), function, function)


def after_epoch(before: MotionState, parameters: Tensors, outputs: tf.Tensor, loss: str) -> tuple[MotionState, tf.Tensor]:
    """Return where the networks are now, and the epoch's numbers [W, C]. outputs: [W, n, units], logits for classes.

    The numbers are one vector, since every tensor that a program returns costs compiling.
    """
    weights, function = flat(parameters), _flat(_function(outputs, loss))
    now = MotionState(weights, weights - before.weights, function, function - before.function)
    of_weights = _products(now.weights_step, before.weights_step, weights)
    of_function = _products(now.function_step, before.function_step)
    sketched = [weights, function, *([_flat(_votes(outputs))] if _of_classes(loss) else [])]
    return now, tf.concat([of_weights, of_function, *map(sketch, sketched)], axis=1)


def flat(parameters: Tensors) -> tf.Tensor:
    """Return the trainable parameters as one vector per network, [W, P]."""
    return optimizers.flat(parameters, sorted(name for name in parameters if not name.startswith(STATISTICS)))


def sketch(values: tf.Tensor) -> tf.Tensor:
    """Return the sketches [W, 251] of vectors [W, n]."""
    rows = -(-values.shape[1] // SKETCH)
    signed = tf.pad(values * _signs(values.shape[1]), [[0, 0], [0, rows * SKETCH - values.shape[1]]])
    return tf.reduce_sum(tf.reshape(signed, [-1, rows, SKETCH]), axis=1)


def _signs(count: int) -> tf.Tensor:
    """Return as many signs, +1 or −1, from a hash of the index (murmur3's finalizer). A byte each: they are part of the program."""
    code = np.arange(count, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        code = (code ^ (code >> np.uint32(shift))) * np.uint32(factor)
    code ^= code >> np.uint32(16)
    return tf.cast(tf.constant(1 - 2 * (code & np.uint32(1)).astype(np.int8), tf.int8), tf.float32)


def _flat(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [values.shape[0], -1])


def _products(*vectors: tf.Tensor) -> tf.Tensor:
    """Return the products of k vectors [W, n] with one another, [W, k²], by one matrix product: each sum would cost compiling."""
    stacked = tf.stack(vectors, axis=1)
    return _flat(tf.matmul(stacked, stacked, transpose_b=True))


def _of_classes(loss: str) -> bool:
    return issubclass(KINDS[loss], Crossentropy)


def _function(outputs: tf.Tensor, loss: str) -> tf.Tensor:
    if not _of_classes(loss):
        return outputs
    return tf.sigmoid(outputs) if outputs.shape[-1] == 1 else tf.nn.softmax(outputs)


def _votes(outputs: tf.Tensor) -> tf.Tensor:
    if outputs.shape[-1] == 1:
        return tf.cast(outputs > 0, tf.float32)
    # two rows that differ in their class differ in two places
    return tf.one_hot(tf.argmax(outputs, axis=-1), outputs.shape[-1]) / 2.0**0.5
