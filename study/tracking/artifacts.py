"""A trial's files: weights, predictions, curves and settings, with a manifest of checksums that is written last.

They may come from anywhere, so reading them runs nothing, follows no link, and takes no more memory than the files have bytes:
arrays are stored uncompressed, and texts are short. curves.parquet, curves.svg and errors.txt are for other programs and never
read here: in Arrow's reader a forged file can fill the memory or end the process.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import os
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml

from study.errors import BadInput, Corrupt, writing
from study.records.arrays import Array, Floats, Integers
from study.records.cohort import Cohort
from study.records.network import Network, parameter_shapes
from study.records.trajectory import Trajectory
from study.settings.spec import as_mapping, build

NOTHING: Mapping[str, Array] = MappingProxyType({})
WEIGHTS, PREDICTIONS, COMPARISON, CURVES, MOTION, ONWARD, TABLE, PICTURE, ERRORS, CONFIG, ENVIRONMENT, MANIFEST = (
    "weights.npz",
    "predictions.npz",
    "comparison.npz",
    "curves.npz",
    "motion.npz",
    "onward.npz",
    "curves.parquet",
    "curves.svg",
    "errors.txt",
    "config.yaml",
    "environment.json",
    "manifest.json",
)
ALWAYS = {WEIGHTS, PREDICTIONS, TABLE, CONFIG, ENVIRONMENT}
FILES = {*ALWAYS, CURVES, COMPARISON, MOTION, ONWARD, PICTURE, ERRORS, MANIFEST}
INITIAL, MOVED = "initial_", "motion_"
LOSSES = ("train_loss", "val_loss", "learning_rate")
TEXTS, MOST_TEXT, LONGEST_REASON = (".yaml", ".json"), 100_000, 300


def write(
    folder: Path,
    cohort: Cohort,
    targets: Sequence[Floats | Integers],
    environment: Mapping[str, str],
    comparison: Mapping[str, Array] = NOTHING,
    onward: tuple[Cohort, Sequence[Floats | Integers]] | None = None,
    picture: str = "",
    errors: str = "",
) -> None:
    """Write the files of a trained cohort into an empty folder.

    weights.npz: `Network`'s parameters by name, [R, …], and the same with the prefix `initial_`. predictions.npz: predictions [R,
    n_val, outputs] and the validation part's target, with an axis [R] in front if replicates have their own. curves.npz: the
    arrays that `read_curves` returns; curves.parquet: the same, one row per replicate and epoch; curves.svg: a picture of them, if
    there is one. errors.txt: the table of `error_table`, if there is one. config.yaml: settings that rebuild the trial.
    comparison.npz: the replicates' matrices and paths (see `pairwise`), if there is a comparison. motion.npz: the arrays of
    `Trajectory`, if the networks were followed. onward.npz: all arrays of replicates that were trained on, and their targets; those
    of `Trajectory` have the prefix `motion_`.
    Raises NotWritable.
    """
    initial = {f"{INITIAL}{name}": array for name, array in cohort.initial.parameters.items()}
    curves = _curves(cohort)
    with writing(folder):
        np.savez(folder / WEIGHTS, **cohort.network.parameters, **initial)  # type: ignore[arg-type]
        np.savez(folder / PREDICTIONS, **_predictions(cohort, targets))
        if comparison:
            np.savez(folder / COMPARISON, **comparison)  # type: ignore[arg-type]
        np.savez(folder / CURVES, **curves)
        if cohort.trajectory:
            np.savez(folder / MOTION, **_trajectory(cohort.trajectory))
        if onward and onward[0].trajectory:
            moved = {f"{MOVED}{name}": array for name, array in _trajectory(onward[0].trajectory).items()}
            np.savez(folder / ONWARD, **{**onward[0].network.parameters, **_curves(onward[0]), **_predictions(*onward), **moved})
        _write_table(curves, folder / TABLE)
        for name, text in ((PICTURE, picture), (ERRORS, errors)):
            if text:
                (folder / name).write_text(text)
        (folder / CONFIG).write_text(yaml.safe_dump(as_mapping(cohort.spec), sort_keys=False))
        (folder / ENVIRONMENT).write_text(json.dumps(dict(environment), indent=2))
        sums = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(json.dumps(sums, indent=2))


def _curves(cohort: Cohort) -> dict[str, Any]:
    return {"replicate": np.array(cohort.spec.replicates.numbers)} | {name: getattr(cohort, name) for name in LOSSES}


def _predictions(cohort: Cohort, targets: Sequence[Floats | Integers]) -> dict[str, Any]:
    shared = all(target is targets[0] for target in targets)
    return {"predictions": cohort.predictions} | ({"target": targets[0]} if shared else {"targets": np.stack(targets)})


def _trajectory(path: Trajectory) -> dict[str, Any]:
    return {name: array for name, array in vars(path).items() if array is not None}


def _write_table(curves: Mapping[str, Array], file: Path) -> None:
    import pyarrow  # a start, which imports this module, does without
    from pyarrow import parquet

    epochs = curves["train_loss"].shape[1]
    numbers = curves["replicate"]
    rows = {"replicate": np.repeat(numbers, epochs), "epoch": np.tile(np.arange(1, epochs + 1), len(numbers))}
    parquet.write_table(pyarrow.table(rows | {name: curves[name].ravel() for name in LOSSES}), file)


def write_atomically(file: Path, text: str) -> None:
    """Write a whole file or none: under another name first, forced to the disk, then renamed. Raises NotWritable."""
    draft = file.with_name(f".{file.name}.new")
    with writing(file):
        with draft.open("w") as content:
            content.write(text)
            content.flush()
            os.fsync(content.fileno())
        draft.rename(file)


def check(folder: Path) -> None:
    """Check a trial's files. Raises Corrupt unless all of the manifest are there with their checksum, and no other that is read."""
    try:
        sums = json.loads(_text(folder / MANIFEST))
        unknown = sums.keys() - FILES
        wrong = [name for name, sha in sums.items() if name in FILES and _sha256(folder / name) != sha]
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(folder, f"the artifacts are incomplete: {error}") from error
    if unknown:
        raise _damaged(folder, f"the manifest lists files that no trial has: {', '.join(sorted(unknown))}")
    if missing := ALWAYS - sums.keys():
        raise _damaged(folder, f"the manifest doesn't list {', '.join(sorted(missing))}")
    if wrong:
        raise _damaged(folder, f"changed since they were written (checksums differ): {', '.join(wrong)}")
    if added := [name for name in FILES - {MANIFEST} - sums.keys() if os.path.lexists(folder / name)]:
        raise _damaged(folder, f"files that the manifest doesn't list: {', '.join(added)}")


