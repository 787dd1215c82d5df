"""The numbers that networks are judged by, against numbers that a reader can check."""

import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from study import seeds
from study.analysis import disagreement, distance, fingerprints, forward
from study.data import batches
from study.records.network import Network, parameter_shapes
from study.records.outcome import Summary
from study.reporting import columns, report
from study.settings import spec
from study.settings.model import Model
from study.statistics import intervals, rounding

# a busy machine must not fail a property
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def floats(*values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def test_a_number_has_three_digits_and_zero_has_no_sign() -> None:
    assert [rounding.number(value) for value in (-0.0, -0.00123, 123456.0, None)] == ["0.00", "-0.00123", "1.23e+05", "–"]


@pytest.mark.parametrize(
    ("mean", "halfwidth", "expected"),
    [
        (-21.1134, 103.4, "-21 ± 103"),
        (1234.5, 99.6, "1234 ± 100"),
        (0.41432, 0.0123, "0.414 ± 0.012"),
        (0.41432, 0.0, "0.4143"),
        (0.41432, None, "0.4143"),
        (2.5e7, 1.5e6, "2.500e+07 ± 1.5e+06"),
    ],
)
def test_a_mean_has_the_digits_of_its_interval(mean: float, halfwidth: float | None, expected: str) -> None:
    assert rounding.interval_text(mean, halfwidth) == expected


def test_no_interval_in_a_column_is_written_as_zero() -> None:
    assert columns.means([1.6, 1.7, 1.8, None], [0.2, 0.25, 0.004, None]) == ["1.60 ± 0.20", "1.70 ± 0.25", "1.80 ± 0.004", "–"]
    assert columns.means([1.6, 0.0412], [0.31, 0.0]) == ["1.600 ± 0.310", "0.041"]


@pytest.mark.parametrize(
    ("halfwidth", "expected"),
    [(0.0123, "0.414 ± 0.012 (mean ± 95% interval over 3 replicates)"), (0.0, "0.4143 (mean over 3 replicates)")],
)
def test_an_interval_is_announced_where_one_is_printed(halfwidth: float, expected: str) -> None:
    summary = Summary([0.4143] * 3, 0.4143, 0.0, halfwidth, 1.0, 0.0, 0.0, 1, {})
    assert report.loss_over_text(summary) == expected


# -- distance ----------------------------------------------------------------------------------------------------------------

HAND_MADE = np.array([[3.0, 4.0], [0.0, 0.0], [-3.0, -4.0], [4.0, -3.0]])  # the norms are 5, 0, 5, 5


def test_relative_l2_by_hand() -> None:
    one = np.sqrt(2)  # 5 / √(25 / 2): a network against nothing; and 5√2 / 5: two at right angles
    assert distance.relative_l2(HAND_MADE) == pytest.approx(
        np.array([[0, one, 2, one], [one, 0, one, one], [2, one, 0, one], [one, one, one, 0]])
    )


def test_summed_absolute_difference_by_hand() -> None:
    assert distance.summed_absolute_difference(HAND_MADE).tolist() == [[0, 7, 14, 8], [7, 0, 7, 7], [14, 7, 0, 8], [8, 7, 8, 0]]


def test_cosine_by_hand_is_nan_only_for_a_zero_row() -> None:
    nan = np.nan
    expected = np.array([[1, nan, -1, 0], [nan, nan, nan, nan], [-1, nan, 1, 0], [0, nan, 0, 1]])
    assert distance.cosine(HAND_MADE) == pytest.approx(expected, nan_ok=True)


def test_two_zero_networks_are_no_distance_apart() -> None:
    assert distance.relative_l2(np.zeros((2, 3))).tolist() == [[0, 0], [0, 0]]


ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(-1000, 1000).map(float))


@given(ROWS)
@UNTIMED
def test_relative_l2_is_its_definition(rows: Any) -> None:
    found = distance.relative_l2(rows)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            scale = np.sqrt((a @ a + b @ b) / 2)
            assert found[i, j] == pytest.approx(np.linalg.norm(a - b) / scale if scale else 0.0)


@given(ROWS, st.floats(1e-3, 1e3))
@UNTIMED
def test_relative_l2_is_symmetric_zero_on_the_diagonal_and_scale_invariant(rows: Any, scale: float) -> None:
    found = distance.relative_l2(rows)
    assert np.array_equal(found, found.T)
    assert np.all(np.diag(found) == 0)
    assert np.all(found <= 2 + 1e-12)
    assert distance.relative_l2(scale * rows) == pytest.approx(found)


