"""Searchable fingerprints: a short vector per network, for finding near duplicates among thousands of tracked runs.

They need no weights once they are made, and don't depend on the order of a network's hidden units or, for a canonical network (see
`features`), on their scale. Two networks that are close have close vectors; the reverse is likely, not certain: a hit is a
candidate, which an alignment of the weights confirms.

Measured among 24 networks of 64-64 units, from three optimizers and eight starts, on digits and on diabetes: the nearest to a
shuffled copy with 10% of noise, or trained for three more epochs, was always the right one, less than 0.05 away. After thirty more
epochs it was always the right one on digits, and in 62% on diabetes, where the matched weights were 0.12 apart by then. Over all
pairs the rank correlation with the matched distance was 0.5 and 0.7: the vector measures the distance of unrelated networks poorly.

A random projection of the weights themselves isn't included: it means something only after the units are aligned to those of a
reference that all runs share, which a run tracked alone doesn't have.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from study import seeds
from study.analysis.rescaling import ODD
from study.errors import Corrupt
from study.records.arrays import Array, Doubles, Floats
from study.records.network import Network
from study.sampling import evenly

PROBES = 512
# a vector of this many values takes at most 4,500 characters of text, and an MLflow tag holds 8,000
VALUES, LAYERS, PROJECTED = 800, 24, 128
QUANTILES = (0, 0.25, 0.5, 0.75, 1)
VERSION = "searchable-1"
TEXT = re.compile(rf"{VERSION}:([0-9a-f]{{16}}):([A-Za-z0-9+/]+={{0,2}})")


@dataclass(frozen=True)
class Searchable:
    """A network's features. kind: 16 hex digits; only features of one kind are compared. values: float32 [sum of `blocks`].

    blocks: lengths of the parts, each compared in proportion to its own size: for each layer its singular values, its units' norms
    and its parameters' statistics, and finally the predictions.
    """

    kind: str
    blocks: tuple[int, ...]
    values: Floats


class Nearest(NamedTuple):
    """order: [n], positions in the searched list, nearest first. distances: [n], in that order."""

    order: npt.NDArray[np.int64]
    distances: Floats


# -- making them -------------------------------------------------------------------------------------------------------------


def features(canonical: Network, activation: str, probes: Floats, predictions: Floats) -> Searchable:
    """Return the searchable fingerprint of a single network; NaN throughout if any of its numbers isn't finite.

    canonical: scaled such that rescaled copies are equal (for a ReLU, each hidden unit's incoming weights and bias have the norm of
    its outgoing weights), its units in any order; mixtures of linear units are not recognised. probes: [n, in], the same for all
    runs, such as the validation part; predictions: [n, outputs], the network's outputs on them, logits for classification. Only the
    first 512 rows are used.

    For each layer: the kernel's singular values; the units' norms, bias included; for kernel, bias and scale the quantiles 0, 25,
    50, 75 and 100%, mean and SD (Unterthiner et al., arXiv:2002.11448), of absolute values where signs are arbitrary. Singular
    values and norms are thinned, evenly spaced, until the vector has at most 800 values; the predictions become 128 random
    projections; of more than 24 layers, 24 are used.
    """
    flat = predictions[:PROBES].astype(np.float64).ravel()
    layers = [_of_layer(canonical, layer) for layer in evenly(canonical.depth, LAYERS)]
    arrays: list[Array] = [flat, *(array for layer in layers for array in layer.values())]
    sound = all(np.isfinite(array).all() for array in arrays)
    projected = _projected(flat if sound else np.zeros(len(flat)))
    most = _most_of_a_layer([layer["kernel"].shape for layer in layers], len(projected) + sum(map(_statistics_count, layers)))
    blocks: list[Doubles] = []
    for layer in layers:
        # a decomposition needs finite numbers
        cleaned = {name: array.astype(np.float64) if sound else np.zeros(array.shape) for name, array in layer.items()}
        norms = np.sqrt(np.sum(cleaned["kernel"] ** 2, axis=0) + cleaned["bias"] ** 2)
        for falling in (np.linalg.svd(cleaned["kernel"], compute_uv=False), np.sort(norms)[::-1]):
            blocks.append(falling[evenly(len(falling), most)].astype(np.float64))
        blocks.append(_statistics(cleaned, magnitudes=activation in ODD))
    blocks.append(projected)
    exact = np.concatenate(blocks)
    sound = sound and bool(np.abs(exact).max() < np.finfo(np.float32).max)
    values = exact.astype(np.float32) if sound else np.full(len(exact), np.nan, np.float32)
    return Searchable(_kind(canonical, activation, probes), tuple(map(len, blocks)), values)


def _kind(network: Network, activation: str, probes: Floats) -> str:
    """Return the hash of what two networks must share to be compared: architecture, activation and probes."""
    little = np.ascontiguousarray(probes[:PROBES], dtype="<f4")
    identity = f"{VERSION} {network.architecture} {activation} {little.shape}\n".encode()
    return hashlib.sha256(identity + little.tobytes()).hexdigest()[:16]


def _of_layer(network: Network, layer: int) -> dict[str, Floats]:
    """Return the layer's trainable parameters, by their names without its number."""
    parameters = {name: network.parameters.get(f"{name}_{layer}") for name in ("kernel", "bias", "scale")}
    return {name: array for name, array in parameters.items() if array is not None}