def read_trained(folder: Path) -> tuple[dict[str, Any], list[Network], Floats, Sequence[Floats | Integers]]:
    """Return the settings, the networks, and the result of `read_predictions`. Raises Corrupt unless they fit together."""
    config, networks, (predictions, targets) = read_config(folder), read_networks(folder), read_predictions(folder)
    spec, kernels = build(config), networks[0].kernels
    outputs = kernels[-1].shape[1]
    expected = parameter_shapes((kernels[0].shape[0], *spec.model.units, outputs), spec.model.normalisation)
    if networks[0].shapes != expected or not len(networks) == len(predictions) == len(spec.replicates.numbers):
        raise _damaged(folder, f"{WEIGHTS} and {PREDICTIONS} hold other networks than {CONFIG} describes")
    if predictions.shape[2] != outputs:
        raise _damaged(folder, f"{PREDICTIONS} has {predictions.shape[2]} outputs and {WEIGHTS} has {outputs}")
    return config, networks, predictions, targets


def read_networks(folder: Path) -> list[Network]:
    """Return the trained networks in a trial's weights.npz, one per replicate."""
    return read_weights(folder / WEIGHTS)


def read_weights(file: Path) -> list[Network]:
    """Return the trained networks in a file with the arrays of weights.npz."""
    arrays = _load(file)
    stacked = Network({name: array for name, array in arrays.items() if not name.startswith(INITIAL)})
    try:
        kernels = stacked.kernels
        sound = len(kernels) > 0 and all(kernel.ndim == 3 for kernel in kernels)
        sound = sound and all(out.shape[1] == into.shape[2] for into, out in itertools.pairwise(kernels))
        if sound:
            expected = parameter_shapes((kernels[0].shape[1], *(kernel.shape[2] for kernel in kernels)), stacked.normalisation)
            sound = stacked.shapes == {name: (len(kernels[0]), *shape) for name, shape in expected.items()}
        sound = sound and all(a.dtype == np.float32 and a.size for a in stacked.parameters.values())
    except KeyError as error:
        raise _damaged(file, f"no array {error}") from error
    if not sound:
        raise _damaged(file, "the arrays are no networks: their names, types or shapes don't fit together")
    return stacked.unstack()


def read_predictions(folder: Path) -> tuple[Floats, Sequence[Floats | Integers]]:
    """Return predictions on the validation part, [R, n_val, outputs], and each replicate's target."""
    return _targets(folder / PREDICTIONS, _load(folder / PREDICTIONS))


def _targets(file: Path, arrays: Mapping[str, Array]) -> tuple[Floats, Sequence[Floats | Integers]]:
    try:
        predictions = arrays["predictions"]
        shared = arrays.get("target")
        targets = arrays["targets"] if shared is None else np.broadcast_to(shared, (len(predictions), *shared.shape))
    except (KeyError, TypeError) as error:
        raise _damaged(file, f"no array {error}") from error
    axes = {np.dtype(np.float32): 3, np.dtype(np.int32): 2}.get(targets.dtype)  # real values, and class numbers
    sound = predictions.ndim == 3 and predictions.dtype == np.float32 and predictions.size > 0 and targets.ndim == axes
    if not sound or targets.shape[:2] != predictions.shape[:2]:
        raise _damaged(file, "predictions and targets don't fit together")
    return predictions, list(targets)


def read_comparison(folder: Path) -> dict[str, Array]:
    """Return the matrices and paths of `pairwise.examine`; none for a trial of one network."""
    return dict(_load(folder / COMPARISON)) if (folder / COMPARISON).exists() else {}


