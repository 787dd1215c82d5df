"""Turn a config that Hydra composed into a `TrialSpec`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from study.errors import BadInput, Fault
from study.settings import model as model_settings
from study.settings import spec
from study.settings.data import AUTO, OF_CLASSES, REGRESSION, UserTable
from study.settings.rules import accepted, optional
from study.settings.spec import TrialSpec

# nodes of the config that don't change what a trial trains
APART = ("tracking", "sampler", "pruner", "study", "hydra")


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain mappings, with interpolations resolved. Raises BadInput for a missing value."""
    try:
        content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if cause := own_cause(error):
            raise cause from error
        raise BadInput([Fault(error.full_key or "config", str(error).splitlines()[0], "a value")]) from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


class Unresolved(BadInput):
    """An interpolation that a resolver of ours refuses."""


def own_cause(error: BaseException) -> BadInput | None:
    """Return the fault that a resolver of ours raised while OmegaConf resolved an interpolation; None for any other error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, Unresolved):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def texts(config: DictConfig) -> dict[str, str]:
    """Return a config's settings as text by dotted name, with interpolations unresolved."""
    return dict(_texts(OmegaConf.to_container(config)))


def _texts(content: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(content, dict):
        yield prefix.rstrip("."), str(content)
        return
    for key, value in content.items():
        yield from _texts(value, f"{prefix}{key}.")


def section(config: DictConfig, key: str) -> dict[str, Any]:
    """Return one node of a config as a plain mapping. Raises BadInput if it is missing."""
    node = config.get(key)
    if not isinstance(node, DictConfig):
        raise BadInput([Fault(key, node, "a mapping of its settings")])
    return plain(node)


def trial_spec(config: DictConfig) -> TrialSpec:
    """Return the trial that a config describes. Raises BadInput with all faults."""
    built = _built(config)
    spec.check_crossed(built)
    return built


def _built(config: DictConfig) -> TrialSpec:
    trained = OmegaConf.masked_copy(config, [str(key) for key in config if key not in APART])
    settings = plain(trained)
    if isinstance(settings.get("model"), dict):
        settings["model"] = with_units(settings["model"])
    data = settings.get("data")
    if isinstance(data, dict) and data.get("name") == UserTable.name:
        settings["data"] = data = _with_names(data)
        if data.get("task") == AUTO:
            return _with_task(settings, data)
    return spec.build(settings)


def _with_names(data: dict[str, Any]) -> dict[str, Any]:
    """Return a table's settings with column names as text, since YAML reads a name such as 2019 as a number."""
    return data | {
        key: list(map(_name, value)) if isinstance(value, list) else _name(value)
        for key, value in data.items()
        if key in ("target", "drop")
    }


def _name(column: object) -> object:
    return str(column) if isinstance(column, int) and not isinstance(column, bool) else column


def _with_task(settings: dict[str, Any], data: dict[str, Any]) -> TrialSpec:
    """Build a trial whose table determines the task. Raises BadInput with the table's faults and all others."""
    from study.data import tables  # pyarrow is slow to load

    faults: list[Fault] = []
    task = REGRESSION
    try:
        of_classes = {key: None for key in OF_CLASSES if key in data}
        table = spec.build({"data": data | of_classes | {"task": REGRESSION}}).data
        assert isinstance(table, UserTable)
        task = tables.resolve_task(table)
    except BadInput as bad:
        faults += bad.faults
        settings = {key: value for key, value in settings.items() if key != "loss"}  # whether it suits the data is unknown
    try:
        built = spec.build(settings | {"data": data | {"task": task}})
    except BadInput as bad:
        faults += [fault for fault in bad.faults if fault not in faults]
    if faults:
        raise BadInput(faults)
    return built


def with_units(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model's settings with `width` and `depth`, which a search varies, turned into `units`.

    A number of units is that of a single hidden layer.
    """
    units, width, depth = (model.get(key) for key in ("units", "width", "depth"))
    if isinstance(units, int) and not isinstance(units, bool) and units > 0:
        model = model | {"units": (units := [units])}
    rest = {key: value for key, value in model.items() if key not in ("width", "depth")}
    if width is None and depth is None:
        return rest
    accepted("model", model, {"width": optional(model_settings.WIDTH), "depth": optional(model_settings.DEPTH)})
    listed = units if isinstance(units, list) and units else [64, 64]
    return rest | {"units": [width if width is not None else listed[0]] * (depth if depth is not None else len(listed))}
