"""What flows downstream of a `TrialSpec`: data, legs, cohorts, and a trial's outcome. R replicates come first in every shape."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from study.settings.data import BOOTSTRAP
from study.settings.model import BATCH, LAYER
from study.settings.spec import TrialSpec

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Array = npt.NDArray[Any]


STATISTICS = ("mean", "variance")


@dataclass(frozen=True, repr=False)
class Network:
    """A network's parameters by name, or those of R networks with an axis [R] in front of each.

    Layer i has kernel_i [in, out] and bias_i [out]. A hidden layer that is normalised also has scale_i [out]: it computes
    scale · normalised(x @ kernel) + bias, so that Keras' gamma is the scale and its beta the bias. Batch normalisation has the
    running statistics mean_i and variance_i [out] besides.
    """

    parameters: dict[str, Floats]

    @classmethod
    def of_layers(cls, kernels: Sequence[Floats], biases: Sequence[Floats]) -> Network:
        """A network without normalisation."""
        pairs = enumerate(zip(kernels, biases, strict=True))
        return cls({name: array for i, (k, b) in pairs for name, array in ((f"kernel_{i}", k), (f"bias_{i}", b))})

    @classmethod
    def stack(cls, networks: Sequence[Network]) -> Network:
        """R networks of one architecture as one, with the axis [R] in front."""
        return cls({name: np.stack([net.parameters[name] for net in networks]) for name in networks[0].parameters})

    def unstack(self) -> list[Network]:
        """The single networks of a stack."""
        count = len(self.parameters["bias_0"])
        return [Network({name: array[r] for name, array in self.parameters.items()}) for r in range(count)]

    def __repr__(self) -> str:
        stacked = f"{len(self.parameters['bias_0'])} × " if self.parameters["bias_0"].ndim > 1 else ""
        return f"Network({stacked}{self.architecture})"

    @property
    def depth(self) -> int:
        """The number of layers, the output layer included."""
        return sum(name.startswith("kernel_") for name in self.parameters)

    @property
    def kernels(self) -> tuple[Floats, ...]:
        return tuple(self.parameters[f"kernel_{layer}"] for layer in range(self.depth))

    @property
    def biases(self) -> tuple[Floats, ...]:
        return tuple(self.parameters[f"bias_{layer}"] for layer in range(self.depth))

    @property
    def trainable(self) -> dict[str, Floats]:
        """What gradients change: everything but running statistics, in an order that depends on the names alone."""
        return {name: self.parameters[name] for name in sorted(self.parameters) if not name.startswith(STATISTICS)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.parameters.items()}

    @property
    def normalisation(self) -> str | None:
        """As in `settings.model`."""
        return BATCH if "mean_0" in self.parameters else LAYER if "scale_0" in self.parameters else None

    @property
    def architecture(self) -> str:
        """In words, such as `10-128-1` or `10-128-1 with batch normalisation`."""
        sizes = "-".join(str(size) for size in (self.kernels[0].shape[-2], *(kernel.shape[-1] for kernel in self.kernels)))
        return f"{sizes} with {self.normalisation} normalisation" if self.normalisation else sizes


def parameter_shapes(sizes: Sequence[int], normalisation: str | None) -> dict[str, tuple[int, ...]]:
    """The parameters of a single network with layers between `sizes`, in the order of the layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, units) in enumerate(itertools.pairwise(sizes)):
        shapes |= {f"kernel_{layer}": (inputs, units), f"bias_{layer}": (units,)}
        if normalisation and layer < len(sizes) - 2:
            names = ["scale", *STATISTICS] if normalisation == BATCH else ["scale"]
            shapes |= {f"{name}_{layer}": (units,) for name in names}
    return shapes


@dataclass(frozen=True, repr=False)
class Dataset:
    """What the networks see, after splitting and normalisation.

    x: float32 [n, inputs]. y: float32 [n, outputs] for regression, int32 [n] class numbers for classification.
    input_names: a name for each input. target_names: one for each output, which for classification is the class.

    >>> study.load_data(study.compose(["data=iris"]))
    Dataset(120 rows to train on and 30 to validate on, 4 inputs, 3 outputs)
    """

    x_train: Floats
    y_train: Floats | Integers
    x_val: Floats
    y_val: Floats | Integers
    outputs: int
    input_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        rows = f"{len(self.x_train)} rows to train on and {len(self.x_val)} to validate on"
        return f"Dataset({rows}, {self.x_train.shape[1]} inputs, {self.outputs} outputs)"


