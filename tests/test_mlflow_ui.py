"""What a person sees: MLflow's real pages of a study, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from study.analysis import error_table
from tests.command import client, ran, runs_of
from tests.servers import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]

SECONDS = 600
# MLflow asks who is signed in, which a server without accounts doesn't know; its layout ripples; and on a slow machine it draws
# a chart before the chart's box has a height, then again with one, which `wait_for_numbers` checks
NOT_OURS = re.compile(r"status of 404|ResizeObserver loop|^Error: <\w+> attribute [\w-]+: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of two trials of three replicates ran; the second trial is the better one."""
    rates = "optimizer.learning_rate=0.0001,0.01"
    settings = ["data=iris", "training.epochs=6", "replicates.count=3", "model.units=[4]", "hydra.sweeper.study_name=tiny"]
    return ran(tmp_path_factory.mktemp("ui"), "--multirun", rates, *settings)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The address of `mlflow ui`, started in that folder without a word about where its records are."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MLFLOW_")} | settings
    with (folder / "ui.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert time.monotonic() < until and process.poll() is None, (folder / "ui.log").read_text()[-3000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=60).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def errors() -> list[str]:
    """What the pages complained about."""
    return []


@pytest.fixture
def page(browser: Any, errors: list[str]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1900, "height": 1000})
    context.set_default_timeout(300_000)
    context.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    yield context.new_page()
    context.close()


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def opened(page: Any, address: str) -> Any:
    """A page of a study, whose runs are there, without the assistant that MLflow opens beside it."""
    page.goto(address)
    ready(page)
    return page


def ready(page: Any) -> None:
    run(page, "trial 1").wait_for()
    page.evaluate("document.querySelectorAll('[aria-label=Close]').forEach(each => each.click())")


def run(page: Any, name: str) -> Any:
    """A row of the runs table, by its run's name."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def names(page: Any) -> list[str]:
    """The runs table's rows from top to bottom."""
    rows = page.locator("[col-id='attributes.`Run Name`'][role=gridcell]")
    tops = [(each.bounding_box()["y"], each.get_by_role("link").inner_text()) for each in rows.all()]
    return [name for _, name in sorted(tops)]


def wait_for(page: Any, read: Callable[[], Any], expected: Any) -> None:
    """Wait until what is read is what is expected: MLflow draws a page in several turns."""
    until = time.monotonic() + SECONDS
    while read() != expected and time.monotonic() < until:
        page.wait_for_timeout(200)
    assert read() == expected


def wait_for_numbers(page: Any) -> None:
    """Wait until no chart of the page is drawn with NaN, as one of a NaN metric always is."""
    page.wait_for_function("""[...document.querySelectorAll("svg, svg *")].every(
        element => [...element.attributes].every(attribute => !attribute.value.includes("NaN")))""")


def first_page() -> str:
    """The address that the command ends with, below the server's."""
    from study import locations
    from study.tracking.store import open_store

    return open_store(locations.tracking_uri(None)).page(client().get_experiment_by_name("tiny").experiment_id)


@pytest.mark.usefixtures("here")
def test_two_replicates_of_a_trial_are_compared_by_fingerprints_and_loss_curves(server: str, page: Any, errors: list[str]) -> None:
    opened(page, server + first_page())
    wait_for(page, lambda: names(page), ["study tiny", "trial 1", "trial 0"])  # best first, and the study with its winner
    columns = ("metrics.`val_loss_mean`", "metrics.`distance`", "params.`optimizer.learning_rate`", "tags.`convergence`")
    heads = [page.locator(f"[role=columnheader][col-id='{column}']") for column in columns]
    for head in heads:
        head.wait_for()
    # results, settings, words
    wait_for(page, lambda: sorted(columns, key=lambda column: heads[columns.index(column)].bounding_box()["x"]), list(columns))

    with page.context.expect_page() as other:
        page.get_by_role("link", name="with replicates").click()
    tree = other.value
    ready(tree)
    run(tree, "trial 1").get_by_role("button").first.click()
    for name in ("trial 1/0", "trial 1/2"):
        # a row's checkbox lies in the part of the table that is pinned
        place = run(tree, name).first.get_attribute("row-index")
        tree.locator(f"[row-index='{place}'] .ag-checkbox-input").first.click()
    tree.get_by_role("button", name="Compare").click()
    tree.get_by_text("Comparing 2 Runs").first.wait_for()
    chosen = [each for each in runs_of("replicate") if each.info.run_name in ("trial 1/0", "trial 1/2")]
    for each in chosen:
        tree.get_by_text(each.data.tags["fingerprint"], exact=True).first.wait_for()
    drawn = tree.locator(".js-plotly-plot .scatterlayer path.js-line")
    for key in ("train_loss", "val_loss"):
        tree.get_by_role("link", name=key, exact=True).click()
        for each in chosen:
            tree.get_by_text(f"{each.info.run_name} ({key})").first.wait_for()
        drawn.nth(1).wait_for()
        # two lines, each with a point an epoch
        wait_for(tree, lambda: [line.count(",") >= 6 for line in {path.get_attribute("d") for path in drawn.all()}], [True, True])
        tree.go_back()
        tree.get_by_text("Comparing 2 Runs").first.wait_for()
    assert [text for text in errors if not NOT_OURS.search(text)] == []


