"""Validate a search space before its first trial: every choice and both ends of every interval must make a valid trial."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from omegaconf import DictConfig

from study.config import decode, overrides
from study.data import dataset
from study.errors import BadInput, Fault
from study.records.arrays import Scalar
from study.reporting import terminal
from study.runner import memory
from study.search import space as spaces
from study.search.space import Choice, Space
from study.settings import spec as specs
from study.settings.spec import TrialSpec
from study.tracking import warm_start

# composes a trial's config from overrides
Compose = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class ComposedTrials:
    """Composes trials from settings of a space and the fixed overrides, each once.

    uri: the store of the run that `init.same_as` may name. processes: of this machine that train at once.
    """

    fixed: Sequence[str]
    compose: Compose
    uri: str
    processes: int = 1
    _validated: dict[tuple[str, ...], TrialSpec] = field(default_factory=dict, repr=False, compare=False)

    def config(self, params: Mapping[str, Scalar], space: Space) -> DictConfig:
        return self.compose([*self.fixed, *overrides.assignments(params, space)])

    def settings(self, params: Mapping[str, Scalar], space: Space) -> TrialSpec:
        """Return the trial with these settings, whose data needn't exist. Raises BadInput for invalid settings."""
        return decode.trial_spec(self.config(params, space))

    def spec(self, params: Mapping[str, Scalar], space: Space) -> TrialSpec:
        """Return the trial with these settings. Raises BadInput if it can't be trained."""
        key = tuple(overrides.assignments(params, space))
        if key not in self._validated:
            spec = self.settings(params, space)
            data = dataset.load_data(spec)
            memory.check(spec, data, self.processes)
            warm_start.load(spec, data, self.uri)
            self._validated[key] = spec
        return self._validated[key]


def narrow(space: Space, trials: ComposedTrials) -> Space:
    """Return the space without choices that are invalid with the fixed settings and the first values of the others.

    A setting without any valid choice stays unchanged, since the fault is elsewhere.
    """
    for key, domain in space.items():
        if isinstance(domain, Choice):
            values = tuple(value for value in domain.values if _possible(spaces.example(space, key, value), space, trials))
            if values and values != domain.values:
                left_out = [spaces.text(value) for value in domain.values if value not in values]
                terminal.message(f"left out of the default search, since other settings exclude it: {key}={','.join(left_out)}")
                space = {**space, key: replace(domain, values=values)}
    return space


def _possible(params: Mapping[str, Scalar], space: Space, trials: ComposedTrials) -> bool:
    try:
        return bool(trials.spec(params, space))
    except BadInput:
        return False


def check_settings(space: Space, trials: ComposedTrials, choices: Mapping[str, str]) -> None:
    """Raise BadInput with the faults that `check_space` finds in settings alone, since loading data takes a second or more."""
    unknown = _unknown(space, trials, choices)
    rest = {key: domain for key, domain in space.items() if not unknown.keys() & {key, *(other.key for other in domain.when)}}
    _check(rest, trials, choices, trials.settings, list(unknown.values()))


def check_space(space: Space, trials: ComposedTrials, choices: Mapping[str, str] | None = None) -> list[TrialSpec]:
    """Return a trial for every choice and both ends of every interval, with the first values of the others.

    choices: those of the groups that aren't searched. Raises BadInput with all faults.
    """
    return _check(space, trials, choices or {}, trials.spec)


def _check(
    space: Space,
    trials: ComposedTrials,
    choices: Mapping[str, str],
    make: Callable[[Mapping[str, Scalar], Space], TrialSpec],
    known: Sequence[Fault] = (),
) -> list[TrialSpec]:
    """Do as `check_space` says, with trials from `make`. known: faults that are known already."""
    validated: list[TrialSpec] = []
    faults, of_other_kinds = list(known), list[Fault]()
    examples = [spaces.example(space), *(spaces.example(space, key, value) for key in space for value in space[key].samples())]
    for params in {tuple(params.items()): params for params in examples}.values():
        try:
            validated.append(make(params, space))
        except BadInput as bad:
            for fault in bad.faults or [Fault("search space", ", ".join(overrides.assignments(params, space)), str(bad))]:
                kinds = specs.kinds_with(fault.key)
                if kinds and {**choices, **params}.get(fault.key.partition(".")[0]) not in kinds:
                    of_other_kinds.append(_other_kinds_fault(fault, kinds, space, trials.fixed))
                else:
                    faults.append(fault)
    # a value that is invalid with every kind comes first
    wrong = {fault.key for fault in faults}
    faults += [fault for fault in of_other_kinds if fault.key not in wrong]
    if faults:
        raise BadInput({str(fault): fault for fault in faults}.values())
    return validated


def _unknown(space: Space, trials: ComposedTrials, choices: Mapping[str, str]) -> dict[str, Fault]:
    """Return the faults of the keys that are no settings, by key. A whole trial with them is refused for the first alone."""
    try:
        trials.config(spaces.example(space), space)
    except BadInput:
        pass
    else:
        return {}
    faults = {}
    for key, domain in space.items():
        if key in choices or specs.kinds_with(key):
            continue
        refused: list[Fault] = []
        for value in domain.samples():
            try:
                trials.config({key: value}, space)
            except BadInput as bad:
                refused += [fault for fault in bad.faults if fault.key == key][:1]
        # what is refused for its value may have one that is valid
        if len(refused) == len(domain.samples()) and len({fault.valid for fault in refused}) == 1:
            faults[key] = Fault(key, str(domain), refused[0].valid)
    return faults


def _other_kinds_fault(fault: Fault, kinds: Sequence[str], space: Space, fixed: Sequence[str]) -> Fault:
    """Return the fault of a setting that only `kinds` of its section have, with an override that sets it for these alone."""
    section = fault.key.partition(".")[0]
    searched, domain = space.get(section), space.get(fault.key) or overrides.fixed_value(fault.key, fixed)
    having = [value for value in map(spaces.text, searched.samples() if searched else ()) if value in kinds]
    got = fault.got if domain is None else str(domain) if fault.key in space else domain.samples()[0]
    if not having or domain is None:
        return Fault(fault.key, got, f"only with {section}={' or '.join(having or kinds)}")
    text = overrides.with_condition(domain, section, having)
    return Fault(fault.key, got, f"only with {' and '.join(having)}: {shlex.quote(text)}")
