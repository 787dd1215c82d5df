"""Networks at rest or in motion: how they are followed, the numbers measured, and the labels with their error rates."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

import study
from study.analysis import convergence, disagreement, distance, forward, motion
from study.analysis.motion import CONFINED, DRIFTING, OSCILLATING, SETTLED, SLOWING, UNDECIDED, WANDERING, Motion
from study.clock import Clock
from study.data import dataset
from study.engine.training import CohortTraining
from study.errors import BadInput
from study.records.arrays import Array, Doubles
from study.records.cohort import Cohort
from study.records.network import Network
from study.records.trajectory import Trajectory
from study.reporting import listings
from study.reporting.report import Table
from study.tracking import runs

SMALL = ("model.units=[8]", "replicates.count=3", "training.epochs=24")

# -- following ----------------------------------------------------------------------------------------------------------------

FOLLOWED = {
    "plain": ("data=diabetes",),
    "classes": ("data=iris", "optimizer=rmsprop", "model.normalisation=batch"),
    "one column": ("data=breast_cancer", "loss=binary_crossentropy"),
    "early stopping": ("data=diabetes", "optimizer.learning_rate=0.05", "training.patience=3"),
    "own rows": ("data=diabetes", "replicates.vary=[init,order,data]", "training.partial_batch=keep"),
    "plateau": ("data=diabetes", "schedule=reduce_on_plateau", "schedule.patience=2", "model.dropout=0.2"),
    "averages": ("data=diabetes", "optimizer.ema=0.9", "training.batch_size=null"),
}


def trained(*settings: str) -> Cohort:
    return study.train(study.compose([*SMALL, *settings]))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name != "own rows")) for name in FOLLOWED])
def test_following_networks_changes_no_bit(name: str) -> None:
    followed, alone = (trained(*FOLLOWED[name], f"training.motion={motion}") for motion in ("true", "false"))
    assert alone.trajectory is None
    for key, array in alone.network.parameters.items():
        assert np.array_equal(array, followed.network.parameters[key])
    for curve in ("train_loss", "val_loss", "predictions"):
        assert np.array_equal(getattr(alone, curve), getattr(followed, curve), equal_nan=True)


def path_of(*settings: str) -> tuple[Trajectory, Doubles, Doubles, Doubles]:
    """A cohort's motion as it was followed, and its weights, function and predicted classes after each epoch, [T, R, …]."""
    spec = study.compose([*SMALL, *settings, "training.leg_epochs=1"])
    training = CohortTraining(spec, dataset.load_replicates(spec), Clock())
    weights, function, classes = [], [], []
    for _ in training.legs():
        now = training.weights()
        stacked = [now.network.parameters[name] for name in sorted(now.network.trainable)]
        weights.append(np.concatenate([array.reshape(len(array), -1) for array in stacked], axis=1))
        outputs = now.predictions
        function.append(
            (forward.probabilities(outputs) if spec.data.task == "classification" else outputs).reshape(len(outputs), -1)
        )
        classes.append(forward.predicted_classes(outputs) if spec.data.task == "classification" else np.zeros((len(outputs), 1)))
    path = training.trajectory()
    assert path
    return path, *(np.stack(values).astype(np.float64) for values in (weights, function, classes))


def squared(steps: Doubles) -> Doubles:
    return np.sum(steps**2, axis=2).T


