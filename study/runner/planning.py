"""Check everything about a study before it starts, and plan it without writing anything."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from study import locations, sqlite
from study.clock import Clock
from study.config import decode, overrides, precedence, refusals, source
from study.data import dataset, inputs, loading
from study.engine.width import available_cores
from study.errors import BadInput, Corrupt, Fault, check_writable
from study.reporting import terminal, wins
from study.runner import beginnings, job, race_setup, validation
from study.runner import identity as identities
from study.runner.validation import Compose, ComposedTrials
from study.search import space as spaces
from study.search.beginning import Beginning
from study.search.space import Space
from study.settings import rules, scorers
from study.settings.spec import TrialSpec
from study.settings.values import Value
from study.statistics import objectives
from study.statistics.objectives import Objective
from study.statistics.race import Rules
from study.tracking import recent, spool
from study.tracking.schema import TrialRun

if TYPE_CHECKING:
    from study.search.study import Search


PROGRAM = "mlp-study"
# Hydra stores flags as settings
OF_THE_FLAGS = {"hydra.mode", "hydra.sweeper.dry_run"}
NO_FINALISTS = "null: a race retrains the trials that may be the best (hydra.sweeper.decide=true, hydra.sweeper.max_replicates)"
# Hydra's settings that apply only to a study
OF_A_STUDY = ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/")


class HydraSweeper(Protocol):
    """The attributes that Hydra sets in a sweeper's `setup`."""

    config: DictConfig | None
    launcher: Launcher | None
    hydra_context: HydraContext | None


@dataclass(frozen=True)
class Plan:
    """A checked study, ready to launch.

    config: the launch's, with Hydra's settings; settings: the sweeper's. trials: composes trials from settings of the space; base:
    the first one. reading: how its table was read, if any; judging: how trials are compared, if not by loss; identity: the fixed
    settings. uri: the MLflow store, None without tracking. rules: of the race that decides the study, None without one. beginning:
    of a study that doesn't exist yet, described by `first`.
    """

    name: str
    config: DictConfig
    settings: Mapping[str, Any]
    launcher: Launcher
    space: Space
    trials: ComposedTrials
    base: TrialSpec
    reading: str
    judging: str
    identity: Mapping[str, Value]
    objectives: Sequence[Objective]
    storage: str
    uri: str | None
    rules: Rules | None = None
    beginning: Beginning = field(default_factory=Beginning)
    first: Sequence[str] = ()

    @property
    def sampler(self) -> dict[str, Any]:
        return decode.section(self.config, "sampler")

    @property
    def pruner(self) -> dict[str, Any]:
        return decode.section(self.config, "pruner")

    @property
    def command(self) -> str:
        """Return the command line that launches this study."""
        task, of_hydra = source.command_line(self.config)
        words = [word for word in (*task, *of_hydra) if word.partition("=")[0] not in OF_THE_FLAGS]
        return shlex.join([PROGRAM, "--multirun", *scorers.flags(), *source.options(self.config), *words])

    @property
    def launcher_name(self) -> str:
        return str(self.config.hydra.runtime.choices["hydra/launcher"])

    @property
    def in_process(self) -> bool:
        """Return True if the trials run in this process. By name, since Hydra loads a launcher's class a second time."""
        return self.launcher_name == "basic"

    @property
    def folder(self) -> Path:
        """Return the launch's output folder."""
        return Path(self.config.hydra.sweep.dir)

    def resume(self, storage: str, recorded: Sequence[spool.Recorded]) -> Search:
        """Open the study and settle trials that dead processes left behind. recorded: results on disk, of any study."""
        study = self.search(storage)
        for trial in recorded:
            if trial.study == self.name:
                adopt = study.adopt_whole if trial.whole else study.adopt
                adopt(trial.number, trial.result, trial.written)
        study.reap()
        return study

    def search(self, storage: str) -> Search:
        """Open the study in this storage, or create it."""
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
            beginning=self.beginning,
        )


