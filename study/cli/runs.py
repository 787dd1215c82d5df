"""Commands about runs: trials and replicates, by their addresses."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from study import collector, locations, sqlite
from study.cli.group import JSON, STORAGE, TRACKING, best_of, commands, print_json
from study.errors import BadInput, Corrupt, StudyError
from study.reporting import terminal
from study.settings.model import ACTIVATIONS

if TYPE_CHECKING:
    from study.reporting.study_results import Findings

ROWS = 200  # of a table; the rest is left out


@commands.command()
@click.argument("name", metavar="STUDY|RUN")
@STORAGE
@TRACKING
@JSON
@collector.held()  # thousands of records may stay in use
def show(name: str, storage: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Show a study's trials, its best one and its answer; or one trial (STUDY/12, STUDY/best) or replicate (STUDY/12/3).

    RUN may also be a run's id, its first digits, or its name.
    """
    url = locations.storage(storage)
    if _has_study(url, name):
        _show_study(url, name, as_json)
        return
    run_id = _run_id(name, storage, locations.tracking_uri(tracking_uri))
    if run_id is None:
        _show_study(url, name, as_json)  # raises, with the studies that there are
    else:
        _show_run(run_id, locations.tracking_uri(tracking_uri), as_json)


def _has_study(url: str, name: str) -> bool:
    if not sqlite.is_there(url):
        return False
    from study.search import reading

    return name in reading.names(url)


def _findings(name: str) -> Findings | None:
    """Return a study of the default storage; None if it isn't there, or can't be read."""
    from study.reporting import study_results

    url = locations.storage(None)
    with contextlib.suppress(StudyError):
        return study_results.read(url, name) if _has_study(url, name) else None
    return None


def _run_id(name: str, storage: str | None, uri: str) -> str | None:
    """Return the run that a name stands for; None for a study's name, whose trials are in another storage."""
    from study.tracking import addresses, store

    with terminal.status("looking for the run"):
        if addresses.looks_like(name):
            return addresses.run_id(store.existing(uri), name, best_of(storage))
        if not sqlite.is_there(uri):
            return None
        opened = store.existing(uri)
        return None if name in opened.experiments() else addresses.find(opened, name, best_of(storage))


def _show_study(url: str, name: str, as_json: bool) -> None:
    from study.reporting import claims, decisions, study_results

    findings = study_results.read(url, name)
    if not as_json:
        terminal.show_findings(findings)
        return
    choice, decision = findings.choice, findings.decision
    print_json(
        {
            "study": name,
            "objectives": [dataclasses.asdict(objective) for objective in findings.objectives],
            "front": findings.front,
            "best": findings.best.number if findings.best else None,
            "indistinguishable": decisions.contenders(decision) if decision else choice.tied if choice else None,
            "headline": findings.answer.headline,
            "verdict": findings.answer.verdict,
            "evidence": findings.answer.evidence and dataclasses.asdict(findings.answer.evidence),
            "answer": str(findings.answer),
            "command": findings.answer.command or None,
            "claims": [dataclasses.asdict(claim) for claim in claims.claims(findings.star)] if findings.star else None,
            "win": findings.win,
            "differences": choice and {number: dataclasses.asdict(difference) for number, difference in choice.differences.items()},
            "decision": decision and dataclasses.asdict(decision),
            "tested": findings.tested and dataclasses.asdict(findings.tested),
            "finals": [dataclasses.asdict(record) for record in findings.finals],
            "settings": [dataclasses.asdict(effect) for effect in findings.effects],
            "trials": [{**dataclasses.asdict(record), "value": record.value} for record in findings.records],
        }
    )


def _show_run(run_id: str, uri: str, as_json: bool) -> None:
    with terminal.status("loading the run"):
        from study.reporting import listings
        from study.reporting.report import Table
        from study.tracking import runs, store

        opened = store.existing(uri)
        run = runs.load(opened, run_id)
        if isinstance(run, runs.Replicate):
            curves, trial = runs.history(opened, run.run_id), runs.load(opened, run.trial_run)
            assert isinstance(trial, runs.Trial)
            index = [replicate.run_id for replicate in trial.replicates].index(run.run_id)
            moved = runs.motion_of(opened, trial.run_id) if run.motion else None
            content = listings.replicate_plain(run, curves, trial, moved, index)
            sections = listings.replicate(run, curves, trial, moved, index)
        else:
            moved = runs.motion_of(opened, run.run_id) if run.motion else None
            if moved and run.settings.get("training.patience") != str(None):
                run = runs.at_kept_epochs(run, runs.curves(opened, run.run_id))
            content, sections = listings.trial_plain(run, moved), listings.trial(run, moved)
    if as_json:
        print_json(content)
        return
    for title, section in sections:
        terminal.show_line(title, "bold", fold=True)
        if isinstance(section, Table):
            terminal.show_table(section, rows=ROWS)
        else:
            terminal.show_text(section)