@pytest.mark.parametrize("settings", [("data=diabetes",), ("data=iris",)], ids=["regression", "classes"])
def test_sums_and_sketches_are_those_of_the_weights_and_predictions(settings: Sequence[str]) -> None:
    path, weights, function, classes = path_of(*settings)
    first = int(path.epochs[0]) - 1
    for values, step, dot, sketches in (
        (weights, path.weights_step, path.weights_dot, path.weights),
        (function, path.function_step, path.function_dot, path.function),
    ):
        steps = np.diff(values[first:], axis=0)
        assert np.allclose(step[:, first + 1 :], squared(steps), rtol=1e-3, atol=1e-9)
        products = np.sum(steps[1:] * steps[:-1], axis=2).T
        assert np.allclose(dot[:, first + 2 :], products, rtol=1e-2, atol=1e-5 * step[:, first + 1 :].max())
        exact = np.linalg.norm(values[-1] - values[first], axis=1)
        sketched = np.linalg.norm(sketches[:, -1] - sketches[:, 0], axis=1)
        assert np.all(np.abs(sketched / exact - 1) < 0.2), "251 buckets: 4.5 % at one SD"
    assert np.allclose(path.weights_norm[:, first:], np.sum(weights[first:] ** 2, axis=2).T, rtol=1e-4)
    if path.votes is not None:
        differing = np.sum(classes[first] != classes[-1], axis=1)
        assert np.allclose(np.sum((path.votes[:, -1] - path.votes[:, 0]) ** 2, axis=1), differing, rtol=0.3, atol=1e-3)


def test_where_the_end_is_known_only_the_tail_is_followed() -> None:
    path = trained("data=diabetes").trajectory
    open_end = trained("data=diabetes", "training.patience=1000").trajectory
    assert path and open_end
    for one in (path, open_end):
        assert one.epochs.tolist() == list(range(4, 25))
    assert np.isnan(path.weights_step[:, :4]).all() and np.isfinite(path.weights_step[:, 4:]).all()
    assert np.isnan(path.weights_dot[:, :5]).all() and np.isfinite(path.weights_dot[:, 5:]).all()
    assert np.isfinite(open_end.weights_step).all()
    np.testing.assert_allclose(path.weights_step[:, 4:], open_end.weights_step[:, 4:], rtol=1e-3)
    np.testing.assert_allclose(path.function[:, -1], open_end.function[:, -1], rtol=1e-3, atol=1e-4)


def test_a_training_that_is_ended_before_its_tail_shows_no_motion() -> None:
    spec = study.compose([*SMALL, "data=diabetes", "training.epochs=100"])
    training = CohortTraining(spec, dataset.load_replicates(spec), Clock())
    for _, leg in zip(range(2), training.legs(), strict=False):
        rates = leg.learning_rate
    path, weights = training.trajectory(), training.weights()
    assert path and path.epochs.size == 0
    moved = motion.measure(path, weights.trained.tolist(), np.tile(rates.T, 2), weights.predictions, [np.zeros((71, 1))] * 3)
    assert moved.weights_labels == moved.function_labels == (UNDECIDED,) * 3


@pytest.mark.long
def test_the_gain_of_averaging_the_function_is_that_of_its_mean_predictions() -> None:
    """On 71 rows each bucket of the sketch holds one prediction, so that nothing is lost."""
    settings = ("data=diabetes", "optimizer=sgd", "optimizer.learning_rate=0.1")
    path, _, function, _ = path_of(*settings)
    cohort = trained(*settings)
    target = dataset.load_replicates(cohort.spec)[0].y_val
    assert target.size <= path.function.shape[2]
    inside = [int(epoch) - 1 for epoch in path.epochs[motion.tail(path, 24)[1]]]
    tail = function[inside]  # [T, R, n]
    losses = np.mean((tail - target.ravel()) ** 2, axis=(0, 2))
    of_mean = np.mean((tail.mean(axis=0) - target.ravel()) ** 2, axis=1)
    moved = study.motion(cohort)
    assert np.allclose(moved.gain, (losses - of_mean) / np.var(target), rtol=1e-3)
    count = len(inside)
    assert np.allclose(moved.gain, moved.wobble**2 / 2 * (count - 1) / count, rtol=1e-6)
    assert np.isnan(study.motion(trained("data=iris")).gain).all()


