"""What a trial trains: frozen, hashable, validated settings.

Every settings class checks its fields when it is constructed. `build` makes a whole `TrialSpec` from nested mappings and tells
all faults at once, and `as_mapping` is its inverse. A section that comes in kinds (optimizer, initializer, …) has one class a
kind, and the kind's registered name under the key `name`; a setting that a kind doesn't have is a fault, never ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from study.errors import BadInput, Fault
from study.seeds import SOURCES

T = TypeVar("T")


# -- rules: what a field accepts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """`accept` returns the value to keep or raises ValueError; `valid` says in words what it accepts."""

    valid: str
    accept: Callable[[Any], Any]


def _setting(default: T, rule: Rule) -> T:
    return field(default=default, metadata={"rule": rule})


FLOAT32_MAX = 3.4e38


def number(low: float, high: float = FLOAT32_MAX, *, above: bool = False, below: bool = False) -> Rule:
    """A number in [low, high] that single precision holds; `above` and `below` leave out the end."""

    def accept(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ValueError
        if value < low or value > high or (above and value == low) or (below and value == high):
            raise ValueError
        return float(value)

    lower = f"{'>' if above else '>='} {low:g}"
    upper = "" if high == FLOAT32_MAX else f" and {'<' if below else '<='} {high:g}"
    return Rule(f"a finite number {lower}{upper}", accept)


def integer(low: int, high: int) -> Rule:
    def accept(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(f"a whole number from {low} to {high}", accept)


def _accept_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


FLAG = Rule("true or false", _accept_flag)


def one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)

    def accept(value: object) -> str:
        if value not in known:
            raise ValueError
        return str(value)

    return Rule(", ".join(known), accept)


def listing(element: Rule, *, at_least: int, distinct: bool = False) -> Rule:
    """A sequence of values of one rule, kept as a tuple."""

    def accept(value: object) -> tuple[object, ...]:
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise ValueError
        kept = tuple(element.accept(item) for item in value)
        if len(kept) < at_least or (distinct and len(set(kept)) < len(kept)):
            raise ValueError
        return kept

    kind = "a list that isn't empty" if at_least else "a list, or []"
    return Rule(f"{kind}, of: {element.valid}{', each once' if distinct else ''}", accept)


def nearest(name: object, names: Iterable[str]) -> str:
    """The valid names in words, the nearest match first where there is one."""
    known = list(names)
    close = difflib.get_close_matches(str(name), known, n=1)
    return (f"did you mean {close[0]}? " if close else "") + ", ".join(known)


class Section:
    """Base of the settings classes: checks every field against its rule at construction."""

    def __post_init__(self) -> None:
        faults = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            rule = each.metadata.get("rule")
            if rule is None:
                continue
            value = getattr(self, each.name)
            try:
                object.__setattr__(self, each.name, rule.accept(value))
            except ValueError:
                faults.append(Fault(each.name, value, rule.valid))
        if faults:
            raise BadInput(faults)


class Kind(Section):
    """Base of a section that comes in kinds; `name` is the kind's registered name."""

    name: ClassVar[str]


# -- data --------------------------------------------------------------------------------------------------------------------

REGRESSION, CLASSIFICATION = "regression", "classification"


@dataclass(frozen=True)
class Data(Kind):
    """Rows are split once, then inputs (and a regression's target) are normalised by the training part's mean and SD."""

    validation_fraction: float = _setting(0.2, number(0, 1, above=True, below=True))
    task: ClassVar[str]


@dataclass(frozen=True)
class Diabetes(Data):
    name = "diabetes"
    task = REGRESSION


@dataclass(frozen=True)
class Digits(Data):
    name = "digits"
    task = CLASSIFICATION


# -- model, initialisation, loss ---------------------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "tanh")
WIDTH, DEPTH = integer(1, 65_536), integer(1, 100)


@dataclass(frozen=True)
class Model(Section):
    """A multilayer perceptron: the hidden layers' sizes and their activation. The output layer is linear (logits)."""

    units: tuple[int, ...] = _setting((64, 64), listing(WIDTH, at_least=1))
    activation: str = _setting("relu", one_of(ACTIVATIONS))


