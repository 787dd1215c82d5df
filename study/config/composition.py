"""Composing a config with Hydra, outside a Hydra application."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core import global_hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from study.config import decode, grammar, precedence
from study.errors import BadInput, Fault, collecting
from study.settings import spec
from study.settings.rules import nearest, suggestion
from study.settings.spec import KINDS, TrialSpec

CONFIG_NAME = "config"
VERSION_BASE = "1.3"
# how Hydra refuses overrides; the ValueError is for a group's choice that is no text, such as null
REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
NUMBERS = {"Integer": "a whole number", "Float": "a number"}
# the choices that come with the program
STOCK: dict[str, Collection[str]] = {**KINDS, "model": ("mlp",), "training": ("default",), "replicates": ("default",)}


@dataclass(frozen=True)
class Source:
    """Which config a launch reads: Hydra's --config-name, --config-path and --config-dir."""

    name: str = CONFIG_NAME
    path: str | None = None
    folder: str | None = None

    def check(self) -> None:
        """Raises BadInput for folders that aren't there."""
        # Hydra looks for a relative --config-path beside the program
        absolute = self.path if self.path and os.path.isabs(self.path) else None
        given = {"--config-path": absolute, "--config-dir": self.folder}
        if faults := [Fault(key, each, "a folder of configs") for key, each in given.items() if each and not os.path.isdir(each)]:
            raise BadInput(faults)

    @contextmanager
    def loader(self) -> Iterator[ConfigLoader]:
        """Hydra's loader of it. Of an application that is running meanwhile, everything is as before afterwards."""
        application = global_hydra.GlobalHydra.instance()
        running = application.hydra  # of a multirun that is being composed, for instance
        application.clear()
        try:
            setbase(VERSION_BASE)
            # as `hydra.main` in `cli` makes it
            search = create_automatic_config_search_path(__file__, None, self.path or str(config_folder()))
            if self.folder:
                search.prepend("command-line", f"file://{os.path.abspath(self.folder)}", SearchPathQuery(provider="schema"))
            yield Hydra.create_main_hydra2("mlp-study", search).config_loader
        finally:
            application.hydra = running


OWN = Source()


def options(config: DictConfig) -> list[str]:
    """Hydra's options that the launch of a config with its settings of Hydra was given as a `Source`."""
    places = {each.provider: each.path for each in config.hydra.runtime.config_sources}
    given = {
        "--config-path": places.get("main") if places.get("main") != str(config_folder()) else None,
        "--config-dir": places.get("command-line"),
        "--config-name": config.hydra.job.config_name if config.hydra.job.config_name != CONFIG_NAME else None,
    }
    return [word for option, value in given.items() if value for word in (option, value)]


def given(config: DictConfig) -> tuple[list[str], list[str]]:
    """The command line's overrides, as they were written, of a config with its settings of Hydra: others, and Hydra's own."""
    written = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    assert isinstance(written, dict)
    return list(written["task"]), list(written["hydra"])


def config_folder() -> Path:
    """conf/ beside this package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir())


def by_default(section: str) -> dict[str, Any]:
    """The settings of a section such as the sampler, if nobody chooses another kind."""
    [choice] = [each[section] for each in OmegaConf.load(config_folder() / f"{CONFIG_NAME}.yaml").defaults if section in each]
    settings = OmegaConf.load(config_folder() / section / f"{choice}.yaml")
    assert isinstance(settings, DictConfig)
    return decode.plain(settings)


def compose_config(lines: Sequence[str], source: Source = OWN) -> DictConfig:
    """The config that a launch with these overrides would get. Raises BadInput, with all faults, if it can't be composed."""
    lines = grammar.named(lines)
    try:
        precedence.check(grammar.parse(lines))
        return _composed([*lines, *shape_resets(lines, source)], source)
    except (BadInput, *REFUSALS) as error:
        if faults := _faults(lines, source):
            raise BadInput(faults) from error
        raise error if isinstance(error, BadInput) else bad_input(error) from error


