"""Distances between networks without what changes the weights but not the function, and their null distance.

A hidden layer's units can stand in any order. With relu, leaky_relu and linear, which are positively homogeneous, a unit's incoming
weights can also be multiplied by s > 0 and its outgoing ones divided by s; with tanh and linear, which are odd, s = −1 is possible
too. So a network is first brought to the scale at which every unit's incoming and outgoing norms are equal (`canonical`), and then
its units are matched, with signs where the activation is odd (`match`). Two symmetries are left out: sigmoid's, 1 − σ(−z), which
would move biases of the next layer, and mixtures of linear units.

Normalisation. Batch normalisation is folded into kernel and bias by its running statistics, which is exact at inference, and leaves
a plain network. Layer normalisation can't be folded: units keep it when they are permuted, each with its scale. There s multiplies
a unit's scale and bias but not its kernel, which the normalisation of all units sees. Its other symmetries (one factor, inexact
because of epsilon, or one offset for the whole layer's kernel) are left in.

Cost, in CPU time of one thread, between fresh relu networks: 0.2 ms per pair for 10-64-1, 1.1 ms for 10-128-1, 3.0 ms for
10-64-64-1 (6 s for all 2,016 pairs of 64 networks), 6.5 ms for 10-64-64-64-64-1, 16 ms for 10-128-128-1, 0.5 s for
64-512-512-10 and 1.2 s for 784-512-512-512-10; tanh 10-64-64-1 takes 3.6 ms. Memory: a copy of the networks in double precision,
and about 70 MB for the pairs in work, however many there are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study import seeds
from study.analysis import blas, distance
from study.analysis.distance import Matrix
from study.analysis.rescaling import (
    NORM_EPSILON,
    ODD,
    TOLERANCE,
    Order,
    Weights,
    balanced,
    canonical,
    check_activation,
    finite_rows,
    folded,
    rescale,
    rows_of,
)
from study.analysis.weight_matching import inner_products, match, only, pairs_at_once, relative_distances, with_orders
from study.errors import BadInput
from study.records.arrays import Array, Doubles, Floats
from study.records.network import Network, parameter_shapes
from study.settings.model import LAYER

RESTARTS = 2

Networks = Network | Sequence[Network]
Layers = tuple[Sequence[Floats], Sequence[Floats]]


@dataclass(frozen=True)
class Alignment:
    """Network b aligned to network a.

    permutations: for each hidden layer, the unit of b at each of a's positions: kernel[:, permutation] is in a's order.
    signs: ±1 at each position, or None where the activation isn't odd.
    network: b's function in a's order and at a's scales, in b's dtype: each unit is divided by the factor that makes a's unit
    canonical. So a permuted and rescaled copy of a becomes a again, and the straight line from `reference` to `network` passes
    through the functions between the canonical networks. reference: a, with batch normalisation folded as in `network`.
    raw: relative L2 distance of the weights as given. distance: that of the canonical, matched networks. null: `null_distance`.
    """

    permutations: tuple[Order, ...]
    signs: tuple[Order, ...] | None
    reference: Network
    network: Network
    raw: float
    distance: float
    null: float

    @property
    def ratio(self) -> float:
        """The distance divided by that of two fresh networks."""
        return self.distance / self.null

    @property
    def kernels(self) -> tuple[Floats, ...]:
        return self.network.kernels

    @property
    def biases(self) -> tuple[Floats, ...]:
        return self.network.biases


@dataclass(frozen=True)
class Centre:
    """R networks matched to their mean.

    networks: canonical and in a common order, [R, …]; mean: over the finite ones; both in double precision. distances: [R],
    relative L2 from each to the mean, NaN for a network that isn't finite.
    """

    networks: Network
    mean: Network
    distances: Doubles


def align(
    net_a: Network | Layers,
    net_b: Network | Layers,
    activation: str = "relu",
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Alignment:
    """Bring `net_b` as close to `net_a` as permuting, rescaling and flipping its hidden units can.

    A network is a `Network` or (kernels, biases) with [in, out] and [out] for each layer, without the replica axis. Raises BadInput
    for networks of different architectures. A network that isn't finite is left as it is, at the distance NaN.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> alignment = study.align(*cohort.networks(), activation="relu")
    >>> alignment.distance < alignment.raw, [sorted(order.tolist()) for order in alignment.permutations]
    (True, [[0, 1, 2, 3]])
    """
    check_activation(activation)
    nets = [_single(net, name) for net, name in ((net_a, "net_a"), (net_b, "net_b"))]
    _check_same_architecture(nets)
    a, b = (folded(net, norm_epsilon) for net in nets)
    matched = _matched_to_scales(Network.stack([a]), Network.stack([b]), activation, restarts, seed)
    with np.errstate(invalid="ignore"):  # a diverged network's raw distance is NaN too
        raw = float(distance.relative_l2(distance.vectors(nets))[0, 1])
    layers = range(b.depth - 1)
    return Alignment(
        permutations=tuple(matched.weights[f"order_{layer}"][0] for layer in layers),
        signs=tuple(matched.weights[f"sign_{layer}"][0].astype(np.intp) for layer in layers) if activation in ODD else None,
        reference=a,
        network=matched.network(b).unstack()[0],
        raw=raw,
        distance=float(matched.distances[0]),
        null=null_distance(a, activation, restarts=restarts),
    )


def aligned_to(
    references: Network,
    networks: Networks,
    activation: str,
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Network:
    """Align R networks to one reference, or each to its own of R; return a stack [R, …] like `Alignment.network`, in their dtype.

    Compare the result with `folded(references)`.
    """
    check_activation(activation)
    stack = _stack(networks)
    _check_same_architecture([references, stack])
    a, b = folded(references, norm_epsilon), folded(stack, norm_epsilon)
    if a.biases[0].ndim == 1:
        a = Network.stack([a] * len(b.biases[0]))
    return _matched_to_scales(a, b, activation, restarts, seed).network(b)


@blas.one_thread()
def matched_distances(
    networks: Networks,
    activation: str,
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Matrix:
    """Return the relative L2 distance of each pair of R networks, canonical and matched, [R, R]; NaN where one isn't finite."""
    stack = canonical(_stack(networks), activation, norm_epsilon=norm_epsilon).parameters
    finite = finite_rows(stack)
    distances = np.where(finite[:, None] & finite[None, :], 0.0, np.nan)
    pairs = np.array(list(itertools.combinations(np.flatnonzero(finite), 2)), dtype=np.intp).reshape(-1, 2)
    step = pairs_at_once(stack)
    for first, second in (pairs[start : start + step].T for start in range(0, len(pairs), step)):
        a, b = rows_of(stack, first), rows_of(stack, second)
        distances[first, second] = distances[second, first] = relative_distances(a, match(a, b, activation in ODD, restarts, seed))
    return distances


