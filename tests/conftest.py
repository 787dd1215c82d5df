"""In what order the tests run."""

from __future__ import annotations

import pytest

# few tests of many seconds each, which would be left for last, and for one process, if they weren't begun first
LONG = (
    "conformance",
    "report",
    "study",
    "champion",
    "secrets",
    "engine",
    "doctor",
    "search",
    "command_line",
    "commands",
    "malicious",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the sort is stable: within a file, and among all others, the order stays
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)
