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
from pathlib import Path

import click

from study import collector, locations, processes, redaction
from study.cli import completion, flags, runs, studies
from study.cli.group import commands
from study.errors import BadInput, Stopped, StudyError, refused
from study.reporting import streams, terminal
from study.settings import scorers
from study.settings.rules import suggestion

streams.settle()
# each module adds its commands at its import
MODULES = (runs, studies)
commands.add_command(completion.completion)

# of which all of Hydra's and OmegaConf's errors are; by name, since a command may end without loading them
FOREIGN = {"HydraException", "OmegaConfBaseException"}
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
        collector.own()
        processes.settle_user()
        faulthandler.enable(all_threads=False)  # or else a library that gets no memory may end the process without a word
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup
                signal.signal(number, _stop)
    try:
        _run(arguments)
        streams.check_output()
    except BrokenPipeError:
        sys.exit(128 + signal.SIGPIPE)
    except (KeyboardInterrupt, click.Abort) as stopped:
        code = stopped.exit_code if isinstance(stopped, Stopped) else 130
        if of_process:
            _leave(code)
        sys.exit(code)
    except Exception as error:
        if not (refusal := _refusal(error)):
            raise
        terminal.error(str(refusal), error)
        sys.exit(refusal.exit_code)


def _run(arguments: list[str]) -> None:
    terminal.speak()
    locations.check_arguments(arguments)
    options, rest = flags.taken(arguments)
    terminal.speak(quiet=options.quiet, verbose=options.verbose)
    first = rest[0] if rest else ""
    if "--version" in rest:
        from importlib import metadata

        terminal.show_text(f"{completion.PROGRAM} {metadata.version(completion.PROGRAM)}")
    elif first in commands.commands:
        # a command accepts the flag only if it has a dry run too
        commands.main([*rest, *["--dry-run"] * options.dry_run], prog_name=completion.PROGRAM, standalone_mode=False)
    elif first.replace("-", "").isalpha() and not first.startswith("-"):
        meant = suggestion(first, commands.commands)
        raise BadInput(f"no command {first}: {meant or 'mlp-study --help lists the commands; '}settings are key=value")
    else:
        for name in options.scorers:
            scorers.allow(name)
        with collector.held():
            from study.cli import launch
        launch.launch(rest, options.dry_run)


def _refusal(error: Exception) -> StudyError | None:
    """Translate an error into one with an exit code and a message for the user; None for a bug."""
    if isinstance(error, StudyError):
        return error
    if FOREIGN & {base.__name__ for base in type(error).__mro__}:
        from study.config import composition

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
    from study.tracking import spool

    until = time.monotonic() + WORKERS_SECONDS
    for worker in (workers := processes.children() - spool.writers()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
    while workers & processes.children() and time.monotonic() < until:
        time.sleep(0.05)
    spool.close_all(spool.LEAVE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # of a closed terminal
            stream.flush()
    os._exit(code)
