"""The records and messages that a trainer hands to the writer, and the writer's answers: frozen values, one JSON object each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from study.records.arrays import Array
from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Outcome, Pruned, Summary
from study.records.trial import TrialRecord
from study.settings.values import Value, from_text
from study.tracking.schema import STATUS, race_metrics

# -- a trial's record ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialStart:
    """The part of a trial's record that is known before it is trained.

    number: in its study, None for a single trial; whole: the number of the trial whose replicates are all trained again, together,
    else None. settings: by dotted key. seeds: source → one per replicate. data: as `inputs.describe` gives it.
    """

    experiment: str
    name: str
    number: int | None
    settings: Mapping[str, Value]
    replicates: Sequence[int]
    seeds: Mapping[str, Sequence[int]]
    data: Mapping[str, str] | None = None
    whole: int | None = None

    def seeds_of(self, index: int) -> dict[str, int]:
        """Return the seeds of the replicate at this index, from 0."""
        return {source: numbers[index] for source, numbers in self.seeds.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrialStart:
        return cls(
            experiment=content["experiment"],
            name=content["name"],
            number=content["number"],
            # versions before 0.2 left texts
            settings=content["settings"]
            if "settings" in content
            else {key: from_text(text) for key, text in content["params"].items()},
            replicates=content["replicates"],
            seeds=content["seeds"],
            data=content.get("data"),
            whole=content.get("whole"),
        )


@dataclass(frozen=True)
class LegCurves:
    """A leg's losses, [epochs][R], with None for what isn't finite. time: of its end, in ms since 1970; current: as in `Leg`."""

    time: int
    epochs_done: int
    train_loss: Sequence[Sequence[float | None]]
    val_loss: Sequence[Sequence[float | None]]
    current: Sequence[float | None]

    @classmethod
    def of_leg(cls, time: int, leg: Leg) -> LegCurves:
        current = _finite(leg.current[None])[0]
        return cls(time, leg.epochs_done, _finite(leg.train_loss), _finite(leg.val_loss), current)


def _finite(losses: Array) -> list[list[float | None]]:
    return [[value if math.isfinite(value) else None for value in row] for row in losses.tolist()]


@dataclass(frozen=True)
class Trained:
    """A completed trial: its summary, and each replicate's fingerprint, label and kept epoch.

    searchable: each replicate's searchable fingerprint; empty where networks have none.
    """

    summary: Summary
    fingerprints: Sequence[str]
    labels: Sequence[str]
    epochs: Sequence[int]
    searchable: Sequence[str] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Trained:
        summary = Summary.of_plain(content["summary"])
        return cls(summary, content["fingerprints"], content["labels"], content["epochs"], content.get("searchable", ()))


@dataclass(frozen=True)
class SpoolRecord:
    """A whole trial in the spool. status: of its runs; reason: why it has no result; trained: None unless it is complete."""

    start: TrialStart
    status: str
    reason: str | None
    curves: Sequence[LegCurves]
    trained: Trained | None = None

    @property
    def outcome(self) -> Outcome | None:
        """Return the trial's outcome; None if it was interrupted, which is the only end without a reason."""
        if self.trained:
            return Completed(self.trained.summary)
        if not self.reason:
            return None
        return Failed(self.reason) if self.status == STATUS[Failed.state] else Pruned(self.curves[-1].epochs_done, math.nan)

    def to_json(self) -> str:
        """Return the text of `record.json`, which is flat: `start` and `trained` give their keys to it."""
        content = {"status": self.status, "reason": self.reason, "curves": [asdict(leg) for leg in self.curves]}
        return json.dumps(asdict(self.start) | content | (asdict(self.trained) if self.trained else {}))

    @classmethod
    def from_json(cls, text: str) -> SpoolRecord:
        """Read a `record.json`, of an earlier version too. Raises ValueError or KeyError for anything else."""
        content = json.loads(text)
        return cls(
            start=TrialStart.from_json(content),
            status=content["status"],
            reason=content["reason"],
            curves=[LegCurves(**leg) for leg in content["curves"]],
            trained=Trained.from_json(content) if "summary" in content else None,
        )


# -- from the trainer to the writer --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepare:
    """Open the store, which is made if it is a new database. unwatched: as in `spool.Writer.prepare`."""

    unwatched: bool = False


