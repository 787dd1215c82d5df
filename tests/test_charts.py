"""The pages' charts: the numbers that their traces hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from study.analysis.controlled_comparison import Effect, Means, Pair, Spread
from study.records.outcome import Blame
from study.reporting.pages.charts import causes, losses, networks, search, style, trials
from study.statistics import ranking
from study.statistics.setting_effects import SettingEffect

NAN = float("nan")
WILD = "<b>&amp;"
SAFE = "&lt;b&gt;&amp;amp;"


def values(array: object) -> list:
    return np.asarray(array).tolist()


def test_a_band_is_over_the_replicates_that_reached_an_epoch() -> None:
    band = losses.band(np.array([[1, 2, NAN], [3, NAN, NAN], [5, 4, NAN]], np.float32))
    assert values(band.epochs) == [1, 2, 3]
    np.testing.assert_array_equal(band.lowest, [1, 2, NAN])
    np.testing.assert_array_equal(band.median, [3, 3, NAN])
    np.testing.assert_array_equal(band.highest, [5, 4, NAN])


def test_a_long_curve_keeps_its_ends() -> None:
    band = losses.band(np.arange(10_000, dtype=np.float32)[None])
    assert len(band.epochs) <= losses.MOST_POINTS and (band.epochs[0], band.epochs[-1]) == (1, 10_000)
    assert (band.lines[0, 0], band.lines[0, -1]) == (0, 9_999)


def test_bands_show_the_first_trials_replicates_and_each_trial_in_its_own_colour_and_dash() -> None:
    several = [np.array([[4.0, 2.0], [6.0, 8.0]]) * (trial + 1) for trial in range(3)]
    figure = losses.bands(["a", WILD, "c"], [[7, 9]] * 3, several, {"type": "linear"})
    highest, lowest, first, second, median = figure.data[:5]
    assert values(highest.y) == [6, 8] and values(lowest.y) == [4, 2] and lowest.fill == "tonexty"
    assert values(first.y) == [4, 2] and values(second.y) == [6, 8] and "replicate 9" in second.hovertemplate
    assert values(median.y) == [5, 5] and median.name == "a"
    medians = [trace for trace in figure.data if trace.name in ("a", SAFE, "c")]
    assert len({(trace.line.color, trace.line.dash) for trace in medians}) == 3


def test_the_axis_of_losses_cuts_off_the_first_epochs_and_what_diverges() -> None:
    falling = np.concatenate([[1000.0] * 5, np.full(95, 2.0)])[None]
    rising = np.linspace(1, 900, 100)[None]
    low, high = (10**end for end in losses.shown_axis([[falling, falling, rising]])["range"])
    assert low <= 1 <= 2 <= high < 10
    assert losses.shown_axis([[np.full((1, 9), NAN)]]) == {"type": "linear"}


def test_curves_are_those_of_each_network_and_of_both_parts() -> None:
    figure = losses.curves(["a", "b"], [np.array([3.0, 2.0]), np.array([5.0, 4.0])], [np.array([1.0, 0.5]), np.array([2.0, 1.0])])
    assert [values(trace.y) for trace in figure.data] == [[3, 2], [1, 0.5], [5, 4], [2, 1]]
    assert [(trace.showlegend, trace.line.dash) for trace in figure.data[:2]] == [(True, "solid"), (False, "dot")]


@pytest.mark.parametrize(
    ("numbers", "factor", "expected"),
    [([1, 19], 20, "linear"), ([1, 21], 20, "log"), ([0, 100], 20, "linear"), ([1, 5, NAN], 4, "log"), ([NAN], 20, "linear")],
)
def test_an_axis_is_logarithmic_where_positive_values_span_more_than_a_factor(numbers: list, factor: int, expected: str) -> None:
    assert style.axis_type(numbers, factor)["type"] == expected


@pytest.mark.parametrize(("count", "written"), [(10, True), (11, False)])
def test_a_matrix_has_its_numbers_in_its_cells_while_they_have_room(count: int, written: bool) -> None:
    matrix = np.arange(count**2, dtype=float).reshape(count, count)
    [trace] = networks.pair_matrix(matrix, [str(index) for index in range(count)], 3.0).data
    assert values(trace.z) == matrix.tolist() and trace.zmax == 3 and bool(trace.texttemplate) == written


def test_a_map_keeps_the_distances_that_a_plane_can_hold() -> None:
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    distances = np.linalg.norm(corners[:, None] - corners, axis=2)
    figure, share = networks.network_map(distances, ["a", "b", "c"], [0.1, 0.2, 0.3])
    points = np.stack([figure.data[0].x, figure.data[0].y], axis=1)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=2), distances, atol=1e-9)
    assert share == pytest.approx(1) and values(figure.data[0].marker.color) == [0.1, 0.2, 0.3]


def test_a_map_draws_networks_that_are_equal_or_of_unknown_distance() -> None:
    for distances in (np.zeros((3, 3)), np.full((3, 3), NAN)):
        figure, _ = networks.network_map(distances, ["a", "b", "c"], [0.1, 0.2, 0.3])
        assert np.isfinite(figure.data[0].x).all() and figure.layout.xaxis.range[1] > 0


def test_lines_between_networks_are_raw_and_matched() -> None:
    raw, matched = np.array([[1.0, 3.0, 1.0], [1.0, 4.0, 1.0]]), np.array([[1.0, 1.5, 1.0]])
    figure = networks.lines_between(np.array([0, 0.5, 1]), raw, matched, "training loss")
    assert [(trace.name, values(trace.y)[1], trace.showlegend) for trace in figure.data] == [
        ("as they lie", 3, True),
        ("as they lie", 4, False),
        ("matched", 1.5, True),
    ]


def test_rivals_are_drawn_by_standing_with_their_means_and_intervals() -> None:
    drawn = [
        trials.Rival("trial 3", WILD, [1.0, 3.0], 0.5, "best", ["trial 3", WILD]),
        trials.Rival("trial 1", "1", [2.0, 4.0], 0.25, "tied", []),
        trials.Rival("trial 2", "2", [9.0], None, "worse", []),
    ]
    figure = trials.rivals(drawn, "loss")
    dots, best, tied, worse = figure.data
    assert list(figure.layout.yaxis.ticktext) == [SAFE, "1", "2"] and figure.layout.yaxis.tickvals[0] == "trial 3"
    assert figure.layout.meta[style.NARROW]["yaxis"] == ["trial 3", "trial 1", "trial 2"]
    assert values(dots.x) == [1, 3, 2, 4, 9] and list(dots.y) == ["trial 3"] * 2 + ["trial 1"] * 2 + ["trial 2"]
    assert [(values(trace.x), values(trace.error_x.array)) for trace in (best, tied, worse)] == [
        ([2], [0.5]),
        ([3], [0.25]),
        ([9], [0]),
    ]
    assert list(best.customdata) == [f"trial 3<br>{SAFE}"]


@pytest.mark.parametrize(("less_is_better", "expected"), [(True, [3, 1, 1]), (False, [3, 3, 4])])
def test_the_history_holds_the_best_so_far(less_is_better: bool, expected: list) -> None:
    each, best = trials.history([0, 1, 5], [3.0, 1.0, 4.0], less_is_better, "loss").data
    assert values(each.x) == [0, 1, 5] and values(each.y) == [3, 1, 4] and values(best.y) == expected


def test_the_front_is_set_apart_from_the_other_trials() -> None:
    figure = trials.front({0: [1, 2, 9], 1: [2, 1, 8], 2: [3, 3, 7]}, 0, 2, ["loss", "spread", "size"], [0, 1])
    others, front = figure.data
    assert (values(others.x), values(others.y), list(others.text)) == ([3], [7], ["2"])
    assert (values(front.x), values(front.y), list(front.text)) == ([1, 2], [9, 8], ["0", "1"])
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("loss", "size")


def test_the_chart_of_settings_shows_one_quantity_in_its_order_and_greys_what_is_not_shown() -> None:
    found = [
        SettingEffect("optimizer.learning_rate", 0.3, 0.1),
        SettingEffect("depth", 0.2, 0.4),
        SettingEffect("width", 0.1, 0.05),
    ]
    bars, chance = search.effects(found, "validation loss").data
    assert list(bars.x) == [0.3, 0.2, 0.1] and list(chance.x) == [0.1, 0.4, 0.05]
    assert list(bars.y) == list(chance.y) == ["learning_rate", "depth", "width"]
    assert [colour == style.GREY for colour in bars.marker.color] == [False, True, False]
    assert list(bars.text) == ["", "not shown", ""]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1.0, 2.0], {"range": [1.0, 2.0], "ticktext": ["1", "2"]}),
        ([1e-4, 1e-2], {"range": [-4.0, -2.0], "ticktext": ["0.0001", "0.01"]}),
        ([1.0, None, 2.0], {"range": [0.85, 2.0], "ticktext": ["–", "1", "2"]}),
        (["b", "a", None], {"values": [1, 0, 2], "ticktext": ["a", "b", "–"]}),
        ([True, False], {"values": [1, 0], "ticktext": ["False", "True"]}),
        ([3], {"range": [3.0, 4.0]}),
    ],
    ids=["linear", "logarithmic", "conditional", "choices", "switches", "one value"],
)
def test_an_axis_has_a_place_for_every_value(column: list, expected: dict) -> None:
    axis = search.setting_axis("optimizer.key_of", column)
    assert axis["label"] == "key of"
    assert {key: pytest.approx(axis[key]) if key == "range" else axis[key] for key in expected} == expected
    assert all(axis["range"][0] <= value <= axis["range"][1] for value in axis["values"])


@pytest.mark.parametrize(("less_is_better", "ends"), [(True, (0, 9)), (False, (1, 10))])
def test_parallel_coordinates_spend_their_colours_on_the_good_trials(less_is_better: bool, ends: tuple) -> None:
    results = [float(result) for result in range(11)]
    [trace] = search.parallel({"rate": [1.0, 2.0] * 5 + [1.0]}, results, "loss", less_is_better).data
    assert (trace.line.cmin, trace.line.cmax) == ends and trace.line.reversescale != less_is_better
    assert [dimension.label for dimension in trace.dimensions] == ["rate", "loss"] and values(trace.dimensions[1].values) == results


@pytest.mark.parametrize(("column", "kind"), [([1, 100, 3], "log"), (["b", WILD, "b"], "category")])
def test_a_slice_marks_the_best_trial_among_a_settings_values(column: list, kind: str) -> None:
    figure = search.setting_slice(column, [0.3, 0.1, 0.2], [4, 5, 6], best=5, quantity="loss")
    [trace] = figure.data
    assert [str(value) for value in trace.x] == [style.escape(value) for value in column] and values(trace.y) == [0.3, 0.1, 0.2]
    assert np.argmax(trace.marker.size) == 1 and list(trace.customdata) == [4, 5, 6] and figure.layout.xaxis.type == kind


@pytest.mark.parametrize(("less_is_better", "ranks"), [(True, [3, 1, 2]), (False, [1, 3, 2])])
def test_a_pair_of_settings_is_coloured_by_rank(less_is_better: bool, ranks: list[int]) -> None:
    rates, optimizers = ("rate", [1e-4, 1e-1, 1e-2]), ("optimizer", ["a", WILD, "a"])
    figure = search.pair(rates, optimizers, [0.9, 0.1, 0.5], [7, 8, 9], less_is_better, best=9)
    [trace] = figure.data
    assert values(trace.marker.color) == ranks and list(trace.y) == ["a", SAFE, "a"]
    assert (figure.layout.xaxis.type, figure.layout.xaxis.dtick, figure.layout.yaxis.type) == ("log", 1, "category")
    # the best trial, though another one has the best mean
    assert list(trace.marker.symbol) == ["circle", "circle", "diamond"]


def test_shares_have_a_panel_for_each_quantity_and_a_colour_for_each_trial() -> None:
    def blame(quantity: str, share: float) -> Blame:
        return Blame(quantity, {"init": (share, 0.25, 1.0), "order": (1 - share, 0.0, 0.5)}, (0, 0, 0), 1.0, None)

    figure = causes.shares({"a": [blame("loss", 0.75), blame("weights", 0.5)], "b": [blame("weights", 1.0)]})
    loss, weights, other = figure.data
    assert values(loss.x) == [0.75, 0.25] and list(loss.y) == ["init", "order"]
    assert values(loss.error_x.array) == [0.25, 0.25] and values(loss.error_x.arrayminus) == [0.5, 0.25]
    assert loss.xaxis != weights.xaxis == other.xaxis
    assert loss.marker.color == weights.marker.color != other.marker.color


ONE, TWO = Means(1.4, 1.3, 0.2), Means(0.4, 0.3, 0.1)
PAIR = Pair("a", WILD, ONE, ONE, TWO, ranking.difference([0.5, 0.6], [0.7, 0.8]))
EFFECT = Effect(("a", WILD), np.array([[0.5, 0.6], [0.7, 0.8]]), (PAIR,))


def test_levels_join_what_one_replicate_reaches_under_each() -> None:
    first, second, mean = causes.levels(EFFECT, "optimizer", "loss").data
    assert (values(first.y), values(second.y), values(mean.y)) == ([0.5, 0.7], [0.6, 0.8], pytest.approx([0.55, 0.75]))
    assert list(first.x) == ["a", SAFE]


def test_differences_are_of_weights_or_else_of_functions() -> None:
    figure, quantity = causes.differences(EFFECT)
    assert [values(trace.y) for trace in figure.data] == [[1.4], [1.3], [0.2]] and "weights" in quantity
    assert len(figure.layout.shapes) == 1 and list(figure.data[0].x) == [f"a – {SAFE}"]
    shapes = dataclasses.replace(EFFECT, pairs=(dataclasses.replace(PAIR, relative_l2=None),))
    figure, quantity = causes.differences(shapes)
    assert [values(trace.y) for trace in figure.data] == [[0.4], [0.3], [0.1]] and "predictions" in quantity
    assert not figure.layout.shapes
    alone = dataclasses.replace(EFFECT, pairs=(dataclasses.replace(PAIR, relative_l2=Means(None, None, 0.2)),))
    assert [values(trace.y) for trace in causes.differences(alone)[0].data] == [[None], [None], [0.2]]


@pytest.mark.parametrize(("functions", "heights", "lines"), [(False, [1.4, 0.9], 1), (True, [0.2, None], 0)])
def test_spreads_are_of_weights_or_of_functions(functions: bool, heights: list, lines: int) -> None:
    figure = causes.spreads([Spread("init", 9.0, 1.4, 0.2, 0.1), Spread("order", 5.0, 0.9, None, 0.1)], functions)
    assert values(figure.data[0].y) == heights and list(figure.data[0].x) == ["init", "order"]
    assert len(figure.layout.shapes) == lines