def _most_of_a_layer(shapes: Sequence[tuple[int, ...]], others: int) -> int:
    """Return how many singular values and how many norms a layer may keep, so that the `others` fit too."""
    sizes = [size for shape in shapes for size in (min(shape), shape[1])]
    totals = others + np.minimum.outer(np.arange(VALUES), sizes).sum(axis=1)
    return int(np.searchsorted(totals, VALUES, side="right")) - 1


def _statistics(layer: dict[str, Doubles], magnitudes: bool) -> Doubles:
    """Return the quantiles, the mean and the SD of each parameter, [7 × parameters]."""
    arrays = [np.abs(array) if magnitudes else array for array in layer.values()]
    statistics = [[*np.quantile(array, QUANTILES), array.mean(), array.std()] for array in arrays]
    return np.array(statistics, np.float64).ravel()


def _statistics_count(layer: dict[str, Floats]) -> int:
    return len(layer) * (len(QUANTILES) + 2)


def _projected(values: Doubles) -> Doubles:
    """Return at most 128 numbers whose distances are about those of all `values` (Johnson and Lindenstrauss)."""
    if len(values) <= PROJECTED:
        return values
    # some rows at a time: all of them take 0.5 GB where 512 rows have 1,000 classes
    rows = (signs.astype(np.float64) @ values for signs in np.split(_signs(len(values)), PROJECTED // 8))
    return np.concatenate(list(rows)) / np.sqrt(PROJECTED)


@lru_cache(maxsize=4)
def _signs(count: int) -> npt.NDArray[np.int8]:
    """Return [128, count] values of 1 and −1, the same in every process."""
    rng = seeds.generator(0)
    return np.concatenate([rng.choice(np.array([-1, 1], np.int8), size=(8, count)) for _ in range(PROJECTED // 8)])


# -- as text -----------------------------------------------------------------------------------------------------------------


def encode(features: Searchable) -> str:
    """Return at most 4,500 characters, beginning with the kind, so that a tracking server can filter by it."""
    lengths = np.array([len(features.blocks), *features.blocks], "<u2")
    content = lengths.tobytes() + features.values.astype("<f4").tobytes()
    return f"{VERSION}:{features.kind}:{base64.b64encode(content + _sum(features.kind, content)).decode()}"


def decode(text: str) -> Searchable:
    """Return the fingerprint that `encode` made this text of. Raises Corrupt for any other text."""
    match = TEXT.fullmatch(text)
    if not match:
        raise Corrupt(f"not a searchable fingerprint, which begins with {VERSION}: {text[:40]!r}")
    kind, coded = match.groups()
    try:
        content = base64.b64decode(coded, validate=True)
        count = 2 + 2 * int.from_bytes(content[:2], "little")
        blocks, values = np.frombuffer(content[2:count], "<u2"), np.frombuffer(content[count:-4], "<f4")
    except ValueError as exc:  # binascii's errors are its kind
        raise Corrupt(f"the searchable fingerprint of kind {kind} is damaged: {exc}") from exc
    features = Searchable(kind, tuple(blocks.tolist()), values.astype(np.float32))
    if sum(features.blocks) != len(values) or encode(features) != text:
        raise Corrupt(f"the searchable fingerprint of kind {kind} is damaged: its checksum is wrong")
    return features


def _sum(kind: str, content: bytes) -> bytes:
    return zlib.crc32(kind.encode() + content).to_bytes(4, "little")


# -- searching ---------------------------------------------------------------------------------------------------------------


class Index:
    """N fingerprints to search, those of each kind as one matrix.

    The distance is in [0, 2]: the mean over the blocks of ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2). It is 0 for the same network in any
    order and scale of its units (up to rounding, about 1e-6), and e / 4 for one whose weights were disturbed by e of their size.
    """

    def __init__(self, many: Sequence[Searchable]) -> None:
        positions: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        for position, features in enumerate(many):
            positions.setdefault((features.kind, features.blocks), []).append(position)
        self._positions = {key: np.array(group) for key, group in positions.items()}
        self._rows = {key: np.stack([many[position].values for position in group]) for key, group in positions.items()}

    def nearest(self, query: Searchable, count: int | None = None) -> Nearest:
        """Return the `count` nearest (by default all) that the query can be compared with; networks of NaN come last."""
        key = (query.kind, query.blocks)
        if key not in self._rows:
            return Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))
        distances = _distances(self._rows[key], query)
        order = np.argsort(distances, kind="stable")[:count]
        return Nearest(self._positions[key][order], distances[order])


def nearest(query: Searchable, many: Sequence[Searchable]) -> Nearest:
    """Return all of `many` that the query can be compared with, nearest first."""
    return Index(many).nearest(query)


def _distances(rows: Floats, query: Searchable) -> Floats:
    """Return the distance from each row to the query, [N]."""
    starts = np.cumsum([0, *query.blocks[:-1]])
    with np.errstate(over="ignore", invalid="ignore"):  # numbers too large to square count as NaN
        gaps = np.add.reduceat((rows - query.values) ** 2, starts, axis=1)
        sizes = (np.add.reduceat(rows**2, starts, axis=1) + np.add.reduceat(query.values**2, starts)) / 2
        relative = np.sqrt(np.divide(gaps, sizes, out=gaps, where=sizes != 0))  # [N, blocks]; where both are zero, so is the gap
    return relative.mean(axis=1)
