"""Files: what was written is read back, what was damaged is noticed, and a database is whole or isn't there."""

import hashlib
import io
import json
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from study import sqlite
from study.errors import Corrupt, NotWritable
from study.records.cohort import Cohort
from study.records.network import Network, parameter_shapes
from study.settings import spec
from study.tracking import artifacts

# -- a trial's files ---------------------------------------------------------------------------------------------------------


def cohort() -> Cohort:
    """Two 2-3-1 networks after two epochs."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return Cohort(
        spec=spec.build({"model": {"units": [3]}, "replicates": {"count": 2, "first": 4}, "training": {"epochs": 2}}),
        initial=Network.of_layers((drawn(2, 2, 3), drawn(2, 3, 1)), (drawn(2, 3), drawn(2, 1))),
        network=Network.of_layers((drawn(2, 2, 3), drawn(2, 3, 1)), (drawn(2, 3), drawn(2, 1))),
        train_loss=np.array([[0.9, 0.5], [0.8, 0.4]], np.float32),
        val_loss=np.array([[1.0, 0.7], [0.9, 0.6]], np.float32),
        learning_rate=np.array([[0.1, 0.05], [0.1, 0.05]], np.float32),
        predictions=drawn(2, 5, 1),
        trained=np.array([2, 2], np.int32),
        epoch=np.array([2, 2], np.int32),
        labels=("undecided", "undecided"),
        seeds={"init": [1, 2], "order": [3, 4]},
        width=2,
    )


COHORT = cohort()
TARGET = np.arange(5, dtype=np.float32).reshape(5, 1)
FILES = ["config.yaml", "curves.npz", "curves.parquet", "environment.json", "manifest.json", "predictions.npz", "weights.npz"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    artifacts.write(folder, COHORT, [TARGET] * 2, {"python": "3"})
    return folder


def seal(folder: Path) -> None:
    """Makes the manifest match the files as they are."""
    sums = json.loads((folder / "manifest.json").read_text())
    # pipes and links are for the reader to refuse
    plain = [name for name in sums if stat.S_ISREG((folder / name).lstat().st_mode) and (folder / name).stat().st_size < 1 << 30]
    sums |= {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in plain}
    (folder / "manifest.json").write_text(json.dumps(sums))


def test_what_was_written_is_whole(written: Path) -> None:
    assert sorted(file.name for file in written.iterdir()) == FILES
    artifacts.check(written)


def test_networks_are_read_back_bit_by_bit(written: Path) -> None:
    found = artifacts.read_networks(written)
    assert len(found) == 2
    for net, original in zip(found, COHORT.networks(), strict=True):
        for array, source in zip((*net.kernels, *net.biases), (*original.kernels, *original.biases), strict=True):
            assert array.dtype == np.float32 and array.shape == source.shape and array.tobytes() == source.tobytes()


@pytest.mark.parametrize("target", [TARGET, np.arange(5, dtype=np.int32)])
def test_predictions_and_the_target_are_read_back(tmp_path: Path, target: Any) -> None:
    for folder, targets in ((tmp_path / "shared", [target] * 2), (tmp_path / "own", [target, target[::-1]])):
        folder.mkdir()
        artifacts.write(folder, COHORT, targets, {})
        predictions, found = artifacts.read_predictions(folder)
        assert np.array_equal(predictions, COHORT.predictions)
        assert np.array_equal(found, targets) and all(each.dtype == target.dtype for each in found)


def test_the_config_rebuilds_the_spec(written: Path) -> None:
    assert spec.build(artifacts.read_config(written)) == COHORT.spec


def test_the_curves_have_a_row_for_each_replicate_and_epoch(written: Path) -> None:
    rows = parquet.read_table(written / "curves.parquet").to_pylist()
    assert [(row["replicate"], row["epoch"]) for row in rows] == [(4, 1), (4, 2), (5, 1), (5, 2)]
    assert [row["train_loss"] for row in rows] == pytest.approx([0.9, 0.5, 0.8, 0.4])
    assert [row["val_loss"] for row in rows] == pytest.approx([1.0, 0.7, 0.9, 0.6])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.05, 0.1, 0.05])


def test_the_initial_weights_are_kept_too(written: Path) -> None:
    with np.load(written / "weights.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["initial_kernel_1"], COHORT.initial_kernels[1])
        assert np.array_equal(arrays["initial_bias_0"], COHORT.initial_biases[0])


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_byte, remove])
@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_noticed(written: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(written / name)
    with pytest.raises(Corrupt):
        artifacts.check(written)


def damaged(content: bytes) -> Iterator[bytes]:
    """A file's content cut off at 20 places, and with one of its bits the other way at 100."""
    rng = np.random.default_rng(0)
    yield from (content[:length] for length in rng.choice(len(content), min(20, len(content)), replace=False))
    for place, bit in zip(rng.integers(len(content), size=100), rng.integers(8, size=100), strict=True):
        yield content[:place] + bytes([content[place] ^ (1 << int(bit))]) + content[place + 1 :]


