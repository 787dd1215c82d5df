"""Networks and trials as MLflow keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from study.records.arrays import Array, Floats, Integers
from study.records.network import Network
from study.records.trajectory import Trajectory
from study.settings.data import BOOTSTRAP
from study.settings.values import Value


@dataclass(frozen=True)
class TrackedNetwork:
    """A replicate as MLflow holds it. predictions: [n_val, outputs]; target as in `Dataset.y_val`.

    config: what `spec.build` makes its trial's spec of; settings: the same by dotted keys; seeds: by source. curves: train_loss and
    val_loss, each [epochs], if they are kept. trial: the name of its trial's run, and trial_number the trial's in its study, if it
    has one; number: its own among the replicates. race_losses: the validation losses of all replicates of its trial, by number, if
    a race trained more than the trial's run holds; raced: whether a race decided how many the trial has. rests: whether its
    function is at rest at the end, None if that isn't known, or wasn't asked for; wobble, held: as in `Motion`. A file of weights
    doesn't hold all of this: texts are empty, losses NaN, and n_val may be 0.
    """

    run_id: str
    name: str
    config: dict[str, Any]
    settings: dict[str, Value]
    seeds: dict[str, int]
    fingerprint: str
    label: str
    train_loss: float
    val_loss: float
    network: Network
    predictions: Floats
    target: Floats | Integers
    curves: dict[str, Floats] = field(default_factory=dict)
    study: str = ""
    trial: str = ""
    trial_number: int | None = None
    number: int | None = None
    race_losses: Mapping[int, float] = field(default_factory=dict)
    raced: bool = False
    rests: bool | None = None
    wobble: float = math.nan
    held: bool = False

    @property
    def rows(self) -> int | None:
        """Which of several draws of the data it was validated on; the same for all where each replicate has the same rows."""
        own = self.config.get("data", {}).get("resample") != BOOTSTRAP
        return self.seeds.get("data") if own else None


def same_rows(networks: Sequence[TrackedNetwork]) -> bool:
    """Return True if networks were validated on the same rows: of few classes, other rows may have the same targets."""
    first = networks[0]
    return all(network.rows == first.rows and np.array_equal(network.target, first.target) for network in networks)


def trained(train_loss: Floats) -> list[int]:
    """Return each replicate's number of epochs, by the recorded losses [R, epochs]: after its stop they are NaN, before finite."""
    return np.isfinite(train_loss).sum(axis=1).tolist()


def kept(curves: Mapping[str, Floats], epoch: int | None) -> dict[str, float]:
    """Return the value of each curve, [epochs], at the epoch whose weights are kept, from 1; nothing if it isn't known."""
    return {name: float(curve[epoch - 1]) for name, curve in curves.items()} if epoch else {}


@dataclass(frozen=True)
class Circumstances:
    """The circumstances under which a run was trained, as far as they were recorded.

    environment: versions, processor and digests by name; data: the data's name, digest: of its rows; parts: rows and columns by
    name; commit: of the program's repository, with a + where files
    differed from it; ended: in seconds since 1970.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    digest: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    commit: str = ""
    ended: float | None = None


@dataclass(frozen=True)
class TrackedTrial:
    """A trial's run: the replicates' numbers, curves [R, epochs], targets, R of the validation part's, and `examination`'s arrays.

    trajectory: the networks' way through training, if it is kept and was asked for; onward: its replicates that were trained on,
    likewise.
    """

    numbers: list[int]
    train_loss: Floats
    val_loss: Floats
    targets: Sequence[Floats | Integers]
    comparison: dict[str, Array]
    trajectory: Trajectory | None = None
    onward: TrackedTrial | None = None

    @property
    def trained(self) -> list[int]:
        """Each replicate's number of epochs."""
        return trained(self.train_loss)
