"""What the report of a long study costs: drawing its page, the page's size, and opening it in a real browser.

Needs Chromium and playwright (extra `dev`). Opening is timed from asking for the page to the first chart, with all else readable.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.records import SPACE, TINY
from tests.browser import browser, page_of

WIDTHS = (1440, 390)
# the first chart waits until it is near on a phone, whose first screens are text
READY = "charts[0].scrollIntoView(), charts[0].querySelector('.main-svg') !== null"


def study(trials: int, folder: str) -> Path:
    command = [sys.executable, "-m", "study"]
    words = ["--multirun", *SPACE, *TINY, "sampler=random", f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.study_name=long"]
    subprocess.run([*command, *words], cwd=folder, capture_output=True, check=True)
    start = time.perf_counter()
    subprocess.run([*command, "report", "long"], cwd=folder, capture_output=True, check=True)
    page = Path(folder, "long.html")
    print(f"mlp-study report, {trials} trials: {time.perf_counter() - start:.2f} s, {page.stat().st_size / 1e6:.1f} MB")
    return page


def opening(page: Path, repeats: int) -> None:
    with browser() as opened:
        for width in WIDTHS:
            taken = []
            for _ in range(repeats):
                start = time.perf_counter()
                with page_of(opened, page, width) as (shown, errors):
                    shown.wait_for_function(READY)
                    taken.append(time.perf_counter() - start)
                    assert not errors, errors
            spread = f"median of {repeats}, {min(taken):.2f} to {max(taken):.2f}"
            print(f"opened at {width} pixels: {statistics.median(taken):.2f} s  ({spread})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opening(study(given.trials, folder), given.repeats)


if __name__ == "__main__":
    main()