@given(ROWS)
@UNTIMED
def test_equal_rows_are_exactly_zero_apart_and_different_ones_are_not(rows: Any) -> None:
    same = np.array([[np.array_equal(a, b) for b in rows] for a in rows])
    assert np.array_equal(distance.relative_l2(rows) == 0, same)
    assert np.array_equal(distance.summed_absolute_difference(rows) == 0, same)


def test_vectors_hold_every_parameter_in_double_precision() -> None:
    kernels, biases = [floats([[1, 2]], [[3, 4]]), floats([[5], [6]], [[7], [8]])], [floats([0, 1], [2, 3]), floats([9], [8])]
    rows = distance.vectors(Network.of_layers(kernels, biases).unstack())
    assert rows.dtype == np.float64
    assert rows.tolist() == [[0, 1, 9, 1, 2, 5, 6], [2, 3, 8, 3, 4, 7, 8]]


def test_vectors_leave_out_running_statistics_and_depend_on_no_order() -> None:
    def net(**more: float) -> Network:
        arrays = {"kernel_0": floats([1.0]), "bias_0": floats(2.0), "scale_0": floats(3.0)} | {
            k: floats(v) for k, v in more.items()
        }
        return Network(arrays | {"kernel_1": floats([4.0]), "bias_1": floats(5.0)})

    first, second = net(mean_0=6.0, variance_0=7.0), net(mean_0=8.0, variance_0=9.0)
    shuffled = Network(dict(reversed(second.parameters.items())))
    assert distance.vectors([first, second, shuffled]).tolist() == [[2, 5, 1, 4, 3]] * 3
    assert fingerprints.digest(first) != fingerprints.digest(second) == fingerprints.digest(shuffled)


@pytest.mark.parametrize("normalisation", [None, "batch", "layer"])
def test_a_networks_parameters_and_words(normalisation: Any) -> None:
    shapes = parameter_shapes((4, 3, 2), normalisation)
    net = Network({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    assert net.shapes == shapes and net.normalisation == normalisation and net.depth == 2
    assert net.architecture == (f"4-3-2 with {normalisation} normalisation" if normalisation else "4-3-2")
    assert len(shapes) == {None: 4, "layer": 5, "batch": 7}[normalisation]
    stacked = Network.stack([net, net, net])
    assert stacked.shapes == {name: (3, *shape) for name, shape in shapes.items()} and stacked.architecture == net.architecture
    assert [each.shapes for each in stacked.unstack()] == [shapes] * 3


@pytest.mark.parametrize(
    ("matrix", "mean"), [([[0]], 0), ([[0, 3], [3, 0]], 3), ([[0, 1, 2], [1, 0, 6], [2, 6, 0]], 3), (np.zeros((4, 4)), 0)]
)
def test_the_mean_of_pairs_leaves_out_the_diagonal(matrix: Any, mean: float) -> None:
    assert distance.mean_of_pairs(np.array(matrix, dtype=float)) == mean


# -- disagreement ------------------------------------------------------------------------------------------------------------


def test_networks_that_predict_no_class_agree_with_none() -> None:
    predictions = np.zeros((3, 2, 2), np.float32)
    predictions[1:, 0, 1] = np.nan
    assert np.isnan(disagreement.churn(predictions)).tolist() == [[False, True, True], [True, True, True], [True, True, True]]


def test_churn_is_the_share_of_inputs_with_another_class() -> None:
    logits = np.eye(3, dtype=np.float32)[[[0, 1, 2, 0], [0, 1, 2, 1], [1, 2, 0, 1]]]  # [3 networks, 4 inputs, 3 classes]
    assert disagreement.churn(logits).tolist() == [[0, 0.25, 1], [0.25, 0, 0.75], [1, 0.75, 0]]


def test_churn_sees_classes_and_not_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 20, 5)).astype(np.float32)
    assert disagreement.churn(np.concatenate([logits, 3 * logits + 1])).max() == 0


def test_nrmse_is_measured_in_the_targets_standard_deviation() -> None:
    predictions = floats([[0], [0]], [[3], [4]], [[0], [2]])
    target = floats([-2], [2])  # its SD is 2
    a_b, a_c, b_c = np.sqrt(12.5) / 2, np.sqrt(2) / 2, np.sqrt(6.5) / 2
    assert disagreement.normalised_rmse(predictions, target) == pytest.approx(
        np.array([[0, a_b, a_c], [a_b, 0, b_c], [a_c, b_c, 0]])
    )


