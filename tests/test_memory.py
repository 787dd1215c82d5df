"""Memory: what training takes is estimated, and refused where the system doesn't allow it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import study
from study.data import dataset
from study.errors import BadInput
from study.runner import memory

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


def grown(lines: list[str], *more: str) -> float:
    """How many times as much memory the settings take with more of them."""

    def needed(lines: list[str]) -> float:
        spec = study.compose(lines)
        return memory.needed(spec, dataset.load_data(spec))

    return needed([*lines, *more]) / needed(lines)


def test_the_estimate_grows_with_what_is_kept() -> None:
    large = ["model.units=[1024,1024]", "replicates.count=4"]
    assert grown(large, "replicates.count=1") == pytest.approx(1, rel=0.01), "a program is never narrower"
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
    monkeypatch.setattr(memory, "CGROUPS", ((tmp_path, "memory.max", "memory.current", "inactive_file"),))
    monkeypatch.setattr(memory, "_resident", lambda: 300_000_000)
    container, *_ = (limit for limit in memory.limits() if "container" in limit.reason)
    assert container.most == 8e9 - (7.5e9 - 7e9 - 3e8)
    (tmp_path / "memory.max").write_text("max")
    assert not any("container" in limit.reason for limit in memory.limits())
