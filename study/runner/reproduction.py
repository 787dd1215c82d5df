"""Train a tracked run again from its record, compare every bit, and find what else has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from study.analysis import distance, fingerprints
from study.analysis.verdict import DEFAULT, SAME_ROUNDING
from study.clock import Clock
from study.data import dataset
from study.engine.training import CohortTraining, environment, signature_of
from study.errors import Corrupt, visible
from study.records.cohort import Leg
from study.records.dataset import Dataset
from study.records.network import Network
from study.reporting import headlines
from study.reporting.report import Table, number
from study.settings import spec
from study.settings.spec import TrialSpec
from study.tracking import provenance, warm_start
from study.tracking.provenance import Difference
from study.tracking.reader import RecordedReplicate, RecordedTrial
from study.tracking.schema import FINGERPRINT


@dataclass(frozen=True)
class Again:
    """A replicate trained again. now: its new fingerprint; distance: relative L2 over all parameters, None if the shapes differ."""

    recorded: RecordedReplicate
    now: str
    distance: float | None

    @property
    def weights_fingerprint(self) -> str:
        """Return the recorded weights' fingerprint; it differs from the recorded one if either was changed."""
        return fingerprints.digest(self.recorded.network)

    @property
    def identical(self) -> bool:
        return self.now == self.recorded.fingerprint == self.weights_fingerprint


@dataclass(frozen=True)
class Reproduction:
    """A run's replicates trained again, with the differences in code, versions, CPU or data since then."""

    run_id: str
    replicates: Sequence[Again]
    differences: Sequence[Difference]
    unrecorded: Sequence[str]

    @property
    def identical(self) -> bool:
        return all(replicate.identical for replicate in self.replicates)


@dataclass(frozen=True)
class Retraining:
    """A run ready to be trained again. start: each replicate's first weights, or None; now: the current `environment`."""

    recorded: RecordedTrial
    spec: TrialSpec
    datasets: Sequence[Dataset]
    start: Sequence[Network] | None
    now: Mapping[str, str]

    def train(self, progress: Callable[[Leg], None]) -> Reproduction:
        """Train to the end, even if a network diverges that didn't then."""
        training = CohortTraining(self.spec, self.datasets, Clock(), self.start)
        for leg in training.legs():
            progress(leg)
        trained = dict(zip(self.spec.replicates.numbers, training.weights().network.unstack(), strict=True))
        then = self.recorded.environment
        return Reproduction(
            run_id=self.recorded.run_id,
            replicates=[_again(replicate, trained[replicate.number]) for replicate in self.recorded.replicates],
            differences=provenance.differences(then, self.now),
            unrecorded=provenance.unrecorded(then),
        )


def _again(recorded: RecordedReplicate, trained: Network) -> Again:
    apart = None
    if recorded.network.shapes == trained.shapes:
        # all parameters, as in a fingerprint, the running statistics too
        nets = [[net.parameters[name].ravel() for name in sorted(net.parameters)] for net in (recorded.network, trained)]
        apart = float(distance.relative_l2(np.stack([np.concatenate(net) for net in nets]).astype(np.float64))[0, 1])
    return Again(recorded, fingerprints.digest(trained), apart)


def prepare(recorded: RecordedTrial, uri: str) -> Retraining:
    """Prepare to train the recorded replicates again. uri: the store of the run that `init.same_as` may name.

    A single replicate is trained alone, which changes no bit of it, unless its design is crossed. Raises Corrupt if the data have
    changed, and BadInput if the data or the start are missing.
    """
    whole = spec.build(recorded.config)
    now = environment() | provenance.describe(whole)
    differ = provenance.differences(recorded.environment, now)
    if any(difference.kind == "data" for difference in differ):
        raise Corrupt(f"run {recorded.run_id} can't be reproduced, since its data have changed: {provenance.text(differ)}")
    data = dataset.load_data(whole)
    now["width"] = str(signature_of(whole, data).width)
    start = warm_start.load(whole, data, uri)
    chosen, numbers = whole, whole.replicates.numbers
    if any(replicate.number not in numbers for replicate in recorded.replicates):
        raise Corrupt(f"run {recorded.run_id}: its settings cover only the replicates {numbers[0]} to {numbers[-1]}")
    if len(recorded.replicates) == 1 and not whole.replicates.crossed:
        first = recorded.replicates[0].number
        chosen = replace(whole, replicates=replace(whole.replicates, first=first, count=1))
        start = start and [start[numbers.index(first)]]
    return Retraining(recorded, chosen, dataset.load_replicates(chosen), start, now)


