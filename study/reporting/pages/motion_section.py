"""The section on motion at the end of training: what the networks' weights and functions do, in words and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from study.analysis import disagreement, motion_paths
from study.analysis import motion as labels
from study.records.outcome import MotionSummary, Summary
from study.records.tracked import TrackedTrial
from study.records.trajectory import Trajectory
from study.reporting import headlines, report
from study.reporting.pages.charts import motion as charts
from study.reporting.pages.page import Chart, Section

MOST_DRAWN = 4
# what the weights, or the functions, of some networks do
PHRASES = {
    labels.DIVERGED: "diverge",
    labels.UNMOVED: "have hardly left their start",
    labels.SETTLED: "are at rest",
    labels.SLOWING: "slow down",
    labels.OSCILLATING: "go back and forth",
    labels.CONFINED: "stay around one point",
    labels.DRIFTING: "drift along a line",
    labels.WANDERING: "wander",
    labels.UNDECIDED: "show no clear motion",
}
HOW = (
    "Each panel is a network, seen along its trend (right) and across it (up), in units of its radius, however small that is. "
    "A ribbon with its colours in order is a drift, a comet slows down, a cloud of mixed colours stays around one point, a ladder "
    "or two clusters go back and forth."
)


def motion(name: str, summary: Summary, trial: TrackedTrial) -> Section:
    """Return how a trial's networks move in their last epochs: those that were trained on until they rest, if there are any.

    Empty where that isn't recorded, or they have too few epochs.
    """
    texts = []
    if trial.onward and summary.onward and summary.onward.summary:
        most = f"{summary.onward.most:,}"
        texts = [f"These replicates of {name} were trained without early stopping until they rest, or for {most} epochs."]
        summary, trial = summary.onward.summary, trial.onward
    title, path = "Motion at the end of training", trial.trajectory
    if path is None or summary.motion is None or not any(motion_paths.shown(path, count) for count in trial.trained):
        return Section(title)
    texts.append(sentence(summary.motion))
    charts = [*_tails(trial, path, texts[-1]), *_lags(summary, summary.motion, trial, path)]
    if not charts:
        texts.append(f"In the last epochs of {name}, nothing moved at all.")
    return Section(title, texts, charts)


def sentence(moved: MotionSummary) -> str:
    """Return one sentence on what the weights and the functions of how many networks do."""
    weights, functions = _clause("networks", moved.weights, moved.held), _clause("", moved.function, moved.held)
    return f"The weights {weights}; the functions {functions}."


def _clause(networks: str, kinds: Sequence[str], held: Sequence[bool]) -> str:
    qualified = Counter((kind, low and kind in (labels.SETTLED, labels.SLOWING)) for kind, low in zip(kinds, held, strict=True))
    parts = list[str]()
    for (kind, low), count in qualified.most_common():
        of = f"those of {count}" if parts else f"of {headlines.share(count, len(kinds))} {networks}".rstrip()
        parts.append(f"{of} {PHRASES[kind]}{' (held by a low learning rate)' * low}")
    return ", ".join(parts)


def _tails(trial: TrackedTrial, path: Trajectory, said: str) -> Iterator[Chart]:
    drawn = list(zip(trial.numbers, trial.trained, strict=True))[:MOST_DRAWN]
    for title, sketches, caption in (
        ("Weights in the last epochs", path.weights, HOW),
        ("Function in the last epochs", path.function, "The predictions on the validation part, seen in the same way."),
    ):
        tails = {number: motion_paths.tail_path(path, sketches, index, trained) for index, (number, trained) in enumerate(drawn)}
        moving = {number: tail for number, tail in tails.items() if tail}
        if still := [str(number) for number in tails if number not in moving]:
            caption += f" Replicate {', '.join(still)}: no motion to draw."
        if moving:
            yield Chart(title, charts.tails(moving), f"{title} of {len(moving)} replicates. {said}", caption)


def _lags(summary: Summary, moved: MotionSummary, trial: TrackedTrial, path: Trajectory) -> Iterator[Chart]:
    distances = motion_paths.lag_distances(path, trial.trained, trial.targets)
    if not distances.any:
        return
    measure, several = disagreement.kind(trial.targets[0]), len(trial.numbers) > 1
    apart, differ = (summary.distance, summary.disagreement) if several else (None, None)
    texts = [
        *_beside(f"weights ({charts.RELATIVE_L2})", moved.numbers["wander"], apart),
        *_beside(f"functions ({measure})", moved.numbers["wobble"], differ),
        "Thick lines are medians over the networks, dotted ones means over the pairs of replicates.",
    ]
    if labels.OSCILLATING in (*moved.weights, *moved.function):
        texts.append("A zigzag is a return every second epoch.")
    if (charts.medians(distances.weights) == 0).any() or (charts.medians(distances.function) == 0).any():
        texts.append("A median of 0 isn't drawn.")
    figure, caption = charts.lags(distances, measure, apart, differ), " ".join(texts)
    yield Chart(
        "Distance between two epochs", figure, f"Distance by the number of epochs in between. {caption}", caption, wide=True
    )


def _beside(kind: str, epochs: Sequence[float | None], replicates: float | None) -> Iterator[str]:
    """Compare, in numbers, two of the last epochs with two replicates."""
    if (between := report.median(epochs)) is not None:
        beside = "" if replicates is None else f", those of two replicates by {report.number(replicates)}"
        yield f"The {kind} of two of the last epochs differ by {report.number(between)}{beside}."
