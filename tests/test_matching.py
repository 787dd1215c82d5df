"""Many pairs matched at once are matched as each pair is alone, to the bit, and on any number of threads."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_info, threadpool_limits

from study import seeds
from study.analysis import alignment, blas, pairwise
from study.analysis.rescaling import TOLERANCE, Weights, rows_of
from study.analysis.weight_matching import match
from study.records.arrays import Array
from study.records.dataset import Dataset
from study.records.network import Network, parameter_shapes
from study.settings.loss import SparseCategoricalCrossentropy
from study.settings.model import Model

# -- the direct computation: one pair, one layer and one parameter at a time ---------------------------------------------------


def matched_alone(a: Weights, b: Weights, odd: bool, restarts: int, seed: int) -> Weights:
    """`match` of a single pair, without an axis for pairs."""
    hidden = sum(name.startswith("bias") for name in a) - 1
    candidates = []
    for start in range(restarts if hidden > 1 else 0):
        fresh, generator = as_it_is(b, hidden), seeds.generator(seed, start)
        for layer in reversed(range(hidden)) if start == 1 else range(hidden):
            if start < 2:
                _, value, signs = similarity(a, fresh, layer, odd, incoming=start == 0, outgoing=start == 1)
                reorder(fresh, layer, linear_sum_assignment(value, maximize=True)[1], signs)
            else:
                order = generator.permutation(len(a[f"bias_{layer}"]))
                reorder(fresh, layer, order, np.ones((len(order), len(order))))
        candidates.append(improved(a, fresh, odd, generator, hidden))
    best = max((product(a, candidate) for candidate in candidates), default=-np.inf)
    if product(a, b) >= min(best, best / 2):
        candidates.append(improved(a, as_it_is(b, hidden), odd, seeds.generator(seed), hidden))
    found = candidates[0]
    for candidate in candidates[1:]:
        found = candidate if product(a, candidate) >= product(a, found) else found
    return found


def as_it_is(b: Weights, hidden: int) -> Weights:
    units = [len(b[f"bias_{layer}"]) for layer in range(hidden)]
    orders = {f"order_{layer}": np.arange(count) for layer, count in enumerate(units)}
    signs = {f"sign_{layer}": np.ones(count) for layer, count in enumerate(units)}
    return {name: array.copy() for name, array in b.items()} | orders | signs


def improved(a: Weights, b: Weights, odd: bool, generator: np.random.Generator, hidden: int) -> Weights:
    changed = [True] * hidden
    while any(changed):
        for layer in generator.permutation(hidden):
            if not changed[layer]:
                continue
            changed[layer] = False
            current, value, signs = similarity(a, b, layer, odd)
            order = linear_sum_assignment(value, maximize=True)[1]
            gain = value[np.arange(len(order)), order].sum() - current
            if gain > TOLERANCE * np.abs(value).max() * len(order):
                reorder(b, layer, order, signs)
                for neighbour in {layer - 1, layer + 1} & set(range(hidden)):
                    changed[neighbour] = True
    return b


def similarity(
    a: Weights, b: Weights, layer: int, odd: bool, *, incoming: bool = True, outgoing: bool = True
) -> tuple[float, Array, Array]:
    """What the units contribute as they stand, each pair's contribution by its better sign, and that sign."""
    kernel, bias, scale, after = f"kernel_{layer}", f"bias_{layer}", f"scale_{layer}", f"kernel_{layer + 1}"
    fixed = signed = np.zeros((len(b[bias]), len(b[bias])))
    if incoming and scale in a:
        # the normalisation sees the kernel of a flipped unit as it was
        fixed = a[kernel].T @ b[kernel]
        signed = signed + np.outer(a[scale], b[scale])
    elif incoming:
        signed = signed + a[kernel].T @ b[kernel]
    if incoming:
        signed = signed + np.outer(a[bias], b[bias])
    if outgoing:
        signed = signed + a[after] @ b[after].T
    value = fixed + (np.abs(signed) if odd else signed)
    return float(np.trace(fixed + signed)), value, np.where(odd & (signed < 0), -1.0, 1.0)