def test_motion_is_the_same_whatever_the_legs() -> None:
    """A replicate's motion, with its label, doesn't depend on where the program is called again."""
    at_once, in_legs = (trained("data=diabetes", f"training.leg_epochs={length}") for length in (24, 7))
    assert at_once.trajectory and in_legs.trajectory
    assert np.array_equal(at_once.trajectory.weights_step, in_legs.trajectory.weights_step, equal_nan=True)
    assert np.array_equal(at_once.trajectory.weights, in_legs.trajectory.weights)
    assert np.array_equal(at_once.trajectory.epochs, in_legs.trajectory.epochs)
    assert study.motion(at_once).weights_labels == study.motion(in_legs).weights_labels


def test_networks_that_nobody_followed_have_no_motion() -> None:
    cohort = dataclasses.replace(trained("data=diabetes"), trajectory=None)
    with pytest.raises(BadInput, match=r"training\.motion"):
        study.motion(cohort)


def test_a_replicate_trains_until_it_rests() -> None:
    """A rate that falls to nothing stops every replicate before the last epoch, and a constant one none."""
    settings = ["data=diabetes", "optimizer=sgd", "optimizer.learning_rate=0.05", "training.until=settled"]
    falling = trained(
        *settings, "schedule=exponential", "schedule.decay_rate=0.5", "schedule.decay_epochs=2", "training.epochs=400"
    )
    moved = study.motion(falling)
    assert moved.resting.all() and moved.held.all() and falling.trained.max() < 400
    assert {*moved.weights_labels, *moved.function_labels} == {SETTLED}
    constant = trained(*settings, "training.epochs=60")
    assert constant.trained.tolist() == [60] * 3


def test_until_settled_needs_one_rule_and_the_motion() -> None:
    for wrong, key in (("training.patience=3", "patience"), ("training.motion=false", "motion")):
        with pytest.raises(BadInput, match=key):
            study.compose(["training.until=settled", wrong])


# -- labels -------------------------------------------------------------------------------------------------------------------


SMALL_TARGET = 1e-6 * np.arange(4.0)[:, None]  # no trajectory is so small


def measured(points: Array, length: float = 1e3, target: Array = SMALL_TARGET) -> Motion:
    """The motion of trajectories [T, n, P], exact in place of sketched. length: of the way from the first weights."""
    steps = np.diff(points, axis=0)
    nothing = np.full((1, points.shape[1]), np.nan)
    step = np.concatenate([nothing, np.sum(steps**2, axis=2)]).T
    dot = np.concatenate([nothing, nothing, np.sum(steps[1:] * steps[:-1], axis=2)]).T
    norm, by_network = np.sum(points**2, axis=2).T, points.swapaxes(0, 1)
    start = np.full(by_network[:, 0].shape, length)
    path = Trajectory(step, dot, norm, step, dot, start, np.arange(1, len(points) + 1), by_network, by_network)
    count = points.shape[1]
    return motion.measure(path, [len(points)] * count, np.ones((count, len(points))), np.zeros((count, 4, 1)), [target] * count)


def tail(kind: str, length: int, dimensions: int, rng: np.random.Generator, count: int = 300) -> Array:
    """Trajectories whose tail has `length` steps, [T, count, dimensions]; what comes before it doesn't count."""
    shape = (length + 1, count, dimensions)
    noise, direction = rng.standard_normal(shape), rng.standard_normal(shape[1:])
    times = (np.arange(length + 1) / length)[:, None, None]
    name, _, number = kind.partition(" ")
    match name:
        case "white":
            moved = noise
        case "ou":
            kept = np.exp(-1 / (float(number) * length))
            moved = noise.copy()
            for now in range(1, length + 1):
                moved[now] = kept * moved[now - 1] + np.sqrt(1 - kept**2) * noise[now]
        case "walk":
            moved = np.cumsum(noise, axis=0) / np.sqrt(length)
        case "line":
            moved = 3.46 * direction * times + float(number or 0) * noise
        case "exponential":
            moved = 3 * direction * np.exp(-times / float(number))
        case "period":
            moved = direction * np.cos(2 * np.pi * length * times / float(number))
    return np.concatenate([np.zeros((5 * length - len(moved) if length > 20 else 0, *shape[1:])), moved])