def read_curves(folder: Path) -> dict[str, Array]:
    """Return train_loss, val_loss and learning_rate, each [R, epochs], and the replicates' numbers, `replicate` [R]."""
    return _losses(folder / CURVES, _load(folder / CURVES))


def _losses(file: Path, curves: dict[str, Array]) -> dict[str, Array]:
    shapes = [curves[name].shape for name in LOSSES if name in curves]
    numbers = curves.get("replicate", np.empty(0))
    sound = len(shapes) == len(LOSSES) and len(set(shapes)) == 1 and len(shapes[0]) == 2
    if not sound or numbers.shape != shapes[0][:1] or numbers.dtype != np.int64:
        raise _damaged(file, "no curves of the replicates")
    return curves


def read_trajectory(folder: Path) -> Trajectory | None:
    """Return how the networks moved; None for a trial of an earlier version, or without `training.motion`."""
    if not (folder / MOTION).exists():
        return None
    return _path(folder / MOTION, _load(folder / MOTION))


def read_onward(folder: Path) -> tuple[dict[str, Array], Sequence[Floats | Integers], Trajectory] | None:
    """Return the curves, the targets and the motion of replicates that were trained on; None for a trial without."""
    if not (folder / ONWARD).exists():
        return None
    arrays = _load(folder / ONWARD)
    moved = {name.removeprefix(MOVED): array for name, array in arrays.items() if name.startswith(MOVED)}
    curves = {name: arrays[name] for name in (*LOSSES, "replicate") if name in arrays}
    _, targets = _targets(folder / ONWARD, arrays)
    return _losses(folder / ONWARD, curves), targets, _path(folder / ONWARD, moved)


def _path(file: Path, loaded: Mapping[str, Array]) -> Trajectory:
    arrays: dict[str, Any] = dict(loaded)
    try:
        path = Trajectory(**arrays)
        (count, epochs), (_, points, buckets) = path.weights_step.shape, path.weights.shape
    except (TypeError, ValueError) as error:
        raise _damaged(file, error) from error
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(arrays, (count, epochs))
    expected |= dict.fromkeys(("weights", "function", "votes"), (count, points, buckets))
    expected |= {"start": (count, buckets), "epochs": (points,)}
    if any(array.shape != expected[name] for name, array in arrays.items()):
        raise _damaged(file, "the arrays don't fit together")
    return path


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings, which `spec.build` accepts. Nothing in them is resolved, and a `${…}` is refused."""
    try:
        text = _text(folder / CONFIG)
        content = yaml.load(text, _Settings)
        if not isinstance(content, dict) or "${" in text:
            raise ValueError("no settings in it, or some that are to be resolved")
        build(content)
    except (OSError, ValueError, ArithmeticError, RecursionError, yaml.YAMLError, BadInput) as error:
        raise _damaged(folder / CONFIG, error) from error
    return content


class _Settings(yaml.SafeLoader):
    """YAML without tags, and without aliases, by which a few lines can stand for billions of values."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("settings have neither aliases nor tags")
        return super().compose_node(parent, index)


def read_environment(folder: Path) -> dict[str, str]:
    """Return the environment of the training: versions, processor and switches, by name."""
    try:
        content = json.loads(_text(folder / ENVIRONMENT))
        if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
            raise ValueError("not a text for each name")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder / ENVIRONMENT, error) from error
    return content


def _load(file: Path) -> dict[str, Array]:
    """Return the arrays of an npz file."""
    try:
        with _open(file) as content, zipfile.ZipFile(content) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            # together, since they may lie on top of one another
            if not stored or sum(member.file_size for member in members) > os.fstat(content.fileno()).st_size:
                raise ValueError("compressed, or shorter than it says")
            if len(set(names)) < len(names):
                raise ValueError("arrays of the same name")
            return {name: _member(archive, member) for name, member in zip(names, members, strict=True)}
    except Exception as error:  # parsers raise all kinds of errors for a damaged archive
        raise _damaged(file, error) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as content:
        version = np.lib.format.read_magic(content)
        if version != (1, 0):
            raise ValueError(f"{member.filename}: array format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(content)
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename}: not an array of plain numbers as long as its header says")
    with archive.open(member) as content:
        array: Array = np.lib.format.read_array(content, allow_pickle=False)
        if content.read(1):  # to its end, where the checksum is
            raise ValueError(f"{member.filename}: longer than its header says")
        return array


def _open(file: Path) -> io.BufferedReader:
    """Open a plain file. A link may lead anywhere, a device has no end, and a pipe waits for somebody to write."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and (file.suffix not in TEXTS or status.st_size <= MOST_TEXT):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(f"{file.name} is no plain file, or a text of more than {MOST_TEXT:,} bytes")


def _text(file: Path) -> str:
    with _open(file) as content:
        return content.read().decode()


def _sha256(file: Path) -> str:
    with _open(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _damaged(path: Path, reason: object) -> Corrupt:
    """Return the error with one printable line: the reason may repeat what the file holds."""
    line = " ".join(str(reason).split())[:LONGEST_REASON]
    return Corrupt(f"{path}: {''.join(character if character.isprintable() else '?' for character in line)}")
