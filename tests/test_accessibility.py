"""The pages by the rules of axe, for readers who can't see them, or see them otherwise."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from study.reporting.pages import study_page, trial_page
from tests.browser import browser, page_of
from tests.pages import findings, networks, trials
from tests.test_report import DRAWN

VERSION = "4.14.1"
SEVERE = ("serious", "critical")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program of axe-core, an npm package."""
    if not (npm := shutil.which("npm")):
        pytest.skip("no npm on this machine")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", f"axe-core@{VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"axe-core can't be installed: {error}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = findings(trials(24, broken=2))
    kept = networks(found)
    study_page.write(found, kept, folder / "study.html")
    best = kept.shown[0]
    assert best.record.summary
    trial_page.write("trial 0", "adam on iris data", best.record.summary, best.kept, folder / "trial.html")
    return {name: folder / f"{name}.html" for name in ("study", "trial")}


@pytest.mark.parametrize("name", ["study", "trial"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_no_page_breaks_a_rule_of_axe(axe: str, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    with browser() as opened, page_of(opened, pages[name], width, scheme=scheme) as (shown, errors):
        shown.wait_for_function(DRAWN)
        shown.evaluate(axe)
        result = shown.evaluate("axe.run()")
        broken = [(rule["id"], rule["nodes"][0]["target"]) for rule in result["violations"] if rule["impact"] in SEVERE]
        assert broken == [] and len(result["passes"]) > 20 and errors == []
