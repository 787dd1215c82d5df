"""The pictures of motion: numbers of hand-made tails, and the charts and sentences of a trial's page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from study.analysis import motion_paths
from study.analysis.motion_paths import TailPath
from study.engine.trajectory_log import SUMS, TrajectoryLog
from study.records.outcome import MotionSummary, Onward
from study.records.tracked import TrackedTrial
from study.records.trajectory import Trajectory
from study.reporting.pages import motion_section, page
from study.reporting.pages.charts import motion as charts
from study.reporting.pages.page import Section
from tests.pages import Elements, motion_summary, moving, shown, summary, trajectory, trials

EPOCHS = 100  # the tail is 20 steps, of epochs 80 to 100
ONE, OTHER = np.eye(31)[:2]
LINE = np.arange(EPOCHS)[:, None] * 0.1 * ONE
LADDER = LINE + np.resize([1.0, -1.0], EPOCHS)[:, None] * OTHER
CLOUD = np.random.default_rng(0).normal(size=(2000, 31))
TARGET = np.resize([-3.0, 3.0], (26, 1))  # its standard deviation is 3


def of_weights(*paths: np.ndarray, first: int = 1) -> Trajectory:
    weights = np.stack(paths)
    return trajectory(weights, weights, first=first)


def tail_of(points: np.ndarray, trained: int = EPOCHS, first: int = 1) -> TailPath:
    path = of_weights(points, first=first)
    tail = motion_paths.tail_path(path, path.weights, 0, trained)
    assert tail
    return tail


def test_a_straight_drift_lies_along_its_trend_in_units_of_its_radius() -> None:
    tail = tail_of(LINE)
    assert tail.epochs.tolist() == list(range(80, 101))
    np.testing.assert_allclose(tail.along, np.arange(-10, 11) / np.sqrt(110 / 3), atol=1e-5)
    np.testing.assert_allclose(tail.across, 0, atol=1e-5)


def test_a_cloud_is_of_one_radius_and_has_no_order() -> None:
    tail = tail_of(CLOUD[:EPOCHS])
    assert np.mean(tail.along**2 + tail.across**2) < 1
    assert np.mean(tail.across**2) > 0.05 and abs(np.corrcoef(tail.epochs, tail.across)[0, 1]) < 0.5


@pytest.mark.parametrize(("epochs", "apart"), [(100, 1), (590, 1), (700, 3), (1600, 3), (2000, 5)])
def test_a_ladder_keeps_its_two_sides_however_long_it_is(epochs: int, apart: int) -> None:
    points = np.resize([1.0, -1.0], epochs)[:, None] * OTHER + np.arange(epochs)[:, None] * 0.01 * ONE
    tail = tail_of(points, epochs)
    assert len(tail.epochs) <= motion_paths.MOST_POINTS and tail.epochs[-1] == epochs
    assert set(np.diff(tail.epochs).tolist()) == {apart}
    assert (np.sign(tail.across[1:]) == -np.sign(tail.across[:-1])).all()


@pytest.mark.parametrize("points", [np.ones((EPOCHS, 31)), np.full((EPOCHS, 31), np.nan)], ids=["still", "not finite"])
def test_there_is_no_path_of_what_stands_still_or_is_lost(points: np.ndarray) -> None:
    path = of_weights(points)
    assert motion_paths.tail_path(path, path.weights, 0, EPOCHS) is None
    assert not motion_paths.lag_distances(path, [EPOCHS], [TARGET]).any


def test_a_few_epochs_show_nothing() -> None:
    assert [motion_paths.shown(of_weights(LINE), trained) for trained in (0, 1, 10, 11)] == [False, False, False, True]
    assert motion_paths.tail_path(of_weights(LINE), of_weights(LINE).weights, 0, 10) is None


def test_a_network_that_stopped_has_a_tail_of_its_own() -> None:
    stopped = LINE.copy()
    stopped[60:] = np.nan
    path = of_weights(LINE, stopped, LINE[::-1])
    tail = motion_paths.tail_path(path, path.weights, 1, 60)
    assert tail and tail.epochs.tolist() == list(range(40, 61)) and np.isfinite(tail.along).all()
    distances = motion_paths.lag_distances(path, [EPOCHS, 60, 15], [TARGET] * 3)
    assert distances.lags.tolist() == list(range(1, 11))
    assert np.isfinite(distances.weights).sum(axis=1).tolist() == [10, 10, 7]


def test_distances_of_a_drift_grow_with_the_lag_and_those_of_a_ladder_come_back() -> None:
    drift, ladder = motion_paths.lag_distances(of_weights(LINE, LADDER), [EPOCHS] * 2, [TARGET] * 2).weights
    lags = np.arange(1, 11)
    np.testing.assert_allclose(drift, 0.1 * lags / 2, rtol=1e-5)  # the weights' length is 2
    np.testing.assert_allclose(ladder, np.sqrt((0.1 * lags) ** 2 + 4 * (lags % 2)) / 2, rtol=1e-5)


def test_distances_of_a_cloud_are_the_same_at_every_lag() -> None:
    distances = motion_paths.lag_distances(of_weights(CLOUD), [2000], [TARGET])
    assert (distances.lags[0], distances.lags[-1]) == (1, 200)
    np.testing.assert_allclose(distances.weights, np.sqrt(2 * 31) / 2, rtol=0.05)


def test_functions_are_measured_as_their_disagreement_is() -> None:
    numbers = trajectory(LINE[None], LADDER[None])
    np.testing.assert_allclose(
        motion_paths.lag_distances(numbers, [EPOCHS], [TARGET]).function[0, 1], 0.2 / np.sqrt(26) / 3, rtol=1e-5
    )
    votes = np.resize([0.0, 1.0, 1.0, 0.0], EPOCHS)[:, None] * (ONE + OTHER)  # two rows change their class, every other epoch
    classes = trajectory(LINE[None], LINE[None], votes[None])
    churn = motion_paths.lag_distances(classes, [EPOCHS], [np.zeros(8, np.int64)]).function[0]
    np.testing.assert_allclose(churn[[0, 1, 3]], [0.125, 0.25, 0], atol=0.01)


def test_lags_of_thinned_sketches_are_in_epochs() -> None:
    path = of_weights(np.repeat(LINE, 2, axis=0))
    thinned = dataclasses.replace(path, epochs=path.epochs[1::2], weights=path.weights[:, 1::2], function=path.function[:, 1::2])
    distances = motion_paths.lag_distances(thinned, [200], [TARGET])
    assert distances.lags.tolist() == list(range(2, 21, 2))
    np.testing.assert_allclose(distances.weights[0], 0.05 * distances.lags / 2, rtol=1e-5)


def test_a_long_training_keeps_few_sketches_of_both_sides_of_a_ladder() -> None:
    log = TrajectoryLog(np.zeros((1, 31), np.float32), 1)
    sides = np.resize(np.array([1.0, -1.0], np.float32), (500, 1, 1)) * OTHER.astype(np.float32)
    curves = {"sums": np.ones((500, 1, len(SUMS)), np.float32), "sketches": np.stack([sides, sides], axis=2)}
    for last in range(500, 5001, 500):
        log.add(curves, last, np.array([last]))
    path = log.trajectory()
    inside = path.epochs >= 4000  # the tail
    assert inside.sum() == 333 and set(np.diff(path.epochs[inside]).tolist()) == {3}
    points = path.weights[0, inside] @ OTHER
    assert (points[1:] == -points[:-1]).all()
    assert motion_paths.lag_distances(path, [5000], [TARGET]).weights[0, 0] == 2  # of weights of length 1


# what is drawn


BEST = moving(shown(trials(1)[0], replicates=6))
KEPT = BEST.kept
MOTION = motion_summary(["drifting"] * 6, ["confined"] * 6, [False] * 6)


def section(trial: TrackedTrial = KEPT, motion: MotionSummary | None = MOTION) -> Section:
    return motion_section.motion("trial 0", summary(0.5, 6, motion=motion), trial)


def test_the_section_shows_a_handful_of_tails_and_the_distances_of_all() -> None:
    drawn = section()
    assert drawn.texts == ["The weights of all 6 networks drift along a line; the functions of all 6 stay around one point."]
    weights, function, lags = drawn.charts
    for chart in (weights, function):
        assert [trace.hovertemplate.split(",")[0] for trace in chart.figure.data] == [f"replicate {number}" for number in range(4)]
        x_range = chart.figure.layout.xaxis.range
        assert all(x_range[0] < point < x_range[1] for trace in chart.figure.data for point in [*trace.x, *trace.y])
    levels = {trace.text[-1]: trace.y[0] for trace in lags.figure.data if trace.text}
    assert levels == {"distance between replicates": 1.41, "disagreement between replicates": 0.1}
    thick = {trace.name: trace for trace in lags.figure.data if trace.name}
    assert len(lags.figure.data) == 2 * 6 + len(thick) + 2
    assert all(np.diff(thick["weights, relative L2"].y) > 0)
    assert np.ptp(np.log(thick["function, NRMSE"].y)) < 0.3
    assert Elements(page.render(page.Page("", "", "", [], {}, [drawn]))).wrong == []


@pytest.mark.parametrize(
    ("trial", "motion"),
    [
        (dataclasses.replace(KEPT, trajectory=None), MOTION),
        (KEPT, None),
        (dataclasses.replace(KEPT, train_loss=KEPT.train_loss[:, :8]), MOTION),
    ],
    ids=["an earlier version's", "without labels", "a few epochs"],
)
def test_without_motion_the_section_is_left_out(trial: TrackedTrial, motion: MotionSummary | None) -> None:
    assert section(trial, motion).empty


def test_replicates_that_were_trained_on_are_drawn_in_place_of_the_trials() -> None:
    further = summary(0.5, 6, motion=motion_summary(["settled"] * 6, ["settled"] * 6, [False] * 6))
    onward = Onward(1000, [900] * 6, [20] * 6, 0.4, further)
    whole = summary(0.5, 6, motion=MOTION, onward=onward)
    drawn = motion_section.motion("trial 0", whole, dataclasses.replace(KEPT, trajectory=None, onward=KEPT))
    assert len(drawn.charts) == 3
    assert drawn.texts[-1] == "The weights of all 6 networks are at rest; the functions of all 6 are at rest."
    without = motion_section.motion("trial 0", dataclasses.replace(whole, onward=dataclasses.replace(onward, summary=None)), KEPT)
    assert without.texts == section().texts


def test_what_stands_still_is_said_and_not_drawn() -> None:
    still = trajectory(np.ones((6, 30, 31)), np.ones((6, 30, 31)))
    drawn = section(dataclasses.replace(KEPT, trajectory=still))
    assert not drawn.charts and len(drawn.texts) == 2
    assert KEPT.trajectory
    weights = KEPT.trajectory.weights.copy()
    weights[1] = 1
    one_still = dataclasses.replace(KEPT, trajectory=dataclasses.replace(KEPT.trajectory, weights=weights))
    first = section(one_still).charts[0]
    assert len(first.figure.data) == 3 and "Replicate 1:" in first.caption


def test_a_colour_stands_for_an_epoch_where_all_stop_at_the_same_one() -> None:
    one, other = (TailPath(np.arange(3) + first, np.arange(3.0), np.arange(3.0)) for first in (7, 9))
    ends = [charts.tails({0: one, 5: path}).layout.coloraxis.colorbar.ticktext for path in (one, other)]
    assert ends == [("epoch 7", "epoch 9"), ("first epoch", "last epoch")]


def test_zeros_count_in_a_median_and_are_not_drawn() -> None:
    distances = motion_paths.LagDistances(np.array([1, 2]), np.ones((3, 2)), np.array([[0, 0.0], [0, 0.2], [0.1, 0.4]]))
    drawn = [trace for trace in charts.lags(distances, "churn", None, None).data if trace.name == "function, churn"]
    np.testing.assert_allclose(drawn[0].y, [np.nan, 0.2])
    still = motion_paths.LagDistances(np.array([1, 2]), np.zeros((1, 2)), np.full((1, 2), 0.5))
    assert {trace.name for trace in charts.lags(still, "churn", None, None).data} == {"weights, relative L2", "function, churn"}


@pytest.mark.parametrize(
    ("motion", "expected"),
    [
        (
            motion_summary(["settled"] * 2 + ["slowing"], ["settled"] * 3, [True, True, False]),
            "The weights of 2 of 3 networks are at rest (held by a low learning rate), those of 1 slow down; "
            "the functions of 2 of 3 are at rest (held by a low learning rate), those of 1 are at rest.",
        ),
        (
            motion_summary(["oscillating"], ["drifting"], [True]),
            "The weights of 1 of 1 networks go back and forth; the functions of 1 of 1 drift along a line.",
        ),
    ],
)
def test_the_labels_are_said_in_a_sentence(motion: MotionSummary, expected: str) -> None:
    assert motion_section.sentence(motion) == expected


def test_every_label_has_its_words() -> None:
    from study.analysis import motion

    assert set(motion_section.PHRASES) == set(motion.LABELS)
