"""Bring networks to one scale: fold batch normalisation, and make every unit's incoming and outgoing norms equal.

With relu, leaky_relu and linear, which are positively homogeneous, a hidden unit's incoming weights can be multiplied by s > 0 and
its outgoing ones divided by s. The canonical network is the one with the least squared norm that this can reach: a convex problem
in log s with one solution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles
from study.records.network import Network
from study.settings.model import ACTIVATIONS, BATCH, Model

HOMOGENEOUS = ("relu", "leaky_relu", "linear")
ODD = ("tanh", "linear")
NORM_EPSILON = Model.norm_epsilon
TOLERANCE = 1e-12
MOST_SWEEPS = 10_000

Order = npt.NDArray[np.intp]

# Parameters of M networks by name, [M, …], in double precision. While networks are matched there are also order_i and sign_i,
# [M, units], for each hidden layer i: the unit that is now at each position, and the factor it was multiplied by.
Weights = dict[str, Array]


def folded(network: Network, norm_epsilon: float = NORM_EPSILON) -> Network:
    """Return the plain network that equals a batch-normalised one at inference, in its dtype; any other network as it is."""
    if network.normalisation != BATCH:
        return network
    parameters: dict[str, Array] = {}
    for layer, (kernel, bias) in enumerate(zip(network.kernels, network.biases, strict=True)):
        scale, mean, variance = (network.parameters.get(f"{name}_{layer}") for name in ("scale", "mean", "variance"))
        wide: Array = kernel.astype(np.float64)
        offset: Array = bias.astype(np.float64)
        if scale is not None and mean is not None and variance is not None:
            gain = scale / np.sqrt(variance.astype(np.float64) + norm_epsilon)
            wide, offset = wide * gain[..., None, :], offset - mean * gain
        parameters |= {f"kernel_{layer}": wide.astype(kernel.dtype), f"bias_{layer}": offset.astype(bias.dtype)}
    return Network(parameters)


def canonical(network: Network, activation: str, *, norm_epsilon: float = NORM_EPSILON) -> Network:
    """Return the same function at the scale at which each hidden unit's incoming and outgoing norms are equal, in double precision.

    network: one, or a stack [R, …]. A unit with zero incoming or zero outgoing norm adds nothing to any output: both become zero.
    A network that isn't finite, or whose activation isn't homogeneous, keeps its weights. Batch normalisation is folded.
    """
    check_activation(activation)
    plain = folded(network, norm_epsilon)
    single = plain.biases[0].ndim == 1
    weights, _ = balanced(Network.stack([plain]) if single else plain, activation)
    return Network(rows_of(weights, 0) if single else weights)


def balanced(stack: Network, activation: str) -> tuple[Weights, list[Doubles]]:
    """Return the canonical weights [R, …], and the factor of every hidden unit that leads to them, [R, units] per hidden layer."""
    weights: Weights = {name: array.astype(np.float64) for name, array in stack.parameters.items()}
    factors = [np.ones(bias.shape) for bias in stack.biases[:-1]]
    finite = np.flatnonzero(finite_rows(weights))
    if activation in HOMOGENEOUS and finite.size:
        chosen = rows_of(weights, finite)
        _silence(chosen)
        for layer, factor in enumerate(_balance(chosen)):
            rescale(chosen, slice(None), layer, factor)
            factors[layer][finite] = factor
        for name, array in weights.items():
            array[finite] = chosen[name]
    return weights, factors


def _silence(weights: Weights) -> None:
    """Set to zero, in place, the weights on one side of a unit that has nothing on the other side."""
    hidden = hidden_layers(weights)
    # forward, units without inputs die; backward, units without outputs: neither makes more of the other kind
    for layer in (*range(hidden), *reversed(range(hidden))):
        incoming, outgoing = _squared_norms(weights, layer)
        alive = (incoming > 0) & (outgoing > 0)
        for name in scaled_by_factor(weights, layer):
            weights[name] *= alive[:, None, :] if weights[name].ndim == 3 else alive
        weights[f"kernel_{layer + 1}"] *= alive[:, :, None]


def _squared_norms(weights: Weights, layer: int) -> tuple[Array, Array]:
    """Return the squared norms of the weights that a unit's factor multiplies, and of those that it divides; both [R, units]."""
    squares = [weights[name] ** 2 for name in scaled_by_factor(weights, layer)]
    incoming = np.sum([square.sum(axis=1) if square.ndim == 3 else square for square in squares], axis=0)
    return incoming, np.sum(weights[f"kernel_{layer + 1}"] ** 2, axis=2)