@dataclass(frozen=True)
class OpenTrial:
    """Make a trial's runs, or find them. Answered with the id of the trial's run. folder: its own in the spool."""

    key: str
    folder: str
    start: TrialStart


@dataclass(frozen=True)
class SendCurves:
    """Send the curves of a trial that still runs."""

    folder: str
    curves: Sequence[LegCurves]


@dataclass(frozen=True)
class CloseTrial:
    """Send the rest of a trial, whose record is on disk, and end its runs."""

    folder: str


@dataclass(frozen=True)
class OpenExperiment:
    """Make a study's experiment. Answered with its page. columns: the parameters that get one in MLflow's table of runs."""

    key: str
    name: str
    columns: Sequence[str]


@dataclass(frozen=True)
class FindTrials:
    """Find the runs of a study's trials. Answered with a list of `schema.TrialRun`s, as JSON."""

    key: str
    name: str


@dataclass(frozen=True)
class KeepStudy:
    """Keep tags, parameters, texts (by file name) and files with a study's run. Answered with the run's id."""

    key: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    texts: Mapping[str, str]
    files: Sequence[str]


@dataclass(frozen=True)
class KeepFiles:
    """Keep files with a run. Answered when that is done."""

    key: str
    run_id: str
    files: Sequence[str]


@dataclass(frozen=True)
class Disown:
    """End the runs of a study that don't count: of attempts, and of all replicates of a trial, where another run holds them.

    started: trial number → its start, in seconds since 1970. wholes: trial number → the run that holds all its replicates, None if
    it isn't known; None in place of all without a race.
    """

    name: str
    started: Mapping[int, float]
    wholes: Mapping[int, str | None] | None = None


@dataclass(frozen=True)
class RacedTrial:
    """A trial with later replicates. run_id: None if it isn't known. losses: of all replicates, none if a later one diverged.

    metrics: of all replicates, by the names that the run has them under; reason: why it is out, if a later one diverged.
    """

    number: int
    run_id: str | None
    losses: Sequence[float]
    metrics: Mapping[str, float]
    reason: str | None = None

    @classmethod
    def of(cls, run_id: str | None, record: TrialRecord) -> RacedTrial:
        summary = record.summary
        if summary is None:
            return cls(record.number, run_id, (), {}, record.reason)
        return cls(record.number, run_id, summary.val_losses, race_metrics(summary))


@dataclass(frozen=True)
class KeepRace:
    """Keep the later replicates of a study's trials with their runs, which MLflow's table then ranks by all replicates."""

    name: str
    trials: Sequence[RacedTrial]


@dataclass(frozen=True)
class Drain:
    """Take over what writers that are gone have left. Answered when all that was sent before is in MLflow."""

    key: str


Message = (
    Prepare | OpenTrial | SendCurves | CloseTrial | OpenExperiment | FindTrials | KeepStudy | KeepFiles | Disown | KeepRace | Drain
)
# those that are answered
Question = OpenTrial | OpenExperiment | FindTrials | KeepStudy | KeepFiles | Drain

# -- from the writer to the trainer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """The answer to the question with this key: a run's id, a page, or nothing but that it is done."""

    key: str
    content: str = ""


@dataclass(frozen=True)
class Refused:
    """An error that ended the writer. exit_code: which kind of `StudyError` it is."""

    error: str
    exit_code: int


@dataclass(frozen=True)
class Ended:
    """The writer's process is gone."""


Answer = Answered | Refused | Ended


KINDS: Mapping[str, Any] = {cls.__name__: cls for union in (Message, Answer) for cls in get_args(union)}


def encode(message: Message | Answer) -> str:
    """Return a message as a line: a JSON object with the name of its class and its fields."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}) + "\n"


def decode(line: str) -> Any:
    """Return the message of a line that `encode` made in the same version."""
    content = json.loads(line)
    cls = KINDS[content.pop("kind")]
    if cls is OpenTrial:
        content["start"] = TrialStart.from_json(content["start"])
    if cls is SendCurves:
        content["curves"] = [LegCurves(**leg) for leg in content["curves"]]
    if cls is KeepRace:
        content["trials"] = [RacedTrial(**trial) for trial in content["trials"]]
    if cls is Disown:
        for key in ("started", "wholes"):
            content[key] = content[key] and {int(number): value for number, value in content[key].items()}
    return cls(**content)
