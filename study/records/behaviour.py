"""A champion's use of the columns of its table, and its errors, on rows that it wasn't trained on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TEST, VALIDATION = "test", "validation"
R2, LOG_LOSS = "R²", "log loss"


@dataclass(frozen=True)
class Importance:
    """Permutation importance of a column: how much worse each member scores where the column is shuffled over the rows, [R]."""

    column: str
    by_member: tuple[float, ...]


@dataclass(frozen=True)
class Dependence:
    """Partial dependence on a column: the mean prediction over the rows where all of them have this value of it.

    values: numbers, or texts. mean, sd: over the members, [values][outputs]; the SD of a single member is NaN, here None.
    """

    column: str
    values: tuple[float | str, ...]
    mean: tuple[tuple[float, ...], ...]
    sd: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Behaviour:
    """Measures of a champion's mean prediction and its members.

    trial: whose networks it has. part: the rows are of the test part or, without one, each member's are those that it wasn't
    trained on. rows: how many of them; measured: how many importance and dependence use. score: R² of regression, which importance
    counts as lost, or the log loss of classes, counted as gained; repeats: shuffles of each column. outputs: the targets or
    classes. importance: of every column, the most important first; empty where `columns` are too many. dependence: of the most
    important. residuals: of some rows, (predicted, true) by target. confusion: [true][predicted] rows of classes.
    """

    trial: int
    part: str
    rows: int
    measured: int
    score: str
    repeats: int
    columns: int
    outputs: tuple[str, ...]
    importance: tuple[Importance, ...] = ()
    dependence: tuple[Dependence, ...] = ()
    residuals: tuple[tuple[tuple[float, float], ...], ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()

    @property
    def classifies(self) -> bool:
        return self.score == LOG_LOSS

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> Behaviour:
    """Return what `to_json` wrote. Raises ValueError for another content."""
    try:
        content = json.loads(text)
        parts = {
            "importance": tuple(Importance(**_frozen(each)) for each in content["importance"]),
            "dependence": tuple(Dependence(**_frozen(each)) for each in content["dependence"]),
        }
        return Behaviour(**_frozen(content) | parts)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no measures of a champion: {error}") from error


def _frozen(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tuple(value) for key, value in content.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
