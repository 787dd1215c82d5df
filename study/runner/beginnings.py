"""Decide what a new study begins with: the default setting, settings of the user's, and the trials of another study."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from study.config import decode, overrides, precedence
from study.config.precedence import DEPTH, UNITS, WIDTH
from study.errors import BadInput, Fault
from study.records.arrays import Scalar
from study.records.trial import TrialRecord
from study.reporting import report, study_results
from study.runner.validation import ComposedTrials
from study.search import space as spaces
from study.search.beginning import Beginning
from study.search.space import Space
from study.settings import rules
from study.settings import spec as specs
from study.settings.values import Value, as_text, as_texts
from study.statistics.objectives import Objective

TRY, FROM = "hydra.sweeper.try", "hydra.sweeper.from"
BEST = 4  # settings of another study that are tried first
ABSENT = object()
# Optuna's others learn only from trials that they have sampled themselves, or not at all
LEARN_FROM_ALL = ("tpe", "gp")
SHAPE = {UNITS, WIDTH, DEPTH}


@dataclass(frozen=True)
class Wanted:
    """A launch's wishes for its study's beginning. given: settings as the user wrote them, by key; source: a study, or ""."""

    given: tuple[Mapping[str, Any], ...] = ()
    source: str = ""

    @property
    def identity(self) -> dict[str, Value]:
        """The part of a study's identity."""
        tried: dict[str, Value] = {TRY: json.dumps(self.given, sort_keys=True)} if self.given else {}
        return {**tried, FROM: self.source} if self.source else tried


def wanted(settings: Mapping[str, Any]) -> Wanted:
    """Return what the sweeper's settings ask for. Raises BadInput for values of another form."""
    given, source = settings["try"], settings["from"]
    if OmegaConf.is_config(given):
        given = OmegaConf.to_container(given)
    faults = []
    if not (given is None or (isinstance(given, list) and all(isinstance(one, dict) and one for one in given))):
        faults.append(Fault(TRY, given, "a list of mappings of searched settings, such as [{optimizer.learning_rate: 0.01}]"))
    try:
        rules.optional(rules.STUDY_NAME).accept(source)
    except ValueError:
        faults.append(Fault(FROM, source, f"the name of a study: {rules.STUDY_NAME.valid}"))
    if faults:
        raise BadInput(faults)
    return Wanted(tuple(dict(precedence.flattened(one)) for one in given or ()), source or "")


@dataclass(frozen=True)
class NewStudy:
    """A checked study that is to begin. identity: its fixed settings; sampler: its kind; sampled: False for a grid."""

    trials: ComposedTrials
    space: Space
    identity: Mapping[str, Value]
    objectives: Sequence[Objective]
    storage: str
    sampler: str
    sampled: bool


def begin(asked: Wanted, new: NewStudy) -> tuple[Beginning, list[str]]:
    """Return the beginning of a new study, and lines that describe it.

    Raises BadInput for settings outside the space, and for an unknown study to begin from.
    """
    lines, default, outside = [], None, ""
    try:
        default = _complete({}, new.trials, new.space)
    except BadInput as bad:
        outside = "; ".join(f"{fault.key} is {fault.got}, and the search has {fault.valid}" for fault in bad.faults) or str(bad)
    beginning = Beginning(default, _given(asked, new.trials, new.space))
    if new.sampled and default is not None:
        lines.append(f"the default setting is tried first: {report.settings_text(default)}")
    elif new.sampled:
        lines.append(f"the default setting isn't tried first, since it lies outside: {outside}")
    if asked.given:
        lines.append(f"tried first too: {len(asked.given)} setting{'s' * (len(asked.given) > 1)} of {TRY}")
    if asked.source:
        beginning, line = _continued(beginning, asked.source, new)
        lines.append(line)
    return beginning, lines


def _given(asked: Wanted, trials: ComposedTrials, space: Space) -> list[dict[str, Scalar]]:
    first, faults = [], []
    for number, one in enumerate(asked.given):
        try:
            first.append(_complete(one, trials, space))
        except BadInput as bad:
            faults += [replace(fault, key=f"{TRY}[{number}] {fault.key}") for fault in bad.faults]
    if faults:
        raise BadInput(faults)
    return first


def _complete(given: Mapping[str, Any], trials: ComposedTrials, space: Space) -> dict[str, Scalar]:
    """Return a setting of the space with these values, and the configuration's own for the others. Raises BadInput if it can't."""
    faults = [Fault(key, value, rules.nearest(key, space)) for key, value in given.items() if key not in space]
    kinds, own = {key: given[key] for key in given if key in space and "." not in key}, ABSENT
    params: dict[str, Scalar] = {}
    for key, domain in space.items():
        if not spaces.active(domain, params):
            if key in given:
                faults.append(Fault(key, given[key], " and ".join(map(str, domain.when))))
            continue
        value = given.get(key, ABSENT)
        if value is ABSENT:
            own = own if isinstance(own, DictConfig) else _composed(kinds, trials, space)
            value = _own(own, key)
        try:
            params[key] = overrides.sampled(domain, value)
        except ValueError:
            got = "nothing" if value is ABSENT else value
            faults.append(Fault(key, f"{got} by default" if given and key not in given else got, str(domain)))
    if faults:
        raise BadInput(faults)
    trials.spec(params, space)
    return params


def _composed(kinds: Mapping[str, Any], trials: ComposedTrials, space: Space) -> DictConfig:
    """Return the configuration with these kinds, which decide the defaults of their settings."""
    valid = {}
    for key, value in kinds.items():
        try:
            valid[key] = overrides.sampled(space[key], value)
        except ValueError:
            continue
    return trials.config(valid, space)


