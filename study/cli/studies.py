"""Commands about whole studies and their records."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import warnings
from functools import partial
from pathlib import Path

import click

from study import collector, locations, sqlite
from study.cli.group import JSON, STORAGE, TRACKING, commands, print_json
from study.errors import BadInput, Corrupt, Fault, NotWritable, check_writable, visible
from study.reporting import terminal

HOST = "127.0.0.1"
WORKERS = "2"  # of MLflow's server: one page asks for several things at once


@commands.command("report")
@click.argument("study_name", metavar="STUDY")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The page's file; the default is STUDY.html here.")
@STORAGE
@TRACKING
def report_page(study_name: str, output: Path | None, storage: str | None, tracking_uri: str | None) -> None:
    """Write a study's report as one page for a browser: the answer, the evidence, and how to reproduce it."""
    file = output or Path(f"{locations.file_name(study_name)}.html")
    try:
        check_writable(file.parent)
    except NotWritable as error:
        raise NotWritable(f"{error}; --output names another file") from error
    with terminal.status("reading the study"):
        from study.reporting import study_results
        from study.reporting.pages import study_page

        findings = study_results.read(locations.storage(storage), study_name)
        uri = locations.tracking_uri(tracking_uri)
        networks = study_results.networks(findings, uri) if findings.ranked else study_results.Networks()
    with terminal.status("drawing the report"):
        study_page.write(findings, networks, file)
    terminal.show_line(str(file))


@commands.command("list")
@click.argument("study_name", metavar="[STUDY]", required=False)
@STORAGE
@JSON
@collector.held()
def list_studies(study_name: str | None, storage: str | None, as_json: bool) -> None:
    """List the studies here, the newest first; or a STUDY's trials, with their runs."""
    damaged: list[Corrupt] = []
    with terminal.status("reading the studies"):
        from study.reporting import listings

        url = locations.storage(storage)
        if study_name is not None:
            from study.reporting import study_results

            findings = study_results.read(url, study_name)
            content, table = listings.trials_plain(findings), listings.trials(findings)
        else:
            from study.search import overview

            studies, damaged = overview.overviews(url) if _check_storage(url, storage is not None) else ([], [])
            content, table = list(map(listings.plain, studies)), listings.studies(studies)
    if as_json:
        print_json(content)
    elif table.rows:
        terminal.show_table(table, rows=len(table.rows))
    elif not damaged:
        terminal.show_text("none yet")
    if damaged:
        raise Corrupt("\n".join(map(str, damaged)))


def _check_storage(url: str, named: bool) -> bool:
    """Return True if the storage exists; report it if not. Raises BadInput for a missing one that the user named."""
    if sqlite.is_there(url):
        return True
    path = sqlite.path_of(url)
    if named:
        raise BadInput([Fault("--storage", url, f"an existing database of studies; there is no {path}")])
    terminal.message(f"no studies yet: there is no {path}; --storage or MLP_STUDY_STORAGE selects another")
    return False


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.argument("file", metavar="[FILE.csv|.parquet]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the champion into this folder, in place of FILE.",
)
@click.option("--onnx", is_flag=True, help="With --model, also write the networks as model.onnx; needs the extra onnx.")
@click.option("--what", type=click.Choice(("trials", "replicates", "curves")), default="trials", show_default=True)
@click.option("--layout", type=click.Choice(("wide", "long")), default="wide", show_default=True)
@click.option("--force", is_flag=True, help="Overwrite a file or a folder of this command's that exists.")
@STORAGE
@TRACKING
def export(
    study_name: str,
    file: Path | None,
    folder: Path | None,
    onnx: bool,
    what: str,
    layout: str,
    force: bool,
    storage: str | None,
    tracking_uri: str | None,
) -> None:
    """Export a study's trials, replicates or curves as a table for other programs, or its champion as a model.

    wide: one row per trial, replicate or epoch, with columns such as `12/3 val_loss`. long: one row per value (`value`, or `text`
    if it isn't a number), or per trial, replicate and epoch. In CSV, a text that looks like a formula starts with '.

    --model DIR: a folder that predicts where mlp-study isn't installed, by its predict.py or as a TensorFlow SavedModel that takes
    the table's columns.
    """
    if (file is None) == (folder is None):
        raise BadInput(
            [Fault("FILE", "none" if file is None else str(file), "a file for a table, or --model DIR for the champion")]
        )
    if folder is not None:
        with terminal.status("exporting the champion"):
            from study.results import export_model

            export_model.export(study_name, locations.tracking_uri(tracking_uri), folder, force=force, onnx=onnx)
        terminal.show_line(f"{folder}: python {folder / export_model.PREDICT} rows.csv")
        return
    assert file is not None
    with terminal.status(f"reading the {what}"):
        from study.results import export

        export.check(file, force=force)
        from study.results import study_handle

        table = export.table(study_handle.open_study(study_name, storage, tracking_uri), what, layout)
        export.write(table, file)
    terminal.show_line(f"{file}: {len(table)} rows, {len(table.columns)} columns")


