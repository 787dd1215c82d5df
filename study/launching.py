"""A study as a Hydra multirun: what the sweeper plugin does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from study import (
    composition,
    conclusions,
    dataset,
    decode,
    effects,
    job,
    objectives,
    overrides,
    places,
    report,
    sqlite,
    starting,
    terminal,
)
from study import space as spaces
from study import spec as specs
from study.clock import STARTED, Clock
from study.errors import FAILED_TRIALS_EXIT_CODE, BadInput, Fault, StudyError, check_writable
from study.records import Asked, Scalar, TrialRecord, TrialResult
from study.settings import rules
from study.space import Space
from study.spec import TrialSpec
from study.tracking import spool

if TYPE_CHECKING:
    from study.search import Search
    from study.sweep import Launch


MOST_FINALISTS = 8


class HydraSweeper(Protocol):
    """What Hydra has given to a sweeper in its `setup`."""

    config: DictConfig | None
    launcher: Launcher | None
    hydra_context: HydraContext | None


@dataclass(frozen=True)
class Launching:
    """A study that is open, and all that its launch asked for.

    base: the first setting; identity: the fixed ones, as text; folder: Hydra's, of this launch; writer: to MLflow at uri, whose
    page of the study is `page`; without tracking there are none of these. launch, launch_final: run trials, or a finalist (its
    record, the first replicate, how many).
    """

    study: Search
    base: TrialSpec
    identity: Mapping[str, str]
    settings: Mapping[str, Any]
    folder: Path
    uri: str | None
    writer: spool.Writer | None
    page: str
    clock: Clock
    launch: Launch
    launch_final: Callable[[TrialRecord, int, int], TrialResult | BaseException]


def run_study(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str]) -> list[TrialRecord]:
    """Runs or resumes the study and reports it; returns its trials' records.

    Everything is checked before the first trial, and before anything is written. Exits with 5 if a trial failed.
    """
    opened = _open(sweeper, settings, arguments)
    _run(opened)
    records = _conclude(opened)
    if opened.study.failures():
        raise SystemExit(FAILED_TRIALS_EXIT_CODE)
    return records


def _open(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str]) -> Launching:
    """Checks everything, then opens the study and its records."""
    assert sweeper.config is not None and sweeper.launcher is not None and sweeper.hydra_context is not None
    config, launcher, loader = sweeper.config, sweeper.launcher, sweeper.hydra_context.config_loader
    clock = Clock()

    def compose(lines: Sequence[str]) -> DictConfig:
        try:
            return loader.load_configuration(config.hydra.job.config_name, list(lines), RunMode.RUN)
        except composition.REFUSALS as error:
            raise composition.bad_input(error) from error

    sampler, uri = decode.section(config, "sampler"), job.store_uri(decode.section(config, "tracking"))
    writer = spool.writer(uri) if uri else None
    with terminal.status("checking the settings"), clock.phase("compose"):
        space, fixed = overrides.split(arguments, settings["params"] or {}, settings["default_params"] or {}, loader)
        _check_settings(settings)
        storage = places.storage(settings["storage"])
        sqlite.check(storage)
        check_writable(Path(config.hydra.sweep.dir))
        base = check_space(space, fixed, compose, uri or places.tracking_uri(None))
    goals = objectives.parse(settings["objective"], settings["direction"], base.data.task)
    with terminal.status("loading Optuna"), clock.phase("import"):
        from study import search
    search.check(sampler, decode.section(config, "pruner"), space, goals, base.replicates.count)
    recorded = spool.recorded() if writer else []
    if writer:
        writer.prepare()

    identity = {key: value for key, value in specs.flat(base).items() if key not in space} | {"data.task": base.data.task}
    # a table is known by what it holds, wherever it lies
    identity = {key: value for key, value in identity.items() if key != "data.path"} | {"data.digest": dataset.digest(base)}
    choice = config.hydra.runtime.choices.get("experiment")
    name = settings["study_name"] or study_name(choice or base.data.name, identity, space)
    with terminal.status("opening the study"), clock.phase("search"):
        study = search.Search(
            name=name,
            storage=storage,
            objectives=goals,
            space=space,
            sampler=sampler,
            seed=base.seed,
            n_trials=settings["n_trials"],
            identity=identity,
        )
        for each in recorded:
            if each.study == name:
                study.adopt(each.number, each.result, each.written)
        study.reap()
    if study.remaining() and isinstance(launcher, BasicLauncher):
        with terminal.status("loading TensorFlow"), clock.phase("import"):
            from study import trial  # noqa: F401  the jobs run in this process
    page = ""
    if writer:
        with terminal.status("opening the records"), clock.phase("track"):
            page = writer.ask(op="experiment", name=name, columns=_columns(space, base))["page"]
            writer.send(op="disown", name=name, trials=study.interrupted())

    def line(params: Mapping[str, Scalar], *more: str) -> list[str]:
        common = [*fixed, f"study.name={overrides.encode(name)}", f"study.storage={overrides.encode(study.storage)}"]
        return [*common, *overrides.assignments(params), *more]

    def launch(batch: Sequence[Asked]) -> list[TrialResult | BaseException]:
        lines = [line(each.params, f"study.trial={each.number}") for each in batch]
        return [_result(each) for each in launcher.launch(lines, initial_job_idx=batch[0].number)]

    def launch_final(record: TrialRecord, first: int, count: int) -> TrialResult | BaseException:
        lines = [line(record.params, f"replicates.first={first}", f"replicates.count={count}")]
        return _result(launcher.launch(lines, initial_job_idx=study.n_trials + record.number)[0])

    folder = Path(config.hydra.sweep.dir)
    return Launching(study, base, identity, settings, folder, uri, writer, page, clock, launch, launch_final)


def _run(opened: Launching) -> None:
    """Runs the trials that remain."""
    from study import sweep

    study, settings = opened.study, opened.settings
    best = report.ranked(study.records(), study.objectives[0])
    done = study.n_trials - study.remaining()
    terminal.message(_opening(study, opened.base, done), "bold")
    with terminal.StudyProgress(study.n_trials, done, best[0].value if best else None, study.objectives[0]) as progress:
        try:
            most_failures = settings["max_failure_rate"] * study.n_trials
            stopped = sweep.run(study, opened.launch, progress, settings["n_jobs"], most_failures, opened.clock)
        except KeyboardInterrupt:
            done = study.n_trials - study.remaining()
            terminal.message(f"interrupted after {done} of {study.n_trials} trials; the same command goes on from there")
            raise
    if stopped:
        terminal.message(f"stopped: {stopped}", "red")


def _conclude(opened: Launching) -> list[TrialRecord]:
    """Shows what the study found, and keeps it with its records."""
    study, writer, clock = opened.study, opened.writer, opened.clock
    goals, records, front = study.objectives, study.records(), study.front()
    table, answer = report.table(records, goals, front), report.answer(records, goals[0], opened.identity)
    terminal.show_table(table)
    terminal.show_text(answer)
    if win := " ".join(filter(None, (report.choice_text(report.choice(records, goals[0])), report.front_text(front, goals)))):
        terminal.show_text(win)
    if opened.settings["finalists"] and opened.base.replicates.crossed is None:
        _train_finalists(opened, records)
    if final := terminal.show_finals(study.finals(), goals[0]):
        win = f"{win} {final}"
    texts = {"trials.md": report.markdown(table), "answer.txt": f"{answer}\n{win}"}
    if found := effects.effects(records, study.importances()):
        terminal.show_table(report.effects_table(found))
        texts["settings.md"] = report.markdown(report.effects_table(found))
    if writer:
        with terminal.status("writing the last records"), clock.phase("track"):
            writer.drain()
            # again, since the writer of a driver that was killed may have finished a run meanwhile
            writer.send(op="disown", name=study.name, trials=study.interrupted())
    ended = list(_conclusions(conclusions.conclude(opened.uri, study.space, records, goals, front, opened.folder), clock))
    if writer:
        best = report.ranked(records, goals[0])
        tags = {"answer": answer, "win": win, "best": (best[0].run_id or "") if best else ""}
        for each in ended:
            if each.table:
                texts |= {f"{each.picture.stem}.md": f"{report.markdown(each.table)}\n{each.answer}\n"}
                tags[each.tag] = each.answer
        with terminal.status("writing the last records"), clock.phase("track"):
            for each in ended:
                if each.run_id:
                    writer.ask(op="files", run_id=each.run_id, files=[str(each.picture.absolute())])
            files = [str(each.picture.absolute()) for each in ended]
            writer.ask(op="study", name=study.name, tags=tags, texts=texts, files=files)
    terminal.message(f"study {study.name}: {report.seconds_text(clock.seconds, time.perf_counter() - STARTED)}", "dim")
    terminal.message(f"again: mlp-study show {study.name}", "dim")
    if opened.uri:
        server = opened.uri.rstrip("/") if opened.uri.startswith("http") else "mlflow ui, then http://127.0.0.1:5000"
        terminal.message(f"in the browser: {server}{opened.page}", "dim")
    return records


def _train_finalists(opened: Launching, records: Sequence[TrialRecord]) -> None:
    """Trains the settings that can't be told from the best with fresh replicates that no trial has had, unless that is done."""
    study, count = opened.study, opened.settings["finalists"]
    objective = study.objectives[0]
    chosen = report.choice(records, objective)
    if chosen is None or chosen.decided:
        return
    done = {each.number for each in study.finals() if each.summary and len(each.summary.val_losses) == count}
    tied = [record for number in chosen.tied[:MOST_FINALISTS] for record in records if record.number == number]
    if len(chosen.tied) > MOST_FINALISTS:
        terminal.message(f"of {len(chosen.tied)} finalists the best {MOST_FINALISTS} are trained again")
    for record in tied:
        if record.number not in done:
            with terminal.status(f"training trial {record.number} again with {count} fresh replicates"):
                result = opened.launch_final(record, opened.base.replicates.first + chosen.replicates, count)
            if isinstance(result, StudyError) and not isinstance(result, BadInput):
                raise result
            summary = result.summary if isinstance(result, TrialResult) else None
            if isinstance(result, TrialResult) and summary:
                study.tell_final(replace(record, summary=summary, run_id=result.run_id, values=[objective.value(summary)]))
            told = f"val loss {report.loss_text(summary)}" if summary else "no result"
            terminal.message(f"finalist {record.number}: {told}")


