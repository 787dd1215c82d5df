"""Optuna: a study's samplers, pruners and storage behind ask and tell. The only package that imports Optuna."""

from study.search.kinds import check
from study.search.overview import Overview, best, delete, in_work, overviews
from study.search.pruning import pruner
from study.search.stored import INTERRUPTED, UNCOUNTED, Attempt, StoredStudy, attempts, keep, names, open_study
from study.search.study import Search, check_identity
from study.search.trials import Trials

__all__ = [
    "INTERRUPTED",
    "UNCOUNTED",
    "Attempt",
    "Overview",
    "Search",
    "StoredStudy",
    "Trials",
    "attempts",
    "best",
    "check",
    "check_identity",
    "delete",
    "in_work",
    "keep",
    "names",
    "open_study",
    "overviews",
    "pruner",
]