# kind, then the least share of a label in tails of 20 and of 100 epochs; the module's table has the rates of longer simulations
CALIBRATION = [
    ("white", CONFINED, 0.90, 0.97),
    ("ou 0.02", CONFINED, 0.90, 0.97),
    ("ou 0.1", CONFINED, 0.88, 0.93),
    ("ou 0.3", WANDERING, 0.55, 0.55),
    ("ou 1", WANDERING, 0.85, 0.88),
    ("walk", WANDERING, 0.88, 0.95),
    ("line", DRIFTING, 1, 1),
    ("line 1", DRIFTING, 0.52, 0.40),
    ("exponential 0.1", SLOWING, 1, 1),
    ("exponential 0.5", SLOWING, 1, 1),
    ("exponential 2", DRIFTING, 1, 1),
    ("period 2", OSCILLATING, 1, 1),
    ("period 8", UNDECIDED, 1, 1),
]


@pytest.mark.parametrize(("kind", "label", "short", "long"), CALIBRATION)
def test_labels_of_trajectories_that_are_known(kind: str, label: str, short: float, long: float) -> None:
    rng = np.random.default_rng(0)
    for length, least in ((20, short), (100, long)):
        labels = measured(tail(kind, length, 10, rng)).function_labels
        assert labels.count(label) / len(labels) >= least, Counter(labels)


def test_a_walk_in_one_dimension_passes_for_no_other_motion() -> None:
    labels = measured(tail("walk", 20, 1, np.random.default_rng(0))).function_labels
    assert labels.count(CONFINED) / len(labels) <= 0.05, Counter(labels)


def test_numbers_of_a_line_and_of_a_cycle() -> None:
    rng = np.random.default_rng(0)
    line, cycle = measured(tail("line", 20, 10, rng)), measured(tail("period 2", 20, 10, rng))
    assert np.allclose(line.trend, 1) and np.allclose(line.correlation, 1) and np.allclose(line.exponent, 2)
    assert np.allclose(cycle.correlation, -1) and np.all(cycle.trend < 0.02)
    assert np.allclose(line.dimension, 1) and np.allclose(cycle.dimension, 1)
    assert np.allclose(line.slowing, 1) and not line.held.any()


def test_two_of_the_last_epochs_are_apart_as_two_replicates_would_be() -> None:
    """Wander and wobble of epochs that scatter are the distance and the disagreement of networks that scatter alike."""
    rng = np.random.default_rng(0)
    around = 5 + rng.standard_normal((21, 40, 100))
    wander = measured(around).wander
    assert np.isclose(wander.mean(), distance.mean_of_pairs(distance.relative_l2(around[:, 0])), rtol=0.05)
    target = rng.standard_normal((100, 1))
    apart = distance.mean_of_pairs(disagreement.between(around[:, 0, :, None].astype(np.float32), target))
    moved = dataclasses.replace(measured(around))
    assert np.isclose(moved.wobble.mean() * 1e-6 * np.std(np.arange(4.0)) * 2, apart * np.std(target) * 10, rtol=0.05)


def test_a_function_that_goes_straight_on_is_settled_only_within_the_threshold_of_where_its_tail_began() -> None:
    """Its wobble, over its tail, is 0.43 of the way."""
    rng = np.random.default_rng(0)
    target = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]
    direction = rng.standard_normal((1, 1, 251))
    direction *= 2 / np.linalg.norm(direction)  # an RMSE of one target's standard deviation
    times = np.linspace(0, 1, 21)[:, None, None]

    def label(way: float, passed: Doubles = times) -> str:
        moved = measured(way * passed * direction, target=target)
        assert moved.wobble[0] <= 0.05, "two of the epochs are no further apart than the verdict allows"
        return moved.function_labels[0]

    assert (label(0.11), label(0.06), label(0.04)) == (DRIFTING, DRIFTING, SETTLED)
    assert label(0.11, 1 - np.exp(-times / 0.1)) == SETTLED, "it has slowed down"
    scattered = measured(0.03 * rng.standard_normal((21, 1, 4)), target=target)
    assert scattered.function_labels == (SETTLED,) and scattered.wobble[0] > 0.03


