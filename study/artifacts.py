"""A trial's files: weights, predictions, curves and settings, with a manifest of checksums that is written last."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

from study.errors import Corrupt
from study.records import Array, Cohort, Floats, Integers, Network, parameter_shapes
from study.spec import as_mapping

NOTHING: Mapping[str, Array] = MappingProxyType({})
WEIGHTS, PREDICTIONS, COMPARISON, CURVES, CONFIG, ENVIRONMENT, MANIFEST = (
    "weights.npz",
    "predictions.npz",
    "comparison.npz",
    "curves.parquet",
    "config.yaml",
    "environment.json",
    "manifest.json",
)
INITIAL = "initial_"


def write(
    folder: Path,
    cohort: Cohort,
    targets: Sequence[Floats | Integers],
    environment: Mapping[str, str],
    comparison: Mapping[str, Array] = NOTHING,
) -> None:
    """Writes the files of a trained cohort into an empty folder.

    weights.npz: `Network`'s parameters by name, [R, …], and the same with the prefix `initial_`. predictions.npz: predictions
    [R, n_val, outputs] and the validation part's target, with an axis [R] in front if replicates have their own. curves.parquet:
    one row a replicate and epoch. config.yaml: settings that rebuild the trial. comparison.npz: the replicates' matrices and paths
    (see `examination`), if there is a comparison.
    """
    initial = {f"{INITIAL}{name}": array for name, array in cohort.initial.parameters.items()}
    np.savez(folder / WEIGHTS, **cohort.network.parameters, **initial)  # type: ignore[arg-type]
    shared = all(target is targets[0] for target in targets)
    np.savez(
        folder / PREDICTIONS,
        predictions=cohort.predictions,
        **({"target": targets[0]} if shared else {"targets": np.stack(targets)}),
    )

    replicates, epochs = cohort.train_loss.shape
    columns = {
        "replicate": np.repeat(cohort.spec.replicates.numbers, epochs),
        "epoch": np.tile(np.arange(1, epochs + 1), replicates),
        "train_loss": cohort.train_loss.ravel(),
        "val_loss": cohort.val_loss.ravel(),
        "learning_rate": cohort.learning_rate.ravel(),
    }
    parquet.write_table(pa.table(columns), folder / CURVES)
    if comparison:
        np.savez(folder / COMPARISON, **comparison)  # type: ignore[arg-type]
    (folder / CONFIG).write_text(yaml.safe_dump(as_mapping(cohort.spec), sort_keys=False))
    (folder / ENVIRONMENT).write_text(json.dumps(dict(environment), indent=2))
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(sums, indent=2))


def write_atomically(file: Path, text: str) -> None:
    """Writes a whole file or none: under another name first, forced to the disk, then renamed."""
    draft = file.with_name(f".{file.name}.new")
    with draft.open("w") as content:
        content.write(text)
        content.flush()
        os.fsync(content.fileno())
    draft.rename(file)


def check(folder: Path) -> None:
    """Raises Corrupt unless every file of the manifest is there with its checksum."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())
        wrong = [name for name, sha in sums.items() if _sha256(folder / Path(name).name) != sha]
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise Corrupt(f"{folder}: the artifacts are incomplete: {error}") from error
    if missing := {WEIGHTS, PREDICTIONS, CURVES, CONFIG} - sums.keys():
        raise Corrupt(f"{folder}: the manifest doesn't list {', '.join(sorted(missing))}")
    if wrong:
        raise Corrupt(f"{folder}: changed since they were written (checksums differ): {', '.join(wrong)}")


def read_networks(folder: Path) -> list[Network]:
    """The trained networks in a trial's weights.npz, one a replicate."""
    arrays = _load(folder / WEIGHTS)
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
        raise Corrupt(f"{folder / WEIGHTS}: no array {error}") from error
    if not sound:
        raise Corrupt(f"{folder / WEIGHTS}: these arrays are no networks: their names, types or shapes don't fit together")
    return stacked.unstack()


def read_predictions(folder: Path) -> tuple[Floats, Sequence[Floats | Integers]]:
    """Predictions on the validation part, [R, n_val, outputs], and each replicate's target."""
    arrays = _load(folder / PREDICTIONS)
    try:
        predictions = arrays["predictions"]
        targets = arrays["targets"] if "targets" in arrays else [arrays["target"]] * len(predictions)
    except KeyError as error:
        raise Corrupt(f"{folder / PREDICTIONS}: no array {error}") from error
    if len(targets) != len(predictions):
        raise Corrupt(f"{folder / PREDICTIONS}: {len(predictions)} predictions and {len(targets)} targets")
    return predictions, list(targets)


def read_comparison(folder: Path) -> dict[str, Array]:
    """The matrices and paths of `examination`; nothing for a trial of one network."""
    return dict(_load(folder / COMPARISON)) if (folder / COMPARISON).exists() else {}


def read_curves(folder: Path) -> dict[str, Array]:
    """The curves by name, each [R, epochs], and each replicate's number [R]."""
    try:
        table = parquet.read_table(folder / CURVES)
        numbers = np.unique(table["replicate"].to_numpy())
        curves = {name: table[name].to_numpy().reshape(len(numbers), -1) for name in ("train_loss", "val_loss", "learning_rate")}
        return curves | {"replicate": numbers}
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise Corrupt(f"{folder / CURVES}: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The settings that `spec.build` accepts."""
    try:
        content = yaml.safe_load((folder / CONFIG).read_text())
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise Corrupt(f"{folder / CONFIG}: {error}") from error
    if not isinstance(content, dict):
        raise Corrupt(f"{folder / CONFIG}: no settings in it")
    return content


def _load(file: Path) -> dict[str, Floats]:
    """The arrays of an npz file, none of which may claim more bytes than the file holds (they are stored uncompressed)."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {member.filename.removesuffix(".npy"): _member(archive, member) for member in archive.infolist()}
    # a damaged archive raises whatever its parser stumbles over
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise Corrupt(f"{file}: {error}") from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Floats:
    with archive.open(member) as content:
        version = np.lib.format.read_magic(content)
        if version != (1, 0):
            raise ValueError(f"{member.filename}: array format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(content)
    if dtype.hasobject or member.compress_type != zipfile.ZIP_STORED or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename}: not an array of plain numbers as long as its header says")
    with archive.open(member) as content:
        array: Floats = np.lib.format.read_array(content, allow_pickle=False)
        return array


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
