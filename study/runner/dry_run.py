"""Show what a launch would train, how long it will take and how much disk it needs, without keeping anything.

All checks of a real launch apply. An existing study is read from a temporary copy.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from study import locations, sqlite
from study.clock import since_launch
from study.config import composition, decode, precedence
from study.records.arrays import Scalar
from study.records.trial import TrialRecord
from study.reporting import report, terminal
from study.runner import job, planning
from study.runner.identity import kind_text
from study.runner.planning import Plan
from study.sampling import evenly
from study.search import space as spaces
from study.settings.spec import KINDS, TrialSpec
from study.statistics.race import Rules
from study.tracking import spool

if TYPE_CHECKING:
    from study.runner.estimate import Estimate, Probe
    from study.search.study import Search

# sections whose kinds have settings of their own
GROUPS = (*KINDS, "sampler", "pruner", "tracking")
LEARNING = {"tpe", "gp", "cmaes", "nsgaii"}
MOST_COMPOSED, MOST_DRAWN = 12, 10_000


def show_study(plan: Plan) -> None:
    """Print what a study would still train, how long it will take and how much disk it needs."""
    with terminal.status("looking at the study"):
        standing = _standing(plan)
    done, remaining = standing.total - standing.remaining, standing.remaining
    for line in planning.opening(plan, standing.total, standing.exhaustive, done):
        terminal.show_line(line, "bold", fold=True)
    _show_fixed(plan.trials.config(spaces.example(plan.space), plan.space), set(plan.space))
    jobs = plan.settings["n_jobs"]
    terminal.show_line(f"sampler: {kind_text(plan.sampler)}")
    terminal.show_line(f"pruner: {kind_text(plan.pruner)}")
    terminal.show_line(f"objective: {', '.join(f'{objective.direction} {objective.name}' for objective in plan.objectives)}")
    terminal.show_line(f"launcher: {plan.launcher_name}, {jobs} {'trial' if jobs == 1 else 'trials'} at a time")
    with terminal.steps("loading TensorFlow") as step:
        from study.runner import estimate

        loaded, sampled = since_launch(), [plan.base]
        if remaining:
            time_estimate, sampled = _time(plan, standing, step)
    if remaining:
        _show_estimate(time_estimate, loaded)
        if not plan.in_process and jobs > 1:
            terminal.show_line(f"  on this machine, where one trial uses all cores; up to {jobs} times as fast on more machines")
        if plan.rules:
            terminal.show_line(f"  then a race: {_race_text(plan.rules, standing.total)}, not in this time")
    kept = estimate.study_bytes(sampled, standing.total, plan.uri is not None, plan.rules.most if plan.rules else 0)
    if not sqlite.path_of(plan.storage):
        kept = {"in the storage": kept.pop("optuna.db")} | kept
    _show_disk(_by_server(kept, plan.uri))


def _race_text(rules: Rules, trials: int) -> str:
    """Return how many networks a race adds at most: its rounds, and the winner's networks, which are trained together again."""
    rounds = trials * max(0, rules.most - rules.first)
    if rules.networks is not None:
        rounds = min(rounds, max(0, rules.networks - trials * rules.first))
    return f"{rules.step} more networks at a time for each setting that may still win, at most {rounds + rules.most:,} networks"


def show_trial(config: DictConfig, asked: job.Job, reading: str) -> None:
    """Print the same for a single trial. reading: how its table was read, if any."""
    spec, uri = asked.spec, asked.uri
    terminal.show_line(f"one trial: {spec.replicates.count} networks on {spec.data.name}", "bold")
    for line in reading.splitlines():
        terminal.show_line(f"  {line}", "bold", fold=True)
    _show_fixed(config, set())
    with terminal.steps("loading TensorFlow") as step:
        from study.runner import estimate

        loaded = since_launch()
        probes = _probes([spec], uri, step)
    _show_estimate(estimate.from_probes(probes, [spec], 1, 1, 0.0), loaded)
    _show_disk(_by_server(estimate.trial_bytes(spec, uri is not None), uri))


@dataclass(frozen=True)
class _Standing:
    """The progress of a study. records: of its trials."""

    total: int
    remaining: int
    exhaustive: bool
    records: Sequence[TrialRecord]


def _standing(plan: Plan) -> _Standing:
    """Return the study's progress. Raises what a launch on it would raise."""
    path = sqlite.path_of(plan.storage)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "optuna.db")
        if path and path.exists():
            try:
                with sqlite.reading(path) as original, closing(sqlite3.connect(copy)) as target:
                    original.backup(target)
            except sqlite3.Error as error:
                raise sqlite.fault(error, f"{locations.STORAGE} {plan.storage}") from error
        if path is None:
            return _standing_elsewhere(plan, plan.search(sqlite.url_of(copy)))
        study = plan.resume(sqlite.url_of(copy), spool.recorded() if plan.uri else ())
        return _Standing(study.n_trials, study.remaining(), study.exhaustive, study.records())


def _standing_elsewhere(plan: Plan, like: Search) -> _Standing:
    """Return the progress of a study on a server, which can't be copied. like: the study that the launch would create."""
    from study.search import reading
    from study.search import study as search_study

    records: Sequence[TrialRecord] = ()
    if plan.name in reading.names(plan.storage):
        existing = reading.open_study(plan.storage, plan.name)
        wanted = reading.open_study(like.storage, plan.name).identity
        search_study.check_identity(plan.name, existing.identity, wanted)
        records = existing.records
    ended = sum(record.state in ("complete", "pruned", "failed") for record in records)
    return _Standing(like.n_trials, max(0, like.n_trials - ended), like.exhaustive, records)


