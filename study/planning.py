"""A study as it was asked for: everything about it checked, and nothing written."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from study import answers, composition, dataset, decode, inputs, job, objectives, overrides, places, sqlite, starting, terminal
from study import space as spaces
from study import spec as specs
from study.clock import Clock
from study.errors import BadInput, Fault, check_writable
from study.objectives import Objective
from study.records import Scalar
from study.settings import rules
from study.settings.data import CLASSIFICATION
from study.space import Space
from study.spec import TrialSpec
from study.tracking import spool

if TYPE_CHECKING:
    from study.search import Search


# Hydra keeps flags as settings of its own
OF_THE_FLAGS = {"hydra.mode", "hydra.sweeper.dry_run"}


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
        given = self.config.hydra.overrides
        words = [each for each in (*given.task, *given.hydra) if each.partition("=")[0] not in OF_THE_FLAGS]
        return shlex.join(["mlp-study", "--multirun", *words])

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
        from study import search

        return search.Search(
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

    def compose(lines: Sequence[str]) -> DictConfig:
        try:
            return loader.load_configuration(config.hydra.job.config_name, list(lines), RunMode.RUN)
        except composition.REFUSALS as error:
            raise composition.bad_input(error) from error

    uri = job.store_uri(decode.section(config, "tracking"))
    if uri and settings["dry_run"]:
        places.check(uri)
    elif uri:
        spool.writer(uri)  # loads while the settings are checked
    with terminal.status("checking the settings"), clock.phase("compose"):
        space, fixed = overrides.split(arguments, settings["params"] or {}, settings["default_params"] or {}, loader)
        _check_settings(settings)
        storage = places.storage(settings["storage"])
        sqlite.check(storage)
        check_writable(Path(config.hydra.sweep.dir))
        tried = check_space(space, fixed, compose, uri or places.tracking_uri(None))
        base = tried[0]
        judged_by = [dataset.judged_by(spec) for spec in tried]
    tasks = [spec.data.task for spec in tried]
    goals = objectives.parse(settings["objective"], settings["direction"], base.data.task, list(zip(tasks, judged_by, strict=True)))
    with terminal.status("loading Optuna"), clock.phase("import"):
        from study import search
    _check_judged(goals, base)
    sampler, pruner = (decode.section(config, each) for each in ("sampler", "pruner"))
    search.check(sampler, pruner, space, goals, base.replicates.count, unlike=Objective().unlike(judged_by))

    identity = {key: value for key, value in specs.identifying(base).items() if key not in space} | {"data.task": base.data.task}
    # a table is known by what it holds, wherever it lies
    identity.pop("data.path", None)
    identity["data.digest"] = dataset.digest(base)
    if base.data.task == CLASSIFICATION:
        # earlier versions drew other parts: trials that were judged on other rows belong to another study
        identity["data.parts"] = "stratified"
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


def _judging(wanted: object, objective: Objective, unlike: Sequence[str]) -> str:
    """What a launch says of how it compares the trials, where that isn't the usual way."""
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


def check_space(space: Space, fixed: Sequence[str], compose: Callable[[Sequence[str]], DictConfig], uri: str) -> list[TrialSpec]:
    """Tries every choice and both ends of every interval beside the first values of the others, which come first in the result.

    uri: the store that holds a run which `init.same_as` names. Raises BadInput with all faults.
    """
    faults: list[Fault] = []

    def attempt(params: Mapping[str, Scalar]) -> TrialSpec | None:
        try:
            spec = decode.trial_spec(compose([*fixed, *overrides.assignments(params)]))
            starting.load(spec, dataset.load_data(spec), uri)
            return spec
        except BadInput as bad:
            faults.extend(bad.faults or [Fault("search space", ", ".join(overrides.assignments(params)), str(bad))])
            return None

    tried = [spaces.example(space)]
    for key, domain in space.items():
        for value in domain.samples():
            params = spaces.example(space, key, value)
            if params not in tried:
                tried.append(params)
    specs = [attempt(params) for params in tried]
    if faults:
        raise BadInput({str(fault): fault for fault in faults}.values())
    return [spec for spec in specs if spec is not None]


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
    lines = [
        f"study {plan.name}: {trials} trials × {replicates} replicates = {trials * replicates} networks on {plan.base.data.name}, "
        f"{'every setting of' if exhaustive else 'sampling'}:",
        *(f"  {key}: {domain}" for key, domain in plan.space.items()),
        *(f"  {line}" for line in (*plan.reading.splitlines(), plan.judging) if line),
    ]
    return "\n".join(lines + ([f"  {done} trial{'s are' if done > 1 else ' is'} done already"] if done else []))
