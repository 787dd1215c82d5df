"""Whether the records of studies are whole, and agree: databases, trials, runs, curves, files, and what waits to be sent."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial

from study import locations, processes, sqlite
from study.errors import BadInput, Corrupt, Fault
from study.search import stored, trials
from study.search.stored import Attempt
from study.tracking import inspection, store
from study.tracking.inspection import OPEN, TopRun, Waiting
from study.tracking.schema import STATUS
from study.tracking.store import Store

TABLES = {locations.STORAGE: {"studies", "trials"}, locations.TRACKING: {"experiments", "runs"}}
# a process that makes a database renames its draft within seconds
DRAFT_SECONDS = 3_600
NOT_MENDABLE = "this can't be mended; the run's settings trained again give the same networks"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. mend: what would mend it; repair: does so, where the program can."""

    where: str
    what: str
    mend: str
    repair: Callable[[], object] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


@dataclass
class Health:
    """What was found. notes: worth to know, but not wrong; trials, runs: how many were looked at, the replicates' not counted."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    trials: int = 0
    runs: int = 0


@dataclass(frozen=True)
class Records:
    """What is to be examined. study: only the one of this name; thorough: all points of all curves, and all files, are read."""

    storage: str
    uri: str
    study: str | None = None
    thorough: bool = False

    def examine(self, tell: Callable[[str], object]) -> Health:
        """Looks at everything, without changing it. tell: is told what is looked at.

        Raises BadInput for a study or a database that isn't there, and Unreachable.
        """
        tell("checking the databases")
        locations.check(self.uri)
        if damaged := list(self._databases()):
            return Health(damaged)
        with inspection.errors(self.uri):
            # in this order: what a job has handed over is in the spool, and what has left the spool is in MLflow
            tell("reading the trials")
            trials = self._trials()
            waiting = inspection.waiting()
            opened = store.connect(self.uri) if sqlite.is_there(self.uri) else None
            experiments = opened.experiments() if opened else {}
            self._check_names(trials, experiments)
            if opened is None and (waiting or any(each.run_id for attempts in trials.values() for each in attempts)):
                raise _absent(locations.TRACKING, self.uri)
            health = Health([*_spooled(waiting, self.uri), *self._drafts()])
            held = {each.key for each in waiting}
            for name in dict.fromkeys([*trials, *experiments]):
                if self.study in (None, name):
                    tell(f"reading the runs of {name}")
                    runs = inspection.runs(opened, experiments[name]) if opened and name in experiments else []
                    self._study(health, name, trials.get(name, []), runs)
                    if opened:
                        health.findings += self._runs(opened, name, trials.get(name, []), runs, held, tell)
        return health

    def repair(self, health: Health, tell: Callable[[str], object]) -> tuple[list[Finding], Health]:
        """Mends what can be mended, and looks again: what was mended, and what was found then."""
        tried: list[Finding] = []
        refused: list[str] = []
        while able := [(each, each.repair) for each in health.findings if each.repair and each not in tried]:
            for each, mend in able:
                tell(f"mending {each.where}")
                try:
                    with inspection.errors(self.uri):
                        mend()
                except Corrupt as error:
                    refused.append(f"{each.where}: not mended: {error}")
            tried += [each for each, _ in able]
            health = self.examine(tell)
        return [each for each in tried if each not in health.findings], replace(health, notes=health.notes + refused)

    def _databases(self) -> Iterator[Finding]:
        urls = {locations.STORAGE: self.storage, locations.TRACKING: self.uri}
        if not any(map(sqlite.is_there, urls.values())):
            raise BadInput([fault for key, url in urls.items() for fault in _absent(key, url).faults])
        for key, url in urls.items():
            path = sqlite.path_of(url)
            if path and path.exists() and (wrong := sqlite.damage(path, TABLES[key])):
                yield Finding(str(path), wrong, "it is left as it is: put a copy in its place, or move it away and launch again")

    def _drafts(self) -> Iterator[Finding]:
        """What a process was killed over that made a database; beside one that is there, it goes whenever that is opened."""
        for path in filter(None, map(sqlite.path_of, (self.storage, self.uri))):
            for draft in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):
                if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                    yield Finding(str(draft), "left by a process that was killed", "--repair removes it", draft.unlink)

    def _trials(self) -> dict[str, list[Attempt]]:
        """The attempts of each study."""
        if not sqlite.is_there(self.storage):
            return {}
        names = stored.names(self.storage)
        return {name: stored.attempts(self.storage, name) for name in names if self.study in (None, name)}

    def _check_names(self, trials: Mapping[str, object], experiments: Mapping[str, str]) -> None:
        if self.study is not None and self.study not in {*trials, *experiments}:
            known = {*experiments, *(stored.names(self.storage) if sqlite.is_there(self.storage) else ())}
            raise BadInput([Fault("STUDY", self.study, f"one of: {', '.join(sorted(known)) or 'none yet'}")])

    def _study(self, health: Health, name: str, attempts: Sequence[Attempt], runs: Sequence[TopRun]) -> None:
        """What is wrong with a study's trials, and whether it has the runs that it should have."""
        health.trials += len(attempts)
        health.runs += len(runs)
        numbers = {each.number for each in attempts}
        if alien := [run for run in runs if run.trial is not None and run.trial not in numbers]:
            if not sqlite.is_there(self.storage):
                raise _absent(locations.STORAGE, self.storage)
            health.notes.append(f"{name}: {len(alien)} runs are of trials that aren't in {self.storage}")
        for each in attempts:
            if each.left:
                what = "in work by a process that is gone" + ("; its result is kept" if each.run_id else "")
                mend = (
                    "--repair ends it as its job left it"
                    if each.run_id
                    else "--repair marks it; a driver that runs, or the next launch, makes it again"
                )
                health.findings.append(Finding(f"{name}, trial {each.number}", what, mend, partial(_reap, self.storage, name)))
        found = {run.run_id for run in runs}
        recorded = [each for each in attempts if each.state == "complete" and each.run_id]
        lost = [each for each in recorded if each.run_id not in found]
        if len(lost) > 1 and lost == recorded:
            what = f"none of the runs of its {len(lost)} complete trials is in {self.uri}"
            health.findings.append(Finding(name, what, "give the right --tracking-uri, or restore the experiment in MLflow"))
            return
        for each in lost:
            what = f"its run {each.run_id} isn't in {self.uri}"
            health.findings.append(Finding(f"{name}, trial {each.number}", what, "if it was deleted, restore it in MLflow"))

    def _runs(
        self,
        opened: Store,
        name: str,
        attempts: Sequence[Attempt],
        runs: Sequence[TopRun],
        held: Set[str | None],
        tell: Callable[[str], object],
    ) -> Iterator[Finding]:
        """What is wrong with each run that nobody writes any more. held: the keys of those that are in the spool."""
        by_number: dict[int | None, Attempt] = {each.number: each for each in attempts}
        for place, run in enumerate(runs, 1):
            if self.thorough:
                tell(f"reading the files and curves of {name}: run {place} of {len(runs)}")
            trial = by_number.get(run.trial)
            at_work = run.key in held or (run.statuses & OPEN and processes.alive(run.owner))
            # how a trial ended that was left has to be settled first
            if not at_work and not (trial and trial.left):
                yield from self._run(opened, f"{name}, {run.name} (run {run.run_id})", run, trial)

    def _run(self, opened: Store, where: str, run: TopRun, trial: Attempt | None) -> Iterator[Finding]:
        wanted = _wanted(run, trial)
        unfit = run.statuses & (OPEN if wanted is None else {*OPEN, "FINISHED"})
        if wanted == "FINISHED":
            content = list(self._content(opened, where, run))
            yield from content
            if all(each.repair for each in content):
                unfit = run.statuses - {"FINISHED"}
            else:  # it never will be finished
                wanted, unfit = None, run.statuses & OPEN
        if unfit:
            status = wanted or "KILLED"
            why = f"its trial is {trial.state if trial.counted else 'made again'}" if trial else "its process is gone"
            end = partial(inspection.end, opened, run, unfit, status, processes.ABANDONED if status == "KILLED" else None)
            yield Finding(where, f"{', '.join(sorted(unfit))} although {why}", f"--repair ends it as {status}", end)

    def _content(self, opened: Store, where: str, run: TopRun) -> Iterator[Finding]:
        """What a finished trial's run lacks."""
        if len(run.replicates) != run.count:
            yield Finding(
                where, f"{len(run.replicates)} runs of its {run.count} replicates", "if some were deleted, restore them in MLflow"
            )
        if bare := [each for each in run.replicates if not each.fingerprint]:
            yield Finding(where, f"no fingerprint of replicate {_listed(bare)}", NOT_MENDABLE)
        if absent := inspection.absent_files(opened, run):
            yield Finding(where, f"no {', '.join(absent)}", NOT_MENDABLE)
            return
        send = partial(inspection.send_missing, opened, run)
        sends = "--repair sends the points from curves.parquet"
        if not self.thorough:
            if short := [each for each in run.replicates if inspection.ends_early(run, each)]:
                yield Finding(where, f"the curves of replicate {_listed(short)} end too early", sends, send)
            return
        try:
            other, gaps = inspection.read_whole(opened, run)
        except Corrupt as error:
            yield Finding(where, str(error), NOT_MENDABLE)
            return
        if other:
            what = f"the weights of replicate {_listed(other)} aren't those of the fingerprint"
            yield Finding(where, what, f"mlp-study reproduce {run.run_id} trains them again, and tells which is right")
        for gap in gaps:
            which = f"{gap.key} of replicate {gap.replicate.number}"
            if gap.missing:
                yield Finding(where, f"{which} lacks epoch {_some([point.step for point in gap.missing])}", sends, send)
            if gap.wrong:
                what = f"{which} has epoch {_some(gap.wrong)} twice, or not as in curves.parquet"
                yield Finding(where, what, "MLflow takes no point back; curves.parquet has the right ones")