def test_what_stands_still_is_settled_and_what_is_not_finite_has_diverged() -> None:
    still = np.ones((30, 2, 10))
    assert measured(still).weights_labels == (SETTLED, SETTLED)
    still[10:, 1] = np.nan
    assert measured(still).function_labels == (SETTLED, motion.DIVERGED)
    assert measured(np.ones((5, 1, 10))).weights_labels == (UNDECIDED,), "too short to show anything"


def test_a_target_that_is_the_same_in_all_rows_is_no_divergence() -> None:
    around = measured(tail("white", 20, 100, np.random.default_rng(0), 3), target=np.ones((4, 1)))
    assert around.function_labels == (CONFINED,) * 3 and np.isfinite(around.wobble).all()


def test_networks_far_from_their_goal_that_move_on_straight_are_slow_and_not_stuck() -> None:
    rng = np.random.default_rng(0)
    moved = measured(np.concatenate([tail("line", 20, 10, rng, 1), tail("white", 20, 10, rng, 1)], axis=1))
    assert motion.refined(("stuck", "stuck"), moved, (0.99, 0.99)) == ("slow", "stuck")
    assert motion.refined(("plateaued", "plateaued"), moved, (0.3, 0.3)) == ("plateaued", "plateaued")
    assert motion.refined(("still improving", "undecided"), moved, (1.5, 1.5)) == ("slow", "undecided")
    assert motion.refined(("still improving", "undecided"), moved, (0.3, 0.3)) == ("still improving", "undecided")


def test_a_network_near_its_start_whose_function_drifts_on_is_slow() -> None:
    line = 1e3 + np.linspace(0, 0.1, 21)[:, None, None] * np.ones((1, 1, 10))
    far, near = (measured(line, target=np.array([-1.0, 1.0, -1.0, 1.0])[:, None] * scale) for scale in (0.1, 10))
    assert (far.function_labels, near.function_labels) == ((DRIFTING,), (SETTLED,))
    assert far.weights_labels == near.weights_labels == (motion.UNMOVED,)
    assert motion.refined(("stuck",), far, (1.5,)) == ("slow",)
    assert motion.refined(("stuck",), near, (1.5,)) == ("stuck",)


def test_a_network_whose_weights_have_not_moved_has_not_diverged() -> None:
    moved = measured(1e3 + np.linspace(0, 0.1, 21)[:, None, None] * np.ones((1, 2, 10)))
    assert moved.weights_labels == (motion.UNMOVED,) * 2
    assert motion.refined(("diverged", "diverged"), moved, (1.5, 0.3)) == ("stuck", "undecided")


def test_a_loss_that_doubles_near_zero_is_no_divergence_where_the_function_stays() -> None:
    rng = np.random.default_rng(0)
    moved = measured(np.concatenate([tail("line", 20, 10, rng, 1), tail("white", 20, 10, rng, 1)], axis=1))
    assert motion.refined(("diverged", "diverged"), moved, (0.3, 0.3)) == ("diverged", "oscillating")
    assert motion.refined(("diverged", "diverged"), moved, (0.99, 0.99)) == ("diverged", "diverged")
    assert motion.refined(("diverged", "diverged"), moved, (0.01, 0.01)) == ("oscillating", "oscillating")


def test_how_a_network_diverged_is_seen_in_its_motion() -> None:
    rng = np.random.default_rng(0)
    lost = tail("white", 20, 10, rng, 1)
    lost[10:] = np.nan
    moved = measured(np.concatenate([tail("period 2", 20, 10, rng, 1), tail("line", 20, 10, rng, 1), lost], axis=1)).summary()
    kinds = [motion.divergence(convergence.DIVERGED, moved, index) for index in range(3)]
    assert kinds == [motion.BOUNCING, motion.GROWN, motion.NOT_FINITE]
    assert motion.divergence(convergence.PLATEAUED, moved, 0) == motion.divergence(convergence.DIVERGED, None, 0) == ""


