"""Searchable fingerprints: blind to what doesn't matter, near for near duplicates, and text that survives or is refused."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from study.analysis import forward, similarity
from study.analysis.similarity import Index, Searchable, decode, encode, features, nearest
from study.errors import Corrupt
from study.records.network import Network, parameter_shapes
from study.settings.model import Model

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZES = (6, 12, 9, 4)
PROBES = np.random.default_rng(5).normal(size=(50, 6)).astype(np.float32)


def drawn(seed: int, sizes: Any = SIZES, normalisation: str | None = None) -> Network:
    draw = np.random.default_rng(seed)
    shapes = parameter_shapes(sizes, normalisation)
    return Network({name: (draw.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32) for name, shape in shapes.items()})


def moved(net: Network, size: float, seed: int = 0) -> Network:
    """Each array disturbed by so many times its own size."""
    draw = np.random.default_rng(seed)
    return Network({k: (a + size * a.std() * draw.normal(size=a.shape)).astype(np.float32) for k, a in net.parameters.items()})


def transformed(net: Network, order: Any = None, scale: Any = None) -> Network:
    """The units of each hidden layer in another order and scaled; either is a function of the layer's number and width."""
    kernels, biases = [k.astype(np.float64) for k in net.kernels], [b.astype(np.float64) for b in net.biases]
    for layer in range(net.depth - 1):
        width = len(biases[layer])
        by = scale(layer, width) if scale else np.ones(width)
        at = order(layer, width) if order else np.arange(width)
        kernels[layer], biases[layer] = (kernels[layer] * by)[:, at], (biases[layer] * by)[at]
        kernels[layer + 1] = (kernels[layer + 1] / by[:, None])[at]
    return Network.of_layers([k.astype(np.float32) for k in kernels], [b.astype(np.float32) for b in biases])


def copy(net: Network, seed: int, signs: bool = False) -> Network:
    """The same function with its units shuffled, and scaled by factors up to 10 or by signs."""
    draw = np.random.default_rng(seed)
    return transformed(
        net,
        lambda _, width: draw.permutation(width),
        lambda _, width: draw.choice([-1.0, 1.0], width) if signs else 10 ** draw.uniform(-1, 1, width),
    )


def canonical(net: Network) -> Network:
    """Each hidden unit's incoming weights and bias with the norm of its outgoing weights."""
    kernels, biases = [k.astype(np.float64) for k in net.kernels], [b.astype(np.float64) for b in net.biases]
    for _ in range(200):
        for layer in range(net.depth - 1):
            incoming = np.sqrt(np.sum(kernels[layer] ** 2, axis=0) + biases[layer] ** 2)
            by = np.sqrt(np.linalg.norm(kernels[layer + 1], axis=1) / incoming)
            kernels[layer], biases[layer], kernels[layer + 1] = (
                kernels[layer] * by,
                biases[layer] * by,
                kernels[layer + 1] / by[:, None],
            )
    return Network.of_layers([k.astype(np.float32) for k in kernels], [b.astype(np.float32) for b in biases])


def of(net: Network, activation: str = "relu", probes: Any = PROBES, canonically: bool = True) -> Searchable:
    predictions = forward.layer_outputs(Network.stack([net]), probes, Model(activation=activation))[-1][0]
    return features(canonical(net) if canonically else net, activation, probes, predictions)


def between(first: Searchable, second: Searchable) -> float:
    return float(nearest(first, [second]).distances[0])


# -- features ----------------------------------------------------------------------------------------------------------------


def test_the_values_by_hand() -> None:
    """A 1-2-1 network: kernel (3, −4), bias (4, 3), so norms 5 and 5; then (1, 2) with bias −1."""
    net = Network.of_layers(
        [np.array([[3, -4]], np.float32), np.array([[1], [2]], np.float32)],
        [np.array([4, 3], np.float32), np.array([-1], np.float32)],
    )
    found = features(net, "relu", np.zeros((2, 1), np.float32), np.array([[7], [8]], np.float32))
    assert found.blocks == (1, 2, 14, 1, 1, 14, 2)
    first = [5, 5, 5, -4, -2.25, -0.5, 1.25, 3, -0.5, 3.5, 3, 3.25, 3.5, 3.75, 4, 3.5, 0.5]
    second = [np.sqrt(5), np.sqrt(6), 1, 1.25, 1.5, 1.75, 2, 1.5, 0.5, -1, -1, -1, -1, -1, -1, 0]
    assert found.values.tolist() == pytest.approx([*first, *second, 7, 8])
    magnitudes = features(net, "tanh", np.zeros((2, 1), np.float32), np.array([[7], [8]], np.float32)).values
    assert magnitudes[3:10].tolist() == pytest.approx([3, 3.25, 3.5, 3.75, 4, 3.5, 0.5])


