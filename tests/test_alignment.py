"""Networks up to symmetry: a disguised network is found out, another one isn't, and the distance is judged by its null."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.analysis import alignment, distance, forward, weight_matching
from study.analysis.alignment import align, aligned_to, centre, matched_distances
from study.analysis.rescaling import canonical, folded
from study.errors import BadInput
from study.records.network import Network, parameter_shapes
from study.settings.model import Model

# a busy machine must not fail a property
UNTIMED = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
SEEDS = st.integers(0, 2**32 - 1)


def random_network(sizes: Any, seed: int, normalisation: str | None = None) -> Network:
    """Every parameter is random, and variances are positive; float32."""
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(sizes, normalisation)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Network({name: np.abs(array) if name.startswith("variance") else array for name, array in arrays.items()})


def fresh_network(sizes: Any, seed: int, normalisation: str | None = None) -> Network:
    """Glorot-uniform kernels, no biases, scales of 1."""
    arrays = {}
    for name, array in random_network(sizes, seed, normalisation).parameters.items():
        uniform = np.random.default_rng(seed).uniform(-1, 1, array.shape) * np.sqrt(6 / sum(array.shape))
        arrays[name] = (uniform if name.startswith("kernel") else np.full(array.shape, name.startswith("scale"))).astype(np.float32)
    return Network(arrays)


def disguise(net: Network, activation: str, seed: int) -> tuple[Network, list[Any], list[Any]]:
    """The same function: unit i of a hidden layer is the unit order[i] of `net`, flipped and scaled as the activation allows."""
    rng = np.random.default_rng(seed)
    arrays = dict(net.parameters)
    orders, signs = [], []
    for layer in range(net.depth - 1):
        units = len(net.biases[layer])
        order = rng.permutation(units)
        sign = rng.choice([-1.0, 1.0], units) if activation in ("tanh", "linear") else np.ones(units)
        size = np.exp(rng.normal(size=units)) if activation in ("relu", "leaky_relu", "linear") else np.ones(units)
        for kind in ("kernel", "bias", "scale", "mean", "variance"):
            if (name := f"{kind}_{layer}") in arrays:
                factor = sign * size if kind in (("scale", "bias") if net.normalisation else ("kernel", "bias")) else 1.0
                arrays[name] = (arrays[name][..., order] * factor).astype(np.float32)
        after = f"kernel_{layer + 1}"
        arrays[after] = (arrays[after][order] / (sign * size)[:, None]).astype(np.float32)
        orders.append(order)
        signs.append(sign)
    return Network(arrays), orders, signs


def outputs(net: Network, activation: str) -> Any:
    """In double precision, so that only rounded weights can differ; [50, units]."""
    x: Any = np.random.default_rng(0).normal(size=(50, net.kernels[0].shape[0]))
    wide: Any = {name: array.astype(np.float64) for name, array in net.parameters.items()}
    model = Model(activation=activation, normalisation=net.normalisation)
    return forward.layer_outputs(Network.stack([Network(wide)]), x, model)[-1][0]


def apart(*nets: Network) -> float:
    return float(distance.relative_l2(distance.vectors(nets))[0, 1])


def combined(one: float, a: Network, other: float, b: Network) -> Network:
    """The weights one · a + other · b."""
    return Network({name: (one * array + other * b.parameters[name]).astype(array.dtype) for name, array in a.parameters.items()})


def rearranged(net: Network, layer: int, order: Any, sign: Any = 1.0) -> Network:
    """`net` with a hidden layer's units in another order, each flipped by its sign (with layer normalisation not the kernel)."""
    arrays: Any = dict(net.parameters)
    for kind in ("kernel", "bias", "scale"):
        if (name := f"{kind}_{layer}") in arrays:
            arrays[name] = arrays[name][..., order] * (1.0 if kind == "kernel" and net.normalisation else sign)
    arrays[f"kernel_{layer + 1}"] = (arrays[f"kernel_{layer + 1}"][order].T * sign).T
    return Network(arrays)


