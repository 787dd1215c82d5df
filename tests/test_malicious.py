"""A run's files that somebody has prepared: nothing runs, nothing outside is read, memory stays flat, and the user is told."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import yaml
from mlflow import MlflowClient
from pyarrow import parquet

from study.analysis import fingerprints
from study.errors import Corrupt
from study.settings.spec import as_mapping
from study.tracking import artifacts, store
from tests.test_records_on_disk import COHORT, FILES, TARGET, Payload, flip_a_byte, remove, seal, truncate, weights

MEGABYTES = 1 << 20
MARKER = "marker"


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content.replace("MARKER", str(folder / MARKER))) and None


def settings(**changed: Any) -> Callable[[Path], None]:
    return text("config.yaml", yaml.safe_dump(as_mapping(COHORT.spec) | changed))


def arrays(name: str, save: Callable[..., None] = np.savez, **content: Any) -> Callable[[Path], None]:
    return lambda folder: save(folder / name, **content)


def predictions(shape: tuple[int, ...] = (2, 5, 1), kind: Any = np.float32, **target: Any) -> Callable[[Path], None]:
    return arrays("predictions.npz", predictions=np.ones(shape, kind), **(target or {"target": TARGET}))


def link(name: str, to: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return attack


def pipe(name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return attack


def directory(name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return attack


def endless(name: str) -> Callable[[Path], None]:
    """10 GB of nothing, which take no space."""
    return lambda folder: os.truncate(folder / name, 10_000 * MEGABYTES)


def pickled_arrays(folder: Path) -> None:
    array = np.array([Payload(folder / MARKER)], dtype=object)
    np.savez(folder / "weights.npz", kernel_0=array, bias_0=array)


def pickled_predictions(folder: Path) -> None:
    np.savez(folder / "predictions.npz", predictions=np.array([Payload(folder / MARKER)], dtype=object), target=TARGET)


def pickle_alone(folder: Path) -> None:
    (folder / "weights.npz").write_bytes(pickle.dumps(Payload(folder / MARKER)))


def numbers(shape: tuple[int, ...], kind: str = "<f4", content: bytes = b"") -> bytes:
    """An array's file that claims a shape and a type."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    return header.getvalue() + content


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        with zipfile.ZipFile(folder / "weights.npz", "w", compression) as out:
            for name, content in members:
                out.writestr(name, content)

    return attack


def zip_bomb(folder: Path) -> None:
    archive(("kernel_0.npy", numbers((1, 100, MEGABYTES), content=bytes(400 * MEGABYTES))), compression=zipfile.ZIP_DEFLATED)(
        folder
    )
    assert (folder / "weights.npz").stat().st_size < MEGABYTES


def overlapping(folder: Path) -> None:
    """Four hundred members, of one megabyte each, that are the same bytes."""
    archive(("kernel_0.npy", numbers((1, 512, 512), content=bytes(MEGABYTES))))(folder)
    content = (folder / "weights.npz").read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"kernel_0", f"{place:08}".encode()) for place in range(400))
    closing = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 400, 400, len(entries), start, 0)
    (folder / "weights.npz").write_bytes(content[:start] + entries + closing)


def lying_sizes(folder: Path) -> None:
    """A member that claims 10 GB, which its own header agrees to."""
    archive(("kernel_0.npy", numbers((1, 50_000, 50_000))))(folder)
    content = bytearray((folder / "weights.npz").read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 20 : start + 28] = struct.pack("<II", 0xF0000000, 0xF0000000)
    (folder / "weights.npz").write_bytes(content)


