"""The trainer's side of tracking: records on disk, and a writer process that sends them on. Imports no MLflow.

A trial has a folder in the spool from its start until MLflow has all of it, named after the writer that is to write it. Its
`record.json`, written last, makes it complete. When a writer ends too early, the next one takes its folders over.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from study import locations, processes
from study.data import batches
from study.errors import EXIT_CODES, StudyError, Unreachable, writing
from study.records.arrays import Array
from study.records.cohort import Cohort, Leg
from study.records.outcome import Completed, Failed, Pruned, Summary, TrialResult
from study.redaction import redact
from study.settings.spec import TrialSpec, flat
from study.tracking import artifacts
from study.tracking.names import STATUS

FOLDER = Path(".mlp-study", "spool")
RECORD, FILES = "record.json", "files"
# before the name of a trial's folder: MLflow has all of it
GONE = "."
LIVE_SECONDS = 2.0
WRITERS: list[Writer] = []


def writers() -> set[int]:
    """The numbers of this process's writers."""
    return {each.number for each in WRITERS}


def close_all(seconds: float) -> None:
    """Closes this process's writers as `Writer.close` does."""
    for each in WRITERS:
        with contextlib.suppress(StudyError):
            each.send(op="drain", key="")  # takes over what workers have left whose writers were killed with them
        each.close(seconds)


class Writer:
    """The process that writes to MLflow, fed with messages. It outlives this one until everything is written."""

    def __init__(self, uri: str) -> None:
        self.folder = FOLDER.absolute()
        self._used = False
        # a session of its own: Ctrl-C and a killed group are for the trainer, not for the records of what it has told
        command = [sys.executable, "-m", "study.tracking.writer", uri, str(self.folder)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True, bufsize=1)
        self.number = self._process.pid
        self.owner = processes.owner(self.number)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._known: dict[str, dict[str, Any]] = {}
        self._failure: StudyError | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        atexit.register(self.close)
        WRITERS.append(self)

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({"ended": True})

    def send(self, **message: Any) -> None:
        assert self._process.stdin
        if not self._used:
            with writing(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._used = True
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
        except (BrokenPipeError, ValueError):
            self.answer("")  # tells why it ended

    def answer(self, key: str) -> dict[str, Any]:
        """What the writer answers to the message with this key. Raises its error, whichever message that was for."""
        while key not in self._known:
            if self._failure:
                raise self._failure
            answer = self._answers.get()
            if "error" in answer:
                told = f"{answer['error']}; what isn't written yet stays in {self.folder}, and the next launch here writes it"
                self._failure = EXIT_CODES[answer["exit_code"]](told)
            elif "ended" in answer:
                self._failure = Unreachable(
                    f"the process that writes to MLflow ended; what it has not written stays in {self.folder}"
                )
            else:
                self._known[answer["key"]] = answer
        return self._known.pop(key)

    def ask(self, **message: Any) -> dict[str, Any]:
        key = uuid.uuid4().hex
        self.send(key=key, **message)
        return self.answer(key)

    def prepare(self) -> None:
        """Has the store opened, and made if it is a new database. Until then, nothing is written anywhere."""
        self.send(op="prepare")

    def drain(self) -> None:
        """Returns when all that was sent is in MLflow. Raises what the writer couldn't write."""
        self.ask(op="drain")

    def close(self, seconds: float | None = None) -> None:
        """Lets the writer end once it has written everything, and waits for that, at most so long: it does so alone too."""
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
        if self._process.stdout:
            self._process.stdout.close()


_check, _start = cache(locations.check), cache(Writer)


def writer(uri: str, *, patient: bool = False) -> Writer:
    """This process's writer for a store. It starts here, and imports while the caller goes on.

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
    ) -> None:
        """data: what `inputs.describe` says of it."""
        self.run_id: str | None = None
        self._writer, self._spec = sender, spec
        self._key = uuid.uuid4().hex
        self._folder = sender.folder / f"{sender.owner}-{self._key[:12]}"
        with writing(self._folder):
            (self._folder / FILES).mkdir(parents=True)
        self._legs: list[tuple[int, Leg]] = []
        self._sent, self._sent_at = 0, time.monotonic()
        replicates = spec.replicates.numbers
        self._record: dict[str, Any] = {
            "experiment": experiment,
            "name": name,
            "number": number,
            "params": {key: redact(text) for key, text in flat(spec).items()},
            "replicates": list(replicates),
            "seeds": batches.replicate_seeds(spec),
            "data": data and {key: redact(text) for key, text in data.items()},
        }
        sender.send(op="open", key=self._key, folder=str(self._folder), record=self._record)

    def leg(self, leg: Leg) -> None:
        """Keeps a leg's curves; in a trial that takes longer they are shown while it runs."""
        self._legs.append((int(time.time() * 1000), leg))
        if time.monotonic() - self._sent_at > LIVE_SECONDS:
            self._writer.send(op="curves", folder=str(self._folder), curves=_curves(self._legs[self._sent :]))
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
    ) -> None:
        """Writes the trained cohort's files, and keeps its summary, fingerprints of both kinds, labels and epochs."""
        artifacts.write(self._folder / FILES, cohort, targets, environment, comparison)
        self._record |= {
            "summary": asdict(summary),
            "fingerprints": list(fingerprints),
            "searchable": list(searchable),
            "labels": list(cohort.labels),
            "epochs": cohort.epoch.tolist(),
        }

    def close(self, outcome: Completed | Pruned | Failed | None) -> None:
        """Completes the record on disk and hands it over. None: the trial was interrupted.

        What the writer can't write now, the next one will: the trial's result counts, perhaps without its run's id. The next
        trial, or the study's end, raises what is wrong.
        """
        self._record |= {
            "status": STATUS[outcome.state] if outcome else "KILLED",
            "reason": redact(getattr(outcome, "reason", None) or "") or None,
            "curves": _curves(self._legs),
        }
        artifacts.write_atomically(self._folder / RECORD, json.dumps(self._record))
        with contextlib.suppress(StudyError):
            if outcome:
                self.run_id = self._writer.answer(self._key)["run_id"]
            self._writer.send(op="close", folder=str(self._folder))