def _show_fixed(config: DictConfig, searched: set[str]) -> None:
    """Print the fixed settings that differ from the defaults of their kind."""
    kinds = [f"{section}={config[section].name}" for section in GROUPS if OmegaConf.select(config, f"{section}.name")]
    of_kinds, usual, launched = (
        _flat(composed, searched) for composed in (composition.compose_config(kinds), composition.compose_config([]), config)
    )
    shown = []
    for key, value in launched.items():
        name = key.removesuffix(".name")
        if value != (of_kinds if name == key else usual).get(key) and not {key, name} & searched:
            shown.append(f"  {name}: {value}")
    terminal.show_line("fixed, and different from the default:" if shown else "all other settings are the defaults")
    for line in shown:
        terminal.show_line(line)


def _flat(config: DictConfig, searched: set[str]) -> dict[str, str]:
    """Return a trial's settings as text by dotted name, without Hydra's and the sweeper's.

    The hidden layers appear as `units`, or as width and depth if one of these is searched.
    """
    settings = OmegaConf.to_container(config)
    assert isinstance(settings, dict)
    model = decode.with_units(settings["model"])
    if searched & {precedence.WIDTH, precedence.DEPTH}:
        units = model.pop("units")
        model |= {"width": units[0], "depth": len(units)}
    kept = {str(key): value for key, value in settings.items() if key not in ("hydra", "study")} | {"model": model}
    return decode.texts(OmegaConf.create(kept))


def _ahead(plan: Plan, standing: _Standing) -> list[dict[str, Scalar]]:
    """Return the settings that remain, or random ones if a sampler chooses them; at most MOST_DRAWN."""
    from study.runner import estimate

    count = min(standing.remaining, MOST_DRAWN)
    if not standing.exhaustive:
        return estimate.draw(plan.space, count, plan.base.seed)
    tried = [record.params for record in standing.records]
    return list(itertools.islice((params for params in spaces.combinations(plan.space) if params not in tried), count))


def _time(plan: Plan, standing: _Standing, step: Callable[[str], None]) -> tuple[Estimate, list[TrialSpec]]:
    """Estimate the time of the remaining trials; return it with the settings of some of them."""
    from study.runner import estimate

    step("composing settings")
    ahead, started = _ahead(plan, standing), time.perf_counter()
    plan.trials.config(ahead[0], plan.space)
    composing = time.perf_counter() - started
    # evenly spread, since neighbours in a grid are alike
    sampled = [plan.trials.spec(ahead[index], plan.space) for index in evenly(len(ahead), MOST_COMPOSED)]
    if measured := estimate.from_records(standing.records, standing.remaining, composing):
        return measured, sampled
    deciding = _deciding(plan)
    programs = len({json.dumps([params.get(key) for key in deciding]) for params in ahead})
    probes = _probes(sampled, plan.uri, step)
    learns, prunes = plan.sampler["name"] in LEARNING, plan.pruner["name"] != "none"
    return estimate.from_probes(probes, sampled, programs, standing.remaining, composing, learns, prunes), sampled


def _deciding(plan: Plan) -> list[str]:
    """Return the searched settings that change the compiled program."""
    from study.runner import estimate

    def program(key: str | None = None, value: Scalar = None) -> object:
        return estimate.program_signature(plan.trials.spec(spaces.example(plan.space, key, value), plan.space))

    usual = program()
    return [key for key, domain in plan.space.items() if any(program(key, value) != usual for value in domain.samples())]


def _probes(sampled: Sequence[TrialSpec], uri: str | None, step: Callable[[str], None]) -> list[Probe]:
    """Probe the cheapest settings, the most expensive, the cheapest again, and others while time remains."""
    from study.runner import estimate

    started, compiled, probes = time.perf_counter(), set(), list[estimate.Probe]()
    by_work = sorted(sampled, key=lambda spec: estimate.work(spec)[1])
    for number, spec in enumerate([by_work[0], by_work[-1], by_work[0], *sampled]):
        passed, program = time.perf_counter() - started, estimate.program_signature(spec)
        if number == 1 and program in compiled:
            continue
        ahead = passed / number if number > 2 else 0.0
        if number > 1 and passed + ahead > estimate.PROBING_SECONDS:
            break
        step(f"training a few settings briefly: number {number + 1} ({passed:.0f} of about {estimate.PROBING_SECONDS:.0f} s)")
        measured = estimate.probe(spec, uri or locations.tracking_uri(None))
        probes.append(replace(measured, compile=None) if program in compiled else measured)
        compiled.add(program)
    return probes


def _show_estimate(estimated: Estimate, start: float) -> None:
    from study.runner import estimate

    end = estimate.END_SHARE * start
    likely, low, high = (report.duration(seconds + start + end) for seconds in (estimated.likely, estimated.low, estimated.high))
    terminal.show_line(f"time: about {likely} ({low} to {high})", "bold")
    parts = {"start": start, **estimated.parts, "end": end}
    terminal.show_line("  " + " · ".join(f"{name} {report.duration(seconds)}" for name, seconds in parts.items()))
    terminal.show_line(f"  estimated from {estimated.basis}")


def _by_server(kept: dict[str, int], uri: str | None) -> dict[str, int]:
    """Count what an MLflow server stores under its address."""
    if uri is None or sqlite.path_of(uri):
        return kept
    there = kept.pop("mlflow.db") + kept.pop("mlruns")
    return kept | {f"at {uri}": there}


def _show_disk(kept: Mapping[str, int]) -> None:
    terminal.show_line(f"disk: about {report.size_text(sum(kept.values()))} in total", "bold")
    terminal.show_line("  " + " · ".join(f"{location} {report.size_text(size)}" for location, size in kept.items()))
    terminal.show_line("a dry run: no trial was run to its end, and nothing was written", "dim")
