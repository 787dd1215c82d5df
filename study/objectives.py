"""What a study optimises: one objective, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from study.errors import BadInput, Fault
from study.records import Summary
from study.settings.data import CLASSIFICATION
from study.settings.rules import nearest

MINIMIZE, MAXIMIZE = "minimize", "maximize"
LOSS = "loss"
MEASURES: Mapping[str, Callable[[Summary], float]] = MappingProxyType(
    {
        LOSS: lambda summary: summary.val_loss_mean,
        "spread": lambda summary: summary.val_loss_std,
        "size": lambda summary: float(summary.parameters),
        "time": lambda summary: summary.seconds,
    }
)
# metrics on the validation part, and which way is better
SCORES = {"r2": MAXIMIZE, "mae": MINIMIZE, "accuracy": MAXIMIZE, "auc": MAXIMIZE}
SCORES_OF_TASK = {True: ("accuracy", "auc"), False: ("r2", "mae")}


@dataclass(frozen=True)
class Objective:
    """name: loss (mean validation loss over the replicates), spread (its SD over them), size (weights of a network), time (training
    seconds a network), or a score's mean. direction: minimize or maximize."""

    name: str = LOSS
    direction: str = MINIMIZE

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is."""
        return 1 if self.direction == MINIMIZE else -1

    def value(self, summary: Summary) -> float:
        """A completed trial's; NaN where it has none, such as the AUC of a part with one class."""
        if self.name in MEASURES:
            return float(MEASURES[self.name](summary))
        scores = summary.scores.get(self.name)
        return sum(scores) / len(scores) if scores else float("nan")

    def of_replicates(self, summary: Summary) -> list[float]:
        """Each replicate's value; empty where only the trial has one."""
        return summary.val_losses if self.name == LOSS else summary.scores.get(self.name, [])


def parse(names: object, directions: object, task: str) -> tuple[Objective, ...]:
    """Objectives from the settings `objective` and `direction`: a name or a list, and for each a direction, or null for its own.

    Raises BadInput.
    """
    known = (*MEASURES, *SCORES_OF_TASK[task == CLASSIFICATION])
    wanted, ways = _listed(names), _listed(directions) if directions is not None else []
    faults = [Fault("hydra.sweeper.objective", name, nearest(str(name), known)) for name in wanted if name not in known]
    if not wanted or len(set(map(str, wanted))) < len(wanted):
        faults.append(Fault("hydra.sweeper.objective", names, f"one or more of {', '.join(known)}, each once"))
    faults += [
        Fault("hydra.sweeper.direction", way, f"{MINIMIZE}, {MAXIMIZE}") for way in ways if way not in (MINIMIZE, MAXIMIZE, None)
    ]
    if ways and len(ways) != len(wanted):
        faults.append(Fault("hydra.sweeper.direction", directions, f"a direction for each of {len(wanted)} objectives, or null"))
    if faults:
        raise BadInput(faults)
    own = [SCORES.get(str(name), MINIMIZE) for name in wanted]
    return tuple(Objective(str(name), str(way or best)) for name, best, way in zip(wanted, own, ways or own, strict=True))


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
