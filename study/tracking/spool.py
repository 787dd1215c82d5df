"""The trainer's side of tracking: records on disk, and a writer process that sends them to MLflow. Imports no MLflow.

A trial has a folder in the spool from its start until MLflow has all of it, named after the process that is to write it. Its
`record.json`, written last, makes it complete. When a writer ends too early, the next one takes its folders over.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study import locations, processes
from study.data import batches
from study.errors import EXIT_CODES, BadInput, Corrupt, StudyError, Unreachable, writing
from study.records.arrays import Array
from study.records.cohort import Cohort, Leg
from study.records.outcome import Completed, Failed, Pruned, Summary, TrialResult
from study.redaction import redact
from study.settings.spec import TrialSpec, flat
from study.settings.values import Value
from study.tracking import artifacts, messages
from study.tracking.messages import LegCurves, SpoolRecord, Trained, TrialStart
from study.tracking.schema import KILLED, STATUS, TrialRun

FOLDER = Path(".mlp-study", "spool")
RECORD, FILES = "record.json", "files"
# where the folders lie whose records can't be sent, each with its reason
ASIDE, REASON = FOLDER.with_name("set-aside"), "reason.txt"
# before the name of a trial's folder: MLflow has all of it
GONE = "."
LIVE_SECONDS = 2.0
LEAVE_SECONDS = 2.5  # for a writer after an interrupt; it continues alone
WRITERS: list[Writer] = []


def writers() -> set[int]:
    """Return the process numbers of this process's writers."""
    return {writer.number for writer in WRITERS}


def close_all(seconds: float | None) -> None:
    """Close this process's writers as `Writer.close` does."""
    for writer in WRITERS:
        with contextlib.suppress(StudyError):
            writer.send(messages.Drain(_key()))  # takes over what workers have left whose writers were killed with them
        writer.close(seconds)


def end_writers(seconds: float | None) -> None:
    """Close this process's writers as `close_all` does, and forget them: another launch begins others."""
    try:
        close_all(seconds)
    finally:
        for writer in WRITERS:
            atexit.unregister(writer.close)
        WRITERS.clear()
        _start.cache_clear()
        _check.cache_clear()


def _key() -> str:
    return uuid.uuid4().hex