def best_of_all_permutations(a: Network, b: Network, odd: bool = False) -> float:
    """The least distance that permuting b's hidden units gives, and flipping them if `odd`, by trying all; both canonical."""
    found = [b]
    for layer, bias in enumerate(b.biases[:-1]):
        signs = list(itertools.product([1.0, -1.0] if odd else [1.0], repeat=len(bias)))
        orders = [list(order) for order in itertools.permutations(range(len(bias)))]
        found = [rearranged(net, layer, order, np.array(sign)) for net in found for order in orders for sign in signs]
    return min(apart(a, net) for net in found)


# -- a disguised copy --------------------------------------------------------------------------------------------------------

ONE, TWO, FIVE = (5, 8, 3), (5, 8, 7, 3), (4, 16, 12, 16, 9, 16, 2)


@pytest.mark.parametrize(
    ("activation", "sizes", "normalisation"),
    [
        ("relu", ONE, None),
        ("relu", TWO, None),
        ("relu", FIVE, None),
        ("relu", (10, 64, 64, 1), None),
        ("leaky_relu", TWO, None),
        ("linear", TWO, None),
        ("tanh", ONE, None),
        ("tanh", FIVE, None),
        ("gelu", TWO, None),
        ("gelu", FIVE, None),
        ("sigmoid", TWO, None),
        ("relu", TWO, "batch"),
        ("tanh", TWO, "batch"),
        ("gelu", TWO, "batch"),
        ("relu", FIVE, "layer"),
        ("tanh", TWO, "layer"),
        ("gelu", TWO, "layer"),
    ],
)
def test_a_permuted_and_rescaled_copy_is_found_out(activation: str, sizes: Any, normalisation: Any) -> None:
    a = random_network(sizes, 1, normalisation)
    b, orders, signs = disguise(a, activation, 2)
    found = align(a, b, activation)
    assert found.raw > 0.5 and found.raw == apart(a, b)
    assert found.distance <= 1e-6
    assert apart(found.reference, found.network) <= 1e-6
    assert all(array.dtype == np.float32 for array in found.network.parameters.values())
    # a place holds the unit of b that came from the unit of a with the place's number
    assert [order[mine].tolist() for order, mine in zip(orders, found.permutations, strict=True)] == [
        list(range(units)) for units in sizes[1:-1]
    ]
    if activation in ("tanh", "linear"):
        assert found.signs is not None
        assert all(np.array_equal(s[p], mine) for s, p, mine in zip(signs, found.permutations, found.signs, strict=True))
    else:
        assert found.signs is None
    before = outputs(b, activation)
    assert np.abs(outputs(found.network, activation) - before).max() <= 1e-5 * np.abs(before).max()


def test_a_known_permutation_by_hand() -> None:
    """b's units are a's second, third and first; the third place gets b's second unit, and so on."""
    identity, zero, one = np.eye(3, dtype=np.float32), np.zeros(3, np.float32), np.zeros(1, np.float32)
    a = ([identity, np.array([[1], [2], [3]], np.float32)], [zero, one])
    b = ([identity[:, [1, 2, 0]], np.array([[2], [3], [1]], np.float32)], [zero, one])
    found = align(a, b, "gelu")
    assert [order.tolist() for order in found.permutations] == [[2, 0, 1]]
    assert [kernel.tolist() for kernel in found.kernels] == [kernel.tolist() for kernel in a[0]]
    assert found.distance == 0
    assert found.raw == pytest.approx(np.sqrt((6 + 6) / (3 + 14)))  # three units' kernels differ by 2 each, 1 + 1 + 4 after them


def test_a_unit_is_rescaled_by_hand() -> None:
    """A unit with 8 coming in and 2 leaving is canonical with 4 and 4: s is 1/2."""
    zero = np.zeros(1, np.float32)
    net = Network.of_layers([np.array([[8]], np.float32), np.array([[2]], np.float32)], [zero, zero])
    found = canonical(net, "relu")
    assert [kernel.item() for kernel in found.kernels] == pytest.approx([4, 4])


# -- another network ---------------------------------------------------------------------------------------------------------


