"""The report's page: what is on it, and that a real browser shows it, on a phone as on a desk, offline."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from study.analysis.controlled_comparison import Effect, Means, Pair, Spread
from study.records.outcome import Blame, Summary
from study.records.tracked import Portrait, TrackedTrial
from study.records.trial import TrialRecord
from study.reporting import factor_tables
from study.reporting.pages import charts, of_study, page
from study.reporting.pages.page import Chart, Code, Listing, Page, Section
from study.reporting.report import Table
from study.reporting.study_results import Findings, Networks, Shown
from study.statistics import ranking
from study.statistics.objectives import MAXIMIZE, Objective
from study.statistics.setting_effects import SettingEffect
from tests.browser import browser, page_of

OPTIMIZERS = ("adam", "sgd", "rmsprop")
WILD = "</script><script>alert(1)</script><b>&amp;"


def summary(loss: float, replicates: int = 4, **more: object) -> Summary:
    losses = [loss * (1 + 0.02 * place) for place in range(replicates)]
    found = {
        "val_losses": losses,
        "val_loss_mean": float(np.mean(losses)),
        "val_loss_std": float(np.std(losses, ddof=1)) if replicates > 1 else 0.0,
        "val_loss_halfwidth": 0.01 if replicates > 1 else None,
        "train_loss_mean": 0.5,
        "distance": 1.41,
        "disagreement": 0.1,
        "distinct": replicates,
        "labels": {"plateaued": replicates},
        "aligned": 0.7,
        "null": 0.75,
        "verdict": "same loss only",
        "reasons": ["their predictions differ"],
        "parameters": 769,
    }
    return Summary(**(found | more))  # type: ignore[arg-type]


def trials(count: int, broken: int = 0) -> list[TrialRecord]:
    """Completed trials of three settings, one of which only sgd has, and failed and pruned ones."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        optimizer = OPTIMIZERS[number % 3]
        params = {
            "optimizer": optimizer,
            "optimizer.learning_rate": float(10 ** draw.uniform(-4, -1)),
            "model.depth": number % 2 + 1,
        }
        if optimizer == "sgd":
            params["optimizer.momentum"] = float(draw.random())
        told = summary(float(draw.uniform(0.5, 0.9)))
        found.append(TrialRecord(number, "complete", params, [told.val_loss_mean], told, None, f"run{number}", {}))
    for number in range(count, count + broken):
        state, reason = (("failed", "diverged: 4 of 4"), ("pruned", "pruned after 10 epochs"))[number % 2]
        found.append(TrialRecord(number, state, {"optimizer": "sgd"}, [], None, reason, None, {}))
    return found


def shown(record: TrialRecord, replicates: int = 4, epochs: int = 30) -> Shown:
    draw = np.random.default_rng(record.number)
    curves = np.exp(-draw.random((2, replicates, epochs)).cumsum(axis=2) / 10).astype(np.float32)
    points = draw.normal(size=(replicates, 5))
    matrix = np.linalg.norm(points[:, None] - points, axis=2) / 2
    numbers = [str(place) for place in range(replicates)]
    path = draw.random((2, 25))
    kept = TrackedTrial([int(each) for each in numbers], curves[0], curves[1], np.zeros((9, 1), np.float32), {})
    portrait = Portrait(
        title=f"trial {record.number}",
        train_loss=curves[0],
        val_loss=curves[1],
        numbers=numbers,
        final_loss=curves[1, :, -1],
        relative_l2=matrix,
        aligned=matrix / 2,
        null=1.1,
        disagreement=matrix / 4,
        kind="NRMSE",
        alphas=np.linspace(0, 1, 25),
        raw_path=path,
        aligned_path=path / 2,
        path_of="training loss",
    )
    return Shown(record, kept, portrait)


IDENTITY = {
    "data": "diabetes",
    "data.task": "regression",
    "replicates.vary": "[init, order]",
    "space: optimizer": "choice(adam, sgd)",
}


