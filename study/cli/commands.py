"""Looking at what was trained: the commands besides training, which is Hydra's."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from study import locations, sqlite
from study.errors import BadInput, Corrupt, Fault, visible
from study.reporting import report, terminal
from study.settings.model import ACTIVATIONS

HOST = "127.0.0.1"

STORAGE = click.option("--storage", help="Optuna's storage; the default is MLP_STUDY_STORAGE, else optuna.db in this folder.")
TRACKING = click.option(
    "--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """For thousands of records at once, none of which is garbage before the end: looking for it would take a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@click.group()
def commands() -> None:
    """Look at what was trained."""


@commands.command()
@click.argument("name", metavar="STUDY|RUN")
@STORAGE
@TRACKING
@JSON
@_uncollected()
def show(name: str, storage: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """A study's trials, its best, and its answer; or one trial (STUDY/12, STUDY/best) or replicate (STUDY/12/3) by itself.

    RUN may also be a run's id, its first digits, or its name.
    """
    try:
        _show_study(name, storage, as_json)
    except BadInput as no_study:
        from study.tracking import addresses

        try:
            _show_run(name, storage, tracking_uri, as_json, no_study)
        except BadInput as no_run:
            raise (no_run if addresses.looks_like(name) else no_study) from None


def _show_run(address: str, storage: str | None, tracking_uri: str | None, as_json: bool, no_study: BadInput) -> None:
    with terminal.status("loading the run"):
        from study.reporting import listings
        from study.tracking import addresses, runs, store

        opened = store.existing(locations.tracking_uri(tracking_uri))
        if address in opened.experiments():  # a study, whose trials are in another storage: not its best trial in its place
            raise no_study
        found = runs.load(opened, addresses.run_id(opened, address, _best_of(storage)))
        if isinstance(found, runs.Replicate):
            curves, trial = runs.history(opened, found.run_id), runs.load(opened, found.trial_run)
            assert isinstance(trial, runs.Trial)
            content, told = listings.replicate_plain(found, curves, trial), listings.replicate(found, curves, trial)
        else:
            content, told = dataclasses.asdict(found), listings.trial(found)
    if as_json:
        _print_json(content)
        return
    for title, below in told:
        terminal.show_text(title, "bold")
        if isinstance(below, report.Table):
            terminal.show_table(below, rows=200)
        else:
            terminal.show_text(below)


def _show_study(study_name: str, storage: str | None, as_json: bool) -> None:
    from study.reporting import study_results

    found = study_results.read(locations.storage(storage), study_name)
    if not as_json:
        terminal.show_findings(found)
        return
    content = {
        "study": study_name,
        "objectives": [dataclasses.asdict(each) for each in found.objectives],
        "front": found.front,
        "best": found.best.number if found.best else None,
        "indistinguishable": found.choice.tied if found.choice else None,
        "headline": found.answer.headline,
        "answer": str(found.answer),
        "command": found.answer.command or None,
        "win": found.win,
        "differences": found.choice and {number: dataclasses.asdict(each) for number, each in found.choice.differences.items()},
        "finals": [dataclasses.asdict(each) for each in found.finals],
        "settings": [dataclasses.asdict(each) for each in found.effects],
        "trials": [{**dataclasses.asdict(record), "value": record.value} for record in found.records],
    }
    _print_json(content)


@commands.command("report")
@click.argument("study_name", metavar="STUDY")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The page's file; the default is STUDY.html here.")
@STORAGE
@TRACKING
def report_page(study_name: str, output: Path | None, storage: str | None, tracking_uri: str | None) -> None:
    """A study as one page for a browser, which needs nothing else: the answer, the evidence, and how to reproduce it."""
    with terminal.status("reading the study"):
        from study.reporting import study_results
        from study.reporting.pages import study_page

        found = study_results.read(locations.storage(storage), study_name)
        uri = locations.tracking_uri(tracking_uri)
        networks = study_results.networks(found, uri) if found.ranked else study_results.Networks()
    file = output or Path(f"{locations.file_name(study_name)}.html")
    with terminal.status("drawing the report"):
        study_page.write(found, networks, file)
    terminal.show_line(str(file))


@commands.command()
@click.argument("runs", metavar="RUN RUN…", nargs=-1, required=True)
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="As a page for a browser, in this file.")
@click.option("--activation", type=click.Choice(ACTIVATIONS), help="Of hidden layers, where a file of weights doesn't tell it.")
@TRACKING
@JSON
def compare(runs: tuple[str, ...], page: Path | None, activation: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Networks side by side. RUN is a replicate, a trial, which stands for all its replicates, or a study, for its best trial.

    Named as STUDY, STUDY/12 (a trial), STUDY/12/3 (a replicate), STUDY/best, best, by a run's id, its first digits or its name, or
    as a file of weights (.npz) or a folder with a trial's files.
    """
    with terminal.status("loading the networks"):
        from study.reporting import comparison_tables
        from study.tracking import addresses

        networks = addresses.networks(locations.tracking_uri(tracking_uri), runs, _best_of(None))
        if len(networks) < 2:
            raise click.UsageError("give at least two networks: two replicates, or one trial or study")
    with terminal.status(f"comparing {len(networks)} networks"):
        found = comparison_tables.compared(networks, activation)
    if page:
        with terminal.status("drawing the page"):
            from study.reporting.pages import comparison_page

            comparison_page.write(networks, found, page)
        terminal.message(f"page: {page}", "dim")
    if as_json:
        _print_json(comparison_tables.as_json(networks, found))
        return
    if lead := comparison_tables.better(networks):
        terminal.show_text(lead, "bold")
    for title, table in comparison_tables.tables(networks, found):
        terminal.show_text(title, "bold")
        terminal.show_table(table, rows=200)
    terminal.show_text(comparison_tables.conclusion(networks, found))


@commands.command()
@click.argument("run", metavar="RUN")
@TRACKING
@JSON
def reproduce(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Trains a run again, from its own record. RUN is a replicate, or a trial for all its replicates: an id, STUDY/12, STUDY/12/3.

    Exits with 0 only if every fingerprint is the recorded one, else with 6, and tells what differs from then: code, versions,
    CPU, data.
    """
    with terminal.status("loading the run"):
        from study.runner import reproduction
        from study.tracking import addresses, reader, store

        uri = locations.tracking_uri(tracking_uri)
        opened = store.existing(uri)
        retraining = reproduction.prepare(reader.load_recorded(opened, addresses.run_id(opened, run, _best_of(None))), uri)
    with terminal.TrialProgress(retraining.spec.training.epochs) as progress:
        found = retraining.train(progress)
    if as_json:
        _print_json(reproduction.as_json(found))
    else:
        terminal.show_table(reproduction.table(found), rows=200)
        terminal.show_text(reproduction.conclusion(found))
    if not found.identical:
        sys.exit(Corrupt.exit_code)


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--count", default=10, show_default=True, type=click.IntRange(1), help="How many to show.")
@TRACKING
@JSON
def similar(run: str, count: int, tracking_uri: str | None, as_json: bool) -> None:
    """The tracked networks nearest to a replicate's, found by their searchable fingerprints. RUN is a replicate: an id, STUDY/12/3.

    Only networks of one architecture with the same validation inputs can be compared. A distance of 0 is the same network, its
    neurons perhaps in another order or at another scale; a disturbance of 1 % of the weights gives about 0.0025.
    """
    with terminal.status("loading the runs"):
        from study.tracking import addresses, index, reader, store

        opened = store.existing(locations.tracking_uri(tracking_uri))
        run = addresses.run_id(opened, run, _best_of(None))
        query = reader.load_searchable(opened, run)
        ids, known = index.load(opened, query)
        found: list[tuple[float, dict[str, str]]] = []
        for place, distance in zip(*known.nearest(query, len(ids)), strict=True):
            if ids[place] != run and len(found) < count:
                with contextlib.suppress(BadInput):  # deleted since it was found
                    found.append((float(distance), reader.describe(opened, ids[place])))
    if as_json:
        _print_json({"run_id": run, "compared": len(ids) - 1, "similar": [{"distance": d, **told} for d, told in found]})
        return
    rows = tuple((report.number(distance), *(str(value) for value in told.values())) for distance, told in found)
    columns = ("distance", *(found[0][1] if found else ()))
    terminal.show_text(f"the nearest of {len(ids) - 1} comparable networks", "bold")
    terminal.show_table(report.Table(columns, rows))


@commands.command("list")
@click.argument("study_name", metavar="[STUDY]", required=False)
@STORAGE
@JSON
def list_studies(study_name: str | None, storage: str | None, as_json: bool) -> None:
    """The studies here, the newest first; or a STUDY's trials, with their runs."""
    with terminal.status("reading the studies"):
        from study.reporting import listings
        from study.search import overview

        url = locations.storage(storage)
        if study_name is not None:
            from study.reporting import study_results

            found = study_results.read(url, study_name)
            content, table = listings.trials_plain(found), listings.trials(found)
        else:
            if not sqlite.is_there(url):
                path = sqlite.path_of(url)
                if storage is not None:
                    raise BadInput([Fault("--storage", url, f"a database with studies; there is no {path}")])
                terminal.message(f"no studies yet: there is no {path}; --storage or MLP_STUDY_STORAGE name another")
                studies = []
            else:
                studies = overview.overviews(url)
            content, table = list(map(listings.plain, studies)), listings.studies(studies)
    if as_json:
        _print_json(content)
    elif table.rows:
        terminal.show_table(table, rows=len(table.rows))
    else:
        terminal.show_text("none yet")


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.argument("file", metavar="FILE.csv|.parquet", type=click.Path(path_type=Path))
@click.option("--what", type=click.Choice(("trials", "replicates", "curves")), default="trials", show_default=True)
@click.option("--layout", type=click.Choice(("wide", "long")), default="wide", show_default=True)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@STORAGE
@TRACKING
def export(study_name: str, file: Path, what: str, layout: str, force: bool, storage: str | None, tracking_uri: str | None) -> None:
    """A study's trials, replicates or curves as a table for other programs.

    wide: a row a trial or replicate, or an epoch with columns such as `12/3 val_loss`. long: a row a value (`value`, or `text` if
    it is no number), or a trial, replicate and epoch. In CSV, a text that a spreadsheet would take for a formula gets a ' in front.
    """
    with terminal.status(f"reading the {what}"):
        from study.results import export

        export.check(file, force=force)
        from study.results import study_handle

        found = export.table(study_handle.open_study(study_name, storage, tracking_uri), what, layout)
        export.write(found, file)
    terminal.show_line(f"{file}: {len(found)} rows, {len(found.columns)} columns")


# by what its reader and the rules of data call them
OPTIONS = {
    "data.path": "FILE",
    "rows": "FILE",
    "path": "FILE",
    "data.encoding": "--encoding",
    "encoding": "--encoding",
    "delimiter": "--delimiter",
}


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("output", metavar="[OUTPUT.csv|.parquet]", required=False, type=click.Path(path_type=Path))
@click.option("--decimal", type=click.Choice((".", ",")), help="In FILE's numbers; the default is that of the study's table.")
@click.option("--delimiter", help="Between FILE's fields; the default is found out.")
@click.option("--encoding", help="Of FILE's text; the default is found out.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@TRACKING
def predict(study_name: str, file: Path, output: Path | None, force: bool, tracking_uri: str | None, **reading: str | None) -> None:
    """What a study's best network makes of new rows: a row each, in FILE's order, to OUTPUT or as CSV to standard output.

    FILE is a table as those that studies are made of: its columns by their names, unscaled, texts as texts; others are left out. A
    regression gives its target in its own units, a classification a column a class, with its probability.
    """
    with terminal.status("loading the best network"):
        from study.results import export

        if output:
            export.check(output, force=force)
        from study.results import study_handle

        try:
            found = study_handle.predict_file(study_name, locations.tracking_uri(tracking_uri), file, **reading)
        except BadInput as bad:
            renamed = [dataclasses.replace(each, key=OPTIONS.get(each.key, each.key)) for each in bad.faults]
            raise (BadInput(renamed) if renamed else bad) from None
        if output:
            export.write(found, output)
    if output:
        terminal.show_line(f"{output}: {len(found)} rows, {len(found.columns)} columns")
    else:
        export.write_csv(found, sys.stdout)


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.option("--yes", is_flag=True, help="Don't ask.")
@STORAGE
@TRACKING
def delete(study_name: str, yes: bool, storage: str | None, tracking_uri: str | None) -> None:
    """Deletes a study: its trials in Optuna for good, its runs in MLflow such that they can be brought back. Its name is free."""
    with terminal.status("loading MLflow and Optuna"):
        from study.results import removal

        found = removal.look(locations.storage(storage), locations.tracking_uri(tracking_uri), study_name)
    if found.trials is None and storage is None:
        told = "its storage, by --storage or MLP_STUDY_STORAGE, or that of this folder to delete its runs alone"
        raise BadInput([Fault("--storage", "nothing, and no study of this name here", told)])
    if not yes:
        terminal.show_line(visible(str(found)))
        if not sys.stdin.isatty():
            raise BadInput("nobody can be asked here whether to delete it: add --yes")
        if not click.confirm("Delete it?"):
            terminal.show_line("nothing was deleted")
            return
    for line in found.remove().splitlines():
        terminal.show_line(visible(line))


@commands.command()
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535), help="On this machine alone, 127.0.0.1.")
@TRACKING
def ui(port: int, tracking_uri: str | None) -> None:
    """MLflow's pages for this folder's records, until Ctrl-C."""
    with terminal.status("opening the records"):
        from study.tracking import addresses, store

        uri = locations.tracking_uri(tracking_uri)
        opened = store.existing(uri)
        page = addresses.newest_page(opened)
    if opened.remote:
        terminal.show_line(f"{uri.rstrip('/')}{page}")
        return
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise BadInput([Fault("--port", port, f"a port that is free ({error.strerror})")]) from error
    terminal.show_line(f"http://{HOST}:{port}{page}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", HOST, "--port", str(port)]
    command += ["--uvicorn-opts", "--log-level warning"]  # not a line for each request
    os.execv(command[0], command)