def test_a_trial_of_few_epochs_shows_no_table_of_its_motion() -> None:
    rng = np.random.default_rng(0)
    for moved, shown in ((measured(np.ones((5, 2, 10))), False), (measured(tail("white", 20, 10, rng, 2)), True)):
        summary = moved.summary()
        replicate = runs.Replicate("b", "a", "0", 0, "FINISHED", "", "", None, {}, {}, summary.label(0))
        trial = runs.Trial("a", "s", 0, "0", "FINISHED", 0, {}, {}, "", [], "", "", [replicate], summary.text)
        for sections in (dict(listings.trial(trial, moved)), dict(listings.replicate(replicate, {}, trial, moved, 0))):
            tables = [title for title, content in sections.items() if isinstance(content, Table) and title.startswith("motion")]
            assert len(tables) == shown
            assert any(title.startswith("motion") for title in sections)


# -- reference values ---------------------------------------------------------------------------------------------------------

NOISE = ("data=noise", "optimizer=sgd", "optimizer.learning_rate=0.1", "model.units=[128]")
AT_LENGTH = ("replicates.count=16", "training.epochs=500")


def reference(*more: str) -> tuple[Motion, Cohort, float]:
    cohort = study.train(study.compose([*NOISE, *AT_LENGTH, *more]))
    target = dataset.load_replicates(cohort.spec)[0].y_val
    apart = distance.mean_of_pairs(disagreement.between(cohort.predictions, target))
    return study.motion(cohort), cohort, apart


@pytest.mark.long
def test_a_constant_rate_lets_weights_drift_and_keeps_the_function_in_one_place() -> None:
    constant, _, apart = reference()
    assert constant.weights_labels == (DRIFTING,) * 16 and constant.function_labels == (CONFINED,) * 16
    assert 0.93 <= np.median(constant.trend) <= 0.97
    assert -0.55 <= np.median(constant.function_correlation) <= -0.45
    assert 0.35 <= np.median(constant.wobble) <= 0.5
    assert 0.4 <= np.mean(constant.wobble) ** 2 / apart**2 <= 0.6, "half of what replicates differ by is one network's own wobble"
    cosine, _, _ = reference("schedule=cosine")
    assert np.median(cosine.wander) < np.median(constant.wander) / 10
    assert cosine.weights_labels == (SLOWING,) * 16 and cosine.function_labels == (SETTLED,) * 16 and cosine.held.all()
    assert 1.0 <= np.median(cosine.pace) <= 1.5, "it is only the rate that slows it"


@pytest.mark.long
@pytest.mark.parametrize(
    ("rate", "loss_label", "low", "high"), [("1.0", "diverged", -1.0, -0.99), ("1e-4", "slow", 0.99, 1.0)], ids=["large", "small"]
)
def test_too_large_a_rate_goes_back_and_forth_and_too_small_a_one_straight_on(
    rate: str, loss_label: str, low: float, high: float
) -> None:
    moved, cohort, _ = reference(f"optimizer.learning_rate={rate}")
    assert low - 1e-6 <= np.median(moved.correlation) <= high + 1e-6
    assert Counter(cohort.labels).most_common(1)[0] == (loss_label, 16)


@pytest.mark.long
def test_with_weight_decay_networks_differ_no_more_than_two_epochs_of_one() -> None:
    moved, _, apart = reference("model.l2=1e-3")
    assert np.median(moved.wobble) / apart > 0.9


def test_networks_are_followed_by_name_in_a_fixed_order() -> None:
    """Sketches of the same weights are equal: of two replicates with equal seeds, and of no others."""
    same = trained("data=diabetes", "replicates.vary=[]")
    assert same.trajectory and np.array_equal(same.trajectory.weights[0], same.trajectory.weights[1])
    other = trained("data=diabetes")
    assert other.trajectory and not np.array_equal(other.trajectory.weights[0], other.trajectory.weights[1])
    assert isinstance(other.network, Network)