def _conclusions(found: Iterator[conclusions.Conclusion], clock: Clock) -> Iterator[conclusions.Conclusion]:
    """Shows each as it comes, until the records of a trial can't be had."""
    while True:
        try:
            with terminal.status("comparing the networks"), clock.phase("analyse"):
                each = next(found, None)
        except StudyError as error:  # another process may still be sending them; the study itself is done
            terminal.message(f"the trials' networks aren't compared: {error}")
            return
        if each is None:
            return
        if each.table:
            terminal.show_table(each.table)
            terminal.show_text(each.answer)
        terminal.message(f"picture: {each.picture}", "dim")
        yield each


def study_name(prefix: str, identity: Mapping[str, str], space: Space) -> str:
    """A name that only depends on what is searched and trained, so that the same command resumes the same study."""
    content = json.dumps([identity, {key: str(domain) for key, domain in space.items()}], sort_keys=True)
    return f"{prefix}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"


def check_space(space: Space, fixed: Sequence[str], compose: Callable[[Sequence[str]], DictConfig], uri: str) -> TrialSpec:
    """Tries every choice and both ends of every interval beside the first values of the others; returns the first setting.

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

    first = spaces.example(space)
    base = attempt(first)
    tried = [first]
    for key, domain in space.items():
        for value in domain.samples():
            params = spaces.example(space, key, value)
            if params not in tried:
                tried.append(params)
                attempt(params)
    if faults or base is None:
        raise BadInput({str(fault): fault for fault in faults}.values())
    return base


def _columns(space: Space, base: TrialSpec) -> list[str]:
    """The logged settings that the search varies."""
    logged = ("model.units" if key in ("model.width", "model.depth") else key for key in space)
    return [key for key in dict.fromkeys(logged) if key in specs.flat(base)]


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


def _result(returned: JobReturn) -> TrialResult | BaseException:
    # `return_value` raises what a failed job raised; the coordinator wants it as a value
    result = returned._return_value
    return result if isinstance(result, TrialResult | BaseException) else RuntimeError(f"the job gave back {result!r}")


def _opening(study: Search, base: TrialSpec, done: int) -> str:
    networks = study.n_trials * base.replicates.count
    what = "every setting of" if study.exhaustive else "sampling"
    lines = [
        f"study {study.name}: {study.n_trials} trials × {base.replicates.count} replicates = {networks} networks "
        f"on {base.data.name}, {what}:",
        *(f"  {key}: {domain}" for key, domain in study.space.items()),
    ]
    return "\n".join(lines + ([f"  {done} trials are done already"] if done else []))