class Writer:
    """The process that writes to MLflow, fed with messages. It outlives this one until everything is written."""

    def __init__(self, uri: str) -> None:
        self.folder = FOLDER.absolute()
        self._used = False
        # a session of its own: Ctrl-C and a killed group are for the trainer, and not for the records that it has handed over
        name = processes.new_name()
        command = [sys.executable, "-m", "study.tracking.writer", uri, str(self.folder), name]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True, bufsize=1)
        self.number = self._process.pid
        # folders of trials are the writer's from their start; until it can lock this, its trainer does
        self.owner, self._lock_name, self._held = processes.named(self.number, name), name, contextlib.ExitStack()
        self._answers: queue.Queue[messages.Answer] = queue.Queue()
        self._known: dict[str, str] = {}
        self._failure: StudyError | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        atexit.register(self.close)
        WRITERS.append(self)

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._held.close()
            self._answers.put(messages.decode(line))
        self._held.close()
        self._answers.put(messages.Ended())

    def send(self, message: messages.Message) -> None:
        assert self._process.stdin
        if not self._used:
            with writing(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if held := processes.lock(self._lock_name):
                self._held.callback(held.release)
            self._used = True
        if self._failure:
            raise self._failure
        try:
            self._process.stdin.write(messages.encode(message))
        except (BrokenPipeError, ValueError):
            self.answer("")  # raises why it ended

    def answer(self, key: str) -> str:
        """Return the answer to the question with this key. Raises the writer's error, whichever message that was for."""
        while key not in self._known:
            if self._failure:
                raise self._failure
            match self._answers.get():
                case messages.Answered(answered, content):
                    self._known[answered] = content
                case messages.Refused(error, exit_code):
                    left = f"what isn't written yet stays in {self.folder}, and the next launch here writes it"
                    self._failure = EXIT_CODES[exit_code](f"{error}; {left}")
                    if isinstance(self._failure, BadInput):  # which would be the trial's own fault, and others would follow it
                        self._failure = StudyError(str(self._failure))
                        self._failure.exit_code = exit_code
                case messages.Ended():
                    self._failure = Unreachable(
                        f"the process that writes to MLflow ended; what it has not written stays in {self.folder}"
                    )
        return self._known.pop(key)

    def _ask(self, question: messages.Question) -> str:
        self.send(question)
        return self.answer(question.key)

    def prepare(self, unwatched: bool = False) -> None:
        """Have the store opened, and made if it is a new database. Until then, nothing is written anywhere.

        unwatched: no driver reports how this process ends, so that the writer must.
        """
        self.send(messages.Prepare(unwatched))

    def open_experiment(self, name: str, columns: Sequence[str]) -> str:
        """Make a study's experiment, or find it; return its page. columns: the parameters with one in MLflow's table of runs."""
        return self._ask(messages.OpenExperiment(_key(), name, columns))

    def trial_runs(self, name: str) -> list[TrialRun]:
        """Return the runs of a study's trials, the deleted ones too."""
        return [TrialRun(**run) for run in json.loads(self._ask(messages.FindTrials(_key(), name)))]

    def disown(self, name: str, started: Mapping[int, float], wholes: Mapping[int, str | None] | None = None) -> None:
        """Have the runs ended that don't count (see `messages.Disown`)."""
        self.send(messages.Disown(name, started, wholes))

    def keep_study(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, str], texts: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        """Keep a study's tags, its fixed settings, its tables (by file name) and its files with its run."""
        self._ask(messages.KeepStudy(_key(), name, tags, params, texts, [str(file.absolute()) for file in files]))

    def keep_race(self, name: str, trials: Sequence[messages.RacedTrial]) -> None:
        """Have the later replicates of a study's trials kept with their runs, which must have ended."""
        if trials:
            self.send(messages.KeepRace(name, trials))

    def keep_files(self, run_id: str, files: Sequence[Path]) -> None:
        """Keep files with a run."""
        self._ask(messages.KeepFiles(_key(), run_id, [str(file.absolute()) for file in files]))

    def drain(self) -> None:
        """Return when all that was sent is in MLflow. Raises what the writer couldn't write."""
        self._ask(messages.Drain(_key()))

    def close(self, seconds: float | None = None) -> None:
        """Let the writer end once it has written everything, and wait for that, at most `seconds`; it ends in any case."""
        if not self._used:
            self._process.terminate()
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self._listener.join()
        self._held.close()
        if self._process.stdout:
            self._process.stdout.close()


_check, _start = cache(locations.check), cache(Writer)


def writer(uri: str, *, patient: bool = False) -> Writer:
    """Return this process's writer for a store. It starts here, and loads while the caller continues.

    Raises Unreachable if no server answers; a `patient` caller, whose study has begun, waits for one that is away.
    """
    if not patient:
        _check(uri)
    return _start(uri)


class TrialRecorder:
    """Records one trial. Nothing here waits, except `close` for the run's id, which is there long before."""

    def __init__(
        self,
        sender: Writer,
        experiment: str,
        spec: TrialSpec,
        name: str,
        number: int | None,
        data: Mapping[str, str] | None = None,
        whole: int | None = None,
    ) -> None:
        """data: the description of its data that `inputs.describe` returns. whole: as in `TrialStart`."""
        self.run_id: str | None = None
        self._writer = sender
        self._key = _key()
        self._folder = sender.folder / f"{sender.owner}-{self._key[:12]}"
        with writing(self._folder):
            (self._folder / FILES).mkdir(parents=True)
        self._legs: list[LegCurves] = []
        self._sent, self._sent_at = 0, time.monotonic()
        self._trained: Trained | None = None
        self._start = TrialStart(
            experiment=experiment,
            name=name,
            number=number,
            settings={key: _redacted(value) for key, value in flat(spec).items()},
            replicates=list(spec.replicates.numbers),
            seeds=batches.replicate_seeds(spec),
            data=data and {key: redact(text) for key, text in data.items()},
            whole=whole,
        )
        sender.send(messages.OpenTrial(self._key, str(self._folder), self._start))

    def leg(self, leg: Leg) -> None:
        """Keep a leg's curves; those of a trial that takes longer are shown while it runs."""
        self._legs.append(LegCurves.of_leg(int(time.time() * 1000), leg))
        if time.monotonic() - self._sent_at > LIVE_SECONDS:
            self._writer.send(messages.SendCurves(str(self._folder), self._legs[self._sent :]))
            self._sent, self._sent_at = len(self._legs), time.monotonic()

    def cohort(
        self,
        cohort: Cohort,
        summary: Summary,
        fingerprints: Sequence[str],
        targets: Sequence[Array],
        environment: Mapping[str, str],
        comparison: Mapping[str, Array],
        searchable: Sequence[str],
        onward: tuple[Cohort, Sequence[Array]] | None,
        picture: str,
        errors: str,
    ) -> None:
        """Write the trained cohort's files, and keep its summary, fingerprints of both kinds, labels and epochs.

        onward: replicates that were trained on, and their targets; picture: of the loss curves, as SVG; errors: `error_table`'s.
        """
        artifacts.write(self._folder / FILES, cohort, targets, environment, comparison, onward, picture, errors)
        self._trained = Trained(summary, fingerprints, cohort.labels, cohort.epoch.tolist(), searchable)

    def close(self, outcome: Completed | Pruned | Failed | None) -> None:
        """Complete the record on disk and hand it over. None: the trial was interrupted.

        What the writer can't write now, the next one will: the trial's result counts, perhaps without its run's id. The next
        trial, or the study's end, raises the error.
        """
        status = STATUS[outcome.state] if outcome else KILLED
        reason = None if outcome is None or isinstance(outcome, Completed) else redact(outcome.reason)
        record = SpoolRecord(self._start, status, reason, self._legs, self._trained)
        artifacts.write_atomically(self._folder / RECORD, record.to_json())
        with contextlib.suppress(StudyError):
            if outcome:
                self.run_id = self._writer.answer(self._key) or None  # none where MLflow refuses the trial's record
            self._writer.send(messages.CloseTrial(str(self._folder)))


def _redacted(value: Value) -> Value:
    if isinstance(value, str):
        return redact(value)
    return [_redacted(item) for item in value] if isinstance(value, Sequence) else value  # type: ignore[misc]


def take_over(folder: Path) -> Iterator[Path]:
    """Yield the folders whose writer has ended, each claimed by renaming it, which only one process can."""
    for left in sorted(folder.iterdir()):
        if left.name.startswith(GONE):
            shutil.rmtree(left, ignore_errors=True)
        elif left_behind(left):
            with contextlib.suppress(FileNotFoundError):
                yield left.rename(left.with_name(f"{processes.owner()}-{key_of(left)}"))


def left_behind(folder: Path) -> bool:
    """Return whether the writer of a trial's folder has ended."""
    return not processes.alive(owner_of(folder))


def owner_of(folder: Path) -> str:
    """Return the writer of a trial's folder, as an owner (`processes`)."""
    return folder.name.rpartition("-")[0]


def abandon(folder: Path) -> None:
    """Give a trial's folder to the next writer."""
    folder.rename(folder.with_name(f"-{key_of(folder)}"))


def key_of(folder: Path) -> str:
    """Return the key by which a trial's runs are found, whichever process makes them."""
    return folder.name.rpartition("-")[2]


def discard(folder: Path) -> None:
    """Remove a trial's folder, by its name at once: half of one would be taken for a trial that was cut off."""
    gone = folder.with_name(f"{GONE}{folder.name}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def set_aside(folder: Path, reason: str) -> Path:
    """Move a trial's folder that can never be sent out of the way of the others, with the reason in it; return its new path."""
    aside = folder.parent.with_name(ASIDE.name) / folder.name
    with writing(aside):
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        (folder / REASON).write_text(f"{redact(reason)}\n")
        folder.rename(aside)
    return aside


def read_record(folder: Path) -> SpoolRecord:
    """Return the complete record in a trial's folder. Raises Corrupt if it is damaged."""
    file = folder / RECORD
    try:
        return SpoolRecord.from_json(file.read_text())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{file} is damaged ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Recorded:
    """A trial's result as its record on disk has it. whole: it is of all replicates; written: in seconds since 1970."""

    study: str
    number: int
    whole: bool
    result: TrialResult
    written: float


def recorded() -> list[Recorded]:
    """Return the studies' trials whose records are complete on disk, and not yet all in MLflow."""
    waiting = []
    for file in sorted(FOLDER.glob(f"*/{RECORD}")):
        with contextlib.suppress(OSError, Corrupt):  # sent and removed meanwhile; the writer sets damaged ones aside
            record = read_record(file.parent)
            start, outcome = record.start, record.outcome
            number = start.number if start.whole is None else start.whole
            if outcome and number is not None:
                whole, written = start.whole is not None, file.stat().st_mtime
                waiting.append(Recorded(start.experiment, number, whole, TrialResult(outcome), written))
    return waiting


class NoRecorder:
    """Records nothing: `tracking=none`."""

    run_id: str | None = None

    def leg(self, leg: Leg) -> None: ...
    def cohort(self, *_: object) -> None: ...
    def close(self, outcome: Completed | Pruned | Failed | None) -> None: ...
