"""The settings of a trial: frozen, hashable, validated.

Every settings class checks its fields when it is constructed. `build` makes a whole `TrialSpec` from nested mappings and reports
all faults at once; `as_mapping` is its inverse. A section with several kinds (optimizer, initializer, …) has one class per kind,
and the kind's registered name under the key `name`; a setting that a kind doesn't have is a fault and never ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from study.errors import BadInput, Fault
from study.settings import data, init, loss, optimizer, schedule
from study.settings.data import Data, Diabetes
from study.settings.init import GlorotUniform, Init
from study.settings.loss import AutoLoss, Loss
from study.settings.model import Model
from study.settings.optimizer import Adam, Optimizer
from study.settings.rules import Kind, SettingsSection, integer, nearest, setting
from study.settings.schedule import ConstantRate, Schedule
from study.settings.training import Replicates, Training
from study.settings.values import Value

KINDS: dict[str, dict[str, type[Kind]]] = {
    "data": data.KINDS,
    "init": init.KINDS,
    "loss": loss.KINDS,
    "optimizer": optimizer.KINDS,
    "schedule": schedule.KINDS,
}
SECTIONS: dict[str, type[SettingsSection]] = {"model": Model, "training": Training, "replicates": Replicates}


@dataclass(frozen=True, repr=False)
class TrialSpec(SettingsSection):
    """Everything that decides a trial's final weights, except the library versions and the machine.

    >>> study.compose(["data=iris", "training.epochs=2"])
    TrialSpec(data=iris, loss=sparse_categorical_crossentropy, training.epochs=2)
    >>> study.compose(["optimizer=sgd", "optimizer.learning_rate=0.1"])
    TrialSpec(optimizer=sgd, optimizer.learning_rate=0.1)
    >>> study.compose(["seed=1"]) == study.TrialSpec(seed=1)
    True
    """

    data: Data = Diabetes()
    model: Model = Model()
    optimizer: Optimizer = Adam()
    schedule: Schedule = ConstantRate()
    loss: Loss = AutoLoss()
    init: Init = GlorotUniform()
    training: Training = Training()
    replicates: Replicates = Replicates()
    seed: int = setting(0, integer(0, 2**32 - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        suitable = [kind for kind in KINDS["loss"].values() if getattr(kind, "task", None) == self.data.task]
        if isinstance(self.loss, AutoLoss):
            object.__setattr__(self, "loss", suitable[0]())
        elif type(self.loss) not in suitable:
            names = ", ".join(["auto", *(kind.name for kind in suitable)])
            raise BadInput([Fault("loss", self.loss.name, f"{names} (data={self.data.name} is {self.data.task})")])

    @property
    def own_data(self) -> bool:
        """True if the settings give each replicate data of its own: a lone one must run the same program as several."""
        return "data" in self.replicates.vary or self._own_noise

    @property
    def per_dataset(self) -> int:
        """Return how many replicates in a row share their data, where the settings give replicates data of their own."""
        return 1 if self._own_noise else self.replicates.per_split

    @property
    def _own_noise(self) -> bool:
        return "noise" in self.replicates.vary and (self.data.feature_noise > 0 or self.data.target_noise > 0)

    def __repr__(self) -> str:
        """Show the settings that differ from the defaults; those of a kind, from that kind's defaults."""
        usual = flat(TrialSpec())
        for section in dataclasses.fields(self):
            kind = getattr(self, section.name)
            if isinstance(kind, Kind):
                usual |= {f"{section.name}.{key}": value for key, value in defaults(type(kind)).items()}
        return f"TrialSpec({', '.join(f'{key}={value}' for key, value in flat(self).items() if usual.get(key) != value)})"


# -- from and to mappings ----------------------------------------------------------------------------------------------------


def build(mapping: Mapping[str, Any]) -> TrialSpec:
    """Return a `TrialSpec` from nested mappings; missing keys take their defaults, or what versions without them acted by.

    Raises BadInput with every fault found, keys in dotted form ('optimizer.learning_rate').
    """
    faults: list[Fault] = []
    kept: dict[str, Any] = {}
    known = [field.name for field in dataclasses.fields(TrialSpec)]
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
        kept.pop("loss", None)  # without the data, its task can't be checked
    try:
        # the seed, and what concerns several sections, are checked even where a section has faults
        spec = TrialSpec(**kept)
    except BadInput as bad:
        faults += bad.faults
    if faults:
        raise BadInput(faults)
    return spec


