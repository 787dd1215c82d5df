"""Scores that are the user's own Python functions, named as module:function.

A function runs code, so that no config may name one by itself: it must be allowed by name, on the command line
(`--allow-scorer=module:function`) or in a Python program (`allow`). Processes that this one starts allow the same.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from study.errors import BadInput, Fault

FLAG = "--allow-scorer"
VARIABLE = "MLP_STUDY_ALLOW_SCORERS"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
EXAMPLE = "module:function, such as profit:per_customer"

# by name, as they were when this process began: a config can set variables later (hydra.job.env_set)
_allowed = {name: None for name in os.environ.get("MLP_STUDY_ALLOW_SCORERS", "").split(",") if NAME.fullmatch(name)}
_loaded: dict[str, Callable[..., Any]] = {}


def allow(name: str) -> None:
    """Let a function be a score from now on, in this process and in those that it starts. Raises BadInput if it can't be loaded."""
    if not NAME.fullmatch(name):
        raise BadInput([Fault(FLAG, name, EXAMPLE)])
    _load(name)
    _allowed[name] = None
    os.environ[VARIABLE] = ",".join(_allowed)


def is_named(name: object) -> bool:
    """Return whether this is the name of a function, allowed or not."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def check(key: str, name: str) -> None:
    """Raise BadInput unless the function is allowed. key: the setting that names it."""
    if name not in _allowed:
        valid = f"a function that the command line allows, since it runs code: {FLAG}={name}"
        raise BadInput([Fault(key, name, valid)])


def flags() -> list[str]:
    """Return the flags that allow the same functions."""
    return [f"{FLAG}={name}" for name in _allowed]


def allowed() -> dict[str, Callable[..., Any]]:
    """Return the allowed functions by name."""
    return {name: _load(name) for name in _allowed}


def _load(name: str) -> Callable[..., Any]:
    if name in _loaded:
        return _loaded[name]
    module, _, function = name.partition(":")
    # last, so that a file of the working directory stands in for no installed module
    sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        valid = f"a function of a module that Python finds, or of the working directory ({error})"
        raise BadInput([Fault(FLAG, name, valid)]) from error
    finally:
        sys.path.pop()
    if not callable(found):
        raise BadInput([Fault(FLAG, name, "a function")])
    _loaded[name] = found
    return _loaded[name]
