"""Test whether a trained network is stationary: its loss's gradient, and the Hessian's extreme eigenvalues.

A flat loss curve may end near a minimum or on a saddle. This distinguishes them, in double precision. It can't show how much is
left to gain: where the curvature is small, a loss far above its minimum has almost no gradient too. So it complements the labels of
`convergence` and replaces none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse import linalg

from study import seeds
from study.analysis.forward import trivial_loss
from study.engine import losses, model
from study.engine.backend import tf
from study.engine.program import penalty
from study.records.arrays import Array, Doubles
from study.records.dataset import Dataset, task_of
from study.records.network import Network
from study.sampling import evenly
from study.settings.data import CLASSIFICATION
from study.settings.model import BATCH
from study.settings.spec import TrialSpec

SMALL_GRADIENT, SADDLE = 1e-3, -0.01
# relative to the eigenvalue of largest size; networks' λmin were at most 4e-4 λmax above the exact one
TOLERANCE = 1e-3
LANCZOS_VECTORS, RESTARTS = 24, 60
# with this few parameters, the whole Hessian costs no more than a search for its eigenvalues
DENSE = 64


@dataclass(frozen=True)
class Stationarity:
    """gradient_norm: ‖∇L‖. largest, smallest: λmax and λmin of the Hessian of L. trivial: the loss of the best constant.

    Values are NaN for a diverged network, and where the search didn't find the eigenvalues: neither stationary nor a saddle.
    """

    gradient_norm: float
    largest: float
    smallest: float
    trivial: float

    @property
    def gradient_term(self) -> float:
        """‖∇L‖² / (2 λmax L_trivial): the least gain of a step along the gradient if L is quadratic, over L_trivial."""
        return _ratio(self.gradient_norm**2, 2 * self.largest * self.trivial)

    @property
    def curvature_ratio(self) -> float:
        """λmin / λmax, or 0 where no direction curves down."""
        return -_ratio(float(np.maximum(-self.smallest, 0)), self.largest)

    @property
    def is_saddle(self) -> bool:
        """True if there is almost no gradient, and L curves down by more than a hundredth of how it curves up elsewhere."""
        return self.gradient_term < SMALL_GRADIENT and self.curvature_ratio <= SADDLE

    @property
    def is_stationary(self) -> bool:
        """True if there is almost no gradient, and no saddle."""
        return self.gradient_term < SMALL_GRADIENT and self.curvature_ratio > SADDLE


def _ratio(part: float, whole: float) -> float:
    """Return part / whole: 0 if part is 0, else infinite if whole isn't positive."""
    return 0.0 if part == 0 else float("inf") if whole <= 0 else part / whole


def stationarity(spec: TrialSpec, network: Network, data: Dataset, rows: int = 4096) -> Stationarity:
    """Measure a single network's stationarity on the training part of its data; the curvature on at most `rows` evenly spaced rows.

    L is what training minimises: the mean loss plus the l1 and l2 penalties. Dropout is left out, and so is weight decay, which is
    no part of a loss. Batch normalisation uses the statistics of the rows, as training does: with the running ones, the gradients
    of two networks near their minimum were three and four times as long.

    With 64-64 units it takes 60 to 160 products with the Hessian: on diabetes 0.15 s of a core's time, on digits 0.5 to 1.2 s, and
    as much again for the first network of a kind; with 512-512 units on digits 18 s.
    """
    derivatives = _derivatives(
        spec.model.activation,
        network.normalisation,
        spec.loss.name,
        tuple((name, array.shape) for name, array in network.trainable.items()),
    )
    weights = np.concatenate([array.ravel() for array in network.trainable.values()]).astype(np.float64)
    settings = {name: tf.constant(value, tf.float64) for name, value in _settings(spec).items()}
    every = np.arange(len(data.x_train))
    gradient = derivatives.gradient(weights, *_tensors(data, every), settings).numpy()
    norm, trivial = float(np.linalg.norm(gradient)), trivial_loss(spec.loss, data.y_train, data.outputs, data.weights_train)
    if not np.isfinite(norm):
        return Stationarity(np.nan, np.nan, np.nan, trivial)
    x, y, counted = _tensors(data, evenly(len(data.x_train), rows))
    at = tf.constant(weights)
    smallest, largest = extreme_eigenvalues(
        lambda vector: derivatives.product(at, vector, x, y, counted, settings).numpy(), len(weights)
    )
    return Stationarity(norm, largest, smallest, trivial)


