"""The schema of a trial's and of a replicate's MLflow run: names, and their values to write and to read. Imports no MLflow.

A trial has a run of its own and a child run for each replicate. The writer makes tags, parameters and metrics with the functions
here, and every reader takes them apart with the same ones. The names of a run's files are in `artifacts`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from study.records.outcome import PAIR_MEASURES, Completed, Failed, Pruned, Summary
from study.settings.values import Value, as_text, from_text
from study.statistics.rounding import number

# -- tags ----------------------------------------------------------------------------------------------------------------------

KIND, TRIAL, REPLICATE, OWNER, KEY = "mlp_study.kind", "mlp_study.trial", "mlp_study.replicate", "mlp_study.owner", "mlp_study.key"
WHOLE = "mlp_study.whole"
FINGERPRINT, CONVERGENCE, EPOCH, REASON = "fingerprint", "convergence", "epoch", "failure"
HEADLINE = "headline"  # of a study's run: its result in a few words
VERDICT, EVIDENCE, SEARCHABLE, MOTION = "verdict", "evidence", "searchable", "motion"
TAGS = (KIND, TRIAL, REPLICATE, OWNER, KEY, WHOLE, FINGERPRINT, CONVERGENCE, EPOCH, REASON, VERDICT, EVIDENCE, SEARCHABLE, MOTION)
# kinds of runs
OF_STUDY, OF_TRIAL, OF_REPLICATE = KINDS = ("study", "trial", "replicate")

# the experiment that every store of MLflow has
DEFAULT = "Default"
# the status of a run whose trial ended in a state
STATUS = {Completed.state: "FINISHED", Pruned.state: "KILLED", Failed.state: "FAILED"}
KILLED = "KILLED"


@dataclass(frozen=True)
class TrialRun:
    """The run of a trial of this number, which may have been deleted in MLflow."""

    run_id: str
    number: int
    deleted: bool


@dataclass(frozen=True)
class TrialTags:
    """The tags of a trial's run.

    key: of its folder in the spool; owner: the process that writes it; number: in its study, None for a single trial. labels: how
    many replicates have which, and motion the same of their motion; whole: the trial all of whose replicates the run holds. Texts
    are empty where nothing is known yet; runs of other programs have neither key nor owner.
    """

    key: str = ""
    owner: str = ""
    number: int | None = None
    labels: str = ""
    verdict: str = ""
    evidence: tuple[str, ...] = ()
    reason: str = ""
    whole: int | None = None
    motion: str = ""

    @property
    def of_trial(self) -> int | None:
        """The number of the trial that the run is of, whether it holds the first or all of its replicates."""
        return self.whole if self.number is None else self.number

    def as_tags(self) -> dict[str, str]:
        number, whole = ("" if of is None else str(of) for of in (self.number, self.whole))
        tags = {KIND: OF_TRIAL, OWNER: self.owner, KEY: self.key, TRIAL: number, CONVERGENCE: self.labels, VERDICT: self.verdict}
        return _given(tags | {EVIDENCE: "\n".join(self.evidence), REASON: self.reason, WHOLE: whole, MOTION: self.motion})

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> TrialTags:
        return cls(
            key=tags.get(KEY, ""),
            owner=tags.get(OWNER, ""),
            number=int(tags[TRIAL]) if TRIAL in tags else None,
            labels=tags.get(CONVERGENCE, ""),
            verdict=tags.get(VERDICT, ""),
            evidence=tuple(tags.get(EVIDENCE, "").splitlines()),
            reason=tags.get(REASON, ""),
            whole=int(tags[WHOLE]) if WHOLE in tags else None,
            motion=tags.get(MOTION, ""),
        )


@dataclass(frozen=True)
class ReplicateTags:
    """The tags of a replicate's run. epoch: the one whose weights are kept. Texts are empty where nothing is known yet."""

    number: int
    key: str = ""
    fingerprint: str = ""
    label: str = ""
    epoch: int | None = None
    searchable: str = ""
    motion: str = ""

    def as_tags(self) -> dict[str, str]:
        epoch = "" if self.epoch is None else str(self.epoch)
        tags = {KIND: OF_REPLICATE, REPLICATE: str(self.number), KEY: self.key, FINGERPRINT: self.fingerprint}
        return _given(tags | {CONVERGENCE: self.label, EPOCH: epoch, SEARCHABLE: self.searchable, MOTION: self.motion})

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> ReplicateTags:
        return cls(
            number=int(tags[REPLICATE]),
            key=tags.get(KEY, ""),
            fingerprint=tags.get(FINGERPRINT, ""),
            label=tags.get(CONVERGENCE, ""),
            epoch=int(tags[EPOCH]) if EPOCH in tags else None,
            searchable=tags.get(SEARCHABLE, ""),
            motion=tags.get(MOTION, ""),
        )