def test_two_networks_of_one_function_that_no_permutation_connects() -> None:
    """relu(x₁) − relu(x₂): the second layer passes its inputs on, or takes each less the other."""
    identity, zero, one = np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.zeros(1, np.float32)
    out = np.array([[1], [-1]], np.float32)
    a, b = (Network.of_layers([identity, middle, out], [zero, zero, one]) for middle in (identity, 2 * identity - 1))
    assert outputs(a, "relu") == pytest.approx(outputs(b, "relu"), abs=1e-6)
    found = align(a, b, "relu")
    assert found.distance == pytest.approx(best_of_all_permutations(canonical(a, "relu"), canonical(b, "relu")))
    assert found.distance > 0.4
    assert np.abs(outputs(combined(0.5, found.reference, 0.5, found.network), "relu") - outputs(a, "relu")).max() > 0.1


def test_weight_matching_is_at_most_as_good_as_trying_all_permutations_and_mostly_as_good() -> None:
    nets = Network.stack([random_network((3, 4, 3, 2), seed) for seed in range(8)])
    each = canonical(nets, "relu").unstack()
    found = matched_distances(nets, "relu")
    pairs = list(itertools.combinations(range(8), 2))
    excess = np.array([found[i, j] / best_of_all_permutations(each[i], each[j]) - 1 for i, j in pairs])
    assert excess.min() > -1e-9
    assert np.mean(excess < 1e-9) > 0.8
    assert excess.max() < 0.15