@given(st.integers(0, 10_000))
@settings(UNTIMED, max_examples=20)
def test_permuted_and_rescaled_copies_are_no_distance_apart(seed: int) -> None:
    net = drawn(seed)
    assert between(of(net), of(copy(net, seed + 1))) < 1e-5
    assert between(of(net), of(drawn(seed + 1))) > 0.1


def test_units_that_change_their_sign_change_nothing_under_tanh() -> None:
    net = drawn(0)
    other = copy(net, 1, signs=True)
    assert between(of(net, "tanh", canonically=False), of(other, "tanh", canonically=False)) < 1e-6


def test_the_distance_grows_with_the_disturbance() -> None:
    net = drawn(0)
    distances = [between(of(net), of(moved(net, size))) for size in (0, 1e-4, 1e-3, 1e-2, 1e-1)]
    assert distances[0] == 0 and np.all(np.diff(distances) > 0)
    assert 0.2 < distances[2] / 1e-3 < 2 and 0.2 < distances[3] / 1e-2 < 2


@pytest.mark.parametrize("normalisation", [None, "layer", "batch"])
@pytest.mark.parametrize(
    ("sizes", "probes"),
    [((10, 128, 1), 88), ((64, 64, 64, 10), 600), ((64, 300, 300, 10), 600), ((3, *[40] * 100, 2), 512), ((70_000, 2, 1), 1)],
    ids=["small", "digits", "wide", "deep", "many inputs"],
)
def test_any_architecture_fits_a_tag(sizes: Any, probes: int, normalisation: Any) -> None:
    shapes = parameter_shapes(sizes, normalisation)
    draw = np.random.default_rng(0)
    net = Network({name: draw.random(shape, np.float32) for name, shape in shapes.items()})
    found = features(net, "relu", np.zeros((probes, sizes[0]), np.float32), draw.random((probes, sizes[-1]), np.float32))
    assert len(found.values) == sum(found.blocks) <= similarity.VALUES
    assert found.blocks[-1] == min(similarity.PROJECTED, min(probes, similarity.PROBES) * sizes[-1])
    assert found.blocks[2] == (7 * 3 if normalisation else 7 * 2)
    text = encode(found)
    assert len(text) <= 4500 and decode(text).values.tobytes() == found.values.tobytes()


def test_projected_predictions_keep_their_distance() -> None:
    draw = np.random.default_rng(0)
    net, probes, first = drawn(0, (6, 2, 10)), np.zeros((512, 6), np.float32), draw.normal(size=(512, 10)).astype(np.float32)
    for size in (1e-3, 1e-1, 1):
        second = (first + size * draw.normal(size=first.shape)).astype(np.float32)
        # one of seven blocks is the predictions, and the others are the same
        found = 7 * between(features(net, "relu", probes, first), features(net, "relu", probes, second))
        scale = np.sqrt((np.sum(first**2) + np.sum(second**2)) / 2)
        assert found == pytest.approx(np.linalg.norm(first - second) / scale, rel=0.25)


def test_many_predictions_are_projected_in_little_memory() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    tracemalloc.start()
    found = similarity._projected(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    signs = similarity.seeds.generator(0).choice((-1.0, 1.0), size=(similarity.PROJECTED, len(values)))
    np.testing.assert_allclose(found, signs @ values / np.sqrt(similarity.PROJECTED), rtol=1e-9)
    assert peak < signs.nbytes / 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_diverged_network_is_nan_throughout_and_found_last(bad: float) -> None:
    net = drawn(0)
    diverged = Network(net.parameters | {"kernel_1": np.full_like(net.kernels[1], bad)})
    predictions = np.full((50, 4), 0, np.float32)
    found = [features(each, "relu", PROBES, predictions) for each in (diverged, drawn(1), net)]
    assert np.isnan(found[0].values).all() and len({each.blocks for each in found}) == 1
    assert nearest(found[2], found).order.tolist() == [2, 1, 0]
    assert np.isnan(decode(encode(found[0])).values).all()


# -- as text -----------------------------------------------------------------------------------------------------------------

FLOATS = arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(width=32))