def _balance(weights: Weights) -> list[Doubles]:
    """Return the factors s that make both norms of each unit equal, [R, units] per hidden layer; 1 for a silent unit.

    Layer by layer each unit gets its s = √(‖outgoing‖ / ‖incoming‖) under its neighbours' factors, which is coordinate descent,
    until no log s would change by more than the tolerance. Only t = s² and squared weights are needed. Plain sweeps would take the
    square of the depth; over-relaxed by Young's optimum for a chain, their number is proportional to the depth.
    """
    hidden = hidden_layers(weights)
    relaxation = 2 / (1 + np.sin(np.pi / (hidden + 1)))
    squares = {name: array**2 for name, array in weights.items()}
    squared = [np.ones_like(weights[f"bias_{layer}"]) for layer in range(hidden)]
    for _ in range(MOST_SWEEPS):
        largest = 0.0
        for layer in range(hidden):
            incoming, kernel = squares[f"bias_{layer}"], squares[f"kernel_{layer}"]
            if (scale := squares.get(f"scale_{layer}")) is not None:
                incoming = incoming + scale
            else:
                incoming = incoming + (kernel.sum(axis=1) if layer == 0 else ((1 / squared[layer - 1])[:, None, :] @ kernel)[:, 0])
            after = squares[f"kernel_{layer + 1}"]
            # a layer that is normalised or the last has no factor on its kernel's columns
            bare = layer + 1 == hidden or f"scale_{layer + 1}" in squares
            outgoing = after.sum(axis=2) if bare else (after @ squared[layer + 1][:, :, None])[:, :, 0]
            alive = (incoming > 0) & (outgoing > 0)
            fresh = np.sqrt(np.divide(outgoing, incoming, out=np.ones_like(outgoing), where=alive))
            step = np.log(fresh / squared[layer])
            largest = max(largest, float(np.abs(step).max(initial=0)) / 2)
            squared[layer] = squared[layer] * np.exp(relaxation * step)
        if largest < TOLERANCE:
            break
    return [np.sqrt(square) for square in squared]


# -- weights -----------------------------------------------------------------------------------------------------------------


def scaled_by_factor(weights: Weights, layer: int) -> list[str]:
    """Return the names of the weights that a hidden unit's factor multiplies: not the kernel, with layer normalisation."""
    first = f"scale_{layer}" if f"scale_{layer}" in weights else f"kernel_{layer}"
    return [name for name in (first, f"bias_{layer}", f"sign_{layer}") if name in weights]


def rescale(weights: Weights, rows: Order | slice, layer: int, factor: Array) -> None:
    """Multiply each hidden unit's incoming weights by its factor, [rows, units], and divide its outgoing ones, in place."""
    for name in scaled_by_factor(weights, layer):
        weights[name][rows] *= factor[:, None, :] if weights[name].ndim == 3 else factor
    weights[f"kernel_{layer + 1}"][rows] /= factor[:, :, None]


def rows_of(weights: Weights, rows: Order | int) -> Weights:
    return {name: array[rows] for name, array in weights.items()}


def hidden_layers(weights: Weights) -> int:
    """Return the number of hidden layers."""
    return sum(name.startswith("bias_") for name in weights) - 1


def finite_rows(weights: Weights) -> npt.NDArray[np.bool_]:
    """Return True for each of M networks whose weights are all finite, [M]."""
    return np.all([np.isfinite(array).all(axis=tuple(range(1, array.ndim))) for array in weights.values()], axis=0)


def check_activation(activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise BadInput([Fault("activation", activation, ", ".join(ACTIVATIONS))])
