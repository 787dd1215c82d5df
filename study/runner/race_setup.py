"""Set up the race that decides a study: whether there may be one, the replicates that it begins with, and its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from study.config import decode, source
from study.data import dataset
from study.errors import BadInput, Fault
from study.runner.validation import ComposedTrials
from study.search import space as spaces
from study.search.space import Space
from study.settings import scorers
from study.statistics import objectives
from study.statistics.race import Rules

OF_REPLICATES = (None, objectives.LOSS, *objectives.SCORES)  # objectives that each replicate has a value of
# a split in two for each pair of replicates; a large validation part needs no others
RESPLIT, MOST_RESPLIT = ("replicates.vary=[init,order,data]", "replicates.per_split=2"), 5_000


def rules_of(settings: Mapping[str, Any], first: int) -> Rules:
    """Return the rules of a race. first: the replicates that every trial begins with."""
    return Rules(
        margin=float(settings["margin"]),
        confidence=float(settings["confidence"]),
        first=first,
        most=int(settings["max_replicates"]),
        networks=settings["networks"],
    )


def may_race(config: DictConfig, space: Space, fixed: Sequence[str], settings: Mapping[str, Any]) -> bool:
    """Return whether a race may decide the study. Raises BadInput where one is asked for and can't be."""
    names = objectives.listed(settings["objective"])
    against = {
        "several objectives": len(names) > 1,
        "an objective that replicates have no value of": not all(map(_of_replicates, names[:1])),
        "replicates.crossed": config.replicates.get("crossed") is not None,
        "a search over replicates or data": any(key.partition(".")[0] in ("replicates", "data") for key in space),
    }
    reasons = [reason for reason, holds in against.items() if holds]
    if settings["decide"] and reasons:
        raise BadInput([Fault("hydra.sweeper.decide", True, f"false or null with {' and '.join(reasons)}")])
    if settings["decide"] is None:
        return not reasons and untouched(config, fixed)
    return bool(settings["decide"])


def _of_replicates(name: object) -> bool:
    return name in OF_REPLICATES or scorers.is_named(name)


def untouched(config: DictConfig, fixed: Sequence[str]) -> bool:
    """Return whether the launch leaves the replicates as they are by default."""
    given = any(line.lstrip("+").startswith("replicates") for line in fixed)
    return not given and decode.section(config, "replicates") == source.default_settings("replicates")


def first_replicates(trials: ComposedTrials, space: Space) -> list[str]:
    """Return the replicates that a trial begins with: in pairs that share their rows, unless the validation part is large."""
    lines = [f"replicates.count={Rules().first}"]
    try:
        rows = len(dataset.load_data(trials.spec(spaces.example(space), space)).x_val)
    except BadInput:
        return lines  # the whole space is checked later
    return lines if rows > MOST_RESPLIT else [*lines, *RESPLIT]