def _given(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in tags.items() if text}


# -- parameters ----------------------------------------------------------------------------------------------------------------

# characters; MLflow refuses more
LONGEST_PARAMETER, LONGEST_TAG = 6_000, 8_000
LONGEST_NUMBER = 7  # of a parameter that a person wrote; longer ones were sampled


def parameter(text: str) -> str:
    """Return a text as MLflow takes it for a parameter; the whole of a long one is in the run's `config.yaml`."""
    return _shortened(text, LONGEST_PARAMETER)


def tag(text: str) -> str:
    """Return a text as MLflow takes it for a tag."""
    return _shortened(text, LONGEST_TAG)


def _shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters; a digest keeps those apart that begin alike."""
    # a database of MLflow's takes neither of these signs
    text = text.replace("\0", "␀").encode("utf-8", "replace").decode()
    if len(text) <= longest:
        return text
    end = f"… (sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"
    return text[: longest - len(end)] + end


def parameters(settings: Mapping[str, Value]) -> dict[str, str]:
    """Return a trial's settings as the parameters of its run, sampled numbers rounded: `config.yaml` has all of their digits."""
    return {key: parameter(_rounded(value)) for key, value in settings.items()}


def _rounded(value: Value) -> str:
    text = as_text(value)
    return number(value) if isinstance(value, float) and len(text) > LONGEST_NUMBER and math.isfinite(value) else text


def setting(params: Mapping[str, str], key: str) -> Value:
    """Return a setting from a run's parameters; None if the run has none of this name."""
    return from_text(params[key]) if key in params else None


def seed_name(source: str) -> str:
    """Return the name under which the seed of a source is recorded and shown."""
    return f"{SEED_PREFIX}{source}"


def seed_tags(seeds: Mapping[str, int]) -> dict[str, str]:
    """Return a replicate's seeds as the tags of its run."""
    return {seed_name(source): str(seed) for source, seed in seeds.items()}


def seeds(tags: Mapping[str, str], params: Mapping[str, str]) -> dict[str, int]:
    """Return a replicate's seeds by their sources; earlier versions had them as parameters."""
    recorded = {**params, **tags}
    return {key.removeprefix(SEED_PREFIX): int(text) for key, text in recorded.items() if key.startswith(SEED_PREFIX)}


SEED_PREFIX = "seed."

# -- metrics -------------------------------------------------------------------------------------------------------------------

TRAIN_LOSS, VAL_LOSS = CURVES = ("train_loss", "val_loss")
ALL_POINTS = 1000  # epochs of which a curve has every point


def charted(epoch: int) -> bool:
    """Return whether MLflow's curves have a point of this epoch, from 1; they have their last one too.

    All of the first thousand, every ninth to 10,000, every 81st to 100,000, and so on: an odd stride shows what goes back and
    forth. The artifacts have all epochs.
    """
    stride, last = 1, ALL_POINTS
    while epoch > last:
        stride, last = stride * 9, last * 10
    return epoch % stride == 0


VAL_LOSS_MEAN = "val_loss_mean"
VAL_LOSS_HALFWIDTH = "val_loss_halfwidth"
# of a trial's run: the validation loss of each replicate of a race, whose number is the step
RACE_VAL_LOSS = "race_val_loss"
# numbers of a `Summary` that say little without the others
NO_METRICS = ("null", "distinct", "finite_test")
# attributes of a `Summary`, which a trial's run has under the same names
SUMMARY_METRICS = (
    "val_loss_std",
    VAL_LOSS_HALFWIDTH,
    "train_loss_mean",
    *(key for key in PAIR_MEASURES if key not in NO_METRICS),
)
# of a replicate, in units of the trivial loss
RELATIVE_LOSS, IMPROVEMENT = "loss_over_trivial", ("improvement_low", "improvement_high")
# of a replicate, and their means of a trial
WANDER, WOBBLE = "wander", "wobble"