def test_nrmse_of_a_constant_target_is_the_plain_rmse() -> None:
    assert disagreement.normalised_rmse(floats([[1]], [[3]]), floats([7])).tolist() == [[0, 2], [2, 0]]


# -- intervals ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@UNTIMED
def test_the_halfwidth_is_scipys(values: list[float], confidence: float) -> None:
    half = intervals.mean_halfwidth(values, confidence)
    scale = np.std(values, ddof=1) / np.sqrt(len(values))
    if scale == 0:
        assert half == 0
        return
    low, high = stats.t.interval(confidence, len(values) - 1, loc=0, scale=scale)
    assert (-half, half) == pytest.approx((low, high))


def test_the_interval_is_that_of_the_t_test() -> None:
    values = [0.31, 0.29, 0.35, 0.30, 0.33]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    half = intervals.mean_halfwidth(values)
    assert (np.mean(values) - half, np.mean(values) + half) == pytest.approx((low, high))


def test_two_values_by_hand() -> None:
    # t(.975, 1 df) = 12.7062; the SD of 0 and 2 is √2
    assert intervals.mean_halfwidth([0.0, 2.0]) == pytest.approx(12.7062, abs=1e-4)


def test_one_value_has_no_interval() -> None:
    assert intervals.mean_halfwidth([1.0]) is None


# -- fingerprints ------------------------------------------------------------------------------------------------------------

TINY = Network.of_layers((floats([1, -2]),), (floats(0.5, 0),))
TINY_DIGEST = "75fb6f6eb250241b0ccc50567f2b75cd47bbadd3e7fdae724995c37da3ef2fb2"


def test_a_fingerprint_is_this_sha256() -> None:
    content = b"bias_0 <f4 (2,)\n" + struct.pack("<2f", 0.5, 0) + b"kernel_0 <f4 (1, 2)\n" + struct.pack("<2f", 1, -2)
    assert hashlib.sha256(content).hexdigest() == TINY_DIGEST
    assert fingerprints.digest(TINY) == TINY_DIGEST


def test_a_fingerprint_is_independent_of_endianness_and_of_the_memorys_layout() -> None:
    [kernel], [bias] = TINY.kernels, TINY.biases
    big = Network.of_layers((kernel.astype(">f4"),), (bias.astype(">f4"),))
    spread = Network.of_layers((np.stack([kernel, kernel], axis=-1)[..., 0],), (np.repeat(bias, 2)[::2],))
    assert fingerprints.digest(big) == fingerprints.digest(spread) == TINY_DIGEST
    square = floats([1, 2], [3, 4])
    zero = floats(0, 0)
    assert fingerprints.digest(Network.of_layers((square.T,), (zero,))) == fingerprints.digest(
        Network.of_layers((square.T.copy(),), (zero,))
    )


ONES, NONE = np.ones((2, 2), np.float32), np.zeros(2, np.float32)
TWO_LAYERS = Network.of_layers((ONES, 2 * ONES), (NONE, NONE))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Network.of_layers((2 * ONES, ONES), (NONE, NONE)), id="the layers in another order"),
        pytest.param(Network.of_layers((ONES,), (NONE,)), id="a layer less"),
        pytest.param(Network.of_layers((ONES, 2 * ONES.astype(np.float64)), (NONE, NONE)), id="dtype"),
        pytest.param(Network.of_layers((ONES.view(np.int32), 2 * ONES), (NONE, NONE)), id="the same bytes of another dtype"),
        pytest.param(Network.of_layers((ONES.reshape(1, 4), 2 * ONES), (NONE, NONE)), id="the same bytes in another shape"),
        pytest.param(Network.of_layers((ONES, np.nextafter(2 * ONES, np.float32(3))), (NONE, NONE)), id="one ulp in each weight"),
        pytest.param(Network.of_layers((ONES, 2 * ONES), (NONE, floats(0, 1e-45))), id="one ulp in one bias"),
        pytest.param(Network.of_layers((ONES, 2 * ONES), (NONE, floats(0, -0.0))), id="the sign of a zero"),
    ],
)
def test_a_fingerprint_tells_apart(other: Network) -> None:
    assert fingerprints.digest(other) != fingerprints.digest(TWO_LAYERS)


BITS = st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4) | st.just([0, 1, 2**31, 0x7FC00000])


