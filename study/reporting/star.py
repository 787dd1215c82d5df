"""A star of trials: each differs from one of them, the centre, in one setting. It shows what that setting does to motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from study.records.outcome import Summary, counted
from study.records.trial import TrialRecord
from study.reporting import headlines, reference_values
from study.reporting.reference_values import RATE, SCHEDULE
from study.reporting.report import Table, listed, median, median_text, number, settings_text
from study.settings.schedule import ConstantRate
from study.settings.values import Value
from study.statistics import rounds

BATCH = "training.batch_size"
FEWEST_ARMS = 3  # a star with fewer asks another question
LABELS = ("setting", "loss label", "weights' motion", "function's motion")
NUMBERS = ("wander", "trend", "correlation", "wobble", "function_correlation")
COLUMNS = (*LABELS, "wander", "trend", "correlation", "wobble", "of function", "disagreement")
REFERENCE = "  reference"


@dataclass(frozen=True)
class Star:
    """centre: the trial that every other differs from in one setting; arms: the others, by that setting."""

    centre: TrialRecord
    arms: Sequence[tuple[str, TrialRecord]]

    @property
    def summary(self) -> Summary:
        """The centre's."""
        assert self.centre.summary is not None
        return self.centre.summary

    def varying(self, key: str) -> list[TrialRecord]:
        """Return the arms that differ from the centre in this setting."""
        return [record for other, record in self.arms if other == key]


def star(records: Sequence[TrialRecord]) -> Star | None:
    """Return the star that a study's trials form around a constant learning rate.

    None if they form none, search neither rates nor schedules, or weren't followed.
    """
    for centre in records:
        if RATE not in centre.params or centre.params.get(SCHEDULE) != ConstantRate.name:
            continue
        differing = [[key for key in record.params if record.params[key] != centre.params.get(key)] for record in records]
        arms = [(keys[0], record) for keys, record in zip(differing, records, strict=True) if len(keys) == 1]
        followed = centre.summary is not None and centre.summary.motion is not None
        if followed and len(arms) == len(records) - 1 and len({key for key, _ in arms}) >= FEWEST_ARMS:
            return Star(centre, arms)
    return None


def at_rest_text(found: Star) -> str:
    """Return with which of the arms most networks come to rest, in a sentence."""
    resting = []
    for key, record in found.arms:
        if (summary := record.summary) and (count := headlines.at_rest(summary)) > len(summary.val_losses) / 2:
            held = ", held by a learning rate that has fallen" if summary.motion and all(summary.motion.held) else ""
            resting.append(f"{_setting(key, record)} ({count} of {len(summary.val_losses)} networks{held})")
    if not resting:
        return "With none of the other settings do weights and function come to rest."
    return f"Weights and function come to rest with {listed(resting)}."


def table(found: Star, settings: Mapping[str, Value]) -> Table:
    """Tabulate the motion of each trial's replicates, medians over these, with the reference below where there is one.

    settings: the study's fixed ones. Medians have intervals where the replicates are independent.
    """
    return _tabulated(found, settings, lambda values: median_text(values, rounds.per_split(settings) == 1 and not _crossed(found)))


def compact(found: Star, settings: Mapping[str, Value]) -> tuple[Table, Table]:
    """Return the same in two tables, labels and numbers without intervals, each of which fits a terminal of 80 columns."""
    whole = _tabulated(found, settings, lambda values: number(median(values)))
    count = len(LABELS)
    return (
        Table(whole.columns[:count], tuple(row[:count] for row in whole.rows)),
        Table((whole.columns[0], *whole.columns[count:]), tuple((row[0], *row[count:]) for row in whole.rows)),
    )


def _crossed(found: Star) -> bool:
    return bool(found.summary.blame)


def _tabulated(found: Star, settings: Mapping[str, Value], text: Callable[[Sequence[float | None]], str]) -> Table:
    rows = []
    for key, record in [("", found.centre), *found.arms]:
        summary = record.summary
        if summary is None or (moved := summary.motion) is None:
            rows.append((_setting(key, record), record.reason or record.state, *["–"] * (len(COLUMNS) - 2)))
        else:
            measured = [text(moved.numbers[name]) for name in NUMBERS]
            labels = (summary.labels_text, counted(moved.weights), counted(moved.function))
            rows.append((_setting(key, record), *labels, *measured, number(summary.disagreement)))
        if reference := reference_values.of({**settings, **record.params}):
            its = (reference.loss, reference.weights, reference.function)
            rows.append((REFERENCE, *its, *map(number, reference.numbers)))
    return Table(COLUMNS, tuple(rows))


def _setting(key: str, record: TrialRecord) -> str:
    """Return the setting that distinguishes an arm in a few words; for no key, the centre's rate."""
    value = record.params[key or RATE]
    match key:
        case "":
            return f"constant rate {value:g}"
        case _ if key == RATE:
            return f"rate {value:g}"
        case _ if key == BATCH and value is None:
            return "whole batches"
    return settings_text({key: value})