@blas.one_thread()
def centre(
    networks: Networks,
    activation: str,
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Centre:
    """Match each of R networks to the mean of the others until nothing improves (arXiv:2209.04836, Algorithm 3).

    All are first matched to the first network, which saves rounds, and with 64 networks 10-64-64-1 a third of the time.
    """
    odd = activation in ODD
    stack = canonical(_stack(networks), activation, norm_epsilon=norm_epsilon).parameters
    finite = np.flatnonzero(finite_rows(stack))
    aligned = rows_of(stack, finite)
    count = len(finite)
    if count > 1:
        aligned = only(match(rows_of(aligned, np.zeros(count, dtype=np.intp)), aligned, odd, restarts, seed), stack)
    generator = seeds.generator(seed)
    improved = count > 1
    while improved:
        improved = False
        for row in generator.permutation(count):
            own = rows_of(aligned, np.array([row]))
            others = {name: (array.sum(axis=0, keepdims=True) - own[name]) / (count - 1) for name, array in aligned.items()}
            moved = match(others, own, odd, restarts, seed)
            if inner_products(others, moved)[0] - inner_products(others, own)[0] > TOLERANCE * inner_products(own, own)[0]:
                improved = True
                for name, array in aligned.items():
                    array[row] = moved[name][0]
    mean = {name: array.mean(axis=0) if count else np.full(array.shape[1:], np.nan) for name, array in aligned.items()}
    distances = np.full(len(stack["bias_0"]), np.nan)
    distances[finite] = relative_distances({name: array[None] for name, array in mean.items()}, aligned)
    for name, array in stack.items():
        array[finite] = aligned[name]
    return Centre(Network(stack), Network(mean), distances)


def seconds_a_pair(networks: Network) -> float:
    """Estimate how long it takes to match two networks of this architecture on one core; assignments are cubic in the width."""
    return 7e-9 * sum(bias.shape[-1] ** 3 for bias in networks.biases[:-1])


def null_distance(network: Network, activation: str, *, restarts: int = RESTARTS) -> float:
    """Return the mean of `matched_distances` between fresh networks of this architecture; computed once per process.

    Fresh networks start as Keras' layers do: kernels Glorot-uniform, biases 0, scales 1. Wider layers need fewer networks, from 16
    down to 2, because the distances vary less (SD 0.016 for 10-64-64-1, 0.0005 for 64-512-512-10) and cost more.
    """
    sizes = (network.kernels[0].shape[-2], *(kernel.shape[-1] for kernel in network.kernels))
    return _null_distance(sizes, LAYER if network.normalisation == LAYER else None, activation, restarts)


@functools.cache
def _null_distance(sizes: tuple[int, ...], normalisation: str | None, activation: str, restarts: int) -> float:
    generator = seeds.generator(0)
    count = min(max(512 // max(sizes[1:-1], default=1), 2), 16)
    fresh: dict[str, Array] = {}
    for name, shape in parameter_shapes(sizes, normalisation).items():
        limit = np.sqrt(6 / sum(shape)) if name.startswith("kernel") else 0.0
        fresh[name] = generator.uniform(-limit, limit, (count, *shape)) + name.startswith("scale")
    return distance.mean_of_pairs(matched_distances(Network(fresh), activation, restarts=restarts))


# -- matching ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Match:
    """weights: M networks, matched; distances: [M]; factors: of the networks that they were matched to, [M, units] per layer."""

    weights: Weights
    distances: Doubles
    factors: list[Doubles]

    def network(self, like: Network) -> Network:
        """Return the matched networks, in the dtype of `like`, at the scales of the networks that they were matched to."""
        weights = {name: self.weights[name].copy() for name in like.parameters}
        for layer, factor in enumerate(self.factors):
            rescale(weights, slice(None), layer, 1 / factor)
        return Network({name: array.astype(like.parameters[name].dtype) for name, array in weights.items()})


@blas.one_thread()
def _matched_to_scales(a: Network, b: Network, activation: str, restarts: int, seed: int) -> _Match:
    """Match each of M networks to the one at its position in `a`; both are stacks, without batch normalisation."""
    targets, factors = balanced(a, activation)
    weights, _ = balanced(b, activation)
    finite = finite_rows(targets) & finite_rows(weights)
    matched = with_orders(weights)
    rows = np.flatnonzero(finite)
    step = pairs_at_once(weights)
    for chunk in (rows[start : start + step] for start in range(0, len(rows), step)):
        chunk_matched = match(rows_of(targets, chunk), rows_of(weights, chunk), activation in ODD, restarts, seed)
        for name, array in matched.items():
            array[chunk] = chunk_matched[name]
    factors = [np.where(finite[:, None], factor, 1.0) for factor in factors]
    distances = np.full(len(finite), np.nan)
    distances[rows] = relative_distances(rows_of(targets, rows), rows_of(matched, rows))
    return _Match(matched, distances, factors)


# -- arguments ---------------------------------------------------------------------------------------------------------------


def _stack(networks: Networks) -> Network:
    if isinstance(networks, Network):
        return networks
    _check_same_architecture(networks)
    return Network.stack(networks)


def _check_same_architecture(networks: Sequence[Network]) -> None:
    if len(architectures := list(dict.fromkeys(net.architecture for net in networks))) != 1:
        raise BadInput(f"networks can be aligned only within one architecture; got {' and '.join(architectures) or 'none'}")


def _single(net: Network | Layers, name: str) -> Network:
    """Return `net` as a Network, after checking that its layers fit together."""
    if not isinstance(net, Network):
        kernels, biases = ([np.asarray(array) for array in part] for part in net)
        if len(kernels) != len(biases) or not kernels:
            raise BadInput(f"{name}: got {len(kernels)} kernels and {len(biases)} biases; valid: one of each per layer")
        net = Network.of_layers(kernels, biases)
    inputs = net.kernels[0].shape[:1]
    for layer, (kernel, bias) in enumerate(zip(net.kernels, net.biases, strict=True)):
        if kernel.ndim != 2 or kernel.shape[:1] != inputs or kernel.shape[1:] != bias.shape:
            valid = f"[{', '.join(map(str, inputs))}, units] and [units], without an axis for replicates"
            raise BadInput(f"{name}: got a kernel {[*kernel.shape]} and a bias {[*bias.shape]} in layer {layer}; valid: {valid}")
        inputs = bias.shape
    return net
