"""Looking at what was trained: the commands besides training, which is Hydra's."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import click
import numpy as np

from study import effects, places, report, terminal
from study.errors import Corrupt, visible


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
@click.argument("study_name", metavar="STUDY")
@click.option("--storage", help="Optuna's storage; the default is optuna.db in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")
@_uncollected()
def show(study_name: str, storage: str | None, as_json: bool) -> None:
    """A study's trials, its best, and its answer."""
    from study import search

    stored = search.open_study(places.storage(storage), study_name)
    objective, front = stored.objectives[0], stored.front
    best, chosen = report.ranked(stored.records, objective), report.choice(stored.records, objective)
    answer = report.answer(stored.records, objective, stored.identity)
    win = " ".join(filter(None, (report.choice_text(chosen), report.front_text(front, stored.objectives))))
    found = effects.effects(stored.records, search.importances(places.storage(storage), study_name))
    if as_json:
        content = {
            "study": study_name,
            "objectives": [dataclasses.asdict(each) for each in stored.objectives],
            "front": stored.front,
            "best": best[0].number if best else None,
            "indistinguishable": chosen.tied if chosen else None,
            "answer": answer,
            "win": win,
            "finals": [dataclasses.asdict(each) for each in stored.finals],
            "settings": [dataclasses.asdict(each) for each in found],
            "trials": [{**dataclasses.asdict(record), "value": record.value} for record in stored.records],
        }
        _print_json(content)
        return
    terminal.show_table(report.table(stored.records, stored.objectives, front))
    terminal.show_text(answer)
    if win:
        terminal.show_text(win)
    terminal.show_finals(stored.finals, objective)
    if found:
        terminal.show_table(report.effects_table(found))
    if blamed := report.blamed(stored.records, objective):
        table, told = report.blame_tables(blamed)
        terminal.show_table(table)
        terminal.show_text(told)


@commands.command()
@click.argument("runs", metavar="RUN RUN…", nargs=-1, required=True)
@click.option("--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")
def compare(runs: tuple[str, ...], tracking_uri: str | None, as_json: bool) -> None:
    """Networks side by side. RUN is the id of a replicate's run, or of a trial's, which stands for all its replicates."""
    with terminal.status("loading the runs"):
        from study import comparison, side_by_side
        from study.tracking import reader, store

        opened = store.existing(places.tracking_uri(tracking_uri))
        networks = [network for run in runs for network in reader.load_networks(opened, run)]
        if len(networks) < 2:
            raise click.UsageError("give at least two networks: two runs of replicates, or one of a trial")
        same_target = all(np.array_equal(each.target, networks[0].target) for each in networks)
        found = comparison.compare(
            [each.network for each in networks],
            predictions=[each.predictions for each in networks] if same_target else None,
            target=networks[0].target if same_target else None,
            labels=[each.label for each in networks],
            losses=[each.val_loss for each in networks],
            **side_by_side.common(networks),
        )
    if as_json:
        _print_json(side_by_side.as_json(networks, found))
        return
    for title, table in side_by_side.tables(networks, found):
        terminal.show_text(title, "bold")
        terminal.show_table(table, rows=200)
    terminal.show_text(side_by_side.conclusion(networks, found))


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")
def reproduce(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Trains a run again, from its own record. RUN is the id of a replicate's run, or of a trial's for all its replicates.

    Exits with 0 only if every fingerprint is the recorded one, else with 6, and tells what differs from then: code, versions,
    CPU, data.
    """
    with terminal.status("loading the run"):
        from study import reproduction
        from study.tracking import reader, store

        uri = places.tracking_uri(tracking_uri)
        retraining = reproduction.prepare(reader.load_recorded(store.existing(uri), run), uri)
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
@click.option("--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")
def similar(run: str, count: int, tracking_uri: str | None, as_json: bool) -> None:
    """The tracked networks nearest to a replicate's, found by their searchable fingerprints. RUN is the replicate's run.

    Only networks of one architecture with the same validation inputs can be compared. A distance of 0 is the same network, its
    neurons perhaps in another order or at another scale; a disturbance of 1 % of the weights gives about 0.0025.
    """
    with terminal.status("loading the runs"):
        from study.tracking import index, reader, store

        opened = store.existing(places.tracking_uri(tracking_uri))
        query = reader.load_searchable(opened, run)
        ids, known = index.load(opened, query)
        nearest = known.nearest(query, count + 1)
        near = [(ids[place], float(distance)) for place, distance in zip(*nearest, strict=True) if ids[place] != run][:count]
        found = [(distance, reader.describe(opened, each)) for each, distance in near]
    if as_json:
        _print_json({"run_id": run, "compared": len(ids) - 1, "similar": [{"distance": d, **told} for d, told in found]})
        return
    rows = tuple((report.number(distance), *(str(value) for value in told.values())) for distance, told in found)
    columns = ("distance", *(found[0][1] if found else ()))
    terminal.show_text(f"the nearest of {len(ids) - 1} comparable networks", "bold")
    terminal.show_table(report.Table(columns, rows))


@commands.command()
@click.argument("study_name", metavar="[STUDY]", required=False)
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--thorough", is_flag=True, help="Read all points of the curves and all files too: two requests a network.")
@click.option("--storage", help="Optuna's storage; the default is optuna.db in this folder.")
@click.option("--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, to standard output.")
def doctor(
    study_name: str | None, repair: bool, thorough: bool, storage: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Checks the records of one study, or of all: that nothing is damaged, missing, left open or not sent.

    The databases are read whole; of each curve only its last epoch, and of the files only that they are there, unless --thorough.
    Exits with 6 if something is wrong and stays so.
    """
    with terminal.steps("loading MLflow and Optuna") as tell:
        from study import doctor

        records = doctor.Records(places.storage(storage), places.tracking_uri(tracking_uri), study_name, thorough)
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
