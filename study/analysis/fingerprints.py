"""Exact fingerprints: two networks have the same one if and only if all their parameters have the same bits."""

from __future__ import annotations

import hashlib

import numpy as np

from study.records.network import Network


def digest(network: Network) -> str:
    """Return the sha256, 64 hex digits, over each array's name (with its layer), dtype, shape and little-endian bytes."""
    sha = hashlib.sha256()
    for name, array in sorted(network.parameters.items()):
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        sha.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        sha.update(little.tobytes())
    return sha.hexdigest()
