"""Indexes the searchable fingerprints of all tracked replicates of one kind, with a copy on disk to which new runs are added."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from study import locations
from study.analysis import similarity
from study.analysis.similarity import Searchable
from study.errors import Corrupt
from study.records.arrays import Array
from study.tracking.schema import SEARCHABLE
from study.tracking.store import Store

# by which the clocks of the machines that write runs may differ
OVERLAP_MS = 60_000


def load(store: Store, query: Searchable) -> tuple[list[str], similarity.Index]:
    """Return the ids of all replicates' runs that are comparable with `query`, and an index of their fingerprints in that order."""
    file = _file(store.uri, query.kind)
    ids, values, since = _read(file, len(query.values))
    known = dict(zip(ids, values, strict=True))
    fresh = _since(store, query.kind, since - OVERLAP_MS)
    for run, (text, ended) in fresh.items():
        with contextlib.suppress(Corrupt):  # another program's tag
            known[run], since = similarity.decode(text).values, max(since, ended)
    if fresh.keys() - set(ids):
        _write(file, list(known), np.stack(list(known.values())), since)
    return list(known), similarity.Index([Searchable(query.kind, query.blocks, row) for row in known.values()])


def _since(store: Store, kind: str, since: int) -> dict[str, tuple[str, int]]:
    """Return the runs that have ended since: run → its fingerprint and its end."""
    text = f"tags.`{SEARCHABLE}` LIKE '{similarity.VERSION}:{kind}:%' AND attributes.end_time > {max(0, since)}"
    return {run.info.run_id: (run.data.tags[SEARCHABLE], run.info.end_time) for run in store.search(text)}


def _file(uri: str, kind: str) -> Path:
    return locations.cache("similar") / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}-{kind}.npz"


def _read(file: Path, size: int) -> tuple[list[str], Array, int]:
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as kept:
            ids, values, since = kept["ids"].tolist(), kept["values"], int(kept["since"])
            if values.shape == (len(ids), size):
                return ids, values, since
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # a copy can be made again
        pass
    return [], np.zeros((0, size), np.float32), 0


def _write(file: Path, ids: list[str], values: Array, since: int) -> None:
    """Write the copy whole or not at all. A failure only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}.npz")
        np.savez(draft, ids=np.array(ids), values=values, since=np.int64(since))
        draft.replace(file)