def findings(records: list[TrialRecord], **more: object) -> Findings:
    whole = {"objectives": (Objective(),), "identity": IDENTITY, "command": "mlp-study --multirun optimizer=adam,sgd"}
    return Findings(name="tiny", records=records, **(whole | more))  # type: ignore[arg-type]


def networks(found: Findings, **more: object) -> Networks:
    return Networks([shown(each) for each in found.ranked[:6]], **more)  # type: ignore[arg-type]


BLAMED = [
    Blame(of, {"init": (0.7, 0.5, 0.9), "order": (0.2, 0.1, 0.4), "init × order": (0.1, 0.0, 0.3)}, (0.1, 0.0, 0.3), 1.0, 1e-9)
    for of in ("val loss", "predictions", "weights")
]
MEANS = Means(1.4, 1.41, 0.2)
PAIR = Pair("adam", "sgd", MEANS, MEANS, MEANS, ranking.difference([0.5, 0.6], [0.7, 0.8]))
EFFECT = Effect(("adam", "sgd"), np.array([[0.5, 0.6], [0.7, 0.8]]), (PAIR,))


OTHER_SHAPES = dataclasses.replace(EFFECT, pairs=(dataclasses.replace(EFFECT.pairs[0], relative_l2=None),))
SPREADS = (Spread("init", 9.0, 1.4, 0.2, 0.1), Spread("order", 5.0, 0.9, 0.1, 0.1))


