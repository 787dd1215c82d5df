"""Studies and trials as the pages take them, made up, and what a page consists of."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import numpy as np

from study.records.arrays import Array, Doubles
from study.records.outcome import MotionSummary, Summary
from study.records.tracked import TrackedTrial
from study.records.trajectory import Trajectory
from study.records.trial import TrialRecord
from study.reporting.study_results import Findings, Networks, Shown
from study.statistics.objectives import Objective

OPTIMIZERS = ("adam", "sgd", "rmsprop")


def summary(loss: float, replicates: int = 4, **more: object) -> Summary:
    losses = [loss * (1 + 0.02 * place) for place in range(replicates)]
    found = {
        "val_losses": losses,
        "val_loss_mean": float(np.mean(losses)),
        "val_loss_std": float(np.std(losses, ddof=1)) if replicates > 1 else 0.0,
        "val_loss_halfwidth": 0.01 if replicates > 1 else None,
        "train_loss_mean": 0.5,
        "distance": 1.41,
        "disagreement": 0.1,
        "distinct": replicates,
        "labels": {"plateaued": replicates},
        "aligned": 0.7,
        "null": 0.75,
        "verdict": "same loss only",
        "reasons": ["their predictions differ"],
        "parameters": 769,
    }
    return Summary(**(found | more))  # type: ignore[arg-type]


def trials(count: int, broken: int = 0) -> list[TrialRecord]:
    """Completed trials of three settings, one of which only sgd has, and failed and pruned ones."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        optimizer = OPTIMIZERS[number % 3]
        params = {
            "optimizer": optimizer,
            "optimizer.learning_rate": float(10 ** draw.uniform(-4, -1)),
            "model.depth": number % 2 + 1,
        }
        if optimizer == "sgd":
            params["optimizer.momentum"] = float(draw.random())
        told = summary(float(draw.uniform(0.5, 0.9)))
        found.append(TrialRecord(number, "complete", params, [told.val_loss_mean], told, None, f"run{number}", {}))
    for number in range(count, count + broken):
        state, reason = (("failed", "diverged: 4 of 4"), ("pruned", "pruned after 10 epochs"))[number % 2]
        found.append(TrialRecord(number, state, {"optimizer": "sgd"}, [], None, reason, None, {}))
    return found


def shown(record: TrialRecord, replicates: int = 4, epochs: int = 30) -> Shown:
    draw = np.random.default_rng(record.number)
    curves = np.exp(-draw.random((2, replicates, epochs)).cumsum(axis=2) / 10).astype(np.float32)
    points = draw.normal(size=(replicates, 5))
    matrix = np.linalg.norm(points[:, None] - points, axis=2) / 2
    path = draw.random((2, 25))
    comparison = {
        "places": np.arange(replicates),
        "relative_l2": matrix,
        "aligned": matrix / 2,
        "null": np.array(1.1),
        "disagreement": matrix / 4,
        "alphas": np.linspace(0, 1, 25),
        "raw_loss": path,
        "aligned_loss": path / 2,
        "raw_error": path / 8,
        "aligned_error": path / 16,
    }
    return Shown(record, TrackedTrial(list(range(replicates)), *curves, [np.zeros((9, 1), np.float32)] * replicates, comparison))


def trajectory(weights: Doubles, function: Array, votes: Array | None = None, first: int = 1) -> Trajectory:
    """The way of networks whose weights have length 2, from their sketches since epoch `first`, [R, n, k]."""
    replicates, count, buckets = weights.shape
    sums = np.zeros((replicates, first - 1 + count), np.float32)
    sketches = [None if points is None else points.astype(np.float32) for points in (weights, function, votes)]
    epochs = np.arange(first, first + count, dtype=np.int32)
    start = np.zeros((replicates, buckets), np.float32)
    return Trajectory(sums, sums, sums + 4, sums, sums, start, epochs, *sketches)  # type: ignore[arg-type]


def motion_summary(weights: list[str], function: list[str], held: list[bool]) -> MotionSummary:
    numbers: dict[str, list[float | None]] = {"wander": [0.06] * len(held), "wobble": [0.4] * len(held)}
    return MotionSummary(weights, function, held, numbers)


def moving(still: Shown) -> Shown:
    """The trial with weights that drift and functions that scatter."""
    count, epochs = still.kept.train_loss.shape
    draw = np.random.default_rng(1)
    weights, function = draw.normal(size=(2, count, epochs, 31))
    path = trajectory(weights.cumsum(axis=1) + np.arange(epochs)[:, None], function)
    summary = still.record.summary
    assert summary
    motion = motion_summary(["drifting"] * count, ["confined"] * count, [False] * count)
    record = dataclasses.replace(still.record, summary=dataclasses.replace(summary, motion=motion))
    return Shown(record, dataclasses.replace(still.kept, trajectory=path))


SETTINGS = {"data": "diabetes", "data.task": "regression", "replicates.vary": ["init", "order"]}
SPACE = {"optimizer": "choice(adam, sgd)"}


def findings(records: list[TrialRecord], **more: object) -> Findings:
    whole = {"objectives": (Objective(),), "settings": SETTINGS, "space": SPACE, "command": "mlp-study -m optimizer=adam,sgd"}
    return Findings(name="tiny", records=records, **(whole | more))  # type: ignore[arg-type]


def networks(found: Findings, **more: object) -> Networks:
    best, *others = (shown(each) for each in found.ranked[:6])
    return Networks([moving(best), *others], **more)  # type: ignore[arg-type]


class Elements(HTMLParser):
    """A page's elements with their attributes, its words, and what isn't closed as it was opened."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]
