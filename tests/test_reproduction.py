"""Tracked runs trained again, by the real command and engine: bit for bit, or it is said what isn't as it was."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from study.config import composition
from study.records.network import Network
from study.reporting import terminal
from study.runner import job, reproduction
from study.tracking import artifacts, provenance, warm_start
from tests import test_architecture
from tests.command import client, run, runs_of

TINY = ["training.epochs=3", "model.units=[4]", "study.name=tiny"]
TABLE = "".join(f"{x},{x * x % 7}\n" for x in range(40))


def train(*overrides: str) -> None:
    job.run(job.from_config(composition.compose_config([*TINY, *overrides])))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where six replicates in two parts ran, a crossed design, a start from the first one's networks, a table, and a failure."""
    place = tmp_path_factory.mktemp("reproduction")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        (place / "rows.csv").write_text(f"x,y\n{TABLE}")
        train("seed=1", "replicates.count=6", "replicates.first=2")
        start = trial(1)
        train("seed=2", "replicates.count=3", "replicates.vary=[order]", f"init.same_as={start}")
        train("seed=3", "replicates.vary=[init,order]", "replicates.crossed=[2,3]")
        table = ["data=table", "data.path=rows.csv", "data.target=y", "data.task=regression", "training.batch_size=8"]
        train("seed=4", "replicates.count=1", *table)
        train("seed=5", "replicates.count=2", "optimizer.learning_rate=1e30")
    return place


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder; what a test does to the artifacts is undone after it."""
    monkeypatch.chdir(folder)
    shutil.copytree(folder / "mlruns", tmp_path / "mlruns")
    yield folder
    shutil.rmtree(folder / "mlruns")
    shutil.copytree(tmp_path / "mlruns", folder / "mlruns")


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command tells of errors, which it ends with."""
    told: list[str] = []
    monkeypatch.setattr(terminal, "error", lambda text, *_: told.append(text))
    return told


def trial(seed: int) -> str:
    [found] = [each.info.run_id for each in runs_of("trial") if each.data.params["seed"] == str(seed)]
    return found


def replicate(seed: int, number: int) -> str:
    tags = {"mlflow.parentRunId": trial(seed), "mlp_study.replicate": str(number)}
    [found] = [each.info.run_id for each in runs_of("replicate") if tags.items() <= each.data.tags.items()]
    return found


def files(here: Path, seed: int) -> Path:
    [found] = here.glob(f"mlruns/**/{trial(seed)}/artifacts")
    return found


def sign(folder: Path) -> None:
    """Makes the manifest fit the files again."""
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({name: artifacts._sha256(folder / name) for name in sums}))


def reproduced(capsys: pytest.CaptureFixture[str], run_id: str, code: int) -> dict:
    capsys.readouterr()
    assert run("reproduce", run_id, "--json") == code
    return json.loads(capsys.readouterr().out)


# -- what is as it was -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("seed", "numbers"), [(1, range(2, 8)), (2, range(3)), (3, range(6)), (4, [0])])
def test_a_trial_is_reproduced_bit_for_bit(seed: int, numbers: range, capsys: pytest.CaptureFixture[str]) -> None:
    found = reproduced(capsys, trial(seed), 0)
    assert found["identical"] is True and found["differences"] == found["not_recorded"] == []
    assert [each["replicate"] for each in found["replicates"]] == list(numbers)
    for each in found["replicates"]:
        assert each["run_id"] == replicate(seed, each["replicate"])
        assert each["recorded"] == each["now"] == client().get_run(each["run_id"]).data.tags["fingerprint"]
        assert each["distance"] == 0


