"""The `mlp-study` command: Hydra's command line for training, click's for looking at what was trained."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import click
import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from study import flags, locations, processes, redaction
from study.cli import completion, runs, studies
from study.cli.group import commands
from study.clock import STARTED
from study.config import composition, grammar, precedence, source
from study.config.refusals import REFUSALS
from study.errors import FAILED_TRIALS_EXIT_CODE, BadInput, Stopped, StudyError, refused
from study.records.outcome import Completed, TrialResult
from study.reporting import headlines, narrative, report, terminal
from study.runner import job
from study.settings.rules import suggestion
from study.statistics.objectives import MAE
from study.tracking import spool

# each module adds its commands at its import
MODULES = (runs, studies)
commands.add_command(completion.completion)

# Hydra's options that print something, or launch a job of their own
ANSWERED_BY_HYDRA = ("help", "hydra_help", "cfg", "info", "shell_completion", "resolve", "package", "experimental_rerun")
# the records' writer continues alone after that
LEAVE_SECONDS = 2.5
WORKERS_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code: 0 done, 2 bad input, 3 unreachable, 4 not writable, 5 failed trials, 6 corrupt."""
    of_process = arguments is None
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sys.excepthook = redaction.excepthook
    if of_process and (asked := os.environ.get(completion.VARIABLE)):
        print(completion.answer(commands, asked))
        return
    if of_process:
        processes.settle_user()
        faulthandler.enable(all_threads=False)  # or else a library that gets no memory may end the process without a word
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup
                signal.signal(number, _stop)
    try:
        _run(arguments)
        terminal.check_output()
    except BrokenPipeError:
        sys.exit(128 + signal.SIGPIPE)
    except (StudyError, HydraException, OmegaConfBaseException, click.ClickException, OSError, MemoryError) as error:
        if not (refusal := _refusal(error)):
            raise
        terminal.error(str(refusal), error)
        sys.exit(refusal.exit_code)
    except (KeyboardInterrupt, click.Abort) as stopped:
        code = stopped.exit_code if isinstance(stopped, Stopped) else 130
        if of_process:
            _leave(code)
        sys.exit(code)


def _run(arguments: list[str]) -> None:
    terminal.speak()
    locations.check_arguments(arguments)
    options, rest = flags.taken(arguments)
    terminal.speak(quiet=options.quiet, verbose=options.verbose)
    first = rest[0] if rest else ""
    if "--version" in rest:
        terminal.show_text(f"{completion.PROGRAM} {metadata.version(completion.PROGRAM)}")
    elif first in commands.commands:
        # a command accepts the flag only if it has a dry run too
        commands.main([*rest, *["--dry-run"] * options.dry_run], prog_name=completion.PROGRAM, standalone_mode=False)
    elif first.replace("-", "").isalpha() and not first.startswith("-"):
        meant = suggestion(first, commands.commands)
        raise BadInput(f"no command {first}: {meant or 'mlp-study --help lists the commands; '}settings are key=value")
    else:
        _launch(rest, options.dry_run)


