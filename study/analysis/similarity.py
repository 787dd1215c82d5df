"""Searchable fingerprints: a short vector a network, by which near duplicates are found among thousands of tracked runs.

They need no weights once they are made, and know nothing of how a network's hidden units are ordered or, if it is canonical (see
`features`), scaled. Two networks that are close have close vectors; the reverse is likely, not certain: a hit is a candidate, which
an alignment of the weights confirms.

Seen among 24 networks of 64-64 units, from three optimizers and eight starts, on digits and on diabetes: the nearest to a shuffled
copy with 10 % of noise, or trained for three epochs more, was the right one each time, less than 0.05 away. After thirty more
epochs it was the right one each time on digits, and in 62 % on diabetes, where the matched weights were 0.12 apart by then. Over
all pairs the rank correlation with the matched distance was 0.5 and 0.7: how far strangers are from one another it tells badly.

Not among them is a random projection of the weights themselves: it says something only after the units are aligned to those of a
reference that all runs share, and a run that is tracked alone has none.
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
# a vector of so many values is 4,500 characters of text at most, and MLflow takes 8,000 in a tag
VALUES, LAYERS, PROJECTED = 800, 24, 128
QUANTILES = (0, 0.25, 0.5, 0.75, 1)
VERSION = "searchable-1"
TEXT = re.compile(rf"{VERSION}:([0-9a-f]{{16}}):([A-Za-z0-9+/]+={{0,2}})")


@dataclass(frozen=True)
class Searchable:
    """A network's features. kind: 16 hex digits; only features of one kind are compared. values: float32 [sum of `blocks`].

    blocks: the lengths of the parts that are compared in proportion to their own size: for each layer its singular values, its
    units' norms and its parameters' statistics, and at last the predictions.
    """

    kind: str
    blocks: tuple[int, ...]
    values: Floats


class Nearest(NamedTuple):
    """order: [n] places in the list that was searched, nearest first. distances: [n], in that order."""

    order: npt.NDArray[np.int64]
    distances: Floats


# -- making them -------------------------------------------------------------------------------------------------------------


def features(canonical: Network, activation: str, probes: Floats, predictions: Floats) -> Searchable:
    """The searchable fingerprint of a single network; one whose numbers aren't all finite has NaN throughout.

    canonical: scaled such that rescaled copies are equal (for a ReLU, each hidden unit's incoming weights and bias have the norm of
    its outgoing weights), its units in any order; mixtures of linear units are not seen through. probes: [n, in], the same for all
    runs, such as the validation part; predictions: [n, outputs], what the network makes of them, logits for classification. The
    first 512 count.

    For each layer: the kernel's singular values; the units' norms, bias included; of kernel, bias and scale the quantiles 0, 25,
    50, 75 and 100 %, mean and SD (Unterthiner et al., arXiv:2002.11448), of absolute values where signs are arbitrary. Of
    singular values and norms so many are kept, evenly spaced, that the vector has at most 800 values, and of the predictions'
    values 128 random projections; more than 24 layers are thinned out likewise.
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
    """What two networks must share to be compared: architecture, activation and probes."""
    little = np.ascontiguousarray(probes[:PROBES], dtype="<f4")
    told = f"{VERSION} {network.architecture} {activation} {little.shape}\n".encode()
    return hashlib.sha256(told + little.tobytes()).hexdigest()[:16]


def _of_layer(network: Network, layer: int) -> dict[str, Floats]:
    """The layer's trainable parameters by their names without its number."""
    found = {name: network.parameters.get(f"{name}_{layer}") for name in ("kernel", "bias", "scale")}
    return {name: array for name, array in found.items() if array is not None}


def _most_of_a_layer(shapes: Sequence[tuple[int, ...]], others: int) -> int:
    """How many singular values and how many norms a layer may have, so that there is room for the `others`."""
    sizes = [size for shape in shapes for size in (min(shape), shape[1])]
    totals = others + np.minimum.outer(np.arange(VALUES), sizes).sum(axis=1)
    return int(np.searchsorted(totals, VALUES, side="right")) - 1


def _statistics(layer: dict[str, Doubles], magnitudes: bool) -> Doubles:
    """[7 × parameters]: of each parameter the quantiles, the mean and the SD."""
    arrays = [np.abs(array) if magnitudes else array for array in layer.values()]
    each = [[*np.quantile(array, QUANTILES), array.mean(), array.std()] for array in arrays]
    return np.array(each, np.float64).ravel()


