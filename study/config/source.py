"""Find the configs that a launch reads: the program's own, and those that Hydra's options name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.resolvers import oc

from study import redaction
from study.config import decode, precedence
from study.config.grammar import VERSION_BASE
from study.config.loader import Loader
from study.errors import BadInput, Fault
from study.settings.spec import KINDS

CONFIG_NAME = "config"
# Hydra keeps one of each in a process
OF_AN_APPLICATION: tuple[type, ...] = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
# the choices that the program ships
STOCK: dict[str, Collection[str]] = {**KINDS, "model": ("mlp",), "training": ("default",), "replicates": ("default",)}


def _variable(name: str, *default: str | None) -> str | None:
    """Resolve `${oc.env:NAME}`, but for secrets: a config is kept in files, databases and pages."""
    if redaction.is_secret(name):
        raise decode.Unresolved([Fault(f"${{oc.env:{name}}}", "a secret, by its name", "a variable that files may keep")])
    return oc.env(name, *default)


@contextmanager
def own_resolvers() -> Iterator[None]:
    """Resolve interpolations by the program's rules in the block, and by those of the caller's program afterwards."""
    before = dict(BaseContainer._resolvers)
    OmegaConf.register_new_resolver("oc.env", _variable, replace=True)
    try:
        yield
    finally:
        BaseContainer._resolvers = before


def config_folder() -> Path:
    """Return conf/: beside this package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir())


@dataclass(frozen=True)
class Source:
    """The config that a launch starts from: Hydra's --config-name, --config-path and --config-dir."""

    name: str = CONFIG_NAME
    path: str | None = None
    folder: str | None = None

    def check(self) -> None:
        """Raise BadInput for folders that don't exist."""
        # Hydra looks for a relative --config-path beside the program
        absolute = self.path if self.path and os.path.isabs(self.path) else None
        folders = {"--config-path": absolute, "--config-dir": self.folder}
        if faults := [Fault(key, path, "a folder of configs") for key, path in folders.items() if path and not os.path.isdir(path)]:
            raise BadInput(faults)

    @contextmanager
    def application(self) -> Iterator[Hydra]:
        """Make this source's Hydra application, and restore what Hydra keeps of the current one, such as a multirun's."""
        kept = Singleton._instances
        running = {kind: kept.pop(kind) for kind in OF_AN_APPLICATION if kind in kept}
        try:
            with own_resolvers():
                setbase(VERSION_BASE)
                search = create_automatic_config_search_path(__file__, None, self.path or str(config_folder()))
                if self.folder:
                    search.prepend("command-line", f"file://{os.path.abspath(self.folder)}", SearchPathQuery(provider="schema"))
                application = Hydra("mlp-study", Loader(search))
                GlobalHydra.instance().initialize(application)
                yield application
        finally:
            for kind in OF_AN_APPLICATION:
                kept.pop(kind, None)
            kept.update(running)


OWN = Source()


def options(config: DictConfig) -> list[str]:
    """Return the Hydra options of a `Source` that launched a config. config: with Hydra's own settings."""
    folders = {entry.provider: entry.path for entry in config.hydra.runtime.config_sources}
    chosen = {
        "--config-path": folders.get("main") if folders.get("main") != str(config_folder()) else None,
        "--config-dir": folders.get("command-line"),
        "--config-name": config.hydra.job.config_name if config.hydra.job.config_name != CONFIG_NAME else None,
    }
    return [word for option, value in chosen.items() if value for word in (option, value)]


def command_line(config: DictConfig) -> tuple[list[str], list[str]]:
    """Return the command line's overrides as written: the trial's settings, and Hydra's own."""
    written = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    assert isinstance(written, dict)
    return list(written["task"]), list(written["hydra"])


def default_settings(section: str) -> dict[str, Any]:
    """Return the settings of a section's default kind, for instance of the default sampler."""
    [choice] = [entry[section] for entry in OmegaConf.load(config_folder() / f"{CONFIG_NAME}.yaml").defaults if section in entry]
    settings = OmegaConf.load(config_folder() / section / f"{choice}.yaml")
    assert isinstance(settings, DictConfig)
    return decode.plain(settings)


def only_stock(loader: ConfigLoader, name: str | None, overrides: Sequence[Override]) -> bool:
    """Return whether these overrides surely read none of the user's files, which may be anywhere, and no experiment.

    The program's other files set nothing outside their section, and `config.yaml` sets no sizes.
    """
    own = {"pkg://hydra.conf", str(config_folder()), f"file://{config_folder()}", "structured://"}
    paths = {element.path for element in loader.get_search_path().get_path()}
    others = any(override.key_or_group.startswith(("experiment", "hydra")) for override in overrides)
    return name == CONFIG_NAME and paths <= own and not others


def settings_in_files(loader: ConfigLoader, name: str | None, lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return the settings of the user's own configs and experiments by plain key, the strongest last.

    A choice of a group in a file counts as the user's setting; the settings of that choice don't.
    """
    _, repository = loader._parse_overrides_and_create_caching_repo(name, list(lines))  # type: ignore[attr-defined]
    defaults = loader.compute_defaults_list(name, list(lines), RunMode.MULTIRUN)
    own, files = f"file://{config_folder()}", []
    for entry in defaults.defaults:
        path = str(entry.config_path)
        group, _, choice = path.rpartition("/")
        if path.partition("/")[0] in ("hydra", "_dummy_empty_config_"):
            continue
        loaded = repository.load_config(path)
        if loaded.path == own and group in STOCK and choice in STOCK[group]:
            if entry.parent != CONFIG_NAME:
                files.append({group: choice})
            continue
        content = OmegaConf.to_container(loaded.config)
        chosen = {key for key, origin in defaults.overrides.override_metadata.items() if origin.containing_config_path == path}
        files.append({key: defaults.overrides.override_choices[key] for key in chosen})
        if isinstance(content, Mapping):
            files[-1] |= dict(precedence.flattened(content, f"{entry.package}." if entry.package else ""))
    return files
