"""Where records go: which URLs are taken, and that a server that doesn't answer is told within the promised seconds."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from study import locations
from study.errors import BadInput, Unreachable


@pytest.mark.parametrize("url", ["sqlite:///studies.db", "sqlite:////tmp/my studies/a@b.db"])
def test_a_database_file_is_a_place_for_both(url: str) -> None:
    assert locations.storage(url) == locations.tracking_uri(url) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "https://host/mlflow", "http://[::1]:5000"])
def test_a_server_is_a_place_for_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locations.tracking_uri(url) == url
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    assert locations.tracking_uri(None) == url


MALFORMED = ["studies", "./mlruns", "databricks", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?timeout=5"]
MALFORMED += [
    "http://",
    "http://:5000",
    "http:/host",
    "http://host:port",
    "http://host:0",
    "http://[host",
    "http://a host",
    "ftp://host",
]


@pytest.mark.parametrize("url", [*MALFORMED, "postgresql://host/studies", "mysql://host/studies"])
def test_what_is_no_place_for_runs_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"^tracking.uri: got .*; valid: sqlite:///FILE or http"):
        locations.tracking_uri(url)


@pytest.mark.parametrize(
    "url",
    [
        *MALFORMED,
        "http://host/studies",
        "mysql://host/studies",
        "postgresql:host",
        "postgresql://host",
        "postgresql://host/",
        "postgresql://host:port/studies",
        "postgresql://host/studies?no_such_setting=1",
    ],
)
def test_what_is_no_place_for_studies_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"^hydra.sweeper.storage: got .*; valid: sqlite:///FILE or postgresql:"):
        locations.storage(url)


def test_postgresql_without_its_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(BadInput) as bad:
        locations.storage("postgresql://host/studies")
    assert "pip install 'mlp-study[postgres]'" in str(bad.value) and len(str(bad.value).splitlines()) == 1


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        yield opened.getsockname()[1]


@pytest.mark.parametrize(
    "reach",
    [
        lambda port: locations.check(f"http://127.0.0.1:{port}"),
        lambda port: locations.storage(f"postgresql://127.0.0.1:{port}/studies"),
    ],
    ids=["MLflow", "PostgreSQL"],
)
@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "silence"])
def test_a_server_that_does_not_answer_is_told_within_seconds(
    reach: Callable[[int], object], answers: bool, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locations, "ANSWER_SECONDS", 2)  # libpq makes two of one
    start = time.monotonic()
    with pytest.raises(Unreachable):
        reach(silent if answers else 1)
    # on a machine that does much else; without a limit it would be for ever
    assert time.monotonic() - start < 60
