"""Memory: what training takes is estimated, and refused where the system doesn't allow it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import study
from study import processes
from study.data import dataset
from study.engine.width import available_cores
from study.errors import BadInput
from study.reporting import terminal
from study.runner import memory, planning
from tests.command import run

# ru_maxrss would be no less than the memory of the process that started this one: the kernel carries it over exec
MEASURE = """
import json, pathlib, sys, study
def peak():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
study.train(study.compose(["model.units=[8]", "training.epochs=1", "replicates.count=1"]))
before = peak()
study.train(study.compose(sys.argv[1:]))
print(json.dumps([before, peak()]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "lines",
    [
        ["model.units=[2048,2048]", "replicates.count=8"],
        ["model.units=[2048,2048]", "replicates.count=1", "optimizer=sgd"],
        ["model.units=[1024,1024]", "replicates.count=16", "training.patience=2"],
        ["data=digits", "model.units=[1536,1536]", "replicates.count=4", "training.batch_size=512"],
    ],
)
def test_the_estimate_is_near_what_a_process_takes(lines: list[str]) -> None:
    lines = [*lines, "training.epochs=2"]
    done = subprocess.run([sys.executable, "-c", MEASURE, *lines], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout.splitlines()[-1])
    spec = study.compose(lines)
    needed = memory.needed(spec, study.load_data(spec))
    assert before < 1.2 * memory.LOADED
    assert 0.5 < needed / (after - before) < 1.8


@pytest.mark.long
@pytest.mark.parametrize(("spare", "code"), [(50_000_000, 0), (-50_000_000, 2)])
def test_no_run_near_a_limit_of_addresses_ends_without_a_word(spare: int, code: int, tmp_path: Path) -> None:
    lines = ["model.units=[2048,2048]", "replicates.count=1", "training.epochs=2", "tracking=none"]
    spec = study.compose(lines)
    limit = int(memory.LOADED_ADDRESSES + memory.RESERVED * memory.needed(spec, study.load_data(spec))) + spare
    done = subprocess.run(
        [sys.executable, "-m", "study", *lines],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == code, done.stderr
    assert ("ulimit -v" in done.stderr) == (code == 2)


def grown(lines: list[str], *more: str) -> float:
    """How many times as much memory the settings take with more of them."""

    def needed(lines: list[str]) -> float:
        spec = study.compose(lines)
        return memory.needed(spec, dataset.load_data(spec))

    return needed([*lines, *more]) / needed(lines)


def test_the_estimate_grows_with_what_is_kept() -> None:
    large = ["model.units=[1024,1024]", "replicates.count=4", "training.motion=false"]
    small = ["replicates.count=4"]
    assert grown(small, "replicates.count=1") == pytest.approx(1, rel=0.01), "a program is never narrower"
    assert grown(large, "replicates.count=1") == pytest.approx(0.25, rel=0.1), "a large network has a program of its own"
    assert grown(large, "replicates.count=16") == pytest.approx(4, rel=0.1)
    assert grown(large, "model.units=[2048,2048]") == pytest.approx(4, rel=0.1)
    assert 0.7 < grown(large, "optimizer=sgd") < 0.9
    assert 1.05 < grown(large, "training.patience=2") < 1.2


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system allows six gigabytes."""
    monkeypatch.setattr(memory, "limits", lambda: iter([memory.Limit(6e9, memory.LOADED, "the limit of this container")]))


@pytest.mark.usefixtures("limited")
def test_networks_that_do_not_fit_are_refused_with_the_numbers() -> None:
    spec = study.compose(["model.units=[4096,4096]"])
    with pytest.raises(BadInput, match=r"model\.units: got \[4096, 4096\]; valid: .*8 of these.*GB, and the limit.* 6\.0 GB"):
        memory.check(spec, dataset.load_data(spec))
    usual = study.compose([])
    memory.check(usual, dataset.load_data(usual))


@pytest.mark.usefixtures("limited")
def test_workers_on_this_machine_share_its_memory(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.err, "file", console := io.StringIO())
    launched = ["--multirun", "optimizer=adam,sgd", "data=iris", "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=6"]
    assert run(*launched, "hydra/launcher=joblib", "hydra.launcher.n_jobs=6") == 2
    assert "6 processes (n_jobs)" in console.getvalue() and list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("launcher", "workers", "n_jobs", "n_trials", "expected"),
    [
        ("basic", None, 4, None, 1),
        ("joblib", 2, 4, None, 2),
        ("joblib", 8, 4, None, 4),
        ("joblib", -1, 64, None, available_cores()),
        ("joblib", 8, 4, 3, 3),
        ("submitit_local", None, 4, None, 4),
        ("submitit_slurm", None, 4, None, 1),
    ],
)
def test_processes_of_this_machine_are_counted(
    launcher: str, workers: int | None, n_jobs: int, n_trials: int | None, expected: int
) -> None:
    config = OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": launcher}}, "launcher": {"n_jobs": workers}}})
    assert planning._processes(config, {"n_jobs": n_jobs, "n_trials": n_trials}) == expected


def test_the_limits_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5_000_000_000, resource.RLIM_INFINITY))
    address_space, *others = memory.limits()
    assert address_space.most == 5e9 and address_space.loaded > memory.LOADED
    assert others, "what the machine has free"
    assert all(1e8 < limit.most < 1e20 for limit in others)


def test_files_that_a_container_has_cached_are_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"memory.max": "8000000000", "memory.current": "7500000000", "memory.stat": "anon 1\ninactive_file 7000000000\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(processes, "control_groups", lambda: iter([tmp_path]))
    monkeypatch.setattr(memory, "_resident", lambda: 300_000_000)
    container, *_ = (limit for limit in memory.limits() if "container" in limit.reason)
    assert container.most == 8e9 - (7.5e9 - 7e9 - 3e8)
    (tmp_path / "memory.max").write_text("max")
    assert not any("container" in limit.reason for limit in memory.limits())


# -- processes that the kernel kills --------------------------------------------------------------------------------------------

TRAINING = ["data=noise", "replicates.count=2", "model.units=[512,512]", "training.epochs=4000", "training.leg_epochs=1000"]
JOBLIB = [
    "--multirun",
    "hydra/launcher=joblib",
    "hydra.launcher.n_jobs=2",
    "hydra.sweeper.n_trials=1",
    "hydra.sweeper.study_name=s",
]
PATIENCE = 600.0


def test_kills_for_memory_are_counted_where_the_kernel_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "control_groups", lambda: iter([tmp_path / "own", tmp_path]))
    (tmp_path / "memory.events").write_text("max 7\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert processes.memory_kills() == 2
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert processes.memory_kills() == 1, "of the nearest group"
    assert processes.cause_of_death(0).startswith("out of memory: the kernel killed its process; fewer replicates")
    assert processes.cause_of_death(1).startswith("its process was killed (signal 9) or crashed, perhaps for lack of memory")


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The real command, its standard error in a file."""
    with (folder / "errors").open("wb") as errors:
        return subprocess.Popen([sys.executable, "-m", "study", *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def trains(folder: Path, running: subprocess.Popen[bytes]) -> bool:
    """Return whether the writer knows of a trial in work."""
    assert running.poll() is None, (folder / "errors").read_text()
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True)) as store,
    ):
        return bool(store.execute("SELECT 1 FROM runs WHERE status = 'RUNNING'").fetchone())
    return False


@pytest.mark.fault
def test_a_killed_run_is_reported_by_its_writer(tmp_path: Path) -> None:
    with started(tmp_path, *TRAINING) as running:
        wait_until(lambda: trains(tmp_path, running))
        running.kill()
    wait_until(lambda: "ended without a result" in (tmp_path / "errors").read_text())
    line = next(line for line in (tmp_path / "errors").read_text().splitlines() if "ended without a result" in line)
    assert "killed (signal 9)" in line and "perhaps for lack of memory" in line and "replicates.count" in line


@pytest.mark.fault
def test_an_interrupted_run_is_not_reported_as_killed(tmp_path: Path) -> None:
    with started(tmp_path, *TRAINING) as running:
        wait_until(lambda: trains(tmp_path, running))
        running.send_signal(signal.SIGTERM)
    wait_until(lambda: not any((tmp_path / ".mlp-study" / "spool").iterdir()))
    assert running.returncode == 128 + signal.SIGTERM
    assert "without a result" not in (tmp_path / "errors").read_text()


@pytest.mark.fault
def test_the_driver_reports_a_killed_worker_once(tmp_path: Path) -> None:
    with started(tmp_path, *TRAINING, *JOBLIB) as running:
        for _ in range(2):  # it is trained once more
            wait_until(lambda: trains(tmp_path, running))
            [folder] = (tmp_path / ".mlp-study" / "spool").glob("*-*/files")
            writer = int(folder.parent.name.split(":")[1])
            worker = int(Path(f"/proc/{writer}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda folder=folder: not folder.exists())
    assert running.returncode == 5
    errors = (tmp_path / "errors").read_text()
    assert "worker was lost: its process was killed (signal 9)" in errors and "replicates.count" in errors
    assert "without a result" not in errors


CONTROLLER = Path("/sys/fs/cgroup/memory")


@pytest.mark.fault
@pytest.mark.skipif(not os.access(CONTROLLER, os.W_OK), reason="makes a control group of version 1")
def test_a_run_that_the_kernel_kills_is_reported_as_out_of_memory(tmp_path: Path) -> None:
    group = CONTROLLER / f"mlp-study-{os.getpid()}"
    group.mkdir()
    try:
        with started(tmp_path, *TRAINING) as running:
            (group / "cgroup.procs").write_text(str(running.pid))
            wait_until(lambda: trains(tmp_path, running))
            used = int((group / "memory.usage_in_bytes").read_text())
            (group / "memory.limit_in_bytes").write_text(str(used + 10_000_000))
        assert running.returncode == -signal.SIGKILL
        wait_until(lambda: "ended without a result: out of memory" in (tmp_path / "errors").read_text())
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