def _wanted(run: TopRun, trial: Attempt | None) -> str | None:
    """The status that a run should have by its trial; None where every one will do that isn't open."""
    if trial is None:
        return "FINISHED" if run.kind == "trial" and run.status == "FINISHED" else None
    if not trial.counted:
        return "KILLED"
    if trial.run_id == run.run_id:
        return STATUS.get(trial.state)
    return "KILLED" if trial.run_id else None


def _spooled(waiting: Sequence[Waiting], uri: str) -> Iterator[Finding]:
    for each in waiting:
        if not each.alive:
            what = "the record of a trial that isn't in MLflow yet" if each.complete else "what is left of a trial that was cut off"
            mend = "--repair sends it" if each.complete else "--repair ends its runs and removes it"
            yield Finding(str(each.folder), what, mend, partial(inspection.send_waiting, uri))


def _reap(storage: str, name: str) -> None:
    """Ends what a study's gone processes have left, as the next launch would."""
    trials.Trials(storage, name, stored.open_study(storage, name).objectives).reap()


def _absent(key: str, url: str) -> BadInput:
    return BadInput([Fault(key, url, f"a database with records of studies; there is no {sqlite.path_of(url)}")])


def _listed(replicates: Sequence[inspection.ReplicateRun]) -> str:
    return _some([each.number for each in replicates])


def _some(numbers: Sequence[int], most: int = 8) -> str:
    return ", ".join(map(str, sorted(numbers)[:most])) + (", …" if len(numbers) > most else "")


# -- what is told ------------------------------------------------------------------------------------------------------------


def conclusion(health: Health, mended: Sequence[Finding]) -> str:
    seen = f"{health.trials} trials and {health.runs} runs"
    if health.findings:
        able = sum(each.repair is not None for each in health.findings)
        count = len(health.findings)
        return f"{count} finding{'s' * (count != 1)} in {seen}" + (f"; --repair can mend {able}" if able else "")
    return f"all is whole: {seen}" + (f", {len(mended)} findings mended" if mended else "")


def plain(finding: Finding) -> dict[str, str | bool]:
    """For JSON."""
    return {"where": finding.where, "what": finding.what, "mend": finding.mend, "mendable": finding.repair is not None}