def _build_section(key: str, content: object) -> SettingsSection:
    if not isinstance(content, Mapping):
        valid = nearest(content, KINDS[key]) if key in KINDS else "a mapping of its settings"
        raise BadInput([Fault(key, content, valid)])
    settings = {str(name): value for name, value in content.items()}
    if key in KINDS:
        kind = settings.pop("name", None)
        if not isinstance(kind, str) or kind not in KINDS[key]:
            raise BadInput([Fault(key, kind, nearest(kind, KINDS[key]))])
        cls: type[SettingsSection] = KINDS[key][kind]
    else:
        cls = SECTIONS[key]
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    faults = [Fault(f"{key}.{name}", settings.pop(name), nearest(name, names)) for name in list(settings) if name not in names]
    settings = _before(cls) | settings
    try:
        section = cls(**settings)
    except BadInput as bad:
        faults += [Fault(f"{key}.{fault.key}", fault.got, fault.valid) for fault in bad.faults]
    if faults:
        raise BadInput(faults)
    return section


def _before(cls: type[SettingsSection]) -> dict[str, Any]:
    """Return the settings that earlier versions lacked, with the values that these versions acted by."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    return {field.name: field.metadata["before"] for field in fields if "before" in field.metadata}


def earlier(kinds: Mapping[str, str]) -> dict[str, Value]:
    """Return the settings that earlier versions lacked, by dotted key, with the values that these versions acted by.

    kinds: the names of the kinds, by section; sections whose kind isn't named are left out.
    """
    named = {key: KINDS[key].get(kinds.get(key, "")) for key in KINDS}
    return {f"{key}.{name}": value for key, cls in (SECTIONS | named).items() if cls for name, value in _before(cls).items()}


def defaults(kind: type[Kind]) -> dict[str, Value]:
    """Return a kind's default settings, as `flat` writes them."""
    usual: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in usual.items()}


def kinds_with(key: str) -> list[str]:
    """Return the kinds of a section that have this setting: sgd and rmsprop for 'optimizer.momentum'."""
    section, _, name = key.partition(".")
    return [kind for kind, cls in KINDS.get(section, {}).items() if name in {field.name for field in dataclasses.fields(cls)}]  # type: ignore[arg-type]


def check_crossed(spec: TrialSpec) -> None:
    """Raise BadInput if a crossed source changes nothing: it would multiply the networks without effect."""
    idle = {
        "noise": ("data.feature_noise and data.target_noise are", spec.data.feature_noise == 0 == spec.data.target_noise),
        "dropout": ("model.dropout is", spec.model.dropout == 0),
    }
    for source, (of, nothing) in idle.items():
        if spec.replicates.crossed and source in spec.replicates.vary and nothing:
            raise BadInput([Fault("replicates.crossed", source, f"sources that change something: {of} 0")])


def as_mapping(spec: TrialSpec) -> dict[str, Any]:
    """Return nested plain mappings such that `build(as_mapping(spec)) == spec`."""
    out: dict[str, Any] = {}
    for section in dataclasses.fields(spec):
        value = getattr(spec, section.name)
        if not isinstance(value, SettingsSection):
            out[section.name] = value
            continue
        settings = {name: list(item) if isinstance(item, tuple) else item for name, item in vars(value).items()}
        out[section.name] = {"name": value.name, **settings} if isinstance(value, Kind) else settings
    return out


def flat(spec: TrialSpec) -> dict[str, Value]:
    """Return the settings by dotted keys, a kind under its section's key ('optimizer': 'adam'), for logs and comparisons."""
    return dict(_flatten(as_mapping(spec)))


def identifying(spec: TrialSpec) -> dict[str, Value]:
    """Return `flat` without settings that earlier versions lacked and that have the values which these versions acted by."""
    settings = flat(spec)
    for section in dataclasses.fields(spec):
        value = getattr(spec, section.name)
        for name, before in _before(type(value)).items() if isinstance(value, SettingsSection) else ():
            if getattr(value, name) == before:
                del settings[f"{section.name}.{name}"]
    return settings


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif key == "name":
            yield prefix.rstrip("."), value
        else:
            yield f"{prefix}{key}", value
