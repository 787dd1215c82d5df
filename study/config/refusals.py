"""Translate Hydra's errors into faults: the key, the value received, and the valid values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from study.config import decode
from study.config.source import config_folder
from study.errors import BadInput, Fault
from study.settings import spec
from study.settings.rules import nearest, suggestion

# ValueError: the choice of a group isn't text, such as null
REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
NUMBERS = {"Integer": "a whole number", "Float": "a number"}

# composes the config of overrides, Hydra's own settings included
Load = Callable[[Sequence[str]], DictConfig]


def fault(error: Exception, override: Override, kept: Sequence[str], load: Load) -> Fault:
    """Return the fault of an override that Hydra refuses beside the `kept` ones."""
    key, line = override.key_or_group, str(override.input_line)
    if override.is_sweep_override():
        return Fault(key, line.partition("=")[2], "one value; to search several, add --multirun (-m)")
    got = line if override.is_delete() else override.value()
    if not key:
        return Fault("an override", line, "key=value")
    if isinstance(error, ValueError):
        return Fault(key, got, nearest(got, sorted(file.stem for file in (config_folder() / key).glob("*.yaml"))))
    if known := bad_input(error, load, kept).faults:
        return Fault(known[0].key, got, known[0].valid)
    reason = _words(error).replace("\n", "; ")
    wanted = re.search(r"could not be converted to (Integer|Float)", reason)
    return Fault(key, got, NUMBERS[wanted[1]] if wanted else f"a value that Hydra accepts ({reason})")


def bad_input(error: Exception, load: Load, kept: Sequence[str] = ()) -> BadInput:
    """Translate an error of Hydra's into BadInput with the nearest match, or with Hydra's own text.

    kept: the overrides that decide which settings exist.
    """
    text = str(error)
    if cause := decode.own_cause(error):
        return cause
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        return BadInput([Fault(group, choice, nearest(choice, sorted(error.options)))])
    if text.startswith("Cannot find primary config") and (folders := re.findall(r"path=file://(.*)", text)):
        return BadInput([Fault("--config-name", getattr(error, "missing_cfg_file", None), f"a config in {' or '.join(folders)}")])
    unknown = re.match(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if unknown:
        key = unknown[1]
        value = re.search(r"use \+[^=]+=(.*)", text)
        try:
            config = load([line for line in kept if line.partition("=")[0] != key])
        except REFUSALS:
            config = load([])
        if text.startswith("Could not delete") and key in decode.texts(config):
            return BadInput([Fault(key, f"~{key}", "a setting that isn't already null")])
        return BadInput([Fault(key, value[1] if value else "no such setting", _settings_like(key, config))])
    return BadInput(_words(error))


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "hydra.cc/docs" not in line]
    return "\n".join(dict.fromkeys([*lines, *str(error.__cause__ or "").splitlines()[:1]]))


def _settings_like(wrong: str, config: DictConfig) -> str:
    """Return the settings of the same section, or else the sections, with the probable setting or kind first."""
    keys = [key for key in decode.texts(config) if not key.startswith("study.") and "._" not in key]
    keys = [key for key in keys if key.startswith("hydra.") == wrong.startswith("hydra.")]
    section = wrong.rpartition(".")[0]
    within = [key for key in keys if section and key.rpartition(".")[0] == section]
    if (kinds := spec.kinds_with(wrong)) and section in config and config[section].name not in kinds:
        names = ", ".join(key for key in within if key != f"{section}.name")
        return f"only with {section}={' or '.join(kinds)}; {section}={config[section].name} has {names}"
    if within:
        return nearest(wrong, within)
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    return suggestion(wrong, [*sections, *keys]) + "a setting of " + ", ".join(sections)