def _refusal(error: Exception) -> StudyError | None:
    """Translate an error into one with an exit code and a message for the user; None for a bug."""
    if isinstance(error, StudyError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return composition.bad_input(error)
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        return BadInput(shown.getvalue())
    if isinstance(error, MemoryError):
        return BadInput(f"the data and the networks don't fit into memory: {error}")
    return refused(error, f"a file in {Path.cwd()}") if isinstance(error, OSError) else None


def _stop(number: int, _: object) -> None:
    """Stop the program cleanly; at a second signal, at once, which the records survive too."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda number, _: os._exit(128 + number))
    raise Stopped(number)


def _leave(code: int) -> None:
    """End the process and its workers without waiting for their current legs."""
    until = time.monotonic() + WORKERS_SECONDS
    for worker in (workers := processes.children() - spool.writers()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
    while workers & processes.children() and time.monotonic() < until:
        time.sleep(0.05)
    spool.close_all(LEAVE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # of a closed terminal
            stream.flush()
    os._exit(code)


def _launch(arguments: list[str], dry_run: bool) -> None:
    # with this, Hydra raises errors instead of printing them, and `main` prints them in our own form
    os.environ["HYDRA_FULL_ERROR"] = "1"
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # reported like every other bad input
    parsed = parser.parse_intermixed_args(arguments)
    chosen = source.Source(parsed.config_name or source.CONFIG_NAME, parsed.config_path, parsed.config_dir)
    chosen.check()
    lines = grammar.quote_columns(parsed.overrides)
    if any(getattr(parsed, option) for option in ANSWERED_BY_HYDRA):
        _let_hydra_answer([word for word in arguments if word not in parsed.overrides], lines, parsed.multirun)
        return
    with chosen.application() as application:
        config = None if parsed.multirun else composition.compose_launch(application, lines, chosen)
        if config:
            _launch_trial(application, config, chosen.name, dry_run)
            return
        # the sweeper reads dry_run from a setting
        searched = [*precedence.allow_searched_kinds(lines), *["hydra.sweeper.dry_run=true"] * dry_run, "hydra.mode=MULTIRUN"]
        try:
            application.multirun(chosen.name, _run_job, searched)
        except REFUSALS:
            composition.check_fixed(lines, chosen)
            raise


def _let_hydra_answer(options: list[str], lines: list[str], multirun: bool) -> None:
    """Run Hydra's own command line for options that only print something."""
    if multirun:
        # Hydra shows the config of one job, and refuses --multirun with it
        options = [option for option in options if option not in ("--multirun", "-m")]
        lines = [line for line in lines if not composition.searches(line)]
    sys.argv = [sys.argv[0], *options, *lines]
    launch = hydra.main(version_base=source.VERSION_BASE, config_path=str(source.config_folder()), config_name=source.CONFIG_NAME)
    try:
        launch(_run_job)()
    except ValueError as error:  # options that exclude each other
        raise BadInput(str(error)) from error


def _launch_trial(application: Hydra, config: DictConfig, name: str, dry_run: bool) -> None:
    """Check a launch of one trial before Hydra makes its folder, and train it unless this is a dry run."""
    asked = job.from_config(config, single=True)
    reading = job.check(asked)
    if dry_run:
        from study.runner.dry_run import show_trial

        show_trial(config, asked, reading)
        return
    for line in reading.splitlines():
        terminal.message(line, "dim")
    # already composed, so Hydra needn't do it again
    application.config_loader.load_configuration = lambda *_, **__: config  # type: ignore[method-assign]
    application.run(name, lambda _: _train(asked), [])


def _refuse(message: str) -> NoReturn:
    raise BadInput(f"{message}; see mlp-study --help and --hydra-help")


def _run_job(config: DictConfig) -> TrialResult:
    if HydraConfig.get().runtime.choices["hydra/launcher"] != "basic":
        processes.end_with_parent()
    # paths of records and tables don't depend on the folder that `hydra.job.chdir` changes to
    with contextlib.chdir(HydraConfig.get().runtime.cwd):
        return job.run(job.from_config(config))


def _train(asked: job.Job) -> TrialResult:
    with contextlib.chdir(HydraConfig.get().runtime.cwd):
        try:
            with terminal.TrialProgress(asked.spec.training.epochs) as progress:
                result = job.run(asked, progress)
            _show_result(result)
            _portray(result, asked)
        except StudyError as error:
            # reported here, since Hydra would announce it as a crash of the job
            terminal.error(str(error), error)
            raise SystemExit(error.exit_code) from error
    if not isinstance(result.outcome, Completed):
        raise SystemExit(FAILED_TRIALS_EXIT_CODE)
    return result


def _show_result(result: TrialResult) -> None:
    if summary := result.summary:
        count = len(summary.val_losses)
        apart = f"{summary.distinct} different fingerprints, {report.number(summary.distance)} apart (relative L2)"
        if summary.distinct == 1:
            apart = "one fingerprint: the same weights, bit for bit"
        mean = "mean" if summary.val_loss_halfwidth is None else "mean ± 95 % interval"
        over = f" ({mean} over {count} replicates)" if count > 1 else ""
        pairs = f"; {apart}, disagreement {report.number(summary.disagreement)}" if count > 1 else ""
        terminal.show_text(f"validation loss {report.loss_text(summary)}{over}; {report.labels_text(summary)}{pairs}")
        if scores := report.scores_text(summary):
            notes = ["means over the replicates"] * (count > 1) + ["MAE on the normalised target"] * (MAE in summary.scores)
            terminal.show_text(f"{scores} ({', '.join(notes)})" if notes else scores)
        if summary.verdict:
            terminal.show_text(f"{headlines.headline(summary)}.", "bold")
            terminal.show_text(f"verdict: {summary.verdict}: {'; '.join(summary.reasons)}")
        if summary.blame:
            terminal.show_table(narrative.blame_table(summary.blame))
            terminal.show_text(narrative.blame_answer(summary.blame))
    else:
        terminal.show_text(getattr(result.outcome, "reason", ""), "red")
    if result.run_id:
        terminal.show_text(f"run {result.run_id}")
    terminal.message(report.seconds_text(result.seconds, _since_start()), "dim")


def _portray(result: TrialResult, asked: job.Job) -> None:
    """Write the page of the replicates to the job's folder and to the trial's run."""
    if not (asked.uri and result.run_id and result.summary and result.summary.verdict):
        return
    with terminal.status("drawing the replicates"):
        from study.reporting import outputs

        description = f"{asked.spec.optimizer.name} on {asked.spec.data.name} data"
        folder = Path(HydraConfig.get().runtime.output_dir)
        page = outputs.write_portrait(asked.uri, result.run_id, description, result.summary, folder)
        if page:
            spool.writer(asked.uri).keep_files(result.run_id, [page])
            terminal.message(f"networks: {page}", "dim")


def _since_start() -> float:
    return time.perf_counter() - STARTED
