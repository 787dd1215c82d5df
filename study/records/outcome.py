"""The outcome of a trial: completed with a summary, pruned, or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

# what a `Summary` has of the pairs of a trial's replicates
PAIR_MEASURES = ("distance", "aligned", "null", "barrier", "aligned_barrier", "cka", "disagreement", "distinct", "finite_test")


@dataclass(frozen=True)
class Blame:
    """The sources' shares of the spread of one quantity over a crossed cohort (see `blame`).

    shares: source, or interaction such as `init × order` → its share of the variance and the ends of its 95% interval. chaos: the
    same of all interactions together. ulp: the share that one unit in the last place of one weight makes; None if not tried.
    """

    of: str
    shares: dict[str, tuple[float, float, float]]
    chaos: tuple[float, float, float]
    total_sd: float
    ulp: float | None

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Blame:
        """From what `dataclasses.asdict` and JSON make of it, which has lists for tuples."""
        shares = {source: tuple(share) for source, share in content["shares"].items()}
        return cls(**{**content, "shares": shares, "chaos": tuple(content["chaos"])})


# the name of the default setting's ensemble among a winner's rivals on the test rows
DEFAULT = "default"
# a value and the ends of its 95% interval
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class TestScore:
    """A model on the test rows, with intervals over the rows.

    loss: the mean of the trial's own; rmse, mae: of each target, in its own unit, none for classes; accuracy: None for regression.
    gap: its loss minus the ensemble's, None for the ensemble. scores: by the names of `objectives.SCORES`, in the target's own
    unit; of several targets, their means. None in records of earlier versions.
    """

    name: str
    loss: Interval
    rmse: list[Interval]
    mae: list[Interval]
    accuracy: Interval | None
    gap: Interval | None
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> TestScore:
        """From what `dataclasses.asdict` and JSON make of it, which has lists for tuples."""

        def interval(ends: Any) -> Any:
            return None if ends is None else tuple(ends)

        lists = {key: [interval(ends) for ends in content[key]] for key in ("rmse", "mae")}
        return cls(**{**content, **lists, **{key: interval(content[key]) for key in ("loss", "accuracy", "gap")}})


@dataclass(frozen=True)
class Calibration:
    """A reliability curve, with a point for each bin of rows, and the expected calibration error (ECE).

    confidence: the mean probability of the predicted class, [bins]; accuracy: the share of right predictions, [bins]; rows: [bins].
    ece: the mean of |accuracy − confidence| over the rows. by_chance: what the ECE of a perfectly calibrated classifier stays below
    for 95 of 100 parts with as many rows; few rows make it large.
    """

    confidence: list[float]
    accuracy: list[float]
    rows: list[int]
    ece: float
    by_chance: float


@dataclass(frozen=True)
class Tested:
    """A trial's replicates on the test part, which nothing was trained or chosen by.

    rows: of the test part. networks: in the ensemble. single: the mean loss of the networks one by one; gain: that minus the
    ensemble's, with its interval. scores: of the ensemble, then of as many networks of the default setting, if that was tried, and
    of the baselines. calibration: of the ensemble's probabilities; single_calibration: of all networks' together, with the means of
    their own numbers. Both are None for regression, and in records of earlier versions.
    """

    rows: int
    networks: int
    single: float
    gain: Interval
    scores: list[TestScore]
    calibration: Calibration | None = None
    single_calibration: Calibration | None = None

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Tested:
        scores = [TestScore.of_plain(plain) for plain in content["scores"]]
        curves = {key: Calibration(**content[key]) for key in ("calibration", "single_calibration") if content.get(key)}
        return cls(**{**content, "gain": tuple(content["gain"]), "scores": scores, **curves})


@dataclass(frozen=True)
class MotionSummary:
    """Each replicate's motion at the end of its training (see `motion.Motion`), [R] each.

    weights, function: labels; held: the learning rate has fallen; numbers: by name, None where one isn't known.
    """

    weights: list[str]
    function: list[str]
    held: list[bool]
    numbers: dict[str, list[float | None]]
    LISTS: ClassVar = ("weights", "function", "held")

    @classmethod
    def joined(cls, parts: Sequence[MotionSummary]) -> MotionSummary:
        # records of earlier versions have fewer numbers
        names = [name for name in parts[0].numbers if all(name in part.numbers for part in parts)]
        numbers = {name: [value for part in parts for value in part.numbers[name]] for name in names}
        lists = {name: [value for part in parts for value in getattr(part, name)] for name in cls.LISTS}
        return cls(**lists, numbers=numbers)

    @property
    def text(self) -> str:
        """The number of replicates with each label."""
        return "; ".join(f"{of} {counted(labels)}" for of, labels in (("weights", self.weights), ("function", self.function)))

    def label(self, index: int) -> str:
        """One replicate's labels."""
        held = ", held by the learning rate" if self.held[index] else ""
        return f"weights {self.weights[index]}, function {self.function[index]}{held}"


