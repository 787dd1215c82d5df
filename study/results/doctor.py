"""Check the records of studies for damage, and repair it: databases, trials, runs, curves, files, and unsent records."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from study import locations, processes, sqlite
from study.errors import BadInput, Corrupt, Fault
from study.search import reading, stored, trials
from study.search.stored import Attempt
from study.tracking import inspection, spool, store
from study.tracking.inspection import OPEN, TopRun, Waiting
from study.tracking.schema import STATUS
from study.tracking.store import Store

TABLES = {locations.STORAGE: {"studies", "trials"}, locations.TRACKING: {"experiments", "runs"}}
# a process that creates a database renames its draft within seconds
DRAFT_SECONDS = 3_600
NOT_MENDABLE = "this can't be repaired; training the run's settings again gives the same networks"


@dataclass(frozen=True)
class Finding:
    """A defect in the records. mend: how to repair it, as text; repair: repairs it, None if the program can't."""

    where: str
    what: str
    mend: str
    repair: Callable[[], object] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


@dataclass
class Health:
    """The result of a check. notes: remarks that aren't damage; trials, runs: the numbers checked, without replicates' runs."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trials: int = 0
    runs: int = 0


@dataclass(frozen=True)
class Records:
    """The records to check. study: only this one, None for all; thorough: read every point of the curves and every file."""

    storage: str
    uri: str
    study: str | None = None
    thorough: bool = False

    def examine(self, step: Callable[[str], object]) -> Health:
        """Check everything without changing it. step: receives a description of each step.

        Raises BadInput for a missing study or database, and Unreachable.
        """
        step("checking the databases")
        locations.check(self.uri)
        if damaged := list(self._databases()):
            return Health(damaged)
        with inspection.errors(self.uri):
            # in this order, since a record moves from the trial to the spool to MLflow
            step("reading the trials")
            trials = self._trials()
            waiting = inspection.waiting()
            opened = store.connect(self.uri) if sqlite.is_there(self.uri) else None
            experiments = opened.experiments() if opened else {}
            self._check_names(trials, experiments)
            if opened is None and (waiting or any(attempt.run_id for attempts in trials.values() for attempt in attempts)):
                raise _absent(locations.TRACKING, self.uri)
            health = Health([*_spooled(waiting, self.uri), *self._drafts()])
            held = {record.key for record in waiting}
            again = "once that is mended, move it to .mlp-study/spool, and --repair sends it"
            health.notes += [f"{folder}: set aside: {reason}; {again}" for folder, reason in inspection.set_aside().items()]
            for name in dict.fromkeys([*trials, *experiments]):
                if self.study in (None, name):
                    step(f"reading the runs of {name}")
                    runs = inspection.runs(opened, experiments[name]) if opened and name in experiments else []
                    self._study(health, name, trials.get(name, []), runs)
                    if opened:
                        health.findings += self._runs(opened, name, trials.get(name, []), runs, held, step)
                    if opened and name in experiments:
                        health.findings += self._champion(opened, name, experiments[name], known=name in trials)
        return health

    def repair(self, health: Health, step: Callable[[str], object]) -> tuple[list[Finding], Health]:
        """Repair what can be repaired and check again; return what was repaired, and the new result."""
        tried: list[Finding] = []
        refused: list[str] = []
        while able := [(finding, finding.repair) for finding in health.findings if finding.repair and finding not in tried]:
            for finding, mend in able:
                step(f"repairing {finding.where}")
                try:
                    with inspection.errors(self.uri):
                        mend()
                except Corrupt as error:
                    refused.append(f"{finding.where}: not repaired: {error}")
            tried += [finding for finding, _ in able]
            health = self.examine(step)
        # a record that had to be set aside is a note now
        aside = {spool.key_of(folder) for folder in inspection.set_aside()}
        mended = [finding for finding in tried if finding not in health.findings and spool.key_of(Path(finding.where)) not in aside]
        return mended, replace(health, notes=health.notes + refused)

    def _databases(self) -> Iterator[Finding]:
        urls = {locations.STORAGE: self.storage, locations.TRACKING: self.uri}
        if not any(map(sqlite.is_there, urls.values())):
            raise BadInput([fault for key, url in urls.items() for fault in _absent(key, url).faults])
        for key, url in urls.items():
            path = sqlite.path_of(url)
            if path and path.exists() and (wrong := sqlite.damage(path, TABLES[key])):
                yield Finding(str(path), wrong, "replace it with a backup, or move it away and launch again")

    def _drafts(self) -> Iterator[Finding]:
        """Find drafts of databases whose process was killed; opening the finished database removes them too."""
        for path in filter(None, map(sqlite.path_of, (self.storage, self.uri))):
            for draft in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):
                if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                    yield Finding(str(draft), "left by a process that was killed", "--repair removes it", draft.unlink)

    def _trials(self) -> dict[str, list[Attempt]]:
        if not sqlite.is_there(self.storage):
            return {}
        names = reading.names(self.storage)
        return {name: stored.attempts(self.storage, name) for name in names if self.study in (None, name)}

    def _check_names(self, trials: Mapping[str, object], experiments: Mapping[str, str]) -> None:
        if self.study is not None and self.study not in {*trials, *experiments}:
            known = {*experiments, *(reading.names(self.storage) if sqlite.is_there(self.storage) else ())}
            raise BadInput([Fault("STUDY", self.study, f"one of: {', '.join(sorted(known)) or 'none yet'}")])

    def _study(self, health: Health, name: str, attempts: Sequence[Attempt], runs: Sequence[TopRun]) -> None:
        """Check a study's trials, and that its complete trials have runs."""
        health.trials += len(attempts)
        health.runs += len(runs)
        numbers = {attempt.number for attempt in attempts}
        if alien := [run for run in runs if run.trial is not None and run.trial not in numbers]:
            if not sqlite.is_there(self.storage):
                raise _absent(locations.STORAGE, self.storage)
            what = f"{len(alien)} runs belong to trials that aren't in {self.storage}"
            if attempts:
                mend = "if it was replaced by an older one, restore it; else delete these runs in MLflow"
                health.findings.append(Finding(name, what, mend))
            else:
                health.notes.append(f"{name}: {what}")
        for attempt in attempts:
            if attempt.left:
                what = "running by its record, but its process is gone" + ("; its result was saved" if attempt.run_id else "")
                mend = (
                    "--repair ends it with that result"
                    if attempt.run_id
                    else "--repair frees it for another attempt, by the next launch or one that runs now"
                )
                health.findings.append(Finding(f"{name}, trial {attempt.number}", what, mend, partial(_reap, self.storage, name)))
            elif attempt.elsewhere and sqlite.path_of(self.storage):  # on a server, heartbeats decide
                what = f"in progress on {attempt.elsewhere}, of which nothing is known"
                mend = f"if nothing on {attempt.elsewhere} trains it any more, --repair ends it, and the next launch repeats it"
                reap = partial(_reap, self.storage, name, unknown=True)
                health.findings.append(Finding(f"{name}, trial {attempt.number}", what, mend, reap))
        tracked = {run.run_id for run in runs}
        recorded = [attempt for attempt in attempts if attempt.state == "complete" and attempt.run_id]
        lost = [attempt for attempt in recorded if attempt.run_id not in tracked]
        if len(lost) > 1 and lost == recorded:
            what = f"none of its {len(lost)} complete trials has a run in {self.uri}"
            health.findings.append(Finding(name, what, "pass the right --tracking-uri, or restore the experiment in MLflow"))
            return
        for attempt in lost:
            what = f"its run {attempt.run_id} isn't in {self.uri}"
            health.findings.append(Finding(f"{name}, trial {attempt.number}", what, "if it was deleted, restore it in MLflow"))

    def _runs(
        self,
        opened: Store,
        name: str,
        attempts: Sequence[Attempt],
        runs: Sequence[TopRun],
        held: Set[str | None],
        step: Callable[[str], object],
    ) -> Iterator[Finding]:
        """Check each run that no process still writes. held: keys of the runs in the spool."""
        by_number: dict[int | None, Attempt] = {attempt.number: attempt for attempt in attempts}
        for position, run in enumerate(runs, 1):
            if self.thorough:
                step(f"reading the files and curves of {name}: run {position} of {len(runs)}")
            trial = by_number.get(run.trial)
            at_work = run.key in held or (run.statuses & OPEN and processes.alive(run.owner))
            # a trial whose process is gone must be settled first
            if not at_work and not (trial and trial.left):
                yield from self._run(opened, f"{name}, {run.name} (run {run.run_id})", run, trial)

    def _champion(self, opened: Store, name: str, experiment: str, *, known: bool) -> Iterator[Finding]:
        """Find a champion without files. known: the storage has the study, whose best trial's networks the champion is."""
        from study.tracking import champion  # loads MLflow's models

        if lost := champion.lost(opened, experiment):
            mend = f"{'--repair or ' if known else ''}the next launch of study {name} saves it again"
            save = partial(_save_champion, self.storage, self.uri, name) if known else None
            yield Finding(f"{name}, champion", f"no files in {lost}", mend, save)

    def _run(self, opened: Store, where: str, run: TopRun, trial: Attempt | None) -> Iterator[Finding]:
        wanted = _wanted(run, trial)
        unfit = run.statuses & (OPEN if wanted is None else {*OPEN, "FINISHED"})
        if wanted == "FINISHED":
            content = list(self._content(opened, where, run))
            yield from content
            if all(finding.repair for finding in content):
                unfit = run.statuses - {"FINISHED"}
            else:  # it can't be finished any more
                wanted, unfit = None, run.statuses & OPEN
        if unfit:
            status = wanted or "KILLED"
            why = f"its trial {f'is {trial.state}' if trial.counted else 'runs again'}" if trial else "its process is gone"
            end = partial(inspection.end, opened, run, unfit, status, processes.ABANDONED if status == "KILLED" else None)
            yield Finding(where, f"{', '.join(sorted(unfit))} although {why}", f"--repair ends it as {status}", end)

    def _content(self, opened: Store, where: str, run: TopRun) -> Iterator[Finding]:
        """Check the content of a finished trial's run: replicates, fingerprints, files and curves."""
        if len(run.replicates) != run.count:
            yield Finding(
                where,
                f"runs of {len(run.replicates)} of its {run.count} replicates",
                "if some were deleted, restore them in MLflow",
            )
        if bare := [replicate for replicate in run.replicates if not replicate.fingerprint]:
            yield Finding(where, f"no fingerprint of replicate {_listed(bare)}", NOT_MENDABLE)
        if absent := inspection.absent_files(opened, run):
            yield Finding(where, f"no {', '.join(absent)}", NOT_MENDABLE)
            return
        send = partial(inspection.send_missing, opened, run)
        sends = "--repair sends the points from curves.parquet"
        if not self.thorough:
            if short := [replicate for replicate in run.replicates if inspection.ends_early(run, replicate)]:
                yield Finding(where, f"the curves of replicate {_listed(short)} end too early", sends, send)
            return
        try:
            other, gaps = inspection.read_whole(opened, run)
        except Corrupt as error:
            yield Finding(where, str(error), NOT_MENDABLE)
            return
        if other:
            what = f"the weights of replicate {_listed(other)} don't match the fingerprint"
            yield Finding(where, what, f"mlp-study reproduce {run.run_id} trains them again and shows which is right")
        for gap in gaps:
            which = f"{gap.key} of replicate {gap.replicate.number}"
            if gap.missing:
                yield Finding(where, f"{which} lacks epoch {_some([point.step for point in gap.missing])}", sends, send)
            if gap.wrong:
                what = f"{which} has epoch {_some(gap.wrong)} twice, or different from curves.parquet"
                yield Finding(where, what, "MLflow can't delete points; curves.parquet has the right ones")