@given(BITS, BITS)
@UNTIMED
def test_fingerprints_are_equal_if_and_only_if_all_bits_are(first: list[int], second: list[int]) -> None:
    nets = [
        Network.of_layers(
            (np.array(bits[:2], np.uint32).view(np.float32).reshape(1, 2),), (np.array(bits[2:], np.uint32).view(np.float32),)
        )
        for bits in (first, second)
    ]
    assert (fingerprints.digest(nets[0]) == fingerprints.digest(nets[1])) == (first == second)


# -- an MLP's function -------------------------------------------------------------------------------------------------------

# Two 2-2-1 networks. The first computes relu(x₁ − x₂) + 2 relu(x₂) + 0.5, the second the constant 3.
KERNELS = [floats([[1, 0], [-1, 1]], [[0, 0], [0, 0]]), floats([[1], [2]], [[1], [1]])]
BIASES = [floats([0, 0], [1, 2]), floats([0.5], [0])]
X = floats([3, 1], [1, 3], [-1, -1])


def test_layer_outputs_by_hand() -> None:
    hidden, output = forward.layer_outputs(Network.of_layers(KERNELS, BIASES), X, Model())
    assert hidden.tolist() == [[[2, 1], [0, 3], [0, 0]], [[1, 2], [1, 2], [1, 2]]]
    assert output.tolist() == [[[4.5], [6.5], [0.5]], [[3], [3], [3]]]


def test_the_last_layer_has_no_activation() -> None:
    two = Network.of_layers([floats([[1.0]]), floats([[-5.0]])], [floats([0]), floats([0])])
    hidden, output = forward.layer_outputs(two, floats([2]), Model(activation="tanh"))
    assert hidden == pytest.approx(np.tanh(2)) and output == pytest.approx(-5 * np.tanh(2))
    one = Network.of_layers([floats([[-5.0]])], [floats([0])])
    assert forward.layer_outputs(one, floats([2]), Model())[-1].tolist() == [[[-10]]]


def test_normalised_layers_by_hand() -> None:
    """Two units see (1, 3), (5, 3) and (3, 9)."""
    x, epsilon = floats([1, 3], [5, 3], [3, 9]), 1.0
    layers = {"kernel_0": np.eye(2, dtype=np.float32), "bias_0": floats(1, -1), "scale_0": floats(2, 3)}
    running = {"mean_0": floats(2, 4), "variance_0": floats(3, 8)}
    last = {"kernel_1": np.eye(2, dtype=np.float32), "bias_1": floats(0, 0)}

    def outputs(normalisation: str, parameters: Any, training: bool = False) -> Any:
        net, model = Network.stack([Network(parameters)]), Model(activation="linear", norm_epsilon=epsilon)
        assert net.normalisation == normalisation
        return forward.layer_outputs(net, x, model, training)[-1][0]

    by_row = (x - [[2], [4], [6]]) / np.sqrt(np.array([[1], [1], [9]]) + epsilon)
    own = (x - [3, 5]) / np.sqrt(np.array([8 / 3, 8]) + epsilon)
    by_running = (x - [2, 4]) / np.sqrt(np.array([3, 8]) + epsilon)
    assert outputs("layer", layers | last) == pytest.approx(by_row * [2, 3] + [1, -1], rel=1e-6)
    assert outputs("batch", layers | running | last) == pytest.approx(by_running * [2, 3] + [1, -1], rel=1e-6)
    assert outputs("batch", layers | running | last, training=True) == pytest.approx(own * [2, 3] + [1, -1], rel=1e-6)


def test_mean_squared_errors_by_hand() -> None:
    outputs = floats([[1, 2], [3, 4]], [[0, 0], [0, 0]])
    assert forward.losses(outputs, floats([1, 0], [0, 4])).tolist() == [(0 + 4 + 9 + 0) / 4, (1 + 0 + 0 + 16) / 4]


def test_cross_entropies_by_hand() -> None:
    logits = floats([[0, 0], [0, 0]], [[0, np.log(3)], [0, np.log(3)]])
    expected = [np.log(2), (np.log(4) + np.log(4 / 3)) / 2]
    assert forward.losses(logits, np.array([0, 1], np.int32)) == pytest.approx(np.array(expected))


def test_cross_entropy_of_huge_logits_stays_finite() -> None:
    assert forward.losses(floats([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1], np.int32)).tolist() == [1e4]


# -- seeds -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "source", "replicate", "seed"),
    [
        (0, "init", 0, 4088532484),
        (0, "init", 1, 3581274545),
        (0, "order", 0, 3953331965),
        (7, "data", 0, 1685402102),
        (0, "noise", 0, 2377455350),
        (0, "dropout", 0, 1905993885),
        (2**32 - 1, "ulp", 99, 1430724340),
    ],
)
def test_replicate_seeds_are_part_of_a_results_identity(root: int, source: str, replicate: int, seed: int) -> None:
    assert seeds.replicate_seed(root, source, replicate) == seed