def mode(lines: Sequence[str], source: Source) -> RunMode | None:
    """What `hydra.mode` says, on the command line or in a config; None where nothing does, or the config can't be composed."""
    try:
        with source.loader() as loader:
            config = loader.load_configuration(source.name, list(lines), RunMode.MULTIRUN, validate_sweep_overrides=False)
    except REFUSALS:
        return None
    found: RunMode | None = config.hydra.mode
    return found


def shape_resets(lines: Sequence[str], source: Source = OWN) -> list[str]:
    """As `precedence.shape_resets`, for a launch of one trial."""
    with source.loader() as loader:
        files = settings_in_files(loader, source.name, lines)
    return precedence.shape_resets([*files, precedence.settings(grammar.parse(lines))])


def settings_in_files(loader: ConfigLoader, name: str | None, lines: Sequence[str]) -> list[dict[str, Any]]:
    """What the user's own configs and each experiment set, by plain keys, the one that takes precedence last.

    A group's choices that come along are no settings of the user's, but to have chosen one in a file is.
    """
    _, repository = loader._parse_overrides_and_create_caching_repo(name, list(lines))  # type: ignore[attr-defined]
    defaults = loader.compute_defaults_list(name, list(lines), RunMode.MULTIRUN)
    own, found = f"file://{config_folder()}", []
    for each in defaults.defaults:
        path = str(each.config_path)
        group, _, choice = path.rpartition("/")
        if path.partition("/")[0] in ("hydra", "_dummy_empty_config_"):
            continue
        loaded = repository.load_config(path)
        if loaded.path == own and group in STOCK and choice in STOCK[group]:
            if each.parent != CONFIG_NAME:
                found.append({group: choice})
            continue
        content = OmegaConf.to_container(loaded.config)
        chosen = {key for key, origin in defaults.overrides.override_metadata.items() if origin.containing_config_path == path}
        found.append({key: defaults.overrides.override_choices[key] for key in chosen})
        if isinstance(content, Mapping):
            found[-1] |= dict(precedence.flattened(content, f"{each.package}." if each.package else ""))
    return found


def check_fixed(lines: Sequence[str], source: Source) -> None:
    """Raises all that a multirun's overrides that search nothing are refused for, of which Hydra only tells the first."""
    compose_config([line for line in lines if not searches(line)], source)


def searches(line: str) -> bool:
    """Whether an override gives several values, or a range."""
    try:
        return any(each.is_sweep_override() for each in grammar.parse([line]))
    except BadInput:
        return False


def _composed(lines: Sequence[str], source: Source = OWN, hydras_own: bool = False) -> DictConfig:
    """hydras_own: with the settings of Hydra itself."""
    with source.loader() as loader:
        config = loader.load_configuration(source.name, list(lines), RunMode.RUN, from_shell=False)
    if not hydras_own:
        with open_dict(config):
            del config["hydra"]
    return config


def _faults(lines: Sequence[str], source: Source) -> list[Fault]:
    """What is wrong with each line, and with the settings that the lines make which Hydra accepts."""
    faults: list[Fault] = []
    given: list[Override] = []
    for line in lines:
        with collecting(faults):
            parsed = grammar.parse([line])
            precedence.check(parsed)
            given += parsed
    kept: list[str] = []
    unknown: set[str] = set()
    # a group's choice first: it decides which settings there are
    for each in sorted(given, key=lambda each: "." in each.key_or_group):
        key, line = each.key_or_group, str(each.input_line)
        if key.split(".")[0] in unknown:
            continue
        try:
            _composed([*kept, line], source)
            kept.append(line)
        except REFUSALS as error:
            faults.append(_fault(error, each, kept, source))
            # what the right choice would have brought along can't be judged, nor a loss without the data
            unknown |= {key, "loss"} if key == "data" else {key}
            if key == "experiment":
                return faults
    resets: list[str] = []
    with collecting(faults):
        resets = shape_resets(kept, source)
    of_all: list[Fault] = []
    with collecting(of_all):
        decode.trial_spec(_composed([*kept, *resets], source))
    told = {fault.key for fault in faults}
    return faults + [fault for fault in of_all if fault.key not in told]