def _curves(legs: Sequence[tuple[int, Leg]]) -> list[dict[str, Any]]:
    """Legs as plain values: when, the last epoch, and losses [epochs][R] with null for what is not finite."""
    return [
        {
            "time": at,
            "epochs_done": leg.epochs_done,
            "train_loss": _plain(leg.train_loss),
            "val_loss": _plain(leg.val_loss),
            "current": _plain(leg.current[None])[0],
        }
        for at, leg in legs
    ]


def _plain(losses: Array) -> list[list[float | None]]:
    return [[value if math.isfinite(value) else None for value in row] for row in losses.tolist()]


def take_over(folder: Path) -> Iterator[Path]:
    """Folders whose writer has ended, each claimed by renaming it, which only one process can."""
    for left in sorted(folder.iterdir()):
        if left.name.startswith(GONE):
            shutil.rmtree(left, ignore_errors=True)
        elif left_behind(left):
            with contextlib.suppress(FileNotFoundError):
                yield left.rename(left.with_name(f"{processes.owner()}-{key_of(left)}"))


def left_behind(folder: Path) -> bool:
    """Whether the writer of a trial's folder has ended."""
    return not processes.alive(folder.name.rpartition("-")[0])


def key_of(folder: Path) -> str:
    """What a trial's runs are found by, whoever makes them."""
    return folder.name.rpartition("-")[2]


def discard(folder: Path) -> None:
    """Removes a trial's folder, by its name at once: half of one would be taken for a trial that was cut off."""
    gone = folder.with_name(f"{GONE}{folder.name}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


@dataclass(frozen=True)
class Recorded:
    """A trial's result, as its record on disk tells it. written: when, in seconds since 1970."""

    study: str
    number: int
    result: TrialResult
    written: float


def recorded() -> list[Recorded]:
    """The studies' trials whose records are complete on disk, and not yet all in MLflow."""
    found = []
    for file in sorted(FOLDER.glob(f"*/{RECORD}")):
        with contextlib.suppress(OSError, ValueError, KeyError):  # sent and removed meanwhile
            record = json.loads(file.read_text())
            outcome = _outcome(record)
            if outcome and record["number"] is not None:
                found.append(Recorded(record["experiment"], record["number"], TrialResult(outcome), file.stat().st_mtime))
    return found


def _outcome(record: Mapping[str, Any]) -> Completed | Pruned | Failed | None:
    if "summary" in record:
        return Completed(Summary.of_plain(record["summary"]))
    if record["status"] == STATUS[Failed.state]:
        return Failed(record["reason"])
    # an interrupted trial has no reason
    return Pruned(record["curves"][-1]["epochs_done"], math.nan) if record["reason"] else None


class NoRecorder:
    """Keeps nothing: `tracking=none`."""

    run_id: str | None = None

    def leg(self, leg: Leg) -> None: ...
    def cohort(self, *_: object) -> None: ...
    def close(self, outcome: Completed | Pruned | Failed | None) -> None: ...