@pytest.mark.parametrize("name", FILES)
def test_every_cut_and_every_flipped_bit_is_noticed(written: Path, name: str) -> None:
    for content in damaged((written / name).read_bytes()):
        (written / name).write_bytes(content)
        with pytest.raises(Corrupt):
            artifacts.check(written)


def everything(folder: Path) -> list[Any]:
    """What is read of a trial's files, as plain values."""
    config, networks, predictions, targets = artifacts.read_trained(folder)
    arrays = [*(net.parameters for net in networks), {"predictions": predictions, "targets": np.array(targets)}]
    arrays.append(artifacts.read_curves(folder))
    return [config, *({name: (array.dtype.str, array.tolist()) for name, array in each.items()} for each in arrays)]


@pytest.mark.parametrize("name", ["weights.npz", "predictions.npz", "curves.npz"])
def test_damage_that_the_manifest_was_made_to_match_is_noticed_or_changes_nothing(written: Path, name: str) -> None:
    before, noticed = everything(written), 0
    for content in damaged((written / name).read_bytes()):
        (written / name).write_bytes(content)
        seal(written)
        artifacts.check(written)
        try:
            assert everything(written) == before  # a date in the archive, for instance
        except Corrupt:
            noticed += 1
    assert noticed > 80


@pytest.mark.parametrize(
    "content", ["", "[]", "3", "null", "{", '{"weights.npz": 1}', '{"../weights.npz": "00"}', '{"absent": "00"}']
)
def test_a_manifest_that_is_none_is_noticed(written: Path, content: str) -> None:
    (written / "manifest.json").write_text(content)
    with pytest.raises(Corrupt):
        artifacts.check(written)


def test_a_manifest_must_list_the_files_that_are_read(written: Path) -> None:
    (written / "manifest.json").write_text("{}")
    with pytest.raises(Corrupt):
        artifacts.check(written)