@pytest.mark.parametrize("normalisation", [None, "layer"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@given(seed=SEEDS, sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
@UNTIMED
def test_one_hidden_layers_matching_is_the_best(seed: int, sizes: tuple[int, ...], activation: str, normalisation: Any) -> None:
    a, b = (random_network(sizes, each, normalisation) for each in (seed, seed + 1))
    best = best_of_all_permutations(canonical(a, activation), canonical(b, activation), odd=activation == "tanh")
    assert matched_distances([a, b], activation)[0, 1] == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_no_two_units_of_deeper_networks_would_better_trade_places(seed: int) -> None:
    a, b = (random_network((3, 9, 8, 7, 2), each) for each in (seed, seed + 100))
    found = align(a, b, "gelu")
    for layer, units in enumerate((9, 8, 7)):
        for one, other in itertools.combinations(range(units), 2):
            order = np.arange(units)
            order[[one, other]] = other, one
            assert apart(a, rearranged(found.network, layer, order)) >= found.distance - 1e-6


@given(SEEDS, st.sampled_from(["relu", "tanh", "gelu", "linear"]), st.sampled_from([(3, 6, 2), (3, 6, 5, 2), (2, 4, 3, 4, 1)]))
@UNTIMED
def test_the_distance_is_symmetric_zero_to_itself_and_at_most_the_unmatched_one(seed: int, activation: str, sizes: Any) -> None:
    nets = [random_network(sizes, seed + number) for number in range(3)]
    found = matched_distances(nets, activation)
    unmatched = distance.relative_l2(distance.vectors([canonical(net, activation) for net in nets]))
    assert np.array_equal(found, found.T) and np.all(np.diag(found) == 0)
    assert np.all(found <= unmatched + 1e-12)
    assert np.all(found[~np.eye(3, dtype=bool)] > 0.01)
    assert align(nets[1], nets[0], activation).distance == pytest.approx(found[0, 1])


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_networks_with_a_start_in_common_are_not_torn_apart(activation: str) -> None:
    a, noise = (fresh_network((10, 32, 32, 32, 1), seed) for seed in (0, 1))
    found = align(a, combined(1, a, 0.5, noise), activation)
    assert [order.tolist() for order in found.permutations] == [list(range(32))] * 3
    assert found.distance < 0.6


@pytest.mark.parametrize("seed", [23, 30, 31])
def test_matching_falls_back_on_the_network_as_it_is(seed: int) -> None:
    """The starts that ignore in which order the units came end farther away than where it already is."""
    a, noise = (fresh_network((3, 8, 8, 8, 1), each) for each in (seed, seed + 1000))
    b = combined(1, a, 0.5, noise)
    assert align(a, disguise(b, "gelu", 3)[0], "gelu").distance > apart(a, b) + 0.1
    assert align(a, b, "gelu").distance <= apart(a, b) + 1e-12


@given(SEEDS, st.sampled_from(["relu", "tanh", "gelu", "linear"]))
@UNTIMED
def test_with_one_hidden_layer_the_distance_sees_through_any_disguise(seed: int, activation: str) -> None:
    a, b = (random_network((3, 6, 2), each) for each in (seed, seed + 1))
    disguised_a, disguised_b = (disguise(net, activation, seed)[0] for net in (a, b))
    expected = pytest.approx(align(a, b, activation).distance, abs=1e-5)
    assert align(disguised_a, b, activation).distance == expected
    assert align(a, disguised_b, activation).distance == expected
    assert align(disguised_a, disguised_b, activation).distance == expected


# -- the canonical scale -----------------------------------------------------------------------------------------------------


def norms(net: Network, layer: int) -> tuple[Any, Any]:
    """What comes into each unit of a hidden layer, and what leaves it."""
    incoming = np.vstack([net.kernels[layer], net.biases[layer]])
    return np.linalg.norm(incoming, axis=0), np.linalg.norm(net.kernels[layer + 1], axis=1)


@given(SEEDS, st.sampled_from(["relu", "leaky_relu", "linear"]), st.sampled_from([ONE, TWO, FIVE]))
@UNTIMED
def test_canonical_units_have_equal_norms_and_the_networks_function(seed: int, activation: str, sizes: Any) -> None:
    net = random_network(sizes, seed)
    found = canonical(net, activation)
    for layer in range(net.depth - 1):
        incoming, outgoing = norms(found, layer)
        assert np.log(incoming / outgoing) == pytest.approx(0, abs=1e-11)
    before = outputs(net, activation)
    assert np.abs(outputs(found, activation) - before).max() <= 1e-10 * np.abs(before).max()
    again = canonical(found, activation)
    assert apart(found, again) < 1e-11
    assert np.linalg.norm(distance.vectors([found])) <= np.linalg.norm(distance.vectors([net]))


def test_a_deep_network_becomes_canonical_too() -> None:
    net = random_network((3, *[6] * 30, 2), 0)
    found = canonical(net, "relu")
    for layer in range(30):
        incoming, outgoing = norms(found, layer)
        assert np.log(incoming / outgoing) == pytest.approx(0, abs=1e-11)
    assert matched_distances([net, disguise(net, "relu", 1)[0]], "relu").max() < 1e-6


def test_a_stack_becomes_canonical_as_its_networks_do_alone() -> None:
    nets = [random_network(TWO, seed) for seed in range(3)]
    stacked = canonical(Network.stack(nets), "relu").unstack()
    assert all(apart(mine, canonical(net, "relu")) < 1e-11 for mine, net in zip(stacked, nets, strict=True))
    assert all(array.dtype == np.float64 for array in stacked[0].parameters.values())


@pytest.mark.parametrize("activation", ["elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus"])
def test_an_activation_that_is_not_homogeneous_keeps_the_weights(activation: str) -> None:
    net = random_network(TWO, 0)
    assert apart(net, canonical(net, activation)) == 0


def test_a_silent_unit_has_no_weights_left() -> None:
    """In the first layer nothing comes into unit 1, unit 2 leads nowhere, and unit 4 leads only to what leads nowhere.

    In the second layer nothing comes into unit 0 but from the silent ones, and unit 2 leads nowhere.
    """
    arrays = {name: array.copy() for name, array in random_network((3, 5, 3, 2), 0).parameters.items()}
    arrays["kernel_0"][:, 1] = arrays["bias_0"][1] = 0
    arrays["kernel_1"][2] = arrays["kernel_1"][4, :2] = 0
    arrays["kernel_1"][[0, 3], 0] = arrays["bias_1"][0] = 0
    arrays["kernel_2"][2] = 0
    net = Network(arrays)
    found = canonical(net, "relu")
    assert outputs(found, "relu") == pytest.approx(outputs(net, "relu"), rel=1e-10)
    silent = [[False, True, True, False, True], [True, False, True]]
    for side in (0, 1):
        assert [(norms(found, layer)[side] == 0).tolist() for layer in (0, 1)] == silent
    other, _, _ = disguise(net, "relu", 1)
    assert align(net, other, "relu").distance < 1e-6


def test_a_network_of_zeros_is_no_distance_from_itself() -> None:
    zero = Network({name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(TWO, None).items()})
    assert align(zero, zero, "relu").distance == 0


# -- normalisation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_batch_normalisation_folds_exactly(activation: str, epsilon: float) -> None:
    net = Network.stack([random_network((4, 6, 5, 2), seed, "batch") for seed in range(3)])
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    expected = forward.layer_outputs(net, x, Model(activation=activation, normalisation="batch", norm_epsilon=epsilon))
    plain = folded(net, epsilon)
    assert plain.architecture == "4-6-5-2" and plain.kernels[0].shape == (3, 4, 6)
    for mine, theirs in zip(forward.layer_outputs(plain, x, Model(activation=activation)), expected, strict=True):
        assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_nothing_else_is_folded() -> None:
    for normalisation in (None, "layer"):
        net = random_network(TWO, 0, normalisation)
        assert folded(net) is net


def test_a_normalised_layers_epsilon_matters() -> None:
    net, zero_variance = random_network(ONE, 0, "batch"), np.zeros(8, np.float32)
    net = Network(net.parameters | {"variance_0": zero_variance})
    other = random_network(ONE, 1, "batch")
    assert align(net, other, norm_epsilon=1.0).distance != pytest.approx(align(net, other, norm_epsilon=1e-3).distance, rel=0.01)


# -- the null ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "activation", "normalisation", "raw", "null"),
    [
        ((64, 64, 64, 10), "gelu", None, 1.41, 1.21),  # permutation alone, as ../shared/science.md has it
        ((64, 64, 64, 10), "relu", None, 1.41, 1.15),
        ((64, 32, 10), "tanh", None, 1.41, 1.21),
        ((64, 64, 64, 10), "gelu", "layer", 1.03, 0.88),  # the scales are ones in both
    ],
)
def test_fresh_networks_are_one_null_apart(sizes: Any, activation: str, normalisation: Any, raw: float, null: float) -> None:
    found = align(fresh_network(sizes, 1, normalisation), fresh_network(sizes, 2, normalisation), activation)
    assert found.raw == pytest.approx(raw, rel=0.03)
    assert found.null == pytest.approx(null, rel=0.03)
    assert found.ratio == pytest.approx(1, abs=0.03)


def test_the_null_knows_the_symmetry() -> None:
    net = fresh_network((10, 32, 32, 1), 0)
    nulls = [alignment.null_distance(net, activation) for activation in ("gelu", "relu", "tanh")]
    assert nulls[2] < nulls[0] - 0.02, "signs give more to choose from"
    assert alignment.null_distance(net, "relu") == nulls[1]


# -- many networks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "normalisation"), [("relu", None), ("tanh", None), ("relu", "batch"), ("relu", "layer")])
def test_a_matrix_holds_what_each_pair_gives_alone_however_it_is_cut(
    activation: str, normalisation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = [random_network((3, 6, 5, 2), seed, normalisation) for seed in range(5)]
    found = matched_distances(nets, activation)
    for i, j in itertools.combinations(range(5), 2):
        assert found[i, j] == pytest.approx(align(nets[i], nets[j], activation).distance, abs=1e-12)
    monkeypatch.setattr(weight_matching, "CHUNK_BYTES", 1)
    assert matched_distances(Network.stack(nets), activation) == pytest.approx(found, abs=1e-12)


def test_a_network_that_diverged_is_at_no_distance() -> None:
    nets = [random_network(TWO, seed) for seed in range(3)]
    nets[1].parameters["kernel_1"][0, 0] = np.inf
    found = matched_distances(nets, "relu")
    assert np.isnan(found).tolist() == [[False, True, False], [True, True, True], [False, True, False]]
    assert np.isnan(align(nets[0], nets[1]).distance)
    assert np.isnan(centre(nets, "relu").distances).tolist() == [False, True, False]


def test_networks_aligned_to_one_or_each_to_its_own() -> None:
    nets = [random_network(TWO, seed) for seed in range(4)]
    one, stack = nets[0], Network.stack(nets[1:])
    for found, net in zip(aligned_to(one, stack, "relu").unstack(), nets[1:], strict=True):
        assert apart(found, align(one, net).network) < 1e-6
    shifted = Network.stack(nets[:3])
    for i, found in enumerate(aligned_to(shifted, stack, "relu").unstack()):
        assert apart(found, align(nets[i], nets[i + 1]).network) < 1e-6


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_the_centre_of_disguised_copies_is_the_network(activation: str) -> None:
    net = random_network(FIVE, 0)
    found = centre([disguise(net, activation, seed)[0] for seed in range(6)], activation)
    assert found.distances.max() < 1e-6
    assert align(net, found.mean, activation).distance < 1e-6
    assert found.networks.kernels[0].shape == (6, 4, 16)


def test_a_centre_is_where_no_network_can_be_matched_better() -> None:
    nets = [random_network((4, 8, 2), seed) for seed in range(6)]
    found = centre(nets, "gelu")
    each = found.networks.unstack()
    for i, mine in enumerate(each):
        others = combined(6 / 5, found.mean, -1 / 5, mine)
        assert [order.tolist() for order in align(others, mine, "gelu").permutations] == [list(range(8))]
        assert found.distances[i] == pytest.approx(apart(mine, found.mean))
    middle = Network({name: array.mean(axis=0) for name, array in Network.stack(nets).parameters.items()})
    assert found.distances.mean() < np.mean([apart(net, middle) for net in nets]) - 0.1


def test_a_lone_network_is_its_own_centre() -> None:
    assert centre([random_network(TWO, 0)], "relu").distances.tolist() == [0]


def test_results_are_the_same_again() -> None:
    nets = [random_network((3, 9, 8, 7, 2), seed) for seed in range(4)]
    assert np.array_equal(matched_distances(nets, "tanh", restarts=5), matched_distances(nets, "tanh", restarts=5))
    assert np.array_equal(centre(nets, "tanh").distances, centre(nets, "tanh").distances)


def test_more_starts_are_never_worse() -> None:
    nets = [random_network((3, 9, 8, 7, 2), seed) for seed in range(6)]
    few, more, most = (matched_distances(nets, "relu", restarts=count) for count in (1, 2, 10))
    assert np.all(most <= more) and np.all(more <= few) and most.sum() < more.sum() < few.sum()


# -- refusals ----------------------------------------------------------------------------------------------------------------

A = random_network((3, 4, 2), 0)


@pytest.mark.parametrize(
    ("other", "activation", "words"),
    [
        (random_network((3, 5, 2), 0), "relu", ["3-4-2", "3-5-2"]),
        (random_network((3, 4, 2), 0, "layer"), "relu", ["3-4-2 and 3-4-2 with layer normalisation"]),
        (random_network((3, 4, 4, 2), 0), "relu", ["3-4-2", "3-4-4-2"]),
        (A, "swish", ["activation", "swish", "tanh"]),
        (Network.stack([A, A]), "relu", ["net_b", "layer 0", "replicates"]),
        ((A.kernels, A.biases[:1]), "relu", ["net_b", "2 kernels", "1 biases"]),
        ((A.kernels[::-1], A.biases), "relu", ["net_b", "[4, 2]", "[4]"]),
        ((A.kernels, A.biases[::-1]), "relu", ["net_b", "[3, 4]", "[2]"]),
        (((), ()), "relu", ["net_b", "0 kernels"]),
    ],
)
def test_what_can_not_be_aligned_is_refused_with_the_reason(other: Any, activation: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refusal:
        align(A, other, activation)
    assert [word for word in words if word not in str(refusal.value)] == []


def test_many_networks_of_two_architectures_are_refused() -> None:
    other = random_network((3, 5, 2), 0)
    for refused in (lambda: matched_distances([A, other], "relu"), lambda: centre([A, other], "relu")):
        with pytest.raises(BadInput, match="3-4-2 and 3-5-2"):
            refused()
    with pytest.raises(BadInput, match="3-4-2 and 3-5-2"):
        aligned_to(A, [other], "relu")
    with pytest.raises(BadInput, match="none"):
        matched_distances([], "relu")
