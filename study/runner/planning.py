"""A study as it was asked for: everything about it checked, and nothing written."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from study import locations, sqlite
from study.clock import Clock
from study.config import composition, decode, overrides, precedence
from study.data import dataset, inputs
from study.errors import BadInput, Fault, check_writable
from study.records.arrays import Scalar
from study.reporting import answers, terminal
from study.runner import job
from study.search import space as spaces
from study.search.space import Choice, Space
from study.settings import rules
from study.settings import spec as specs
from study.settings.data import CLASSIFICATION, Table
from study.settings.spec import TrialSpec
from study.statistics import objectives
from study.statistics.objectives import Objective
from study.tracking import spool, warm_start

if TYPE_CHECKING:
    from study.search.study import Search


PROGRAM = "mlp-study"
# Hydra keeps flags as settings of its own
OF_THE_FLAGS = {"hydra.mode", "hydra.sweeper.dry_run"}
# Hydra's settings that one trial has no use for
OF_A_STUDY = ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/")


class HydraSweeper(Protocol):
    """What Hydra has given to a sweeper in its `setup`."""

    config: DictConfig | None
    launcher: Launcher | None
    hydra_context: HydraContext | None


@dataclass(frozen=True)
class Plan:
    """A study that was asked for.

    config: Hydra's, of the launch; settings: the sweeper's. fixed: the overrides that all trials share; base: the first setting;
    reading: how its table was read, if any; judging: how trials are compared, if not as usual; identity: the fixed settings, as
    text. uri: of the MLflow store, if there is tracking.
    compose: a trial's config, from overrides.
    """

    name: str
    config: DictConfig
    settings: Mapping[str, Any]
    launcher: Launcher
    space: Space
    fixed: Sequence[str]
    base: TrialSpec
    reading: str
    judging: str
    identity: Mapping[str, str]
    objectives: Sequence[Objective]
    storage: str
    uri: str | None
    compose: Callable[[Sequence[str]], DictConfig]

    @property
    def sampler(self) -> dict[str, Any]:
        return decode.section(self.config, "sampler")

    @property
    def command(self) -> str:
        """What a person types for it."""
        task, of_hydra = composition.given(self.config)
        words = [each for each in (*task, *of_hydra) if each.partition("=")[0] not in OF_THE_FLAGS]
        return shlex.join([PROGRAM, "--multirun", *composition.options(self.config), *words])

    @property
    def launcher_name(self) -> str:
        return str(self.config.hydra.runtime.choices["hydra/launcher"])

    @property
    def in_process(self) -> bool:
        """Whether the trials run in this process; Hydra loads its launchers in a way that makes other classes of them."""
        return self.launcher_name == "basic"

    @property
    def folder(self) -> Path:
        """Hydra's, of this launch."""
        return Path(self.config.hydra.sweep.dir)

    def resume(self, storage: str, recorded: Sequence[spool.Recorded]) -> Search:
        """As `search`, with what processes that are gone have left of its trials. recorded: on disk, of any study."""
        study = self.search(storage)
        for each in recorded:
            if each.study == self.name:
                study.adopt(each.number, each.result, each.written)
        study.reap()
        return study

    def search(self, storage: str) -> Search:
        """The study in this storage, where it is made if it isn't there."""
        from study.search import study as search_study

        return search_study.Search(
            name=self.name,
            storage=storage,
            objectives=self.objectives,
            space=self.space,
            sampler=self.sampler,
            seed=self.base.seed,
            n_trials=self.settings["n_trials"],
            identity=self.identity,
            command=self.command,
        )