def check(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str], clock: Clock) -> Plan:
    """Return the study that the arguments describe. Raises BadInput with its faults; writes nothing."""
    assert sweeper.config is not None and sweeper.launcher is not None and sweeper.hydra_context is not None
    config, loader = sweeper.config, sweeper.hydra_context.config_loader
    space, fixed, by_default = _asked(config, loader, arguments, settings)
    _check_settings(settings)
    asked = beginnings.wanted(settings)
    races = race_setup.may_race(config, space, fixed, settings)
    uri = job.store_uri(decode.section(config, "tracking"))
    if uri and settings["dry_run"]:
        locations.check(uri)
    elif uri:
        spool.writer(uri)  # loads while the settings are checked
    trials = ComposedTrials(fixed, _composer(config, loader), uri or locations.tracking_uri(None), _processes(config, settings))
    with terminal.status("checking the settings"), clock.phase("compose"):
        storage = locations.storage(settings["storage"])
        sqlite.check(storage)
        check_writable(Path(config.hydra.sweep.dir))
        if not space:
            raise BadInput([Fault("--multirun", "nothing to search", _something_to_search(config))])
        if not by_default:
            validation.check_settings(space, trials, config.hydra.runtime.choices)
        if races and race_setup.untouched(config, fixed):
            trials = replace(trials, fixed=[*fixed, *race_setup.first_replicates(trials, space)], _validated={})
        if by_default:
            space = validation.narrow(space, trials)
        validated = validation.check_space(space, trials, config.hydra.runtime.choices)
        judged_by = [dataset.judged_by(spec) for spec in validated]
    base = validated[0]
    tasks = [spec.data.task for spec in validated]
    goals = objectives.parse(settings["objective"], settings["direction"], base.data.task, list(zip(tasks, judged_by, strict=True)))
    with terminal.status("loading Optuna"), clock.phase("import"):
        from study.search import kinds
        from study.search.reading import has_begun
    _check_judged(goals, base)
    sampler, pruner = (decode.section(config, section) for section in ("sampler", "pruner"))
    kinds.check(sampler, pruner, space, goals, base.replicates.count, unlike=Objective().unlike(judged_by))
    alike = not goals[0].unlike(judged_by)
    races = races and (alike or bool(settings["decide"]))
    if races and not (alike and base.replicates.count > 1 and base.replicates.first == 0):
        valid = "false or null, unless each trial has two replicates or more, from 0 on, that are judged by the same"
        raise BadInput([Fault("hydra.sweeper.decide", True, valid)])

    identity = {**identities.identity(validated, space, config), **asked.identity}
    prefix = config.hydra.runtime.choices.get("experiment") or base.data.name
    name = settings["study_name"] or identities.study_name(prefix, identity, space, goals)
    if uri and sqlite.path_of(uri):  # a server is asked when the launch has its writer
        check_records(name, storage, uri, partial(recent.trial_runs, uri, name))
    beginning, first = Beginning(), list[str]()
    if not has_begun(storage, name):
        with terminal.status("choosing what to try first"), clock.phase("compose"):
            sampled = not spaces.is_exhausted(space, settings["n_trials"], sampler["name"])
            new = beginnings.NewStudy(trials, space, identity, goals, storage, sampler["name"], sampled)
            beginning, first = beginnings.begin(asked, new)
    return Plan(
        name=name,
        config=config,
        settings=settings,
        launcher=sweeper.launcher,
        space=space,
        trials=trials,
        base=base,
        reading=_reading(base, space),
        judging=_judging(settings["objective"], goals[0], goals[0].unlike(judged_by)),
        identity=identity,
        objectives=goals,
        storage=storage,
        uri=uri,
        rules=race_setup.rules_of(settings, base.replicates.count) if races else None,
        beginning=beginning,
        first=first,
    )


def check_records(name: str, storage: str, uri: str, tracked: Callable[[], Sequence[TrialRun]]) -> None:
    """Raise Corrupt if MLflow or the study's storage has lost the study's trials: they would be trained twice, or half recorded.

    tracked: reads the runs of the study's trials.
    """
    from study.search import reading

    runs = tracked()
    kept = reading.run_ids(storage, name)
    if lost := {run.number for run in runs if not run.deleted} - kept.keys():
        raise _lost(f"{storage} lacks {len(lost)} trials of study {name} that {uri} has runs of", name, storage)
    ids = set(filter(None, kept.values()))
    # of a study that has just begun, the runs may be younger than the first answer
    if ids and not any(ids & {run.run_id for run in answer} for answer in (runs, tracked())):
        raise _lost(f"{uri} has no run of the {len(ids)} trials of study {name} in {storage}", name, storage)


def _lost(what: str, name: str, storage: str) -> Corrupt:
    delete = shlex.join([PROGRAM, "delete", name, "--storage", storage])
    return Corrupt(
        f"{what}: it was deleted, or is older or another one. Restore it, or begin a study of another name "
        f"(hydra.sweeper.study_name=NAME), or delete the rest first: {delete}"
    )


def _processes(config: DictConfig, settings: Mapping[str, Any]) -> int:
    """Return how many processes of this machine train at once."""
    at_once = min(settings["n_jobs"], settings["n_trials"] or settings["n_jobs"])
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    if launcher == "joblib":
        workers = config.hydra.launcher.n_jobs  # -1: one per core
        return min(at_once, workers if workers > 0 else max(1, available_cores() + 1 + workers))
    return at_once if launcher == "submitit_local" else 1


def _composer(config: DictConfig, loader: ConfigLoader) -> Compose:
    """Return a function that composes a trial's config as Hydra's launchers do."""
    _, of_hydra = source.command_line(config)

    def load(lines: Sequence[str]) -> DictConfig:
        return loader.load_configuration(config.hydra.job.config_name, [*of_hydra, *lines], RunMode.RUN)

    def compose(lines: Sequence[str]) -> DictConfig:
        try:
            return load(lines)
        except refusals.REFUSALS as error:
            # a group's choice decides which settings there are
            raise refusals.bad_input(error, load, [line for line in lines if "." not in line.partition("=")[0]]) from error

    return compose


