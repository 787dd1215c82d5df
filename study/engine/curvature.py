"""Whether a trained network stands still: the gradient of what training minimises, and the Hessian's extreme eigenvalues.

A loss curve that is flat may end near a minimum, or on a saddle. This tells them apart, in double precision. What it can't tell is
how much is left to gain: where the curvature is small, a loss far above its minimum has almost no gradient too. So it goes with the
labels of `convergence`, and replaces none.
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
# of the residual, in units of the eigenvalue of largest size; networks' λmin were seen 4e-4 λmax above the exact one at most
TOLERANCE = 1e-3
LANCZOS_VECTORS, RESTARTS = 24, 60
# of so few parameters the whole Hessian costs no more than a search in it
DENSE = 64


@dataclass(frozen=True)
class Stationarity:
    """gradient_norm: ‖∇L‖. largest, smallest: λmax and λmin of the Hessian of L. trivial: the loss of the best constant.

    NaN, and so neither stationary nor a saddle: a diverged network, and eigenvalues that the search didn't find.
    """

    gradient_norm: float
    largest: float
    smallest: float
    trivial: float

    @property
    def gradient_term(self) -> float:
        """‖∇L‖² / (2 λmax L_trivial): the least that a step along the gradient can gain where L is quadratic, of L_trivial."""
        return _ratio(self.gradient_norm**2, 2 * self.largest * self.trivial)

    @property
    def curvature_ratio(self) -> float:
        """λmin / λmax, or 0 where nothing bends down."""
        return -_ratio(float(np.maximum(-self.smallest, 0)), self.largest)

    @property
    def is_saddle(self) -> bool:
        """Whether L bends down in some direction, by more than a hundredth of what it bends up in another."""
        return self.curvature_ratio <= SADDLE

    @property
    def is_stationary(self) -> bool:
        """Whether there is almost no gradient, and no saddle."""
        return self.gradient_term < SMALL_GRADIENT and self.curvature_ratio > SADDLE


def _ratio(part: float, whole: float) -> float:
    """part / whole, 0 where nothing is parted, and infinite where there is nothing (or less) to part it by."""
    return 0.0 if part == 0 else float("inf") if whole <= 0 else part / whole


def stationarity(spec: TrialSpec, network: Network, data: Dataset, rows: int = 4096) -> Stationarity:
    """The stationarity of a single network on the training part of its data; its curvature on at most `rows` rows, evenly spaced.

    L is what training minimises: the mean loss, and the l1 and l2 penalties. Weight decay, which is no part of a loss, and dropout
    are left out. Batch normalisation goes by the statistics of the rows, as training does: by the running ones, the gradients of
    two networks near their minimum were three and four times as long.

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
    gradient = derivatives.gradient(weights, *_tensors(data.x_train, data.y_train), settings).numpy()
    norm, trivial = float(np.linalg.norm(gradient)), trivial_loss(spec.loss, data.y_train, data.outputs)
    if not np.isfinite(norm):
        return Stationarity(np.nan, np.nan, np.nan, trivial)
    some = evenly(len(data.x_train), rows)
    x, y = _tensors(data.x_train[some], data.y_train[some])
    at = tf.constant(weights)
    smallest, largest = extreme_eigenvalues(lambda vector: derivatives.product(at, vector, x, y, settings).numpy(), len(weights))
    return Stationarity(norm, largest, smallest, trivial)


def _settings(spec: TrialSpec) -> dict[str, float]:
    penalties = {name: getattr(spec.model, name) for name in ("l1", "l2") if getattr(spec.model, name)}
    return losses.settings_of(spec.loss) | penalties | {"norm_epsilon": spec.model.norm_epsilon}


def _tensors(x: Array, y: Array) -> tuple[tf.Tensor, tf.Tensor]:
    """[1, n, …] each, class numbers as they are."""
    return tf.constant(x[None], tf.float64), tf.constant(y[None], None if task_of(y) == CLASSIFICATION else tf.float64)


@dataclass(frozen=True)
class _Derivatives:
    """gradient: (weights [P], x, y, settings) → [P]. product: (weights [P], vector [P], x, y, settings) → Hessian @ vector, [P]."""

    gradient: Any
    product: Any


@lru_cache(maxsize=64)
def _derivatives(
    activation: str, normalisation: str | None, loss: str, shapes: tuple[tuple[str, tuple[int, ...]], ...]
) -> _Derivatives:
    """Traced at their first call for a number of rows; weights, data and settings are inputs."""
    mean_loss = losses.mean_loss(loss)
    sizes = [int(np.prod(shape)) for _, shape in shapes]

    def objective(weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, settings: losses.Settings) -> tf.Tensor:
        pieces = tf.split(weights, sizes)
        parameters = {name: tf.reshape(piece, [1, *shape]) for (name, shape), piece in zip(shapes, pieces, strict=True)}
        if normalisation == BATCH:
            normalise: model.Normalise | None = model.ByBatch(settings, None)
        else:
            normalise = model.normaliser(normalisation, settings, parameters)
        outputs = model.outputs(parameters, x, activation, normalise)
        return mean_loss(y, outputs, settings)[0] + penalty(parameters, settings)

    def gradient(weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, settings: losses.Settings) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = objective(weights, x, y, settings)
        return tape.gradient(value, weights)

    def product(weights: tf.Tensor, vector: tf.Tensor, x: tf.Tensor, y: tf.Tensor, settings: losses.Settings) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            slope = tf.tensordot(gradient(weights, x, y, settings), vector, 1)
        # where L is linear in the weights, the slope depends on none of them
        return tape.gradient(slope, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    # XLA compiles for twice as long, and its products are no faster
    compiled = (tf.function(each, autograph=False) for each in (gradient, product))
    return _Derivatives(*compiled)


def extreme_eigenvalues(product: Callable[[Doubles], Doubles], size: int) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of the symmetric matrix that `product` multiplies a vector [size] with.

    Lanczos' method, from a start that is always the same. It is asked for the eigenvalue e of largest size, and then for the
    other end as the largest of |e| ∓ the matrix: asked for the smallest itself, which is often near 0, it would seek it to a
    precision in proportion to itself. NaN where it doesn't converge.
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
            found = linalg.eigsh(
                operator, 1, which=which, v0=start, ncv=vectors, maxiter=RESTARTS, tol=TOLERANCE, return_eigenvectors=False
            )
        except linalg.ArpackNoConvergence:
            return float("nan")
        return float(found[0])

    first = end(product, "LM")
    if np.isnan(first):
        return first, first
    sign, reach = np.sign(first), abs(first)
    other = sign * (reach - end(lambda vector: reach * vector - sign * product(vector), "LA"))
    return float(np.minimum(first, other)), float(np.maximum(first, other))