def _statistics_count(layer: dict[str, Floats]) -> int:
    return len(layer) * (len(QUANTILES) + 2)


def _projected(values: Doubles) -> Doubles:
    """At most 128 numbers whose differences have about the size of the differences of all `values` (Johnson and Lindenstrauss)."""
    return values if len(values) <= PROJECTED else _signs(len(values)) @ values / np.sqrt(PROJECTED)


@lru_cache(maxsize=4)
def _signs(count: int) -> Doubles:
    """[128, count] of 1 and −1, the same in every process."""
    return seeds.generator(0).choice((-1.0, 1.0), size=(PROJECTED, count))


# -- as text -----------------------------------------------------------------------------------------------------------------


def encode(found: Searchable) -> str:
    """At most 4,500 characters, which begin with the kind, so that a tracking server can filter by it."""
    lengths = np.array([len(found.blocks), *found.blocks], "<u2")
    content = lengths.tobytes() + found.values.astype("<f4").tobytes()
    return f"{VERSION}:{found.kind}:{base64.b64encode(content + _sum(found.kind, content)).decode()}"


def decode(text: str) -> Searchable:
    """The inverse of `encode`. Raises Corrupt for any other text."""
    match = TEXT.fullmatch(text)
    if not match:
        raise Corrupt(f"this is no searchable fingerprint, which would begin with {VERSION}: {text[:40]!r}")
    kind, coded = match.groups()
    try:
        content = base64.b64decode(coded, validate=True)
        count = 2 + 2 * int.from_bytes(content[:2], "little")
        blocks, values = np.frombuffer(content[2:count], "<u2"), np.frombuffer(content[count:-4], "<f4")
    except ValueError as exc:  # binascii's errors are its kind
        raise Corrupt(f"a searchable fingerprint of kind {kind} is damaged: {exc}") from exc
    found = Searchable(kind, tuple(blocks.tolist()), values.astype(np.float32))
    if sum(found.blocks) != len(values) or encode(found) != text:
        raise Corrupt(f"a searchable fingerprint of kind {kind} is damaged: its checksum is wrong")
    return found


def _sum(kind: str, content: bytes) -> bytes:
    return zlib.crc32(kind.encode() + content).to_bytes(4, "little")


# -- searching ---------------------------------------------------------------------------------------------------------------


class Index:
    """N fingerprints to search, those of each kind as one matrix.

    The distance is in [0, 2]: the mean over the blocks of ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2). It is 0 for the same network, however its
    units are ordered and scaled (up to rounding, about 1e-6), and a quarter of e for one whose weights were disturbed by e of their
    size.
    """

    def __init__(self, many: Sequence[Searchable]) -> None:
        places: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        for place, each in enumerate(many):
            places.setdefault((each.kind, each.blocks), []).append(place)
        self._places = {key: np.array(found) for key, found in places.items()}
        self._rows = {key: np.stack([many[place].values for place in found]) for key, found in places.items()}

    def nearest(self, query: Searchable, count: int | None = None) -> Nearest:
        """The `count` nearest (all, if it isn't given) of those that the query can be compared with; networks of NaN come last."""
        key = (query.kind, query.blocks)
        if key not in self._rows:
            return Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))
        distances = _distances(self._rows[key], query)
        order = np.argsort(distances, kind="stable")[:count]
        return Nearest(self._places[key][order], distances[order])


def nearest(query: Searchable, many: Sequence[Searchable]) -> Nearest:
    """All of `many` that the query can be compared with, nearest first."""
    return Index(many).nearest(query)


def _distances(rows: Floats, query: Searchable) -> Floats:
    """From each row to the query, [N]."""
    starts = np.cumsum([0, *query.blocks[:-1]])
    with np.errstate(over="ignore", invalid="ignore"):  # numbers too large to square are NaN's neighbours
        gaps = np.add.reduceat((rows - query.values) ** 2, starts, axis=1)
        sizes = (np.add.reduceat(rows**2, starts, axis=1) + np.add.reduceat(query.values**2, starts)) / 2
        relative = np.sqrt(np.divide(gaps, sizes, out=gaps, where=sizes != 0))  # [N, blocks]; where both are zero, so is the gap
    return relative.mean(axis=1)
