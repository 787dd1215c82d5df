"""The loss barrier on the straight line between two networks' parameters.

barrier = sup over α in [0, 1] of L(α θ₁ + (1 − α) θ₂) − [α L(θ₁) + (1 − α) L(θ₂)] (arXiv:2110.06296, Eq. 1). It is never negative,
because both ends are on the line. A barrier between two networks says nothing about other paths, or about the same network with its
units in another order: for the latter, pass the second network aligned to the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis import forward, metrics
from study.records.arrays import Array, Doubles, Floats
from study.records.dataset import Dataset, task_of
from study.records.network import Network
from study.settings.data import CLASSIFICATION
from study.settings.loss import Loss
from study.settings.model import BATCH, Model

ALPHAS = 25
ROWS = 2_000
MEMORY = 16 * 2**20  # larger arrays leave the processor's cache, which gains nothing


@dataclass(frozen=True)
class Curves:
    """A measure along the lines between P pairs of networks. alphas: [A], the first network's weight; values: [P, A]."""

    alphas: Doubles
    values: Doubles

    @property
    def chord(self) -> Doubles:
        """The straight line between the values at the two ends, [P, A]."""
        second, first = self.values[:, :1], self.values[:, -1:]
        with np.errstate(invalid="ignore"):
            step = first - second
            # from the nearer end, so that both ends, and a line between equal values, are met to the bit
            return np.where(self.alphas < 0.5, second + self.alphas * step, first - (1 - self.alphas) * step)

    @property
    def barrier(self) -> Doubles:
        """The largest rise above the chord, [P]; NaN where a value is NaN, infinite where only the middle of the line diverges."""
        with np.errstate(invalid="ignore"):
            return np.max(self.values - self.chord, axis=1)


@dataclass(frozen=True)
class Paths:
    """loss: on the training rows. error: on the validation rows, the share that is misclassified; for real targets, the loss."""

    loss: Curves
    error: Curves


def between(
    pairs: Sequence[tuple[Network, Network]],
    data: Dataset,
    model: Model,
    loss: Loss | None = None,
    *,
    alphas: int = ALPHAS,
    rows: int = ROWS,
    seed: int = 0,
    memory: int = MEMORY,
) -> Paths:
    """Return the paths between the networks of each pair, at `alphas` evenly spaced points, both ends included.

    loss: the loss that the networks were trained with; None is that of `loss: auto`. If there are more than `rows` training or
    validation rows, a sample of `rows` is used that depends only on `seed`, so a pair's raw and aligned paths use the same rows.
    The networks on a line go through `forward.layer_outputs` as one stack, or in parts whose arrays stay below about `memory` bytes
    (a part has at least one network); this doesn't change the results.

    The running statistics of batch normalisation don't fit interpolated weights, which alone raises a barrier (arXiv:2211.08403):
    they are recomputed from the training rows at every point, and for consistency at the ends too.
    """
    shares = np.linspace(0, 1, alphas)
    x_train, y_train = _sample(data.x_train, data.y_train, rows, (seed, 0))
    x_val, y_val = _sample(data.x_val, data.y_val, rows, (seed, 1))
    losses, errors = np.empty((len(pairs), alphas)), np.empty((len(pairs), alphas))
    for number, (first, second) in enumerate(pairs):
        for part in _parts(alphas, _bytes(first, max(len(x_train), len(x_val))), memory):
            networks = interpolated(first, second, shares[part])
            if networks.normalisation == BATCH:
                networks = recalibrated(networks, x_train, model)
            losses[number, part] = forward.losses(forward.layer_outputs(networks, x_train, model)[-1], y_train, loss)
            errors[number, part] = _errors(forward.layer_outputs(networks, x_val, model)[-1], y_val, loss)
    return Paths(Curves(shares, losses), Curves(shares, errors))


def interpolated(first: Network, second: Network, shares: Doubles) -> Network:
    """Mix `shares` [A] of the first network with the rest of the second, parameter by parameter, into a stack of A networks."""
    if first.shapes != second.shapes:
        raise ValueError(f"networks of different architectures have no line: {first.architecture} and {second.architecture}")

    def mixed(a: Floats, b: Floats) -> Floats:
        share = shares.reshape(-1, *[1] * a.ndim)
        # in double precision, so that the ends are the networks themselves and equal weights stay what they are, to the bit
        return (share * a + (1 - share) * b).astype(np.float32)

    with np.errstate(over="ignore", invalid="ignore"):  # a diverged network's weights
        return Network({name: mixed(array, second.parameters[name]) for name, array in first.parameters.items()})


def recalibrated(networks: Network, x: Floats, model: Model) -> Network:
    """Return a stack of networks whose running means and variances are those of `x` [n, in]."""
    outputs = forward.layer_outputs(networks, x, model, training=True)
    statistics: dict[str, Floats] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for layer, kernel in enumerate(networks.kernels[:-1]):
            z = (outputs[layer - 1] if layer else x[None]) @ kernel
            statistics |= {f"mean_{layer}": z.mean(axis=1), f"variance_{layer}": z.var(axis=1)}
    return Network(networks.parameters | statistics)


def _errors(outputs: Floats, y: Array, loss: Loss | None) -> Doubles:
    """Return the error rates or losses, [A], of outputs [A, n, units]."""
    return 1 - metrics.accuracy(outputs, y) if task_of(y) == CLASSIFICATION else forward.losses(outputs, y, loss)


def _sample(x: Floats, y: Array, rows: int, seed: tuple[int, int]) -> tuple[Floats, Array]:
    if len(x) <= rows:
        return x, y
    kept = np.sort(np.random.default_rng(seed).choice(len(x), rows, replace=False))
    return x[kept], y[kept]


def _bytes(net: Network, rows: int) -> int:
    """Return the bytes that one more network on the line takes: its weights in both precisions, and its layers' outputs."""
    weights = sum(array.size for array in net.parameters.values())
    units = [kernel.shape[-1] for kernel in net.kernels]
    # a layer in work needs up to three more arrays; the output layer's losses are computed in double precision
    return 12 * weights + 4 * rows * (sum(units) + 3 * max(units) + 4 * units[-1])


def _parts(count: int, size: int, memory: int) -> Iterator[slice]:
    """Return slices of `count` items of `size` bytes each."""
    step = max(1, memory // size)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
