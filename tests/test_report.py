"""The report's page: what is on it, and that a real browser shows it, on a phone as on a desk, offline."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from study.analysis.controlled_comparison import Effect, Means, Pair, Spread
from study.records.outcome import Blame
from study.records.tracked import Circumstances
from study.records.trial import TrialRecord
from study.reporting import factor_tables
from study.reporting.pages import packing, page, study_page
from study.reporting.pages.charts import losses
from study.reporting.pages.page import Chart, Code, Listing, Page, Section
from study.reporting.report import Table
from study.reporting.study_results import Findings, Networks
from study.statistics import ranking
from study.statistics.objectives import MAXIMIZE, Objective
from tests.browser import browser, page_of
from tests.pages import Elements, findings, networks, summary, trials

WILD = "</script><script>alert(1)</script><b>&amp;"

BLAMED = [
    Blame(of, {"init": (0.7, 0.5, 0.9), "order": (0.2, 0.1, 0.4), "init × order": (0.1, 0.0, 0.3)}, (0.1, 0.0, 0.3), 1.0, 1e-9)
    for of in ("val loss", "predictions", "weights")
]
MEANS = Means(1.4, 1.41, 0.2)
PAIR = Pair("adam", "sgd", MEANS, MEANS, MEANS, ranking.difference([0.5, 0.6], [0.7, 0.8]))
EFFECT = Effect(("adam", "sgd"), np.array([[0.5, 0.6], [0.7, 0.8]]), (PAIR,))


OTHER_SHAPES = dataclasses.replace(EFFECT, pairs=(dataclasses.replace(EFFECT.pairs[0], relative_l2=None),))
SPREADS = (Spread("init", 9.0, 1.4, 0.2, 0.1), Spread("order", 5.0, 0.9, 0.1, 0.1))


def rendered(found: Findings, kept: Networks) -> Elements:
    return Elements(page.render(study_page.build(found, kept)))


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
        Networks(factor=factor_tables.FactorComparison("optimizer", Objective(), "NRMSE", 2, ["init"], EFFECT)),
    ),
    "widths": (
        findings(trials(2)),
        Networks(factor=factor_tables.FactorComparison("width", Objective(), "NRMSE", 2, ["init"], OTHER_SHAPES)),
    ),
    "sources": (
        findings(trials(2)),
        Networks(factor=factor_tables.FactorComparison("vary", Objective(), "NRMSE", 2, ["init"], spreads=SPREADS)),
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
    assert all(each["role"] == "group" and each["aria-label"] for each in drawn)


def test_the_answer_comes_first_and_the_way_to_reproduce_it_last() -> None:
    content = study_page.build(*STUDIES["whole"])
    *_, reproduce, glossary = content.sections
    first, _, rivals = content.sections[:3]
    assert first.title == "Convergence" and rivals.charts[0].title == "validation loss with intervals"
    assert WHOLE.win in rivals.texts
    assert "mlp-study reproduce tiny/" in "".join(code.text for code in reproduce.codes) and glossary.closed
    assert content.headline == f"{WHOLE.answer.headline}."
    assert content.evidence["trials"] == "24 complete, 2 failed, 2 pruned"


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("name", STUDIES)
def test_the_answer_is_one_short_sentence_with_at_most_three_facts(name: str) -> None:
    content = study_page.build(*STUDIES[name])
    assert 1 < words(content.headline) <= page.MOST_WORDS and len(content.facts) <= 3


def test_the_strip_of_evidence_says_when_on_what_and_with_which_program() -> None:
    known = Circumstances(
        {"mlp_study": "0.2", "code_sha256": "c" * 64, "python": "3.11", "processor": "AMD EPYC 7 fpu vme", "threads": "2"},
        data="houses.csv",
        digest="d" * 64,
        parts={"training": 1200, "test": 300, "inputs": 5},
        commit="a" * 40 + "+",
        ended=1000.0 + 90,
    )
    records = [dataclasses.replace(record, started=1000.0, ended=1060.0) for record in trials(2)]
    strip = study_page.build(findings(records), Networks(circumstances=known)).evidence
    assert strip["from start to end"] == "90 s" and strip["networks"] == "8"
    assert strip["data"] == f"houses.csv (sha256 {'d' * 12})" and strip["rows"] == "1,200 to train on, 300 to judge by"
    assert strip["program"] == f"mlp-study 0.2, commit {'a' * 12} with changes, code {'c' * 12}"
    assert strip["versions"] == "Python 3.11" and strip["machine"].startswith("AMD EPYC 7, 2 threads")


def test_failed_and_pruned_trials_are_listed_with_their_reasons() -> None:
    elements = rendered(WHOLE, Networks())
    assert "diverged: 4 of 4" in elements.words and "pruned after 10 epochs" in elements.words


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("crossed", ["Shares of the variance"]),
        ("one setting", ["validation loss by optimizer", "relative L2 distance of the weights"]),
        ("widths", ["validation loss by width", "disagreement of the predictions"]),
        ("sources", ["Distance of the weights", "Disagreement of the functions"]),
    ],
)
def test_a_question_has_a_section_of_its_own(name: str, drawn: list[str]) -> None:
    sections = [[chart.title for chart in section.charts] for section in study_page.build(*STUDIES[name]).sections]
    assert drawn in sections
    assert drawn not in [[chart.title for chart in section.charts] for section in study_page.build(*STUDIES["whole"]).sections]


@pytest.mark.parametrize("of_others", [{}, {"optimizer.rho": None}])
def test_a_setting_that_no_completed_trial_has_has_no_chart(of_others: dict[str, None]) -> None:
    *done, failed = trials(5, broken=1)
    assert failed.summary is None
    records = [dataclasses.replace(record, params={**record.params, **of_others}) for record in done]
    records.append(dataclasses.replace(failed, params={**failed.params, "optimizer.rho": 0.9}))
    titles = [chart.title for section in study_page.build(findings(records), Networks()).sections for chart in section.charts]
    assert "Parallel coordinates" in titles and "rho" not in titles


def test_a_page_loads_nothing_and_asks_nobody() -> None:
    text = page.render(study_page.build(*STUDIES["whole"]))
    own = text.replace(page._plotly(), "").replace(packed_specs(text), "")
    assert len(own) < len(text)
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*", own) == [] and "://" not in own
    assert "default-src 'none'" in own


def test_what_a_user_calls_things_is_shown_and_never_run() -> None:
    record = dataclasses.replace(trials(1)[0], params={WILD: WILD, "model.depth": 1})
    other = dataclasses.replace(record, number=1, params={WILD: "x", "model.depth": 2})
    found = findings([record, other], settings={"data": WILD}, space={WILD: WILD}, command=f"mlp-study {WILD}")
    found = dataclasses.replace(found, name=WILD)
    text = page.render(study_page.build(found, networks(found)))
    assert "alert(1)</script>" not in text and "<b>&amp;" not in text
    assert WILD in Elements(text).words
    assert "alert(1)" in packing.unpacked(packed_specs(text)) and json.loads(packing.unpacked(packed_specs(text)))


def packed_specs(text: str) -> str:
    [specs] = re.findall(r'<script type="text/plain" id="specs">(.*?)</script>', text, re.DOTALL)
    return specs


def test_what_is_packed_ends_no_script_and_comes_back() -> None:
    text = "</script><!-- ü 😀 \0" * 999
    packed = packing.packed(text)
    assert "<" not in packed and len(packed) < len(text) / 50 and packing.unpacked(packed) == text


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    chart = Chart("correct-horse", losses.curves(["correct-horse"], [np.ones(3)], [np.ones(3)]), "correct-horse")
    table = Table(("correct-horse",), (("correct-horse",),))
    section = Section("correct-horse", ["correct-horse"], [chart], [Listing("correct-horse", table)], [Code("c", "correct-horse")])
    content = Page("correct-horse", "s", "h", ["correct-horse"], {"correct-horse": "correct-horse"}, [section])
    text = page.render(content)
    assert "correct-horse" not in text and "correct-horse" not in packing.unpacked(packed_specs(text))


def test_words_and_numbers_are_told_apart() -> None:
    rows = (("adam", "0.604 ± 0.010", "8 still improving", "0.700 (94%)"), ("sgd", "–", "–", "15% [0%, 56%]"))
    assert Listing("", Table(("a", "b", "c", "d"), rows)).words == {0, 2}


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
    study_page.write(found, networks(found), file)
    return file


@pytest.mark.long
def test_a_browser_shows_500_trials_without_an_error_wherever_it_is_opened(large: Path) -> None:
    with browser() as opened:
        for width, scheme in ((1440, "light"), (390, "light"), (390, "dark")):
            with page_of(opened, large, width, scheme=scheme) as (shown_page, errors):
                shown_page.wait_for_function(DRAWN)  # also those that nobody scrolls to
                assert shown_page.evaluate(REACH) <= 0
                assert errors == []
                dark = shown_page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
                assert dark == (scheme == "dark")


@pytest.mark.long
def test_a_reader_can_hover_sort_and_open(large: Path) -> None:
    with browser() as opened, page_of(opened, large, 1440) as (shown_page, errors):
        shown_page.locator("h3", has_text="Loss by epoch").first.scroll_into_view_if_needed()
        chart = shown_page.locator(".chart").nth(1)
        chart.locator(".main-svg").first.wait_for()
        for attempt in range(100):  # a chart above it that is drawn only now moves it, and one that is drawn may not listen yet
            x, y = chart.evaluate(PLACE_OF_A_POINT)
            chart.hover(position={"x": x + attempt % 2, "y": y})
            shown_page.wait_for_timeout(100)
            if shown_page.locator(".hoverlayer .hovertext").count():
                break
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


@pytest.mark.long
def test_a_chart_is_saved_as_a_picture_and_sent_nowhere(large: Path, tmp_path: Path) -> None:
    with browser() as opened, page_of(opened, large, 1440) as (shown_page, errors):
        chart = shown_page.locator(".chart").first
        chart.scroll_into_view_if_needed()
        chart.hover()
        buttons = chart.locator(".modebar-btn")
        buttons.first.wait_for(state="attached")
        titles = buttons.evaluate_all("found => found.map(button => button.dataset.title)")
        assert len(titles) > 3 and not any("cloud" in title.lower() for title in titles)
        with shown_page.expect_download() as saved:
            buttons.first.click()
        assert saved.value.suggested_filename == "validation loss with intervals.png"
        saved.value.save_as(tmp_path / "chart.png")
        width, height = struct.unpack(">II", (tmp_path / "chart.png").read_bytes()[16:24])
        size = chart.bounding_box()
        assert size and (width, height) == (round(2 * size["width"]), round(2 * size["height"]))
        assert errors == []


@pytest.mark.long
def test_paper_gets_every_open_chart_on_white(large: Path) -> None:
    with browser() as opened, page_of(opened, large, 1440, scheme="dark") as (shown_page, errors):
        shown_page.emulate_media(media="print")
        shown_page.wait_for_function(DRAWN)
        assert shown_page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        shown_page.wait_for_function("['#fff', 'rgb(255, 255, 255)'].includes(charts[0]._fullLayout.paper_bgcolor.toLowerCase())")
        assert len(shown_page.pdf()) > 10_000
        assert errors == []