class Elements(HTMLParser):
    """A page's elements with their attributes, its words, and what isn't closed as it was opened."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def rendered(found: Findings, kept: Networks) -> Elements:
    return Elements(page.render(of_study.of(found, kept)))


def titles(found: Findings, kept: Networks) -> list[str]:
    return [section.title for section in of_study.of(found, kept).sections]


WHOLE = findings(trials(24, broken=4))
STUDIES: dict[str, tuple[Findings, Networks]] = {
    "whole": (WHOLE, networks(WHOLE)),
    "without networks": (WHOLE, Networks()),
    "nothing completed": (findings(trials(0, broken=3)), Networks()),
    "no trial": (findings([]), Networks()),
    "one trial of one network": (
        findings([TrialRecord(0, "complete", {}, [0.5], summary(0.5, 1, distance=0.0, aligned=None, null=None), None, "r", {})]),
        Networks(),
    ),
    "crossed": (
        findings([dataclasses.replace(each, summary=summary(0.5, blame=BLAMED)) for each in trials(2)]),
        Networks(),
    ),
    "one setting": (
        findings(trials(2)),
        Networks(factor=factor_tables.Comparison("optimizer", Objective(), "NRMSE", 2, ["init"], EFFECT)),
    ),
    "widths": (
        findings(trials(2)),
        Networks(factor=factor_tables.Comparison("width", Objective(), "NRMSE", 2, ["init"], OTHER_SHAPES)),
    ),
    "sources": (
        findings(trials(2)),
        Networks(factor=factor_tables.Comparison("vary", Objective(), "NRMSE", 2, ["init"], spreads=SPREADS)),
    ),
    "several objectives": (
        findings(
            [dataclasses.replace(each, values=[each.value or 0.0, float(each.number)]) for each in trials(9)],
            objectives=(Objective(), Objective("size")),
            front=[0, 3],
        ),
        Networks(),
    ),
    "a score that is to be high": (
        findings(
            [
                dataclasses.replace(each, values=[0.9 - each.number / 100], summary=summary(0.5, scores={"accuracy": [0.9] * 4}))
                for each in trials(9)
            ],
            objectives=(Objective("accuracy", MAXIMIZE),),
        ),
        Networks(),
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_sound_page(name: str) -> None:
    found, kept = STUDIES[name]
    elements = rendered(found, kept)
    assert elements.wrong == [] and elements.open == []
    assert found.answer.headline in elements.words and found.answer.text in elements.words
    drawn = [each for each in elements.of("div") if "data-chart" in each]
    assert [each["data-chart"] for each in drawn] == [str(place) for place in range(len(drawn))]
    assert all(each["role"] == "img" and each["aria-label"] for each in drawn)


def test_the_answer_comes_first_and_the_way_to_reproduce_it_last() -> None:
    found = titles(*STUDIES["whole"])
    assert found[0] == "Winner and rivals" and found[-2:] == ["How to reproduce this", "What the words mean"]
    content = of_study.of(*STUDIES["whole"])
    assert content.headline == f"{WHOLE.answer.headline}."
    assert WHOLE.win in content.answer
    assert content.facts["trials"] == "24 complete, 2 failed, 2 pruned"


def test_the_chart_of_settings_shows_one_quantity_in_its_order_and_greys_what_is_not_shown() -> None:
    found = [
        SettingEffect("optimizer.learning_rate", 0.3, 0.1),
        SettingEffect("depth", 0.2, 0.4),
        SettingEffect("width", 0.1, 0.05),
    ]
    bars, chance = charts.effects(found, "validation loss").data
    assert list(bars.x) == [0.3, 0.2, 0.1] and list(chance.x) == [0.1, 0.4, 0.05]
    assert list(bars.y) == list(chance.y) == ["learning_rate", "depth", "width"]
    assert [colour == charts.GREY for colour in bars.marker.color] == [False, True, False]
    assert list(bars.text) == ["", "not shown", ""]


def test_failed_and_pruned_trials_are_listed_with_their_reasons() -> None:
    elements = rendered(WHOLE, Networks())
    assert "diverged: 4 of 4" in elements.words and "pruned after 10 epochs" in elements.words


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("crossed", "Which randomness is to blame"),
        ("one setting", "What optimizer does"),
        ("widths", "What width does"),
        ("sources", "What vary does"),
    ],
)
def test_a_question_has_a_section_of_its_own(name: str, title: str) -> None:
    assert title in titles(*STUDIES[name])
    assert title not in titles(*STUDIES["whole"])


def test_a_page_loads_nothing_and_asks_nobody() -> None:
    text = page.render(of_study.of(*STUDIES["whole"]))
    own = text.replace(page._plotly(), "")
    assert len(own) < len(text)
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*", own) == [] and "://" not in own
    assert "default-src 'none'" in own


def test_what_a_user_calls_things_is_shown_and_never_run() -> None:
    record = dataclasses.replace(trials(1)[0], params={WILD: WILD, "model.depth": 1})
    other = dataclasses.replace(record, number=1, params={WILD: "x", "model.depth": 2})
    found = findings([record, other], identity={"data": WILD, f"space: {WILD}": WILD}, command=f"mlp-study {WILD}")
    found = dataclasses.replace(found, name=WILD)
    text = page.render(of_study.of(found, networks(found)))
    assert "alert(1)</script>" not in text and "<b>&amp;" not in text
    assert WILD in Elements(text).words
    [specs] = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', text, re.DOTALL)
    assert json.loads(specs)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    chart = Chart("correct-horse", charts.curves(["correct-horse"], [np.ones(3)], [np.ones(3)]), "correct-horse")
    table = Table(("correct-horse",), (("correct-horse",),))
    section = Section("correct-horse", ["correct-horse"], [chart], [Listing("correct-horse", table)], [Code("c", "correct-horse")])
    content = Page("correct-horse", "s", "h", ["correct-horse"], {"correct-horse": "correct-horse"}, [section])
    assert "correct-horse" not in page.render(content)


@pytest.mark.parametrize(
    ("values", "expected"),
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
def test_an_axis_has_a_place_for_every_value(values: list, expected: dict) -> None:
    axis = charts._axis("optimizer.key_of", values)
    assert axis["label"] == "key of"
    assert {key: pytest.approx(axis[key]) if key == "range" else axis[key] for key in expected} == expected
    assert all(axis["range"][0] <= value <= axis["range"][1] for value in axis["values"])


def test_words_and_numbers_are_told_apart() -> None:
    rows = (("adam", "0.604 ± 0.010", "8 still improving", "0.700 (94%)"), ("sgd", "–", "–", "15% [0%, 56%]"))
    assert Listing("", Table(("a", "b", "c", "d"), rows)).words == {0, 2}


def test_a_long_curve_keeps_its_ends() -> None:
    losses = np.arange(10_000, dtype=np.float32)[None]
    epochs, kept = charts._thinned(losses)
    assert len(epochs) <= charts.MOST_POINTS and (epochs[0], epochs[-1]) == (1, 10_000)
    assert (kept[0, 0], kept[0, -1]) == (0, 9_999)


def test_levels_of_one_replicate_are_drawn() -> None:
    lone = Effect(("a", "b"), np.array([[0.5], [0.6]]), (Pair("a", "b", None, None, None, ranking.difference([0.5], [0.6])),))
    figure, quantity = charts.causes(lone)
    assert quantity == "disagreement of the predictions" and figure.data
    assert len(charts.levels(lone, "x", "loss").data) == 2


DRAWN = "charts.filter(element => !element.closest('details:not([open])')).every(element => element.querySelector('.main-svg'))"
PLACE_OF_A_POINT = """element => {
  const { xaxis, yaxis } = element._fullLayout, line = element._fullData.find(each => each.showlegend && each.visible === true);
  return [xaxis._offset + xaxis.d2p(line.x[9]), yaxis._offset + yaxis.d2p(line.y[9])];
}"""
REACH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 500 trials."""
    found = findings(trials(480, broken=20))
    file = tmp_path_factory.mktemp("page") / "report.html"
    of_study.write(found, networks(found), file)
    return file