def shared(datasets: Sequence[Dataset], *parts: str) -> bool:
    """Whether all replicates see the same of these parts, such as `x_val`."""
    others = {id(each): each for each in datasets if each is not datasets[0]}.values()
    return all(np.array_equal(getattr(each, part), getattr(datasets[0], part)) for each in others for part in parts)


@dataclass(frozen=True)
class Leg:
    """One call of the compiled program for the whole cohort.

    Losses and learning rates are [epochs of this leg, R], losses NaN where a replicate has stopped before. `finite` [R] says
    whose parameters and losses are still finite numbers, and `current` [R] is the validation loss of what each has kept so far.
    """

    epochs_done: int
    train_loss: Floats
    val_loss: Floats
    learning_rate: Floats
    finite: npt.NDArray[np.bool_]
    current: Floats


@dataclass(frozen=True, repr=False)
class Cohort:
    """R trained networks of one trial.

    network, and initial before training: parameters with the axis [R] in front.
    train_loss, val_loss: [R, epochs]; the training loss of an epoch is the mean of its batches' losses, as Keras' `fit` reports
    it, and the validation loss is taken after the epoch; both are NaN after a replicate's stop. learning_rate: [R, epochs], at
    each epoch's end. trained: [R] epochs; epoch: [R] the one, from 1, whose weights are kept. predictions:
    [R, n_val, outputs], logits for classification.
    labels: [R] convergence labels (see `convergence`). seeds: source → [R] seeds. width: replicates in a compiled program.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> cohort  # doctest: +ELLIPSIS
    Cohort(2 × 4-4-3, 2 epochs, val loss ...)
    >>> [network.architecture for network in cohort.networks()]
    ['4-4-3', '4-4-3']
    """

    spec: TrialSpec
    initial: Network
    network: Network
    train_loss: Floats
    val_loss: Floats
    learning_rate: Floats
    predictions: Floats
    trained: Integers
    epoch: Integers
    labels: tuple[str, ...]
    seeds: dict[str, list[int]]
    width: int

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        losses = self.final(self.val_loss)
        told = ", ".join(f"{count} {label}" for label, count in Counter(self.labels).items())
        size = f"{len(self)} × {self.network.architecture}, {self.val_loss.shape[1]} epochs"
        return f"Cohort({size}, val loss {losses.min():.4g} to {losses.max():.4g}: {told})"

    def final(self, curve: Floats) -> Floats:
        """A curve's value, [R] of [R, epochs], at the epoch whose weights are kept."""
        return curve[np.arange(len(self)), np.maximum(self.epoch, 1) - 1]

    def networks(self) -> list[Network]:
        """The trained replicates, one by one."""
        return self.network.unstack()

    @property
    def kernels(self) -> tuple[Floats, ...]:
        """[R, in, out] of each layer."""
        return self.network.kernels

    @property
    def biases(self) -> tuple[Floats, ...]:
        """[R, out] of each layer."""
        return self.network.biases

    @property
    def initial_kernels(self) -> tuple[Floats, ...]:
        return self.initial.kernels

    @property
    def initial_biases(self) -> tuple[Floats, ...]:
        return self.initial.biases


@dataclass(frozen=True)
class TrackedNetwork:
    """A replicate as its record in MLflow tells it. predictions: [n_val, outputs]; target as in `Dataset.y_val`.

    config: what `spec.build` makes its trial's spec of; settings: the same as flat text. curves: train_loss and val_loss, each
    [epochs], if they are kept. Of a network that is read from a file, much isn't known: texts are empty, losses NaN, and n_val may
    be 0.
    """

    run_id: str
    name: str
    config: dict[str, Any]
    settings: dict[str, str]
    seeds: dict[str, str]
    fingerprint: str
    label: str
    train_loss: float
    val_loss: float
    network: Network
    predictions: Floats
    target: Floats | Integers
    curves: dict[str, Floats] = field(default_factory=dict)
    study: str = ""

    @property
    def rows(self) -> str:
        """Which of several draws of the data it was validated on; the same for all where each replicate has the same rows."""
        own = self.config.get("data", {}).get("resample") != BOOTSTRAP
        return self.seeds.get("seed.data", "") if own else ""


