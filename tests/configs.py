"""The program's own config files, each parsed once in a test run: a config is composed of thirty, and some tests compose dozens."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

from study.config.source import config_folder


def source() -> Any:
    """Return Hydra's reader of config files; its plugins are registered with classes of their own."""
    Plugins.instance()
    return SourcesRegistry.instance().resolve("file")


def parsing_once() -> Callable[[Any, str], Any]:
    """In place of the `load_config` of `source`."""
    load, own = source().load_config, str(config_folder())
    parsed: dict[str, bytes] = {}

    def load_config(files: Any, config_path: str) -> Any:
        if files.path != own:
            return load(files, config_path)
        if config_path not in parsed:
            parsed[config_path] = pickle.dumps(load(files, config_path))
        return pickle.loads(parsed[config_path])  # a copy, since Hydra changes what it is given

    return load_config
