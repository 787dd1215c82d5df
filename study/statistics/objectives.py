"""Objectives of a study, one or several, and which trials can be compared by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from study.errors import BadInput, Fault, collecting
from study.records.outcome import Summary
from study.records.trial import TrialRecord
from study.settings import scorers
from study.settings.data import CLASSIFICATION, REGRESSION
from study.settings.rules import nearest

MINIMIZE, MAXIMIZE = "minimize", "maximize"
LOSS, SPREAD = "loss", "spread"
MEASURES: Mapping[str, Callable[[Summary], float]] = MappingProxyType(
    {
        LOSS: lambda summary: summary.val_loss_mean,
        SPREAD: lambda summary: summary.val_loss_std,
        "size": lambda summary: float(summary.parameters),
        "time": lambda summary: summary.seconds,
    }
)
R2, RMSE, MAE, MAPE, MEDIAN = "r2", "rmse", "mae", "mape", "median_absolute_error"
ACCURACY, BALANCED, F1, MCC = "accuracy", "balanced_accuracy", "f1", "mcc"
AUC, PRECISION, LOG_LOSS, BRIER = "auc", "average_precision", "log_loss", "brier"
# scores on the validation part whose better direction is up
UPWARDS = (R2, ACCURACY, BALANCED, F1, MCC, AUC, PRECISION)
# the first score of a task compares networks whose losses can't be compared
SCORES_OF_TASK = {
    CLASSIFICATION: (ACCURACY, AUC, BALANCED, F1, MCC, PRECISION, LOG_LOSS, BRIER),
    REGRESSION: (R2, MAE, RMSE, MAPE, MEDIAN),
}
SCORES = {name: MAXIMIZE if name in UPWARDS else MINIMIZE for names in SCORES_OF_TASK.values() for name in names}
NAMES = {
    LOSS: "validation loss",
    SPREAD: "spread of the validation loss",
    R2: "R²",
    RMSE: "RMSE",
    MAE: "MAE",
    MAPE: "MAPE",
    MEDIAN: "median absolute error",
    BALANCED: "balanced accuracy",
    F1: "macro F1",
    MCC: "MCC",
    AUC: "AUC",
    PRECISION: "average precision",
    LOG_LOSS: "log loss",
    BRIER: "Brier score",
}

# the parts of `dataset.judged_by` that must be equal where values are compared
ROWS, UNIT = "rows", "unit"
ALIKE = dict.fromkeys(SCORES, (ROWS,)) | {
    LOSS: ("loss", "target", ROWS),
    SPREAD: ("loss", "target", ROWS),
    MAE: (UNIT, ROWS),
}
# the settings that decide these parts, for records of earlier versions, which lack them
DECIDING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "loss": ("loss", "loss.delta", "loss.label_smoothing"),
        "target": ("data.normalise_target",),
        UNIT: ("data.normalise_target",),
        ROWS: ("data", "data.path", "data.target", "data.validation_fraction", "data.resample", "data.folds", "seed"),
    }
)


@dataclass(frozen=True)
class Objective:
    """An objective of a study.

    name: loss (mean validation loss over the replicates), spread (its SD over them), size (weights of a network), time (training
    seconds per network), or a score's mean, that of a function too (`settings.scorers`). direction: minimize or maximize.
    """

    name: str = LOSS
    direction: str = MINIMIZE

    @property
    def sign(self) -> int:
        """1 to minimize, -1 to maximize."""
        return 1 if self.direction == MINIMIZE else -1

    @property
    def best(self) -> str:
        """The word for its best value: lowest or highest."""
        return "lowest" if self.sign > 0 else "highest"

    @property
    def text(self) -> str:
        """Its name, and which way is better: loss (least)."""
        return f"{self.name} ({'least' if self.sign > 0 else 'most'})"

    @property
    def quantity(self) -> str:
        """Its name for a sentence."""
        return NAMES.get(self.name, self.name)

    def value(self, summary: Summary) -> float:
        """Return a completed trial's value; NaN if it has none, such as the AUC of a part with one class."""
        if self.name in MEASURES:
            return float(MEASURES[self.name](summary))
        scores = summary.scores.get(self.name)
        return sum(scores) / len(scores) if scores else float("nan")

    def of_replicates(self, summary: Summary) -> list[float]:
        """Return each replicate's value; an empty list where only the trial has one."""
        return summary.val_losses if self.name == LOSS else summary.scores.get(self.name, [])

    def unlike(self, judged_by: Iterable[Mapping[str, str]]) -> list[str]:
        """Return the parts ('loss', 'target', 'unit', 'rows') in which trials differ, so that their values can't be compared."""
        judges = list(judged_by)
        parts = ALIKE.get(self.name, (UNIT, ROWS) if scorers.is_named(self.name) else ())
        return [part for part in parts if len({judge.get(part, "") for judge in judges}) > 1]


