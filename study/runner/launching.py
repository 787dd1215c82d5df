"""Run a study as a Hydra multirun, for the sweeper plugin."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn

from study import locations, sqlite
from study.clock import Clock, since_launch
from study.config import grammar, overrides
from study.data import dataset
from study.engine.width import available_cores
from study.errors import BadInput, StudyError
from study.records.arrays import Scalar
from study.records.outcome import Completed, TrialResult
from study.records.trial import Asked, TrialRecord
from study.reporting import narrative, progress, report, study_results, terminal
from study.runner import dry_run, job, onward, planning, race
from study.runner import rounds as train_rounds
from study.runner.ahead import MOST_WAITING, Ahead, open_ahead
from study.runner.planning import HydraSweeper, Plan
from study.search.space import Space
from study.settings import spec as specs
from study.settings.data import UserTable
from study.settings.spec import TrialSpec
from study.tracking import messages, schema, spool

if TYPE_CHECKING:
    from study.reporting.outputs import AnsweredTable
    from study.runner.sweep import Launch
    from study.search.study import Search


TRIALS_SHARE = 0.7  # of the time of a study that is to be decided, for its trials; the rest is for the race


@dataclass(frozen=True)
class Launching:
    """An open study and its launch.

    writer: writes to MLflow, whose page of the study is `page`; None and empty without tracking. launch: runs trials;
    launch_rounds: the rounds of a race; launch_winner: trains so many replicates of its winner together, and raises errors of
    storage and tracking. ahead: compiles programs of trials to come; None where other processes train.
    """

    plan: Plan
    study: Search
    writer: spool.Writer | None
    page: str
    clock: Clock
    launch: Launch
    launch_rounds: race.Train
    launch_winner: Callable[[TrialRecord, int], TrialResult | BaseException]
    ahead: Ahead | None

    def expect(self, batch: Sequence[Asked]) -> None:
        """Compile the programs of the trials that will probably follow this batch."""
        if self.ahead:
            with self.clock.phase("search"):
                following = self.study.expected(MOST_WAITING)
            with self.clock.phase("compose"):
                now, expected = self._specs([asked.params for asked in batch]), self._specs(following)
            self.ahead.expect(expected, now=now)

    def expect_winner(self, leader: TrialRecord) -> None:
        """Compile the program that trains the winner on."""
        if self.ahead and self.plan.settings["settle"]:
            self.ahead.expect([onward.bounded(spec, dataset.load_data(spec)) for spec in self._specs([leader.params])])

    def _specs(self, settings: Sequence[Mapping[str, Scalar]]) -> list[TrialSpec]:
        """Return trials, without those that can't be trained, which their jobs will report."""
        specs = []
        for params in settings:
            with suppress(StudyError, OSError):
                specs.append(self.plan.trials.spec(params, self.plan.space))
        return specs


@dataclass(frozen=True)
class Launched:
    """A study after a launch. whole: all trials have a result, and none failed."""

    name: str
    storage: str
    uri: str | None
    whole: bool


def run_study(sweeper: HydraSweeper, settings: Mapping[str, Any], arguments: Sequence[str]) -> Launched | None:
    """Run or resume the study and report it; return where it is. A dry run only prints its plan.

    All checks come before the first trial, and before anything is written.
    """
    clock = Clock()
    plan = planning.check(sweeper, settings, arguments, clock)
    if settings["dry_run"]:
        dry_run.show_study(plan)
        return None
    with ExitStack() as stack:
        opened = _open(plan, clock, stack.enter_context(open_ahead()) if plan.in_process else None)
        _run(opened)
        _race(opened)
    _conclude(opened)
    whole = not _report_unfinished(opened.study) and not opened.study.failures()
    return Launched(plan.name, plan.storage, plan.uri, whole)


