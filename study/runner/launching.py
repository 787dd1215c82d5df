"""A study as a Hydra multirun: what the sweeper plugin does."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn

from study.clock import STARTED, Clock
from study.config import grammar, overrides
from study.errors import FAILED_TRIALS_EXIT_CODE, BadInput, StudyError
from study.records.arrays import Scalar
from study.records.outcome import TrialResult
from study.records.trial import Asked, TrialRecord
from study.reporting import answers, narrative, outputs, report, study_results, terminal
from study.results import champion
from study.runner import dry_run, planning
from study.runner.planning import HydraSweeper, Plan
from study.search.space import Space
from study.settings import spec as specs
from study.settings.spec import TrialSpec
from study.tracking import spool

if TYPE_CHECKING:
    from study.runner.sweep import Launch
    from study.search.study import Search


MOST_FINALISTS = 8


@dataclass(frozen=True)
class Launching:
    """A study that is open, and all that its launch asked for.

    writer: to MLflow, whose page of the study is `page`; without tracking there is neither. launch, launch_final: run trials, or a
    finalist (its record, the first replicate, how many).
    """

    plan: Plan
    study: Search
    writer: spool.Writer | None
    page: str
    clock: Clock
    launch: Launch
    launch_final: Callable[[TrialRecord, int, int], TrialResult | BaseException]


def run_study(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str]) -> list[TrialRecord]:
    """Runs or resumes the study and reports it; returns its trials' records. A dry run only tells what would be done.

    Everything is checked before the first trial, and before anything is written. Exits with 5 if a trial failed.
    """
    clock = Clock()
    plan = planning.check(sweeper, settings, arguments, clock)
    if settings["dry_run"]:
        dry_run.of_study(plan)
        return []
    opened = _open(plan, clock)
    _run(opened)
    records = _conclude(opened)
    if opened.study.failures():
        raise SystemExit(FAILED_TRIALS_EXIT_CODE)
    return records


def _open(plan: Plan, clock: Clock) -> Launching:
    """Opens the study and its records."""
    recorded = spool.recorded() if plan.uri else []
    writer = spool.writer(plan.uri) if plan.uri else None
    if writer:
        writer.prepare()
    with terminal.status("opening the study"), clock.phase("search"):
        study = plan.resume(plan.storage, recorded)
    if study.remaining() and plan.in_process:
        with terminal.status("loading TensorFlow"), clock.phase("import"):
            from study.runner import trial  # noqa: F401  the jobs run in this process
    page = ""
    if writer:
        with terminal.status("opening the records"), clock.phase("track"):
            page = writer.open_experiment(plan.name, _columns(plan.space, plan.base))
            writer.disown(plan.name, study.interrupted())

    def line(params: Mapping[str, Scalar], *more: str) -> list[str]:
        common = [*plan.trials.fixed, f"study.name={grammar.encode(plan.name)}", f"study.storage={grammar.encode(study.storage)}"]
        return [*common, *overrides.assignments(params, plan.space), *more]

    def launch(batch: Sequence[Asked]) -> list[TrialResult | BaseException]:
        lines = [line(each.params, f"study.trial={each.number}") for each in batch]
        return [_result(each) for each in plan.launcher.launch(lines, initial_job_idx=batch[0].number)]

    def launch_final(record: TrialRecord, first: int, count: int) -> TrialResult | BaseException:
        lines = [line(record.params, f"replicates.first={first}", f"replicates.count={count}")]
        return _result(plan.launcher.launch(lines, initial_job_idx=study.n_trials + record.number)[0])

    return Launching(plan, study, writer, page, clock, launch, launch_final)


def _run(opened: Launching) -> None:
    """Runs the trials that remain."""
    from study.runner import sweep

    study, settings = opened.study, opened.plan.settings
    best = report.ranked(study.records(), study.objectives[0])
    done = study.n_trials - study.remaining()
    terminal.message(planning.opening(opened.plan, study.n_trials, study.exhaustive, done), "bold")
    with terminal.StudyProgress(
        study.n_trials, done, best[0].value if best else None, study.objectives[0], opened.plan.base.replicates.count
    ) as progress:
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
    plan, study, writer, clock = opened.plan, opened.study, opened.writer, opened.clock
    if plan.settings["finalists"] and plan.base.replicates.crossed is None:
        _train_finalists(opened, study.records())
    found = study_results.read(study.storage, study.name)
    terminal.show_findings(found)
    networks = study_results.Networks()
    if writer and plan.uri:
        with terminal.status("writing the last records"), clock.phase("track"):
            writer.drain()
            # again, since the writer of a driver that was killed may have finished a run meanwhile
            writer.disown(study.name, study.interrupted())
        try:
            with terminal.status("comparing the networks"), clock.phase("analyse"):
                networks = study_results.networks(found, plan.uri)
        except StudyError as error:  # another process may still be sending them; the study itself is done
            terminal.message(f"the trials' networks aren't compared: {error}")
    with terminal.status("drawing the report"), clock.phase("report"):
        page = outputs.write_report(found, networks, plan.folder)
        portrait = outputs.write_best_portrait(found, networks, plan.folder)
    if networks.factor:
        terminal.show_table(networks.factor.table)
        terminal.show_text(networks.factor.answer)
    terminal.message(f"report: {page}", "dim")
    if portrait:
        terminal.message(f"networks of the best trial: {portrait.file}", "dim")
    if writer:
        with terminal.status("writing the last records"), clock.phase("track"):
            _keep(found, outputs.tables(found, networks), page, writer)
            if portrait:
                writer.keep_files(portrait.run_id, [portrait.file])
        if plan.uri:
            _crown(found, plan.uri, clock)
    terminal.message(f"study {study.name}: {report.seconds_text(clock.seconds, time.perf_counter() - STARTED)}", "dim")
    where = f" --storage {shlex.quote(plan.settings['storage'])}" if plan.settings["storage"] else ""
    terminal.message(f"again: mlp-study show {shlex.quote(study.name)}{where}", "dim")
    if plan.uri:
        server = plan.uri.rstrip("/") if plan.uri.startswith("http") else "mlp-study ui, then http://127.0.0.1:5000"
        terminal.message(f"in the browser: {server}{opened.page}", "dim")
    return found.records


def _keep(found: study_results.Findings, answered: Sequence[outputs.AnsweredTable], page: Path, writer: spool.Writer) -> None:
    """Put tables, answers and the page into the study's run."""
    texts = {"trials.md": report.markdown(report.table(found.records, found.objectives, found.front))}
    texts["answer.txt"] = f"{found.answer}\n{found.win}"
    if found.effects:
        texts["settings.md"] = report.markdown(narrative.effects_table(found.effects, found.objective))
    tags = {"answer": str(found.answer), "win": found.win, "best": (found.best.run_id or "") if found.best else ""}
    for question in answered:
        texts[question.file] = f"{report.markdown(question.table)}\n{question.answer}\n"
        tags[question.tag] = question.answer
    writer.keep_study(found.name, tags, texts, [page])


