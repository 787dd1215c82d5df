"""Composing a config with Hydra, outside a Hydra application."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from study import decode, overrides
from study.errors import BadInput, Fault, collecting
from study.settings.rules import nearest, suggestion
from study.spec import TrialSpec

CONFIG_NAME = "config"
VERSION_BASE = "1.3"
# how Hydra refuses overrides; the ValueError is for a group's choice that is no text, such as null
REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
NUMBERS = {"Integer": "a whole number", "Float": "a number"}


def config_folder() -> Path:
    """conf/ beside this package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir())


def compose_config(lines: Sequence[str]) -> DictConfig:
    """The config that a launch with these overrides would get. Raises BadInput, with all faults, if it can't be composed."""
    try:
        return _composed(lines)
    except REFUSALS as error:
        faults = _faults(lines)
        raise (BadInput(faults) if faults else bad_input(error)) from error


def check_fixed(lines: Sequence[str]) -> None:
    """Raises all that a multirun's overrides that search nothing are refused for, of which Hydra only tells the first."""
    compose_config([line for line in lines if not _searches(line)])


def _searches(line: str) -> bool:
    try:
        return any(each.is_sweep_override() for each in overrides.parse([line]))
    except BadInput:
        return False


def _composed(lines: Sequence[str], hydras_own: bool = False) -> DictConfig:
    """hydras_own: with the settings of Hydra itself."""
    running = GlobalHydra.instance().hydra  # of a multirun that is being composed, for instance
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base=VERSION_BASE):
            return hydra_compose(CONFIG_NAME, list(lines), return_hydra_config=hydras_own)
    finally:
        GlobalHydra.instance().hydra = running


def _faults(lines: Sequence[str]) -> list[Fault]:
    """What is wrong with each line, and with the settings that the lines make which Hydra accepts."""
    faults: list[Fault] = []
    given: list[Override] = []
    for line in lines:
        with collecting(faults):
            given += overrides.parse([line])
    kept: list[str] = []
    unknown: set[str] = set()
    # a group's choice first: it decides which settings there are
    for each in sorted(given, key=lambda each: "." in each.key_or_group):
        key, line = each.key_or_group, str(each.input_line)
        if key.split(".")[0] in unknown:
            continue
        try:
            _composed([*kept, line])
            kept.append(line)
        except REFUSALS as error:
            faults.append(_fault(error, each, kept))
            # what the right choice would have brought along can't be judged, nor a loss without the data
            unknown |= {key, "loss"} if key == "data" else {key}
            if key == "experiment":
                return faults
    with collecting(faults):
        decode.trial_spec(_composed(kept))
    return faults


def _fault(error: Exception, override: Override, kept: Sequence[str]) -> Fault:
    """What Hydra refuses about an override beside those in `kept`."""
    key, line = override.key_or_group, str(override.input_line)
    if override.is_sweep_override():
        return Fault(key, line.partition("=")[2], "one value; to search several, add --multirun (-m)")
    got = line if override.is_delete() else override.value()
    if not key:
        return Fault("an override", line, "key=value")
    if isinstance(error, ValueError):
        return Fault(key, got, nearest(got, sorted(file.stem for file in (config_folder() / key).glob("*.yaml"))))
    known = bad_input(error, kept).faults
    if known:
        return Fault(known[0].key, got, known[0].valid)
    reason = _words(error).replace("\n", "; ")
    wanted = re.search(r"could not be converted to (Integer|Float)", reason)
    return Fault(key, got, NUMBERS[wanted[1]] if wanted else f"what Hydra accepts ({reason})")


def compose(overrides: Sequence[str] = ()) -> TrialSpec:
    """The trial that a launch with these overrides would train, for instance `["data=digits", "training.epochs=20"]`."""
    return decode.trial_spec(compose_config(overrides))


def bad_input(error: Exception, kept: Sequence[str] = ()) -> BadInput:
    """Hydra's refusal as a fault of ours, with the nearest match; its own words where it is of another kind.

    kept: the overrides that decide which settings there are.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        return BadInput([Fault(group, choice, nearest(choice, sorted(error.options)))])
    unknown = re.match(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if unknown:
        value = re.search(r"use \+[^=]+=(.*)", text)
        return BadInput([Fault(unknown[1], value[1] if value else "nothing there", _settings_like(unknown[1], kept))])
    return BadInput(_words(error))


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "hydra.cc/docs" not in line]
    return "\n".join(dict.fromkeys([*lines, *str(error.__cause__ or "").splitlines()[:1]]))


def _settings_like(wrong: str, kept: Sequence[str]) -> str:
    """The settings of the same section, or else the sections, with the setting that was probably meant."""
    composed = _composed(kept, hydras_own=wrong.startswith("hydra."))
    keys = [key for key, _ in flatten(OmegaConf.to_container(composed)) if not key.startswith("study.") and "._" not in key]
    section = wrong.rpartition(".")[0]
    if within := [key for key in keys if section and key.rpartition(".")[0] == section]:
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