def same_rows(networks: Sequence[TrackedNetwork]) -> bool:
    """Whether networks were validated on the same rows: of few classes, other rows may have the same targets."""
    first = networks[0]
    return all(each.rows == first.rows and np.array_equal(each.target, first.target) for each in networks)


@dataclass(frozen=True)
class TrackedTrial:
    """What a trial's run keeps: the replicates' numbers, curves [R, epochs], the first one's target, and `examination`'s arrays."""

    numbers: list[int]
    train_loss: Floats
    val_loss: Floats
    target: Floats | Integers
    comparison: dict[str, Array]


@dataclass(frozen=True)
class Portrait:
    """What a picture of R replicates shows: curves [R, epochs], matrices [N, N] of N ≤ R of them, paths [pairs, alphas].

    numbers: the N replicates' numbers; final_loss: [N], of the validation part.
    """

    title: str
    train_loss: Array
    val_loss: Array
    numbers: list[str]
    final_loss: Array
    relative_l2: Doubles
    aligned: Doubles
    null: float
    disagreement: Doubles | None
    kind: str
    alphas: Array | None
    raw_path: Array | None
    aligned_path: Array | None
    path_of: str


@dataclass(frozen=True)
class Blame:
    """Who is to blame for the spread of one quantity over a crossed cohort (see `blame`).

    shares: source, or interaction such as `init × order` → its share of the variance and the ends of its 95 % interval. chaos: the
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


@dataclass(frozen=True)
class Summary:
    """What a completed trial is judged by; plain numbers, so that it survives JSON.

    val_loss_halfwidth: of the mean's 95 % interval; None for one replicate, and for crossed ones, which share seeds: an interval as
    of independent ones would be far too narrow.
    scores: of each replicate on its validation part, what else is asked of it: r2 and mae, or accuracy and auc.
    The rest is about the pairs of replicates (see `examination`), and None where there is none, or where those with data of their
    own can't be compared: aligned, the mean distance after matching, and null, what that is for fresh networks; barrier and
    aligned_barrier, the largest; cka, the mean. finite_test: the share of the variance of the error (rate, or squared) over the
    replicates that is only there because the validation part is small (arXiv:2304.01910). blame: of a crossed cohort.
    majority: of classes, the share of the largest one in the validation part (the mean over the replicates), which is the accuracy
    of whoever knows nothing but the classes; one_class: how many replicates predict the same class for all its rows.
    judged_by: what the validation loss is a number of (see `dataset.judged_by`); empty in records of earlier versions.
    parameters: the weights of one network; seconds: its share of the time that training took.
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

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Summary:
        """From what `dataclasses.asdict` and JSON make of it."""
        blame = [Blame.of_plain(each) for each in content.get("blame", ())]
        # earlier versions gave crossed replicates an interval too
        return cls(**{**content, "blame": blame, "val_loss_halfwidth": None if blame else content["val_loss_halfwidth"]})


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
    """What a job gives back to its coordinator. `seconds` says where the time went: compile, train, analyse, track."""

    outcome: Outcome
    run_id: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def summary(self) -> Summary | None:
        return self.outcome.summary if isinstance(self.outcome, Completed) else None

    def __float__(self) -> float:
        """The objective's value, for other sweepers than ours; NaN unless the trial completed."""
        return self.summary.val_loss_mean if self.summary else float("nan")


Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Asked:
    """A trial to run: its number, the value of every sampled setting, and how often it has been tried with this time."""

    number: int
    params: dict[str, Scalar]
    attempt: int = 1


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study's storage tells it. state: 'complete', 'pruned', 'failed', 'running' or 'waiting'.

    values: of the study's objectives, if it has any.
    """

    number: int
    state: str
    params: dict[str, Scalar]
    values: list[float]
    summary: Summary | None
    reason: str | None
    run_id: str | None
    seconds: dict[str, float]

    @property
    def value(self) -> float | None:
        """The first objective's."""
        return self.values[0] if self.values else None