def counted(labels: Sequence[str]) -> str:
    """Return how many have which label, the most frequent first."""
    return ", ".join(f"{count} {label}" for label, count in Counter(labels).most_common())


@dataclass(frozen=True)
class Summary:
    """The numbers by which a completed trial is judged, plain ones that survive JSON.

    val_loss_halfwidth: of the mean's 95% interval; None for one replicate, and for crossed ones, which share seeds: an interval as
    of independent ones would be far too narrow.
    scores: of each replicate on its validation part, by the names of `objectives.SCORES`, in the target's own unit. (In records
    whose `judged_by` lacks a unit, mae is of the normalised target.)
    The rest is about the pairs of replicates (see `examination`), and None where there is none, or where those with data of their
    own can't be compared: aligned, the mean distance after matching, and null, what that is for fresh networks; barrier and
    aligned_barrier, the largest; cka, the mean. finite_test: the share of the variance of the error (rate, or squared) over the
    replicates that is only there because the validation part is small (arXiv:2304.01910). blame: of a crossed cohort.
    majority: of classes, the share of the largest one in the validation part (the mean over the replicates), which is the accuracy
    of whoever knows nothing but the classes; one_class: how many replicates predict the same class for all its rows.
    tested: on the test part, for the winner of a study alone. motion: None where networks aren't followed.
    onward: the replicates trained on, of the winner of a study alone.
    kinds: for a label that has kinds, how many replicates are of which: how they diverged. until_rest: the epochs of each replicate
    that was trained until it rests; empty for others.
    threshold: the probability of the second of two classes above which the networks' mean decides for it; None without.
    judged_by: what the validation loss is a number of (see `dataset.judged_by`); empty in records of earlier versions.
    parameters: the weights of one network; seconds: its share of the time that training took; predict_seconds: of one row, in a
    batch of the validation part; 0 in records of earlier versions.
    Of each replicate: improvements, the interval of what as many epochs as `convergence` judges by would improve further, and
    relative_losses, the training loss; both in units of the trivial loss.
    """

    val_losses: list[float]
    val_loss_mean: float
    val_loss_std: float
    val_loss_halfwidth: float | None
    train_loss_mean: float
    distance: float
    disagreement: float | None
    distinct: int
    labels: dict[str, int]
    scores: dict[str, list[float]] = field(default_factory=dict)
    aligned: float | None = None
    null: float | None = None
    barrier: float | None = None
    aligned_barrier: float | None = None
    cka: float | None = None
    verdict: str | None = None
    reasons: list[str] = field(default_factory=list)
    blame: list[Blame] = field(default_factory=list)
    finite_test: float | None = None
    improvements: list[list[float] | None] = field(default_factory=list)
    relative_losses: list[float] = field(default_factory=list)
    parameters: int = 0
    seconds: float = 0.0
    majority: float | None = None
    one_class: int = 0
    judged_by: dict[str, str] = field(default_factory=dict)
    tested: Tested | None = None
    motion: MotionSummary | None = None
    onward: Onward | None = None
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    until_rest: list[int] = field(default_factory=list)
    threshold: float | None = None
    predict_seconds: float = 0.0

    @property
    def labels_text(self) -> str:
        """The number of replicates with each label of the losses and their kinds, the most frequent first."""
        return ", ".join(self._labels)

    @property
    def brief_labels_text(self) -> str:
        """The most frequent label alone."""
        return f"{self._labels[0]}…" if len(self._labels) > 1 else self.labels_text

    @property
    def _labels(self) -> list[str]:
        return [f"{count} {name}{self._kinds(name)}" for name, count in Counter(self.labels).most_common()]

    def _kinds(self, label: str) -> str:
        kinds = self.kinds.get(label, {})
        texts = list(kinds) if len(kinds) == 1 else [f"{count} {kind}" for kind, count in kinds.items()]
        return f" ({', '.join(texts)})" if texts else ""

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Summary:
        """From what `dataclasses.asdict` and JSON make of it."""
        blame = [Blame.of_plain(plain) for plain in content.get("blame", ())]
        tested = Tested.of_plain(content["tested"]) if content.get("tested") else None
        motion = MotionSummary(**content["motion"]) if content.get("motion") else None
        onward = Onward.of_plain(content["onward"]) if content.get("onward") else None
        # earlier versions gave crossed replicates an interval too
        return cls(
            **{
                **content,
                "blame": blame,
                "tested": tested,
                "motion": motion,
                "onward": onward,
                "val_loss_halfwidth": None if blame else content["val_loss_halfwidth"],
            }
        )