class Init(Kind):
    """How the kernels start; biases start at zero, as in Keras."""


@dataclass(frozen=True)
class GlorotUniform(Init):
    name = "glorot_uniform"


@dataclass(frozen=True)
class HeNormal(Init):
    name = "he_normal"


@dataclass(frozen=True)
class RandomNormal(Init):
    name = "random_normal"
    mean: float = _setting(0.0, number(-1e6, 1e6))
    stddev: float = _setting(0.05, number(0, 1e6))


@dataclass(frozen=True)
class Zeros(Init):
    name = "zeros"


class Loss(Kind):
    """What training minimises, averaged over the batch."""

    task: ClassVar[str]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    name = "mse"
    task = REGRESSION


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    name = "sparse_categorical_crossentropy"
    task = CLASSIFICATION


@dataclass(frozen=True)
class AutoLoss(Loss):
    """mse for regression, sparse categorical cross-entropy for classification; resolved when a `TrialSpec` is made."""

    name = "auto"


# -- optimizer and schedule --------------------------------------------------------------------------------------------------


# single precision rounds a larger decay to 1 and a smaller epsilon, squared or not, to 0
DECAY, EPSILON = number(0, 0.999999), number(1e-30)


@dataclass(frozen=True)
class Optimizer(Kind):
    """Update rules and defaults are Keras'. `weight_decay` is decoupled: w -= learning_rate · weight_decay · w at each step."""

    learning_rate: float = _setting(0.001, number(0, above=True))
    weight_decay: float = _setting(0.0, number(0))


@dataclass(frozen=True)
class SGD(Optimizer):
    name = "sgd"
    learning_rate: float = _setting(0.01, number(0, above=True))
    momentum: float = _setting(0.0, number(0, 1))
    nesterov: bool = _setting(False, FLAG)


@dataclass(frozen=True)
class Adam(Optimizer):
    name = "adam"
    beta_1: float = _setting(0.9, DECAY)
    beta_2: float = _setting(0.999, DECAY)
    epsilon: float = _setting(1e-7, EPSILON)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    name = "rmsprop"
    rho: float = _setting(0.9, DECAY)
    momentum: float = _setting(0.0, number(0, 1))
    epsilon: float = _setting(1e-7, EPSILON)


class Schedule(Kind):
    """How the learning rate moves from step to step."""


@dataclass(frozen=True)
class Constant(Schedule):
    name = "constant"


# -- training and replicates -------------------------------------------------------------------------------------------------

VARIABLE_SOURCES = ("init", "order")


@dataclass(frozen=True)
class Training(Section):
    """`leg_epochs` epochs run in one call of the compiled program; it never changes a result."""

    epochs: int = _setting(100, integer(1, 1_000_000))
    batch_size: int = _setting(32, integer(1, 1_000_000_000))
    leg_epochs: int = _setting(20, integer(1, 1_000))


@dataclass(frozen=True)
class Replicates(Section):
    """Replicates `first` … `first + count - 1` of the trial; the sources in `vary` differ between them, the others are shared."""

    count: int = _setting(8, integer(1, 100_000))
    vary: tuple[str, ...] = _setting(VARIABLE_SOURCES, listing(one_of(VARIABLE_SOURCES), at_least=0, distinct=True))
    first: int = _setting(0, integer(0, 1_000_000_000))