def check(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str], clock: Clock) -> Plan:
    """The study that the arguments ask for. Raises what is wrong with it."""
    assert sweeper.config is not None and sweeper.launcher is not None and sweeper.hydra_context is not None
    config, loader = sweeper.config, sweeper.hydra_context.config_loader
    # as the launchers compose a job's config
    of_hydra = composition.given(config)[1]

    def load(lines: Sequence[str]) -> DictConfig:
        return loader.load_configuration(config.hydra.job.config_name, [*of_hydra, *lines], RunMode.RUN)

    def compose(lines: Sequence[str]) -> DictConfig:
        try:
            return load(lines)
        except composition.REFUSALS as error:
            # a group's choice decides which settings there are
            raise composition.bad_input(error, [line for line in lines if "." not in line.partition("=")[0]], load) from error

    files = composition.settings_in_files(loader, config.hydra.job.config_name, [*of_hydra, *arguments])
    space, fixed, by_default = _asked(arguments, settings, files, loader)
    uri = job.store_uri(decode.section(config, "tracking"))
    if uri and settings["dry_run"]:
        locations.check(uri)
    elif uri:
        spool.writer(uri)  # loads while the settings are checked
    with terminal.status("checking the settings"), clock.phase("compose"):
        _check_settings(settings)
        storage = locations.storage(settings["storage"])
        sqlite.check(storage)
        check_writable(Path(config.hydra.sweep.dir))
        store = uri or locations.tracking_uri(None)
        if not space:
            raise BadInput([Fault("--multirun", "nothing to search", _something_to_search(config))])
        if by_default:
            space = narrowed(space, fixed, compose, store)
        tried = check_space(space, fixed, compose, store, config.hydra.runtime.choices)
        base, *others = tried
        judged_by = [dataset.judged_by(spec) for spec in tried]
    tasks = [spec.data.task for spec in tried]
    goals = objectives.parse(settings["objective"], settings["direction"], base.data.task, list(zip(tasks, judged_by, strict=True)))
    with terminal.status("loading Optuna"), clock.phase("import"):
        from study.search import kinds
    _check_judged(goals, base)
    sampler, pruner = (decode.section(config, each) for each in ("sampler", "pruner"))
    kinds.check(sampler, pruner, space, goals, base.replicates.count, unlike=Objective().unlike(judged_by))

    identity = {key: value for key, value in specs.identifying(base).items() if key not in space} | {"data.task": base.data.task}
    # a table is known by what it holds, wherever it lies
    identity.pop("data.path", None)
    identity["data.digest"] = dataset.digest(base)
    if base.data.task == CLASSIFICATION:
        # earlier versions drew other parts: trials that were judged on other rows belong to another study
        identity["data.parts"] = "stratified"
    identity |= _of_other_choices(base, others, identity, space) | _of_search(config)
    choice = config.hydra.runtime.choices.get("experiment")
    return Plan(
        name=settings["study_name"] or study_name(choice or base.data.name, identity, space),
        config=config,
        settings=settings,
        launcher=sweeper.launcher,
        space=space,
        fixed=fixed,
        base=base,
        reading=_reading(base, space),
        judging=_judging(settings["objective"], goals[0], goals[0].unlike(judged_by)),
        identity=identity,
        objectives=goals,
        storage=storage,
        uri=uri,
        compose=compose,
    )


def _of_other_choices(base: TrialSpec, others: Sequence[TrialSpec], identity: Mapping[str, str], space: Space) -> dict[str, str]:
    """What the first setting doesn't show of the fixed ones: those of other kinds than its own, and other tables' contents."""
    found = {}
    for other in others:
        of_other = specs.flat(other)
        for section in specs.KINDS:
            kind = getattr(other, section)
            if kind.name != getattr(base, section).name:
                for name, usual in specs.defaults(type(kind)).items():
                    key, value = f"{section}.{name}", of_other[f"{section}.{name}"]
                    if key not in space and value not in (usual, identity.get(key)) and key != "data.path":
                        found[f"{key} with {section}={kind.name}"] = value
        if isinstance(other.data, Table) and other.data.path != getattr(base.data, "path", None):
            found[f"data.digest of {Path(other.data.path).name}"] = dataset.digest(other)
    return found


def _of_search(config: DictConfig) -> dict[str, str]:
    """How the study samples and prunes, where that isn't as by default: other samples, or other trials to their ends."""
    given = {section: decode.section(config, section) for section in ("sampler", "pruner")}
    return {section: kind_text(settings) for section, settings in given.items() if settings != composition.by_default(section)}