@pytest.mark.long
def test_a_browser_shows_500_trials_without_an_error_wherever_it_is_opened(large: Path) -> None:
    with browser() as opened:
        for width, scheme in ((1440, "light"), (390, "light"), (390, "dark")):
            with page_of(opened, large, width, scheme=scheme) as (shown_page, errors):
                shown_page.wait_for_function(DRAWN, timeout=60_000)  # also those that nobody scrolls to
                assert shown_page.evaluate(REACH) <= 0
                assert errors == []
                dark = shown_page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
                assert dark == (scheme == "dark")


def test_a_reader_can_hover_sort_and_open(large: Path) -> None:
    with browser() as opened, page_of(opened, large, 1440) as (shown_page, errors):
        shown_page.locator("h3", has_text="Loss by epoch").scroll_into_view_if_needed()
        chart = shown_page.locator(".chart").nth(1)
        chart.locator(".main-svg").first.wait_for()
        x, y = chart.evaluate(PLACE_OF_A_POINT)
        chart.hover(position={"x": x, "y": y})
        shown_page.wait_for_selector(".hoverlayer .hovertext", state="attached")
        head = shown_page.locator("table:has(th:has-text('learning rate')) th", has_text="trial").first
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        first = shown_page.locator("table:has(th:has-text('learning rate')) tbody tr").first.locator("td").first
        assert first.inner_text() == "0"
        head.get_by_role("button").click()
        assert first.inner_text() == "499"
        rival = shown_page.locator("details.section").first
        assert rival.locator(".main-svg").count() == 0
        rival.locator("summary").click()
        rival.locator(".main-svg").first.wait_for()
        assert errors == []


def test_paper_gets_every_open_chart_on_white(large: Path) -> None:
    with browser() as opened, page_of(opened, large, 1440, scheme="dark") as (shown_page, errors):
        shown_page.emulate_media(media="print")
        shown_page.wait_for_function(DRAWN, timeout=60_000)
        assert shown_page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert shown_page.evaluate("charts[0]._fullLayout.paper_bgcolor").lower() in ("#fff", "rgb(255, 255, 255)")
        assert len(shown_page.pdf()) > 10_000
        assert errors == []
