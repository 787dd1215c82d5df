"""The picture of a trial's loss curves, which MLflow shows beside another trial's."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from study.records.arrays import Floats
from study.records.cohort import Cohort
from study.reporting import curve_picture
from study.reporting.axes import Axis
from study.reporting.curve_picture import FOOT, HEAD, HEIGHT, LEFT, MOST_LINES, MOST_POINTS, RIGHT, WIDTH
from tests.test_records_on_disk import COHORT

SVG = "{http://www.w3.org/2000/svg}"


def trained(train_loss: Floats, val_loss: Floats, kept: list[int] | None = None) -> Cohort:
    epochs = (~np.isnan(val_loss)).sum(axis=1)
    return dataclasses.replace(
        COHORT,
        labels=[""] * len(val_loss),
        train_loss=train_loss,
        val_loss=val_loss,
        trained=epochs,
        epoch=np.array(kept or epochs),
    )


def lines(drawn: ElementTree.Element) -> list[list[tuple[float, float]]]:
    texts = [line.attrib["points"].split() for line in drawn.iter(f"{SVG}polyline")]
    return [[(float(point.split(",")[0]), float(point.split(",")[1])) for point in points] for points in texts]


@pytest.mark.parametrize("count", [1, 2, MOST_LINES, MOST_LINES + 1])
@pytest.mark.parametrize("epochs", [1, 2, MOST_POINTS, 12_345])
@pytest.mark.parametrize("least", [-1.0, 0.0, 1e-6, 0.5, 1.0])
def test_every_line_lies_within_the_frame_and_spans_it(count: int, epochs: int, least: float) -> None:
    """least: the smallest of the losses; the largest is 1, so that axes are linear, logarithmic, and of no length."""
    falling = np.broadcast_to(np.linspace(1, least, epochs), (count, epochs)).astype(np.float32)
    drawn = ElementTree.fromstring(curve_picture.svg(trained(falling, falling)))
    found = lines(drawn)
    assert len(found) == 2 * min(count, MOST_LINES)
    assert {len(points) for points in found} == {max(2, min(epochs, MOST_POINTS))}
    for points in found:
        across, up = np.array(points).T
        assert across.min() == LEFT and across.max() == (WIDTH - RIGHT if epochs > 1 else LEFT)
        assert (np.diff(across) >= 0).all() and (np.diff(up) >= 0).all()
        assert up.min() >= HEAD - 0.1 and up.max() <= HEIGHT - FOOT + 0.1
    if epochs > 1 and least < 1:
        assert up.max() - up.min() > 0.9 * (HEIGHT - FOOT - HEAD)


def test_a_replicate_that_stopped_ends_there_and_its_kept_weights_are_marked() -> None:
    losses = np.array([[3, 2, 1, 2], [3, 1, 2, np.nan]], np.float32)
    text = curve_picture.svg(trained(losses, losses, kept=[3, 2]))
    drawn = ElementTree.fromstring(text)
    assert [len(points) for points in lines(drawn)] == [4, 3, 4, 3]
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter(f"{SVG}circle")]
    assert dots == [lines(drawn)[2][2], lines(drawn)[3][1]] and "weights kept" in text
    text = curve_picture.svg(trained(losses, losses))
    assert "<circle" not in text and "weights kept" not in text


@pytest.mark.parametrize("least", [0.0, 0.01, 0.4])
def test_the_kept_weights_are_marked_within_the_frame_also_in_an_epoch_that_no_line_has(least: float) -> None:
    losses = np.linspace(3, 0.5, 10 * MOST_POINTS, dtype=np.float32)[None].copy()
    losses[0, 503] = least
    drawn = ElementTree.fromstring(curve_picture.svg(trained(losses, losses, kept=[504])))
    [dot] = drawn.iter(f"{SVG}circle")
    x, y = float(dot.attrib["cx"]), float(dot.attrib["cy"])
    assert x == pytest.approx(LEFT + 503 / 999 * (WIDTH - RIGHT - LEFT), abs=0.1) and y <= HEIGHT - FOOT
    assert y > max(up for line in lines(drawn) for _, up in line)


def test_the_title_says_whose_loss_it_is() -> None:
    for count, title in ((1, "loss of one network"), (2, "loss of 2 replicates"), (9, "loss of 8 of 9 replicates")):
        losses = np.ones((count, 3), np.float32)
        assert re.findall("<title>(.*)</title>", curve_picture.svg(trained(losses, losses))) == [title]


@pytest.mark.parametrize(
    ("first", "last", "is_log", "ticks"),
    [
        (0, 7, False, [0, 1, 2, 3, 4, 5, 6, 7]),
        (1, 100, False, [20, 40, 60, 80, 100]),
        (0.31, 2.9, True, [0.5, 1, 2]),
        (0.9, 1100, True, [1, 3, 10, 30, 100, 300, 1000]),
        (2, 2, False, [2]),
        (0.2, 2000, True, [1, 10, 100, 1000]),
        (1e-12, 1, True, [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1]),
    ],
)
def test_ticks_are_round_numbers_between_the_ends(first: float, last: float, is_log: bool, ticks: list[float]) -> None:
    assert Axis(first, last, 0, 100, is_log).ticks() == pytest.approx(ticks)


def test_an_axis_places_its_ends_and_what_is_between() -> None:
    assert [Axis(1, 100, 10, 20, True).place(value) for value in (1, 10, 100)] == pytest.approx([10, 15, 20])
    assert [Axis(0, 10, 20, 0).place(value) for value in (0, 5, 10)] == pytest.approx([20, 10, 0])
