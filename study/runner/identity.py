"""Derive a study's identity from the fixed settings that determine its trials, and its name, so that a command resumes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from study.config import decode, source
from study.data import loading
from study.search.space import Space
from study.settings import spec as specs
from study.settings.data import CLASSIFICATION, UserTable
from study.settings.spec import TrialSpec
from study.settings.values import Value, as_text, as_texts
from study.statistics.objectives import Objective

# a table is identified by its content
PATHS = ("data.path", "data.test_path", "data.sql", "data.sheet")


def identity(validated: Sequence[TrialSpec], space: Space, config: DictConfig) -> dict[str, Value]:
    """Return the fixed settings of a study by key.

    validated: trials that together cover every searched choice; all share the first one's fixed settings. config: the launch's.
    """
    base, *others = validated
    return {
        **{key: value for key, value in specs.identifying(base).items() if key not in space and key not in PATHS},
        "data.task": base.data.task,
        "data.digest": loading.digest(base),
        # earlier versions split the data differently, so their trials belong to another study
        **({"data.parts": "stratified"} if base.data.task == CLASSIFICATION else {}),
        **_other_kinds(base, others, space),
        **_other_tables(base, others),
        **_search(config),
    }


def study_name(prefix: str, fixed: Mapping[str, Value], space: Space, objectives: Sequence[Objective]) -> str:
    """Return a name that depends only on what is searched, how and for what, so that the same command resumes the same study."""
    by_key = {key: str(domain) for key, domain in space.items()}
    # the default one alone has no part in names, so that they are those of earlier versions
    aims = [] if tuple(objectives) == (Objective(),) else [[objective.text for objective in objectives]]
    content = json.dumps([as_texts(fixed), by_key, *aims], sort_keys=True)
    return f"{prefix}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"


def kind_text(settings: Mapping[str, Any]) -> str:
    """Return a section's kind with its settings: tpe (n_startup_trials 10)."""
    more = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "name")
    return f"{settings['name']} ({more})" if more else str(settings["name"])


def _other_kinds(base: TrialSpec, others: Sequence[TrialSpec], space: Space) -> dict[str, Value]:
    """Return the fixed settings of the other searched kinds where they differ from the default."""
    fixed: dict[str, Value] = {}
    first = as_texts(specs.identifying(base))
    for other in others:
        settings = specs.flat(other)
        for section in specs.KINDS:
            kind = getattr(other, section)
            if kind.name == getattr(base, section).name:
                continue
            for name, usual in specs.defaults(type(kind)).items():
                key, value = f"{section}.{name}", settings[f"{section}.{name}"]
                # as texts: to Python, 0 and 0.0 are equal
                if key not in space and as_text(value) not in (as_text(usual), first.get(key)) and key not in PATHS:
                    fixed[f"{key} with {section}={kind.name}"] = value
    return fixed


def _other_tables(base: TrialSpec, others: Sequence[TrialSpec]) -> dict[str, str]:
    own_path, digests = getattr(base.data, "path", None), {}
    for spec in others:
        if isinstance(spec.data, UserTable) and spec.data.path != own_path:
            digests[f"data.digest of {Path(spec.data.path).name}"] = loading.digest(spec)
    return digests


def _search(config: DictConfig) -> dict[str, str]:
    """Return the sampler and the pruner where they differ from the default, since they change which trials run to the end."""
    chosen = {section: decode.section(config, section) for section in ("sampler", "pruner")}
    return {section: kind_text(settings) for section, settings in chosen.items() if settings != source.default_settings(section)}