def table(reproduction: Reproduction) -> Table:
    rows = (
        (
            str(replicate.recorded.number),
            visible(replicate.recorded.fingerprint[:16]) or "–",
            replicate.now[:16],
            "identical" if replicate.identical else number(replicate.distance),
        )
        for replicate in reproduction.replicates
    )
    return Table(("replicate", "recorded", "now", "distance"), tuple(rows))


def conclusion(reproduction: Reproduction) -> str:
    """Say whether the run was reproduced, and if not, how far off it is and what has changed."""
    total, others = len(reproduction.replicates), [replicate for replicate in reproduction.replicates if not replicate.identical]
    changed = provenance.text(reproduction.differences)
    if not others:
        [first, *_] = reproduction.replicates
        subject = (
            f"{headlines.share(total, total)} replicates have their" if total > 1 else f"replicate {first.recorded.number} has its"
        )
        text = f"Reproduced: {subject} recorded fingerprint, bit for bit"
        return f"{text}, although these have changed: {changed}." if changed else f"{text}."
    text = f"Not reproduced: {len(others)} of {total} replicates differ from their record, {_apart(others)}."
    if doubtful := [replicate for replicate in others if replicate.recorded.fingerprint != replicate.weights_fingerprint]:
        numbers = ", ".join(str(replicate.recorded.number) for replicate in doubtful)
        which = "neither is"
        if all(replicate.now == replicate.weights_fingerprint for replicate in doubtful):
            which = "the weights are"
        elif all(replicate.now == replicate.recorded.fingerprint for replicate in doubtful):
            which = "the fingerprint is"
        text += (
            f" The record of replicate {numbers} was changed: its tag `{FINGERPRINT}` doesn't match its weights; "
            f"{which} the same as now."
        )
    text += f" Changed since then: {changed}." if changed else " Nothing that was recorded has changed."
    return text + (f" Not recorded then: {', '.join(reproduction.unrecorded)}." if reproduction.unrecorded else "")


def _apart(others: Sequence[Again]) -> str:
    distances = [replicate.distance for replicate in others if replicate.distance is not None]
    if len(distances) < len(others):
        return "and the networks have different shapes"
    largest = float(np.max(distances))
    if largest == 0:
        return "but not in their weights"
    meaning = SAME_ROUNDING if largest <= DEFAULT.rounding else f"different networks; {distance.UNRELATED_TEXT}"
    return f"their weights by {number(largest)} at most (relative L2: {meaning})"


def as_json(reproduction: Reproduction) -> dict[str, Any]:
    """Return the table and the conclusion in full, for JSON."""
    return {
        "run_id": reproduction.run_id,
        "identical": reproduction.identical,
        "replicates": [
            {
                "replicate": replicate.recorded.number,
                "run_id": replicate.recorded.run_id,
                "recorded": replicate.recorded.fingerprint,
                "recorded_weights": replicate.weights_fingerprint,
                "now": replicate.now,
                "identical": replicate.identical,
                "distance": replicate.distance,
            }
            for replicate in reproduction.replicates
        ],
        "differences": [vars(difference) for difference in reproduction.differences],
        "not_recorded": reproduction.unrecorded,
        "conclusion": conclusion(reproduction),
    }
