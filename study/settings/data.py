"""Where the rows come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from study.settings.rules import Kind, number, registry, setting

REGRESSION, CLASSIFICATION = "regression", "classification"


@dataclass(frozen=True)
class Data(Kind):
    """Rows are split once, then inputs (and a regression's target) are normalised by the training part's mean and SD."""

    validation_fraction: float = setting(0.2, number(0, 1, above=True, below=True))
    task: ClassVar[str]


@dataclass(frozen=True)
class Diabetes(Data):
    name = "diabetes"
    task = REGRESSION


@dataclass(frozen=True)
class Digits(Data):
    name = "digits"
    task = CLASSIFICATION


KINDS = registry(Diabetes, Digits)
