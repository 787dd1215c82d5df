"""Python runs this at its start if the folder is on PYTHONPATH. `CRASH=MODULE:FUNCTION:CALL:MOMENT` kills the process that makes
this call of the function, the first being 1, before or after the function has run. `SLOW=MODULE:FUNCTION:SECONDS` delays each.
`NAN=LEARNING_RATE` makes all losses of the trial with this learning rate no numbers. `HOST=NAME` makes this another machine.
`CLOCK=FILE` sets the clock forward by the seconds that the file holds, from when they are written into it on."""

from __future__ import annotations

import datetime
import importlib.abc
import importlib.machinery
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def crash(call: int, moment: str) -> Wrap:
    calls = itertools.count(1)

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            now = next(calls) == call
            if now and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    return wrap


def slow(seconds: float) -> Wrap:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            time.sleep(seconds)
            return function(*args, **kwargs)

        return wrapped

    return wrap


def lose(learning_rate: float) -> Wrap:
    """For `CohortTraining.legs`."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(training: Any) -> Any:
            from dataclasses import replace

            for leg in function(training):
                lost = training._spec.optimizer.learning_rate == learning_rate
                yield replace(leg, train_loss=leg.train_loss * float("nan"), finite=leg.finite & False) if lost else leg

        return wrapped

    return wrap


class Patching(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module as usual, and then wraps functions of it (`a,b`), or of a class in it (`Class.a`)."""

    def __init__(self, module: str, function: str, wrap: Wrap) -> None:
        self._module, self._function, self._wrap = module, function, wrap

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec and spec.loader
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = self._loader  # type: ignore[union-attr]  # runpy and pkgutil ask it for more
        self._loader.exec_module(module)
        for function in self._function.split(","):
            *classes, name = function.split(".")
            holder: Any = module
            for cls in classes:
                holder = getattr(holder, cls)
            setattr(holder, name, self._wrap(getattr(holder, name)))


def constant(value: str) -> Wrap:
    return lambda _: lambda: value


def set_clock(file: Path) -> None:
    """For `time`; what is written in C keeps the true class of `datetime`, so only Optuna gets another."""
    true_time = time.time

    def shifted() -> float:
        return true_time() + float(file.read_text())

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromtimestamp(shifted(), tz)

    time.time, time.time_ns = shifted, lambda: int(1e9 * shifted())
    module = SimpleNamespace(**{**vars(datetime), "datetime": Shifted})
    sys.meta_path.insert(0, Patching("optuna.trial._frozen", "datetime", lambda _: module))
    sys.meta_path.insert(0, Patching("optuna.storages._rdb.storage", "datetime", lambda _: Shifted))


if given := os.environ.get("CLOCK"):
    set_clock(Path(given))
if given := os.environ.get("HOST"):
    sys.meta_path.insert(0, Patching("study.processes", "host,machine", constant(given)))
if given := os.environ.get("CRASH"):
    module, function, call, moment = given.split(":")
    sys.meta_path.insert(0, Patching(module, function, crash(int(call), moment)))
if given := os.environ.get("SLOW"):
    module, function, seconds = given.split(":")
    sys.meta_path.insert(0, Patching(module, function, slow(float(seconds))))
if given := os.environ.get("NAN"):
    sys.meta_path.insert(0, Patching("study.engine.training", "CohortTraining.legs", lose(float(given))))