@dataclass(frozen=True)
class Standing:
    """The places where the first few networks of a trial end (see `curvature`), [n] each.

    gradient: what a step along it would gain at least, over the trivial loss; curvature: the smallest over the largest, negative on
    a saddle; stationary, saddles: how many of them are. edge: the largest times the learning rate; above 2, no step of plain
    gradient descent is stable; None unless it was that.
    """

    gradient: list[float]
    curvature: list[float]
    stationary: int
    saddles: int
    edge: list[float] | None


@dataclass(frozen=True)
class Onward:
    """A trial's replicates trained without early stopping, until their weights and functions rest or for `most` epochs.

    trained: each one's epochs; best: the epoch of its lowest validation loss, and best_loss their mean; summary: None where a
    network has diverged, and reason says so. standing: where some of them end, None where that takes too long.
    """

    most: int
    trained: list[int]
    best: list[int]
    best_loss: float | None
    summary: Summary | None
    reason: str = ""
    standing: Standing | None = None

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Onward:
        """From what `dataclasses.asdict` and JSON make of it."""
        standing = Standing(**content["standing"]) if content.get("standing") else None
        summary = Summary.of_plain(content["summary"]) if content["summary"] else None
        return cls(**{**content, "summary": summary, "standing": standing})


@dataclass(frozen=True)
class Completed:
    """state: of a trial that ended so, as in `TrialRecord`."""

    summary: Summary
    state: ClassVar[str] = "complete"


@dataclass(frozen=True)
class Pruned:
    epoch: int
    value: float
    state: ClassVar[str] = "pruned"

    @property
    def reason(self) -> str:
        return f"pruned after {self.epoch} epochs"


@dataclass(frozen=True)
class Failed:
    reason: str
    state: ClassVar[str] = "failed"


Outcome = Completed | Pruned | Failed


@dataclass(frozen=True)
class TrialResult:
    """A job's result for its coordinator. seconds: those of each phase (compile, train, analyse, track)."""

    outcome: Outcome
    run_id: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def summary(self) -> Summary | None:
        return self.outcome.summary if isinstance(self.outcome, Completed) else None

    def __float__(self) -> float:
        """The objective's value, for other sweepers than ours; NaN unless the trial completed."""
        return self.summary.val_loss_mean if self.summary else float("nan")