@commands.command()
@click.argument("study_name", metavar="[STUDY]", required=False)
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--thorough", is_flag=True, help="Read all points of the curves and all files too: two requests a network.")
@STORAGE
@TRACKING
@JSON
def doctor(
    study_name: str | None, repair: bool, thorough: bool, storage: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Checks the records of one study, or of all: that nothing is damaged, missing, left open or not sent.

    The databases are read whole; of each curve only its last epoch, and of the files only that they are there, unless --thorough.
    Exits with 6 if something is wrong and stays so.
    """
    with terminal.steps("loading MLflow and Optuna") as tell:
        from study.results import doctor

        records = doctor.Records(locations.storage(storage), locations.tracking_uri(tracking_uri), study_name, thorough)
        health, mended = records.examine(tell), list[doctor.Finding]()
        if repair:
            mended, health = records.repair(health, tell)
    if as_json:
        content = {"mended": list(map(doctor.plain, mended)), "findings": list(map(doctor.plain, health.findings))}
        _print_json(content | {"notes": health.notes, "trials": health.trials, "runs": health.runs, "thorough": thorough})
    else:
        for each in mended:
            terminal.show_line(visible(f"mended: {each.where}: {each.what}"))
        for each in health.findings:
            terminal.show_line(visible(str(each)), "red")
        for note in health.notes:
            terminal.show_line(visible(note))
        terminal.show_text(doctor.conclusion(health, mended))
    if health.findings:
        sys.exit(Corrupt.exit_code)


def _best_of(storage: str | None) -> Callable[[str], int | None]:
    """Tells the best trial of a study by its name; None where the storage doesn't know it."""
    url = locations.storage(storage)

    def best(study_name: str) -> int | None:
        if not sqlite.is_there(url):
            return None
        from study.search import overview

        return overview.best(url, study_name)

    return best


def _print_json(content: Any) -> None:
    # laid out for a person alone, since it takes several times as long
    click.echo(json.dumps(_plain(content), indent=2 if sys.stdout.isatty() else None, allow_nan=False))


def _plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, and null for what is not a finite number."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