def _wanted(run: TopRun, trial: Attempt | None) -> str | None:
    """Return the status that a run should have by its trial; None if any closed status will do."""
    if trial is None:
        return "FINISHED" if run.kind == "trial" and run.status == "FINISHED" else None
    if not trial.counted:
        return "KILLED"
    if trial.run_id == run.run_id:
        return STATUS.get(trial.state)
    return "KILLED" if trial.run_id else None


def _spooled(waiting: Sequence[Waiting], uri: str) -> Iterator[Finding]:
    for record in waiting:
        if record.elsewhere:
            what = f"a record by {record.elsewhere}, of which nothing is known"
            mend = f"if nothing on {record.elsewhere} writes here any more, --repair takes it over"
            yield Finding(str(record.folder), what, mend, partial(inspection.take_over, record, uri))
        elif not record.alive:
            what = "a record that isn't in MLflow yet" if record.complete else "an incomplete record of an interrupted trial"
            mend = "--repair sends it" if record.complete else "--repair ends its runs and removes it"
            yield Finding(str(record.folder), what, mend, partial(inspection.send_waiting, uri))


def _reap(storage: str, name: str, *, unknown: bool = False) -> None:
    """End the trials that a study's dead processes left, as the next launch would. unknown: and those of other machines."""
    trials.Trials(storage, name, reading.open_study(storage, name).objectives).reap(unknown=unknown)


def _save_champion(storage: str, uri: str, name: str) -> None:
    from study.reporting import study_results
    from study.results import champion

    champion.keep(study_results.read(storage, name), uri)


def _absent(key: str, url: str) -> BadInput:
    return BadInput([Fault(key, url, f"an existing database of studies; there is no {sqlite.path_of(url)}")])


def _listed(replicates: Sequence[inspection.ReplicateRun]) -> str:
    return _some([replicate.number for replicate in replicates])


def _some(numbers: Sequence[int], most: int = 8) -> str:
    return ", ".join(map(str, sorted(numbers)[:most])) + (", …" if len(numbers) > most else "")


def conclusion(health: Health, mended: Sequence[Finding]) -> str:
    seen = f"{health.trials} trials and {health.runs} runs"
    if health.findings:
        able = sum(finding.repair is not None for finding in health.findings)
        count = len(health.findings)
        return f"{count} finding{'s' * (count != 1)} in {seen}" + (f"; --repair can repair {able}" if able else "")
    return f"no damage in {seen}" + (f"; {len(mended)} findings repaired" if mended else "")


def plain(finding: Finding) -> dict[str, str | bool]:
    return {"where": finding.where, "what": finding.what, "mend": finding.mend, "mendable": finding.repair is not None}
