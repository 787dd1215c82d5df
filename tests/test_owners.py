"""Who owns what is in work, and whether it still runs: by a lock that ends with its process, whatever the machine is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study import processes

OWNS = "import sys, time; from study import processes; print(processes.owner(), flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    processes._own_lock.cache_clear()
    yield
    processes._own_lock.cache_clear()


@pytest.fixture
def other(here: None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process in this folder, and its owner's name."""
    process = subprocess.Popen([sys.executable, "-c", OWNS], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def elsewhere(monkeypatch: pytest.MonkeyPatch, machine: str = "other.1") -> None:
    """Another machine from here on."""
    monkeypatch.setattr(processes, "host", lambda: "renamed")
    monkeypatch.setattr(processes, "machine", lambda: machine)


def test_an_owner_runs_until_it_is_killed_whatever_the_machine_is_called(
    other: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, name = other
    assert processes.runs(processes.owner()) and processes.runs(name)
    elsewhere(monkeypatch)
    assert processes.runs(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert processes.runs(name) is False and processes.runs(name) is False


def test_without_its_file_an_owner_is_known_on_its_machine_alone(
    other: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process, name = other
    for file in (tmp_path / processes.FOLDER).iterdir():
        file.unlink()
    assert processes.runs(name) is True
    with monkeypatch.context() as patch:
        patch.setattr(processes, "host", lambda: "renamed")
        assert processes.runs(name) is True
        elsewhere(patch)
        assert processes.runs(name) is None and processes.alive(name)
    process.kill()
    process.wait()
    assert processes.runs(name) is False


@pytest.mark.parametrize(
    ("owner", "runs"),
    [
        ("{host}:4194305:1", False),  # as earlier versions wrote it
        ("{host}:{number}", True),
        ("{host}:{number}:1", False),  # a later process of this number
        ("elsewhere:1:1", None),
        ("", False),
        (None, False),
        ("{host}:words", False),
    ],
)
def test_owners_of_earlier_versions(owner: str | None, runs: bool | None) -> None:
    assert processes.runs(owner and owner.format(host=processes.host(), number=os.getpid())) is runs


def test_who_only_asks_whether_a_trial_is_its_own_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not processes.is_own("elsewhere:1:1") and not processes.is_own(None)
    assert not processes.is_own(processes.named(os.getppid(), "lock"))
    assert processes.is_own(processes.named(os.getpid(), "lock"))
    assert list(tmp_path.iterdir()) == []
    assert processes.is_own(processes.owner())


def test_a_lock_is_held_until_its_last_holder_ends() -> None:
    name = processes.new_name()
    held = processes.lock(name)
    assert held
    holds = f"from study import processes; processes.hold({name!r}); print(processes.owner(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        owner = processes.named(child.pid, name)
        assert processes.runs(owner) is True
        assert child.stdout and child.stdout.readline().strip() == owner
        held.release()
        assert processes.runs(owner) is True
        child.kill()
        child.wait()
        assert processes.runs(owner) is False


def test_where_files_cannot_be_locked_the_process_number_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(processes.fcntl, "flock", refused)
    assert processes.lock("a") is None and processes.owner().endswith(":")
    assert processes.runs(processes.owner()) is True


def test_files_of_owners_that_ended_long_ago_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, running = processes.lock("ended"), processes.lock("running")
    assert ended and running
    ended.release()
    monkeypatch.setattr(processes, "FORGOTTEN_SECONDS", -1)
    processes.lock("another")
    assert not ended.path.exists() and running.path.exists()
    running.release()


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    worker = (
        "import os, time; from study import processes; processes.end_with_parent(); print(os.getpid(), flush=True); time.sleep(600)"
    )
    starts = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {worker!r}]); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        number = int(driver.stdout.readline())
        driver.kill()
        # the worker's end of the pipe is closed when it ends, and only then does reading stop
        assert driver.stdout.read() == ""
    assert not Path(f"/proc/{number}/fd/1").exists()
