"""A trial's files: weights, predictions, curves and settings, with a manifest of checksums that is written last."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

from study.errors import Corrupt
from study.records import Cohort, Floats, Integers, Network, unstack
from study.spec import as_mapping

WEIGHTS, PREDICTIONS, CURVES, CONFIG, ENVIRONMENT, MANIFEST = (
    "weights.npz",
    "predictions.npz",
    "curves.parquet",
    "config.yaml",
    "environment.json",
    "manifest.json",
)


def write(folder: Path, cohort: Cohort, target: Floats | Integers, environment: Mapping[str, str]) -> None:
    """Writes the files of a trained cohort into an empty folder.

    weights.npz: kernel_0 [R, in, out], bias_0 [R, out], … and the same with the prefix `initial_`. predictions.npz: predictions
    [R, n_val, outputs] and the validation part's target. curves.parquet: one row a replicate and epoch. config.yaml: settings
    that rebuild the trial.
    """
    arrays: dict[str, Floats] = {}
    for prefix, kernels, biases in (
        ("", cohort.kernels, cohort.biases),
        ("initial_", cohort.initial_kernels, cohort.initial_biases),
    ):
        for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            arrays |= {f"{prefix}kernel_{layer}": kernel, f"{prefix}bias_{layer}": bias}
    np.savez(folder / WEIGHTS, **arrays)  # type: ignore[arg-type]
    np.savez(folder / PREDICTIONS, predictions=cohort.predictions, target=target)

    replicates, epochs = cohort.train_loss.shape
    first = cohort.spec.replicates.first
    columns = {
        "replicate": np.repeat(np.arange(first, first + replicates), epochs),
        "epoch": np.tile(np.arange(1, epochs + 1), replicates),
        "train_loss": cohort.train_loss.ravel(),
        "val_loss": cohort.val_loss.ravel(),
        "learning_rate": np.tile(cohort.learning_rate, replicates),
    }
    parquet.write_table(pa.table(columns), folder / CURVES)
    (folder / CONFIG).write_text(yaml.safe_dump(as_mapping(cohort.spec), sort_keys=False))
    (folder / ENVIRONMENT).write_text(json.dumps(dict(environment), indent=2))
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(sums, indent=2))


def check(folder: Path) -> None:
    """Raises Corrupt unless every file of the manifest is there with its checksum."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())
        wrong = [name for name, sha in sums.items() if _sha256(folder / Path(name).name) != sha]
    except (OSError, ValueError, AttributeError) as error:
        raise Corrupt(f"{folder}: the artifacts are incomplete: {error}") from error
    if wrong:
        raise Corrupt(f"{folder}: changed since they were written (checksums differ): {', '.join(wrong)}")


def read_networks(folder: Path) -> list[Network]:
    """The trained networks in a trial's weights.npz, one a replicate."""
    arrays = _load(folder / WEIGHTS)
    layers = sum(name.startswith("kernel_") for name in arrays)
    try:
        kernels = [arrays[f"kernel_{layer}"] for layer in range(layers)]
        biases = [arrays[f"bias_{layer}"] for layer in range(layers)]
        sound = layers > 0 and all(k.ndim == 3 and b.shape == k.shape[::2] for k, b in zip(kernels, biases, strict=True))
    except KeyError as error:
        raise Corrupt(f"{folder / WEIGHTS}: no array {error}") from error
    if not sound or len({len(k) for k in kernels}) != 1:
        raise Corrupt(f"{folder / WEIGHTS}: the arrays' shapes don't fit together")
    return unstack(kernels, biases)


def read_predictions(folder: Path) -> tuple[Floats, Floats | Integers]:
    """Predictions on the validation part, [R, n_val, outputs], and its target."""
    arrays = _load(folder / PREDICTIONS)
    try:
        return arrays["predictions"], arrays["target"]
    except KeyError as error:
        raise Corrupt(f"{folder / PREDICTIONS}: no array {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The settings that `spec.build` accepts."""
    try:
        content = yaml.safe_load((folder / CONFIG).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Corrupt(f"{folder / CONFIG}: {error}") from error
    if not isinstance(content, dict):
        raise Corrupt(f"{folder / CONFIG}: no settings in it")
    return content


def _load(file: Path) -> dict[str, Floats]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Corrupt(f"{file}: {error}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