def test_derived_streams_are_part_of_a_results_identity() -> None:
    assert [seeds.child_seed(0), seeds.child_seed(0, 1), seeds.child_seed(5, 1, 2)] == [2968811710, 673228719, 3969332537]
    assert seeds.generator(0).integers(2**32, size=3).tolist() == [3653403231, 2735729615, 2195314465]
    assert seeds.generator(0, 1).integers(2**32, size=3).tolist() == [2843493045, 2908538353, 1515234240]


def test_seeds_differ_for_every_root_source_and_replicate() -> None:
    found = [seeds.replicate_seed(root, source, number) for root in range(4) for source in seeds.SOURCES for number in range(100)]
    assert len(set(found)) == len(found)
    assert all(0 <= seed < 2**32 for seed in found)


def test_a_seed_does_not_depend_on_what_was_asked_before() -> None:
    forward = {(source, n): seeds.replicate_seed(3, source, n) for source in seeds.SOURCES for n in range(5)}
    backward = {(source, n): seeds.replicate_seed(3, source, n) for source in reversed(seeds.SOURCES) for n in reversed(range(5))}
    assert forward == backward


def replicates(**changed: object) -> spec.TrialSpec:
    return spec.build({"replicates": changed, "training": {"epochs": 3, "batch_size": 4}})


def test_a_source_that_varies_has_a_seed_a_replicate_and_any_other_is_shared() -> None:
    found = batches.replicate_seeds(replicates(count=3, vary=["init"]))
    assert found["init"] == [seeds.replicate_seed(0, "init", number) for number in range(3)]
    assert found["order"] == [seeds.replicate_seed(0, "order", 0)] * 3


def test_a_later_replicate_is_the_same_alone_as_among_others() -> None:
    whole, alone = batches.replicate_seeds(replicates(count=5)), batches.replicate_seeds(replicates(count=2, first=3))
    assert {source: values[3:] for source, values in whole.items()} == alone


# -- batch orders ------------------------------------------------------------------------------------------------------------


def test_an_epoch_visits_distinct_rows_and_drops_the_partial_batch() -> None:
    orders = batches.batch_orders(replicates(count=2), rows=11)
    assert orders.shape == (2, 3, 2, 4) and orders.dtype == np.int32
    assert all(len(set(epoch.ravel().tolist())) == 8 for replicate in orders for epoch in replicate)
    assert orders.min() >= 0 and orders.max() <= 10
    assert len({epoch.tobytes() for replicate in orders for epoch in replicate}) == 6


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=4))
@UNTIMED
def test_an_order_does_not_depend_on_how_its_epochs_are_cut_into_legs(seed: int, legs: list[int]) -> None:
    whole, stream = batches.draw(seeds.generator(seed), sum(legs), 10, 3, 3), seeds.generator(seed)
    assert np.array_equal(whole, np.concatenate([batches.draw(stream, epochs, 10, 3, 3) for epochs in legs]))


# -- the interval of a median -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [6, 8, 16, 17, 64])
def test_the_interval_of_a_median_covers_it_whatever_the_distribution(count: int) -> None:
    rng = np.random.default_rng(0)
    draws = 2_000
    for values, median in (
        (rng.standard_normal((draws, count)), 0.0),
        (rng.lognormal(0, 1, (draws, count)), 1.0),
        (rng.standard_cauchy((draws, count)), 0.0),
        (rng.integers(0, 3, (draws, count)), 1.0),
    ):
        ends = [intervals.of_median(row) for row in values]
        covered = sum(low <= median <= high for low, high in filter(None, ends)) / draws
        assert len(list(filter(None, ends))) == draws and covered >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / draws)
        if count == 16:
            assert covered >= 0.97, "97.9 % by the binomial distribution"


def test_the_interval_of_a_median_is_of_the_values_as_scipys_is() -> None:
    values = np.random.default_rng(1).standard_normal(16)
    ordered = np.sort(values)
    assert intervals.of_median(values) == (ordered[3], ordered[12])
    scipys = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    assert intervals.of_median(values) == (scipys.low, scipys.high)
    assert intervals.of_median(values[:5]) is None and intervals.of_median([]) is None
    assert intervals.of_median(values[:6]) == (values[:6].min(), values[:6].max())