@commands.command()
@click.argument("runs", metavar="RUN RUN…", nargs=-1, required=True)
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page for a browser to this file.")
@click.option("--activation", type=click.Choice(ACTIVATIONS), help="Of the hidden layers, if a weights file doesn't record it.")
@TRACKING
@JSON
def compare(runs: tuple[str, ...], page: Path | None, activation: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Compare networks side by side. RUN is a replicate, a trial (all its replicates) or a study (its best trial).

    RUN is STUDY, STUDY/12 (a trial), STUDY/12/3 (a replicate), STUDY/best, best, a run's id, its first digits or its name, a file
    of weights (.npz), or a folder with a trial's files.
    """
    with terminal.status("loading the networks"):
        from study.reporting import comparison_tables, two_trials
        from study.tracking import addresses

        networks = addresses.networks(locations.tracking_uri(tracking_uri), runs, best_of(None))
        if len(networks) < 2:
            raise click.UsageError("give at least two networks: two replicates, or one trial or study")
    with terminal.status(f"comparing {len(networks)} networks"):
        comparison = comparison_tables.compared(networks, activation, centred=as_json)
        lead = two_trials.better(networks, _findings)
    if page:
        with terminal.status("drawing the page"):
            from study.reporting.pages import comparison_page

            comparison_page.write(networks, comparison, page, lead)
        terminal.message(f"page: {page}", "dim")
    if as_json:
        print_json(comparison_tables.as_json(networks, comparison, lead))
        return
    if lead:
        terminal.show_text(lead.text, "bold")
    for title, table in comparison_tables.tables(networks, comparison):
        terminal.show_line(title, "bold", fold=True)
        terminal.show_table(table, rows=ROWS)
    if apart := two_trials.functions_apart(networks):
        terminal.show_text(apart)
    terminal.show_text(comparison_tables.conclusion(networks, comparison))


@commands.command()
@click.argument("run", metavar="RUN")
@TRACKING
@JSON
def reproduce(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Train a run again from its record. RUN is a replicate, or a trial for all its replicates: an id, STUDY/12, STUDY/12/3.

    Exits with 0 if every fingerprint matches the record, else with 6. Reports changes in code, versions, CPU and data.
    """
    with terminal.status("loading the run"):
        from study.reporting import progress
        from study.runner import reproduction
        from study.tracking import addresses, reader, store

        uri = locations.tracking_uri(tracking_uri)
        opened = store.existing(uri)
        retraining = reproduction.prepare(reader.load_recorded(opened, addresses.run_id(opened, run, best_of(None)), run), uri)
    with progress.TrialProgress(retraining.spec.training.epochs) as shown:
        reproduced = retraining.train(shown)
    if as_json:
        print_json(reproduction.as_json(reproduced))
    else:
        terminal.show_table(reproduction.table(reproduced), rows=ROWS)
        terminal.show_text(reproduction.conclusion(reproduced))
    if not reproduced.identical:
        sys.exit(Corrupt.exit_code)


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--count", default=10, show_default=True, type=click.IntRange(1), help="Number of networks to show.")
@TRACKING
@JSON
def similar(run: str, count: int, tracking_uri: str | None, as_json: bool) -> None:
    """Find the tracked networks nearest to a replicate's, by their searchable fingerprints. RUN is a replicate: an id, STUDY/12/3.

    Compares networks with the same architecture and validation inputs. A distance of 0 means the same network, up to the order
    and the scale of its neurons; changing the weights by 1% gives about 0.0025.
    """
    with terminal.status("loading the runs"):
        from study.reporting import report
        from study.tracking import addresses, index, reader, store

        opened = store.existing(locations.tracking_uri(tracking_uri))
        run = addresses.run_id(opened, run, best_of(None))
        query = reader.load_searchable(opened, run)
        ids, known = index.load(opened, query)
        nearest: list[tuple[float, dict[str, str]]] = []
        seen = {reader.network_of(opened, run)}
        for row, distance in zip(*known.nearest(query, len(ids)), strict=True):
            if len(nearest) == count:
                break
            with contextlib.suppress(BadInput):  # deleted meanwhile
                if (network := reader.network_of(opened, ids[row])) not in seen:
                    seen.add(network)
                    nearest.append((float(distance), reader.describe(opened, ids[row])))
    if as_json:
        found = [{"distance": distance, **description} for distance, description in nearest]
        print_json({"run_id": run, "compared": len(ids) - 1, "similar": found})
        return
    rows = tuple((report.number(distance), *map(str, description.values())) for distance, description in nearest)
    terminal.show_text(f"the nearest networks, of {len(ids) - 1} comparable runs", "bold")
    terminal.show_table(report.Table(("distance", *(nearest[0][1] if nearest else ())), rows))
