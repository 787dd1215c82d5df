"""A tracked run trained again, from its own record: is every bit the same, and if not, what else is different?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from study.analysis import distance, fingerprints
from study.analysis.verdict import DEFAULT, SAME_ROUNDING
from study.clock import Clock
from study.data import dataset
from study.engine.training import CohortTraining, environment
from study.errors import Corrupt, visible
from study.records.cohort import Leg
from study.records.dataset import Dataset
from study.records.network import Network
from study.reporting.report import Table, number
from study.settings import spec
from study.settings.spec import TrialSpec
from study.tracking import provenance, warm_start
from study.tracking.provenance import Difference
from study.tracking.reader import RecordedReplicate, RecordedTrial
from study.tracking.schema import FINGERPRINT


@dataclass(frozen=True)
class Again:
    """A replicate trained again. now: its fingerprint; distance: relative L2 of all its parameters, None if the shapes differ."""

    recorded: RecordedReplicate
    now: str
    distance: float | None

    @property
    def of_weights(self) -> str:
        """The fingerprint that the recorded weights have; another than the recorded one if somebody changed either."""
        return fingerprints.digest(self.recorded.network)

    @property
    def identical(self) -> bool:
        return self.now == self.recorded.fingerprint == self.of_weights


@dataclass(frozen=True)
class Reproduction:
    """A run's replicates trained again, what differs from then, and what was not recorded then."""

    run_id: str
    replicates: Sequence[Again]
    differences: Sequence[Difference]
    unrecorded: Sequence[str]

    @property
    def identical(self) -> bool:
        return all(each.identical for each in self.replicates)


@dataclass(frozen=True)
class Retraining:
    """What is to be trained again. start: each replicate's first weights, or None; now: as the record's `environment` was then."""

    recorded: RecordedTrial
    spec: TrialSpec
    datasets: Sequence[Dataset]
    start: Sequence[Network] | None
    now: Mapping[str, str]

    def train(self, progress: Callable[[Leg], None]) -> Reproduction:
        """Trains to the end, even where a network diverges that didn't then."""
        training = CohortTraining(self.spec, self.datasets, Clock(), self.start)
        for leg in training.legs():
            progress(leg)
        trained = dict(zip(self.spec.replicates.numbers, training.weights().network.unstack(), strict=True))
        then = self.recorded.environment
        return Reproduction(
            run_id=self.recorded.run_id,
            replicates=[_again(each, trained[each.number]) for each in self.recorded.replicates],
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
    """What trains the recorded replicates again, from the start that `init.same_as` may name in the store at `uri`.

    A lone replicate is trained alone, which changes no bit of it, unless its design is crossed. Raises Corrupt for other data
    than then, and BadInput for data or a start that are gone.
    """
    whole = spec.build(recorded.config)
    now = environment() | provenance.of(whole)
    differ = provenance.differences(recorded.environment, now)
    if any(each.kind == "data" for each in differ):
        raise Corrupt(f"run {recorded.run_id} can't be reproduced, since its data differ: {provenance.text(differ)}")
    start = warm_start.load(whole, dataset.load_data(whole), uri)
    chosen, numbers = whole, whole.replicates.numbers
    if any(each.number not in numbers for each in recorded.replicates):
        raise Corrupt(f"run {recorded.run_id}: its settings are of the replicates {numbers[0]} to {numbers[-1]}, and not its own")
    if len(recorded.replicates) == 1 and not whole.replicates.crossed:
        first = recorded.replicates[0].number
        chosen = replace(whole, replicates=replace(whole.replicates, first=first, count=1))
        start = start and [start[numbers.index(first)]]
    return Retraining(recorded, chosen, dataset.load_replicates(chosen), start, now)


# -- what is told ------------------------------------------------------------------------------------------------------------


def table(found: Reproduction) -> Table:
    rows = (
        (
            str(each.recorded.number),
            visible(each.recorded.fingerprint[:16]) or "–",
            each.now[:16],
            "identical" if each.identical else number(each.distance),
        )
        for each in found.replicates
    )
    return Table(("replicate", "recorded", "now", "distance"), tuple(rows))


def conclusion(found: Reproduction) -> str:
    """Whether the run is reproduced; how far off, and what is to blame, if it isn't."""
    total, others = len(found.replicates), [each for each in found.replicates if not each.identical]
    changed = provenance.text(found.differences)
    if not others:
        subject = f"all {total} replicates have their" if total > 1 else f"replicate {found.replicates[0].recorded.number} has its"
        return f"Reproduced: {subject} recorded fingerprint, bit for bit{f', although these differ: {changed}' if changed else ''}."
    text = f"Not reproduced: {len(others)} of {total} replicates differ from their record, {_apart(others)}."
    if doubtful := [each for each in others if each.recorded.fingerprint != each.of_weights]:
        numbers = ", ".join(str(each.recorded.number) for each in doubtful)
        which = "neither is"
        if all(each.now == each.of_weights for each in doubtful):
            which = "the weights are"
        elif all(each.now == each.recorded.fingerprint for each in doubtful):
            which = "the fingerprint is"
        text += (
            f" The record of replicate {numbers} was changed: its tag `{FINGERPRINT}` isn't that of its weights; "
            f"{which} what is trained now."
        )
    text += f" Between then and now these differ: {changed}." if changed else " Nothing differs that was recorded then."
    return text + (f" Not recorded then: {', '.join(found.unrecorded)}." if found.unrecorded else "")


def _apart(others: Sequence[Again]) -> str:
    distances = [each.distance for each in others if each.distance is not None]
    if len(distances) < len(others):
        return "and the networks have other shapes"
    largest = float(np.max(distances))
    if largest == 0:
        return "but not in their weights"
    meaning = SAME_ROUNDING if largest <= DEFAULT.rounding else f"other networks; {distance.UNRELATED_TEXT}"
    return f"their weights by {number(largest)} at most (relative L2: {meaning})"


def as_json(found: Reproduction) -> dict[str, Any]:
    """Everything that the table and the conclusion tell, in full."""
    return {
        "run_id": found.run_id,
        "identical": found.identical,
        "replicates": [
            {
                "replicate": each.recorded.number,
                "run_id": each.recorded.run_id,
                "recorded": each.recorded.fingerprint,
                "recorded_weights": each.of_weights,
                "now": each.now,
                "identical": each.identical,
                "distance": each.distance,
            }
            for each in found.replicates
        ],
        "differences": [vars(each) for each in found.differences],
        "not_recorded": found.unrecorded,
        "conclusion": conclusion(found),
    }