def reorder(b: Weights, layer: int, order: Array, signs: Array) -> None:
    sign = signs[np.arange(len(order)), order]
    for kind in ("kernel", "bias", "scale", "order", "sign"):
        if (name := f"{kind}_{layer}") in b:
            flipped = kind in ("bias", "scale", "sign") or (kind == "kernel" and f"scale_{layer}" not in b)
            b[name] = b[name][..., order] * sign if flipped else b[name][..., order]
    b[f"kernel_{layer + 1}"] = b[f"kernel_{layer + 1}"][order] / sign[:, None]


def product(a: Weights, b: Weights) -> float:
    return float(sum(np.sum(array * b[name]) for name, array in a.items()))


# -- the same by both --------------------------------------------------------------------------------------------------------


def stack(sizes: tuple[int, ...], count: int, seed: int, normalisation: str | None = None) -> Weights:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, *shape)) for name, shape in parameter_shapes(sizes, normalisation).items()}


@pytest.mark.parametrize("restarts", [1, 2, 4])
@pytest.mark.parametrize("normalisation", [None, "layer"])
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("sizes", [(5, 1), (5, 12, 2), (4, 16, 9, 3), (3, 8, 11, 8, 2)])
def test_many_pairs_are_matched_as_each_is_alone(
    sizes: tuple[int, ...], odd: bool, normalisation: str | None, restarts: int
) -> None:
    a, b = (stack(sizes, 12, seed, normalisation) for seed in (0, 1))
    # some that are near, so that the start from b as it is counts
    for name, array in b.items():
        array[:4] = a[name][:4] + 0.3 * array[:4]
    found = match(a, b, odd, restarts, seed=7)
    for row in range(12):
        alone = matched_alone(rows_of(a, row), rows_of(b, row), odd, restarts, seed=7)
        assert found.keys() == alone.keys()
        for name, array in alone.items():
            np.testing.assert_array_equal(found[name][row], array)


# -- threads -----------------------------------------------------------------------------------------------------------------


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_small_products_take_one_thread_and_large_ones_as_many_as_before() -> None:
    with threadpool_limits(2, user_api="blas"):
        with blas.one_thread():
            assert threads() == {1}
        with blas.one_thread(blas.LARGE - 1):
            assert threads() == {1}
        with blas.one_thread(blas.LARGE):
            assert threads() == {2}
        with pytest.raises(ValueError, match="no"), blas.one_thread():
            raise ValueError("no")
        assert threads() == {2}


def test_networks_compare_alike_on_any_number_of_threads() -> None:
    """Products of these sizes are spread over threads that round differently."""
    rng = np.random.default_rng(0)
    networks = Network({name: array.astype(np.float32) / 8 for name, array in stack((64, 128, 128, 10), 3, 2).items()}).unstack()
    x, y = rng.normal(size=(1500, 64)).astype(np.float32), rng.integers(0, 10, 1500)
    data = Dataset(x_train=x, y_train=y, x_val=x[:500], y_val=y[:500], outputs=10)
    model = Model(units=(128, 128), activation="relu")

    def compared() -> dict[str, Array]:
        return pairwise.of_networks(
            networks,
            labels=["plateaued"] * 3,
            losses=[1.0] * 3,
            model=model,
            loss=SparseCategoricalCrossentropy(),
            data=data,
            centred=True,
        ).arrays()

    found = []
    for count in (1, 2):
        with threadpool_limits(count, user_api="blas"):
            found.append(compared())
    one, two = ({name: array.tobytes() for name, array in arrays.items()} for arrays in found)
    assert one == two
    assert "centre" in found[0] and alignment.centre(networks, "relu").distances.tolist() == found[0]["centre"].tolist()