def test_a_manifest_nested_without_end_is_noticed(written: Path) -> None:
    (written / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(Corrupt):
        artifacts.check(written)


def test_an_empty_folder_is_incomplete(tmp_path: Path) -> None:
    for read in (artifacts.check, artifacts.read_networks, artifacts.read_predictions, artifacts.read_config):
        with pytest.raises(Corrupt):
            read(tmp_path)


@pytest.mark.parametrize("content", ["", "3", "- a", "a: [", "a: !!python/object/apply:os.getcwd []", "a: b: c"])
def test_a_config_that_is_none_is_corrupt(written: Path, content: str) -> None:
    (written / "config.yaml").write_text(content)
    with pytest.raises(Corrupt):
        artifacts.read_config(written)


def test_a_config_in_another_encoding_is_corrupt(written: Path) -> None:
    (written / "config.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(Corrupt):
        artifacts.read_config(written)


def test_a_config_nested_without_end_is_corrupt(written: Path) -> None:
    (written / "config.yaml").write_text("[" * 5000)
    with pytest.raises(Corrupt):
        artifacts.read_config(written)


def test_a_config_with_a_malicious_tag_runs_nothing(written: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (written / "config.yaml").write_text(
        f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]"
    )
    with pytest.raises(Corrupt):
        artifacts.read_config(written)
    assert not marker.exists()


class Payload:
    """Unpickled, it makes the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.marker, "w")


def test_a_payload_would_run_if_it_were_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Payload(marker))).close()
    assert marker.exists()


@pytest.mark.parametrize("form", ["object array in a zip", "object array alone", "pickle"])
def test_pickled_weights_are_refused_and_never_run(tmp_path: Path, form: str) -> None:
    marker, file = tmp_path / "marker", tmp_path / "weights.npz"
    array = np.array([Payload(marker)], dtype=object)
    with file.open("wb") as out:
        if form == "object array in a zip":
            np.savez(out, kernel_0=array, bias_0=array)
        elif form == "object array alone":
            np.save(out, array)
        else:
            pickle.dump(Payload(marker), out)
    with pytest.raises(Corrupt):
        artifacts.read_networks(tmp_path)
    assert not marker.exists()


def weights(**changed: Any) -> dict[str, Any]:
    """The arrays of two sound 2-3-1 networks, some of them changed, those that are None left out."""
    shapes = {"kernel_0": (2, 2, 3), "bias_0": (2, 3), "kernel_1": (2, 3, 1), "bias_1": (2, 1)}
    sound = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return {name: array for name, array in (sound | changed).items() if array is not None}


def test_these_weights_are_sound(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", **weights())
    assert [kernel.shape for kernel in artifacts.read_networks(tmp_path)[1].kernels] == [(2, 3), (3, 1)]


@pytest.mark.parametrize("normalisation", ["batch", "layer"])
def test_normalised_networks_are_read_back_whole_or_not_at_all(tmp_path: Path, normalisation: str) -> None:
    sound = {name: np.ones((2, *shape), np.float32) for name, shape in parameter_shapes((2, 3, 1), normalisation).items()}
    np.savez(tmp_path / "weights.npz", **sound)
    [first, _] = artifacts.read_networks(tmp_path)
    assert first.shapes == parameter_shapes((2, 3, 1), normalisation) and first.normalisation == normalisation
    for missing in sound:
        np.savez(tmp_path / "weights.npz", **{name: array for name, array in sound.items() if name != missing})
        if missing != "scale_0" or normalisation != "layer":  # without it, it is a sound network of another kind
            with pytest.raises(Corrupt):
                artifacts.read_networks(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({}, id="no array"),
        pytest.param(weights(kernel_0=None, kernel_1=None), id="no kernel"),
        pytest.param(weights(bias_1=None), id="a bias is missing"),
        pytest.param(weights(kernel_0=None), id="a kernel is missing"),
        pytest.param(weights(bias_0=np.ones((2, 4))), id="a bias of another size"),
        pytest.param(weights(bias_0=np.ones((1, 3))), id="a bias of fewer replicates"),
        pytest.param(weights(kernel_0=np.ones((2, 3))), id="a kernel without the replicate axis"),
        pytest.param(weights(kernel_0=np.ones((2, 2, 3, 1))), id="a kernel of four axes"),
        pytest.param(weights(kernel_0=np.ones((3, 2, 3)), bias_0=np.ones((3, 3))), id="a layer of more replicates"),
        pytest.param(weights(kernel_0=np.float32(1), bias_0=np.float32(1)), id="numbers for arrays"),
        pytest.param(weights(kernel_1=np.ones((2, 5, 1), np.float32)), id="a layer that takes 5 numbers from one that gives 3"),
        pytest.param(weights(kernel_0=np.full((2, 2, 3), "1")), id="texts"),
        pytest.param(weights(kernel_0=np.ones((2, 2, 3), complex)), id="complex numbers"),
        pytest.param({name: array[:0] for name, array in weights().items()}, id="no replicate"),
    ],
)
def test_arrays_that_are_no_networks_are_corrupt(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "weights.npz", **arrays)
    with pytest.raises(Corrupt):
        artifacts.read_networks(tmp_path)


@pytest.mark.parametrize("shape", [(2, 2**40, 2**20), (2, 2**34, 2**20)], ids=["all memory", "this machine's memory"])
def test_a_shape_beyond(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("kernel_0.npy", header.getvalue())
    with pytest.raises(Corrupt):
        artifacts.read_networks(tmp_path)


def plain_array(file: Path) -> None:
    with file.open("wb") as out:
        np.save(out, np.ones(3, np.float32))


def member_that_is_no_array(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("kernel_0", b"hello")
        archive.writestr("bias_0", b"hello")


def encrypted(file: Path) -> None:
    np.savez(file, **weights())
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)


def unknown_compression(file: Path) -> None:
    np.savez(file, **weights())
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 99
    file.write_bytes(content)


def torn_compression(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kernel_0.npy", bytes(range(256)) * 4)
    content = bytearray(file.read_bytes())
    content[30 + len("kernel_0.npy")] = 0xFF  # the stream's first byte: a block type that doesn't exist
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [plain_array, member_that_is_no_array, encrypted, unknown_compression, torn_compression])
def test_a_file_that_is_no_archive_of_arrays_is_corrupt(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "weights.npz")
    with pytest.raises(Corrupt):
        artifacts.read_networks(tmp_path)


def test_every_truncation_of_the_weights_is_corrupt(written: Path) -> None:
    file = written / "weights.npz"
    content = file.read_bytes()
    for length in range(0, len(content), 29):
        file.write_bytes(content[:length])
        with pytest.raises(Corrupt):
            artifacts.read_networks(written)


def test_the_files_are_plain_text_and_plain_arrays(written: Path) -> None:
    assert yaml.safe_load((written / "config.yaml").read_text())["model"]["units"] == [3]
    assert json.loads((written / "environment.json").read_text()) == {"python": "3"}


# -- databases ---------------------------------------------------------------------------------------------------------------


def schema(url: str) -> None:
    """Stands in for MLflow's and Optuna's schemas, which take seconds."""
    path = Path(url.removeprefix("sqlite:///"))
    with path.with_name("log").open("a") as log:
        log.write("made\n")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE made (number)")
        connection.commit()


def never(url: str) -> None:
    raise AssertionError("not to be called")


def fails(url: str) -> None:
    raise RuntimeError("no schema today")


def fails_half_way(url: str) -> None:
    schema(url)
    raise RuntimeError("half way")


def makes_nothing(url: str) -> None:
    pass


def makes_no_database(url: str) -> None:
    Path(url.removeprefix("sqlite:///")).write_text("notes" * 100)


@pytest.fixture
def open_umask() -> Iterator[None]:
    previous = os.umask(0o022)
    yield
    os.umask(previous)


def current_umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_new_database_is_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert sqlite.ensure(sqlite.url_of(path), schema) == path
    assert tables(path) == ["made"]
    assert names(tmp_path) == {"a.db", "a.db.lock", "log"}


@pytest.mark.usefixtures("open_umask")
def test_a_new_database_is_for_its_owner_only_and_the_umask_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    sqlite.ensure(sqlite.url_of(path), schema)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a.db.lock").stat().st_mode) == 0o600
    assert current_umask() == 0o022


def test_a_new_database_writes_ahead(tmp_path: Path) -> None:
    path = sqlite.ensure(sqlite.url_of(tmp_path / "a.db"), schema)
    assert path
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    url = sqlite.url_of(tmp_path / "a.db")
    sqlite.ensure(url, schema)
    before = (tmp_path / "a.db").read_bytes()
    sqlite.ensure(url, never)
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_missing_parent_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.db"
    assert sqlite.ensure(sqlite.url_of(path), schema) == path
    assert tables(path) == ["made"]


def test_a_relative_name_is_one_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite.ensure("sqlite:///a.db", schema) == tmp_path / "a.db"
    assert tables(tmp_path / "a.db") == ["made"]


@pytest.mark.parametrize(
    "url", ["postgresql://host/name", "http://localhost:5000", "sqlite://", "sqlite:///", "sqlite:///:memory:", "./mlruns", ""]
)
def test_anything_but_a_sqlite_file_is_none_of_its_business(url: str) -> None:
    assert sqlite.ensure(url, never) is None


@pytest.mark.parametrize("content", [b"", b"notes", b"SQLite format 2\0" + bytes(100), bytes(4096)])
def test_another_kind_of_file_is_corrupt_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"a\.db: .*SQLite"):
        sqlite.ensure(sqlite.url_of(path), schema)
    assert path.read_bytes() == content
    assert names(tmp_path) == {"a.db", "a.db.lock"}


def test_a_directory_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(NotWritable, match="directory"):
        sqlite.ensure(sqlite.url_of(tmp_path / "a.db"), schema)


def test_a_file_for_a_parent_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("notes")
    with pytest.raises(NotWritable):
        sqlite.ensure(sqlite.url_of(tmp_path / "file" / "a.db"), schema)
    assert (tmp_path / "file").read_text() == "notes"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (fails, "no schema today"),
        (fails_half_way, "half way"),
        (makes_nothing, "stayed empty"),
        (makes_no_database, "not a database"),
    ],
)
def test_a_schema_that_fails_is_told_and_leaves_no_file(tmp_path: Path, broken: Callable[[str], None], told: str) -> None:
    path = tmp_path / "a.db"
    with pytest.raises(NotWritable, match=told):
        sqlite.ensure(sqlite.url_of(path), broken)
    assert names(tmp_path) - {"log"} == {"a.db.lock"}
    assert sqlite.ensure(sqlite.url_of(path), schema) == path


def test_a_process_killed_half_way_does_no_harm(tmp_path: Path) -> None:
    kill = "import os, sys; from study import sqlite; sqlite.ensure(sys.argv[1], lambda url: os.kill(os.getpid(), 9))"
    killed = subprocess.run([sys.executable, "-c", kill, sqlite.url_of(tmp_path / "a.db")], check=False)
    assert killed.returncode == -9
    sqlite.ensure(sqlite.url_of(tmp_path / "a.db"), schema)
    assert tables(tmp_path / "a.db") == ["made"]


def test_four_processes_at_once_all_succeed_and_one_creates(tmp_path: Path) -> None:
    code = "import sys; from study import sqlite; from tests.test_records_on_disk import schema; sqlite.ensure(sys.argv[1], schema)"
    arguments = [sys.executable, "-c", code, sqlite.url_of(tmp_path / "a.db")]
    root = Path(__file__).parent.parent
    processes = [subprocess.Popen(arguments, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
    assert (tmp_path / "log").read_text() == "made\n"
    assert tables(tmp_path / "a.db") == ["made"]
