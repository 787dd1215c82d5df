"""Run a study for a Python program, in its own process: what the command line does, without what only a command may do.

The program's streams, working directory, logging, signals and Hydra stay as they are, and nothing runs on but what sends records.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from study import clock, locations
from study.config import composition, domains, grammar, precedence
from study.config.refusals import REFUSALS
from study.config.source import OWN
from study.errors import BadInput, StudyError
from study.reporting import notebook, streams
from study.runner import job
from study.runner.launching import Launched
from study.tracking import spool

# libraries that report what a study does by itself, or that a study deals with
TALKATIVE = ("alembic", "mlflow", "optuna", "tensorflow")
# Hydra, OmegaConf and this process's writers are one for all threads
one_at_a_time = threading.RLock()


def tune(
    given: Sequence[str],
    space: Mapping[str, object] | None,
    n_trials: int | None,
    settings: Sequence[str],
    name: str | None,
    progress: bool,
) -> Launched:
    """Run or resume a study; return where it is. given: its rows as overrides; the rest and errors as for `study.tune`."""
    lines = [*given, *settings, *domains.overrides(space or {})]
    if n_trials is not None:
        lines.append(f"hydra.sweeper.n_trials={grammar.encode(n_trials)}")
    if name is not None:
        lines.append(f"hydra.sweeper.study_name={grammar.encode(name)}")
    try:
        locations.check_arguments(lines)
        with one_at_a_time, undisturbed(), _told(progress), _records(), clock.launch():
            return _launch(grammar.quote_columns(lines))
    except BadInput as bad:
        # the caller's fault is none of ours to look for in these frames
        raise bad.with_traceback(None) from None


def _launch(lines: Sequence[str]) -> Launched:
    with OWN.application() as application:
        try:
            searched = [*precedence.allow_searched_kinds(lines), "hydra.mode=MULTIRUN"]
            launched = application.multirun(OWN.name, job.run_composed, searched)
        except REFUSALS as error:
            composition.check_fixed(lines, OWN)
            if isinstance(error, HydraException | OmegaConfBaseException):
                raise composition.bad_input(error) from error
            raise
    assert isinstance(launched, Launched), "no dry run from Python"
    return launched


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the levels of the loggers that a study silences, if the program itself has loaded their libraries."""
    loaded = [logging.getLogger(name) for name in TALKATIVE if name in sys.modules]
    levels = [logger.level for logger in loaded]
    for logger in loaded:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # of tqdm, at the import of Optuna and MLflow in a notebook
            warnings.filterwarnings("ignore", message="IProgress not found")
            yield
    finally:
        for logger, level in zip(loaded, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _told(progress: bool) -> Iterator[None]:
    """Show progress and messages where the program's user sees them: in a notebook's cell, else on standard error."""
    cell = notebook.cell() if progress else None
    with cell or nullcontext(), streams.of_a_program(quiet=not progress, cell=cell):
        yield


@contextmanager
def _records() -> Iterator[None]:
    """Let this process's writers end with the block; after an interrupt they write the rest alone."""
    seconds: float | None = spool.LEAVE_SECONDS
    try:
        yield
        seconds = None
    finally:
        with suppress(StudyError):
            spool.end_writers(seconds)