def _fault(error: Exception, override: Override, kept: Sequence[str], source: Source) -> Fault:
    """What Hydra refuses about an override beside those in `kept`."""
    key, line = override.key_or_group, str(override.input_line)
    if override.is_sweep_override():
        return Fault(key, line.partition("=")[2], "one value; to search several, add --multirun (-m)")
    got = line if override.is_delete() else override.value()
    if not key:
        return Fault("an override", line, "key=value")
    if isinstance(error, ValueError):
        return Fault(key, got, nearest(got, sorted(file.stem for file in (config_folder() / key).glob("*.yaml"))))
    known = bad_input(error, kept, lambda lines: _composed(lines, source, hydras_own=True)).faults
    if known:
        return Fault(known[0].key, got, known[0].valid)
    reason = _words(error).replace("\n", "; ")
    wanted = re.search(r"could not be converted to (Integer|Float)", reason)
    return Fault(key, got, NUMBERS[wanted[1]] if wanted else f"what Hydra accepts ({reason})")


def compose(overrides: Sequence[str] = ()) -> TrialSpec:
    """The trial that a launch with these overrides would train, for instance `["data=digits", "training.epochs=20"]`."""
    return decode.trial_spec(compose_config(overrides))


def bad_input(error: Exception, kept: Sequence[str] = (), compose: Callable[[Sequence[str]], DictConfig] | None = None) -> BadInput:
    """Hydra's refusal as a fault of ours, with the nearest match; its own words where it is of another kind.

    kept: the overrides that decide which settings there are; compose: the config that they make.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        return BadInput([Fault(group, choice, nearest(choice, sorted(error.options)))])
    if text.startswith("Cannot find primary config") and (folders := re.findall(r"path=file://(.*)", text)):
        return BadInput([Fault("--config-name", getattr(error, "missing_cfg_file", None), f"a config in {' or '.join(folders)}")])
    unknown = re.match(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if unknown:
        key = unknown[1]
        value = re.search(r"use \+[^=]+=(.*)", text)
        make = compose or (lambda lines: _composed(lines, hydras_own=True))
        try:
            config = make([line for line in kept if line.partition("=")[0] != key])
        except REFUSALS:
            config = make([])
        if text.startswith("Could not delete") and key in dict(flatten(OmegaConf.to_container(config))):
            return BadInput([Fault(key, f"~{key}", "a setting that isn't null already")])
        return BadInput([Fault(key, value[1] if value else "nothing there", _settings_like(key, config))])
    return BadInput(_words(error))


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "hydra.cc/docs" not in line]
    return "\n".join(dict.fromkeys([*lines, *str(error.__cause__ or "").splitlines()[:1]]))


def _settings_like(wrong: str, config: DictConfig) -> str:
    """The settings of the same section, or else the sections, with the setting or the kind that was probably meant."""
    content = OmegaConf.to_container(config)
    keys = [key for key, _ in flatten(content) if not key.startswith("study.") and "._" not in key]
    keys = [key for key in keys if key.startswith("hydra.") == wrong.startswith("hydra.")]
    section = wrong.rpartition(".")[0]
    within = [key for key in keys if section and key.rpartition(".")[0] == section]
    if (kinds := spec.kinds_with(wrong)) and section in config and config[section].name not in kinds:
        names = ", ".join(key for key in within if key != f"{section}.name")
        return f"{section}={' or '.join(kinds)} beside it; with {section}={config[section].name}: {names}"
    if within:
        return nearest(wrong, within)
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    return suggestion(wrong, [*sections, *keys]) + "a setting of " + ", ".join(sections)


def flatten(content: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names, as text."""
    if not isinstance(content, dict):
        yield prefix.rstrip("."), str(content)
        return
    for key, value in content.items():
        yield from flatten(value, f"{prefix}{key}.")