@pytest.mark.parametrize(("seed", "number", "trained"), [(1, 7, 1), (2, 2, 1), (3, 4, 6)])
@pytest.mark.usefixtures("here")
def test_a_replicate_is_trained_alone_unless_its_design_is_crossed(
    seed: int, number: int, trained: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, whole = [], reproduction.CohortTraining
    monkeypatch.setattr(
        reproduction, "CohortTraining", lambda spec, *rest: counts.append(spec.replicates.count) or whole(spec, *rest)
    )
    capsys.readouterr()
    assert run("reproduce", replicate(seed, number)) == 0
    heading, _, row, conclusion = capsys.readouterr().out.splitlines()
    assert heading.split() == ["replicate", "recorded", "now", "distance"]
    mark = client().get_run(replicate(seed, number)).data.tags["fingerprint"][:16]
    assert row.split() == [str(number), mark, mark, "identical"]
    assert conclusion == f"Reproduced: replicate {number} has its recorded fingerprint, bit for bit."
    assert counts == [trained]


def test_an_older_record_is_reproduced_and_tells_what_it_does_not_know(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = files(here, 1) / "environment.json"
    kept = {name: text for name, text in json.loads(file.read_text()).items() if name in ("python", "numpy", "width")}
    file.write_text(json.dumps(kept))
    sign(file.parent)
    found = reproduced(capsys, trial(1), 0)
    assert {"mlp_study", "code_sha256", "data_sha256", "keras", "system"} <= set(found["not_recorded"])


def test_classes_of_an_earlier_version_had_other_parts() -> None:
    now = provenance.describe(composition.compose(["data=iris"]))
    then = {name: text for name, text in now.items() if name != "parts"}
    assert provenance.text(provenance.differences(then, now)) == "code: parts drawn from all rows → stratified by class"
    assert (
        provenance.differences(now, now)
        == provenance.unrecorded(now | dict.fromkeys([*reproduction.environment(), "width"], ""))
        == []
    )
    assert "parts" not in provenance.describe(composition.compose(["data=diabetes"]))
    assert "parts" not in provenance.unrecorded({})


def test_a_digest_of_code_that_lay_elsewhere_is_explained() -> None:
    now = provenance.describe(composition.compose([])) | {"mlp_study": "0.2.0"}
    then = now | {"mlp_study": "0.1.0", "code_sha256": "0" * 64}
    assert "code paths have moved" in provenance.text(provenance.differences(then, now))
    assert "moved" not in provenance.text(provenance.differences(now | {"code_sha256": "0" * 64}, now))


# -- what isn't --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def retagged() -> str:
    """The trial whose replicate 3 has another fingerprint's tag."""
    changed = replicate(1, 3)
    tag = client().get_run(changed).data.tags["fingerprint"]
    client().set_tag(changed, "fingerprint", "0" * 64)
    yield trial(1)
    client().set_tag(changed, "fingerprint", tag)


def test_a_changed_tag_is_told_from_changed_weights(here: Path, retagged: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = reproduced(capsys, retagged, 6)
    assert [each["identical"] for each in found["replicates"]] == [True, False, True, True, True, True]
    assert found["replicates"][1]["distance"] == 0
    assert found["conclusion"].startswith("Not reproduced: 1 of 6 replicates differ from their record, but not in their weights.")
    assert re.search("replicate 3 .* tag `fingerprint` .* the weights are", found["conclusion"])


def test_changed_weights_are_told(here: Path, errors: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(files(here, 1) / "weights.npz") as content:
        weights = dict(content)
    weights["bias_0"][5] += 1
    np.savez(files(here, 1) / "weights.npz", **weights)
    assert run("reproduce", trial(1)) == 6
    assert "checksums differ" in errors[0]
    sign(files(here, 1))
    found = reproduced(capsys, trial(1), 6)
    assert [each["identical"] for each in found["replicates"]] == [True] * 5 + [False]
    assert "the fingerprint is" in found["conclusion"]
    assert found["replicates"][5]["distance"] > 0.1


ELSEWHERE = {"numpy": "1.0", "threads": "64", "xla_flags": "--fast"}


@pytest.mark.parametrize(("factor", "told"), [(1 + 1e-6, "same up to rounding"), (2, "about 1.41 apart")])
@pytest.mark.usefixtures("here")
def test_another_network_is_told_from_rounding_and_what_differs_with_it(
    factor: float, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load, environment = warm_start.load, reproduction.environment()

    def disturbed(*arguments: object) -> list[Network]:
        return [Network({name: array * np.float32(factor) for name, array in net.parameters.items()}) for net in load(*arguments)]

    monkeypatch.setattr(warm_start, "load", disturbed)
    found = reproduced(capsys, trial(2), 6)
    pattern = r"Not reproduced: 3 of 3 replicates differ from their record, their weights by \S+ at most \(rel"
    assert re.match(pattern, found["conclusion"]) and told in found["conclusion"] and found["differences"] == []

    monkeypatch.setattr(reproduction, "environment", lambda: environment | ELSEWHERE)
    monkeypatch.setattr(provenance, "code", lambda: "f" * 64)
    found = reproduced(capsys, trial(2), 6)
    assert {each["name"]: each["now"] for each in found["differences"]} == ELSEWHERE | {"code_sha256": "f" * 64}
    assert re.search(
        rf": code: code_sha256 \w+… → f+…; versions: numpy {np.__version__} → 1\.0; "
        rf"CPU: threads {environment['threads']} → 64, xla_flags – → --fast\.$",
        found["conclusion"],
    )


@pytest.mark.usefixtures("here")
def test_the_same_bits_elsewhere_are_a_reproduction(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = reproduction.environment()
    monkeypatch.setattr(reproduction, "environment", lambda: environment | {"processor": environment["processor"] + " avx1024"})
    assert reproduced(capsys, trial(1), 0)["conclusion"].endswith(": CPU: processor – → avx1024.")


def test_other_data_are_told_before_training(here: Path, errors: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduction.Retraining, "train", None)
    rows = here / "rows.csv"
    rows.write_text(f"x,y\n{TABLE.replace('39,2', '39,3')}")
    assert run("reproduce", trial(4)) == 6
    assert re.search(r"can't be reproduced, .*: data: data_sha256 \w+… → \w+…$", errors[0])
    rows.unlink()
    assert run("reproduce", trial(4)) == 2
    assert "data.path: got" in errors[1] and "no such file" in errors[1]
    rows.write_text(f"x,y\n{TABLE}")


def test_settings_that_cannot_be_trained_are_an_incompatible_record(here: Path, errors: list[str]) -> None:
    config = files(here, 1) / "config.yaml"
    config.write_text(config.read_text().replace("name: adam", "name: newton"))
    sign(config.parent)
    assert run("reproduce", trial(1)) == 6
    assert "newton" in errors[0]


@pytest.mark.usefixtures("here")
def test_what_is_no_finished_run_is_bad_input(errors: list[str]) -> None:
    gone = client().create_run(runs_of("trial")[0].info.experiment_id).info.run_id
    for run_id in ("absent", trial(5), gone):
        assert run("reproduce", run_id) == 2
        assert f"RUN: got '{run_id}'" in errors[-1]
    client().delete_run(gone)
    assert run("reproduce", gone) == 2
    assert "a run that isn't deleted" in errors[-1]


# -- what is recorded --------------------------------------------------------------------------------------------------------


def test_the_code_that_decides_bits_is_all_that_the_engine_and_the_data_import() -> None:
    # these concern time, memory, messages, paths and files; a digest covers the content of rows that are kept
    without = {f"study.{name}" for name in ("clock", "collector", "errors", "locations", "processes", "redaction", "sqlite")}
    modules = [name for name in test_architecture.SOURCES if name.startswith("study.engine")] + ["study.data.dataset"]
    reached: set[str] = set()
    while modules:
        reached.add(module := modules.pop())
        modules += test_architecture.own(module) - reached - without
    files = {f"{test_architecture.place(module).replace('.', '/')}.py" for module in reached - set(test_architecture.PACKAGES)}
    assert not [file for file in files if not file.startswith(provenance.DECIDING)]
    assert not [start for start in provenance.DECIDING if not any(file.startswith(start) for file in files)]


def test_only_a_change_that_decides_bits_changes_the_codes_digest(tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(provenance.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = provenance.code(copy)

    def changes(name: str) -> bool:
        content = (copy / name).read_text()
        (copy / name).write_text(f"{content}\n")
        provenance.code.cache_clear()
        after = provenance.code(copy)
        (copy / name).write_text(content)
        return after != before

    assert [changes(name) for name in ("engine/program.py", "settings/loss.py", "seeds.py")] == [True] * 3
    assert not changes("reporting/report.py")