def _registry(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    return {kind.name: kind for kind in kinds}


KINDS: dict[str, dict[str, type[Kind]]] = {
    "data": _registry(Diabetes, Digits),
    "init": _registry(GlorotUniform, HeNormal, RandomNormal, Zeros),
    "loss": _registry(AutoLoss, MeanSquaredError, SparseCategoricalCrossentropy),
    "optimizer": _registry(Adam, SGD, RMSprop),
    "schedule": _registry(Constant),
}
SECTIONS: dict[str, type[Section]] = {"model": Model, "training": Training, "replicates": Replicates}


@dataclass(frozen=True)
class TrialSpec(Section):
    """Everything that decides a trial's final weights, except the library versions and the machine."""

    data: Data = Diabetes()
    model: Model = Model()
    optimizer: Optimizer = Adam()
    schedule: Schedule = Constant()
    loss: Loss = AutoLoss()
    init: Init = GlorotUniform()
    training: Training = Training()
    replicates: Replicates = Replicates()
    seed: int = _setting(0, integer(0, 2**32 - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        suitable = [kind for kind in KINDS["loss"].values() if getattr(kind, "task", None) == self.data.task]
        if isinstance(self.loss, AutoLoss):
            object.__setattr__(self, "loss", suitable[0]())
        elif type(self.loss) not in suitable:
            names = ", ".join(["auto", *(kind.name for kind in suitable)])
            raise BadInput([Fault("loss", self.loss.name, f"{names} (data={self.data.name} is {self.data.task})")])


# -- from and to mappings ----------------------------------------------------------------------------------------------------


def build(mapping: Mapping[str, Any]) -> TrialSpec:
    """A `TrialSpec` from nested mappings; a key left out takes its default.

    Raises BadInput with every fault found, keys in dotted form ('optimizer.learning_rate').
    """
    faults: list[Fault] = []
    kept: dict[str, Any] = {}
    known = [each.name for each in dataclasses.fields(TrialSpec)]
    faults += [Fault(str(key), mapping[key], nearest(key, known)) for key in mapping if key not in known]
    for key in known:
        if key not in mapping:
            continue
        if key == "seed":
            kept[key] = mapping[key]
            continue
        try:
            kept[key] = _build_section(key, mapping[key])
        except BadInput as bad:
            faults += bad.faults
    if "data" in mapping and "data" not in kept:
        kept.pop("loss", None)  # whether it suits the data is unknown
    try:
        # the seed and what concerns several sections are judged even where a section is at fault
        spec = TrialSpec(**kept)
    except BadInput as bad:
        faults += bad.faults
    if faults:
        raise BadInput(faults)
    return spec


def _build_section(key: str, content: object) -> Section:
    if not isinstance(content, Mapping):
        valid = nearest(content, KINDS[key]) if key in KINDS else "a mapping of its settings"
        raise BadInput([Fault(key, content, valid)])
    settings = {str(name): value for name, value in content.items()}
    if key in KINDS:
        kind = settings.pop("name", None)
        if not isinstance(kind, str) or kind not in KINDS[key]:
            raise BadInput([Fault(key, kind, nearest(kind, KINDS[key]))])
        cls: type[Section] = KINDS[key][kind]
    else:
        cls = SECTIONS[key]
    names = [each.name for each in dataclasses.fields(cls)]  # type: ignore[arg-type]
    faults = [Fault(f"{key}.{name}", settings.pop(name), nearest(name, names)) for name in list(settings) if name not in names]
    try:
        section = cls(**settings)
    except BadInput as bad:
        faults += [Fault(f"{key}.{fault.key}", fault.got, fault.valid) for fault in bad.faults]
    if faults:
        raise BadInput(faults)
    return section


def as_mapping(spec: TrialSpec) -> dict[str, Any]:
    """Nested plain mappings, such that `build(as_mapping(spec)) == spec`."""
    out: dict[str, Any] = {}
    for each in dataclasses.fields(spec):
        value = getattr(spec, each.name)
        if not isinstance(value, Section):
            out[each.name] = value
            continue
        settings = {name: list(item) if isinstance(item, tuple) else item for name, item in vars(value).items()}
        out[each.name] = {"name": value.name, **settings} if isinstance(value, Kind) else settings
    return out


def flat(spec: TrialSpec) -> dict[str, str]:
    """The settings as dotted text, a kind under its section's key ('optimizer': 'adam'): what is logged and compared."""
    return dict(_flatten(as_mapping(spec)))


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif key == "name":
            yield prefix.rstrip("."), str(value)
        else:
            yield f"{prefix}{key}", str(value)


assert set(VARIABLE_SOURCES) <= set(SOURCES)