def _report_unfinished(study: Search) -> bool:
    """Report trials that another machine has in work; return whether there are any."""
    unfinished = study.elsewhere()
    if not unfinished:
        return False
    listed = ", ".join(f"{number} ({host})" for number, host in unfinished.items())
    terminal.message(
        f"{len(unfinished)} of {study.n_trials} trials have no result: another machine has them in work, or had: {listed}; "
        "if it is gone: mlp-study doctor --repair",
        "red",
    )
    return True


def _open(plan: Plan, clock: Clock, ahead: Ahead | None) -> Launching:
    recorded = spool.recorded() if plan.uri else []
    writer = spool.writer(plan.uri) if plan.uri else None
    if writer and plan.uri:
        writer.prepare(unwatched=True)
        if not sqlite.path_of(plan.uri):
            with terminal.status("reading the records"), clock.phase("track"):
                planning.check_records(plan.name, plan.storage, plan.uri, partial(writer.trial_runs, plan.name))
    with terminal.status("opening the study"), clock.phase("search"):
        study = plan.resume(plan.storage, recorded)
        study.announce()
    if study.remaining() and plan.in_process:
        with terminal.status("loading TensorFlow"), clock.phase("import"):
            from study.runner import trial  # noqa: F401  the jobs run in this process
    page = ""
    if writer:
        with terminal.status("opening the records"), clock.phase("track"):
            page = writer.open_experiment(plan.name, _columns(plan.space, plan.base))
            writer.disown(plan.name, study.interrupted(), study.wholes() if plan.rules else None)

    def line(params: Mapping[str, Scalar], *more: str) -> list[str]:
        common = [*plan.trials.fixed, f"study.name={grammar.encode(plan.name)}", f"study.storage={grammar.encode(study.storage)}"]
        return [*common, *overrides.assignments(params, plan.space), *more]

    def launch(batch: Sequence[Asked]) -> list[TrialResult | BaseException]:
        lines = [line(asked.params, f"study.trial={asked.number}") for asked in batch]
        return [_result(returned) for returned in plan.launcher.launch(lines, initial_job_idx=batch[0].number)]

    def rival(winner: TrialRecord) -> list[str]:
        default = study.default
        if default is None or not any(record.summary and record.params == default for record in study.records()):
            return []
        text = json.dumps(specs.as_mapping(plan.trials.spec(default, plan.space)))
        return [] if winner.params == default else [f"study.default={grammar.encode(text)}"]

    def launch_winner(winner: TrialRecord, count: int) -> TrialResult | BaseException:
        looked = job.BASELINES if plan.settings["baselines"] else job.NETWORKS
        whole = [f"replicates.count={count}", f"study.whole={winner.number}", f"study.test={looked}", *rival(winner)]
        whole += ["study.onward=true"] if plan.settings["settle"] else []
        result = _result(plan.launcher.launch([line(winner.params, *whole)], initial_job_idx=study.n_trials + winner.number)[0])
        if isinstance(result, StudyError) and not isinstance(result, BadInput):
            raise result
        return result

    def launch_rounds(rounds: Sequence[race.Round]) -> list[TrialResult | BaseException]:
        if plan.in_process:
            return train_rounds.train(rounds, plan.trials, plan.space)
        lines = [
            line(part.params, f"replicates.first={part.first}", f"replicates.count={part.count}", "tracking=none")
            for part in rounds
        ]
        return [_result(returned) for returned in plan.launcher.launch(lines, initial_job_idx=study.n_trials)]

    return Launching(plan, study, writer, page, clock, launch, launch_rounds, launch_winner, ahead)


def _deadline(settings: Mapping[str, Any], share: float = 1.0) -> float:
    """Return when this share of the launch's time is over, by `time.perf_counter`; infinite without `minutes`."""
    left = 60 * share * settings["minutes"] - since_launch() if settings["minutes"] else math.inf
    return time.perf_counter() + left