def _asked(
    config: DictConfig, loader: ConfigLoader, arguments: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Space, list[str], bool]:
    """Return the space, the fixed overrides, and whether the space is the default one."""
    _, of_hydra = source.command_line(config)
    files = source.settings_in_files(loader, config.hydra.job.config_name, [*of_hydra, *arguments])
    params, default_params = settings["params"] or {}, settings["default_params"] or {}
    by_default = not overrides.split(arguments, params, {}, loader)[0]
    parts = (precedence.WIDTH, precedence.DEPTH)
    known = {key: value for file in files for key, value in file.items() if value is not None or key not in parts}
    space, fixed = overrides.split(arguments, params, default_params, loader, known)
    return space, [*fixed, *precedence.shape_resets([*files, *overrides.layers(arguments, params)])], by_default


def _judging(wanted: object, objective: Objective, unlike: Sequence[str]) -> str:
    """Return a sentence on how the trials are compared, if not by the loss; empty otherwise."""
    if unlike:
        return wins.unlike_text(unlike)
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


def _something_to_search(config: DictConfig) -> str:
    task, of_hydra = source.command_line(config)
    words = [word for word in (*task, *of_hydra) if not word.startswith(OF_A_STUDY)]
    return (
        "several values for a setting, such as optimizer.learning_rate=0.001,0.01; "
        f"or, to train this one setting: {shlex.join([PROGRAM, *source.options(config), *words])}"
    )


def _check_judged(goals: Sequence[Objective], base: TrialSpec) -> None:
    """Raise BadInput for a score that validation rows can't give, since every trial would fail."""
    names = {goal.name for goal in goals}
    faults = []
    if (ranked := names & {objectives.AUC, objectives.PRECISION}) and (classes := inputs.classes_judged(base)) < 2:
        got = f"{min(ranked)}, but every validation part has {classes} class"
        faults.append(Fault("hydra.sweeper.objective", got, "an objective that a single class allows, such as loss or accuracy"))
    if objectives.MAPE in names and not loading.rows(base).y.all():
        got = f"{objectives.MAPE}, but the target is 0 in some rows, where a percentage has no meaning"
        faults.append(Fault("hydra.sweeper.objective", got, f"{objectives.MAE}, {objectives.RMSE} or another"))
    if faults:
        raise BadInput(faults)


def _check_settings(settings: Mapping[str, Any]) -> None:
    settled = {
        "study_name": rules.STUDY_NAME,
        "n_trials": rules.integer(1, 1_000_000),
        "n_jobs": rules.integer(1, 10_000),
        "minutes": rules.number(0, 1e6, above=True),
        "finalists": replace(rules.one_of(()), valid=NO_FINALISTS),
        "max_failure_rate": rules.number(0, 1),
        "decide": rules.optional(rules.FLAG),
        "baselines": rules.FLAG,
        "settle": rules.FLAG,
        "margin": rules.number(0, 1e6, above=True),
        "confidence": rules.number(0.5, 1, below=True),
        "max_replicates": rules.integer(8, 100_000),
        "networks": rules.integer(1, 1_000_000_000),
    }
    faults = []
    for key, rule in settled.items():
        try:
            if settings.get(key) is not None:
                rule.accept(settings[key])
        except ValueError:
            faults.append(Fault(f"hydra.sweeper.{key}", settings[key], rule.valid))
    if faults:
        raise BadInput(faults)


def opening(plan: Plan, trials: int, exhaustive: bool, done: int) -> list[str]:
    """Return the lines of the summary of a study that its launch prints first."""
    replicates = plan.base.replicates.count
    networks = f" × {replicates} replicate{'s' * (replicates > 1)} = {trials * replicates} networks"
    if plan.rules and plan.rules.most > replicates:
        networks += f" first, then up to {plan.rules.most} replicates of those that may win"
    searched = {"replicates.count", "replicates.crossed"} & plan.space.keys()
    on = "" if "data" in plan.space else f" on {plan.base.data.name}"
    lines = [
        f"study {plan.name}{on}: {trials} trial{'s' * (trials > 1)}{'' if searched else networks}; "
        f"{'every setting of' if exhaustive else 'sampling'}:",
        *(f"  {key}: {domain}" for key, domain in plan.space.items()),
        *(f"  {line}" for line in (*plan.reading.splitlines(), plan.judging, *plan.first) if line),
    ]
    if plan.rules and "data" not in plan.base.replicates.vary:
        lines.append("  one split of the rows for all replicates (replicates.vary lacks data)")
    return lines + ([f"  {done} trial{'s are' if done > 1 else ' is'} already done"] if done else [])