def kind_text(settings: Mapping[str, Any]) -> str:
    """A section's kind with its settings: tpe (n_startup_trials 10)."""
    more = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "name")
    return f"{settings['name']} ({more})" if more else str(settings["name"])


def _judging(wanted: object, objective: Objective, unlike: Sequence[str]) -> str:
    """Return how a launch compares the trials, in a sentence, where that isn't the usual way."""
    if unlike:
        return answers.unlike_text(unlike)
    if wanted is None and objective.name != objectives.LOSS:
        return f"ranked by {objective.quantity}: the trials have no validation loss in common"
    return ""


def _reading(base: TrialSpec, space: Space) -> str:
    text = inputs.reading(base, dataset.load_data(base))
    searched = any(key.partition(".")[0] == "data" for key in space)
    if not (text and searched):
        return text
    first, *others = text.splitlines()
    return "\n".join([f"{first} (in the first setting)", *others])


def study_name(prefix: str, identity: Mapping[str, str], space: Space) -> str:
    """A name that only depends on what is searched and trained, so that the same command resumes the same study."""
    content = json.dumps([identity, {key: str(domain) for key, domain in space.items()}], sort_keys=True)
    return f"{prefix}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"


def _asked(
    arguments: Sequence[str], settings: Mapping[str, Any], files: Sequence[Mapping[str, Any]], loader: ConfigLoader
) -> tuple[Space, list[str], bool]:
    """The space, the fixed overrides, and whether the space is the one by default. files: what each of the user's configs sets."""
    params, default_params = settings["params"] or {}, settings["default_params"] or {}
    by_default = not overrides.split(arguments, params, {}, loader)[0]
    parts = (precedence.WIDTH, precedence.DEPTH)
    known = {key: value for file in files for key, value in file.items() if value is not None or key not in parts}
    space, fixed = overrides.split(arguments, params, default_params, loader, known)
    return space, [*fixed, *precedence.shape_resets([*files, *overrides.layers(arguments, params)])], by_default


def check_space(
    space: Space,
    fixed: Sequence[str],
    compose: Callable[[Sequence[str]], DictConfig],
    uri: str,
    choices: Mapping[str, str] | None = None,
) -> list[TrialSpec]:
    """Tries every choice and both ends of every interval beside the first values of the others; returns these settings.

    uri: the store that holds a run which `init.same_as` names; choices: of the groups that aren't searched. Raises BadInput with
    all faults.
    """
    found: list[TrialSpec] = []
    faults: list[Fault] = []
    of_other_kinds: list[Fault] = []

    def attempt(params: Mapping[str, Scalar]) -> None:
        try:
            found.append(_spec([*fixed, *overrides.assignments(params, space)], compose, uri))
        except BadInput as bad:
            for fault in bad.faults or [Fault("search space", ", ".join(overrides.assignments(params, space)), str(bad))]:
                kinds = specs.kinds_with(fault.key)
                if kinds and {**(choices or {}), **params}.get(fault.key.partition(".")[0]) not in kinds:
                    of_other_kinds.append(_of_other_kinds(fault, kinds, space, fixed))
                else:
                    faults.append(fault)

    tried: list[Mapping[str, Scalar]] = []
    for params in [spaces.example(space), *(spaces.example(space, key, each) for key in space for each in space[key].samples())]:
        if params not in tried:
            tried.append(params)
            attempt(params)
    # where a value is wrong with every kind, that comes first
    wrong = {fault.key for fault in faults}
    faults += [fault for fault in of_other_kinds if fault.key not in wrong]
    if faults:
        raise BadInput({str(fault): fault for fault in faults}.values())
    return found


def _of_other_kinds(fault: Fault, kinds: Sequence[str], space: Space, fixed: Sequence[str]) -> Fault:
    """That a setting is refused which only `kinds` of its section have, with how to set it where one of these is searched."""
    section = fault.key.partition(".")[0]
    searched, domain = space.get(section), space.get(fault.key) or overrides.fixed_value(fault.key, fixed)
    having = [value for value in map(spaces.text, searched.samples() if searched else ()) if value in kinds]
    got = fault.got if domain is None else str(domain) if fault.key in space else domain.samples()[0]
    if not having or domain is None:
        return Fault(fault.key, got, f"{section}={' or '.join(having or kinds)} beside it")
    text = overrides.with_condition(domain, section, having)
    return Fault(fault.key, got, f"a setting of {' and '.join(having)}; to set it there alone: {shlex.quote(text)}")