def _race(opened: Launching) -> None:
    """Decide the study by a race, and train the winner's replicates together, in a run that holds them all."""
    plan, study = opened.plan, opened.study
    if plan.rules is None or (study.remaining() and not plan.settings["minutes"]):
        return
    with terminal.steps("deciding") as show:
        at_once = max(plan.settings["n_jobs"], available_cores() if plan.in_process else 1)
        decision = race.run(
            study,
            plan.rules,
            plan.base.replicates.per_split,
            opened.launch_rounds,
            at_once,
            show,
            opened.clock,
            _deadline(plan.settings),
            opened.expect_winner,
        )
        if decision is None or decision.winner is None:
            return
        [winner] = [record for record in study.records() if record.number == decision.winner]
        count = decision.used[decision.winner]
        if not study.is_whole(winner.number, count):
            show(f"training the {count} replicates of trial {winner.number} together")
            start = time.perf_counter()
            result = opened.launch_winner(winner, count)
            if isinstance(result, TrialResult) and result.summary:
                study.tell_whole(winner.number, result)
                opened.clock.add_jobs(time.perf_counter() - start, [result.seconds])
            else:
                terminal.message(f"the replicates of trial {winner.number} were not trained together: {_failure(result)}", "red")


def _failure(result: TrialResult | BaseException) -> str:
    if isinstance(result, TrialResult):
        return "" if isinstance(result.outcome, Completed) else result.outcome.reason
    return f"{type(result).__name__}: {result}"


def _run(opened: Launching) -> None:
    from study.runner import sweep

    study, settings = opened.study, opened.plan.settings
    best = report.ranked(study.records(), study.objectives[0])
    done = before = study.n_trials - study.remaining()
    for line in planning.opening(opened.plan, study.n_trials, study.exhaustive, done):
        terminal.message(line, "bold", fold=True)
    with progress.StudyProgress(
        study.n_trials, done, best[0].value if best else None, study.objectives[0], opened.plan.base.replicates.count
    ) as shown:
        try:
            most_failures = settings["max_failure_rate"] * study.n_trials
            until = _deadline(settings, TRIALS_SHARE if opened.plan.rules else 1.0)
            while not (
                stopped := sweep.run(
                    study, opened.launch, shown, settings["n_jobs"], most_failures, opened.clock, until, opened.expect
                )
            ):
                # a race is between all trials
                if opened.plan.rules is None or not sweep.others_left_trials(study, terminal.message, until):
                    break
        except KeyboardInterrupt:
            done = study.n_trials - study.remaining()
            terminal.message(f"interrupted after {done} of {study.n_trials} trials; the same command resumes")
            raise
    if stopped:
        terminal.message(f"stopped: {stopped}" if study.remaining() else stopped, "red")
    elif (remaining := study.remaining()) and time.perf_counter() > until:
        done = study.n_trials - remaining
        goes_on = "the same command goes on" if done > before else "a launch needs more to begin a trial"
        terminal.message(f"the time (hydra.sweeper.minutes) was over after {done} of {study.n_trials} trials; {goes_on}")


