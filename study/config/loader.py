"""Compose a config once for each choice of groups, and set the other settings on a copy of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

# the name of the primary config, and the overrides that decide what is cached
Key = tuple[str | None, *tuple[str, ...]]


class Loader(ConfigLoaderImpl):
    """Hydra's loader, for one search path: a further config of the same groups takes 5 ms in place of 100.

    Hydra reads and merges the files of the groups, then sets single settings on the result. The first part depends only on choices
    of groups and on Hydra's own settings, so it is kept. The second part is done anew, by Hydra's own code. What fails is composed
    again by Hydra from the start, so that errors are Hydra's.

    Files are read once in a loader's life, so all trials of a launch are composed from the files that were checked.
    """

    def __init__(self, search: ConfigSearchPath) -> None:
        super().__init__(search)
        self._bases: dict[Key, bytes] = {}  # pickled, since reading them takes a quarter of the time of a copy
        self._repositories: dict[Key, IConfigRepository] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave Hydra's own loader to a worker's process, which composes one config."""
        return _hydras_own, (self.config_search_path, self.repository)

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """Return the choices of a group, which Hydra looks up in a copy of all that it knows; help and completion ask for 100."""
        parsed = OverridesParser.create().parse_overrides(overrides or [])
        return self._repository(config_name, parsed).get_group_options(group_name, results_filter)

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        if run_mode == RunMode.RUN and validate_sweep_overrides:
            try:
                return self._composed(config_name, overrides)
            except Exception:
                pass  # composed below, or refused with Hydra's own words
        return super()._load_configuration_impl(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def _composed(self, name: str | None, lines: Sequence[str]) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(lines))
        self.validate_sweep_overrides_legal(parsed, RunMode.RUN, from_shell=False)
        repository = self._repository(name, parsed)
        deciding = [override for override in parsed if _decides(override, repository)]
        config = self._base(name, deciding)
        self._apply_overrides_to_config([override for override in parsed if override not in deciding], config)

        of_trial = [override for override in parsed if not override.is_hydra_override()]
        config.hydra.overrides.task.extend([override.input_line for override in of_trial])
        config.hydra.overrides.hydra.extend([override.input_line for override in parsed if override.is_hydra_override()])
        named = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(of_trial, named.exclude_keys, named.item_sep, named.kv_sep)
        # these may have changed since the base was composed
        config.hydra.runtime.cwd = os.getcwd()
        with open_dict(config.hydra):
            for key in config.hydra.job.env_copy:
                config.hydra.job.env_set[key] = os.environ[key]
        return config

    def _base(self, name: str | None, deciding: Sequence[Override]) -> DictConfig:
        """Return a copy of the config of these overrides alone, without their lines in Hydra's lists of overrides."""
        key = _key(name, deciding)
        if key not in self._bases:
            base = super()._load_configuration_impl(name, list(key[1:]), RunMode.RUN)
            of_hydra = sum(override.is_hydra_override() for override in deciding)
            for listed, added in ((base.hydra.overrides.hydra, of_hydra), (base.hydra.overrides.task, len(deciding) - of_hydra)):
                del listed[len(listed) - added :]
            OmegaConf.clear_cache(base)  # of the time, which isn't that of later configs
            self._bases[key] = pickle.dumps(base)
        return pickle.loads(self._bases[key])

    def _repository(self, name: str | None, overrides: Sequence[Override]) -> IConfigRepository:
        """Return the files of the search path, to which the primary config and an override of `hydra.searchpath` may add."""
        key = _key(name, [override for override in overrides if override.is_hydra_override()])
        if key not in self._repositories:
            _, self._repositories[key] = self._parse_overrides_and_create_caching_repo(name, list(key[1:]))
        return self._repositories[key]


def _hydras_own(search: ConfigSearchPath, repository: ConfigRepository) -> ConfigLoaderImpl:
    loader = object.__new__(ConfigLoaderImpl)  # whose constructor needs Hydra's plugins, which a worker hasn't found yet
    loader.config_search_path, loader.repository = search, repository
    return loader


def _key(name: str | None, overrides: Sequence[Override]) -> Key:
    return name, *(str(override.input_line) for override in overrides)


def _decides(override: Override, repository: IConfigRepository) -> bool:
    """Return True for a choice of a group, as Hydra distinguishes it from a setting, and for Hydra's own settings.

    These may be anything, such as folders to search, and are the same for all trials of a launch.
    """
    key = override.key_or_group
    if key == "hydra" or override.is_hydra_override():
        return True
    return repository.group_exists(key) and not isinstance(override.value(), dict)
