"""Compose configs with Hydra, for one trial or for the settings that a study's trials share, and report all faults at once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from study.config import decode, grammar, precedence, refusals
from study.config.refusals import REFUSALS
from study.config.source import OWN, Source, only_stock, own_resolvers, settings_in_files
from study.errors import BadInput, Fault, collecting
from study.settings.spec import TrialSpec


def compose(overrides: Sequence[str] = ()) -> TrialSpec:
    """Return the trial that a launch with these overrides would train, for instance `["data=digits", "training.epochs=20"]`."""
    with own_resolvers():
        return decode.trial_spec(compose_config(overrides))


def compose_config(lines: Sequence[str], source: Source = OWN) -> DictConfig:
    """Compose a trial's config, without Hydra's own settings. Raises BadInput, with all faults, if it can't be composed."""
    with source.application() as application:
        config = _composed(application.config_loader, source.name, lines)
    with open_dict(config):
        del config["hydra"]
    return config


def compose_launch(application: Hydra, lines: Sequence[str], source: Source) -> DictConfig | None:
    """Compose the config of one trial's launch, with Hydra's own settings; None if `hydra.mode` makes it a study.

    Raises BadInput, with all faults, if it can't be composed.
    """
    try:
        config = _composed(application.config_loader, source.name, lines)
    except BadInput:
        # a study may give a setting several values
        if application.get_mode(source.name, list(lines)) == RunMode.MULTIRUN:
            return None
        raise
    return None if config.hydra.mode == RunMode.MULTIRUN else config


def check_fixed(lines: Sequence[str], source: Source) -> None:
    """Raise BadInput with all faults of a multirun's fixed overrides; Hydra names only the first."""
    compose_config([line for line in lines if not searches(line)], source)


def bad_input(error: Exception) -> BadInput:
    """Translate an error of Hydra's into BadInput, judged by the program's own configs."""
    with OWN.application() as application:
        return refusals.bad_input(error, partial(_loaded, application.config_loader, OWN.name))


def searches(line: str) -> bool:
    """Return True for an override that gives several values or a range."""
    try:
        return any(override.is_sweep_override() for override in grammar.parse([line]))
    except BadInput:
        return False


def _composed(loader: ConfigLoader, name: str, lines: Sequence[str]) -> DictConfig:
    lines = grammar.quote_columns(lines)
    try:
        precedence.check(grammar.parse(lines))
        return _loaded(loader, name, [*lines, *_shape_resets(loader, name, lines)])
    except (BadInput, *REFUSALS) as error:
        if faults := _faults(loader, name, lines):
            raise BadInput(faults) from error
        raise error if isinstance(error, BadInput) else refusals.bad_input(error, partial(_loaded, loader, name)) from error


def _loaded(loader: ConfigLoader, name: str, lines: Sequence[str]) -> DictConfig:
    return loader.load_configuration(name, list(lines), RunMode.RUN, from_shell=False)


def _shape_resets(loader: ConfigLoader, name: str, lines: Sequence[str]) -> list[str]:
    overrides = grammar.parse(lines)
    # looking for files takes as long as composing
    files = [] if only_stock(loader, name, overrides) else settings_in_files(loader, name, lines)
    return precedence.shape_resets([*files, precedence.settings(overrides)])


def _faults(loader: ConfigLoader, name: str, lines: Sequence[str]) -> list[Fault]:
    """Return the faults of each line, and those of the trial that the acceptable lines make together."""
    faults: list[Fault] = []
    parsed = []
    for line in lines:
        with collecting(faults):
            overrides = grammar.parse([line])
            precedence.check(overrides)
            parsed += overrides

    load = partial(_loaded, loader, name)
    kept: list[str] = []
    unknown: set[str] = set()
    # choices of groups first, since they decide which settings exist
    untried = sorted(parsed, key=lambda override: "." in override.key_or_group)
    whole = [str(override.input_line) for override in untried]
    with contextlib.suppress(*REFUSALS):
        load(whole)
        kept, untried = whole, []
    for override in untried:
        key, line = override.key_or_group, str(override.input_line)
        if key.split(".")[0] in unknown:
            continue
        try:
            load([*kept, line])
            kept.append(line)
        except REFUSALS as error:
            faults.append(refusals.fault(error, override, kept, load))
            # the settings of the right choice are unknown, and so is whether a loss suits the data
            unknown |= {key, "loss"} if key == "data" else {key}
            if key == "experiment":
                return faults
    resets: list[str] = []
    with collecting(faults):
        resets = _shape_resets(loader, name, kept)
    of_all: list[Fault] = []
    with collecting(of_all):
        decode.trial_spec(load([*kept, *resets]))
    named = {fault.key for fault in faults}
    return faults + [fault for fault in of_all if fault.key not in named]