@pytest.mark.usefixtures("here")
def test_two_trials_are_compared_by_their_errors_and_loss_curves(server: str, page: Any, errors: list[str]) -> None:
    opened(page, server + first_page())
    for name in ("trial 0", "trial 1"):
        place = run(page, name).first.get_attribute("row-index")
        page.locator(f"[row-index='{place}'] .ag-checkbox-input").first.click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("errors.txt", exact=True).click()
    shown = page.locator("code", has_text=error_table.OF_CLASSES)
    wait_for(page, shown.count, 2)
    first, second = (each.bounding_box() for each in shown.all())
    assert first and second and first["y"] == second["y"] and first["x"] < second["x"]
    page.get_by_text("curves.svg", exact=True).click()
    pictures = page.locator("img[src^='blob:']")  # MLflow holds each twice, for an enlarged one
    drawn = "all => new Set(all.filter(each => each.naturalWidth == 480).map(each => each.src)).size"
    wait_for(page, lambda: pictures.evaluate_all(drawn), 2)
    assert [text for text in errors if not NOT_OURS.search(text)] == []


@pytest.mark.usefixtures("here")
def test_charts_show_trials_and_the_curves_of_replicates(server: str, page: Any, errors: list[str]) -> None:
    opened(page, f"{server}{first_page()}&compareRunsMode=CHART")
    for title in ("val_loss_mean", "Parallel Coordinates", "distance vs. val_loss_mean", "disagreement vs. val_loss_mean"):
        page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator(".parcoords .dimension").first.wait_for()
    page.locator(".js-plotly-plot:has(.xtick)").nth(2).wait_for()
    wait_for_numbers(page)
    with page.context.expect_page() as other:
        page.get_by_role("link", name="their curves").click()
    curves = other.value
    ready(curves)
    run(curves, "trial 1").get_by_role("button").first.click()
    for key in ("val_loss", "train_loss"):
        for replicate in range(3):
            curves.get_by_text(f"trial 1/{replicate} ({key})").first.wait_for()
    wait_for_numbers(curves)
    assert [text for text in errors if not NOT_OURS.search(text)] == []


@pytest.mark.usefixtures("here")
def test_runs_say_in_words_what_they_are_and_lead_on(server: str, page: Any, errors: list[str]) -> None:
    (study,) = runs_of("study")
    trial = next(each for each in runs_of("trial") if each.info.run_name == "trial 1")
    runs = f"{server}/#/experiments/{trial.info.experiment_id}/runs"
    page.goto(f"{runs}/{study.info.run_id}?workflowType=machine_learning")
    page.get_by_text("of the best trial, trial 1").first.wait_for()
    page.get_by_role("link", name="champion").first.wait_for()
    page.goto(f"{runs}/{trial.info.run_id}?workflowType=machine_learning")
    page.get_by_text("Verdict:").first.wait_for()
    page.get_by_text("iris (").click()
    page.get_by_text("petal width (cm)").wait_for()
    page.keyboard.press("Escape")
    with page.context.expect_page() as other:
        page.get_by_role("link", name="Compare its replicates side by side").click()
    other.value.get_by_text("Comparing 3 Runs").first.wait_for()
    assert [text for text in errors if not NOT_OURS.search(text)] == []


@pytest.mark.usefixtures("here")
def test_the_page_of_the_best_trial_opens_among_its_artifacts(server: str, page: Any, errors: list[str]) -> None:
    trial = next(each for each in runs_of("trial") if each.info.run_name == "trial 1")
    page.goto(f"{server}/#/experiments/{trial.info.experiment_id}/runs/{trial.info.run_id}/artifacts/portrait.html")
    shown = page.frame_locator("iframe.mlflow-html-iframe")
    shown.get_by_text("Trial 1 of study tiny").wait_for()
    matrix = shown.locator("figure").filter(has=shown.get_by_role("heading", name="Distance of the weights", exact=True))
    matrix.scroll_into_view_if_needed()
    matrix.locator(".heatmaplayer .hm").wait_for()
    assert [text for text in errors if not NOT_OURS.search(text)] == []