@given(FLOATS, st.integers(0, 2**64 - 1), st.data())
@UNTIMED
def test_decode_is_the_inverse_of_encode(values: Any, number: int, data: Any) -> None:
    cut = data.draw(st.integers(0, len(values)))
    found = Searchable(f"{number:016x}", (cut, len(values) - cut), values)
    again = decode(encode(found))
    assert (again.kind, again.blocks) == (found.kind, found.blocks)
    assert again.values.dtype == np.float32 and again.values.tobytes() == values.tobytes()
    assert encode(found).startswith(f"searchable-1:{found.kind}:")


GOOD = encode(of(drawn(0)))


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
@UNTIMED
def test_a_changed_character_is_refused(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed != GOOD:
        with pytest.raises(Corrupt):
            decode(changed)


@given(st.integers(0, len(GOOD) - 1))
@UNTIMED
def test_a_text_cut_off_is_refused(length: int) -> None:
    with pytest.raises(Corrupt):
        decode(GOOD[:length])


@given(st.text() | st.text(st.sampled_from("ABCDwxyz0189+/=")).map(lambda coded: f"searchable-1:{'0' * 16}:{coded}"))
@UNTIMED
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(Corrupt):
        decode(text)


@pytest.mark.parametrize("foreign", ["", GOOD + "\n", GOOD.replace("searchable-1", "searchable-2"), GOOD.upper(), GOOD + "AAAA"])
def test_text_of_another_version_or_with_more_is_refused(foreign: str) -> None:
    with pytest.raises(Corrupt):
        decode(foreign)


# -- searching ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-3, 1e-2])
def test_a_near_duplicate_is_found_first(size: float) -> None:
    many = [of(drawn(seed)) for seed in range(60)]
    for seed in range(0, 60, 7):
        order, distances = nearest(of(copy(moved(drawn(seed), size), seed)), many)
        assert order[0] == seed and sorted(order) == list(range(60))
        assert distances[0] < 3 * size and distances[1] > 5 * distances[0]


def test_only_networks_of_one_kind_are_compared() -> None:
    net, deeper = drawn(0), drawn(0, (6, 12, 9, 9, 4))
    batch, layered = drawn(0, SIZES, "batch"), drawn(0, SIZES, "layer")
    predictions = np.zeros((50, 4), np.float32)
    others = [
        features(deeper, "relu", PROBES, predictions),
        features(batch, "relu", PROBES, predictions),
        features(layered, "relu", PROBES, predictions),
        features(net, "elu", PROBES, predictions),
        features(net, "relu", PROBES + 1, predictions),
        features(net, "relu", PROBES[:-1], predictions[:-1]),
    ]
    mine = features(net, "relu", PROBES, predictions)
    assert len({each.kind for each in (mine, *others)}) == 7
    assert [each.tolist() for each in nearest(mine, [*others, mine])] == [[6], [0]]
    assert [each.tolist() for each in nearest(mine, others)] == [[], []]
    assert nearest(mine, []).order.tolist() == []


def test_probes_beyond_the_first_512_change_nothing() -> None:
    net, probes, predictions = drawn(0), np.ones((600, 6), np.float32), np.ones((600, 4), np.float32)
    found, expected = features(net, "relu", probes, predictions), features(net, "relu", probes[:512], predictions[:512])
    assert found.kind == expected.kind and found.values.tolist() == expected.values.tolist()


def test_the_distance_is_its_definition_and_symmetric() -> None:
    first = Searchable("0" * 16, (2, 1, 1), np.array([3, 4, 0, 1], np.float32))
    second = Searchable("0" * 16, (2, 1, 1), np.array([0, 0, 0, 3], np.float32))
    # the squares of the blocks' distances are 25 / 12.5, 0 / 0 and 4 / 5
    expected = (np.sqrt(2) + 0 + np.sqrt(0.8)) / 3
    assert between(first, second) == between(second, first) == pytest.approx(expected)
    assert between(first, first) == 0


def test_ten_thousand_are_searched_at_once() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(10_000, 446)).astype(np.float32)
    blocks = (64, 64, 14, 64, 64, 14, 10, 10, 14, 128)
    index = Index([Searchable("0" * 16, blocks, row) for row in rows])
    query = Searchable("0" * 16, blocks, rows[4321] + np.float32(1e-3))
    started = time.process_time()
    order, distances = index.nearest(query, 5)
    assert time.process_time() - started < 5
    assert order[0] == 4321 and len(order) == len(distances) == 5