def judged_by(record: TrialRecord) -> Mapping[str, str]:
    """Return `dataset.judged_by` of a completed trial; for an earlier version's record, the settings in DECIDING that it varies."""
    if record.summary and (judged := record.summary.judged_by):
        # earlier versions had the MAE of the normalised target
        return {UNIT: judged.get("target", "")} | judged
    return {part: str([record.params.get(key) for key in keys]) for part, keys in DECIDING.items()}


def unlike(records: Iterable[TrialRecord], objective: Objective) -> list[str]:
    """Return the parts in which a study's completed trials differ; see `Objective.unlike`."""
    return objective.unlike(judged_by(record) for record in records if record.summary)


def parse(
    names: object, directions: object, task: str, trials: Sequence[tuple[str, Mapping[str, str]]] = ()
) -> tuple[Objective, ...]:
    """Return the objectives of the settings `objective` and `direction`: a name or a list, and a direction for each or null.

    names: None is the loss, or a score where the trials have no common loss. trials: the task and the `dataset.judged_by` of each
    trial that shows what a study may try; task: that of the first. Raises BadInput.
    """
    scores = SCORES_OF_TASK[task]
    tasks = {each_task for each_task, _ in trials}
    if len(tasks) > 1:
        valid = "data of a single task: no score suits both"
        raise BadInput([Fault("data", f"{' and '.join(sorted(tasks))} in one study", valid)])
    judges = [judge for _, judge in trials]

    def unlike(name: str) -> list[str]:
        return [part for part in Objective(name).unlike(judges) if part != ROWS]

    if names is None:
        names = scores[0] if unlike(LOSS) else LOSS
    known = (*MEASURES, *scores)
    wanted, ways = listed(names), listed(directions) if directions is not None else []
    functions = [str(name) for name in wanted if scorers.is_named(name)]
    faults = [
        Fault("hydra.sweeper.objective", name, nearest(str(name), known)) for name in wanted if name not in (*known, *functions)
    ]
    for function in functions:
        with collecting(faults):
            scorers.check("hydra.sweeper.objective", function)
    if not wanted or len(set(map(str, wanted))) < len(wanted):
        faults.append(Fault("hydra.sweeper.objective", names, f"one or more of {', '.join(known)}, each once"))
    for name in wanted:
        if parts := unlike(str(name)):
            values = "; ".join(sorted({" and ".join(judge[part] for part in parts) for judge in judges}))
            valid = f"{scores[0]}, or null: the trials have no common {name} ({values})"
            faults.append(Fault("hydra.sweeper.objective", name, valid))
    faults += [
        Fault("hydra.sweeper.direction", way, f"{MINIMIZE}, {MAXIMIZE}") for way in ways if way not in (MINIMIZE, MAXIMIZE, None)
    ]
    if ways and len(ways) != len(wanted):
        faults.append(Fault("hydra.sweeper.direction", directions, f"one direction for each of {len(wanted)} objectives, or null"))
    elif unsaid := [name for name, way in zip(wanted, ways or [None] * len(wanted), strict=True) if name in functions and not way]:
        faults.append(Fault("hydra.sweeper.direction", directions, f"{MINIMIZE} or {MAXIMIZE} for {unsaid[0]}"))
    if faults:
        raise BadInput(faults)
    own = [SCORES.get(str(name), MINIMIZE) for name in wanted]
    return tuple(Objective(str(name), str(way or best)) for name, best, way in zip(wanted, own, ways or own, strict=True))


def listed(value: object) -> list[object]:
    """Return one name, or a sequence of them, as a list."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
