"""Launch a trial or a study from a command line of Hydra's."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from study.cli.completion import PROGRAM
from study.clock import since_launch
from study.config import composition, grammar, precedence, source
from study.config.refusals import REFUSALS
from study.errors import FAILED_TRIALS_EXIT_CODE, BadInput, StudyError
from study.records.outcome import Completed, TrialResult
from study.reporting import headlines, narrative, progress, report, terminal
from study.runner import job
from study.settings import scorers
from study.settings import spec as specs
from study.settings.spec import TrialSpec
from study.tracking import spool

# Hydra's options that print something, or launch a job of their own
ANSWERED_BY_HYDRA = ("help", "hydra_help", "cfg", "info", "shell_completion", "resolve", "package", "experimental_rerun")


def launch(arguments: list[str], dry_run: bool) -> None:
    """Train what the arguments describe, or let Hydra answer them. dry_run: only print what would be trained."""
    # with this, Hydra raises errors instead of printing them, and `main` prints them in our own form
    os.environ["HYDRA_FULL_ERROR"] = "1"
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # reported like every other bad input
    parsed = parser.parse_intermixed_args(arguments)
    chosen = source.Source(parsed.config_name or source.CONFIG_NAME, parsed.config_path, parsed.config_dir)
    chosen.check()
    lines = grammar.quote_columns(parsed.overrides)
    asked = [option for option in ANSWERED_BY_HYDRA if getattr(parsed, option)]
    if asked == ["help"] and parsed.overrides and all(word.isidentifier() for word in parsed.overrides):
        from study.config import group_help

        terminal.show_file(lambda output: output.write("".join(map(group_help.text, parsed.overrides))))
        return
    if asked == ["help"] and not parsed.multirun:  # Hydra's own loader takes a second to list the groups
        with chosen.application() as application:
            application.app_help(chosen.name, parser, argparse.Namespace(**vars(parsed) | {"overrides": lines}))
        return
    if asked:
        _let_hydra_answer([word for word in arguments if word not in parsed.overrides], lines, parsed.multirun)
        return
    with chosen.application() as application:
        config = None if parsed.multirun else composition.compose_launch(application, lines, chosen)
        if config:
            _launch_trial(application, config, chosen.name, lines, dry_run)
            return
        # the sweeper reads dry_run from a setting
        searched = [*precedence.allow_searched_kinds(lines), *["hydra.sweeper.dry_run=true"] * dry_run, "hydra.mode=MULTIRUN"]
        try:
            launched = application.multirun(chosen.name, job.run_composed, searched)
        except REFUSALS:
            composition.check_fixed(lines, chosen)
            raise
        if launched and not launched.whole:
            raise SystemExit(FAILED_TRIALS_EXIT_CODE)


def _let_hydra_answer(options: list[str], lines: list[str], multirun: bool) -> None:
    """Run Hydra's own command line for options that only print something."""
    if multirun:
        # Hydra shows the config of one job, and refuses --multirun with it
        options = [option for option in options if option not in ("--multirun", "-m")]
        lines = [line for line in lines if not composition.searches(line)]
    sys.argv = [sys.argv[0], *options, *lines]
    answer = hydra.main(version_base=grammar.VERSION_BASE, config_path=str(source.config_folder()), config_name=source.CONFIG_NAME)
    try:
        with source.own_resolvers():
            answer(job.run_composed)()
    except ValueError as error:  # options that exclude each other
        raise BadInput(str(error)) from error


def _launch_trial(application: Hydra, config: DictConfig, name: str, lines: list[str], dry_run: bool) -> None:
    """Check a launch of one trial before Hydra makes its folder, and train it unless this is a dry run."""
    asked = job.from_config(config, single=True)
    reading = job.check(asked)
    if unused := [key for key in (line.partition("=")[0].lstrip("+") for line in lines) if key.startswith("hydra.sweeper.")]:
        terminal.message(f"no effect without --multirun (-m): {', '.join(unused)}", fold=True)
    if dry_run:
        from study.runner.dry_run import show_trial

        show_trial(config, asked, reading)
        return
    for line in reading.splitlines():
        terminal.message(line, "dim", fold=True)
    # already composed, so Hydra needn't do it again
    application.config_loader.load_configuration = lambda *_, **__: config  # type: ignore[method-assign]
    application.run(name, lambda _: _train(asked, _command(config)), [])


def _command(config: DictConfig) -> str:
    task, of_hydra = source.command_line(config)
    return shlex.join([PROGRAM, *scorers.flags(), *source.options(config), *task, *of_hydra])


def _refuse(message: str) -> NoReturn:
    raise BadInput(f"{message}; see mlp-study --help and --hydra-help")


def _train(asked: job.Job, command: str) -> TrialResult:
    with contextlib.chdir(HydraConfig.get().runtime.cwd):
        try:
            with progress.TrialProgress(asked.spec.training.epochs) as shown:
                result = job.run(asked, shown)
            _show_result(result, asked.spec, command)
            _portray(result, asked)
        except StudyError as error:
            # reported here, since Hydra would announce it as a crash of the job
            terminal.error(str(error), error)
            raise SystemExit(error.exit_code) from error
    if not isinstance(result.outcome, Completed):
        raise SystemExit(FAILED_TRIALS_EXIT_CODE)
    return result


def _show_result(result: TrialResult, spec: TrialSpec, command: str) -> None:
    if summary := result.summary:
        count = len(summary.val_losses)
        apart = f"{summary.distinct} different fingerprints, {report.number(summary.distance)} apart (relative L2)"
        if summary.distinct == 1:
            apart = "one fingerprint: the same weights, bit for bit"
        pairs = f"; {apart}, disagreement {report.number(summary.disagreement)}" if count > 1 else ""
        terminal.show_text(f"validation loss {report.loss_over_text(summary)}; {report.labels_text(summary)}{pairs}")
        if scores := report.scores_text(summary):
            terminal.show_text(f"{scores} (means over the replicates)" if count > 1 else scores)
        if summary.verdict:
            terminal.show_text(f"{headlines.headline(summary)}.", "bold")
            terminal.show_text(f"verdict: {summary.verdict}: {'; '.join(summary.reasons)}")
            from study.reporting import answers

            terminal.show_next_step(*answers.next_step(summary, command, {}, specs.flat(spec)))
        if summary.blame:
            terminal.show_table(narrative.blame_table(summary.blame))
            terminal.show_text(narrative.blame_answer(summary.blame))
    else:
        terminal.show_text(getattr(result.outcome, "reason", ""), "red")
    if result.run_id:
        terminal.show_text(f"run {result.run_id}")
    terminal.message(report.seconds_text(result.seconds, since_launch()), "dim")


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