def _settings(spec: TrialSpec) -> dict[str, float]:
    penalties = {name: getattr(spec.model, name) for name in ("l1", "l2") if getattr(spec.model, name)}
    return losses.settings_of(spec.loss) | penalties | {"norm_epsilon": spec.model.norm_epsilon}


def _tensors(data: Dataset, rows: Array) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return x, y and the weights of training rows, [1, n, …]; class numbers stay integers."""
    x, y = data.x_train[rows], data.y_train[rows]
    weights = np.ones(len(rows)) if data.weights_train is None else data.weights_train[rows]
    kind = None if task_of(y) == CLASSIFICATION else tf.float64
    return tf.constant(x[None], tf.float64), tf.constant(y[None], kind), tf.constant(weights[None], tf.float64)


@dataclass(frozen=True)
class _Derivatives:
    """gradient: (weights [P], data, settings) → [P]. product: (weights [P], vector [P], data, settings) → Hessian @ vector, [P].

    data: the three of `_tensors`.
    """

    gradient: Any
    product: Any


@lru_cache(maxsize=64)
def _derivatives(
    activation: str, normalisation: str | None, loss: str, shapes: tuple[tuple[str, tuple[int, ...]], ...]
) -> _Derivatives:
    """Return functions that are traced at their first call for a number of rows; weights, data and settings are inputs."""
    mean_loss = losses.mean_loss(loss)
    sizes = [int(np.prod(shape)) for _, shape in shapes]

    def objective(weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, counted: tf.Tensor, settings: losses.Settings) -> tf.Tensor:
        pieces = tf.split(weights, sizes)
        parameters = {name: tf.reshape(piece, [1, *shape]) for (name, shape), piece in zip(shapes, pieces, strict=True)}
        if normalisation == BATCH:
            normalise: model.Normalise | None = model.ByBatch(settings, None)
        else:
            normalise = model.normaliser(normalisation, settings, parameters)
        outputs = model.outputs(parameters, x, activation, normalise)
        return mean_loss(y, outputs, settings, counted)[0] + penalty(parameters, settings)

    def gradient(weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, counted: tf.Tensor, settings: losses.Settings) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = objective(weights, x, y, counted, settings)
        return tape.gradient(value, weights)

    def product(
        weights: tf.Tensor, vector: tf.Tensor, x: tf.Tensor, y: tf.Tensor, counted: tf.Tensor, settings: losses.Settings
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            slope = tf.tensordot(gradient(weights, x, y, counted, settings), vector, 1)
        # where L is linear in the weights, the slope doesn't depend on them
        return tape.gradient(slope, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    # XLA takes twice as long to compile, and its products are no faster
    compiled = (tf.function(derivative, autograph=False) for derivative in (gradient, product))
    return _Derivatives(*compiled)


def extreme_eigenvalues(product: Callable[[Doubles], Doubles], size: int) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of a symmetric matrix. product: multiplies it with a vector [size].

    Lanczos' method, from a fixed start. It finds the eigenvalue e of largest size, and then the other end as the largest of
    |e| ∓ the matrix: the smallest itself is often near 0, where the search would aim at a precision in proportion to it. NaN
    where it doesn't converge.
    """
    start = seeds.generator(0).standard_normal(size)
    once = product(start)
    if not np.isfinite(once).all():
        return float("nan"), float("nan")
    if size <= DENSE:
        values = np.linalg.eigvalsh(np.stack([product(unit) for unit in np.eye(size)]))
        return float(values[0]), float(values[-1])
    if not once.any():
        return 0.0, 0.0

    def end(multiply: Callable[[Doubles], Doubles], which: str) -> float:
        operator = linalg.LinearOperator((size, size), matvec=multiply, dtype=np.float64)
        vectors = min(LANCZOS_VECTORS, size)
        try:
            values = linalg.eigsh(
                operator, 1, which=which, v0=start, ncv=vectors, maxiter=RESTARTS, tol=TOLERANCE, return_eigenvectors=False
            )
        except linalg.ArpackNoConvergence:
            return float("nan")
        return float(values[0])

    first = end(product, "LM")
    if np.isnan(first):
        return first, first
    sign, reach = np.sign(first), abs(first)
    other = sign * (reach - end(lambda vector: reach * vector - sign * product(vector), "LA"))
    return float(np.minimum(first, other)), float(np.maximum(first, other))