def narrowed(space: Space, fixed: Sequence[str], compose: Callable[[Sequence[str]], DictConfig], uri: str) -> Space:
    """The space without choices that the fixed settings don't go with, beside the first values of the others.

    A setting none of whose choices goes with them is left as it is: others are to blame.
    """
    found = dict(space)
    for key, domain in space.items():
        if isinstance(domain, Choice):
            values = tuple(value for value in domain.values if _goes(spaces.example(found, key, value), found, fixed, compose, uri))
            if values and values != domain.values:
                left_out = [spaces.text(value) for value in domain.values if value not in values]
                terminal.message(f"left out of the default search, since it doesn't suit what is given: {key}={','.join(left_out)}")
                found[key] = replace(domain, values=values)
    return found


def _goes(
    params: Mapping[str, Scalar], space: Space, fixed: Sequence[str], compose: Callable[[Sequence[str]], DictConfig], uri: str
) -> bool:
    try:
        return bool(_spec([*fixed, *overrides.assignments(params, space)], compose, uri))
    except BadInput:
        return False


def _spec(lines: Sequence[str], compose: Callable[[Sequence[str]], DictConfig], uri: str) -> TrialSpec:
    """The trial of these overrides. Raises BadInput if it can't be trained."""
    spec = decode.trial_spec(compose(lines))
    warm_start.load(spec, dataset.load_data(spec), uri)
    return spec


def _something_to_search(config: DictConfig) -> str:
    task, of_hydra = composition.given(config)
    words = [each for each in (*task, *of_hydra) if not each.startswith(OF_A_STUDY)]
    return (
        "several values for a setting, such as optimizer.learning_rate=0.001,0.01; "
        f"or, to train this one setting: {shlex.join([PROGRAM, *composition.options(config), *words])}"
    )


def _check_judged(goals: Sequence[Objective], base: TrialSpec) -> None:
    """Raises BadInput for an objective that some validation part can't give, rather than that every trial fails."""
    if any(goal.name == "auc" for goal in goals) and (classes := inputs.classes_judged(base)) < 2:
        valid = "an objective for validation parts of a single class, such as loss or accuracy"
        raise BadInput([Fault("hydra.sweeper.objective", f"auc, where {classes} class is in every validation part", valid)])


def _check_settings(settings: Mapping[str, Any]) -> None:
    settled = {
        "n_trials": rules.integer(1, 1_000_000),
        "n_jobs": rules.integer(1, 10_000),
        "finalists": rules.integer(5, 100_000),
        "max_failure_rate": rules.number(0, 1),
    }
    faults = []
    for key, rule in settled.items():
        try:
            if settings[key] is not None:
                rule.accept(settings[key])
        except ValueError:
            faults.append(Fault(f"hydra.sweeper.{key}", settings[key], rule.valid))
    if faults:
        raise BadInput(faults)


def opening(plan: Plan, trials: int, exhaustive: bool, done: int) -> str:
    """What a study is, in the words that its launch begins with."""
    replicates = plan.base.replicates.count
    networks = f" × {replicates} replicate{'s' * (replicates > 1)} = {trials * replicates} networks"
    searched = {"replicates.count", "replicates.crossed"} & plan.space.keys()
    on = "" if "data" in plan.space else f" on {plan.base.data.name}"
    lines = [
        f"study {plan.name}: {trials} trial{'s' * (trials > 1)}{'' if searched else networks}{on}, "
        f"{'every setting of' if exhaustive else 'sampling'}:",
        *(f"  {key}: {domain}" for key, domain in plan.space.items()),
        *(f"  {line}" for line in (*plan.reading.splitlines(), plan.judging) if line),
    ]
    return "\n".join(lines + ([f"  {done} trial{'s are' if done > 1 else ' is'} done already"] if done else []))
