"""Optuna: a study's samplers, pruners and storage behind ask and tell. The only package that imports Optuna."""

from study.search.kinds import check
from study.search.study import (
    INTERRUPTED,
    UNCOUNTED,
    Attempt,
    Search,
    StoredStudy,
    attempts,
    importances,
    keep,
    names,
    open_study,
    pruner,
)

__all__ = [
    "INTERRUPTED",
    "UNCOUNTED",
    "Attempt",
    "Search",
    "StoredStudy",
    "attempts",
    "check",
    "importances",
    "keep",
    "names",
    "open_study",
    "pruner",
]
