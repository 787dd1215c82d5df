"""Distances between networks once everything that changes the weights and not the function has been taken out, and its null.

A hidden layer's units can be put in any order. With relu, leaky_relu and linear, which are positively homogeneous, what comes
into a unit can also be multiplied by s > 0 and what leaves it divided by s; with tanh and linear, which are odd, s = −1 does no
harm either. So a network is first brought to the scale at which every unit's incoming and outgoing norms are equal (`canonical`;
its squared norm is then the least that rescaling can give, a convex problem in log s with one solution), and then its units are
matched, with signs where the activation is odd, by weight matching (Git Re-Basin, arXiv:2209.04836, Algorithm 1). Sigmoid's
symmetry 1 − σ(−z) would move biases of the next layer and is left out, as are linear's mixtures of units.

With one hidden layer the matching is the best one. With more it is a local optimum, the best of several starts, which may
depend on the order in which the units came: a large distance never proves that no better matching exists.

Normalisation. Batch normalisation is folded into kernel and bias by its running statistics, which is exact at inference, and the
network is then a plain one. Layer normalisation can't be folded: units keep it as they are permuted, each with its scale. There
s multiplies a unit's scale and bias and not its kernel, which all units' normalisation sees. Its other symmetries (one factor,
inexact because of epsilon, or one offset for the whole layer's kernel) are left in.

Cost, in CPU time on one of 2 cores (AMD EPYC), between fresh relu networks: 0.2 ms a pair for 10-64-1, 1 ms for 10-128-1, 3.7 ms
for 10-64-64-1 (7.4 s for all 2,016 pairs of 64 networks), 7.4 ms for 10-64-64-64-64-1, 18 ms for 10-128-128-1, 0.6 s for
64-512-512-10 and 1.4 s for 784-512-512-512-10; tanh 10-64-64-1 takes 4 ms. Two thirds are SciPy's assignments, whose time grows
with the width's cube. Memory: the networks once more in double precision, and about 70 MB for the
pairs in hand, however many there are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from study import distance, seeds
from study.distance import Matrix
from study.errors import BadInput, Fault
from study.records import Array, Doubles, Floats, Network, parameter_shapes
from study.settings.model import ACTIVATIONS, BATCH, LAYER, Model

HOMOGENEOUS = ("relu", "leaky_relu", "linear")
ODD = ("tanh", "linear")
RESTARTS = 2
NORM_EPSILON = Model.norm_epsilon
TOLERANCE = 1e-12
MOST_SWEEPS = 10_000
CHUNK_BYTES = 2**26

Order = npt.NDArray[np.intp]
Networks = Network | Sequence[Network]
Layers = tuple[Sequence[Floats], Sequence[Floats]]

# Of M networks, in double precision: a network's parameters by name, [M, …]. While b is matched to a there are also order_i and
# sign_i, [M, units], of each hidden layer i: which unit of b is now in each place, and times what.
Weights = dict[str, Array]


@dataclass(frozen=True)
class Alignment:
    """b aligned to a.

    permutations: of each hidden layer, which unit of b is in each place, so that kernel[:, permutation] is in a's order.
    signs: ±1 in each place, or None where the activation isn't odd.
    network: b's function in a's order and at a's scales (a unit's factor is the one that makes a's unit canonical, undone), in b's
    dtype. A permuted and rescaled copy of a is therefore a again, and the straight line from `reference` to `network` has the
    functions of that between the canonical networks. reference: a, with batch normalisation folded as in `network`.
    raw: relative L2 of the weights as given. distance: that of the canonical networks, matched. null: `null_distance`.
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
        """The distance in units of what two fresh networks give."""
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

    networks: canonical and in a common order, [R, …]; mean: of those that are finite; both in double precision. distances: [R],
    relative L2 from each to the mean, NaN of a network that isn't finite.
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
    """Brings `net_b` as close to `net_a` as permuting, rescaling and flipping its hidden units can.

    A network is a `Network` or (kernels, biases), a layer [in, out] and [out], without the axis [R]. Raises BadInput for networks
    of different architectures. One that isn't finite is left as it is, at the distance NaN.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> found = study.align(*cohort.networks(), activation="relu")
    >>> found.distance < found.raw, [sorted(order.tolist()) for order in found.permutations]
    (True, [[0, 1, 2, 3]])
    """
    _known(activation)
    nets = [_single(net, name) for net, name in ((net_a, "net_a"), (net_b, "net_b"))]
    _same(nets)
    a, b = (folded(net, norm_epsilon) for net in nets)
    match = _matched_to_scales(Network.stack([a]), Network.stack([b]), activation, restarts, seed)
    with np.errstate(invalid="ignore"):  # a diverged network's raw distance is NaN too
        raw = float(distance.relative_l2(distance.vectors(nets))[0, 1])
    places = range(b.depth - 1)
    return Alignment(
        permutations=tuple(match.weights[f"order_{layer}"][0] for layer in places),
        signs=tuple(match.weights[f"sign_{layer}"][0].astype(np.intp) for layer in places) if activation in ODD else None,
        reference=a,
        network=match.network(b).unstack()[0],
        raw=raw,
        distance=float(match.distances[0]),
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
    """R networks aligned to one reference, or each to its own of R: a stack [R, …] in their dtype, as `Alignment.network` is.

    What it is to be compared with is `folded(references)`.
    """
    _known(activation)
    stack = _stack(networks)
    _same([references, stack])
    a, b = folded(references, norm_epsilon), folded(stack, norm_epsilon)
    if a.biases[0].ndim == 1:
        a = Network.stack([a] * len(b.biases[0]))
    return _matched_to_scales(a, b, activation, restarts, seed).network(b)


def matched_distances(
    networks: Networks,
    activation: str,
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Matrix:
    """Relative L2 of each pair of R networks, canonical and matched, [R, R]; NaN where one of the two isn't finite."""
    stack = canonical(_stack(networks), activation, norm_epsilon=norm_epsilon).parameters
    finite = _finite(stack)
    found = np.where(finite[:, None] & finite[None, :], 0.0, np.nan)
    pairs = np.array(list(itertools.combinations(np.flatnonzero(finite), 2)), dtype=np.intp).reshape(-1, 2)
    step = _pairs_at_once(stack)
    for first, second in (pairs[start : start + step].T for start in range(0, len(pairs), step)):
        a, b = _rows(stack, first), _rows(stack, second)
        found[first, second] = found[second, first] = _apart(a, _matched(a, b, activation in ODD, restarts, seed))
    return found


def centre(
    networks: Networks,
    activation: str,
    *,
    norm_epsilon: float = NORM_EPSILON,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Centre:
    """Matches each of R networks to the mean of the others until nothing improves (arXiv:2209.04836, Algorithm 3).

    Before, all are matched to the first, which leads no nearer but in fewer rounds: 64 networks 10-64-64-1 take 11 s and not 16 s.
    """
    odd = activation in ODD
    stack = canonical(_stack(networks), activation, norm_epsilon=norm_epsilon).parameters
    finite = np.flatnonzero(_finite(stack))
    aligned = _rows(stack, finite)
    count = len(finite)
    if count > 1:
        aligned = _only(_matched(_rows(aligned, np.zeros(count, dtype=np.intp)), aligned, odd, restarts, seed), stack)
    generator = seeds.generator(seed)
    improved = count > 1
    while improved:
        improved = False
        for row in generator.permutation(count):
            mine = _rows(aligned, np.array([row]))
            others = {name: (array.sum(axis=0, keepdims=True) - mine[name]) / (count - 1) for name, array in aligned.items()}
            moved = _matched(others, mine, odd, restarts, seed)
            if _inner(others, moved)[0] - _inner(others, mine)[0] > TOLERANCE * _inner(mine, mine)[0]:
                improved = True
                for name, array in aligned.items():
                    array[row] = moved[name][0]
    mean = {name: array.mean(axis=0) if count else np.full(array.shape[1:], np.nan) for name, array in aligned.items()}
    distances = np.full(len(stack["bias_0"]), np.nan)
    distances[finite] = _apart({name: array[None] for name, array in mean.items()}, aligned)
    for name, array in stack.items():
        array[finite] = aligned[name]
    return Centre(Network(stack), Network(mean), distances)


def seconds_a_pair(networks: Network) -> float:
    """About how long matching two networks of this architecture takes on one core; assignments go by the cube of the width."""
    return 7e-9 * sum(bias.shape[-1] ** 3 for bias in networks.biases[:-1])


def null_distance(network: Network, activation: str, *, restarts: int = RESTARTS) -> float:
    """What `matched_distances` is on average between fresh networks of this architecture; computed once a process.

    They start as Keras' layers do: kernels Glorot-uniform, biases 0, scales 1. The wider a layer the fewer they are, from 16 to
    2, as the pairs' distances vary less (SD 0.016 for 10-64-64-1, 0.0005 for 64-512-512-10) and cost more.
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


def folded(network: Network, norm_epsilon: float = NORM_EPSILON) -> Network:
    """The plain network that a batch-normalised one is at inference, in its dtype; any other network as it is."""
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
    """The same function at the one scale at which each hidden unit's incoming and outgoing norms are equal, in double precision.

    network: one, or a stack [R, …]. A unit of which either norm is zero adds nothing to any output, whatever the other is: both
    become zero. A network that isn't finite, or whose activation isn't homogeneous, keeps its weights. Batch normalisation is
    folded.
    """
    _known(activation)
    plain = folded(network, norm_epsilon)
    single = plain.biases[0].ndim == 1
    weights, _ = _canonical(Network.stack([plain]) if single else plain, activation)
    return Network(_rows(weights, 0) if single else weights)


# -- scales ------------------------------------------------------------------------------------------------------------------


def _canonical(stack: Network, activation: str) -> tuple[Weights, list[Doubles]]:
    """The canonical weights [R, …], and the factor of every hidden unit that leads to them, [R, units] a hidden layer."""
    weights: Weights = {name: array.astype(np.float64) for name, array in stack.parameters.items()}
    factors = [np.ones(bias.shape) for bias in stack.biases[:-1]]
    finite = np.flatnonzero(_finite(weights))
    if activation in HOMOGENEOUS and finite.size:
        chosen = _rows(weights, finite)
        _silence(chosen)
        found = _balance(chosen)
        for layer, factor in enumerate(found):
            _rescale(chosen, slice(None), layer, factor)
            factors[layer][finite] = factor
        for name, array in weights.items():
            array[finite] = chosen[name]
    return weights, factors


def _silence(weights: Weights) -> None:
    """Makes zero, in place, what comes into or leaves a unit that has nothing on the other side."""
    hidden = _hidden(weights)
    # forward, what nothing comes into dies; backward, what leads nowhere: neither makes more of the other
    for layer in (*range(hidden), *reversed(range(hidden))):
        incoming, outgoing = _squared_norms(weights, layer)
        alive = (incoming > 0) & (outgoing > 0)
        for name in _scaled(weights, layer):
            weights[name] *= alive[:, None, :] if weights[name].ndim == 3 else alive
        weights[f"kernel_{layer + 1}"] *= alive[:, :, None]


def _squared_norms(weights: Weights, layer: int) -> tuple[Array, Array]:
    """Of what a unit's factor multiplies, and of what it divides; both [R, units]."""
    squares = [weights[name] ** 2 for name in _scaled(weights, layer)]
    incoming = np.sum([each.sum(axis=1) if each.ndim == 3 else each for each in squares], axis=0)
    return incoming, np.sum(weights[f"kernel_{layer + 1}"] ** 2, axis=2)


def _balance(weights: Weights) -> list[Doubles]:
    """The factors s that make both norms of each unit equal, [R, units] a hidden layer; 1 for a silent unit.

    Layer by layer each unit gets its s = √(‖outgoing‖ / ‖incoming‖) under its neighbours' factors, which is coordinate descent,
    until no log s would change by more than the tolerance. Only t = s² and squared weights are needed. Sweeps alone would take the
    square of the depth; over-relaxed, by Young's optimum for a chain, their number grows with the depth.
    """
    hidden = _hidden(weights)
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
    return [np.sqrt(each) for each in squared]


# -- matching ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Match:
    """weights: M networks, matched; distances: [M]; factors: those of the networks that they were matched to."""

    weights: Weights
    distances: Doubles
    factors: list[Doubles]

    def network(self, like: Network) -> Network:
        """The matched networks at the scales of those that they were matched to."""
        weights = {name: self.weights[name].copy() for name in like.parameters}
        for layer, factor in enumerate(self.factors):
            _rescale(weights, slice(None), layer, 1 / factor)
        return Network({name: array.astype(like.parameters[name].dtype) for name, array in weights.items()})


def _matched_to_scales(a: Network, b: Network, activation: str, restarts: int, seed: int) -> _Match:
    """Each of M networks matched to that of its place in `a`; both are stacks, without batch normalisation."""
    targets, factors = _canonical(a, activation)
    weights, _ = _canonical(b, activation)
    finite = _finite(targets) & _finite(weights)
    matched = _with_places(weights)
    rows = np.flatnonzero(finite)
    step = _pairs_at_once(weights)
    for chunk in (rows[start : start + step] for start in range(0, len(rows), step)):
        found = _matched(_rows(targets, chunk), _rows(weights, chunk), activation in ODD, restarts, seed)
        for name, array in matched.items():
            array[chunk] = found[name]
    factors = [np.where(finite[:, None], factor, 1.0) for factor in factors]
    distances = np.full(len(finite), np.nan)
    distances[rows] = _apart(_rows(targets, rows), _rows(matched, rows))
    return _Match(matched, distances, factors)


def _matched(a: Weights, b: Weights, odd: bool, restarts: int, seed: int) -> Weights:
    """Each of M networks b with its hidden units permuted, and flipped if `odd`, to have the largest inner product with its a.

    The first start sees a layer's incoming weights alone, from the first layer on, the second its outgoing ones alone, from the
    last layer on. These two don't depend on the order in which b's units came, and they find a permuted copy at any depth,
    which the paper's start, b as it is, seldom does. The rest are random permutations. b as it is comes last, where it is at
    least half as good as what the others ended in: so networks that had a start in common aren't torn apart, matching never makes
    a distance larger, and unrelated networks cost no start in vain. A lone hidden layer's optimum is found from anywhere.
    """
    hidden = _hidden(a)
    best = _with_places(b)
    unmatched = _inner(a, b)
    everyone = np.arange(len(unmatched))
    product = np.full(len(unmatched), -np.inf)
    for start in range(restarts if hidden > 1 else 0):
        trial, generator = _with_places(b), seeds.generator(seed, start)
        for layer in reversed(range(hidden)) if start == 1 else range(hidden):
            if start < 2:
                _, value, signs = _similarity(a, trial, everyone, layer, odd, incoming=start == 0, outgoing=start == 1)
                _place(trial, everyone, layer, _assigned(value), signs)
            else:
                order = np.tile(generator.permutation(a[f"bias_{layer}"].shape[1]), (len(everyone), 1))
                _place(trial, everyone, layer, order, None)
        _improve(a, trial, odd, generator)
        _keep_better(best, product, everyone, trial, _inner(a, trial))
    if (near := np.flatnonzero(unmatched >= np.minimum(product, product / 2))).size:
        targets, trial = _rows(a, near), _with_places(_rows(b, near))
        _improve(targets, trial, odd, seeds.generator(seed))
        _keep_better(best, product, near, trial, _inner(targets, trial))
    return best


def _keep_better(best: Weights, product: Doubles, rows: Order, trial: Weights, found: Doubles) -> None:
    """Replaces in place, in these rows, what has a smaller inner product than the trial; equally good, the later trial is kept."""
    better = found >= product[rows]
    product[rows[better]] = found[better]
    for name, array in best.items():
        array[rows[better]] = trial[name][better]


def _improve(a: Weights, b: Weights, odd: bool, generator: np.random.Generator) -> None:
    """Permutes b's hidden layers in place, each the best for its neighbours, in random order until none improves."""
    hidden = _hidden(a)
    open_layers = np.ones((len(a["bias_0"]), hidden), dtype=bool)  # those whose neighbours have moved since
    while open_layers.any():
        for layer in generator.permutation(hidden):
            rows = np.flatnonzero(open_layers[:, layer])
            if not rows.size:
                continue
            open_layers[rows, layer] = False
            now, value, signs = _similarity(a, b, rows, layer, odd)
            order = _assigned(value)
            then = np.take_along_axis(value, order[:, :, None], axis=2).sum(axis=(1, 2))
            # rounding must not pass for a gain, or two equally good orders would take turns for ever
            better = then - now > TOLERANCE * np.abs(value).max(axis=(1, 2)) * value.shape[1]
            _place(b, rows[better], layer, order[better], None if signs is None else signs[better])
            for neighbour in {layer - 1, layer + 1} & set(range(hidden)):
                open_layers[rows[better], neighbour] = True


def _similarity(
    a: Weights, b: Weights, rows: Order, layer: int, odd: bool, *, incoming: bool = True, outgoing: bool = True
) -> tuple[Array, Array, Array | None]:
    """What the pairs of a layer's units add to the inner product of a and b, in these m rows.

    First as they stand, [m]; then [m, units of a, units of b] for each pair, with the better sign if `odd`; then these signs.
    """
    fixed: Array | float = 0.0
    signed: Any = 0.0
    if incoming:
        names = _scaled(a, layer)
        for name in names if f"kernel_{layer}" in names else (f"kernel_{layer}", *names):
            mine, other = a[name][rows], b[name][rows]
            if mine.ndim == 2:
                signed = signed + mine[:, :, None] * other[:, None, :]
            elif name in names:
                signed = signed + mine.transpose(0, 2, 1) @ other
            else:
                fixed = mine.transpose(0, 2, 1) @ other  # a flipped unit keeps the kernel that layer normalisation sees
    if outgoing:
        after = f"kernel_{layer + 1}"
        signed = signed + a[after][rows] @ b[after][rows].transpose(0, 2, 1)
    total: Array = fixed + signed
    now = np.trace(total, axis1=1, axis2=2)
    return (now, fixed + np.abs(signed), np.where(signed < 0, -1.0, 1.0)) if odd else (now, total, None)


def _assigned(value: Array) -> Order:
    """For each of M square matrices the column that each row gets, [M, units], the chosen entries' sum being the largest."""
    return np.stack([linear_sum_assignment(matrix, maximize=True)[1] for matrix in value])


def _place(weights: Weights, rows: Order, layer: int, order: Order, signs: Array | None) -> None:
    """Puts in each place of a hidden layer the unit that `order` [rows, units] names, times its sign [rows, units, units]."""
    for name in {f"{kind}_{layer}" for kind in ("kernel", "bias", "scale", "order", "sign")} & set(weights):
        array = weights[name][rows]
        weights[name][rows] = np.take_along_axis(array, order[:, None, :] if array.ndim == 3 else order, axis=-1)
    after = f"kernel_{layer + 1}"
    weights[after][rows] = np.take_along_axis(weights[after][rows], order[:, :, None], axis=1)
    if signs is not None:
        _rescale(weights, rows, layer, np.take_along_axis(signs, order[:, :, None], axis=2)[:, :, 0])


def _rescale(weights: Weights, rows: Order | slice, layer: int, factor: Array) -> None:
    """Multiplies what comes into each hidden unit by its factor, [rows, units], and divides what leaves it, in place."""
    for name in _scaled(weights, layer):
        weights[name][rows] *= factor[:, None, :] if weights[name].ndim == 3 else factor
    weights[f"kernel_{layer + 1}"][rows] /= factor[:, :, None]


# -- weights -----------------------------------------------------------------------------------------------------------------


def _scaled(weights: Weights, layer: int) -> list[str]:
    """What a hidden unit's factor multiplies: with layer normalisation the kernel is not among it."""
    first = f"scale_{layer}" if f"scale_{layer}" in weights else f"kernel_{layer}"
    return [name for name in (first, f"bias_{layer}", f"sign_{layer}") if name in weights]


def _with_places(weights: Weights) -> Weights:
    """A copy in which every hidden unit's place and sign are noted."""
    places: Weights = {name: array.copy() for name, array in weights.items()}
    for layer in range(_hidden(weights)):
        count, units = weights[f"bias_{layer}"].shape
        places[f"order_{layer}"], places[f"sign_{layer}"] = np.tile(np.arange(units), (count, 1)), np.ones((count, units))
    return places


def _only(weights: Weights, like: Weights) -> Weights:
    return {name: weights[name] for name in like}


def _rows(weights: Weights, rows: Order | int) -> Weights:
    return {name: array[rows] for name, array in weights.items()}


def _hidden(weights: Weights) -> int:
    """The number of hidden layers."""
    return sum(name.startswith("bias_") for name in weights) - 1


def _finite(weights: Weights) -> npt.NDArray[np.bool_]:
    """Which of M networks have finite weights throughout, [M]."""
    return np.all([np.isfinite(array).all(axis=tuple(range(1, array.ndim))) for array in weights.values()], axis=0)


def _inner(a: Weights, b: Weights) -> Doubles:
    """The inner product of each a with its b, [M]."""
    return np.sum([np.sum(array * b[name], axis=tuple(range(1, array.ndim))) for name, array in a.items()], axis=0)


def _apart(a: Weights, b: Weights) -> Doubles:
    """Relative L2 of each a and its b, [M], as in `distance`; from differences, so that a copy is exactly 0 away."""
    gaps = {name: array - b[name] for name, array in a.items()}
    scale = (_inner(a, a) + _inner(only := _only(b, a), only)) / 2
    squares = _inner(gaps, gaps)
    return np.sqrt(np.divide(squares, scale, out=np.zeros_like(squares), where=scale > 0))


def _pairs_at_once(weights: Weights) -> int:
    """How many pairs are matched in one go: their weights (about six copies) and similarities must fit into CHUNK_BYTES."""
    parameters = sum(array[0].size for array in weights.values())
    widest = max((weights[f"bias_{layer}"].shape[1] for layer in range(_hidden(weights))), default=0)
    return max(1, CHUNK_BYTES // (8 * (6 * parameters + 4 * widest**2)))


# -- what is asked ------------------------------------------------------------------------------------------------------------


def _stack(networks: Networks) -> Network:
    if isinstance(networks, Network):
        return networks
    _same(networks)
    return Network.stack(networks)


def _same(networks: Sequence[Network]) -> None:
    if len(found := list(dict.fromkeys(net.architecture for net in networks))) != 1:
        raise BadInput(f"networks can be aligned only within one architecture; got {' and '.join(found) or 'none'}")


def _known(activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise BadInput([Fault("activation", activation, ", ".join(ACTIVATIONS))])


def _single(net: Network | Layers, name: str) -> Network:
    """`net` as a Network whose layers fit together."""
    if not isinstance(net, Network):
        kernels, biases = ([np.asarray(array) for array in part] for part in net)
        if len(kernels) != len(biases) or not kernels:
            raise BadInput(f"{name}: got {len(kernels)} kernels and {len(biases)} biases; valid: one of each a layer")
        net = Network.of_layers(kernels, biases)
    inputs = net.kernels[0].shape[:1]
    for layer, (kernel, bias) in enumerate(zip(net.kernels, net.biases, strict=True)):
        if kernel.ndim != 2 or kernel.shape[:1] != inputs or kernel.shape[1:] != bias.shape:
            valid = f"[{', '.join(map(str, inputs))}, units] and [units], without an axis for replicates"
            raise BadInput(f"{name}: got a kernel {[*kernel.shape]} and a bias {[*bias.shape]} in layer {layer}; valid: {valid}")
        inputs = bias.shape
    return net
