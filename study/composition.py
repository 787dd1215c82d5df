"""Composing a config with Hydra, outside a Hydra application."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from study import decode
from study.errors import BadInput, Fault
from study.settings.rules import nearest
from study.spec import TrialSpec

CONFIG_NAME = "config"
VERSION_BASE = "1.3"


def config_folder() -> Path:
    """conf/ beside this package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir())


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The config that a launch with these overrides would get. Raises BadInput if it can't be composed."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base=VERSION_BASE):
            return hydra_compose(CONFIG_NAME, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise bad_input(error) from error


def compose(overrides: Sequence[str] = ()) -> TrialSpec:
    """The trial that a launch with these overrides would train, for instance `["data=digits", "training.epochs=20"]`."""
    return decode.trial_spec(compose_config(overrides))


def bad_input(error: Exception) -> BadInput:
    """Hydra's refusal as a fault of ours, with the nearest match; its own words where it is of another kind."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        return BadInput([Fault(group, choice, nearest(choice, sorted(error.options)))])
    unknown = re.match(r"Could not override '([^']+)'", str(error))
    if unknown:
        key = unknown[1]
        return BadInput([Fault(key, "a setting that doesn't exist", nearest(key, _keys(key)))])
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "hydra.cc/docs" not in line]
    return BadInput("\n".join(dict.fromkeys([*lines, *str(error.__cause__ or "").splitlines()[:1]])))


def _keys(wrong: str) -> list[str]:
    """The default config's keys: all those of the same section, or else of all sections."""
    keys = [key for key in _flatten(OmegaConf.to_container(compose_config([]))) if not key.startswith("study.")]
    section = wrong.rpartition(".")[0]
    return [key for key in keys if key.rpartition(".")[0] == section and section] or keys


def _flatten(content: object, prefix: str = "") -> Iterator[str]:
    if not isinstance(content, dict):
        yield prefix.rstrip(".")
        return
    for key, value in content.items():
        yield from _flatten(value, f"{prefix}{key}.")