def _crown(found: study_results.Findings, uri: str, clock: Clock) -> None:
    """Keeps the best network as a Keras model. Without it the study is done all the same."""
    try:
        with terminal.status("keeping the best network as a Keras model"), clock.phase("report"):
            kept = champion.keep(found, uri)
    except StudyError as error:
        terminal.message(f"the best network isn't kept as a Keras model: {error}")
        return
    if kept:
        terminal.message(f"champion: models:/{kept.model_id}, replicate {kept.replicate} of trial {kept.trial}", "dim")


def _train_finalists(opened: Launching, records: Sequence[TrialRecord]) -> None:
    """Trains the settings that may be the best with fresh replicates that no trial has had, unless that is done."""
    plan, study = opened.plan, opened.study
    count = plan.settings["finalists"]
    objective = study.objectives[0]
    chosen = answers.choice(records, objective)
    if chosen is None or chosen.decided:
        why = "no winner can be named" if chosen is None else "the search has decided"
        terminal.message(f"no finalists are trained: {why}")
        return
    done = {each.number for each in study.finals() if each.summary and len(each.summary.val_losses) == count}
    tied = [record for number in chosen.tied[:MOST_FINALISTS] for record in records if record.number == number]
    if len(chosen.tied) > MOST_FINALISTS:
        terminal.message(f"of {len(chosen.tied)} finalists the best {MOST_FINALISTS} are trained again")
    fresh = plan.base.replicates.first + len(objective.of_replicates(tied[0].summary) if tied[0].summary else ())
    for record in tied:
        if record.number not in done:
            with terminal.status(f"training trial {record.number} again with {count} fresh replicates"):
                result = opened.launch_final(record, fresh, count)
            if isinstance(result, StudyError) and not isinstance(result, BadInput):
                raise result
            summary = result.summary if isinstance(result, TrialResult) else None
            if isinstance(result, TrialResult) and summary:
                study.tell_final(replace(record, summary=summary, run_id=result.run_id, values=[objective.value(summary)]))
            told = f"val loss {report.loss_text(summary)}" if summary else "no result"
            terminal.message(f"finalist {record.number}: {told}")


def _columns(space: Space, base: TrialSpec) -> list[str]:
    """The logged settings that the search varies."""
    logged = ("model.units" if key in ("model.width", "model.depth") else key for key in space)
    return [key for key in dict.fromkeys(logged) if key in specs.flat(base)]


def _result(returned: JobReturn) -> TrialResult | BaseException:
    # `return_value` raises what a failed job raised; the coordinator wants it as a value
    result = returned._return_value
    return result if isinstance(result, TrialResult | BaseException) else RuntimeError(f"the job gave back {result!r}")