def _conclude(opened: Launching) -> None:
    """Show the study's findings, and store them with its records."""
    plan, study, writer, clock = opened.plan, opened.study, opened.writer, opened.clock
    findings = study_results.read(study.storage, study.name)
    terminal.show_findings(findings)
    networks, crowned = study_results.Networks(), list[str]()
    if writer and plan.uri:
        with terminal.status("writing the last records"), clock.phase("track"):
            writer.drain()
            # again, since the writer of a killed driver may have finished a run meanwhile
            writer.disown(study.name, study.interrupted(), study.wholes() if plan.rules else None)
            if plan.rules:
                writer.keep_race(study.name, [messages.RacedTrial.of(run_id, record) for run_id, record in study.raced()])
        crowned = _crown(findings, plan, clock)
        try:
            with terminal.status("comparing the networks"), clock.phase("analyse"):
                networks = study_results.networks(findings, plan.uri)
        except StudyError as error:  # another process may still be sending them; the study is complete without
            terminal.message(f"the trials' networks were not compared: {error}")
    with terminal.status("drawing the report"), clock.phase("report"):
        from study.reporting import outputs  # plotly, which refused input needn't wait for

        page = outputs.write_report(findings, networks, plan.folder)
        portrait = outputs.write_best_portrait(findings, networks, plan.folder)
    if networks.factor:
        terminal.show_table(networks.factor.table)
        terminal.show_text(networks.factor.answer)
    terminal.message(f"report: {page}", "dim")
    if portrait:
        terminal.message(f"networks{' of the best trial' * (len(findings.objectives) == 1)}: {portrait.file}", "dim")
    if writer:
        with terminal.status("writing the last records"), clock.phase("track"):
            _keep(findings, outputs.tables(findings, networks), page, writer)
            if portrait:
                writer.keep_files(portrait.run_id, [portrait.file])
        for line in crowned:
            terminal.message(line, "dim")
    terminal.message(f"study {study.name}: {report.seconds_text(clock.seconds, since_launch())}", "dim", fold=True)
    where = f" --storage {shlex.quote(plan.settings['storage'])}" if plan.settings["storage"] else ""
    terminal.message(f"again: mlp-study show {shlex.quote(study.name)}{where}", "dim")
    if plan.uri:
        server = plan.uri.rstrip("/") if plan.uri.startswith("http") else "mlp-study ui, then http://127.0.0.1:5000"
        terminal.message(f"in the browser: {server}{opened.page}", "dim")


def _keep(findings: study_results.Findings, answered: Sequence[AnsweredTable], page: Path, writer: spool.Writer) -> None:
    texts = {"trials.md": report.markdown(findings.table)}
    texts["answer.txt"] = f"{findings.answer}\n{findings.win}"
    if findings.effects:
        texts["settings.md"] = report.markdown(narrative.effects_table(findings.effects, findings.objective))
    tags = {"answer": str(findings.answer), "win": findings.win, "best": (findings.best.run_id or "") if findings.best else ""}
    tags[schema.HEADLINE] = findings.decided[0] or f"{findings.answer.headline}."
    for question in answered:
        texts[question.file] = f"{report.markdown(question.table)}\n{question.answer}\n"
        tags[question.tag] = question.answer
    writer.keep_study(findings.name, tags, schema.parameters(findings.settings), texts, [page])


def _crown(findings: study_results.Findings, plan: Plan, clock: Clock) -> list[str]:
    """Save the best trial's networks as a Keras model; return lines on it, none if there are no networks.

    A failure is only reported, since the study is complete without.
    """
    assert plan.uri
    try:
        with terminal.status("saving the champion"), clock.phase("report"):
            from study.results import champion  # pandas and MLflow

            kept = champion.keep(findings, plan.uri)
    except StudyError as error:
        return [f"the champion was not saved as a Keras model: {error}"]
    if not kept:
        return []
    of = f"mean of the {kept.members} networks" if kept.members > 1 else "network"
    lines = [f"champion: models:/{kept.model_id}, the {of} of trial {kept.trial}"]
    if isinstance(plan.base.data, UserTable):
        where = "" if plan.uri == locations.tracking_uri(None) else f" --tracking-uri {shlex.quote(plan.uri)}"
        lines.append(f"predict new rows: mlp-study predict {shlex.quote(findings.name)} rows.csv{where}")
    return lines


def _columns(space: Space, base: TrialSpec) -> list[str]:
    """Return the logged settings that the search varies."""
    logged = ("model.units" if key in ("model.width", "model.depth") else key for key in space)
    return [key for key in dict.fromkeys(logged) if key in specs.flat(base)]


def _result(returned: JobReturn) -> TrialResult | BaseException:
    # `return_value` raises what a failed job raised; the coordinator wants it as a value
    result = returned._return_value
    return result if isinstance(result, TrialResult | BaseException) else RuntimeError(f"the job returned {result!r}")