def other_weights(folder: Path) -> None:
    """Sound networks of the same shapes, which aren't those that were trained."""
    initial = {f"initial_{name}": array for name, array in COHORT.initial.parameters.items()}
    np.savez(folder / "weights.npz", **weights(), **initial)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ATTACKS: dict[str, Callable[[Path], Any]] = {
    # settings that would run or read something, if anybody instantiated or resolved them
    "a target": settings(_target_="os.system", command="touch MARKER"),
    "a target in a section": settings(model={"_target_": "os.system", "command": "touch MARKER"}),
    "a target that unpickles": settings(data={"_target_": "numpy.load", "file": "weights.npz", "allow_pickle": True}),
    "a private key": settings(_recursive_=False),
    "a hydra node": settings(hydra={"run": {"dir": "/"}}),
    "a resolver": settings(model={"activation": "${oc.env:HOME}"}),
    "a resolver where any text goes": settings(data={"name": "table", "path": "${oc.env:HOME}", "target": "y"}),
    "a tag that runs": text("config.yaml", "seed: !!python/object/apply:os.system ['touch MARKER']"),
    "a tag that fits no value": text("config.yaml", "seed: !!timestamp soon"),
    "a date that is none": text("config.yaml", "seed: 2024-13-45"),
    # texts that grow
    "aliases": text("config.yaml", LAUGHS),
    "a merge": text("config.yaml", "model: &m {units: [3]}\ntraining: {<<: *m}"),
    "settings without end": endless("config.yaml"),
    "settings nested without end": text("config.yaml", "[" * 90_000),
    "a number without end": text("config.yaml", "seed: " + "9" * 90_000),
    "a number of minutes without end": text("config.yaml", "seed: 1" + ":59" * 30_000),
    "a key that is a list": text("config.yaml", "? [1]\n: 2"),
    "a key that is a number": text("config.yaml", "1: 2"),
    "a key with control characters": text("config.yaml", '"\\e[2J\\r": 2'),
    "settings that are binary": lambda folder: (folder / "config.yaml").write_bytes(bytes(range(256))),
    "a manifest without end": endless("manifest.json"),
    "a manifest nested without end": text("manifest.json", '{"a":' * 15_000),
    "a manifest of numbers": text("manifest.json", '{"weights.npz": 1e999999}'),
    "a manifest of another folder's file": text("manifest.json", '{"../weights.npz": ""}'),
    "a manifest of a system's file": text("manifest.json", '{"/etc/passwd": ""}'),
    "a manifest of control characters": text("manifest.json", '{"\\u001b[2J": ""}'),
    # files that are none
    **{
        f"{name} is a link to {to}": link(name, to)
        for name in ("config.yaml", "weights.npz")
        for to in ("/etc/passwd", "/dev/zero")
    },
    "a link to a folder": link("config.yaml", "/"),
    "a link to itself": link("config.yaml", "config.yaml"),
    "the manifest is a link": link("manifest.json", "/dev/zero"),
    "a file that nobody listed": link("comparison.npz", "/dev/zero"),
    "a pipe": pipe("weights.npz"),
    "the manifest is a pipe": pipe("manifest.json"),
    "a folder for weights": directory("weights.npz"),
    # arrays
    "pickled arrays": pickled_arrays,
    "pickled predictions": pickled_predictions,
    "a pickle": pickle_alone,
    "a zip bomb": zip_bomb,
    "members on top of one another": overlapping,
    "a member that claims 4 GB": lying_sizes,
    "a shape of 72 TiB": archive(("kernel_0.npy", numbers((2, 2**24, 2**20)))),
    "an element of 1 GB": archive(("kernel_0.npy", numbers((1, 1, 1), "<V1000000000"))),
    "a header that is nested": archive(("kernel_0.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000)),
    "a header of signs": archive(("kernel_0.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"-" * 8999 + b"1")),
    "arrays with paths": archive(*((f"../{name}.npy", numbers((1,), content=bytes(4))) for name in ("kernel_0", "bias_0"))),
    "arrays of one name": archive(*((name, numbers((1,), content=bytes(4))) for name in ("bias_0", "bias_0.npy"))),
    "other weights": other_weights,
    "predictions without an axis": predictions((2, 5)),
    "predictions of texts": predictions(kind="U1"),
    "predictions of nobody": predictions((0, 5, 1)),
    "predictions of more networks": predictions((3, 5, 1)),
    "predictions of more outputs": predictions((2, 5, 2)),
    "predictions of more rows": predictions((2, 6, 1)),
    "a target of texts": predictions(target=np.full((5, 1), "a")),
    "a target that is a number": predictions(target=np.float32(1)),
    "targets of more networks": predictions(targets=np.ones((3, 5, 1), np.float32)),
    "settings of another architecture": settings(model={"units": [4]}),
    "settings of more networks": settings(replicates={"count": 3, "first": 4}),
    "settings of networks with normalisation": settings(model={"units": [3], "normalisation": "layer"}),
}
# not made by anybody: the manifest tells
DAMAGES: dict[str, Callable[[Path], Any]] = {
    f"{damage.__name__} {name}": lambda folder, name=name, damage=damage: damage(folder / name)  # type: ignore[misc]
    for damage in (truncate, flip_a_byte, remove)
    for name in FILES
}
HARMLESS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda folder: None,
    "a link beside them": link("notes", "/dev/zero"),
    "a loop beside them": link("here", "."),
    "a pipe beside them": pipe("waiting"),
}


class Outcome(NamedTuple):
    """What the command told for one run, and by how many bytes its process had grown at most by then."""

    code: int
    told: str
    growth: int


COMPARE = """
import json, os, resource, sys
from tests.command import run
base = None
for name, run_id in json.loads(sys.argv[1]).items():
    os.write(2, f"\\0{name}\\0".encode())
    code = run("compare", run_id)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    base = base or peak
    os.write(2, f"\\0{code}\\0{peak - base}".encode())
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What `mlp-study compare` makes of a tracked run for each attack."""
    here = tmp_path_factory.mktemp("tracked")
    client = store.connect(f"sqlite:///{here / 'mlflow.db'}").client
    experiment = client.create_experiment("foreign", artifact_location=(here / "mlruns").as_uri())
    runs = {name: tracked(client, experiment, attack, sealed=True) for name, attack in (HARMLESS | ATTACKS).items()}
    runs |= {name: tracked(client, experiment, damage, sealed=False) for name, damage in DAMAGES.items()}
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", COMPARE, json.dumps(runs)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=here, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, timeout=1800)
    assert done.returncode == 0, done.stderr.decode()
    parts = iter(done.stderr.decode().split("\0")[1:])
    found = {name: Outcome(int(code), told, int(growth)) for name, told, code, growth in zip(*[parts] * 4, strict=True)}
    return found | {MARKER: Outcome(len(list(here.rglob(MARKER))), "", 0)}


def tracked(client: MlflowClient, experiment: str, attack: Callable[[Path], Any], *, sealed: bool) -> str:
    """The id of a finished trial's run, whose artifacts were attacked, and if `sealed` their manifest made to match."""
    trial = client.create_run(experiment, tags={"mlp_study.kind": "trial"}, run_name="trial").info
    client.log_param(trial.run_id, "replicates.first", 4)
    for replicate, net in enumerate(COHORT.networks(), 4):
        marks = {"mlflow.parentRunId": trial.run_id, "mlp_study.replicate": str(replicate), "fingerprint": fingerprints.digest(net)}
        child = client.create_run(experiment, tags={"mlp_study.kind": "replicate", **marks}, run_name=f"trial/{replicate}").info
        client.set_terminated(child.run_id)
    client.set_terminated(trial.run_id)
    folder = Path(trial.artifact_uri.removeprefix("file://"))
    folder.mkdir(parents=True, exist_ok=True)
    tampered(folder, attack, sealed=sealed)
    return trial.run_id


def tampered(folder: Path, attack: Callable[[Path], Any], *, sealed: bool) -> Path:
    artifacts.write(folder, COHORT, [TARGET] * 2, {"python": "3"})
    before = (folder / "manifest.json").read_bytes()
    attack(folder)
    manifest = folder / "manifest.json"
    if sealed and manifest.is_file() and manifest.stat().st_size < MEGABYTES and manifest.read_bytes() == before:
        seal(folder)
    return folder


@pytest.mark.parametrize("name", HARMLESS)
def test_what_lies_beside_a_runs_files_is_left_alone(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name][:2] == (0, "")


@pytest.mark.parametrize("name", ATTACKS | DAMAGES)
def test_a_prepared_or_damaged_run_is_refused_in_one_line(outcomes: dict[str, Outcome], name: str) -> None:
    code, told, _ = outcomes[name]
    assert code == 6, told
    assert told.endswith("\n") and told.count("\n") == 1 and told[:-1].isprintable() and len(told) < 1000


def test_memory_stays_flat_over_all_attacks(outcomes: dict[str, Outcome]) -> None:
    assert max(outcome.growth for outcome in outcomes.values()) < 200 * MEGABYTES


def test_nothing_has_run(outcomes: dict[str, Outcome]) -> None:
    assert outcomes[MARKER].code == 0


# -- what compare doesn't read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["", "[]", "3", "null", '{"a": 1}', '{"a": null}', '{"a": {"b": "c"}}', "[" * 50_000, "x" * 200_000]
)
def test_an_environment_that_is_none_is_corrupt(tmp_path: Path, content: str) -> None:
    (tmp_path / "environment.json").write_text(content)
    with pytest.raises(Corrupt):
        artifacts.read_environment(tmp_path)


def curves(**changed: Any) -> dict[str, Any]:
    """The curves of two replicates over three epochs, some of them changed, those that are None left out."""
    sound = {name: np.ones((2, 3), np.float32) for name in ("train_loss", "val_loss", "learning_rate")} | {
        "replicate": np.array([4, 5])
    }
    return {name: array for name, array in (sound | changed).items() if array is not None}


def test_these_curves_are_sound(tmp_path: Path) -> None:
    np.savez(tmp_path / "curves.npz", **curves())
    assert artifacts.read_curves(tmp_path)["replicate"].tolist() == [4, 5]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(curves(val_loss=None), id="a curve is missing"),
        pytest.param(curves(replicate=None), id="no numbers"),
        pytest.param(curves(val_loss=np.ones((2, 4), np.float32)), id="more epochs of one curve"),
        pytest.param({name: array[0] for name, array in curves().items()}, id="of a single network"),
        pytest.param(curves(replicate=np.arange(3)), id="numbers of more replicates"),
        pytest.param(curves(replicate=np.array(["4", "5"])), id="texts"),
        pytest.param(curves(replicate=np.array([4.5, 5.5])), id="halves"),
        pytest.param(curves(train_loss=np.ones((2, 3), complex)), id="complex numbers"),
        pytest.param(curves(train_loss=np.array([[None] * 3] * 2)), id="objects"),
    ],
)
def test_curves_of_another_form_are_corrupt(tmp_path: Path, content: dict[str, Any]) -> None:
    np.savez(tmp_path / "curves.npz", **content)
    with pytest.raises(Corrupt):
        artifacts.read_curves(tmp_path)


def bomb(file: Path) -> None:
    """A hundred million rows in a few kilobytes."""
    rows = pa.repeat(pa.scalar(0.5, pa.float32()), 100_000_000)
    parquet.write_table(pa.table({"val_loss": rows}), file)
    assert file.stat().st_size < MEGABYTES


def lying(file: Path) -> None:
    """A file whose description was written over."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : -8] = b"\xff" * len(content[len(content) // 2 : -8])
    file.write_bytes(content)


@pytest.mark.parametrize("attack", [bomb, lying])
def test_a_forged_table_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Callable[[Path], None]) -> None:
    tampered(tmp_path, lambda folder: attack(folder / "curves.parquet"), sealed=True)
    monkeypatch.delattr(parquet, "ParquetFile")
    artifacts.check(tmp_path)
    artifacts.read_trained(tmp_path)
    assert artifacts.read_curves(tmp_path)["train_loss"].tolist() == COHORT.train_loss.tolist()