# the command's names for keys of data and of its readers
OPTIONS = {
    "data.path": "FILE",
    "rows": "FILE",
    "path": "FILE",
    "data.encoding": "--encoding",
    "encoding": "--encoding",
    "delimiter": "--delimiter",
    "data.sheet": "--sheet",
    "data.sql": "--sql",
    "sql": "--sql",
    "member": "--member",
    "interval": "--interval",
    "keep": "--keep",
}


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.argument("file", metavar="FILE", type=click.Path())
@click.argument("output", metavar="[OUTPUT.csv|.parquet]", required=False, type=click.Path(path_type=Path))
@click.option("--member", type=int, metavar="N", help="Take one network alone, replicate N, in place of the mean of all.")
@click.option(
    "--interval", "level", type=float, metavar="LEVEL", help="Add intervals that contain this share of outcomes, such as 0.9."
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="Begin each row with this column of FILE; may be repeated.")
@click.option("--decimal", type=click.Choice((".", ",")), help="Decimal mark in FILE; the default is the study's.")
@click.option("--delimiter", help="Separator of FILE's fields; detected by default.")
@click.option("--encoding", help="Encoding of FILE; detected by default.")
@click.option("--sheet", help="Sheet of FILE, a workbook; the first by default.")
@click.option("--sql", metavar="QUERY", help="Query whose rows are predicted, with FILE a SQLite file or a database's URL.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@TRACKING
def predict(
    study_name: str,
    file: str,
    output: Path | None,
    member: int | None,
    level: float | None,
    keep: tuple[str, ...],
    force: bool,
    tracking_uri: str | None,
    **reading: str | None,
) -> None:
    """Predict new rows with a study's champion, the mean of the best setting's networks: one row per row of FILE, to OUTPUT or as
    CSV to standard output.

    FILE is a table like the study's own, in any format that studies read, with the same column names, unscaled and unencoded; other
    columns are ignored. Regression predicts the target in its own units. Classification predicts the class and its probability,
    then the probability of each class, one column per class. `SD over members` shows how far the networks differ; it is no interval
    of the outcome. --interval 0.9 adds one: from `lower` to `upper`, or for classes a `prediction set`, as wide as errors on rows
    that networks weren't trained on.
    """
    with terminal.status("loading the champion"):
        from study.results import export

        if output:
            export.check(output, force=force)
        from study.data.encoding import NewInRows
        from study.results import predictions

        try:
            uri = locations.tracking_uri(tracking_uri)
            with warnings.catch_warnings(record=True) as news:
                warnings.simplefilter("always", NewInRows)
                predicted = predictions.of_file(study_name, uri, file, member=member, level=level, keep=keep, **reading)
        except BadInput as bad:
            renamed = [dataclasses.replace(fault, key=OPTIONS.get(fault.key, fault.key)) for fault in bad.faults]
            raise (BadInput(renamed) if renamed else bad) from None
        if output:
            export.write(predicted, output)
    for notice in news:
        if issubclass(notice.category, NewInRows):
            print(visible(str(notice.message)), file=sys.stderr)
    if output:
        terminal.show_line(f"{output}: {len(predicted)} rows, {len(predicted.columns)} columns")
    else:
        terminal.show_file(partial(export.write_csv, predicted))


@commands.command()
@click.argument("study_name", metavar="STUDY")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@STORAGE
@TRACKING
def delete(study_name: str, yes: bool, storage: str | None, tracking_uri: str | None) -> None:
    """Delete a study: its trials in Optuna permanently, its runs in MLflow restorably. Its name can be used again."""
    with terminal.status("loading MLflow and Optuna"):
        from study.results import removal

        records = removal.look(locations.storage(storage), locations.tracking_uri(tracking_uri), study_name)
    if records.trials is None and storage is None:
        valid = "the study's storage (or MLP_STUDY_STORAGE); to delete only its runs, this folder's storage"
        raise BadInput([Fault("--storage", "none, and this folder's storage has no such study", valid)])
    if not yes:
        terminal.show_line(str(records))
        if not sys.stdin.isatty():
            raise BadInput("can't ask for confirmation without a terminal: add --yes")
        if not click.confirm("Delete it?"):
            terminal.show_line("nothing was deleted")
            return
    for line in records.remove():
        terminal.show_line(line)


@commands.command()
@click.argument("study_name", metavar="[STUDY]", required=False)
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535), help="On this machine only, 127.0.0.1.")
@TRACKING
def ui(study_name: str | None, port: int, tracking_uri: str | None) -> None:
    """Serve MLflow's pages for this folder's records, until Ctrl-C, and print the address of STUDY, or of the latest one.

    A study that still runs is shown as it goes: its trials, and their loss curves every two seconds. Records that can't be written
    are shown as they are now.
    """
    with terminal.status("opening the records"):
        from study.tracking import addresses, store

        uri = locations.tracking_uri(tracking_uri)
        opened = store.existing(uri)
        page = addresses.page(opened, study_name)
    if opened.remote:
        terminal.show_line(f"{uri.rstrip('/')}{page}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BadInput([Fault("--port", port, f"a free port ({error.strerror})")]) from error
    terminal.show_line(f"http://{HOST}:{port}{page}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.served_at(uri)]
    command += ["--host", HOST, "--port", str(port)]
    command += ["--uvicorn-opts", "--log-level warning"]  # no line for each request
    # each worker takes seconds to load, and jobs are for traces and prompts, of which there are none
    command += ["--workers", WORKERS]
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # MLflow's use of what others deprecate is none of a user's concern
    os.execv(command[0], command)


@commands.command()
@click.argument("study_name", metavar="[STUDY]", required=False)
@click.option("--repair", is_flag=True, help="Repair what can be repaired.")
@click.option("--thorough", is_flag=True, help="Also read every point of the curves and every file: two requests per network.")
@STORAGE
@TRACKING
@JSON
def doctor(
    study_name: str | None, repair: bool, thorough: bool, storage: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Check the records of one study, or of all, for damage: broken, missing, left open or not sent.

    Reads the databases completely, but only the last epoch of each curve and the names of files, unless --thorough. Exits with 6
    if damage remains.
    """
    with terminal.steps("loading MLflow and Optuna") as step:
        from study.results import doctor

        records = doctor.Records(locations.storage(storage), locations.tracking_uri(tracking_uri), study_name, thorough)
        health, mended = records.examine(step), list[doctor.Finding]()
        if repair:
            mended, health = records.repair(health, step)
    if as_json:
        content = {"mended": list(map(doctor.plain, mended)), "findings": list(map(doctor.plain, health.findings))}
        print_json(content | {"notes": health.notes, "trials": health.trials, "runs": health.runs, "thorough": thorough})
    else:
        for finding in mended:
            terminal.show_line(f"repaired: {finding.where}: {finding.what}")
        for finding in health.findings:
            terminal.show_line(str(finding), "red")
        for note in health.notes:
            terminal.show_line(note)
        terminal.show_text(doctor.conclusion(health, mended))
    if health.findings:
        sys.exit(Corrupt.exit_code)