def _own(config: DictConfig, key: str) -> object:
    """Return the configuration's value of a setting; ABSENT if it has none, as width and depth of layers that differ in size."""
    try:
        value = OmegaConf.select(config, key, default=ABSENT)
    except OmegaConfBaseException:
        return ABSENT
    if key in (WIDTH, DEPTH) and value in (None, ABSENT):
        return _of_layers(key, OmegaConf.select(config, UNITS))
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    return value["name"] if isinstance(value, dict) else value


def _of_layers(key: str, units: object) -> object:
    sizes = list(units) if isinstance(units, Sequence) and not isinstance(units, str) else []
    if len(set(sizes)) != 1:
        return ABSENT
    return sizes[0] if key == WIDTH else len(sizes)


# -- another study's trials --------------------------------------------------------------------------------------------------


def _continued(beginning: Beginning, source: str, new: NewStudy) -> tuple[Beginning, str]:
    """Add the best settings of another study, and the values of its trials if they are comparable; return a line on that too."""
    from study.search import reading

    try:
        known = study_results.read(new.storage, source)
    except BadInput as bad:
        raise BadInput([replace(fault, key=FROM) for fault in bad.faults]) from bad
    inside = {record.number: params for record in known.ranked if (params := _carried(record, known, new)) is not None}
    tried, best = beginning.settings(with_default=new.sampled), list[dict[str, Scalar]]()
    for params in inside.values():
        if len(best) < BEST and params not in [*tried, *best]:
            best.append(params)
    line = f"from study {source}: its best {len(best)} settings are tried first"
    if len(inside) < len(known.ranked):
        line += f" ({len(inside)} of its {len(known.ranked)} trials lie in this space)"
    beginning = replace(beginning, first=[*beginning.first, *best])
    if difference := _difference(known, new):
        return beginning, f"{line}; its losses aren't comparable with this study's: {difference}"
    if not (new.sampled and new.sampler in LEARN_FROM_ALL):
        return beginning, line
    told = reading.told(new.storage, source)
    learned = [(params, told[number]) for number, params in inside.items()]
    return replace(beginning, learned=learned), f"{line}, and the sampler ({new.sampler}) learns from {len(learned)} of its trials"


def _carried(record: TrialRecord, known: study_results.Findings, new: NewStudy) -> dict[str, Scalar] | None:
    """Return a trial of another study as a setting of this space; None where it isn't one, or differs in what is fixed here."""
    values: dict[str, Any] = {**known.settings, **{key: overrides.plain_value(given) for key, given in record.params.items()}}
    model = {key.partition(".")[2]: values.pop(key) for key in SHAPE & values.keys()}
    values[UNITS] = units = decode.with_units(model).get("units")
    values |= {key: size for key in (WIDTH, DEPTH) if (size := _of_layers(key, units)) is not ABSENT}
    params: dict[str, Scalar] = {}
    try:
        for key, domain in new.space.items():
            if spaces.active(domain, params):
                params[key] = overrides.sampled(domain, _there(key, values, known.space, record.params))
        here = specs.flat(new.trials.spec(params, new.space))
    except (ValueError, BadInput):
        return None
    searched = {UNITS if key in SHAPE else key for key in record.params}
    alike = all(as_text(here.get(key, "")) == as_text(values[key]) for key in searched - new.space.keys())
    return params if alike else None


def _there(key: str, values: Mapping[str, Any], space: Collection[str], params: Collection[str]) -> object:
    """Return a setting of another study's trial; ABSENT if it is unknown.

    values: what the study fixed, of its first kinds, and what the trial has of its `space`: `params`.
    """
    section, _, name = key.partition(".")
    if key in params or section not in space or section not in specs.KINDS:
        return values.get(key, ABSENT)
    usual = {kind: specs.defaults(cls)[name] for kind, cls in specs.KINDS[section].items() if kind in specs.kinds_with(key)}
    own = usual.get(values[section], ABSENT)
    given = values.get(f"{key} with {section}={values[section]}", values.get(key, own))
    # another kind's default may be the first kind's, which says nothing about this one
    return given if given == own or given not in usual.values() else ABSENT


def _difference(known: study_results.Findings, new: NewStudy) -> str:
    """Return a difference that makes the losses of another study incomparable; empty if there is none."""
    if list(known.objectives) != list(new.objectives):
        return "the objective is another one"
    searched = known.space.keys() | new.space.keys()
    ignored = {"sampler", "pruner", TRY, FROM, *searched, *(SHAPE if SHAPE & searched else ())}
    there, here = as_texts(known.settings), as_texts(new.identity)
    for key in sorted(there.keys() | here.keys()):
        name, _, condition = key.partition(" with ")
        having = specs.kinds_with(name)
        kinds = [kind for kind in having if kind in _kinds_of(name.partition(".")[0], known)]
        if condition:
            kinds = [kind for kind in kinds if condition.endswith(f"={kind}")]
        if name in ignored or (having and not kinds):  # settings of kinds that no trial has change nothing
            continue
        # a study whose first kind lacks a setting has its default, where the trials' kinds agree on one
        usual = {as_text(specs.defaults(specs.KINDS[name.partition(".")[0]][kind])[name.partition(".")[2]]) for kind in kinds}
        default = usual.pop() if len(usual) == 1 and not condition else None
        if there.get(key, default) != here.get(key, default):
            return f"{key} is {there.get(key, 'not set')} there and {here.get(key, 'not set')} here"
    return ""


def _kinds_of(section: str, known: study_results.Findings) -> set[object]:
    return {record.params.get(section, known.settings.get(section)) for record in known.ranked}