def score_metric(name: str) -> str:
    """Return the metric of a score; MLflow takes no colon on every system, which the name of a function has."""
    return f"val_{_plain(name)}"


def _plain(name: str) -> str:
    return name.replace(":", ".")


def trial_metrics(summary: Summary) -> dict[str, float]:
    """Return the metrics of a trial's run that have a single value."""
    known = {key: getattr(summary, key) for key in (*SUMMARY_METRICS, "threshold")}
    return _known(known) | _score_means(summary) | _motion_means(summary) | _test_metrics(summary)


def race_metrics(summary: Summary) -> dict[str, float]:
    """Return the metrics of a trial's run that a race's later replicates change."""
    known = {key: getattr(summary, key) for key in (VAL_LOSS_MEAN, "val_loss_std", VAL_LOSS_HALFWIDTH)}
    return _known(known) | _score_means(summary)


def _known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if value is not None}


def _score_means(summary: Summary) -> dict[str, float]:
    return {score_metric(name): sum(values) / len(values) for name, values in summary.scores.items()}


def _motion_means(summary: Summary) -> dict[str, float]:
    if summary.motion is None:
        return {}
    known = {key: [value for value in summary.motion.numbers[key] if value is not None] for key in (WANDER, WOBBLE)}
    return {key: sum(values) / len(values) for key, values in known.items() if values}


def _test_metrics(summary: Summary) -> dict[str, float]:
    """Return the loss on the test part of a winner's ensemble, with its interval, of a single network and of the baselines.

    Also the ensemble's scores, and for classes its ECE.
    """
    if summary.tested is None:
        return {}
    ensemble, *others = summary.tested.scores
    low, high = ensemble.loss[1:]
    own = {"test_loss": ensemble.loss[0], "test_loss_low": low, "test_loss_high": high, "test_loss_single": summary.tested.single}
    if summary.tested.calibration:
        own["test_ece"] = summary.tested.calibration.ece
    own |= {f"test_{_plain(name)}": value for name, value in ensemble.scores.items() if math.isfinite(value)}
    return own | {f"test_loss_{score.name}": score.loss[0] for score in others}


def replicate_metrics(summary: Summary, index: int) -> dict[str, float]:
    """Return the metrics of a replicate's run that have a single value. index: the replicate's, from 0."""
    metrics = {score_metric(name): values[index] for name, values in summary.scores.items()}
    if summary.improvements:  # none in an older program's record
        metrics[RELATIVE_LOSS] = summary.relative_losses[index]
        metrics |= dict(zip(IMPROVEMENT, summary.improvements[index] or (), strict=False))
    if moved := summary.motion:
        metrics |= _known({key: moved.numbers[key][index] for key in (WANDER, WOBBLE)})
    return metrics


def trained_tags(summary: Summary) -> TrialTags:
    """Return the tags that a completed trial's run gets at its end, besides those it was made with."""
    moved = summary.motion.text if summary.motion else ""
    return TrialTags(labels=summary.labels_text, verdict=summary.verdict or "", evidence=tuple(summary.reasons), motion=moved)


# -- names of runs --------------------------------------------------------------------------------------------------------------


def run_name(trial: str, replicate: int) -> str:
    """Return the name of a replicate's run. trial: the name of its trial's."""
    return f"{trial}/{replicate}"


def address(study: str, trial: str, number: int | None, replicate: int | None = None) -> str:
    """Return the address of a run for a person: STUDY/12 a trial, STUDY/12/3 its replicate, and both names one without a number.

    trial: the name of the trial's run; number: the trial's in its study.
    """
    if number is not None:
        return f"{study}/{number}" if replicate is None else f"{study}/{number}/{replicate}"
    return f"{study}, {trial if replicate is None else run_name(trial, replicate)}"
