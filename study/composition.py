"""Composing a config with Hydra, outside a Hydra application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from study import decode
from study.errors import BadInput
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
        raise BadInput(explain(error)) from error


def compose(overrides: Sequence[str] = ()) -> TrialSpec:
    """The trial that a launch with these overrides would train, for instance `["data=digits", "training.epochs=20"]`."""
    return decode.trial_spec(compose_config(overrides))


def explain(error: Exception) -> str:
    """Hydra's message without its advice on Hydra's own options."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = [line.strip() for line in str(error.__cause__ or "").splitlines()[:1]]
    return "\n".join(dict.fromkeys([*lines, *cause]))
